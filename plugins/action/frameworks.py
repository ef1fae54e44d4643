# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import (
    refuse_unknown_frameworks,
    with_certificate,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import Source
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.origin import DEFAULT_NAME
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import MASK
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.app_files import app_files
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import install_line

EXAMPLE = {"host": "my-cluster-123.abc.cockroachlabs.cloud", "user": "sql_user"}
"""A connection that stands for one that is not known: a Serverless cluster of CockroachDB Cloud."""


def _entry(framework: Framework) -> dict[str, Any]:
    return {
        "name": framework.name,
        "title": framework.title,
        "language": framework.language,
        "documentation": framework.documentation,
        "known_as": list(framework.known_as),
        "choices": [
            {
                "versions": choice.versions,
                "variant": choice.variant,
                "legacy": choice.legacy,
                "tested": {package.name: package.tested for package in choice.packages if package.run},
                "files": [file.destination for file in choice.files],
                "samples": [file.destination for file in choice.samples],
                "routings": list(choice.routings),
                "client_certificate": choice.client_certificate,
                "token": choice.token,
                "password_places": list(choice.places),
                "install": install_line(choice),
            }
            for choice in framework.choices
        ],
    }


def _lines(catalogue: Mapping[str, Framework]) -> list[str]:
    """What the catalogue has, under a heading for each language; what is for old projects only comes last."""
    lines: list[str] = []
    for heading, choices in _catalogue.by_language(catalogue):
        lines += [*([""] if lines else []), f"{heading}:"]
        lines += [
            f"{choice.label}: {', '.join(file.destination for file in choice.files)}; names the cluster by"
            f" {', '.join(choice.routings)}; password in {' or '.join(choice.places)}; {install_line(choice)}"
            for choice in choices
        ]
    return lines


def _sources(inventory: HostInventory) -> tuple[dict[str, Source], list[str]]:
    """The connections by name, and what to know about those that are examples: nobody is asked for anything here."""
    if not inventory.has_connection:
        names = {str(entry.get("connection") or DEFAULT_NAME) for entry in inventory.entries}
        note = f"No connection was given, so the files show example values: the host {EXAMPLE['host']}."
        return {name: connections.source(name, EXAMPLE) for name in sorted(names)}, [note]
    sources, notes = {}, []
    for name, facts in inventory.connections.items():
        if name in inventory.clusters:
            own = {key: facts[key] for key in ("user", "database") if facts.get(key)}
            sources[name] = connections.source(name, {**EXAMPLE, **own})
            notes.append(
                f"The connection {name} names a cluster of the Cloud API, which is not asked: the files show"
                " example values."
            )
        else:
            sources[name] = inventory.source(name, facts)
    return sources, notes


class ActionModule(OnboardingAction):
    """Tell what the catalogue has, and what it would make of the inventory's apps. The host is not spoken to."""

    OPTIONS = "frameworks"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the catalogue, and the files with their passwords masked."""
        catalogue = _catalogue.load()
        report = _lines(catalogue)
        files, notes = self._files(arguments) if arguments["preview"] else ([], [])
        report += ["", *notes] if notes else []
        for file in files:
            report += ["", f"--- {file['app']}: {file['path']}, mode {file['mode']}", *file["content"].splitlines()]
        return {
            "changed": False,
            "catalogue": [_entry(framework) for framework in catalogue.values()],
            "files": files,
            "report": report,
        }

    def _files(self, arguments: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
        """The files, and what to know about their values. A connection that is not known has an example's values."""
        inventory = self.inventory(arguments)
        refuse_unknown_frameworks(inventory.entries, _catalogue.load())
        sources, notes = _sources(inventory)
        stand_in = secrets.token_hex(16)
        # In place of the password, so that whatever a template makes of it can be found again; the real one stays out.
        sources = {
            name: replace(source, connection=source.connection.replace(password=stand_in))
            if not source.without_password or source.connection.password is not None
            else source
            for name, source in sources.items()
        }
        files = [
            {
                "app": app.name,
                "path": file.path,
                "mode": f"{file.mode:04o}",
                "content": file.content.decode("utf-8").replace(stand_in, MASK),
            }
            for app in (with_certificate(app, app.folder) for app in inventory.apps_with(sources))
            for ca_path in (app.ca_path(app.folder, "~"),)
            for file in app_files(app, app.folder, "~", ca_path).files
        ]
        return files, notes
