# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof by the frameworks' own drivers, which the actions `probe` and `check` share.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import templates

WORKER = "driver_probe"
"""The module that runs probes on a host."""


def _name_packages(result: Mapping[str, Any], apps: Sequence[App]) -> None:
    """Add the line that installs a driver where it is not on the host."""
    lines = {(app.name, f.name): templates.install_line(f) for app in apps for f in app.frameworks}
    for number, report in enumerate(result.get("probes", ())):
        line = lines.get((report["app"], report["framework"]), "")
        if report.pop("missing", False) and line:
            hint = f". Install what is missing: {line}"
            report["message"] = report["message"].removesuffix("; to add it:").rstrip(".") + hint
            result["report"][number] = result["report"][number].removesuffix("; to add it:").rstrip(".") + hint


def prove(
    action: OnboardingAction,
    apps: Sequence[App],
    homes: Mapping[str, str],
    arguments: Mapping[str, Any],
    withheld: Mapping[str, str],
    task_vars: dict[str, Any],
) -> dict[str, Any]:
    """Run every app's probes in one call on the host, but those of the apps that are withheld, and return its result.

    `arguments` has `interpreters` and `environment`, and `probe_timeout` in seconds; `withheld` has codes by app.
    """
    probes = [
        {**probe, "folder": action.folder(app, homes), "user": app.user}
        for app in apps
        for probe in templates.probes(app)
    ]
    options = {name: arguments[name] for name in ("interpreters", "environment")}
    options["timeout"] = arguments["probe_timeout"]
    options["projects"] = arguments.get("projects", [])
    tried = [probe for probe in probes if probe["app"] not in withheld]
    result = action.call({**options, "probes": tried}, task_vars, module=WORKER)
    if "projects" not in result:
        _name_packages(result, apps)
    for probe in probes if "probes" in result and "projects" not in result else ():
        if probe["app"] in withheld:
            message = f"not tried, because the check reports {withheld[probe['app']]}"
            facts = {"app": probe["app"], "framework": probe["framework"], "facts": {}}
            result["probes"].append({**facts, "verdict": "not_proved", "message": message})
            result["report"].append(f"{probe['app']}: {probe['framework']}: not proved: {message}")
    return result
