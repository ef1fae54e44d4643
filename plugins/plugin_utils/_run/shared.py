# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of one playbook run share: results, locks and the rate limit of the Cloud API.

Ansible runs each task in a process of its own. These processes share files in Ansible's temporary folder of the run,
which Ansible removes when the run ends. The locks are the kernel's, which releases them when a process dies.
Nothing secret may be put here: see `memory`.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import mmap
import os
import secrets
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ansible import constants
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan

_FOLDER = "crdb-onboard-run"
_SIZE_LIMIT = 256 * 1024 * 1024
_BUCKETS = 65536
_OFFSET = struct.Struct("Q")
_RECORD = struct.Struct("QII")
_RECORDS_START = _OFFSET.size * (1 + _BUCKETS)
# Most records fit into one read.
_READ_BYTES = 1024
_BURST = 9
_WINDOW_SECONDS = 1.05
_RATE = struct.Struct(f"{_BURST}d")
# Seconds between two tries to take a lock that is held for long.
_SHORTEST_POLL = 0.001
_LONGEST_POLL = 0.05

# Made when the main process imports this file, and inherited by every task.
_RUN_KEY = secrets.token_bytes(32)


def folder() -> Path:
    """The folder of this run's files; it is created when it is missing."""
    path = Path(str(constants.DEFAULT_LOCAL_TMP)) / _FOLDER
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@cache
def _descriptor(name: str) -> int:
    """A file of the run, open as long as this process lives. Closing it would release this process's locks on it."""
    return os.open(folder() / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(descriptor: int, offset: int = 0) -> None:
    """Lock one byte of a file against other processes, which hold it for an instant only.

    A process that is forked meanwhile does not hold the lock.
    """
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, offset)


def _lock_patiently(lock: Callable[[int], None]) -> None:
    """Take a lock that others may hold for long: `lock` takes the flags to lock with, and raises BlockingIOError.

    The kernel would wait on, also when the run is gone.
    """
    seconds = _SHORTEST_POLL
    while True:
        try:
            lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except (BlockingIOError, PermissionError):
            orphan.pause(seconds)
            seconds = min(2 * seconds, _LONGEST_POLL)
    orphan.still_wanted()


def lock_file(descriptor: int) -> None:
    """Lock a whole file with flock, which closing the descriptor releases. Raises RunGoneError."""
    _lock_patiently(lambda flags: fcntl.flock(descriptor, flags))


def _unlock(descriptor: int, offset: int = 0) -> None:
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, offset)


# The file of values begins with a table of offsets: the end of the records, then the newest record of each bucket. A
# record has the offset of the previous record of its bucket, the sizes of key and value in bytes, the key, and the
# value as JSON.
@cache
def _table() -> mmap.mmap:
    """The table, as memory that all processes share."""
    descriptor = _descriptor("values")
    _lock(descriptor)
    if os.fstat(descriptor).st_size < _RECORDS_START:
        os.ftruncate(descriptor, _RECORDS_START)
    _unlock(descriptor)
    return mmap.mmap(descriptor, _RECORDS_START)


def _bucket(key: bytes) -> int:
    return _OFFSET.size * (1 + zlib.crc32(key) % _BUCKETS)


def _find(descriptor: int, offset: int, key: bytes) -> bytes | None:
    """The newest value of a key in the chain of records that begins at an offset."""
    while offset:
        data = os.pread(descriptor, _READ_BYTES, offset)
        older, key_size, size = _RECORD.unpack_from(data)
        start = _RECORD.size + key_size
        if key_size == len(key) and data.startswith(key, _RECORD.size):
            if start + size > len(data):
                return os.pread(descriptor, size, offset + start)
            return data[start : start + size]
        offset = older
    return None


def get(key: str) -> Any:
    """The value that a task of this run put under this key, or None."""
    name = key.encode("utf-8")
    # No lock: what the table points to is complete, and never changes.
    (newest,) = _OFFSET.unpack_from(_table(), _bucket(name))
    data = _find(_descriptor("values"), newest, name) if newest else None
    return None if data is None else json.loads(data)


def put(key: str, value: Any) -> None:
    """Keep a value for the other tasks of this run. It must be JSON and must not hold a secret.

    Raises OnboardingError when the run keeps too much.
    """
    name, data = key.encode("utf-8"), json.dumps(value).encode("utf-8")
    bucket = _bucket(name)
    table, descriptor = _table(), _descriptor("values")
    _lock(descriptor)
    try:
        offset = int(_OFFSET.unpack_from(table)[0]) or _RECORDS_START
        (older,) = _OFFSET.unpack_from(table, bucket)
        record = _RECORD.pack(older, len(name), len(data)) + name + data
        end = offset + len(record)
        if end > _SIZE_LIMIT:
            raise OnboardingError(
                f"too much to remember for one run: {end} bytes, the limit is {_SIZE_LIMIT}. Run it for fewer hosts"
                " with -l."
            )
        _write(descriptor, record, offset)
        _OFFSET.pack_into(table, 0, end)
        # Written last: the record of a process that is killed before is never read.
        _OFFSET.pack_into(table, bucket, offset)
    finally:
        _unlock(descriptor)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


# The names of the locks that a process holds, by process.
_held: dict[int, set[str]] = {}


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the lock of this name; other tasks of the run wait. The task that holds it may take it again.

    It keeps processes apart, not the threads of one process. Raises RunGoneError.
    """
    held = _held.setdefault(os.getpid(), set())
    if name in held:
        yield
        return
    offset = int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:7], "big")
    descriptor = _descriptor("locks")
    _lock_patiently(lambda flags: fcntl.lockf(descriptor, flags, 1, offset))
    held.add(name)
    try:
        yield
    finally:
        held.discard(name)
        _unlock(descriptor, offset)


def once(key: str, work: Callable[[], Any]) -> tuple[Any, bool]:
    """The result of `work`, which only the first task of the run calls, and whether this task called it."""
    known = get(key)
    if known is None:
        with alone(key):
            known = get(key)
            if known is None:
                value = work()
                put(key, {"value": value})
                return value, True
    return known["value"], False


def mark(text: str) -> str:
    """A digest that compares texts within this run. It is keyed: whoever reads it cannot test guesses of the text."""
    return hmac.new(_RUN_KEY, text.encode("utf-8", "surrogateescape"), "sha256").hexdigest()


def take_turn() -> None:
    """Wait until the run may send its next request: the Cloud API allows ten a second, by its own clock.

    Raises RunGoneError, so that no request is sent for a run that is gone.
    """
    descriptor = _descriptor("rate")
    _lock(descriptor)
    try:
        data = os.pread(descriptor, _RATE.size, 0)
        turns = _RATE.unpack(data) if len(data) == _RATE.size else (0.0,) * _BURST
        now = time.monotonic()
        start = max(now, turns[0] + _WINDOW_SECONDS if turns[0] else now, turns[-1])
        _write(descriptor, _RATE.pack(*turns[1:], start), 0)
    finally:
        _unlock(descriptor)
    orphan.pause(start - now)
