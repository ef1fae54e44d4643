# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open a folder, and replace a file in it at once: the only place that writes, renames and syncs.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
import tempfile
from collections.abc import Collection, Sequence

TEMPORARY = ".crdb-onboard."


def missing_folders(path: str) -> list[str]:
    """The folders that would have to be made for a path, outermost first."""
    return [] if os.path.isdir(path) else [*missing_folders(os.path.dirname(path)), path]


def make_folder(path: str, mode: int = 0o755) -> list[str]:
    """Make a folder and its missing parents, whatever the umask; the folders that were made, outermost first."""
    if os.path.isdir(path):
        return []
    made = make_folder(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, mode)
        made.append(path)
    return made


def remove_folders(folders: Sequence[str]) -> None:
    """Remove folders that are empty, innermost first."""
    for folder in sorted(set(folders), key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _temporary() -> str:
    """How this user's unfinished files begin: a record is a user's, and its lock keeps out that user's runs only."""
    return f"{TEMPORARY}{os.geteuid()}."


def stage(path: str, content: bytes, mode: int, gid: int = -1, uid: int = -1, prefix: str = "") -> str:
    """Write bytes to a new file beside a path, synced, with mode and ids; its name. Raises OSError.

    `prefix` begins the name of a file that `sweep` must leave alone, since no record's lock protects it.
    """
    handle, temporary = tempfile.mkstemp(prefix=prefix or _temporary(), dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            if gid != -1 or uid != -1:
                os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
    except OSError as exc:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise OSError(exc.errno, exc.strerror, path) from None
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return temporary


def put_in_place(temporary: str, path: str) -> None:
    """Rename a staged file to its path, or remove it when that fails; `sync_folder` makes it last. Raises OSError."""
    try:
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: str, content: bytes, mode: int, gid: int = -1, prefix: str = "") -> None:
    """Replace a file at once: write and sync a temporary file in its folder, and rename it. Raises OSError."""
    put_in_place(stage(path, content, mode, gid, prefix=prefix), path)
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
    """Take away what a run of this user that was killed left in a folder: the record's lock says that none goes on."""
    for path in glob.glob(os.path.join(glob.escape(folder), _temporary() + "*")):
        if path not in keep and os.path.isfile(path) and not os.path.islink(path):
            with contextlib.suppress(OSError):
                os.unlink(path)
