# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import places as _ca_files


class ActionModule(OnboardingAction):
    """Verify every CA on the controller, and place all of a host's in one call, or take them away."""

    MODULE = "files"
    ARGUMENTS = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "keep_previous": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, and which authorities they hold."""
        variables = self.variables(task_vars)
        common = {"purpose": _ca_files.PURPOSE, "force": arguments["force"]}
        if arguments["state"] == "absent":
            result = self.call({**common, "state": "absent", **self.names(variables)}, task_vars)
            return {"notes": [], **result, "authorities": []}
        apps, homes = self.placed(variables)
        folders = {app.name: self.folder(app, homes) for app in apps}
        places = _ca_files.places(apps, folders, homes)
        if not places:
            return {"changed": False, "files": [], "authorities": [], "notes": []}
        files = _ca_files.files(places, apps, folders, self.read, keep_previous=arguments["keep_previous"])
        result = self.call({**common, "files": files}, task_vars)
        authorities = {
            (place.path, place.user, authority.fingerprint): {
                "path": place.path,
                "subject": authority.subject,
                "fingerprint": authority.fingerprint,
                "not_after": authority.not_after.isoformat(),
            }
            for place in places
            for authority in place.authorities
        }
        notes = _ca_files.notes(places, result.get("files", []))
        self.reports("ca", notes, task_vars)
        return {**result, "authorities": list(authorities.values()), "notes": notes}
