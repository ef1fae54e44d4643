# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import (
    OnboardingAction,
    failed_files,
    file_changes,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import places as _ca_files


class ActionModule(OnboardingAction):
    """Verify every CA on the controller, and place all of a host's in one call, or take them away."""

    MODULE = "files"
    OPTIONS = "ca"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, and which authorities they hold."""
        inventory = self.inventory(arguments)
        common = {"purpose": _ca_files.PURPOSE, "force": arguments["force"]}
        if arguments["state"] == "absent":
            owned = {"apps": inventory.app_names, "users": inventory.users}
            result = self.call({**common, "state": "absent", **owned}, task_vars)
            return {"notes": [], "changes": file_changes(result), **result, "authorities": []}
        apps, homes = self.placed(inventory)
        folders = {app.name: self.folder(app, homes) for app in apps}
        places = _ca_files.places(apps, folders, homes)
        if not places:
            return {"changed": False, "files": [], "changes": [], "authorities": [], "notes": []}
        files = _ca_files.files(places, apps, folders, self.read, keep_previous=arguments["keep_previous"])
        result = self.call({**common, "files": files}, task_vars, secret=False)
        if result.get("failed"):
            return failed_files(result)
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
        return {
            **result,
            "changes": file_changes(result),
            "authorities": list(authorities.values()),
            "notes": notes,
        }
