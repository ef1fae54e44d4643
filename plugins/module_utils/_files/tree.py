# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Reach a file folder by folder, by descriptors. Root goes only through what is root's own.

Whoever can write to a folder can replace what is in it between two calls, so root neither writes nor reads through a
folder, a link or a file of another account, and looks at each of them after it is open. Every other user has no more
rights than the files that it meets, and follows links as usual.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

MAX_BYTES = 16 * 1024 * 1024
"""The largest file that is read, in bytes."""
_MAX_LINKS = 40
# Only the right to search a folder is needed, so a descriptor that cannot list it will do. macOS has no O_PATH.
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
# Its members can become root anyway: they may replace the programs that root runs.
_ADMINISTRATORS = "admin" if sys.platform == "darwin" else "staff"


class UntrustedPathError(OSError):
    """Root would have to go through something that is not its own: `strerror` says why, `cure` what to do."""

    def __init__(self, path: str, reason: str, user: str) -> None:
        super().__init__(errno.EPERM, f"{path} {reason}, and root uses only what nobody else can change", path)
        owner = f"user: {user}" if user else "user: to the user that they belong to"
        self.cure = f"Set {owner} for what lies there, or make {path} root's own and writable for root alone."


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def examine(path: str, status: os.stat_result) -> None:
    """Raise UntrustedPathError when this process is root and others could change what `status` describes."""
    if os.geteuid() != 0:
        return
    if status.st_uid != 0:
        user = _user_name(status.st_uid)
        raise UntrustedPathError(path, f"belongs to {user or f'the user id {status.st_uid}'}", user)
    # Only a folder decides what a name leads to. In a sticky one, what is root's cannot be replaced by others.
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return
    if status.st_mode & stat.S_IWOTH:
        raise UntrustedPathError(path, "can be written to by everybody", "")
    # The bits of the group are also the most that an access control list gives to anybody.
    if status.st_mode & stat.S_IWGRP and status.st_gid != 0:
        group = _group_name(status.st_gid)
        if group != _ADMINISTRATORS:
            raise UntrustedPathError(path, f"can be written to by the group {group}", "")


# Folders that root has examined on its way, by their paths without links. Each is compared with what its path names now
# before it is used again, since root itself may have moved it.
_examined: dict[str, int] = {}
_MAX_EXAMINED = 64
_lock = threading.RLock()
_keepers: set[object] = set()


def keep(keeper: object) -> None:
    """Keep examined folders open until `release`: an open one cannot be unmounted."""
    _keepers.add(keeper)


def release(keeper: object) -> None:
    """Close the examined folders, unless another keeper needs them."""
    with _lock:
        _keepers.discard(keeper)
        _close_unless_kept()


def _close_unless_kept() -> None:
    if not _keepers:
        for handle in _examined.values():
            os.close(handle)
        _examined.clear()


def _known(path: str) -> int:
    """The descriptor of an examined folder that its path still names; -1 when there is none. Raises OSError."""
    handle = _examined.get(path, -1)
    if handle == -1:
        return -1
    status = os.fstat(handle)
    with contextlib.suppress(OSError):
        if os.path.samestat(status, os.stat(path)):
            examine(path, status)
            return handle
    del _examined[path]
    os.close(handle)
    return -1


def _folder(path: str) -> int:
    """The descriptor of a folder, for root: each one above it is examined, and no link is followed. Raises OSError."""
    handle = _known(path)
    if handle != -1:
        return handle
    parent = -1 if path == "/" else _folder(os.path.dirname(path))
    try:
        if parent == -1:
            handle = os.open("/", _FOLDER)
        else:
            handle = os.open(os.path.basename(path), _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, path) from None
    try:
        examine(path, os.fstat(handle))
    except OSError:
        os.close(handle)
        raise
    if len(_examined) >= _MAX_EXAMINED:
        os.close(_examined.pop(next(iter(_examined))))
    _examined[path] = handle
    return handle


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def resolve(path: str) -> str:
    """An absolute path without links; from the first part that does not exist, as it was given.

    Raises OSError, and UntrustedPathError for root.
    """
    if os.geteuid() != 0:
        return os.path.realpath(path)
    with _lock:
        try:
            return _resolve(path)
        finally:
            _close_unless_kept()


def _resolve(path: str) -> str:
    above, last = os.path.split(path)
    # Most files lie beside one that was met before.
    here, left = (above, [last]) if last and _known(above) != -1 else ("/", _parts(path)[::-1])
    folder = _folder(here)
    links = 0
    while left:
        name = left.pop()
        if name == "..":
            here = os.path.dirname(here)
            folder = _folder(here)
            continue
        full = os.path.join(here, name)
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return os.path.join(full, *left[::-1])
        examine(full, status)
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(name, dir_fd=folder)
            if target.startswith("/"):
                here, folder = "/", _folder("/")
            left += _parts(target)[::-1]
        elif left or stat.S_ISDIR(status.st_mode):
            here, folder = full, _folder(full)
        else:
            return full
    return here


@contextlib.contextmanager
def opened(folder: str) -> Iterator[int]:
    """The descriptor of an existing folder, for `dir_fd`; root gets there without following a link. Raises OSError."""
    if os.geteuid() != 0:
        handle = os.open(folder, _FOLDER)
    else:
        with _lock:
            try:
                handle = os.dup(_folder(os.path.normpath(folder)))
            finally:
                _close_unless_kept()
    try:
        yield handle
    finally:
        os.close(handle)


def open_file(path: str) -> int:
    """A descriptor of a regular file to read from, never waiting for a pipe; its last part is no link.

    Raises OSError, and UntrustedPathError for root.
    """
    folder, name = os.path.split(path)
    with opened(folder) as parent:
        handle = os.open(name, _FILE, dir_fd=parent)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        examine(path, status)
    except OSError:
        os.close(handle)
        raise
    return handle


class FoundFile(NamedTuple):
    """A file that was read: its content, its status, and its extended attributes (access control lists among them)."""

    content: bytes
    status: os.stat_result
    attributes: dict[str, bytes]


def read_file(path: str, limit: int = MAX_BYTES) -> FoundFile:
    """A regular file of at most `limit` bytes, links followed. Raises OSError."""
    return read_resolved(resolve(path), limit)


def read_resolved(path: str, limit: int = MAX_BYTES) -> FoundFile:
    """A regular file whose path `resolve` returned. Raises OSError."""
    with os.fdopen(open_file(path), "rb") as stream:
        content = stream.read(limit + 1)
        found = FoundFile(content, os.fstat(stream.fileno()), _attributes(stream.fileno()))
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", path)
    return found


def _attributes(handle: int) -> dict[str, bytes]:
    # Python has these calls on Linux only.
    if not hasattr(os, "listxattr"):
        return {}
    try:
        return {name: os.getxattr(handle, name) for name in os.listxattr(handle)}
    except OSError:
        return {}
