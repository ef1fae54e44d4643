# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._connection import parse_url
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._onboarding import endpoint_facts


class ActionModule(OnboardingAction):
    """Split what was given into endpoints on the controller, and check all of a host's in one call."""

    ARGUMENTS = {
        "url": {"type": "str", "no_log": True},
        "ca_file": {"type": "str"},
        "timeout": {"type": "float", "default": 15.0},
        "fail": {"type": "bool", "default": True},
        "endpoints": {"type": "list", "elements": "dict"},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result, with a readable `report`."""
        if arguments["url"] is not None:
            endpoints = [self._given(arguments["url"], arguments["ca_file"])]
        elif arguments["endpoints"] is not None:
            endpoints = arguments["endpoints"]
        else:
            endpoints = self._inventory(task_vars)
        result = self.call(
            "check",
            {"endpoints": endpoints, "timeout": arguments["timeout"], "fail": arguments["fail"]},
            task_vars,
        )
        if "checks" in result:
            result["report"] = report(result["checks"])
        return result

    def _given(self, url: str, ca_file: str | None) -> dict[str, Any]:
        if not url.strip():
            raise OnboardingError("url is empty: is the variable that it was to come from set?")
        connection = parse_url(url)
        return endpoint_facts("url", connection, {"ca_file": ca_file or connection.sslrootcert})

    def _inventory(self, task_vars: dict[str, Any]) -> list[dict[str, Any]]:
        variables = self.variables(task_vars)
        apps = self.apps(variables, self.sources(variables))
        homes = self.homes(apps)
        endpoints = []
        for app in apps:
            source = app.source
            if self._task.check_mode and source.ca is not None:
                # The CA may not be on the host yet.
                ca = {"ca_text": bundle(source.authorities()).decode("ascii")}
            else:
                ca = {"ca_file": app.ca_path(self.folder(app, homes), homes.get(app.user, ""))}
            endpoints.append(endpoint_facts(f"{app.name}: {source.name}", source.connection, ca))
        return endpoints


def report(checks: list[dict[str, Any]]) -> list[str]:
    """The lines of a table, one row an endpoint, with cause and cure under each that failed."""
    stages = ("dns", "tcp", "tls", "route", "auth", "sql")
    width = max([len("endpoint"), *(len(check["name"]) for check in checks)])
    lines = [f"{'endpoint':<{width}}  " + "  ".join(f"{stage:>9}" for stage in stages) + "  verdict"]
    for check in checks:
        times = {stage["stage"]: stage for stage in check["stages"]}
        cells = []
        for name in stages:
            stage = times.get(name)
            cells.append(f"{'-' if stage is None else _cell(stage):>9}")
        lines.append(f"{check['name']:<{width}}  " + "  ".join(cells) + f"  {check['code']}")
        if not check["ok"]:
            lines += [f"{'':<{width}}  cause: {check['cause']}", f"{'':<{width}}  cure:  {check['cure']}"]
    return lines


def _cell(stage: dict[str, Any]) -> str:
    return f"{stage['milliseconds']:.1f} ms" if stage["ok"] else "FAILED"
