# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands measured in turn: wall time, processor time, memory."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BASE = "base: "
"""Begins the name of a way that runs the code of the base, a checkout of another commit."""
_MEMORY_PERIOD = 0.25


@dataclass(frozen=True)
class Sample:
    """One run. Seconds; `cpu` is user and system time of the command and all that it waited for."""

    wall: float
    cpu: float = 0.0
    targets_cpu: float = 0.0
    trips: int = 0
    memory: int = 0
    """The highest proportional set size of the command and its children seen, in bytes; 0 when not looked at."""


@dataclass(frozen=True)
class Median:
    """The median of each figure over the runs of one way, and the extremes of its wall time."""

    wall: float
    cpu: float
    targets_cpu: float
    trips: float
    memory: float
    lowest: float
    highest: float
    runs: int

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Median:
        """Summarise at least one sample."""
        columns = {name: [float(asdict(s)[name]) for s in samples] for name in asdict(samples[0])}
        middle = {name: statistics.median(values) for name, values in columns.items()}
        return cls(**middle, lowest=min(columns["wall"]), highest=max(columns["wall"]), runs=len(samples))


class CommandError(Exception):
    """A measured command failed: nothing about it is worth measuring."""


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its sample."""

    output: str
    sample: Sample

    def recap(self) -> dict[str, dict[str, int]]:
        """The counters of each host in a play recap."""
        rows = [line.split(":", 1) for line in self.output.splitlines() if "unreachable=" in line]
        return {
            host.strip(): {name: int(count) for name, count in (pair.split("=") for pair in counters.split())}
            for host, counters in rows
        }


def _memory_of_tree(pid: int) -> int:
    """Proportional set size of a process and all below it, in bytes."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
            waiting += [int(c) for c in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except (OSError, ValueError):
            continue  # it ended meanwhile
    return total


def run(words: Sequence[Any], environment: Mapping[str, str], cwd: Path, *, memory: bool = False) -> Outcome:
    """Run a command and measure it. Raises CommandError with the end of what it printed."""
    highest, ended = 0, threading.Event()

    def watch(pid: int) -> None:
        nonlocal highest
        while not ended.wait(_MEMORY_PERIOD):
            highest = max(highest, _memory_of_tree(pid))

    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, words)), env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        watcher = threading.Thread(target=watch, args=(process.pid,))
        if memory:
            watcher.start()
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        if memory:
            watcher.join()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if process.returncode != 0:
        raise CommandError(f"{' '.join(map(str, words))} ended with {process.returncode}:\n{text[-3000:]}")
    return Outcome(text, Sample(wall, usage.ru_utime + usage.ru_stime, memory=highest))


@dataclass(frozen=True)
class Way:
    """One way of doing a job: `prepare` is not measured. `rounds` is the most that a slow one is run.

    A way that `follows` is run right after the one before it in the list, and needs what that one left.
    """

    name: str
    work: Callable[[], Sample]
    prepare: Callable[[], None] = lambda: None
    rounds: int = 1000
    follows: bool = False


def in_turn(ways: Sequence[Way], rounds: int, say: Callable[[str], None] = lambda text: None) -> dict[str, Median]:
    """All ways, one after the other, `rounds` times over, so that a change of the machine's load meets them all.

    Every second round goes the other way round: no way always has the same one before it, whose work may still go on.
    """
    groups: list[list[Way]] = []
    for way in ways:
        if way.follows:
            groups[-1].append(way)
        else:
            groups.append([way])
    samples: dict[str, list[Sample]] = {way.name: [] for way in ways}
    for number in range(rounds):
        order = groups[::-1] if number % 2 else groups
        for way in itertools.chain.from_iterable(order):
            if number >= way.rounds:
                continue
            way.prepare()
            sample = way.work()
            samples[way.name].append(sample)
            say(f"  {way.name}: {sample.wall:.2f} s, cpu {sample.cpu:.2f} s")
    return {name: Median.of(found) for name, found in samples.items()}


def ratio(one: float, other: float) -> float:
    """`one` as a multiple of `other`."""
    return one / other if other else float("nan")
