# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark's arithmetic: medians, the order of the ways, processor time of a command and its children."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from tests.bench.files import _templated
from tests.bench.measure import CommandError, Median, Outcome, Sample, Way, in_turn, ratio, run

RECAP = """
PLAY RECAP *********
bench-01                   : ok=4    changed=1    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
bench-02                   : ok=4    changed=0    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
"""


def test_the_median_is_taken_of_each_figure_by_itself() -> None:
    samples = [Sample(3.0, 10.0, 1.0, 7), Sample(1.0, 30.0, 2.0, 7), Sample(2.0, 20.0, 9.0, 8)]
    assert Median.of(samples) == Median(2.0, 20.0, 2.0, 7.0, 0.0, lowest=1.0, highest=3.0, runs=3)


def test_an_even_number_of_runs_has_the_middle_of_the_two() -> None:
    assert Median.of([Sample(1.0), Sample(2.0)]).wall == 1.5


def way(name: str, done: list[str], **more: Any) -> Way:
    """A way that notes in `done` when it is prepared and when it is run."""

    def work() -> Sample:
        done.append(name)
        return Sample(1.0)

    return Way(name, work, lambda: done.append(f"prepare {name}"), **more)


def test_ways_take_turns_and_a_slow_one_stops_early() -> None:
    done: list[str] = []
    found = in_turn([way("a", done), way("b", done, rounds=1)], 2)
    assert done == ["prepare a", "a", "prepare b", "b", "prepare a", "a"]
    assert {name: median.runs for name, median in found.items()} == {"a": 2, "b": 1}


def test_every_second_round_goes_the_other_way_round_and_keeps_what_belongs_together() -> None:
    done: list[str] = []
    names = ["bare", "a", "a again", "b", "b again"]
    in_turn([way(name, done, follows=name.endswith("again")) for name in names], 3)
    run = [name for name in done if not name.startswith("prepare")]
    assert run == [*names, "b", "b again", "a", "a again", "bare", *names]


def test_a_ratio_to_nothing_is_no_number() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(3.0, 0.0) != ratio(3.0, 0.0)


def test_processor_time_of_children_counts(tmp_path: Path) -> None:
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    outcome = run(["sh", "-c", f"{sys.executable} -c '{burn}'; echo done"], os.environ, tmp_path)
    assert outcome.output == "done\n"
    assert outcome.sample.cpu >= 0.3
    assert outcome.sample.memory == 0


def test_memory_of_children_counts(tmp_path: Path) -> None:
    held = "import time\nheld = bytearray(80_000_000)\ntime.sleep(1)"
    outcome = run(["sh", "-c", f"{sys.executable} -c '{held}'; true"], os.environ, tmp_path, memory=True)
    assert 80_000_000 <= outcome.sample.memory < 160_000_000


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"ended with 3:\nwhat it said"):
        run(["sh", "-c", "echo what it said; exit 3"], os.environ, tmp_path)


def test_the_recap_is_read_by_host() -> None:
    recap = Outcome(RECAP, Sample(0.0)).recap()
    assert {host: counters["changed"] for host, counters in recap.items()} == {"bench-01": 1, "bench-02": 0}


def test_a_template_gives_back_the_text_it_was_made_of() -> None:
    text = "password = 'se{{cret'\n# {% if %} {# se{{cret #}\n"
    template = _templated(text, {"bench_a": "se{{cret", "bench_b": "elsewhere"})
    assert template.count("{{ bench_a }}") == 2
    environment = Environment(keep_trailing_newline=True, autoescape=False)  # noqa: S701 - as Ansible's
    assert environment.from_string(template).render(bench_a="se{{cret") == text
