# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host of a run tries each login first. The other hosts wait, and do not send a password that was refused.

The service locks an address out after failed logins, and the hosts of a fleet often share an address. `shared` keeps
the state of each login, so it holds for all batches and strategies. Of a password, it keeps only a keyed digest.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared

POLL_SECONDS = 0.2
# When a canary was killed, another host takes its place after the time that the canary could have needed.
GRACE_SECONDS = 60.0


def login_of(endpoint: Mapping[str, Any]) -> str | None:
    """The key by which the service counts failed logins; None for an endpoint without a password."""
    if not endpoint.get("password"):
        return None
    facts = [str(endpoint.get(key) or "") for key in ("host", "port", "user", "routing_id", "options")]
    facts[0] = facts[0].lower()
    return "login " + hashlib.sha256(json.dumps(facts).encode("utf-8")).hexdigest()


def mark_of(endpoint: Mapping[str, Any]) -> str:
    """A digest that tells two passwords apart within this run."""
    return shared.mark(str(endpoint.get("password") or ""))


@dataclass
class Turn:
    """What a host may do now.

    `tried`: logins that this host tries, and must settle. `free`: logins that passed already.
    `refused`: login -> the host whose password was refused. `busy`: logins that another host tries now.
    `early`: busy logins whose last canary failed before it logged in. Their earlier stages can be checked meanwhile.
    """

    tried: set[str] = field(default_factory=set)
    free: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
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
            elif known["state"] == "passed":
                turn.free.add(login)
            elif known["state"] == "refused" and (known["mark"] == mark or known["task"] == task):
                turn.refused[login] = known["host"]
            else:
                unsettled.append((login, known["state"] not in ("new", "refused")))
        if not turn.busy:
            for login, again in unsettled:
                until = time.time() + seconds + GRACE_SECONDS
                shared.put(login, {"state": "running", "until": until, "again": again})
                turn.tried.add(login)
    return turn


def settle(outcomes: Mapping[str, str], marks: Mapping[str, str], host: str, task: str) -> None:
    """Tell the other hosts the outcome of each login: 'passed', 'refused', or 'open' when no login was made."""
    with shared.alone("canary"):
        for login, outcome in outcomes.items():
            if outcome == "refused":
                shared.put(login, {"state": "refused", "host": host, "task": task, "mark": marks[login]})
            else:
                shared.put(login, {"state": outcome})


def outcome(checks: Iterable[Mapping[str, Any]], refused_codes: Iterable[str]) -> str:
    """The outcome of one login, by its reports: 'passed', 'refused' or 'open'."""
    passed_before = False
    for check in checks:
        passed = any(stage["stage"] == "auth" and stage["ok"] for stage in check["stages"])
        at_login = check["password_sent"] and check["evidence"].get("step") == "auth"
        if check["code"] in refused_codes or (at_login and not passed):
            return "refused"
        if passed:
            passed_before = True
    return "passed" if passed_before else "open"
