# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check prints where nothing else reads its result: each cause once, and not in every form that it is kept in.

Ansible prints the result of a failed task as it is, and `ansible` that of every task. The whole result is printed with
`-v`. This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible import context
from ansible.errors import AnsibleConnectionFailure
from ansible.utils.display import Display
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import InvalidConnectionError
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import formats
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.fleet import Fleet, read_host
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import screen, shared

display = Display()
_KEPT = ("changed", "ok", "failed", "msg")


def run(task: Any, check: Callable[[], dict[str, Any]], task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a check, shortened where nobody reads it but a person.

    With the command `ansible`, the last host shows one report on all of them.
    """
    if display.verbosity or not screen.for_people() or _is_used(task):
        return check()
    if not context.CLIARGS.get("module_name"):
        return _short(check())
    host = str(task_vars["inventory_hostname"])
    try:
        result = check()
    except AnsibleConnectionFailure as exc:
        _note(host, {"unreachable": True, "msg": str(exc.message)}, task_vars)
        raise
    except (OnboardingError, InvalidConnectionError) as exc:
        _note(host, {"failed": True, "msg": str(exc)}, task_vars)
        raise
    _note(host, result, task_vars)
    if result.get("failed") and "checks" in result:
        codes = ", ".join(f"{check['name']}: {check['code']}" for check in result["checks"] if not check["ok"])
        result = {**result, "msg": f"{codes or 'A driver did not connect'}. The report names the cause and the cure."}
    return _short(result, always=True)


def _is_used(task: Any) -> bool:
    """Whether the play may read the result: it registers it, or a block goes on after a failure."""
    if task.register or context.CLIARGS.get("tree"):
        return True
    parent = task._parent
    while parent is not None:
        if getattr(parent, "rescue", None) or getattr(parent, "always", None):
            return True
        parent = parent._parent
    return False


def _short(result: dict[str, Any], *, always: bool = False) -> dict[str, Any]:
    """Of a result with checks only what a person reads; `always`: also where the task did not fail."""
    if "checks" not in result or not (always or result.get("failed")):
        return result
    return {key: result[key] for key in _KEPT if key in result}


def _note(host: str, result: Mapping[str, Any], task_vars: Mapping[str, Any]) -> None:
    """Keep a host's result for the report, which the last host of the command shows."""
    names = [str(name) for name in task_vars.get("ansible_play_hosts_all") or [host]]
    with shared.alone("ad hoc"):
        shared.put(f"ad hoc {host}", result)
        results = {name: shared.get(f"ad hoc {name}") for name in names}
    if all(results.values()):
        hosts = (read_host(name, found, found.get("drivers")) for name, found in results.items())
        screen.show(formats.text(Fleet(tuple(hosts), "")))
