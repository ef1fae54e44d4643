# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files rendered from the catalogue: strict Jinja2 of our own, not Ansible's templar.

An undefined name is an error, nothing is looked up, a value is never rendered a second time.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import bundle, load
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import (
    CATALOGUE,
    CatalogueFile,
    Framework,
    Package,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import (
    PASSFILE,
    SERVICE_FILE,
    TRUST_STORE_ARGUMENTS,
    App,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

# A database name that reads the same decoded and not.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
# What an app without a framework gets, so that any program can connect.
DEFAULT_ENVIRONMENT = {"DATABASE_URL": "url"}
# Where an administrator's units and drop-ins lie.
SYSTEMD_UNITS = "/etc/systemd/system"


@dataclass(frozen=True)
class RenderedFile:
    """Bytes for one place on a host, in a format of module_utils/_files/formats.

    `secret`: it holds a password, so its diff is masked and its mode is 0600. `requires`: files that it names and that
    have to be on the host already; `trusts`: CA files among them, which are looked into. `user`: whose file it is,
    where that is not the app's user.
    """

    path: str
    content: bytes
    mode: int
    format: str = "whole"
    secret: bool = False
    requires: tuple[str, ...] = ()
    trusts: tuple[str, ...] = ()
    user: str | None = None


def _escaped(value: str, named: dict[str, str], form: Callable[[int], str]) -> str:
    """ASCII text in which every character that is not plain is replaced by its name or its form."""
    plain = {chr(code) for code in range(0x20, 0x7F)} - {"\\"}
    return "".join(named.get(c) or (c if c in plain else form(ord(c))) for c in value)


def python_literal(value: str) -> str:
    """A Python string literal of ASCII characters only: it means the same under any source encoding."""
    escaped = value.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'


def javascript_literal(value: str) -> str:
    """A JavaScript string literal of ASCII characters, safe inside a script element too."""
    return json.dumps(value).replace("<", "\\u003c").replace("\x7f", "\\x7f")


def json_literal(value: str) -> str:
    """A JSON string of ASCII characters."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def yaml_literal(value: str) -> str:
    """A YAML double-quoted scalar of ASCII characters, safe in a file that goes through ERB too."""
    named = {'"': '\\"', "\\": "\\\\", "<": "\\x3C"}
    return f'"{_escaped(value, named, lambda code: chr(92) + f"U{code:08X}")}"'


def xml_text(value: str) -> str:
    """Text between two tags. Raises OnboardingError for a character that XML has no form for."""
    if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", value):
        raise OnboardingError("XML has no form for a control character: percent-encode it, or use another format.")
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\\": "\\"}
    return _escaped(value, named, lambda code: f"&#{code};")


def go_literal(value: str) -> str:
    """A Go interpreted string literal of ASCII characters."""
    named = {'"': '\\"', "\\": "\\\\"}
    return f'"{_escaped(value, named, lambda code: chr(92) + f"U{code:08x}")}"'


def _utf16(code: int) -> str:
    units = chr(code).encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def java_literal(value: str) -> str:
    """A Java string literal of ASCII characters; control characters as octal, since a Unicode escape is read first."""
    named = {'"': '\\"', "\\": "\\\\", **{chr(code): f"\\{code:03o}" for code in [*range(0x20), 0x7F]}}
    return f'"{_escaped(value, named, _utf16)}"'


def properties_value(value: str) -> str:
    """A value of a Java properties file."""
    named = {char: f"\\{char}" for char in "\\:=#! "}
    return _escaped(value, named, _utf16)


def ruby_literal(value: str) -> str:
    """A Ruby double-quoted literal of ASCII characters, in which nothing is interpolated."""
    named = {'"': '\\"', "\\": "\\\\", "#": "\\#"}
    return f'"{_escaped(value, named, lambda code: chr(92) + f"u{{{code:x}}}")}"'


def comment_text(value: str) -> str:
    """Text for one comment line: whatever could end the line or the comment is shown escaped."""
    shown = json.dumps(value)[1:-1].replace("\x7f", "\\x7f").replace("*/", "*\\/")
    return re.sub("-(?=-)", r"-\\", shown)


def dotenv_value(value: str) -> str:
    """A value in single quotes, which sh, systemd and the dotenv loaders all read as the same text.

    Raises OnboardingError for a character on which they differ: URL forms have none.
    """
    if not re.fullmatch(r"[!#-&(-\[\]-~]*", value):
        raise OnboardingError(
            "an environment file holds URL forms only: no space, quote, backslash or control character"
        )
    return f"'{value}'"


def bare_url(connection: Connection) -> str:
    """The URL without a query, for a client that does not decode the database in it."""
    if not _PLAIN.fullmatch(connection.startup_database):
        raise OnboardingError(
            f"database {connection.startup_database!r}: this form cannot carry a name with such characters, since the"
            " client does not decode it: use a form with separate keys."
        )
    return connection.url(query="none")


# How a value stands in each language's files.
LITERALS: dict[str, Callable[[str], str]] = {
    "python": python_literal,
    "javascript": javascript_literal,
    "json": json_literal,
    "yaml": yaml_literal,
    "xml": xml_text,
    "go": go_literal,
    "java": java_literal,
    "properties": properties_value,
    "ruby": ruby_literal,
}


def secret_forms(connection: Connection) -> set[str]:
    """Every form in which the password can stand in a rendered file: what a difference has to mask."""
    forms = set(connection.secrets())
    for literal in LITERALS.values():
        for text in [literal(form) for form in connection.secrets()]:
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
            forms |= {text, text[1:-1] if quoted else text}
    return forms - {""}


class _Environment(Environment):
    """One for a whole catalogue: a template's name is its path there, and it includes what its language shares."""

    def join_path(self, template: str, parent: str) -> str:
        """The name of the template that `parent` includes as `template`."""
        return f"{parent.split('/')[0]}/{template}"


@cache
def _environment(catalogue: Path) -> Environment:
    environment = _Environment(  # the output is source code: autoescape is HTML's
        loader=FileSystemLoader(catalogue),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({**LITERALS, "comment": comment_text, "dotenv": dotenv_value, "bare_url": bare_url})
    return environment


def compile_all(catalogue: Path = CATALOGUE) -> None:
    """Compile every template, for all that this process renders and all processes that are forked from it.

    Compiling is 99 % of the time that a small template takes. One that is wrong is left to `render`, which says so.
    """
    environment = _environment(catalogue)
    for name in environment.list_templates(extensions=("j2",)):
        with contextlib.suppress(TemplateError):
            environment.get_template(name)


def render(framework: Framework, file: CatalogueFile, values: dict[str, Any]) -> bytes:
    """One file of a framework. Raises OnboardingError when the template and the values do not fit."""
    language = framework.folder.parent
    name = f"{language.name}/{framework.folder.name}/{file.template}"
    try:
        return _environment(language.parent).get_template(name).render(values).encode("utf-8")
    except TemplateError as exc:
        raise OnboardingError(f"{framework.folder.name}/{file.template}: {type(exc).__name__}: {exc}") from None


def driver_options(connection: Connection) -> dict[str, str]:
    """The connection's driver parameters by libpq's name, decoded: sslmode, the files, options and the rest."""
    form = connection.parameters_form()
    named = {key: value for key, value in form.items() if key.islower() and key != "parameters"}
    return {**named, **{key: value for key, value in connection.parameters if key != "sslfactory"}}


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


def _maven_dependency(package: Package) -> str:
    group, _colon, artifact = package.name.partition(":")
    names = {"groupId": group, "artifactId": artifact, "version": package.tested}
    inner = "".join(f"<{name}>{xml_text(text)}</{name}>" for name, text in names.items())
    return f"<dependency>{inner}</dependency>"


def drop_in(app: App, environment_file: str) -> RenderedFile:
    """The drop-in of an app's systemd unit that loads its environment file.

    Raises OnboardingError for a path that a unit file has no form for.
    """
    if re.search(r"[\x00-\x1f\x7f\\]", environment_file):
        raise OnboardingError(f"app {app.name}: {environment_file!r} cannot be named in a file of systemd.")
    path = f"{SYSTEMD_UNITS}/{app.service}.d/crdb-onboard.conf"
    lines = (
        f"# Written by crdb.onboard for the app {comment_text(app.name)}: the environment of its connection.",
        "[Service]",
        f"EnvironmentFile={environment_file.replace('%', '%%')}",
    )
    return RenderedFile(path, ("\n".join(lines) + "\n").encode("utf-8"), 0o644, user="root")


def install_line(framework: Framework) -> str:
    """What installs the framework's packages, at the versions that the tests run: the line for its package manager."""
    packages = framework.packages
    forms: dict[str, tuple[str, str]] = {
        "python": ("pip install ", " ".join(f"'{p.name}=={p.tested}'" for p in packages)),
        "javascript": ("npm install ", " ".join(f"{p.name}@{p.tested}" for p in packages)),
        "go": ("go get ", " ".join(f"{p.name}@v{p.tested}" for p in packages)),
        "java": ("pom.xml: ", "".join(_maven_dependency(p) for p in packages)),
        "ruby": ("gem install ", " ".join(f"{p.name}:{p.tested}" for p in packages)),
    }
    command, words = forms.get(framework.language, ("", " ".join(f"{p.name} {p.tested}" for p in packages)))
    return command + words


def framework_values(app: App, framework: Framework, ca_path: str, ca_text: str) -> dict[str, Any]:
    """What a framework's templates know.

    `ca_named`: whether the CA's path is in the connection, which then is ours; else it is the guide's. `guide_url`: the
    guide's URL without its query, for a client that does not decode the database in it; None where that cannot be.
    """
    connection = app.trusting(framework, ca_path)
    named = connection.sslrootcert is not None
    return {
        "app": {"name": app.name, "environment_file": app.environment_file},
        "connection": connection,
        "options": driver_options(connection),
        "ca_path": ca_path,
        "ca_text": ca_text,
        "ca_named": named,
        "guide_url": None if named or not _PLAIN.fullmatch(connection.startup_database) else bare_url(connection),
        "inline": framework.place == "inline",
        "variant": framework.variant,
        "versions": framework.versions,
        "install": install_line(framework),
    }


def probe(app: App, framework: Framework) -> dict[str, Any]:
    """The probe of a framework of an app, as the module `probe` takes it, but for its folder and its user."""
    program = framework.probe.program
    if program.endswith(".j2"):
        names = {"name": framework.name, "variant": framework.variant, "versions": framework.versions}
        values = {**names, "package": framework.packages[0].name}
        text = render(framework, CatalogueFile(program, "", 0, ""), values).decode("utf-8")
    else:
        text = (framework.folder / program).read_text(encoding="utf-8")
    stored = app.trust_store and app.ca_found_by(framework) == "trust_store"
    return {
        "app": app.name,
        "framework": framework.name,
        "interpreter": framework.probe.interpreter,
        "program": text,
        "sources": [file.destination for file in framework.files if file.destination.endswith(".java")],
        "arguments": [f"@{TRUST_STORE_ARGUMENTS}"] if stored else [],
        "environment_file": app.environment_file if framework.loader == "process" else "",
    }


def _requires(app: App, connection: Connection) -> tuple[str, ...]:
    """Files that the host has to have already: what the configs name and no role places."""
    return tuple(path for path in (connection.sslcert, connection.sslkey) if path)


def _trusts(app: App, connection: Connection) -> tuple[str, ...]:
    """The CA that the host has to have already, when no role places one."""
    return (connection.sslrootcert,) if app.source.ca is None and connection.sslrootcert else ()


def render_psql(app: App, home: str, ca_path: str) -> list[RenderedFile]:
    """An app's part of its user's `pg_service.conf` and `.pgpass`; nothing without a `psql_service`.

    Raises InvalidConnectionError for a value that these have no form for.
    """
    if not app.psql_service:
        return []
    connection = app.source.connection.replace(sslrootcert=ca_path)
    if connection.effective_routing == "options" and connection.routing == "auto":
        # Clusters behind one host would share a line of .pgpass, which has no options: the database tells them apart.
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
    """All files of an app, for its `folder` and its CA's path as the host has them."""
    base = app.source.connection.replace(sslrootcert=ca_path)
    variables: dict[str, str] = {}
    files = []
    ca_text = ""
    texts = [f for f in app.frameworks if f.ca == "pem_text" and app.ca_found_by(f) == "none"]
    if app.source.ca is not None and texts:
        ca_text = bundle(load(app.source.ca)).decode("ascii")
    for framework in app.frameworks:
        values = framework_values(app, framework, ca_path, ca_text)
        connection = values["connection"]
        inline = framework.place == "inline"
        needed = {k: form for k, form in framework.environment.items() if not inline or form == "ca_path"}
        variables.update(environment_values(connection, needed))
        secret = inline and connection.password is not None
        for file in (*framework.files, *(framework.samples if app.samples else ())):
            holds = secret and file in framework.files
            files.append(
                RenderedFile(
                    str(PurePosixPath(folder, file.destination)),
                    render(framework, file, values),
                    0o600 if holds else file.mode,
                    secret=holds,
                    requires=_requires(app, connection),
                    trusts=_trusts(app, connection),
                )
            )
    if app.frameworks and not variables:
        return files
    named = any(framework.place == "env" for framework in app.frameworks) or not app.frameworks
    values = {**(environment_values(base, DEFAULT_ENVIRONMENT) if named else {}), **variables}
    title = f"Written by crdb.onboard for the app {app.name}: holds a password, keep it out of version control."
    path = str(PurePosixPath(folder, app.environment_file))
    environment = RenderedFile(
        path, environment_file(values, title=title), 0o600, "dotenv", True, _requires(app, base), _trusts(app, base)
    )
    return [environment, *files, *([drop_in(app, path)] if app.service else [])]
