# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The apps of an action's options, as typed values.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import parameters as _parameters
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.choose import find
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.project import Project
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import commands, schema
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.commands import Command
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import Source
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import JAVA_SSL_FACTORY, Connection

ROOT_CRT = ".postgresql/root.crt"
CA_CRT = "certs/ca.crt"
SERVICE_FILE = ".pg_service.conf"
PASSFILE = ".pgpass"
# The trust store of a JVM, and the arguments that make a JVM use it: `java @certs/truststore.args`.
TRUST_STORE = "certs/truststore.p12"
TRUST_STORE_ARGUMENTS = "certs/truststore.args"

FORMER_NAME = "app"
"""What every app without a name was called in earlier releases, whatever its folder."""

_GIVE_CA = "ca_file, ca_url, ca_text or ca_cluster_id (crdb_connection_ca_file and so on)"
_APP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_LARGEST_NUMBER = 86400
_SYSTEM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True)
class App:
    """One consumer of a connection on a host; an empty `user` is the one that the play logs in as (or becomes).

    `service` is its systemd unit, if it has one; `reload` and `health` are run on the host when its files changed.
    `pool_size` is a number of connections, `pool_lifetime`, `connect_timeout` and `keepalive` are seconds.
    """

    name: str
    source: Source
    folder: str
    user: str
    group: str
    frameworks: tuple[Framework, ...]
    environment_file: str
    samples: bool = False
    psql_service: str = ""
    trust_store: bool = False
    service: str = ""
    reload: Command | None = None
    health: Command | None = None
    pool_size: int = 10
    pool_lifetime: int = 900
    connect_timeout: int = 15
    keepalive: int = 60

    def known_parameters(self, jdbc: bool = False) -> frozenset[str]:
        """The parameters that all frameworks know which read the same string: JDBC's, or everybody else's."""
        kinds = {f.parameters for f in self.frameworks if (f.parameters in _parameters.READ_JDBC_URL) == jdbc} or {
            "jdbc" if jdbc else "libpq"
        }
        return frozenset.intersection(*(_parameters.KNOWN[kind] for kind in kinds))

    def with_known_parameters(self, jdbc: bool = False) -> Connection:
        """The connection without the parameters that one of these frameworks does not know."""
        connection = self.source.connection
        known = self.known_parameters(jdbc)
        return connection.replace(parameters=[pair for pair in connection.parameters if pair[0] in known])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: versions that were not tested, and parameters that were left out."""
        notes = [note for framework in self.frameworks for note in framework.notes]
        for name, _value in self.source.connection.parameters:
            unknown = [f.title for f in self.frameworks if name not in _parameters.KNOWN[f.parameters]]
            if unknown:
                notes.append(
                    f"The parameter {name} of the connection {self.source.name} is left out, because it is unknown to"
                    f" {', '.join(unknown)}."
                )
        return tuple(notes)

    def ca_found_by(self, framework: Framework) -> str:
        """How a framework finds the CA without its path: one of PUBLIC_CA_SOURCES, ``none`` where the path is named."""
        if self.trust_store and framework.public_ca == "trust_store":
            return "trust_store"
        # The guide's Java form knows no client certificate.
        certificate = framework.public_ca == "trust_store" and self.source.connection.sslkey
        return framework.public_ca if self.source.found_by_clients and not certificate else "none"

    def trusting(self, framework: Framework, ca_path: str) -> Connection:
        """The connection as a framework's files hold it: with the CA's path, or in the guide's form without it.

        Raises OnboardingError as `connection_for` does.
        """
        connection = self.connection_for(framework)
        found = self.ca_found_by(framework)
        if found == "none":
            return connection.replace(sslrootcert=ca_path)
        parameters = [pair for pair in connection.parameters if pair[0] != "sslfactory"]
        if found == "trust_store":
            parameters.append(("sslfactory", JAVA_SSL_FACTORY))
        return connection.replace(sslrootcert=None, parameters=parameters)

    @property
    def confirmed_later(self) -> bool:
        """Whether a change of its files has to be confirmed by its commands."""
        return self.reload is not None or self.health is not None

    def users(self) -> set[str]:
        """The users of the host whose rights its files and commands need."""
        commands = [command for command in (self.reload, self.health) if command is not None]
        return {self.user, *("root" if command.run_as == "root" else self.user for command in commands)}

    def connection_for(self, framework: Framework) -> Connection:
        """The connection in the form that a framework can use; `auto` routing takes the first one that it can.

        Raises OnboardingError when there is none.
        """
        connection = self.with_known_parameters(jdbc=framework.parameters in _parameters.READ_JDBC_URL)
        routing = connection.effective_routing
        if routing is not None and routing not in framework.routings:
            if connection.routing != "auto" or "database" not in framework.routings or not connection.routing_id:
                raise OnboardingError(
                    f"{framework.title} cannot name a Serverless cluster by {routing}; it can by"
                    f" {', '.join(framework.routings)}: set routing (crdb_connection_routing) for the connection"
                    f" {self.source.name}."
                )
            connection = connection.replace(routing="database")
        if connection.sslkey and framework.client_certificate == "none":
            able = [f.label for f in framework.choices if f.client_certificate != "none"]
            raise OnboardingError(
                f"{framework.label} cannot present a client certificate, which the connection {self.source.name} has."
                + (
                    f" It can as: {', '.join(able)}."
                    if able
                    else " Give the connection a password (crdb_connection_password) instead."
                )
            )
        if connection.sslkey and framework.client_certificate == "pkcs8" and not connection.sslkey.endswith(".pk8"):
            connection = connection.replace(sslkey=f"{connection.sslkey}.pk8")
        if connection.sslkey and self.ca_found_by(framework) == "trust_store":
            raise OnboardingError(
                f"{framework.label} presents no client certificate, which the connection {self.source.name} has, when"
                " it reads a trust store: leave trust_store (crdb_app_trust_store) out, or give the connection a"
                " password (crdb_connection_password) instead."
            )
        self._refuse_token(framework)
        if framework.ca == "pem_text" and self.source.ca is None and self.ca_found_by(framework) == "none":
            able = [f.label for f in framework.choices if f.ca != "pem_text"]
            raise OnboardingError(
                f"{framework.label} holds the text of the CA: give the connection {self.source.name} {_GIVE_CA}"
                + (f", or use {', '.join(able)}." if able else ".")
            )
        return connection

    def _refuse_token(self, framework: Framework) -> None:
        """Raise OnboardingError where the connection has a token that a framework cannot use."""
        token = self.source.token
        if not token:
            return
        if not framework.takes_tokens:
            able = [f.label for f in framework.choices if f.takes_tokens]
            why = framework.token_reason
            raise OnboardingError(
                f"{framework.label} cannot log in with a token, which the connection {self.source.name} has"
                f" ({token.kind})."
                + (f" {why[0].upper()}{why[1:]}." if why else "")
                + (
                    f" It can as: {', '.join(able)}."
                    if able
                    else " Give the connection a password (crdb_connection_password) or a client certificate instead."
                )
            )
        if token.kind == "jwt":
            raise OnboardingError(
                f"{framework.label} needs a new token for each connection, but the connection {self.source.name} has"
                " one token (jwt), which is written to no file. Set jwt_file (crdb_connection_jwt_file) or jwt_command"
                " (crdb_connection_jwt_command), which the host reads or runs."
            )

    def ca_path(self, folder: str, home: str, destination: str | None = None) -> str:
        """The CA's absolute path on the host, for `folder` and `home` as the host expands them.

        Raises OnboardingError when it would lie in the home of a user who has none.
        """
        named = self.source.connection.sslrootcert if destination is None and self.source.ca is None else None
        if named and not named.startswith("~/"):
            return named
        if destination is None:
            destination = self.source.destinations[0] if self.source.ca else "root_crt"
        if destination != "root_crt":
            return str(PurePosixPath(folder, CA_CRT))
        if not home:
            raise OnboardingError(
                f"apps entry {self.name!r}: {self.user} has no home folder of its own on this host, so there is no"
                f" ~/{ROOT_CRT}. Give the connection {self.source.name} {_GIVE_CA}, with ca_destination: certs"
                " (crdb_connection_ca_destination)."
            )
        return home + named[1:] if named else str(PurePosixPath(home, ROOT_CRT))


def with_certificate(app: App, folder: str) -> App:
    """The app with the absolute paths of its client certificate and key, where this collection puts them there.

    `folder` is the app's folder as the host expands it.
    """
    connection = app.source.connection
    if app.source.certificate is None or not connection.sslcert or not connection.sslkey:
        return app
    paths = {"sslcert": connection.sslcert, "sslkey": connection.sslkey}
    absolute = {name: str(PurePosixPath(folder, path)) for name, path in paths.items()}
    return replace(app, source=replace(app.source, connection=connection.replace(**absolute)))


def placed(app: App, home: str | None) -> App:
    """The app with its CA beside it, where it was to go to a `home` that is not there (an empty text) by itself."""
    moved = home == "" and app.source.ca is not None and app.source.ca_destination == "auto"
    return replace(app, source=replace(app.source, ca_destination="certs")) if moved else app


def name_after(folder: str) -> str:
    """The name of an app that is not given one: that of its folder, in the characters that a name may have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(folder).name).strip(".-")[:63]
    return name or FORMER_NAME


