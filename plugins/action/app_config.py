# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils import _render
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import OnboardingAction


class ActionModule(OnboardingAction):
    """Render every framework of every app on the controller, and write all of a host's files in one call."""

    ARGUMENTS = {"force": {"type": "bool", "default": False}}

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, and the line that uses each framework's file."""
        variables = self.variables(task_vars)
        apps = self.apps(variables, self.sources(variables))
        homes = self.homes(apps)
        files = []
        usage = []
        secrets: set[str] = set()
        for app in apps:
            folder = self.folder(app, homes)
            ca_path = app.ca_path(folder, homes.get(app.user, ""))
            secrets.update(app.source.connection.secrets())
            files += [
                {
                    "path": file.path,
                    "content": base64.b64encode(file.content).decode("ascii"),
                    "mode": f"{file.mode:04o}",
                    "user": app.user,
                    "group": app.group,
                    "secret": file.secret,
                    "requires": list(file.requires),
                }
                for file in _render.render_app(app, folder, ca_path)
            ]
            usage += [
                {
                    "app": app.name,
                    "framework": f.name,
                    "file": str(PurePosixPath(folder, file.destination)),
                    "use": file.use,
                }
                for f in app.frameworks
                for file in f.files
            ]
        result = self.call(
            "files", {"files": files, "secrets": sorted(secrets), "force": arguments["force"]}, task_vars
        )
        return {**result, "usage": usage}
