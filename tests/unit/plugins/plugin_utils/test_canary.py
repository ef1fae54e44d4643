# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may try a login, by what the run's hosts told each other; and what is typed where others see it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.action.check import _TYPED_PASSWORD
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import CATALOGUE, REFUSED_LOGINS
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import held as _held
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


@pytest.mark.parametrize(
    "token",
    [{"jwt": "a.b.c"}, {"jwt_file": "/run/token"}, {"jwt_command": ["/bin/get"]}],
    ids=lambda token: next(iter(token)),
)
def test_a_token_is_a_login_too(token: dict[str, Any]) -> None:
    one, other = {**ENDPOINT, "password": None, **token}, {**ENDPOINT, "password": None, "jwt_file": "/run/other"}
    assert _canary.login_of(one) == _canary.login_of(ENDPOINT)
    assert _canary.mark_of(one) != _canary.mark_of(other)
    assert "a.b.c" not in _canary.mark_of(one)


@pytest.mark.parametrize("password", [None, ""])
def test_no_password_is_no_login(password: str | None) -> None:
    assert _canary.login_of({**ENDPOINT, "password": password}) is None


def settle(login: str, outcome: _canary.Outcome, host: str, mark: str = "m", task: str = "t") -> None:
    _canary.settle({login: outcome}, {login: mark}, host, task)


PASSED = _canary.Outcome(_canary.PASSED)
OPEN = _canary.Outcome(_canary.OPEN)
REFUSED = _canary.Outcome(_canary.REFUSED, "password_rejected")
UNCLEAR = _canary.Outcome(_canary.UNCLEAR, "server_error")
FULL = _canary.Outcome(_canary.ACCIDENT, "too_many_connections", answered=True)
SILENT = _canary.Outcome(_canary.ACCIDENT, "server_hang_auth")


def test_the_memory_holds_no_password(login: str) -> None:
    mark = _canary.mark_of(ENDPOINT)
    assert mark != _canary.mark_of({**ENDPOINT, "password": "other"})
    take(login, "one", mark)
    settle(login, REFUSED, "one", mark)
    data = (shared.folder() / "values").read_bytes()
    assert login.encode() in data
    assert b"c4n4ry" not in data


def test_one_tries_and_the_others_wait(login: str) -> None:
    assert take(login, "one").tried == {login}
    assert take(login, "two").busy == {login}
    settle(login, PASSED, "one")
    assert take(login, "two").free == {login}


@pytest.mark.parametrize(
    ("outcome", "code", "own"), [(REFUSED, "canary_refused", "not_tried"), (UNCLEAR, "canary_failed", "canary_failed")]
)
def test_after_a_refusal_nobody_tries(login: str, outcome: _canary.Outcome, code: str, own: str) -> None:
    take(login, "one")
    settle(login, outcome, "one")
    held = _canary.Held(code, ("one",), outcome.code)
    assert take(login, "two").held == {login: held}
    assert take(login, "one").held == {login: held._replace(code=own)}
    assert take(login, "two", mark="other").held == {login: held}
    assert take(login, "two", task="later").held == {login: held}
    assert take(login, "two", mark="other", task="later").tried == {login}


def test_after_an_open_end_the_next_one_tries_and_the_others_look_ahead(login: str) -> None:
    take(login, "one")
    assert take(login, "two").early == set()
    settle(login, OPEN, "one")
    assert take(login, "two").tried == {login}
    assert take(login, "three").early == {login}


@pytest.mark.parametrize("outcome", [FULL, SILENT])
def test_after_an_accident_two_more_hosts_try_while_the_others_wait(login: str, outcome: _canary.Outcome) -> None:
    for host in ("one", "two", "three"):
        assert take(login, host).tried == {login}
        waiting = take(login, "four")
        assert (waiting.busy, waiting.early) == ({login}, set() if host == "one" else {login})
        settle(login, outcome, host)
    held = _canary.Held("canary_failed", ("one", "two", "three"), outcome.code)
    assert take(login, "four").held == {login: held}


def test_a_pass_after_an_accident_frees_all(login: str) -> None:
    take(login, "one")
    settle(login, SILENT, "one")
    assert take(login, "two").tried == {login}
    settle(login, PASSED, "two")
    assert take(login, "three").free == {login}
    assert take(login, "one").free == {login}


def test_a_refusal_after_an_accident_holds_all(login: str) -> None:
    take(login, "one")
    settle(login, SILENT, "one")
    take(login, "two")
    settle(login, REFUSED, "two")
    assert take(login, "three").held == {login: _canary.Held("canary_refused", ("two",), "password_rejected")}


def test_a_host_waits_on_for_a_server_that_answers_and_not_for_one_that_is_silent(login: str) -> None:
    for _round in range(20):
        assert take(login, "one").tried == {login}
        settle(login, FULL, "one")
    assert take(login, "two").tried == {login}
    settle(login, SILENT, "two")
    for _round in range(2):
        assert take(login, "one").held == {login: _canary.Held("canary_failed", ("one", "two"), "server_hang_auth")}


def test_a_later_task_begins_anew_after_an_accident(login: str) -> None:
    for host in ("one", "two", "three"):
        take(login, host)
        settle(login, FULL, host)
    assert take(login, "four", task="later").tried == {login}
    settle(login, FULL, "four", task="later")
    assert take(login, "five", task="later").tried == {login}


