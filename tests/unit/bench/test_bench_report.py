# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From figures to tables and verdicts."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import pytest

from tests.bench import report
from tests.bench.measure import Median, Sample


def figures(wall: float, cpu: float = 0.0, targets_cpu: float = 0.0, memory: int = 0) -> dict[str, Any]:
    return asdict(Median.of([Sample(wall, cpu, targets_cpu, 50, memory)]))


RESULTS: dict[str, Any] = {
    "machine": {"processors": "2 x some, 4 GiB"},
    "files": {
        "1": {"bare ssh tar": figures(0.5), "ours": figures(1.5, 1.0), "ours, second run": figures(1.8)},
        "50": {
            "bare ssh tar": figures(4.0, 4.0, 2.0),
            "ours": figures(10.0, 11.5, 3.5),
            "ours, second run": figures(10.4),
        },
    },
    "onboarding": {
        "50": {
            "bare ssh tar": figures(4.0),
            "whole onboarding": figures(26.0),
            "whole onboarding, second run": figures(26.0),
        }
    },
    "growth": {
        "calibration": {"connect": {"cpu": 0.08, "wait": 0.1}},
        "hosts": {
            "50": figures(6.0, memory=100),
            "100": figures(11.0, memory=100),
            "200": figures(21.0, memory=110),
            "1000": figures(101.0, memory=149),
        },
    },
}


def verdicts() -> dict[str, bool]:
    return {target.what: target.met for target in report.targets(RESULTS)}


@pytest.mark.parametrize(
    ("what", "met"),
    [
        ("files alone, 50 hosts, against bare ssh", True),
        ("controller's processor a host, 50 hosts", False),
        ("second run against the first, 50 hosts", True),
        ("second run against the first, 1 host", False),
        ("whole onboarding, 50 hosts, against bare ssh", False),
        ("time of a host among 1,000 against one among 200", True),
        ("memory at 1,000 hosts against 100", True),
    ],
)
def test_a_target_is_met_within_its_limit(what: str, met: bool) -> None:
    assert verdicts()[what] is met


def test_what_was_not_measured_has_no_verdict() -> None:
    assert "files alone, 1 host, against bare ssh" not in verdicts()
    assert report.targets({"machine": {}}) == []


def test_a_row_has_both_ratios_and_what_a_host_costs() -> None:
    row = report.ways(RESULTS["files"]["50"], "bare ssh tar", 50).splitlines()[3]
    assert row == "| ours | 10.00 (10.00 to 10.00) | 2.50 | 2.50 | 0.230 | 0.070 | 1.0 | 1 |"


def test_the_page_holds_what_was_written_and_what_was_measured() -> None:
    page = report.page(RESULTS, "Before.\n\n@machine@\n\n@targets@\n\n{{ stays }}\n\n@tables@\n")
    assert page.startswith("Before.\n\n- processors: 2 x some, 4 GiB\n\n| what | at most | found | met |\n")
    assert "| controller's processor a host, 50 hosts | 0.22 s | 0.23 s | **no** |" in page
    assert "{{ stays }}" in page
    assert "## Growth" in page
    assert "@" not in page


def test_a_comparison_shows_every_way_that_the_base_ran_and_no_other() -> None:
    by_way = {
        "bare ssh psql loop": figures(4.0),
        "ours": figures(9.0, 6.0, 3.0),
        "base: ours": figures(10.0, 5.0, 3.0),
    }
    rows = report.comparison({"check": {"50": by_way}, "files": RESULTS["files"]}).splitlines()[2:]
    assert rows == ["| check | 50 hosts | ours | 10.00 | 9.00 | -10.0 % | +12.5 % | 1 |"]


def test_the_page_has_what_people_wrote_for_it() -> None:
    page = report.PAGE.read_text()
    for text in re.split("@[a-z]+@", report.NOTES.read_text()):
        assert text in page, "docs/performance.md was edited: edit tests/bench/performance.md too"
