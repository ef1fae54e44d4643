# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host of a run tries each login first. The other hosts wait, and do not send a password that was refused.

The service locks an address out after failed logins, and the hosts of a fleet often share an address. A login that
failed for another reason than the credentials is tried by a few more hosts: one host's accident is no other's verdict.
`shared` keeps the state of each login, so it holds for all batches and strategies. Of a password, it keeps only a keyed
digest.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan, shared

# Seconds between two looks at a login that another host tries.
_SHORTEST_POLL = 0.02
_LONGEST_POLL = 0.2
# When a canary was killed, another host takes its place after the time that the canary could have needed.
GRACE_SECONDS = 60.0
# After this many hosts failed to log in, for whatever reason, the other hosts do not try.
MAX_HOSTS = 3

PASSED, REFUSED, UNCLEAR, ACCIDENT, OPEN = "passed", "refused", "unclear", "accident", "open"
# The connection ended after the password was sent, and the server gave no answer.
_NO_ANSWER = ("server_hang_auth", "closed_in_session", "reply_truncated", "network_lost")


_SECRETS = ("password", "jwt", "jwt_file", "jwt_command")


class Outcome(NamedTuple):
    """What became of a login.

    `kind`: PASSED; REFUSED, by the server; UNCLEAR, where it may have been; ACCIDENT, where the server gave another
    reason or no answer; OPEN, where no password was sent. `code`: the check's. `answered`: whether the server gave the
    reason of an ACCIDENT, so that the same host may try again.
    """

    kind: str
    code: str = ""
    answered: bool = False


class Held(NamedTuple):
    """Why a host does not try a login. `hosts`: those that tried, `verdict`: the code of the last one's check."""

    code: str
    hosts: tuple[str, ...]
    verdict: str


def pause(since: float) -> None:
    """Wait before the next look at a busy login: a tenth of the time since `since`, of `time.monotonic`.

    Raises RunGoneError.
    """
    orphan.pause(min(max((time.monotonic() - since) / 10, _SHORTEST_POLL), _LONGEST_POLL))


def login_of(endpoint: Mapping[str, Any]) -> str | None:
    """The key by which the service counts failed logins; None for an endpoint without a password and a token."""
    if not any(endpoint.get(key) for key in _SECRETS):
        return None
    facts = [str(endpoint.get(key) or "") for key in ("host", "port", "user", "routing_id", "options")]
    facts[0] = facts[0].lower()
    return "login " + hashlib.sha256(json.dumps(facts).encode("utf-8")).hexdigest()


def mark_of(endpoint: Mapping[str, Any]) -> str:
    """A digest that tells two passwords, or two sources of tokens, apart within this run."""
    return shared.mark(next((str(endpoint[key]) for key in _SECRETS if endpoint.get(key)), ""))


@dataclass
class Turn:
    """What a host may do now.

    `tried`: logins that this host tries, and must settle. `free`: logins that passed already. `held`: logins that this
    host must not try. `busy`: logins that another host tries now.
    `early`: busy logins whose last canary failed. Their stages before the login can be checked meanwhile.
    """

    tried: set[str] = field(default_factory=set)
    free: set[str] = field(default_factory=set)
    held: dict[str, Held] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)


def take_turn(logins: Mapping[str, str], host: str, task: str, seconds: float) -> Turn:
    """Take all unsettled logins, or none while another host tries one of them.

    `logins`: login -> the mark of its password. `seconds`: the longest time the host needs; then it counts as lost.
    """
    turn = Turn()
    with shared.alone("canary"):
        unsettled = []
        for login, mark in logins.items():
            known = shared.get(login) or {"state": "new"}
            if known["state"] == "running" and known["until"] > time.time():
                turn.busy.add(login)
                if known["again"]:
                    turn.early.add(login)
            elif known["state"] == PASSED:
                turn.free.add(login)
            elif reason := holds(known, mark, host, task):
                turn.held[login] = reason
            else:
                unsettled.append((login, known))
        if not turn.busy:
            for login, known in unsettled:
                until = time.time() + seconds + GRACE_SECONDS
                again = known["state"] not in ("new", REFUSED, UNCLEAR)
                value = {"state": "running", "until": until, "again": again, "task": task}
                shared.put(login, {**_failures(known, task), **value})
                turn.tried.add(login)
    return turn


