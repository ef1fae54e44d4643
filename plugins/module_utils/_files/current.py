# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is at a path now, and whether a file could be put there.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import stat
import struct
import sys

from ansible_collections.crdb.onboard.plugins.module_utils._files import tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import (
    LINK_MODE,
    CurrentFile,
    FileRefusedError,
)

# Seconds that git may take to answer for one file.
_GIT_SECONDS = 30.0
_LINUX_GETFLAGS = 0x80086601
_LINUX_IMMUTABLE_OR_APPEND = 0x10 | 0x20


class NotALinkError(FileRefusedError):
    """Something else is in the place of a symbolic link."""


def refusal(path: str, exc: OSError) -> FileRefusedError:
    """The refusal of a file that cannot be examined or read, with its cure where there is one."""
    if isinstance(exc, tree.UntrustedPathError):
        return FileRefusedError(f"{path}: {exc.strerror}. {exc.cure}")
    if isinstance(exc, NotADirectoryError):
        return FileRefusedError(f"{path}: one of its parents is not a folder.")
    return FileRefusedError(f"{path}: cannot be read: {exc.strerror}.")


def read_current(path: str) -> CurrentFile:
    """What is at a path now. Raises FileRefusedError unless it is absent, or a regular file that can be read.

    Root reads it only where nobody else can change it, or what leads to it.
    """
    try:
        target = tree.resolve(path)
        found = tree.read_resolved(target)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        while not os.path.exists(parent):
            if os.path.islink(parent):
                raise FileRefusedError(f"{path}: {parent} is a link that leads nowhere.") from None
            parent = os.path.dirname(parent)
        return CurrentFile(target, None, 0)
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            raise FileRefusedError(f"{path}: is not a regular file.") from None
        raise refusal(path, exc) from None
    status = found.status
    return CurrentFile(
        target, found.content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_nlink,
        found.attributes,
    )  # fmt: skip


def read_link(path: str) -> CurrentFile:
    """The symbolic link at a path itself: its content is where it leads. Raises FileRefusedError for anything else."""
    folder, name = os.path.split(path)
    try:
        folder = tree.resolve(folder)
        target = os.path.join(folder, name)
        if not os.path.isdir(folder):
            return read_current(path)
        with tree.opened(folder) as parent:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                raise NotALinkError(
                    f"{path}: something that crdb.onboard did not write is in the place of its symbolic link. Move it"
                    " away first."
                )
            tree.examine(target, status)
            content = os.fsencode(os.readlink(name, dir_fd=parent))
    except FileNotFoundError:
        return CurrentFile(target, None, 0)
    except OSError as exc:
        raise refusal(path, exc) from None
    return CurrentFile(target, content, LINK_MODE, status.st_uid, status.st_gid)


def read_as(format_: str, path: str) -> CurrentFile:
    """What is at a path now, for a file of this format. Raises FileRefusedError."""
    return read_link(path) if format_ == "link" else read_current(path)


def _immutable(path: str) -> bool:
    if hasattr(os.stat_result, "st_flags"):
        return bool(getattr(os.stat(path), "st_flags", 0) & (stat.UF_IMMUTABLE | stat.SF_IMMUTABLE))
    if not sys.platform.startswith("linux"):
        return False
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        answer = fcntl.ioctl(handle, _LINUX_GETFLAGS, struct.pack("l", 0))
        return bool(struct.unpack("l", answer)[0] & _LINUX_IMMUTABLE_OR_APPEND)
    except OSError:
        return False
    finally:
        os.close(handle)


def writable(current: CurrentFile) -> None:
    """Raise FileRefusedError when a file could not be put in its place: its nearest existing parent must take one."""
    path, there = current.target, current.content is not None
    if there and os.geteuid() not in (0, current.uid):
        raise FileRefusedError(f"{path}: belongs to another user (id {current.uid}).")
    if there and os.geteuid() != 0 and current.gid not in (os.getegid(), *os.getgroups()):
        raise FileRefusedError(f"{path}: has a group (id {current.gid}) that this user is not in, and would lose it.")
    if current.names > 1:
        raise FileRefusedError(
            f"{path}: has {current.names} names (hard links), and the others would keep the old content. Make this name"
            " a file of its own first: copy it, then move the copy to this name."
        )
    parent = os.path.dirname(path)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        raise FileRefusedError(f"{path}: {parent} is not a folder.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise FileRefusedError(f"{path}: {parent} is not writable by this user.")
    for name in (parent, path) if there and not os.path.islink(path) else (parent,):
        if _immutable(name):
            raise FileRefusedError(f"{path}: {name} is marked immutable or append-only (chattr, chflags).")


def ignored_by_git(path: str, ignore: str = "", what: str = "a password") -> None:
    """Raise FileRefusedError when a secret would lie in a git work tree that does not ignore it.

    `ignore` is the folder that people should have git ignore, in place of the file; `what` the secret is.
    """
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    top = folder
    while not os.path.lexists(os.path.join(top, ".git")):
        if top == os.path.dirname(top):
            return
        top = os.path.dirname(top)
    relative = os.path.relpath(path, os.path.realpath(top))
    line = f"/{os.path.relpath(ignore, os.path.realpath(top))}/" if ignore else f"/{relative}"
    try:
        status, error = _git(top, "check-ignore", "-q", "--", path)
        # What git tracks it never ignores, whatever .gitignore says.
        tracked = status == 1 and _git(top, "ls-files", "--error-unmatch", "--", path)[0] == 0
    except TimeoutError:
        raise FileRefusedError(
            f"{path}: holds {what} and lies in the git work tree {top}, and git did not tell within"
            f" {_GIT_SECONDS:g} s whether it is ignored. Choose a folder outside the work tree."
        ) from None
    except OSError:
        raise FileRefusedError(
            f"{path}: holds {what} and lies in the git work tree {top}, and git is missing,"
            " so nothing tells whether it is ignored. Choose a folder outside the work tree."
        ) from None
    if tracked:
        raise FileRefusedError(
            f"{path}: would hold {what}, and git tracks it. Take it out of git first, which keeps the file: git -C"
            f" {shlex.quote(top)} rm --cached {shlex.quote(relative)}. Then add the line {line} to"
            f" {top}/.gitignore. What was committed stays in the history."
        )
    if status == 1:
        raise FileRefusedError(
            f"{path}: holds {what}, and git would commit it: add the line {line} to {top}/.gitignore first."
        )
    if status != 0:
        raise FileRefusedError(
            f"{path}: holds {what} and lies in the git work tree {top}; git cannot tell whether it is ignored:"
            f" {error or f'exit code {status}'}"
        )


def _git(top: str, *words: str) -> tuple[int, str]:
    """Ask git about a work tree: its exit status and the first line of its error.

    No hook or monitor of the work tree runs. Raises OSError; TimeoutError when git does not answer in time.
    """
    # Most files lie in no work tree, and loading this takes longer than deciding about a file.
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments
            ["git", "-c", "core.fsmonitor=false", "-C", top, *words],  # noqa: S607 - where PATH has it
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
            timeout=_GIT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return done.returncode, next(iter(done.stderr.decode("utf-8", "replace").strip().splitlines()), "")
