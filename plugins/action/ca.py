# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action import proof
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import (
    OnboardingAction,
    failed_files,
    file_changes,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import places as _ca_files
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App


class ActionModule(OnboardingAction):
    """Verify every CA on the controller, and place all of a host's in one call, or take them away."""

    MODULE = "files"
    OPTIONS = "ca"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, and which authorities they hold."""
        inventory = self.inventory(arguments)
        common = {"purpose": _ca_files.PURPOSE, "force": arguments["force"]}
        if arguments["state"] == "absent":
            owned = {
                "apps": inventory.app_names,
                "users": inventory.users,
                "folders": inventory.unnamed_folders,
                "renamed": inventory.renamed,
            }
            result = self.call({**common, "state": "absent", **owned}, task_vars)
            return {"notes": [], "changes": file_changes(result), **result, "authorities": []}
        apps, homes = self.placed(inventory)
        folders = {app.name: self.folder(app, homes) for app in apps}
        places = _ca_files.places(apps, folders, homes)
        if not places:
            return {"changed": False, "files": [], "changes": [], "authorities": [], "notes": []}
        files = _ca_files.files(places, apps, folders, self.read, keep_previous=arguments["keep_previous"])
        endpoints = [self._endpoint(app, folders, homes) for app in apps if app.source.ca is not None]
        options = {
            "files": files,
            "renamed": inventory.renamed,
            "endpoints": endpoints if arguments["prove"] else [],
            "timeout": arguments["timeout"],
        }
        result = self.call({**common, **options}, task_vars, secret=False)
        if result.get("failed"):
            return proof.shown(failed_files(result), str(task_vars["inventory_hostname"]))
        if not arguments["prove"]:
            proof.not_proved(result, proof.changed_apps(result), check_mode=self._task.check_mode)
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

    def _endpoint(self, app: App, folders: dict[str, str], homes: dict[str, str]) -> dict[str, Any]:
        """What proves the CA of an app: the server's certificate, before anything about the login is sent."""
        facts = self.endpoint(app, {"ca_file": app.ca_path(folders[app.name], homes.get(app.user, ""))})
        # They are for the login, and may not be on the host yet.
        return {**facts, "password": None, "sslcert": None, "sslkey": None, "tls_only": True}
