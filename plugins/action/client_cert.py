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
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.certificates import WORKER, HostCertificates
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import bundle, load
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.pairs import PURPOSE
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import call as transport

transport.prepare(WORKER)


class ActionModule(OnboardingAction):
    """Issue the client certificates of a host's apps where they are missing or due, or take them away."""

    MODULE = "files"
    OPTIONS = "client_cert"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each certificate."""
        inventory = self.inventory(arguments)
        common = {"purpose": PURPOSE}
        if arguments["state"] == "absent":
            owned = {
                "apps": inventory.app_names,
                "users": inventory.users,
                "folders": inventory.unnamed_folders,
                "renamed": inventory.renamed,
            }
            result = self.call({**common, "state": "absent", **owned}, task_vars)
            return {"notes": [], "changes": file_changes(result), **result, "certificates": []}
        apps, homes = self.placed(inventory)
        if arguments["state"] == "read":
            return {"changed": False, "certificates": HostCertificates(self).read(apps, task_vars), "changes": []}
        found = HostCertificates(self, renew=arguments["renew"]).obtain(apps, task_vars)
        outcome = {"certificates": found.entries, "notes": found.notes, "changes": found.changes()}
        self.reports("client_cert", [*found.changes(), *found.notes], task_vars)
        if self._task.check_mode or not (found.files or found.retired):
            return {"changed": bool(found.due), "files": [], **outcome}
        endpoints = [
            {
                **self.endpoint(app, self._ca(app, self.folder(app, homes), homes.get(app.user, ""))),
                **found.paths[app.name],
            }
            for app in apps
            if app.name in found.paths
        ]
        options = {
            "files": found.files,
            "kept": found.kept,
            "retired": found.retired,
            "renamed": inventory.renamed,
            "endpoints": endpoints if arguments["prove"] else [],
            "timeout": arguments["timeout"],
        }
        result = proof.write(self, {**common, **options}, task_vars)
        if result.get("failed"):
            return proof.shown(failed_files(result), str(task_vars["inventory_hostname"]))
        if not arguments["prove"]:
            proof.not_proved(result, proof.changed_apps(result), check_mode=False)
        result["notes"] = [*result.get("notes", ()), *found.notes]
        return {**outcome, **result}

    def _ca(self, app: Any, folder: str, home: str) -> dict[str, Any]:
        """The CA that verifies the server: its text, because it may not be on the host yet."""
        if app.source.ca:
            return {"ca_file": None, "ca_text": bundle(load(app.source.ca)).decode("ascii")}
        return {"ca_file": app.ca_path(folder, home)}
