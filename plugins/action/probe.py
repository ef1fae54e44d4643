# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.probe_options import PROBES
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import render as _render

# A path would be expanded here, and ~ is of the host.
_GIVEN = {**PROBES, "options": {**PROBES["options"], "folder": {"type": "str", "required": True}}}


class ActionModule(OnboardingAction):
    """Take every app's probes from the catalogue, and run all of a host's in one call."""

    MODULE = "probe"
    ARGUMENTS = {
        "interpreters": {"type": "dict", "default": {}},
        "environment": {"type": "dict", "default": {}},
        "timeout": {"type": "float", "default": 60.0},
        "probes": _GIVEN,
        "withheld": {"type": "dict", "default": {}},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result."""
        probes = arguments["probes"]
        if probes is None:
            variables = self.variables(task_vars)
            apps, homes = self.placed(variables)
            probes = [
                {**_render.probe(app, framework), "folder": self.folder(app, homes), "user": app.user}
                for app in apps
                for framework in app.frameworks
            ]
        withheld = arguments.pop("withheld")
        tried = [probe for probe in probes if probe["app"] not in withheld]
        result = self.call({**arguments, "probes": tried}, task_vars)
        for probe in probes if "probes" in result else ():
            if probe["app"] in withheld:
                message = f"not tried, because the check says {withheld[probe['app']]}"
                facts = {"app": probe["app"], "framework": probe["framework"], "facts": {}}
                result["probes"].append({**facts, "verdict": "not_proved", "message": message})
                result["report"].append(f"{probe['app']}: {probe['framework']}: not proved: {message}")
        return result
