# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of one run tell each other: what was done already, what was asked already, and the rate limit.

Every task runs in a process forked from the main one. As with `_answers`, memory made when the main process imports
this is shared by all of them, and gone with the run. It holds no password, but in a report that is asked to show it.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

_SIZE = 256 * 1024 * 1024  # of address space: only pages that are used take memory
_BUCKETS = 4096
_OFFSET = struct.Struct("Q")
_RECORD = struct.Struct("QII")
_BURST = 9
_WINDOW = 1.05
_RATE = struct.Struct(f"{_BURST}d")
_WORK_LOCKS = 16

_fork = multiprocessing.get_context("fork")
_memory = mmap.mmap(-1, _SIZE)
_lock = _fork.Lock()
_rate_memory = mmap.mmap(-1, mmap.PAGESIZE)
_rate_lock = _fork.Lock()
_work_locks = tuple(_fork.RLock() for _number in range(_WORK_LOCKS))


# The memory: where the next record goes; the newest record of each bucket; the records, each with the one before it in
# its bucket, and the lengths of key and value. Nothing grows with what others have put.


def _bucket(key: bytes) -> int:
    return _OFFSET.size * (1 + zlib.crc32(key) % _BUCKETS)


def _offset(place: int) -> int:
    return int(_OFFSET.unpack_from(_memory, place)[0])


def get(key: str) -> Any:
    """What was put under this key in this run, or None."""
    name = key.encode("utf-8")
    with _lock:
        place = _offset(_bucket(name))
        while place:
            older, key_size, size = _RECORD.unpack_from(_memory, place)
            start = place + _RECORD.size + key_size
            if _memory[place + _RECORD.size : start] == name:
                return json.loads(_memory[start : start + size])
            place = older
    return None


def put(key: str, value: Any) -> None:
    """Tell the other tasks of this run; the value has to be JSON, and no secret that is not shown anyway."""
    name, data = key.encode("utf-8"), json.dumps(value).encode("utf-8")
    bucket = _bucket(name)
    with _lock:
        place = _offset(0) or _OFFSET.size * (1 + _BUCKETS)
        end = place + _RECORD.size + len(name) + len(data)
        if end > _SIZE:
            raise OnboardingError(f"too much to remember for one run: {end} bytes")
        _RECORD.pack_into(_memory, place, _offset(bucket), len(name), len(data))
        _memory[place + _RECORD.size : end] = name + data
        # Last: a process that is killed before has told nothing.
        _OFFSET.pack_into(_memory, bucket, place)
        _OFFSET.pack_into(_memory, 0, end)


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Be the only task of this run that does this; others wait."""
    with _work_locks[sum(what.encode("utf-8")) % _WORK_LOCKS]:
        yield


def once(key: str, work: Callable[[], Any]) -> tuple[Any, bool]:
    """The result of `work`, which only the first task of the run does, and whether this was the one."""
    with alone(key):
        known = get(key)
        if known is not None:
            return known["value"], False
        value = work()
        put(key, {"value": value})
        return value, True


def take_turn() -> None:
    """Wait until the run may send its next request: the service allows 10 a second, counted by its own clock."""
    with _rate_lock:
        turns = _RATE.unpack_from(_rate_memory)
        now = time.monotonic()
        start = max(now, turns[0] + _WINDOW if turns[0] else now, turns[-1])
        _RATE.pack_into(_rate_memory, 0, *turns[1:], start)
    time.sleep(max(0.0, start - now))
