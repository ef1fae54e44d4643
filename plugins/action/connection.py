# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import Authority, load
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import Source


def _forms(source: Source, show_password: bool) -> dict[str, Any]:
    connection = source.connection
    shown = "encoded" if show_password else "masked"
    return {
        "deployment": connection.deployment,
        "routing": connection.effective_routing or "none",
        "general_connection_string": connection.url(password=shown),
        "parameters": connection.parameters_form(password=shown),
        "client": connection.client_command(),
    }


def _text(name: str, forms: dict[str, Any], place: str, ca: str) -> list[str]:
    parameters = forms["parameters"]
    width = max(len(key) for key in parameters)
    return [
        f"{name} ({forms['deployment'].replace('_', '-')}), from {place}",
        "  General connection string:",
        f"    {forms['general_connection_string']}",
        "  Parameters only:",
        *(f"    {key:<{width}}  {value}" for key, value in parameters.items()),
        f"  CockroachDB client{' (asks for the password)' if 'Password' in parameters else ''}:",
        f"    {forms['client']}",
        *([f"  CA: {ca}"] if ca else []),
    ]


def _common_name(authority: Authority) -> str:
    match = re.search(r"(?:^|,)CN=((?:[^,\\]|\\.)*)", authority.subject)
    return match.group(1) if match else authority.subject


def _app(app: App) -> dict[str, Any]:
    return {
        "name": app.name,
        "connection": app.source.name,
        "folder": app.folder,
        "user": app.user,
        "frameworks": [framework.name for framework in app.frameworks],
    }


class ActionModule(OnboardingAction):
    """Validate what was given, ask for what is missing, and show it: on the controller, nothing is changed."""

    _requires_connection = False

    OPTIONS = "connection"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the forms of every connection, and the apps."""
        inventory = self.inventory(arguments, ask=arguments["ask"])
        sources, apps = inventory.sources, inventory.apps
        authorities = {name: load(source.ca) for name, source in sources.items()}
        forms = {name: _forms(source, arguments["show_password"]) for name, source in sources.items()}
        report = [
            line
            for name, form in forms.items()
            for line in _text(name, form, inventory.place(name), ", ".join(map(_common_name, authorities[name])))
        ]
        self.reports("connection", report, task_vars, secret=arguments["show_password"])
        return {"changed": False, "connections": forms, "apps": [_app(app) for app in apps], "report": report}
