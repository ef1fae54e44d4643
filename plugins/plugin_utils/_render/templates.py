# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue's templates, rendered by a strict Jinja2 environment of our own instead of Ansible's templar.

An undefined name is an error, there are no lookups, and a value is never rendered a second time.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from ansible_collections.crdb.onboard.plugins.plugin_utils import _cache
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import (
    CATALOGUE,
    CatalogueFile,
    Framework,
    Package,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import TRUST_STORE_ARGUMENTS, App
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.literals import (
    all_literals,
    bare_url,
    comment_text,
    dns_label,
    dotenv_value,
    has_bare_url,
    stable_uuid,
    without,
)
from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.bccache import Bucket


class _Environment(Environment):
    """The environment of a whole catalogue: a template is named by its path, and includes files of its language."""

    def join_path(self, template: str, parent: str) -> str:
        """The name of the template that `parent` includes as `template`."""
        return f"{parent.split('/')[0]}/{template}"


@cache
def _environment(catalogue: Path) -> Environment:
    environment = _Environment(  # the output is source code, so HTML's autoescape is off
        loader=FileSystemLoader(catalogue),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_compiled(),
    )
    environment.filters.update(all_literals())
    names = {"comment": comment_text, "dns_label": dns_label, "uuid": stable_uuid, "without": without}
    environment.filters.update({**names, "dotenv": dotenv_value, "bare_url": bare_url})
    return environment


class _Kept(FileSystemBytecodeCache):
    """Compiled templates in a folder. One that cannot be kept, as on a full disk, is compiled by each process."""

    def dump_bytecode(self, bucket: Bucket) -> None:
        """See jinja2.BytecodeCache."""
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


def _compiled() -> _Kept | None:
    """Where compiled templates are kept for the next process; None where there is no place.

    Compiling takes 99 % of the time of a small template. A process compiles only what it renders: all templates take
    0.7 s. Jinja2 compares a template's source. What the environment does with it is in the names of the files.
    """
    folder = _cache.folder()
    if folder is None:
        return None
    environment = hashlib.sha256(Path(__file__).read_bytes() + jinja2.__version__.encode("ascii")).hexdigest()[:12]
    return _Kept(str(folder), f"template-{environment}-%s")


def prepare() -> None:
    """Make the environment. In the main process, this is done once for all tasks."""
    _environment(CATALOGUE)


def render(framework: Framework, file: CatalogueFile, values: dict[str, Any]) -> bytes:
    """One file of a framework. Raises OnboardingError when the template and the values do not fit."""
    language = framework.folder.parent
    # A file of the language, or of another framework, is named as it is from the framework's folder.
    name = f"{language.name}/{framework.folder.name}/{file.template}".replace(f"{framework.folder.name}/../", "")
    try:
        return _environment(language.parent).get_template(name).render(values).encode("utf-8")
    except TemplateError as exc:
        raise OnboardingError(f"{framework.folder.name}/{file.template}: {type(exc).__name__}: {exc}") from None


def driver_options(connection: Connection) -> dict[str, str]:
    """The connection's driver parameters by libpq's name, decoded: sslmode, the files, options and the rest."""
    form = connection.parameters_form()
    named = {key: value for key, value in form.items() if key.islower() and key != "parameters"}
    return {**named, **{key: value for key, value in connection.parameters if key != "sslfactory"}}


def _version(package: Package) -> str:
    return package.version or package.tested


def install_line(framework: Framework) -> str:
    """The line that installs the framework's packages with its package manager, at the versions of the project."""
    install = languages.of(framework.language).install
    words = []
    for package in framework.packages:
        group, _colon, artifact = package.name.partition(":")
        facts = {"name": package.name, "version": _version(package), "options": package.options}
        each = install.get("each", "{name} {version}").format(**facts, group=group, artifact=artifact)
        words.append(each.strip())
    return str(install.get("begin", "")) + str(install.get("between", " ")).join(words)


def framework_values(app: App, framework: Framework, ca_path: str, ca_text: str) -> dict[str, Any]:
    """The variables of a framework's templates.

    `project`: the facts of the app's project, empty texts where there is none. `pool`: its size, and in seconds
    lifetime, connect_timeout and keepalive. `token`: where the program gets a token for each connection, its path or
    its command; None where it logs in in another way. `ca_named`: whether the connection contains the CA's path, as in
    our form; the guide's form has none. `guide_url`: the guide's URL without its query, for a client that does not
    decode the database in it; None for all others.
    """
    ca_path = framework.mount or ca_path
    connection = app.trusting(framework, ca_path)
    named = connection.sslrootcert is not None
    token = app.source.token
    return {
        "app": {"name": app.name, "environment_file": app.environment_file},
        "connection": connection,
        "token": {"path": token.path, "command": list(token.command)} if token else None,
        "options": driver_options(connection),
        "ca_path": ca_path,
        "ca_text": ca_text,
        "ca_named": named,
        "guide_url": bare_url(connection) if not named and has_bare_url(connection) else None,
        "inline": framework.place == "inline",
        "variant": framework.variant,
        "versions": framework.versions,
        "install": install_line(framework),
        "project": framework.project.facts,
        "pool": {
            "size": app.pool_size,
            "lifetime": app.pool_lifetime,
            "connect_timeout": app.connect_timeout,
            "keepalive": app.keepalive,
        },
    }


def probes(app: App) -> list[dict[str, Any]]:
    """The probes of an app's frameworks: entries of the module `probe` without their folder and user."""
    return [probe(app, framework) for framework in app.frameworks if framework.probe]


def probe(app: App, framework: Framework) -> dict[str, Any]:
    """The probe of a framework of an app: an entry of the module `probe` without its folder and user.

    Raises ValueError for one that has none.
    """
    if framework.probe is None:
        raise ValueError(f"{framework.name} has no probe")
    names = {"name": framework.name, "variant": framework.variant, "versions": framework.versions}
    values: dict[str, Any] = {**names, "package": framework.packages[0].name, "project": framework.project.facts}
    values |= {"packages": framework.packages, "files": [file.destination for file in framework.files]}

    def text_of(program: str) -> str:
        if program.endswith(".j2"):
            return render(framework, CatalogueFile(program, "", 0, ""), values).decode("utf-8")
        return (framework.folder / program).read_text(encoding="utf-8")

    text = text_of(framework.probe.program)
    trust_store = app.trust_store and app.ca_found_by(framework) == "trust_store"
    declared = languages.of(framework.language).probe
    # A file without a template is the program itself.
    files = {
        name: text_of(f"../{template}") if template else text for name, template in declared.get("files", {}).items()
    }
    # Inline, there may be no environment file.
    given = framework.loader == "process" and (framework.place == "env" or "ca_path" in framework.environment.values())
    copied = [file.destination for file in framework.files] if declared.get("steps") else []
    return {
        "app": app.name,
        "framework": framework.name,
        "interpreter": framework.probe.interpreter,
        "program": text,
        "sources": [file.destination for file in framework.files if file.destination.endswith(".java")],
        "arguments": [f"@{TRUST_STORE_ARGUMENTS}"] if trust_store else [],
        "files": files,
        "copies": [*copied, *declared.get("copies", [])],
        "steps": declared.get("steps", []),
        "afterwards": declared.get("afterwards", []),
        "missing": declared.get("missing", ""),
        "environment_file": app.environment_file if given else "",
    }
