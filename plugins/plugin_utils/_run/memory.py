# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that the tasks of one playbook run share: in memory only, never in a file.

Ansible forks the process of each task from the main process. The strategy plugins import an action plugin in the main
process before they fork for it (source of ansible-core 2.19 to 2.21). So anonymous memory that is mapped at import is
shared by all later tasks, and is gone when the run ends.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Callable

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared

_USED = struct.Struct("Q")
_SIZE = struct.Struct("I")


class MemoryFullError(OnboardingError):
    """A secret does not fit into the memory that is left."""


class Memory:
    """Texts by key. Its lock is a file of the run, and is released when the process that holds it dies."""

    def __init__(self, name: str, size: int) -> None:
        """`name` is the name of the lock; `size` is in bytes."""
        self._lock_name = f"memory {name}"
        self._size = size
        self._memory = mmap.mmap(-1, size)

    def get(self, key: str) -> str | None:
        """The text under this key, or None."""
        with shared.alone(self._lock_name):
            return self._texts().get(key)

    def once(self, key: str, work: Callable[[], str]) -> str:
        """The text under this key; `work` makes it when it is missing, while the other tasks wait.

        Raises MemoryFullError when it does not fit.
        """
        with shared.alone(self._lock_name):
            text = self._texts().get(key)
            if text is None:
                text = work()
                self._append(key, text)
            return text

    def _used(self) -> int:
        return int(_USED.unpack_from(self._memory)[0]) or _USED.size

    def _texts(self) -> dict[str, str]:
        texts, place, end = {}, _USED.size, self._used()
        while place < end:
            start = place + _SIZE.size
            place = start + int(_SIZE.unpack_from(self._memory, place)[0])
            key, text = json.loads(self._memory[start:place])
            texts[key] = text
        return texts

    def _append(self, key: str, text: str) -> None:
        data = json.dumps([key, text]).encode("ascii")
        start = self._used()
        end = start + _SIZE.size + len(data)
        if end > self._size:
            raise MemoryFullError(f"{len(text)} characters do not fit into the memory that the run's tasks share")
        self._memory[start:end] = _SIZE.pack(len(data)) + data
        # Written last: the text of a process that is killed before is never read.
        _USED.pack_into(self._memory, 0, end)
