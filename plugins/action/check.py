# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._connection import Connection, parse_url
from ansible_collections.crdb.onboard.plugins.plugin_utils import _report_formats
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError


def _endpoint(name: str, connection: Connection, ca: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "deployment": connection.deployment,
        "host": connection.host,
        "port": connection.port,
        "database": connection.startup_database,
        "options": connection.startup_options,
        "user": connection.user,
        "password": connection.password,
        "routing_id": connection.routing_id,
        "sslcert": connection.sslcert,
        "sslkey": connection.sslkey,
        **ca,
    }


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
            result["report"] = _report_formats.of_host(task_vars["inventory_hostname"], result)
        return result

    def _given(self, url: str, ca_file: str | None) -> dict[str, Any]:
        if not url.strip():
            raise OnboardingError("url is empty: is the variable that it was to come from set?")
        connection = parse_url(url)
        return _endpoint("url", connection, {"ca_file": ca_file or connection.sslrootcert})

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
            endpoints.append(_endpoint(f"{app.name}: {source.name}", source.connection, ca))
        return endpoints
