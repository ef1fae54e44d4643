# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import binascii
import shlex
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils import _ca
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import Authority, bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._onboarding import (
    ROOT_CRT,
    TRUST_STORE,
    TRUST_STORE_ARGUMENTS,
    App,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import java_arguments


@dataclass
class _Place:
    """One file on the host: the authorities that it shall hold for an app."""

    path: str
    user: str
    group: str
    shared: bool
    app: str
    authorities: tuple[Authority, ...]

    def file(self, content: bytes, format_: str) -> dict[str, Any]:
        """The file as the module `files` wants it."""
        return {
            "path": self.path,
            "content": base64.b64encode(content).decode("ascii"),
            "format": format_,
            "mode": "0644",
            "user": self.user,
            "group": self.group,
            "apps": [self.app],
        }


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
        apps = tuple(app for app in self.apps(variables, self.sources(variables)) if app.source.ca is not None)
        homes = self.homes(apps)
        places = self._places(apps, homes)
        if not places:
            return {"changed": False, "files": [], "authorities": [], "notes": []}
        files = [
            {
                **place.file(bundle(place.authorities), "pem"),
                "exclusive": not place.shared,
                "keep_previous": arguments["keep_previous"],
            }
            for place in places
        ]
        for app in apps:
            if app.trust_store:
                files += self._trust_store(app, self.folder(app, homes), arguments["keep_previous"])
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

    def _places(self, apps: tuple[App, ...], homes: dict[str, str]) -> list[_Place]:
        loaded = {name: source.authorities() for name, source in {app.source.name: app.source for app in apps}.items()}
        places = []
        for app in apps:
            folder = self.folder(app, homes)
            for destination in app.source.destinations:
                path = app.ca_path(folder, homes.get(app.user, ""), destination)
                shared = destination == "root_crt"
                places.append(_Place(path, app.user, app.group, shared, app.name, loaded[app.source.name]))
        return places

    def _trust_store(self, app: App, folder: str, keep_previous: bool) -> list[dict[str, Any]]:
        """The trust store of an app, and the arguments that make a JVM use it."""
        held = app.source.authorities()
        store, arguments = (
            _Place(f"{folder}/{path}", app.user, app.group, False, app.name, held)
            for path in (TRUST_STORE, TRUST_STORE_ARGUMENTS)
        )
        settings = {
            "javax.net.ssl.trustStore": store.path,
            "javax.net.ssl.trustStoreType": "PKCS12",
            "javax.net.ssl.trustStorePassword": _ca.TRUST_STORE_PASSWORD,
        }
        content = _ca.trust_store(held, self._read(store.path), keep_previous=keep_previous)
        title = f"Written by crdb.onboard for the app {app.name}. Use: java @{TRUST_STORE_ARGUMENTS}"
        return [store.file(content, "whole"), arguments.file(java_arguments(settings, title=title), "whole")]

    def _read(self, path: str) -> bytes:
        """A small regular file of the host; empty when there is none."""
        quoted = shlex.quote(path)
        command = f"if test -f {quoted}; then head -c {_ca.DOWNLOAD_LIMIT} {quoted} | base64; fi"
        answer = self._low_level_execute_command(command, sudoable=True)
        try:
            return base64.b64decode("".join(str(answer["stdout"]).split()), validate=True)
        except (binascii.Error, ValueError):
            return b""


def _notes(places: list[_Place], files: list[dict[str, Any]]) -> list[str]:
    notes = [
        f"{file['path']} is new: from now on every PostgreSQL client of that user verifies the server's CA even with"
        " sslmode=require, for other databases too."
        for file in files
        if file["action"] == "created" and file["path"].endswith("/" + ROOT_CRT)
    ]
    expiring = {authority.expiry(): None for place in places for authority in place.authorities}
    return notes + [sentence for sentence in expiring if sentence]
