# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CA files of a host: which authorities go where, for which apps.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import authorities as _ca
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import Authority, bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import (
    ROOT_CRT,
    TRUST_STORE,
    TRUST_STORE_ARGUMENTS,
    App,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.render import java_arguments

PURPOSE = "ca"


@dataclass
class Place:
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
            "purpose": PURPOSE,
        }


def places(apps: Iterable[App], folders: Mapping[str, str], homes: Mapping[str, str]) -> list[Place]:
    """The CA files of the apps that were given a CA, for the apps' `folders` by name and the users' `homes`.

    Every CA is verified. Raises OnboardingError.
    """
    given = [app for app in apps if app.source.ca is not None]
    loaded = {name: source.authorities() for name, source in {app.source.name: app.source for app in given}.items()}
    found = []
    for app in given:
        home = homes.get(app.user, "")
        for destination in app.source.destinations:
            path = app.ca_path(folders[app.name], home, destination)
            shared = destination == "root_crt"
            found.append(Place(path, app.user, app.group, shared, app.name, loaded[app.source.name]))
    return found


def files(
    there: Iterable[Place],
    apps: Iterable[App],
    folders: Mapping[str, str],
    read: Callable[[str], bytes],
    *,
    keep_previous: bool,
) -> list[dict[str, Any]]:
    """The CA files and the trust stores as the module `files` wants them; `read` gives a file of the host."""
    found = [
        {**place.file(bundle(place.authorities), "pem"), "exclusive": not place.shared, "keep_previous": keep_previous}
        for place in there
    ]
    for app in apps:
        if app.source.ca is not None and app.trust_store:
            found += _trust_store(app, folders[app.name], read, keep_previous=keep_previous)
    return found


def _trust_store(app: App, folder: str, read: Callable[[str], bytes], *, keep_previous: bool) -> list[dict[str, Any]]:
    """The trust store of an app, and the arguments that make a JVM use it."""
    held = app.source.authorities()
    store, arguments = (
        Place(f"{folder}/{path}", app.user, app.group, False, app.name, held)
        for path in (TRUST_STORE, TRUST_STORE_ARGUMENTS)
    )
    settings = {
        "javax.net.ssl.trustStore": store.path,
        "javax.net.ssl.trustStoreType": "PKCS12",
        "javax.net.ssl.trustStorePassword": _ca.TRUST_STORE_PASSWORD,
    }
    content = _ca.trust_store(held, read(store.path), keep_previous=keep_previous)
    title = f"Written by crdb.onboard for the app {app.name}. Use: java @{TRUST_STORE_ARGUMENTS}"
    return [store.file(content, "whole"), arguments.file(java_arguments(settings, title=title), "whole")]


def notes(there: Iterable[Place], written: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the operator should know of the CAs, from what became of their files."""
    said = [
        f"{file['path']} is new: from now on every PostgreSQL client of that user verifies the server's CA even with"
        " sslmode=require, for other databases too."
        for file in written
        if file["action"] == "created" and file["path"].endswith("/" + ROOT_CRT)
    ]
    expiring = {authority.expiry(): None for place in there for authority in place.authorities}
    return said + [sentence for sentence in expiring if sentence]
