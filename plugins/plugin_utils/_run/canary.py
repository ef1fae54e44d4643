# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host of a run tries a login first; the rest wait, and do not send a password that was refused.

The service locks an address out after failed logins, and a fleet shares its address. What the run's tasks know of each
login lies in `_shared`, whatever `serial`, forks or the strategy are; of a password, only a digest under a key that
each run makes for itself.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

POLL_SECONDS = 0.2
# A canary that was killed does not come back: after its longest time, another host takes its place.
GRACE_SECONDS = 60.0

# Made in the main process when it imports this, and inherited by every task.
_RUN_KEY = secrets.token_bytes(32)


def login_of(endpoint: Mapping[str, Any]) -> str | None:
    """What the service counts failed logins by; None for an endpoint that has no password to send."""
    if not endpoint.get("password"):
        return None
    facts = [str(endpoint.get(key) or "") for key in ("host", "port", "user", "routing_id", "options")]
    facts[0] = facts[0].lower()
    return "login " + hashlib.sha256(json.dumps(facts).encode("utf-8")).hexdigest()


def mark_of(endpoint: Mapping[str, Any]) -> str:
    """What tells two passwords apart within this run, and nothing else."""
    password = str(endpoint.get("password") or "").encode("utf-8", "surrogateescape")
    return hmac.new(_RUN_KEY, password, "sha256").hexdigest()


@dataclass
class Turn:
    """What a host may do now. `tried`: logins that it may use, and has to settle; `free`: those that passed already.

    `refused`: login -> the host whose password was refused. `busy`: logins that another host tries now. `early`: those
    of the busy ones whose last canary ended before its login, so that all that comes before it need not wait.
    """

    tried: set[str] = field(default_factory=set)
    free: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)


def take_turn(logins: Mapping[str, str], host: str, task: str, seconds: float) -> Turn:
    """Take all logins that are unsettled, or none as long as another host tries one of them.

    `logins`: login -> the mark of its password. `seconds`: what the host needs at most, after which it counts as lost.
    """
    turn = Turn()
    with _shared.alone("canary"):
        unsettled = []
        for login, mark in logins.items():
            known = _shared.get(login) or {"state": "new"}
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
                _shared.put(login, {"state": "running", "until": until, "again": again})
                turn.tried.add(login)
    return turn


def settle(outcomes: Mapping[str, str], marks: Mapping[str, str], host: str, task: str) -> None:
    """Tell the other hosts what became of the logins: 'passed', 'refused', or 'open' where none was made."""
    with _shared.alone("canary"):
        for login, outcome in outcomes.items():
            if outcome == "refused":
                _shared.put(login, {"state": "refused", "host": host, "task": task, "mark": marks[login]})
            else:
                _shared.put(login, {"state": outcome})


def outcome(checks: Iterable[Mapping[str, Any]], refused_codes: Iterable[str]) -> str:
    """What the reports of one login say of it: 'passed', 'refused' or 'open'."""
    found = "open"
    for check in checks:
        passed = any(stage["stage"] == "auth" and stage["ok"] for stage in check["stages"])
        at_login = check["password_sent"] and check["evidence"].get("step") == "auth"
        if check["code"] in refused_codes or (at_login and not passed):
            return "refused"
        if passed:
            found = "passed"
    return found
