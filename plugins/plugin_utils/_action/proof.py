# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write files whose connections are proved first. One host of a run tries each login before the others.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.report import failure_text
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import held as _held
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import confirm as _confirm
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import canary as _canary
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import screen

if TYPE_CHECKING:
    from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
    from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory

WRITTEN = ("created", "changed", "mode", "removed", "restored")


def write(action: OnboardingAction, options: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
    """Call the module `files` with these options, among them `endpoints` and `timeout`.

    A host whose files do not change waits for nobody: nothing is proved there.
    """
    endpoints = options["endpoints"]
    host, task = str(task_vars.get("inventory_hostname", "")), str(action._task._uuid)
    # Not known before the host was asked: the apps whose connection has to be proved.
    unproved: set[str] | None = None
    start = time.monotonic()
    while True:
        mine = [e for e in endpoints if unproved is None or e["for_app"] in unproved]
        marks = {login: _canary.mark_of(entry) for entry in mine if (login := _canary.login_of(entry))}
        if action._task.check_mode or not marks:
            return action.call(dict(options), task_vars)
        turn = _canary.take_turn(marks, host, task, options["timeout"] * len(mine))
        if unproved is None and (turn.held or turn.early):
            _canary.settle(dict.fromkeys(turn.tried, _canary.Outcome(_canary.OPEN)), marks, host, task)
            result = action.call({**options, "hold": True}, task_vars)
            if "held" not in result:
                return result
            unproved = set(result["held"])
        elif turn.held:
            _canary.settle(dict.fromkeys(turn.tried, _canary.Outcome(_canary.OPEN)), marks, host, task)
            return _not_tried(mine, turn.held, host)
        elif turn.busy:
            _canary.pause(start)
        else:
            return _tried(action, options, turn, marks, task_vars)


def _tried(
    action: OnboardingAction,
    options: Mapping[str, Any],
    turn: _canary.Turn,
    marks: Mapping[str, str],
    task_vars: dict[str, Any],
) -> dict[str, Any]:
    """The result of the call that logs in; the other hosts are told what became of each login."""
    host, task = str(task_vars.get("inventory_hostname", "")), str(action._task._uuid)
    outcomes = dict.fromkeys(turn.tried, _canary.Outcome(_canary.OPEN))
    try:
        result = action.call(dict(options), task_vars)
        reports = {report["name"]: report for report in result.get("proofs", ())}
        for login in turn.tried | turn.free:
            names = [entry["name"] for entry in options["endpoints"] if _canary.login_of(entry) == login]
            outcome = _held.outcome([reports[name] for name in names if name in reports])
            if login in turn.tried or outcome.kind == _canary.REFUSED:
                outcomes[login] = outcome
    finally:
        _canary.settle(outcomes, marks, host, task)
    return result


def confirm(result: dict[str, Any], endpoints: Sequence[Mapping[str, Any]], inventory: HostInventory) -> None:
    """Add what the Cloud API knows about a connection that was not proved, where a key is given."""

    def public_address() -> str:
        raise OnboardingError("only the check asks for it: run playbooks/check.yml")

    if not result.get("failed") or not result.get("proofs") or not inventory.key_is_set:
        return
    by_name = {entry["name"]: entry for entry in endpoints}
    result["proofs"] = [
        _confirm.confirm(report, by_name[report["name"]], inventory.settings, public_address)
        if report["name"] in by_name and _confirm.concerns(report)
        else report
        for report in result["proofs"]
    ]
    result["msg"] = _message(result["proofs"])


def _message(reports: Sequence[Mapping[str, Any]]) -> str:
    return f"This task wrote no file, because with the new configuration {failure_text(reports)}"


def _not_tried(endpoints: Sequence[Mapping[str, Any]], held: Mapping[str, _canary.Held], host: str) -> dict[str, Any]:
    """The result for a host whose login failed before: it is not tried again."""
    reports = [
        _held.check(reason, _confirm.facts_of(entry), host)
        for entry in endpoints
        if (reason := held.get(_canary.login_of(entry) or ""))
    ]
    return {"failed": True, "changed": False, "msg": _message(reports), "proofs": reports, "files": []}


def shown(result: dict[str, Any], host: str) -> dict[str, Any]:
    """A failed result whose causes and cures are displayed as lines, where people read them."""
    failed = [report for report in result.get("proofs", ()) if not report["ok"]]
    lines = [f"{host} was not changed, because its connection with the new files is not proved:"]
    for report in failed:
        lines += [f"{report['name']}: {report['code']}", f"  cause: {report['cause']}", f"  cure:  {report['cure']}"]
    if not failed or not screen.show(lines):
        return result
    message = "This task wrote no file. The lines above name the cause and the cure."
    return {**{key: value for key, value in result.items() if key != "proofs"}, "msg": message}


def not_proved(result: dict[str, Any], apps: Collection[str], *, check_mode: bool) -> None:
    """Warn that files of these apps were put in place without a proof, in one line."""
    if apps and not check_mode:
        result.setdefault("warnings", []).append(
            f"not proved: {', '.join(sorted(apps))}: the files were put in place without a connection to the cluster,"
            " because prove is false. Check them with playbooks/check.yml once the cluster can be reached."
        )


def changed_apps(result: Mapping[str, Any]) -> list[str]:
    """The apps whose files a call of `files` wrote, or would write in check mode."""
    written = [file for file in result.get("files", ()) if file["action"] in WRITTEN]
    return sorted({name for file in written for name in file["apps"]})
