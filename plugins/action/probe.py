# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action import drivers
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.projects import Projects


class ActionModule(OnboardingAction):
    """Take every app's probes from the catalogue, and run all of a host's in one call."""

    MODULE = drivers.WORKER
    OPTIONS = "probe"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the probes."""
        inventory = self.inventory(arguments)

        def prove(looked_at: list[dict[str, Any]]) -> dict[str, Any]:
            apps, homes = self.placed(inventory)
            options = {**arguments, "probe_timeout": arguments["timeout"], "projects": looked_at}
            return drivers.prove(self, apps, homes, options, arguments["withheld"], task_vars)

        return Projects(self, inventory, task_vars).call(prove)
