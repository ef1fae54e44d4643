# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of one run tell each other: what was done already, what was asked already, and the rate limit.

Every task runs in a process forked from the main one. As with `_answers`, memory made when the main process imports
this is shared by all of them, and gone with the run. It holds no password.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

_SIZE = 16 * 1024 * 1024  # of address space: only pages that are used take memory
_LENGTH_BYTES = 8
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


def _read() -> dict[str, Any]:
    length = int.from_bytes(_memory[:_LENGTH_BYTES], "big")
    return json.loads(_memory[_LENGTH_BYTES : _LENGTH_BYTES + length]) if length else {}


def get(key: str) -> Any:
    """What was put under this key in this run, or None."""
    with _lock:
        return _read().get(key)


def put(key: str, value: Any) -> None:
    """Tell the other tasks of this run; the value has to be JSON, and no secret."""
    with _lock:
        content = _read()
        content[key] = value
        data = json.dumps(content).encode("utf-8")
        if len(data) > _SIZE - _LENGTH_BYTES:
            raise OnboardingError(f"too much to remember for one run: {len(data)} bytes")
        _memory[_LENGTH_BYTES : _LENGTH_BYTES + len(data)] = data
        _memory[:_LENGTH_BYTES] = len(data).to_bytes(_LENGTH_BYTES, "big")


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
