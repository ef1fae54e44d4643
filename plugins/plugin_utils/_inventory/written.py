# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What crdb.onboard wrote on this machine for the current user: the apps, each with the connection of its env file.

Only a machine that is the controller itself is read: a password never travels from a host to the controller.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._files import state, tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS, dotenv_text
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import HOME_STATE
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.origin import DEFAULT_NAME
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.token import written_keys

_VARIABLES = ("DATABASE_URL", "JDBC_DATABASE_URL")


@dataclass(frozen=True)
class WrittenApp:
    """An app of the record: its name, its environment file, and the connection string in that.

    `token`: the keys of a connection that say where its token comes from.
    """

    name: str
    path: str
    url: str = field(repr=False)
    token: Mapping[str, str] = field(default_factory=dict)


def find(home: str, folders: Collection[str] = ()) -> list[WrittenApp]:
    """The apps that the record in this home names and whose environment file has a connection string.

    `folders` limits them to apps in one of these folders. Raises OnboardingError for a record or file that cannot be
    used: both lie in somebody's home, and are read as input from outside.
    """
    record = str(Path(home, HOME_STATE, "files.json"))
    try:
        try:
            entries = state.load(record, state.RECORD)["files"]
        except FileNotFoundError:
            return []
        apps = []
        for path, entry in sorted(entries.items()):
            names = {name for key in entry["keys"].values() for name in key["apps"]}
            inside = not folders or any(Path(path).is_relative_to(folder) for folder in folders)
            variables = _variables(path) if entry["format"] == "dotenv" and names and inside else {}
            url = next((variables[name] for name in _VARIABLES if name in variables), "")
            if url:
                apps.append(WrittenApp(min(names), path, url, written_keys(variables)))
        return apps
    except (OSError, ValueError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else "") or str(exc)
        path = getattr(exc, "filename", None) or record
        raise OnboardingError(f"{path}: what was written cannot be read: {reason}.") from None


def _variables(path: str) -> dict[str, str]:
    try:
        found = tree.read_file(path)
    except FileNotFoundError:
        return {}
    if found.status.st_uid != os.geteuid():
        return {}
    return {segment.key: dotenv_text(segment.raw) for segment in FORMATS["dotenv"](found.content) if segment.key}


def options(apps: Collection[WrittenApp]) -> dict[str, Any]:
    """The options `connections` and `apps` of these apps."""
    names = [DEFAULT_NAME] if len(apps) == 1 else [app.name for app in apps]
    connections = {name: {"url": app.url, **app.token} for name, app in zip(names, apps, strict=True)}
    entries: list[Mapping[str, Any]] = [
        {
            "name": app.name,
            "connection": name,
            "folder": str(Path(app.path).parent),
            "environment_file": Path(app.path).name,
        }
        for name, app in zip(names, apps, strict=True)
    ]
    return {"connections": connections, "apps": entries}
