# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a framework for a project, without a run of the collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import choose, frameworks, project
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import templates

CONNECTION = {"host": "db.example.com", "port": 26257, "user": "ann", "password": "p@ss", "database": "shop"}


def rendered(
    entry: Any, facts: Mapping[str, str] | None = None, place: str = "env", **pool: int
) -> tuple[Framework, dict[str, str]]:
    """A framework as the facts of a project choose it, and its files by destination, the samples with them."""
    catalogue = frameworks.load()
    language = catalogue[entry["name"] if isinstance(entry, Mapping) else entry].language
    projects = {} if facts is None else {language: project.read(language, {"facts": facts})}
    framework = choose.find(entry, catalogue, place, projects)
    source = connections.source("shop", {**CONNECTION, "sslrootcert": "/srv/ca.crt"})
    app = App("shop", source, "/srv", "", "", (framework,), ".env", **pool)
    values = templates.framework_values(app, framework, "/srv/ca.crt", "")
    return framework, {
        file.destination: templates.render(framework, file, values).decode("utf-8")
        for file in (*framework.files, *framework.samples)
    }


def with_tabs(text: str) -> str:
    """Go's text with the tabs that gofmt expects: in Python's files, four spaces stand for one."""
    return text.replace("    ", "\t")
