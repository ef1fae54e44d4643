# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils import _render
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._onboarding import (
    SERVICE_FILE,
    TRUST_STORE,
    TRUST_STORE_ARGUMENTS,
    App,
)

# The main process imports this before it forks one process a host.
_render.compile_all()


def _trust(app: App, folder: str, ca_path: str) -> list[dict[str, str]]:
    held = "; ".join(f"{a.subject}, until {a.not_after:%Y-%m-%d}" for a in app.source.authorities())
    rows = []
    for framework in app.frameworks:
        found = app.ca_found_by(framework)
        elsewhere = found == "own_roots" or (found == "trust_store" and not app.trust_store)
        path = str(PurePosixPath(folder, TRUST_STORE)) if found == "trust_store" else ca_path
        where = "the JVM's trust store" if found == "trust_store" else "its own roots"
        rows.append(
            {
                "app": app.name,
                "framework": framework.title,
                "ca": where if elsewhere else path,
                "authorities": "the public ones" if elsewhere else held or "what that file holds",
            }
        )
    return rows


def _usage(app: App, folder: str) -> list[dict[str, str]]:
    files = [(f.name, file.destination, file.use) for f in app.frameworks for file in f.files]
    if app.trust_store:
        files.append(("trust store", TRUST_STORE_ARGUMENTS, f"java @{TRUST_STORE_ARGUMENTS}"))
    return [
        {"app": app.name, "framework": name, "file": str(PurePosixPath(folder, path)), "use": use}
        for name, path, use in files
    ]


def _entry(app: App, file: _render.RenderedFile, group: str) -> dict[str, Any]:
    return {
        "path": file.path,
        "content": base64.b64encode(file.content).decode("ascii"),
        "format": file.format,
        "mode": f"{file.mode:04o}",
        "user": app.user,
        "group": group,
        "secret": file.secret,
        "requires": list(file.requires),
        "trusts": list(file.trusts),
        "apps": [app.name],
    }


class ActionModule(OnboardingAction):
    """Render every framework of every app on the controller, and write all of a host's files in one call."""

    ARGUMENTS = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "force": {"type": "bool", "default": False},
        "samples": {"type": "bool", "default": False},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, the line that uses each, and what each framework trusts."""
        variables = self.variables(task_vars)
        common = {"purpose": "app_config", "force": arguments["force"]}
        if arguments["state"] == "absent":
            result = self.call("files", {**common, "state": "absent", **self.names(variables)}, task_vars)
            return {**result, "usage": [], "trust": [], "environment_files": []}
        variables.setdefault("crdb_app_samples", arguments["samples"])
        apps = self.apps(variables, self.sources(variables))
        homes = self.homes(apps)
        files: list[dict[str, Any]] = []
        usage: list[dict[str, str]] = []
        trust: list[dict[str, str]] = []
        secrets: set[str] = set()
        for app in apps:
            folder = self.folder(app, homes)
            ca_path = app.ca_path(folder, homes.get(app.user, ""))
            secrets.update(_render.secret_forms(app.source.connection))
            trust += _trust(app, folder, ca_path)
            files += [_entry(app, file, app.group) for file in _render.render_app(app, folder, ca_path)]
            # The home's files have the group of their user, whatever the app's is.
            files += [_entry(app, file, "") for file in _render.render_psql(app, homes.get(app.user, ""), ca_path)]
            usage += _usage(app, folder)
            if app.psql_service:
                path = str(PurePosixPath(homes[app.user], SERVICE_FILE))
                usage.append(
                    {"app": app.name, "framework": "psql", "file": path, "use": f"psql service={app.psql_service}"}
                )
        result = self.call("files", {**common, "files": files, "secrets": sorted(secrets)}, task_vars)
        environment_files = [file["path"] for file in files if file["format"] == "dotenv"]
        return {**result, "usage": usage, "trust": trust, "environment_files": environment_files}
