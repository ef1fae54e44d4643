# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import Authority, bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._onboarding import ROOT_CRT


@dataclass
class _Place:
    """One file on the host: the authorities that it shall hold for an app."""

    path: str
    user: str
    group: str
    shared: bool
    app: str
    authorities: tuple[Authority, ...]


class ActionModule(OnboardingAction):
    """Verify every CA on the controller, and place all of a host's in one call, or take them away."""

    ARGUMENTS = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "keep_previous": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, and which authorities they hold."""
        variables = self.variables(task_vars)
        common = {"purpose": "ca", "force": arguments["force"]}
        if arguments["state"] == "absent":
            result = self.call("files", {**common, "state": "absent", **self.names(variables)}, task_vars)
            return {"notes": [], **result, "authorities": []}
        places = self._places(variables)
        if not places:
            return {"changed": False, "files": [], "authorities": [], "notes": []}
        files = [
            {
                "path": place.path,
                "content": base64.b64encode(bundle(place.authorities)).decode("ascii"),
                "format": "pem",
                "mode": "0644",
                "user": place.user,
                "group": place.group,
                "apps": [place.app],
                "exclusive": not place.shared,
                "keep_previous": arguments["keep_previous"],
            }
            for place in places
        ]
        result = self.call("files", {**common, "files": files}, task_vars)
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
        notes = _notes(places, result.get("files", []))
        return {**result, "authorities": list(authorities.values()), "notes": notes}

    def _places(self, variables: dict[str, Any]) -> list[_Place]:
        apps = tuple(app for app in self.apps(variables, self.sources(variables)) if app.source.ca is not None)
        loaded = {name: source.authorities() for name, source in {app.source.name: app.source for app in apps}.items()}
        homes = self.homes(apps)
        places = []
        for app in apps:
            folder = self.folder(app, homes)
            for destination in app.source.destinations:
                path = app.ca_path(folder, homes.get(app.user, ""), destination)
                shared = destination == "root_crt"
                places.append(_Place(path, app.user, app.group, shared, app.name, loaded[app.source.name]))
        return places


def _notes(places: list[_Place], files: list[dict[str, Any]]) -> list[str]:
    notes = [
        f"{file['path']} is new: from now on every PostgreSQL client of that user verifies the server's CA even with"
        " sslmode=require, for other databases too."
        for file in files
        if file["action"] == "created" and file["path"].endswith("/" + ROOT_CRT)
    ]
    expiring = {authority.expiry(): None for place in places for authority in place.authorities}
    return notes + [sentence for sentence in expiring if sentence]
