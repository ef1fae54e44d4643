# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.fleet import goes_host_by_host
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import rollout as _rollout


class ActionModule(OnboardingAction):
    """Say how far the play has come, from what its tasks noted."""

    OPTIONS = "rollout"
    _requires_connection = False

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the outcome of every host of the play."""
        rollout = _rollout.Rollout(self._task)
        names = [str(host) for host in task_vars.get("ansible_play_hosts_all", ())]
        noted = {host: rollout.noted(host) for host in names}
        hosts = {host: _rollout.outcome(facts) for host, facts in noted.items()}
        alive = task_vars.get("ansible_play_hosts") or ()
        running = [host for host in alive if not _rollout.is_done(noted.get(str(host)))]
        shown = hosts
        if goes_host_by_host(self._task) and running:
            # What the others became is not known yet: the last one reports on all.
            shown = {host: outcome for host, outcome in hosts.items() if host == str(task_vars["inventory_hostname"])}
        return {
            "changed": False,
            "hosts": {host: {"outcome": outcome, "detail": detail} for host, (outcome, detail) in hosts.items()},
            "report": _rollout.report(shown, check=bool(self._task.check_mode)),
        }