def app_entries(apps: Sequence[Any] | None, *, samples: bool = False) -> list[dict[str, Any]]:
    """The entries of the option `apps` with their defaults; one app with every default where there is none.

    `samples` is for apps that do not set it. Raises OnboardingError.
    """
    if apps is None:
        apps = [{}]
    if not isinstance(apps, (list, tuple)):
        raise OnboardingError("apps: must be a list of dictionaries, one for each app.")
    entries = []
    for number, facts in enumerate(apps):
        name = facts.get("name") if isinstance(facts, Mapping) else None
        where = f"apps entry {str(name)!r}" if name else f"apps entry {number + 1}"
        entry = schema.validated("apps", facts, where)
        named = {"named_after_folder": "name" not in entry, "name": name_after(entry["folder"])}
        entries.append({"samples": samples, **named, **entry})
    return entries


def _text_checks(entry: Mapping[str, Any], where: str) -> None:
    """Raise OnboardingError for a name or path that cannot be one."""
    for key in ("name", "psql_service"):
        if entry[key] and not _APP_NAME.fullmatch(entry[key]):
            raise OnboardingError(
                f"{where}: {key} {entry[key]!r} must consist of letters, digits, '.', '_' and '-', at most 63 of them."
            )
    folder, environment_file = entry["folder"], entry["environment_file"]
    for key in ("folder", "environment_file"):
        if not entry[key].isprintable():
            raise OnboardingError(f"{where}: {key} {entry[key]!r} must not contain characters that cannot be printed.")
        if ".." in PurePosixPath(entry[key]).parts:
            raise OnboardingError(f"{where}: {key} {entry[key]!r} must not contain '..': write the path that it means.")
    if not folder.startswith(("/", "~")):
        raise OnboardingError(f"{where}: folder {folder!r} must be an absolute path: begin it with / or ~/.")
    for key in ("user", "group"):
        if entry[key] and not _SYSTEM_NAME.fullmatch(entry[key]):
            raise OnboardingError(f"{where}: {key} {entry[key]!r} is not a valid system {key} name.")
    if (
        environment_file.startswith(("/", "~"))
        or environment_file.endswith("/")
        or not PurePosixPath(environment_file).name
    ):
        raise OnboardingError(
            f"{where}: environment_file {environment_file!r} must be a file inside the app's folder: give its name, or"
            " its path from there."
        )


