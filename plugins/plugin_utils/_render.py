# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files rendered from the catalogue: strict Jinja2 of our own, not Ansible's templar.

An undefined name is an error, nothing is looked up, a value is never rendered a second time.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._connection import Connection
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import CatalogueFile, Framework
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._onboarding import App
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

# What an app without a framework gets, so that any program can connect.
DEFAULT_ENVIRONMENT = {"DATABASE_URL": "url"}


@dataclass(frozen=True)
class RenderedFile:
    """Bytes for one place on a host.

    `secret`: it holds a password, so its diff is masked and its mode is 0600. `requires`: files that it names and that
    have to be on the host already.
    """

    path: str
    content: bytes
    mode: int
    secret: bool = False
    requires: tuple[str, ...] = ()


def python_literal(value: str) -> str:
    """A Python string literal of ASCII characters only: it means the same under any source encoding."""
    escaped = value.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'


def javascript_literal(value: str) -> str:
    """A JavaScript string literal of ASCII characters, safe inside a script element too."""
    return json.dumps(value).replace("<", "\\u003c").replace("\x7f", "\\x7f")


def comment_text(value: str) -> str:
    """Text for one comment line: whatever could end the line or the comment is shown escaped."""
    return json.dumps(value)[1:-1].replace("\x7f", "\\x7f").replace("*/", "*\\/")


def dotenv_value(value: str) -> str:
    """A value in single quotes, which sh, systemd and the dotenv loaders all read as the same text.

    Raises OnboardingError for a character on which they differ: URL forms have none.
    """
    if not re.fullmatch(r"[!#-&(-\[\]-~]*", value):
        raise OnboardingError(
            "an environment file holds URL forms only: no space, quote, backslash or control character"
        )
    return f"'{value}'"


@cache
def _environment(folder: str) -> Environment:
    environment = Environment(  # noqa: S701 - the output is source code: autoescape is HTML's
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        python=python_literal, javascript=javascript_literal, comment=comment_text, dotenv=dotenv_value
    )
    return environment


def render(framework: Framework, file: CatalogueFile, values: dict[str, Any]) -> bytes:
    """One file of a framework. Raises OnboardingError when the template and the values do not fit."""
    try:
        return _environment(str(framework.folder)).get_template(file.template).render(values).encode("utf-8")
    except TemplateError as exc:
        raise OnboardingError(f"{framework.folder.name}/{file.template}: {type(exc).__name__}: {exc}") from None


def environment_file(connection: Connection, variables: dict[str, str], *, title: str) -> bytes:
    """An environment file: `variables` maps names to forms of the connection (``url``, ``jdbc_url``)."""
    lines = [f"# {comment_text(title)}"]
    forms = {"url": connection.url(), "jdbc_url": connection.jdbc_url()}
    lines += [f"{name}={dotenv_value(forms[form])}" for name, form in sorted(variables.items())]
    return ("\n".join(lines) + "\n").encode("utf-8")


def render_app(app: App, folder: str, ca_path: str) -> list[RenderedFile]:
    """All files of an app, for its `folder` and its CA's path as the host has them."""
    requires = () if app.source.ca is not None else (ca_path,)
    connection = app.source.connection.replace(sslrootcert=ca_path)
    variables = dict(DEFAULT_ENVIRONMENT)
    files = []
    values = {
        "app": {"name": app.name, "environment_file": app.environment_file},
        "connection": connection,
        "ca_path": ca_path,
    }
    for framework in app.frameworks:
        variables.update(framework.environment)
        for file in framework.files:
            path = str(PurePosixPath(folder, file.destination))
            files.append(RenderedFile(path, render(framework, file, values), file.mode, requires=requires))
    title = f"Written by crdb.onboard for the app {app.name}: holds a password, keep it out of version control."
    content = environment_file(connection, variables, title=title)
    path = str(PurePosixPath(folder, app.environment_file))
    return [RenderedFile(path, content, 0o600, secret=True, requires=requires), *files]
