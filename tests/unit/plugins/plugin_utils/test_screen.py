# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run displays besides results: lines for people, none for programs, and that a long step goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import screen, shared


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is displayed. `event` in the module is set with each text."""
    texts: list[str] = []

    def display(text: str, **_options: Any) -> None:
        texts.append(text)
        came.set()

    came.clear()
    monkeypatch.setattr(screen.display, "display", display)
    monkeypatch.setattr(shared, "folder", lambda: tmp_path)
    return texts


came = threading.Event()


def test_lines_are_displayed_as_one_text_without_the_empty_ones_around_them(shown: list[str]) -> None:
    assert screen.show(["", "one", "", "  two", ""])
    assert shown == ["one\n\n  two"]


def test_without_lines_nothing_is_displayed(shown: list[str]) -> None:
    assert not screen.show([])
    assert not screen.show([""])
    assert shown == []


def test_lines_for_the_end_wait_only_where_something_shows_them(
    shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, Any] = {}
    monkeypatch.setattr(shared, "put", kept.__setitem__)
    monkeypatch.setattr(shared, "get", kept.get)
    screen.show_last()
    monkeypatch.setattr(constants, "CALLBACKS_ENABLED", ["crdb.onboard.lean_workers"])
    assert not screen.keep_for_the_end(["one"])
    monkeypatch.setattr(constants, "CALLBACKS_ENABLED", ["crdb.onboard.lean_workers", "crdb.onboard.report_last"])
    assert screen.keep_for_the_end(["one"])
    assert screen.keep_for_the_end(["two"])
    assert shown == []
    screen.show_last()
    assert shown == ["two"]
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", "json")
    assert not screen.keep_for_the_end(["one"])


@pytest.mark.parametrize("callback", ["ansible.posix.json", "ansible.posix.jsonl", "json", "community.general.null"])
def test_output_that_programs_read_gets_no_more_lines(
    callback: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", callback)
    assert not screen.show(["one"])
    with screen.progress("step"):
        pass
    assert shown == []


@pytest.mark.parametrize("callback", ["default", "ansible.builtin.minimal", "oneline", "community.general.unixy"])
def test_people_get_the_lines_of_any_other_callback(
    callback: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", callback)
    assert screen.show(["one"])
    assert shown == ["one"]


def test_a_long_step_is_said_to_go_on(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "EVERY_SECONDS", 0.01)
    with screen.progress("web1: Check the connection"):
        assert came.wait(60)
    assert shown[0] == "... web1: Check the connection: still running after 0 s"


def test_a_short_step_shows_nothing(shown: list[str]) -> None:
    with screen.progress("step"):
        pass
    assert shown == []


def test_hosts_that_take_long_at_the_same_time_share_a_line(shown: list[str]) -> None:
    assert screen._is_due()
    assert not screen._is_due()


def test_nothing_is_shown_over_a_prompt(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "EVERY_SECONDS", 0.001)
    asked = threading.Event()

    def is_due() -> bool:
        asked.set()
        return True

    monkeypatch.setattr(screen, "_is_due", is_due)
    with screen.at_prompt(), screen.progress("step"):
        assert not asked.wait(0.1)
    assert shown == []


def test_a_failed_result_has_no_position_in_our_files() -> None:
    error = screen.ShownOnceError("wrong", result={"failed": True, "msg": "wrong"})
    assert error.result_contribution == {"failed": True, "msg": "wrong"}
    assert error.omit_exception_key
    assert not error.omit_failed_key
    assert screen.ShownOnceError("away", result={"unreachable": True, "msg": "away"}).omit_failed_key


def test_characters_that_steer_a_terminal_are_shown_as_escapes(shown: list[str]) -> None:
    assert screen.show(["red \x1b[31m", "title \x1b]0;owned\x07", "turned \u202e, two\tcolumns"])
    assert shown == ["red \\x1b[31m\ntitle \\x1b]0;owned\\x07\nturned \\u202e, two\tcolumns"]
