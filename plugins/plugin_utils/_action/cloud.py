# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the actions of the Cloud API share: which clusters a host means, and doing a cluster's work once a run.

They run in the controller's own Python, whatever `become` or the connection of the host are.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import facts as _onboarding
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared


class CloudAction(OnboardingAction):
    """An action on clusters, by the API."""

    _requires_connection = False

    def settings(self, variables: Mapping[str, Any]) -> Settings:
        """Where the API is, and the key."""
        return Settings.of(variables)

    @staticmethod
    def clusters_of(variables: Mapping[str, Any], given: Any) -> list[str]:
        """The clusters that a host means: those given, else those of its connections; private end points left out."""
        if given:
            names = [given] if isinstance(given, str) else list(given)
            return list(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))
        found = _onboarding.clusters(variables).values()
        return list(dict.fromkeys(str(f["cluster"]) for f in found if f.get("endpoint") != "private"))

    def hosts(self, task_vars: Mapping[str, Any]) -> list[str]:
        """All hosts of the play, whatever `serial` makes of them."""
        return [str(host) for host in task_vars.get("ansible_play_hosts_all") or [task_vars["inventory_hostname"]]]

    def seen_by(
        self, host: str, names: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What another host of the play says: the variables of the data model, and those of `names`.

        What this task was given by the play, and not by its own host's inventory, holds for all hosts.
        """
        hostvars = task_vars["hostvars"]
        here = str(task_vars["inventory_hostname"])
        if host == here:
            return self.variables(task_vars), dict(names)
        there = hostvars[host]
        variables = {key: value for key, value in self.variables(task_vars).items() if key not in hostvars[here]}
        variables.update(self.variables(there))
        values = {name: value for name, value in names.items() if name not in hostvars[here]}
        values.update({name: self._templar.template(there[name]) for name in names if name in there})
        return variables, values

    def once(self, key: str, wanted: Any, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a piece of work unless it is the last thing that this run did there; its result, or its error again."""
        text = json.dumps(wanted, sort_keys=True, default=str)
        mark = hashlib.sha256(text.encode("utf-8")).hexdigest()
        with _shared.alone(key):
            known = _shared.get(key)
            if known is None or known["mark"] != mark:
                try:
                    known = {"mark": mark, "result": work()}
                except OnboardingError as exc:
                    known = {"mark": mark, "error": str(exc)}
                _shared.put(key, known)
                first = True
            else:
                first = False
        if "error" in known:
            raise OnboardingError(known["error"])
        result: dict[str, Any] = dict(known["result"])
        if not first:
            result.update(changed=False, done=[], repeated=True)
        return result