def _source_of(entry: Mapping[str, Any], sources: Mapping[str, Source], where: str) -> Source:
    name = entry.get("connection") or (next(iter(sources)) if len(sources) == 1 else None)
    if name in sources:
        return sources[str(name)]
    known = ", ".join(sources)
    if name:
        raise OnboardingError(f"{where}: there is no connection {name!r}. The connections are {known}.")
    raise OnboardingError(f"{where}: connection is missing. Set it to one of {known}.")


def _numbers(entry: Mapping[str, Any], where: str) -> dict[str, int]:
    """The settings of the pool. Raises OnboardingError for a number that no pool can have."""
    for key, least in (("pool_size", 1), ("pool_lifetime", 0), ("connect_timeout", 1), ("keepalive", 0)):
        if not least <= entry[key] <= _LARGEST_NUMBER:
            raise OnboardingError(
                f"{where}: {key} {entry[key]} must be from {least} to {_LARGEST_NUMBER} (crdb_app_{key})."
            )
    return {key: int(entry[key]) for key in ("pool_size", "pool_lifetime", "connect_timeout", "keepalive")}


def _refuse_unknown_parameters(source: Source) -> None:
    """Raise OnboardingError for a parameter that no driver knows: it is a typing error, or of another program."""
    somewhere = _parameters.known_somewhere()
    for name, _value in source.connection.parameters:
        if name not in somewhere:
            near = get_close_matches(name, somewhere, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise OnboardingError(
                f"connection {source.name}: no driver knows the parameter {name!r}: remove it from the connection"
                f" string or from parameters.{hint}"
            )


def _app(
    entry: Mapping[str, Any],
    sources: Mapping[str, Source],
    catalogue: Mapping[str, Framework],
    projects: Mapping[str, Project],
) -> App:
    where = f"apps entry {entry['name']!r}"
    source = _source_of(entry, sources, where)
    _refuse_unknown_parameters(source)
    _text_checks(entry, where)
    service = commands.unit(entry["service"], where)
    secret = source.connection.password
    app = App(
        name=entry["name"],
        source=source,
        folder=entry["folder"].rstrip("/") or "/",
        user=entry["user"],
        group=entry["group"],
        frameworks=(),
        environment_file=entry["environment_file"],
        samples=entry["samples"],
        psql_service=entry["psql_service"],
        trust_store=entry["trust_store"],
        service=service,
        reload=commands.reload(entry.get("reload"), service, where, secret),
        health=commands.health(entry.get("health"), service, where, secret),
        **_numbers(entry, where),
    )
    if app.trust_store and source.ca is None:
        raise OnboardingError(
            f"{where}: trust_store holds the CA, but the connection {source.name} has none: give it {_GIVE_CA}."
        )
    frameworks = _frameworks(entry, catalogue, where, projects)
    app = replace(app, frameworks=frameworks)
    claims = _Claims(app)
    for framework in frameworks:
        try:
            claims.add(framework)
        except OnboardingError as exc:
            raise OnboardingError(f"{where}: {exc}") from None
    return app


def _framework_entries(value: Any, where: str) -> list[Any]:
    value = schema.as_list(value)
    if not isinstance(value, (list, tuple)):
        raise OnboardingError(f"{where}: frameworks must be a list of names, or of dictionaries with a name.")
    return list(value)


def refuse_unknown_frameworks(entries: Sequence[Mapping[str, Any]], catalogue: Mapping[str, Framework]) -> None:
    """Raise OnboardingError for a framework that the catalogue does not have. Needs no connection."""
    for entry in entries:
        where = f"apps entry {entry['name']!r}"
        for selection in _framework_entries(entry.get("frameworks") or [], where):
            try:
                find(selection, catalogue, entry.get("password_place"))
            except OnboardingError as exc:
                raise OnboardingError(f"{where}: {exc}") from None


class _Claims:
    """Which framework writes a file, or sets a variable of the environment file: two must not differ."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._writers: dict[str, tuple[str, tuple[str, str]]] = {}
        self._values: dict[str, tuple[Any, str]] = {}

    def add(self, framework: Framework) -> None:
        """Claim the files and variables of a framework. Raises OnboardingError when they are another one's."""
        connection = self._app.connection_for(framework)
        for file in framework.files:
            # Frameworks of one language may share a file, as Go's share the package crdbpgx: it must be the same then.
            shared = (os.path.normpath(framework.folder / file.template), framework.place)
            writer, held = self._writers.setdefault(file.destination, (framework.name, shared))
            if writer != framework.name and held != shared:
                raise OnboardingError(
                    f"{writer} and {framework.name} both write {file.destination}: give each an app of its own."
                )
        for variable, form in framework.environment.items() if framework.place == "env" else ():
            value = (form, connection.effective_routing, self._app.ca_found_by(framework) == "none")
            claimed, title = self._values.setdefault(variable, (value, framework.title))
            if claimed != value:
                raise OnboardingError(
                    f"{title} and {framework.title} need different values of {variable} in"
                    f" {self._app.environment_file}: give each an app of its own."
                )


def _frameworks(
    entry: Mapping[str, Any], catalogue: Mapping[str, Framework], where: str, projects: Mapping[str, Project]
) -> tuple[Framework, ...]:
    frameworks: dict[str, Framework] = {}
    for selection in _framework_entries(entry.get("frameworks") or [], where):
        try:
            framework = find(selection, catalogue, entry.get("password_place"), projects)
            if frameworks.setdefault(framework.name, framework) != framework:
                raise OnboardingError(f"{framework.name} is listed twice, in two forms: give each an app of its own.")
        except OnboardingError as exc:
            raise OnboardingError(f"{where}: {exc}") from None
    return tuple(frameworks.values())


_UNIQUE: tuple[tuple[str, Callable[[App], Any]], ...] = (
    ("name", lambda app: app.name),
    ("folder", lambda app: (app.user, app.folder)),
    ("psql_service", lambda app: (app.user, app.psql_service) if app.psql_service else None),
    ("service", lambda app: app.service or None),
)


def apps(
    entries: Sequence[Mapping[str, Any]],
    sources: Mapping[str, Source],
    catalogue: Mapping[str, Framework],
    projects: Mapping[str, Mapping[str, Project]] = MappingProxyType({}),
) -> tuple[App, ...]:
    """All apps of a host, of the entries that `app_entries` returns, with the projects by app and language.

    Raises OnboardingError.
    """
    if len(sources) > 1 and len(entries) == 1 and "connection" not in entries[0]:
        raise OnboardingError(
            f"There are {len(sources)} connections ({', '.join(sources)}): set the connection of the app to one of"
            " them."
        )
    parsed = tuple(_app(entry, sources, catalogue, projects.get(entry["name"], {})) for entry in entries)
    for title, key_of in _UNIQUE:
        app_by_key: dict[Any, App] = {}
        for app in parsed:
            key = key_of(app)
            other = app_by_key.setdefault(key, app)
            if key is not None and other is not app:
                raise OnboardingError(f"apps: {other.name} and {app.name} have the same {title}.")
    return parsed
