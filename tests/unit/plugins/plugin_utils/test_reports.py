# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts report, each text once."""

from __future__ import annotations

import uuid

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import reports, shared
from ansible_collections.crdb.onboard.plugins.plugin_utils._run.memory import Memory


@pytest.fixture
def subject() -> str:
    """A module that nobody has reported of."""
    return uuid.uuid4().hex


def note(subject: str, lines: dict[str, list[str] | None], task: str = "task") -> None:
    for host, found in lines.items():
        if found is not None:
            reports.note(subject, task, host, found)


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
    ids=["one host", "nothing", "no report", "alike", "two texts", "some have nothing", "many"],
)
def test_each_text_is_shown_once(subject: str, lines: dict[str, list[str] | None], shown: list[str]) -> None:
    note(subject, lines)
    assert reports.distinct(subject, list(lines)) == shown


def test_only_the_hosts_and_the_subject_that_are_named(subject: str) -> None:
    note(subject, {"a": ["one"], "b": ["two"]})
    note(subject + "2", {"b": ["three"]})
    assert reports.distinct(subject, ["b"]) == ["two"]


def test_what_an_earlier_task_reported_is_not_shown_again(subject: str) -> None:
    note(subject, {"a": ["one"], "b": ["one"]}, "preview")
    note(subject, {"a": ["two"]}, "second")
    assert reports.distinct(subject, ["a", "b"]) == ["a:", "  two"]


SECRET = "c4n4ry-Passw0rd"


def test_a_report_with_a_password_is_shown_and_is_in_no_file(subject: str) -> None:
    for host in ("a", "b"):
        reports.note(subject, "task", host, [f"password {SECRET}", ""], secret=True)
    reports.note(subject, "task", "c", [], secret=True)
    assert reports.distinct(subject, ["a", "b", "c"]) == ["a, b:", f"  password {SECRET}", ""]
    for path in shared.folder().iterdir():
        assert SECRET.encode() not in path.read_bytes(), path


def test_too_many_reports_with_passwords_are_refused(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_secret_texts", Memory(subject, 4096))
    with pytest.raises(OnboardingError, match="too many different reports with passwords"):
        reports.note(subject, "task", "a", ["x" * 4096], secret=True)


def test_a_report_that_knows_fewer_hosts_does_not_replace_one_that_knows_more(subject: str) -> None:
    # With the strategy `free`, the task of a host that began earlier can write its report last.
    found = [reports.is_overtaken(subject, checked) for checked in (1, 3, 2, 3, 4)]
    assert found == [False, False, True, False, False]
    assert not reports.is_overtaken(f"{subject} of another folder", 1)
