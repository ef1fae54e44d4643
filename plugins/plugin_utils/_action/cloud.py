# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the actions of the Cloud API share: the clusters that a host asks for, and doing a cluster's work once a run.

They run in the controller's own Python, whatever `become` or the connection of the host are.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action import options
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.fleet import FleetOptions
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared


class CloudAction(OnboardingAction):
    """An action on clusters, by the API."""

    _requires_connection = False

    @staticmethod
    def clusters_of(values: Mapping[str, Any]) -> list[str]:
        """The clusters of `clusters`, else those that `connections` name; private endpoints are left out of these."""
        names = list(values.get("clusters") or [])
        if not names:
            by_connection = connections.clusters(values.get("connections")).values()
            names = [facts["cluster"] for facts in by_connection if facts.get("endpoint") != "private"]
        return list(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))

    def fleet(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> FleetOptions:
        """The options of this task by host."""
        return FleetOptions(self._task, self._templar, arguments, task_vars, options.documented(self.OPTIONS))

    def once(self, key: str, inputs: Any, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a piece of work unless it was the last thing that this run did there; its result, or its error again.

        `inputs` is what the work depends on. A result that was there already has `repeated`, and is not changed.
        """
        text = json.dumps(inputs, sort_keys=True, default=str)
        mark = shared.mark(text)
        with shared.alone(key):
            outcome = shared.get(key)
            first = outcome is None or outcome["mark"] != mark
            if first:
                try:
                    outcome = {"mark": mark, "result": work()}
                except OnboardingError as exc:
                    outcome = {"mark": mark, "error": str(exc)}
                shared.put(key, outcome)
        if "error" in outcome:
            raise OnboardingError(outcome["error"])
        result: dict[str, Any] = dict(outcome["result"])
        if not first:
            result.update(changed=False, done=[], repeated=True)
        return result
