# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import Authority, bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._onboarding import ROOT_CRT


class ActionModule(OnboardingAction):
    """Verify every CA on the controller, and place all of a host's in one call."""

    ARGUMENTS = {"force": {"type": "bool", "default": False}}

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, and which authorities they hold."""
        variables = self.variables(task_vars)
        sources = self.sources(variables)
        apps = [app for app in self.apps(variables, sources) if app.source.ca is not None]
        loaded = {app.source.name: app.source.ca.load() for app in apps if app.source.ca is not None}
        homes = self.homes(tuple(apps))
        places: dict[tuple[str, str, str], dict[str, Authority]] = {}
        authorities = []
        for app in apps:
            folder = self.folder(app, homes)
            for destination in app.source.destinations:
                path = app.ca_path(folder, homes.get(app.user, ""), destination)
                found = places.setdefault((path, app.user, app.group), {})
                found.update({authority.fingerprint: authority for authority in loaded[app.source.name]})
        for (path, _user, _group), found in places.items():
            authorities += [
                {
                    "path": path,
                    "subject": authority.subject,
                    "fingerprint": authority.fingerprint,
                    "not_after": authority.not_after.isoformat(),
                }
                for authority in found.values()
            ]
        if not places:
            return {"changed": False, "files": [], "authorities": []}
        result = self.call(
            "files",
            {
                "files": [
                    {
                        "path": path,
                        "content": base64.b64encode(bundle(tuple(found.values()))).decode("ascii"),
                        "mode": "0644",
                        "user": user,
                        "group": group,
                    }
                    for (path, user, group), found in places.items()
                ],
                "force": arguments["force"],
            },
            task_vars,
        )
        created = [f["path"] for f in result.get("files", []) if f["action"] == "created"]
        notes = [
            f"{path} is new: from now on every PostgreSQL client of that user verifies the server's CA even with"
            " sslmode=require, for other databases too."
            for path in created
            if path.endswith("/" + ROOT_CRT)
        ]
        return {**result, "authorities": authorities, "notes": notes}