def test_a_lost_canary_is_replaced(login: str) -> None:
    assert take(login, "one", seconds=-_canary.GRACE_SECONDS - 1).tried == {login}
    assert take(login, "two").tried == {login}


def test_logins_are_taken_all_or_none(login: str) -> None:
    other = f"{login} too"
    take(login, "one")
    both = _canary.take_turn({login: "m", other: "m"}, "two", "t", 15.0)
    assert (both.tried, both.busy) == (set(), {login})
    assert take(other, "three").tried == {other}


def check(code: str, *, sent: bool, step: str, passed: bool, sqlstate: str = "") -> dict[str, Any]:
    stages = [{"stage": "auth", "ok": passed}]
    evidence = {"step": step, **({"sqlstate": sqlstate} if sqlstate else {})}
    return {"code": code, "password_sent": sent, "evidence": evidence, "stages": stages}


def login_failed_with(code: str, sqlstate: str) -> _canary.Outcome:
    return _held.outcome([check(code, sent=True, step="auth", passed=False, sqlstate=sqlstate)])


@pytest.mark.parametrize(
    ("checks", "kind"),
    [
        ([check("ok", sent=True, step="", passed=True)], "passed"),
        ([check("database_missing", sent=True, step="query", passed=True)], "passed"),
        ([check("password_rejected", sent=True, step="auth", passed=False)], "refused"),
        ([check("throttled", sent=False, step="startup", passed=False)], "refused"),
        ([check("server_hang_auth", sent=True, step="auth", passed=False)], "accident"),
        ([check("server_hang_auth", sent=False, step="auth", passed=False)], "open"),
        ([check("too_many_connections", sent=True, step="auth", passed=False, sqlstate="53300")], "accident"),
        ([check("too_many_connections", sent=False, step="startup", passed=False, sqlstate="53300")], "open"),
        ([check("tcp_timeout", sent=False, step="connect", passed=False)], "open"),
        ([check("not_in_allowlist", sent=False, step="startup", passed=False)], "open"),
        ([], "open"),
    ],
)
def test_what_a_report_says_of_a_login(checks: list[dict[str, Any]], kind: str) -> None:
    assert _held.outcome(checks).kind == kind


@pytest.mark.parametrize(
    ("code", "sqlstate", "kind", "answered"),
    [
        # What is, or can be, a wrong password.
        ("password_rejected", "28P01", "refused", False),
        ("login_refused", "28000", "refused", False),
        ("hba_refused", "28000", "refused", False),
        ("password_rejected", "XXUUU", "refused", False),
        ("server_error", "08P01", "unclear", False),
        ("server_error", "XX000", "unclear", False),
        ("server_error", "", "unclear", False),
        ("scram_malformed", "", "unclear", False),
        ("scram_iterations", "", "unclear", False),
        ("server_signature_invalid", "", "unclear", False),
        ("reply_malformed", "", "unclear", False),
        ("internal_error", "", "unclear", False),
        # What a server answers that has not judged the password.
        ("too_many_connections", "53300", "accident", True),
        ("server_error", "53200", "accident", True),
        ("server_stopping", "57P01", "accident", True),
        ("server_starting", "57P03", "accident", True),
        ("server_error", "58030", "accident", True),
        ("backend_unreachable", "08006", "accident", True),
        # No answer at all.
        ("server_hang_auth", "", "accident", False),
        ("closed_in_session", "", "accident", False),
        ("pooler_server_down", "08P01", "accident", True),
        ("pooler_password_rejected", "08P01", "refused", False),
        ("pooler_login_refused", "08P01", "refused", False),
        ("reply_truncated", "", "accident", False),
        ("network_lost", "", "accident", False),
    ],
)
def test_what_may_be_a_wrong_password(code: str, sqlstate: str, kind: str, answered: bool) -> None:
    assert code in CATALOGUE or code == "server_hang_auth"
    assert login_failed_with(code, sqlstate) == _canary.Outcome(kind, code, answered)


@pytest.mark.parametrize("code", REFUSED_LOGINS)
def test_every_refused_login_holds_the_others(code: str) -> None:
    assert login_failed_with(code, "").kind == "refused"


def test_the_report_of_a_host_that_did_not_try() -> None:
    facts = Facts.of(Endpoint.from_dict({**ENDPOINT, "name": "shop", "database": "d"}), 15.0)
    found = _held.check(_canary.Held("canary_failed", ("a", "b", "c"), "server_hang_auth"), facts, "d")
    assert found["code"] == "canary_failed"
    assert found["cause"] == (
        "The login of bob at db.test failed for a, b and c with server_hang_auth, so this host sent no password."
    )
    assert (found["evidence"]["tried_by"], found["evidence"]["verdict"]) == (["a", "b", "c"], "server_hang_auth")
    assert "refused" not in json.dumps(found)
    again = _held.check(_canary.Held("not_tried", ("a",), "password_rejected"), facts, "a")
    assert "for an earlier attempt of this run" in again["cause"]


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


@pytest.mark.parametrize(("waited", "pause"), [(0.0, 0.02), (1.0, 0.1), (60.0, 0.2)])
def test_a_wait_is_prolonged_by_a_tenth_at_most(waited: float, pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(_canary.orphan, "pause", pauses.append)
    monkeypatch.setattr(_canary.time, "monotonic", lambda: 100.0 + waited)
    _canary.pause(100.0)
    assert pauses == [pytest.approx(pause)]