def holds(known: Mapping[str, Any], mark: str, host: str, task: str) -> Held | None:
    """Why a login in this state must not be tried by this host, or None. Pure.

    A later task may try another password, and may try again after an accident.
    """
    state = known["state"]
    if state in (REFUSED, UNCLEAR) and (known["mark"] == mark or known["task"] == task):
        tried_by = (str(known["host"]),)
        own = "not_tried" if tried_by == (host,) else "canary_refused"
        return Held(own if state == REFUSED else "canary_failed", tried_by, str(known["code"]))
    if failures := _failures(known, task):
        hosts = tuple(map(str, failures["hosts"]))
        # A host may wait on for a server that gave a reason. One that was silent may have refused the password.
        may_repeat = host in hosts and failures["answered"]
        tries = len(hosts) if failures["answered"] else failures["tries"]
        if tries >= MAX_HOSTS and not may_repeat:
            return Held("canary_failed", hosts, str(failures["code"]))
    return None


def _failures(known: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The accidents of a login in this task; empty without any."""
    if known.get("task") != task or not known.get("hosts"):
        return {}
    return {key: known[key] for key in ("hosts", "tries", "answered", "code")}


def settle(outcomes: Mapping[str, Outcome], marks: Mapping[str, str], host: str, task: str) -> None:
    """Tell the other hosts the outcome of each login."""
    with shared.alone("canary"):
        for login, (kind, code, answered) in outcomes.items():
            value: dict[str, Any] = {"state": kind, "task": task}
            failures = _failures(shared.get(login) or {}, task)
            if kind in (REFUSED, UNCLEAR):
                value.update(host=host, mark=marks[login], code=code)
            elif kind == ACCIDENT:
                value.update(
                    hosts=list(dict.fromkeys([*failures.get("hosts", ()), host])),
                    tries=failures.get("tries", 0) + 1,
                    answered=answered and failures.get("answered", True),
                    code=code,
                )
            elif kind == OPEN:
                value.update(failures)
            shared.put(login, value)


def outcome(
    checks: Iterable[Mapping[str, Any]], refused_codes: Collection[str], is_no_refusal: Callable[[str, str], bool]
) -> Outcome:
    """What became of one login, by its reports. Pure.

    `refused_codes`: the check's codes for refused credentials. `is_no_refusal`: whether a code and a SQLSTATE are the
    server's reason of another kind.
    """
    passed_before = False
    for check in checks:
        passed = any(stage["stage"] == "auth" and stage["ok"] for stage in check["stages"])
        if check["code"] in refused_codes:
            return Outcome(REFUSED, check["code"])
        if check["password_sent"] and check["evidence"].get("step") == "auth" and not passed:
            code, sqlstate = str(check["code"]), str(check["evidence"].get("sqlstate", ""))
            return failed_login(code, sqlstate, other_reason=is_no_refusal(code, sqlstate))
        passed_before = passed_before or passed
    return Outcome(PASSED if passed_before else OPEN)


def failed_login(code: str, sqlstate: str, *, other_reason: bool) -> Outcome:
    """What became of a login that failed after the password was sent, by the check's code and the server's. Pure.

    Only what may be a wrong password keeps the other hosts from trying.
    """
    if sqlstate.startswith("28"):
        return Outcome(REFUSED, code)
    if other_reason:
        return Outcome(ACCIDENT, code, answered=True)
    if code in _NO_ANSWER and not sqlstate:
        return Outcome(ACCIDENT, code)
    return Outcome(UNCLEAR, code)
