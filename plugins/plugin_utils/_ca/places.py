# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CA files of a host: which authorities are written where, for which apps.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import (
    TRUST_STORE_PASSWORD,
    Authorities,
    bundle,
    load,
    trust_store,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import (
    ROOT_CRT,
    TRUST_STORE,
    TRUST_STORE_ARGUMENTS,
    App,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.files import java_arguments

PURPOSE = "ca"


@dataclass
class Place:
    """A CA file on the host, and the authorities that it must hold for an app."""

    path: str
    user: str
    group: str
    shared: bool
    app: str
    authorities: Authorities

    def file(self, content: bytes, format_: str) -> dict[str, Any]:
        """The file as the module `files` takes it."""
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
    """The CA files of the apps whose connection has a CA, each CA verified.

    Args:
        apps: of one host.
        folders: their absolute folders, by the name of the app.
        homes: the home folders on the host, by user.

    Raises OnboardingError for a CA that is not valid.
    """
    with_ca = [app for app in apps if app.source.ca is not None]
    authorities = {name: load(ca) for name, ca in {app.source.name: app.source.ca for app in with_ca}.items()}
    ca_files = []
    for app in with_ca:
        home = homes.get(app.user, "")
        for destination in app.source.destinations:
            path = app.ca_path(folders[app.name], home, destination)
            shared = destination == "root_crt"
            ca_files.append(Place(path, app.user, app.group, shared, app.name, authorities[app.source.name]))
    return ca_files


def files(
    ca_files: Iterable[Place],
    apps: Iterable[App],
    folders: Mapping[str, str],
    read: Callable[[str], bytes],
    *,
    keep_previous: bool,
) -> list[dict[str, Any]]:
    """The CA files and the trust stores as the module `files` takes them.

    Args:
        ca_files: see `places`.
        apps: of one host.
        folders: their absolute folders, by the name of the app.
        read: returns the content of a file of the host, empty where there is none.
        keep_previous: keep the authorities that the files hold now.

    Raises OnboardingError.
    """
    entries = [
        {**place.file(bundle(place.authorities), "pem"), "exclusive": not place.shared, "keep_previous": keep_previous}
        for place in ca_files
    ]
    for app in apps:
        if app.source.ca is not None and app.trust_store:
            entries += _trust_store(app, folders[app.name], read, keep_previous=keep_previous)
    return entries


def _trust_store(app: App, folder: str, read: Callable[[str], bytes], *, keep_previous: bool) -> list[dict[str, Any]]:
    """The trust store of an app, and the file of arguments that makes a JVM use it."""
    authorities = load(app.source.ca)
    store, arguments = (
        Place(f"{folder}/{path}", app.user, app.group, False, app.name, authorities)
        for path in (TRUST_STORE, TRUST_STORE_ARGUMENTS)
    )
    settings = {
        "javax.net.ssl.trustStore": store.path,
        "javax.net.ssl.trustStoreType": "PKCS12",
        "javax.net.ssl.trustStorePassword": TRUST_STORE_PASSWORD,
    }
    content = trust_store(authorities, read(store.path), keep_previous=keep_previous)
    title = f"Written by crdb.onboard for the app {app.name}. Use: java @{TRUST_STORE_ARGUMENTS}"
    return [store.file(content, "whole"), arguments.file(java_arguments(settings, title=title), "whole")]


def notes(ca_files: Collection[Place], written: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the operator should know about the CA files; `written` is the result of the module `files`."""
    created = [
        f"{file['path']} is new: every PostgreSQL client of that user now verifies the server's CA, also for other"
        " databases and with sslmode=require."
        for file in written
        if file["action"] == "created" and file["path"].endswith("/" + ROOT_CRT)
    ]
    expiring = {authority.expiry(): None for place in ca_files for authority in place.authorities}
    left_out = dict.fromkeys(sentence for place in ca_files for sentence in place.authorities.left_out)
    return [*created, *left_out, *(sentence for sentence in expiring if sentence)]
