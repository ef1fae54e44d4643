# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the files of an app should contain, for the check that reads them back: digests instead of secrets.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.app_files import digest, url_parts
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import (
    FORMATS,
    HEADER,
    dotenv_text,
    normal,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import load
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.files import RenderedFile


def expected_facts(
    app: App, rendered: Iterable[RenderedFile], ca_path: str, password_forms: Collection[str]
) -> dict[str, Any]:
    """An entry of the option `apps` of the module `check`, without the names of the app and its endpoint."""
    salt = secrets.token_hex(16)
    forms = [form.encode("utf-8") for form in password_forms]
    files = []
    for file in rendered:
        variables = [
            variable(segment.key, dotenv_text(segment.raw), salt)
            if file.format == "dotenv"
            else {"name": segment.key, "digest": digest(salt, normal(segment.raw))}
            for segment in (FORMATS[file.format](file.content) if file.format != "whole" else ())
            if segment.key is not None and segment.key != HEADER
        ]
        if file.format == "whole" and file.secret:
            lines = [line for line in file.content.splitlines() if any(form in line for form in forms)]
            variables = [{"name": "the password", "digest": digest(salt, line)} for line in lines]
        facts = {"path": file.path, "format": file.format, "secret": file.secret, "variables": variables}
        files.append({**facts, "digest": digest(salt, file.content)})
    connection = app.source.connection
    return {
        "salt": salt,
        "files": files,
        "ca_file": ca_path,
        "ca_fingerprints": [authority.fingerprint for authority in load(app.source.ca)],
        "sslcert": connection.sslcert,
        "sslkey": connection.sslkey,
    }


def variable(name: str, value: str, salt: str) -> dict[str, Any]:
    """One assignment of an environment file. A connection string also has its parts, with the password as a digest."""
    facts: dict[str, Any] = {"name": name, "digest": digest(salt, value.encode("utf-8"))}
    if "://" in value:
        parts, password = url_parts(value)
        facts.update(parts=parts, password_digest=digest(salt, password.encode("utf-8", "surrogateescape")))
    return facts
