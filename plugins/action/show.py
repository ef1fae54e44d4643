# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.fleet import goes_host_by_host
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import reports, screen, shared


class ActionModule(OnboardingAction):
    """Display lines as they are, whatever callback prints the results."""

    OPTIONS = "show"
    _requires_connection = False

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return nothing that a callback would print again; the lines when nobody else prints them."""
        lines = self._lines(arguments, task_vars)
        if arguments["fail"]:
            # One line is the message; more are displayed, and the message is the same for programs.
            shown = len(lines) > 1 and screen.show(lines)
            message = f"The {len(lines)} lines above say what is wrong." if shown else "\n".join(lines)
            return {"changed": False, "failed": True, "msg": message}
        several = len(task_vars.get("ansible_play_hosts_all") or ()) > 1
        if lines and arguments["last"] and several and screen.keep_for_the_end(lines):
            return {"changed": False}
        if not lines or screen.show(lines):
            return {"changed": False}
        return {"changed": False, "msg": lines, "_ansible_verbose_always": True}

    def _lines(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> list[str]:
        host = str(task_vars["inventory_hostname"])
        by_itself = goes_host_by_host(self._task)
        batch = [str(name) for name in task_vars.get("ansible_play_batch") or [host]]
        if arguments["subject"] and not by_itself:
            return reports.distinct(arguments["subject"], batch)
        lines = reports.of_host(arguments["subject"], host) if arguments["subject"] else list(arguments["lines"])
        if not lines or arguments["fail"]:
            return lines
        if by_itself and self._task.run_once:
            # The strategy ignores run_once: what another host showed already is not shown again.
            _value, first = shared.once(f"shown {self._task._uuid} {shared.mark(chr(10).join(lines))}", lambda: True)
            if not first:
                return []
        names = task_vars.get("ansible_play_hosts_all") or [host]
        of_this_host = bool(arguments["subject"]) or not self._task.run_once
        return reports.under(host, lines) if len(names) > 1 and of_this_host else lines
