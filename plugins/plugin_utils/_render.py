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
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._connection import Connection
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import CatalogueFile, Framework
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError


@dataclass(frozen=True)
class RenderedFile:
    """Bytes for one place on a host, in a format of module_utils/_formats.

    `secret`: it holds a password, so its diff is masked and its mode is 0600.
    """

    path: str
    content: bytes
    mode: int
    format: str = "whole"
    secret: bool = False


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
