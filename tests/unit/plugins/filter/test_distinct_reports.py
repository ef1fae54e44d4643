# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.filter.distinct_reports import distinct_reports


def hostvars(**lines: list[str] | None) -> dict[str, dict[str, Any]]:
    return {host: {} if found is None else {"result": {"report": found}} for host, found in lines.items()}


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ({"a": ["one", "", "two"]}, ["one", "", "two"]),
        ({"a": []}, []),
        ({"a": None}, []),
        ({"a": ["one", ""], "b": ["one", ""]}, ["a, b:", "  one", ""]),
        ({"a": ["one"], "b": ["two"], "c": ["one"]}, ["a, c:", "  one", "b:", "  two"]),
        ({"a": None, "b": ["two"], "c": []}, ["b:", "  two"]),
        ({name: ["one"] for name in "abcdefg"}, ["a, b, c, d, e and 2 more:", "  one"]),
    ],
    ids=["one host", "nothing", "no result", "alike", "two texts", "some have nothing", "many"],
)
def test_each_text_is_shown_once(lines: dict[str, Any], shown: list[str]) -> None:
    assert distinct_reports(list(lines), hostvars(**lines), "result") == shown


def test_only_the_hosts_that_are_named() -> None:
    assert distinct_reports(["b"], hostvars(a=["one"], b=["two"]), "result") == ["two"]


def test_another_key() -> None:
    known = {"a": {"result": {"report": ["one"], "notes": ["two"]}}}
    assert distinct_reports(["a"], known, "result", "notes") == ["two"]
