# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open a folder, and replace a file in it at once: the only place that writes, renames and syncs.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from ansible_collections.crdb.onboard.plugins.module_utils._files import tree

TEMPORARY = ".crdb-onboard."
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def missing_folders(path: str) -> list[str]:
    """The folders that would have to be made for a path, outermost first."""
    return [] if os.path.isdir(path) else [*missing_folders(os.path.dirname(path)), path]


def make_folder(path: str, mode: int = 0o755) -> list[str]:
    """Make a folder and its missing parents, whatever the umask; the folders that were made, outermost first.

    Raises OSError.
    """
    if os.path.isdir(path):
        return []
    made = make_folder(os.path.dirname(path))
    with tree.opened(os.path.dirname(path)) as parent:
        name = os.path.basename(path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            return made
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchmod(handle, mode)
        finally:
            os.close(handle)
    return [*made, path]


def remove_folders(folders: Sequence[str]) -> None:
    """Remove folders that are empty, innermost first."""
    for folder in sorted(set(folders), key=len, reverse=True):
        with contextlib.suppress(OSError), tree.opened(os.path.dirname(folder)) as parent:
            os.rmdir(os.path.basename(folder), dir_fd=parent)


def _temporary() -> str:
    """How this user's unfinished files begin: a record is a user's, and its lock keeps out that user's runs only."""
    return f"{TEMPORARY}{os.geteuid()}."


def _keep_attributes(handle: int, attributes: Mapping[str, bytes]) -> None:
    """Give a new file the extended attributes of the one that it replaces. Raises OSError that names one."""
    there = set(os.listxattr(handle)) if attributes else set()
    for name, value in attributes.items():
        if name in there and os.getxattr(handle, name) == value:
            continue
        try:
            os.setxattr(handle, name, value)
        except OSError as exc:
            raise OSError(exc.errno, f"its extended attribute {name} cannot be kept: {exc.strerror}") from None


def stage(
    path: str,
    content: bytes,
    mode: int,
    gid: int = -1,
    prefix: str = "",
    attributes: Mapping[str, bytes] = MappingProxyType({}),
) -> str:
    """Write bytes to a new file beside a path, synced, with mode, group and attributes; its name. Raises OSError.

    `prefix` begins the name of a file that `sweep` must leave alone, since no record's lock protects it.
    """
    folder = os.path.dirname(path)
    name = f"{prefix or _temporary()}{os.urandom(8).hex()}"
    with tree.opened(folder) as parent:
        try:
            handle = os.open(name, _NEW, 0o600, dir_fd=parent)
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, path) from None
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                if gid != -1:
                    os.fchown(stream.fileno(), -1, gid)
                _keep_attributes(stream.fileno(), attributes)
                # The mode comes last: it also bounds what an access control list among the attributes gives to others.
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
        except OSError as exc:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=parent)
            raise OSError(exc.errno, exc.strerror, path) from None
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=parent)
            raise
    return os.path.join(folder, name)


def stage_link(path: str, target: bytes) -> str:
    """Make a symbolic link beside a path, which leads where `target` says; its name. Raises OSError."""
    folder = os.path.dirname(path)
    name = f"{_temporary()}{os.urandom(8).hex()}"
    with tree.opened(folder) as parent:
        try:
            os.symlink(target, os.fsencode(name), dir_fd=parent)
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, path) from None
    return os.path.join(folder, name)


def put_in_place(temporary: str, path: str) -> None:
    """Rename a staged file to its path, or remove it when that fails; `sync_folder` makes it last. Raises OSError."""
    with tree.opened(os.path.dirname(path)) as parent:
        name = os.path.basename(temporary)
        try:
            os.replace(name, os.path.basename(path), src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=parent)
            raise


def remove(path: str) -> None:
    """Remove a file. Raises OSError."""
    with tree.opened(os.path.dirname(path)) as parent:
        os.unlink(os.path.basename(path), dir_fd=parent)


def set_mode(path: str, mode: int) -> None:
    """Set the permission bits of a regular file. Raises OSError."""
    handle = tree.open_file(path)
    try:
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def sync_folder(folder: str) -> None:
    """Make what was renamed or removed in a folder last. Raises OSError."""
    with tree.opened(folder) as parent:
        handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write(
    path: str,
    content: bytes,
    mode: int,
    gid: int = -1,
    prefix: str = "",
    attributes: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Replace a file at once: write and sync a temporary file in its folder, and rename it. Raises OSError."""
    put_in_place(stage(path, content, mode, gid, prefix, attributes), path)
    sync_folder(os.path.dirname(path))


def backup(path: str, content: bytes, mode: int) -> str:
    """Keep a copy of a file beside it, never over another copy; its path is returned. Raises OSError."""
    for number in range(1, 1000):
        copy = f"{path}.crdb-onboard-{number}.bak"
        if not os.path.lexists(copy):
            write(copy, content, stat.S_IMODE(mode))
            return copy
    raise OSError(errno.EEXIST, "a thousand copies are kept already", path)


def sweep(folder: str, keep: Collection[str] = ()) -> None:
    """Remove what a run of this user that was killed left in a folder: the record's lock says that none goes on."""
    start = _temporary()
    with contextlib.suppress(OSError), tree.opened(folder) as parent:
        handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
        try:
            names = [entry.name for entry in os.scandir(handle) if not entry.is_dir(follow_symlinks=False)]
        finally:
            os.close(handle)
        for name in names:
            if name.startswith(start) and os.path.join(folder, name) not in keep:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=parent)
