# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of an app, as bytes for one place on a host.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import bundle, load
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import parameters as _parameters
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import PASSFILE, SERVICE_FILE, App
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.literals import (
    comment_text,
    dotenv_value,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import framework_values, render

# The variables of an app without a framework, so that any program can connect.
DEFAULT_ENVIRONMENT = {"DATABASE_URL": "url"}

# The folder of the administrator's units and drop-ins.
SYSTEMD_UNITS = "/etc/systemd/system"


@dataclass(frozen=True)
class RenderedFile:
    """Bytes for one place on a host, in a format of module_utils/_files/formats.

    `secret`: it contains a password, so its diff is masked and its mode is 0600. `requires`: files that it names and
    that must already be on the host; `trusts`: CA files that must be there, whose content is verified. `user`: the
    owner, if it is not the app's user.
    """

    path: str
    content: bytes
    mode: int
    format: str = "whole"
    secret: bool = False
    requires: tuple[str, ...] = ()
    trusts: tuple[str, ...] = ()
    user: str | None = None


def environment_values(connection: Connection, variables: Mapping[str, str]) -> dict[str, str]:
    """The values of environment variables, from their forms."""
    forms: dict[str, Callable[[], str]] = {
        "url": connection.url,
        "cockroachdb_url": lambda: connection.url("cockroachdb"),
        "jdbc_url": connection.jdbc_url,
        "ca_path": lambda: connection.sslrootcert or "",
    }
    return {name: forms[form]() for name, form in variables.items()}


def environment_file(values: Mapping[str, str], *, title: str) -> bytes:
    """An environment file."""
    lines = [f"# {comment_text(title)}", *(f"{name}={dotenv_value(value)}" for name, value in sorted(values.items()))]
    return ("\n".join(lines) + "\n").encode("utf-8")


def java_arguments(properties: Mapping[str, str], *, title: str) -> bytes:
    """An argument file for the launcher of Java 9 and newer (`java @FILE`) that sets system properties."""
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    lines = [f"# {comment_text(title)}"]
    for name, value in properties.items():
        quoted = "".join(named.get(char, char) for char in value)
        lines.append(f'"-D{name}={quoted}"')
    return ("\n".join(lines) + "\n").encode("utf-8")


def drop_in(app: App, environment_file: str) -> RenderedFile:
    """The drop-in of an app's systemd unit that loads its environment file.

    Raises OnboardingError for a path that a unit file cannot contain.
    """
    if re.search(r"[\x00-\x1f\x7f\\]", environment_file):
        raise OnboardingError(
            f"app {app.name}: the path {environment_file!r} cannot be written in a systemd unit: use a"
            " folder without backslashes and control characters."
        )
    path = f"{SYSTEMD_UNITS}/{app.service}.d/crdb-onboard.conf"
    lines = (
        f"# Written by crdb.onboard for the app {comment_text(app.name)}: it loads the environment of the connection.",
        "[Service]",
        f"EnvironmentFile={environment_file.replace('%', '%%')}",
    )
    return RenderedFile(path, ("\n".join(lines) + "\n").encode("utf-8"), 0o644, user="root")


def _requires(app: App, connection: Connection) -> tuple[str, ...]:
    """Files that must already be on the host: the configuration names them, and no role writes them."""
    if app.source.certificate is not None:
        return ()
    return tuple(path for path in (connection.sslcert, connection.sslkey) if path)


def _trusts(app: App, connection: Connection) -> tuple[str, ...]:
    """The CA that must already be on the host, if no role writes one."""
    return (connection.sslrootcert,) if app.source.ca is None and connection.sslrootcert else ()


def render_psql(app: App, home: str, ca_path: str) -> list[RenderedFile]:
    """An app's part of its user's `pg_service.conf` and `.pgpass`; no files without a `psql_service`.

    Raises InvalidConnectionError for a value that these formats cannot hold.
    """
    if not app.psql_service:
        return []
    known = _parameters.KNOWN["libpq"]
    pairs = [pair for pair in app.source.connection.parameters if pair[0] in known]
    connection = app.source.connection.replace(sslrootcert=ca_path, parameters=pairs)
    if connection.effective_routing == "options" and connection.routing == "auto":
        # .pgpass has no options, so clusters behind one host would share a line: the database distinguishes them.
        connection = connection.replace(routing="database")
    files = [
        RenderedFile(
            str(PurePosixPath(home, SERVICE_FILE)),
            connection.service(app.psql_service).encode("utf-8"),
            0o600,
            "service",
            requires=_requires(app, connection),
            trusts=_trusts(app, connection),
        )
    ]
    line = connection.passfile_line()
    if line is not None:
        files.append(RenderedFile(str(PurePosixPath(home, PASSFILE)), line.encode("utf-8"), 0o600, "pgpass", True))
    return files


def render_app(app: App, folder: str, ca_path: str) -> list[RenderedFile]:
    """All files of an app in its `folder`, and its drop-in. Raises OnboardingError when a template does not fit."""
    base = app.with_known_parameters().replace(sslrootcert=ca_path)
    variables: dict[str, str] = {}
    files: list[RenderedFile] = []
    ca_text = ""
    texts = [f for f in app.frameworks if f.ca == "pem_text" and app.ca_found_by(f) == "none"]
    if app.source.ca is not None and texts:
        ca_text = bundle(load(app.source.ca)).decode("ascii")
    texts_by_path: dict[str, bytes] = {}
    for framework in app.frameworks:
        values = framework_values(app, framework, ca_path, ca_text)
        connection = values["connection"]
        inline = framework.place == "inline"
        needed = {k: form for k, form in framework.environment.items() if not inline or form == "ca_path"}
        variables.update(environment_values(connection, needed))
        secret = inline and connection.password is not None
        for file in (*framework.files, *(framework.samples if app.samples else ())):
            holds = secret and file in framework.files
            path, text = str(PurePosixPath(folder, file.destination)), render(framework, file, values)
            if texts_by_path.setdefault(path, text) != text:
                raise OnboardingError(
                    f"{framework.name} and another framework need {file.destination} in two forms: give each an app of"
                    " its own."
                )
            # A template may write nothing, such as the start-up options of a connection that has none.
            if not text or path in {other.path for other in files}:
                continue
            files.append(
                RenderedFile(
                    path,
                    text,
                    0o600 if holds else file.mode,
                    secret=holds,
                    requires=_requires(app, connection),
                    trusts=() if framework.mount else _trusts(app, connection),
                )
            )
    if app.frameworks and not variables:
        return files
    named = any(framework.place == "env" for framework in app.frameworks) or not app.frameworks
    token = app.source.token.environment() if app.source.token else {}
    values = {**(environment_values(base, DEFAULT_ENVIRONMENT) if named else {}), **variables, **token}
    warning = "." if base.password is None else ": it contains a password, so keep it out of version control."
    title = f"Written by crdb.onboard for the app {app.name}{warning}"
    path = str(PurePosixPath(folder, app.environment_file))
    environment = RenderedFile(
        path, environment_file(values, title=title), 0o600, "dotenv", True, _requires(app, base), _trusts(app, base)
    )
    return [environment, *files, *([drop_in(app, path)] if app.service else [])]
