# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of what was written for one user, and its lock.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._files import state, tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.current import refusal
from ansible_collections.crdb.onboard.plugins.module_utils._files.generation import Generation
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import (
    make_folder,
    remove,
    remove_folders,
    sweep,
    write,
)

LOCK_SECONDS = 60


class Record:
    """What we wrote for one user: by path, which keys, their digests, and what was there before. Mode 0600.

    It is saved before the first write and after the last: what a run that was killed had begun is known as ours. The
    lock of its folder is held from the decision to the last write; without `write` nothing is made, and a missing
    record is an empty one.
    """

    def __init__(self, folder: str, write: bool = True) -> None:
        """Raises FileRefusedError when the record cannot be read, or another run holds its lock for a minute."""
        self._lock = -1
        tree.keep(self)
        try:
            self._read(folder, write)
        except BaseException:
            tree.release(self)
            raise

    def _read(self, folder: str, write: bool) -> None:
        made: list[str] = []
        try:
            self.folder = folder = tree.resolve(folder)
            self.path = os.path.join(folder, "files.json")
            if write:
                made = make_folder(folder, 0o700)
                self._take_lock()
                sweep(folder)
            data = state.load(self.path, state.RECORD)
            self.files: dict[str, dict[str, Any]] = data["files"]
            self.folders: list[str] = data["folders"]
        except FileNotFoundError:
            self.files, self.folders = {}, made or [folder]
        except tree.UntrustedPathError as exc:
            raise refusal(folder, exc) from None
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise FileRefusedError(f"{self.path}: the record of what was written cannot be used: {reason}.") from None
        self.generation = Generation(folder)

    def _take_lock(self) -> None:
        end = time.monotonic() + LOCK_SECONDS
        while True:
            make_folder(self.folder, 0o700)
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The last run may have removed the folder and created it again: then this lock protects nothing.
                if os.stat(self.folder).st_ino == os.fstat(handle).st_ino:
                    self._lock = handle
                    return
            except FileNotFoundError:
                pass
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(handle)
                    raise FileRefusedError(
                        f"{self.folder}: another run has been writing for {LOCK_SECONDS} s."
                    ) from None
                time.sleep(0.05)
            os.close(handle)

    def text(self) -> bytes:
        """The record as it is saved."""
        # A line for each file: Python's fast encoder does not indent.
        files = (
            f"{json.dumps(path)}: {json.dumps(entry, sort_keys=True)}" for path, entry in sorted(self.files.items())
        )
        return ('{"files": {\n' + ",\n".join(files) + f'\n}}, "folders": {json.dumps(self.folders)}}}\n').encode()

    def save(self) -> None:
        """Write the record. Raises OSError."""
        write(self.path, self.text(), 0o600)

    def keep(self) -> None:
        """Save the record and let the lock go, also where there is nothing in it yet. Raises OSError.

        So it is known which folders were made for what waits beside the record.
        """
        self.save()
        tree.release(self)
        os.close(self._lock)
        self._lock = -1

    def close(self) -> None:
        """Let the lock go; a record of nothing takes its folder away with it."""
        tree.release(self)
        if self._lock == -1:
            return
        if not self.files:
            with contextlib.suppress(FileNotFoundError):
                remove(self.path)
            remove_folders(self.folders)
        os.close(self._lock)
        self._lock = -1
