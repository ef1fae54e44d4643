# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may try a login, by what the run's hosts told each other; and what is typed where others see it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.action.check import _TYPED_PASSWORD
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import REFUSED_LOGINS
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import canary as _canary
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared

ENDPOINT = {"host": "db.test", "port": 26257, "user": "bob", "password": "c4n4ry", "routing_id": "a-b-c-d-7"}
NUMBERS = itertools.count()


@pytest.fixture
def login() -> str:
    """A login that no other test has tried."""
    found = _canary.login_of({**ENDPOINT, "user": f"user{next(NUMBERS)}"})
    assert found is not None
    return found


def take(login: str, host: str, mark: str = "m", task: str = "t", seconds: float = 15.0) -> _canary.Turn:
    return _canary.take_turn({login: mark}, host, task, seconds)


@pytest.mark.parametrize(
    ("change", "same"),
    [({"host": "DB.Test"}, True), ({"password": "other"}, True), ({"database": "d"}, True), ({"ca_file": "/c"}, True),
     ({"port": 1}, False), ({"user": "eve"}, False), ({"routing_id": "x-7"}, False), ({"options": "-c a"}, False)],
)  # fmt: skip
def test_what_one_login_is(change: dict[str, Any], same: bool) -> None:
    assert (_canary.login_of({**ENDPOINT, **change}) == _canary.login_of(ENDPOINT)) is same


@pytest.mark.parametrize("password", [None, ""])
def test_no_password_is_no_login(password: str | None) -> None:
    assert _canary.login_of({**ENDPOINT, "password": password}) is None


def test_the_memory_holds_no_password(login: str) -> None:
    mark = _canary.mark_of(ENDPOINT)
    assert mark != _canary.mark_of({**ENDPOINT, "password": "other"})
    take(login, "one", mark)
    _canary.settle({login: "refused"}, {login: mark}, "one", "t")
    data = (shared.folder() / "values").read_bytes()
    assert login.encode() in data
    assert b"c4n4ry" not in data


def test_one_tries_and_the_others_wait(login: str) -> None:
    assert take(login, "one").tried == {login}
    assert take(login, "two").busy == {login}
    _canary.settle({login: "passed"}, {login: "m"}, "one", "t")
    assert take(login, "two").free == {login}


def test_after_a_refusal_nobody_tries(login: str) -> None:
    take(login, "one")
    _canary.settle({login: "refused"}, {login: "m"}, "one", "t")
    assert take(login, "two").refused == {login: "one"}
    assert take(login, "one").refused == {login: "one"}
    assert take(login, "two", mark="other").refused == {login: "one"}
    assert take(login, "two", task="later").refused == {login: "one"}
    assert take(login, "two", mark="other", task="later").tried == {login}


def test_after_an_open_end_the_next_one_tries_and_the_others_look_ahead(login: str) -> None:
    take(login, "one")
    assert take(login, "two").early == set()
    _canary.settle({login: "open"}, {login: "m"}, "one", "t")
    assert take(login, "two").tried == {login}
    assert take(login, "three").early == {login}


def test_a_lost_canary_is_replaced(login: str) -> None:
    assert take(login, "one", seconds=-_canary.GRACE_SECONDS - 1).tried == {login}
    assert take(login, "two").tried == {login}


def test_logins_are_taken_all_or_none(login: str) -> None:
    other = f"{login} too"
    take(login, "one")
    both = _canary.take_turn({login: "m", other: "m"}, "two", "t", 15.0)
    assert (both.tried, both.busy) == (set(), {login})
    assert take(other, "three").tried == {other}


def check(code: str, *, sent: bool, step: str, passed: bool) -> dict[str, Any]:
    stages = [{"stage": "auth", "ok": passed}]
    return {"code": code, "password_sent": sent, "evidence": {"step": step}, "stages": stages}


@pytest.mark.parametrize(
    ("checks", "outcome"),
    [
        ([check("ok", sent=True, step="", passed=True)], "passed"),
        ([check("database_missing", sent=True, step="query", passed=True)], "passed"),
        ([check("password_rejected", sent=True, step="auth", passed=False)], "refused"),
        ([check("throttled", sent=False, step="startup", passed=False)], "refused"),
        ([check("server_hang_auth", sent=True, step="auth", passed=False)], "refused"),
        ([check("tcp_timeout", sent=False, step="connect", passed=False)], "open"),
        ([check("not_in_allowlist", sent=False, step="startup", passed=False)], "open"),
        ([], "open"),
    ],
)
def test_what_a_report_says_of_a_login(checks: list[dict[str, Any]], outcome: str) -> None:
    assert _canary.outcome(checks, REFUSED_LOGINS) == outcome


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("url=postgresql://u:pw@h/d", True),
        ("url=jdbc:postgresql://h/d?user=u&password=pw", True),
        ("crdb_connection_password=pw", True),
        ('{"crdb_connections": {"a": {"password": "pw"}}}', True),
        ("url={{ lookup('env', 'DATABASE_URL') }}", False),
        ("url=postgresql://u:{{ pw }}@h/d", False),
        ("crdb_connection_password={{ lookup('env', 'PW') }}", False),
        ("url=postgresql://u@h/d", False),
        ("@vars.yml", False),
        ("crdb_sql_user_update_password=always", False),
        ("crdb_connection_show_password=true", False),
        ("crdb_app_password_place=inline", False),
    ],
)
def test_passwords_on_the_command_line(text: str, typed: bool) -> None:
    assert bool(_TYPED_PASSWORD.search(text)) is typed
