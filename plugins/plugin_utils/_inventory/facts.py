# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data model of an onboarding: `crdb_connections` and `crdb_apps` of the inventory, as typed values.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import Authority, CaSource
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework, find
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import answers as _answers
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import commands as _commands
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.commands import Command
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import (
    JAVA_SSL_FACTORY,
    Connection,
    InvalidConnection,
    is_cloud_host,
    resolve,
)

DEFAULT_APP_NAME = "app"
DEFAULT_APP_FOLDER = "~/crdb-app"
DEFAULT_ENVIRONMENT_FILE = ".env"
ROOT_CRT = ".postgresql/root.crt"
CA_CRT = "certs/ca.crt"
SERVICE_FILE = ".pg_service.conf"
PASSFILE = ".pgpass"
# The trust store of a JVM, and the arguments that make a JVM use it: `java @certs/truststore.args`.
TRUST_STORE = "certs/truststore.p12"
TRUST_STORE_ARGUMENTS = "certs/truststore.args"

CA_KEYS = ("ca_file", "ca_url", "ca_text")
CA_DESTINATIONS = ("auto", "certs", "root_crt", "both")
SHORTHAND = "crdb_connection_"
SHORTHAND_NAME = "default"
SHORTHAND_KEYS = (
    *_cluster.KEYS,
    *(
        "url",
        "deployment",
        "host",
        "port",
        "database",
        "user",
        "password",
        "routing_id",
        "routing",
        "sslcert",
        "sslkey",
    ),
    *CA_KEYS,
    *("ca_public", "ca_destination", "ca_fingerprint"),
)

_APP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_SYSTEM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
APP_SHORTHAND = {
    "frameworks": "crdb_frameworks",
    **{
        key: f"crdb_app_{key}"
        for key in ("name", "folder", "user", "connection", "password_place", "samples", "psql_service", "trust_store")
    },
}
"""The keys of the one app that needs no `crdb_apps`, with their variables."""
_APP_KEYS = {*APP_SHORTHAND, "group", "environment_file", "service", "reload", "health"}


@dataclass(frozen=True)
class Source:
    """A connection of the inventory with what belongs to it on a host: its CA and where that goes."""

    name: str
    connection: Connection
    ca: CaSource | None
    ca_public: bool
    ca_destination: str

    def authorities(self) -> tuple[Authority, ...]:
        """The verified authorities of the CA that was given; none when there is none. Raises OnboardingError."""
        return self.ca.load() if self.ca is not None else ()

    @property
    def destinations(self) -> tuple[str, ...]:
        """Where the CA goes on a host: ``certs``, ``root_crt`` or both; the first one is named by the configs."""
        if self.ca_destination == "both":
            return ("certs", "root_crt")
        if self.ca_destination != "auto":
            return (self.ca_destination,)
        return ("root_crt",) if self.ca_public else ("certs",)

    @property
    def found_by_clients(self) -> bool:
        """Whether clients find the CA where they look by themselves, as the guide's forms want it.

        That is a public CA; without one given, the Serverless clusters of CockroachDB Cloud have one.
        """
        if self.connection.sslrootcert:
            return False
        if self.ca is None:
            cloud = self.connection.deployment == "serverless" and is_cloud_host(self.connection.host)
            return self.ca_public or cloud
        return self.ca_public and "root_crt" in self.destinations


@dataclass(frozen=True)
class App:
    """One consumer of a connection on a host; an empty `user` is the one that the play logs in as (or becomes).

    `service` is its systemd unit, if it has one; `reload` and `health` are run on the host when its files changed.
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
        connection = self.source.connection
        routing = connection.effective_routing
        if routing is not None and routing not in framework.routings:
            if connection.routing != "auto" or "database" not in framework.routings or not connection.routing_id:
                raise OnboardingError(
                    f"{framework.title} cannot name a Serverless cluster by {routing}; it can by"
                    f" {', '.join(framework.routings)}: set routing for the connection {self.source.name}."
                )
            connection = connection.replace(routing="database")
        if connection.sslkey and framework.client_certificate == "none":
            able = [f.label for f in framework.choices if f.client_certificate != "none"]
            raise OnboardingError(
                f"{framework.label} cannot present a client certificate, which the connection {self.source.name} has."
                + (f" It can as: {', '.join(able)}." if able else " Give the connection a password instead.")
            )
        if connection.sslkey and framework.client_certificate == "pkcs8" and not connection.sslkey.endswith(".pk8"):
            connection = connection.replace(sslkey=f"{connection.sslkey}.pk8")
        if connection.sslkey and self.ca_found_by(framework) == "trust_store":
            raise OnboardingError(
                f"{framework.label} presents no client certificate, which the connection {self.source.name} has, when"
                " it reads a trust store: leave trust_store out, or give the connection a password instead."
            )
        if framework.ca == "pem_text" and self.source.ca is None and self.ca_found_by(framework) == "none":
            able = [f.label for f in framework.choices if f.ca != "pem_text"]
            raise OnboardingError(
                f"{framework.label} holds the text of the CA: give ca_file, ca_url or ca_text for the connection"
                f" {self.source.name}" + (f", or use {', '.join(able)}." if able else ".")
            )
        return connection

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
                f"crdb_apps entry {self.name!r}: {self.user} has no home folder of its own on this host, so there is no"
                f" ~/{ROOT_CRT}. Give the connection {self.source.name} ca_file, ca_url or ca_text, with"
                " ca_destination: certs."
            )
        return home + named[1:] if named else str(PurePosixPath(home, ROOT_CRT))


def placed(app: App, home: str | None) -> App:
    """The app with its CA beside it, where it was to go to a `home` that is not there (an empty text) by itself."""
    moved = home == "" and app.source.ca is not None and app.source.ca_destination == "auto"
    return replace(app, source=replace(app.source, ca_destination="certs")) if moved else app


def endpoint_facts(name: str, connection: Connection, ca: Mapping[str, Any]) -> dict[str, Any]:
    """What a check, or a session of the controller, needs of a connection; `ca` is its ca_text or ca_file."""
    return {
        "name": name,
        "deployment": connection.deployment,
        "host": connection.host,
        "port": connection.port,
        "database": connection.startup_database,
        "options": connection.startup_options,
        "user": connection.user,
        "password": connection.password,
        "routing_id": connection.routing_id,
        "sslcert": connection.sslcert,
        "sslkey": connection.sslkey,
        **ca,
    }


def _plain(value: Any) -> Any:
    """Values without Ansible's tags, which make texts instances of a subclass."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, str) else value


def _flag(value: Any, what: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "yes", "false", "no"):
        return value.lower() in ("true", "yes")
    raise OnboardingError(f"{what}: wants true or false.")


def source(name: str, facts: Any, *, allow_weaker_tls: bool = False) -> Source:
    """One entry of `crdb_connections`. Raises OnboardingError that names the entry and the part."""
    if not isinstance(facts, Mapping):
        raise OnboardingError(f"crdb_connections.{name}: wants a dictionary of facts (url, or host, user and so on).")
    facts = {k: v for k, v in _plain(facts).items() if v is not None}
    given = [key for key in CA_KEYS if facts.get(key)]
    if len(given) > 1:
        raise OnboardingError(f"crdb_connections.{name}: gives {' and '.join(given)}; a connection has one CA.")
    destination = facts.pop("ca_destination", "auto")
    if destination not in CA_DESTINATIONS:
        raise OnboardingError(
            f"crdb_connections.{name}.ca_destination: {destination!r} is none of {', '.join(CA_DESTINATIONS)}."
        )
    public = _flag(facts.pop("ca_public", False), f"crdb_connections.{name}.ca_public")
    fingerprint = re.sub(r"[:\s]", "", str(facts.pop("ca_fingerprint", ""))).lower()
    if fingerprint and (not given or not re.fullmatch(r"[0-9a-f]{64}", fingerprint)):
        raise OnboardingError(
            f"crdb_connections.{name}.ca_fingerprint: wants the SHA-256 (64 hexadecimal digits) of the CA given."
        )
    ca = CaSource(given[0], str(facts[given[0]]), fingerprint) if given else None
    for key in CA_KEYS:
        facts.pop(key, None)
    try:
        connection = resolve(facts, allow_weaker_tls=allow_weaker_tls)
    except InvalidConnection as exc:
        raise OnboardingError(f"crdb_connections.{name}: {exc}") from None
    if ca is None and not connection.sslrootcert and connection.deployment != "serverless":
        raise OnboardingError(
            f"crdb_connections.{name}: a {connection.deployment.replace('_', '-')} cluster has a CA of its own. Give"
            " ca_file, ca_url or ca_text, or sslrootcert in the URL when the file is on the host already."
        )
    return Source(name, connection, ca, public, destination)


def alternating(name: str, facts: Any) -> tuple[Any, tuple[str, ...]]:
    """The facts of a connection with `users` as one with its first user, and both; others as they are, and none.

    Raises OnboardingError when they are not two.
    """
    if not isinstance(facts, Mapping) or not facts.get("users"):
        return facts, ()
    users = facts["users"]
    known = [key for key in ("user", "password", "sslcert") if facts.get(key)]
    if known:
        raise OnboardingError(f"crdb_connections.{name}: gives users, and {' and '.join(known)}: leave that out.")
    if not isinstance(users, (list, tuple)) or len({str(user).lower() for user in users}) != 2 or len(users) != 2:
        raise OnboardingError(f"crdb_connections.{name}: users wants two different names, which then alternate.")
    names = tuple(str(user).lower() for user in users)
    return {**{key: value for key, value in facts.items() if key != "users"}, "user": names[0]}, names


def _ask(name: str, question: str, prompt: Callable[[str], str] | None) -> str:
    if prompt is None:
        return _answers.given().get(name, "")
    return _answers.ask_once(name, lambda: prompt(question))


def connection_facts(
    variables: Mapping[str, Any],
    *,
    prompt: Callable[[str], str] | None = None,
) -> dict[str, dict[str, Any]]:
    """All connections that were given, by name, as they were given: inventory, else environment, else asked.

    `variables` are `crdb_connections` and the shorthand `crdb_connection_*`. `prompt` asks without echo; None takes
    only what was asked before in this run. Raises OnboardingError when there is none.
    """
    connections = variables.get("crdb_connections") or {}
    if not isinstance(connections, Mapping):
        raise OnboardingError("crdb_connections: wants a dictionary, from a name to the facts of that connection.")
    found = {str(k): dict(v) if isinstance(v, Mapping) else v for k, v in connections.items()}
    given = {key: variables.get(SHORTHAND + key) for key in SHORTHAND_KEYS}
    shorthand = {key: value for key, value in given.items() if value not in (None, "")}
    if not found and not {"url", "host", "cluster"} & set(shorthand):
        url = os.environ.get("COCKROACH_URL") or os.environ.get("DATABASE_URL")
        shorthand["url"] = url or _ask("url", "Connection string of the cluster (not shown while you type)", prompt)
        if not shorthand["url"]:
            raise OnboardingError(
                "No connection was given. Set crdb_connection_url (or crdb_connections), or COCKROACH_URL or"
                " DATABASE_URL in the environment; the Cloud Console shows the connection string under Connect."
            )
    # The defaults of the role crdb_connection are in the shorthand too: they say nothing.
    said = sorted(key for key in shorthand if key not in ("ca_public", "ca_destination"))
    if found and said:
        raise OnboardingError(
            f"crdb_connections and the shorthand {SHORTHAND}{said[0]} are both given: write it into the entry"
            f" ({', '.join(found)}) that it belongs to."
        )
    return found or {SHORTHAND_NAME: shorthand}


def clusters(variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The connections that name a cluster of the Cloud API, as they were given."""
    connections = variables.get("crdb_connections") or {}
    found = {str(k): _plain(v) for k, v in connections.items()} if isinstance(connections, Mapping) else {}
    if not found and variables.get(f"{SHORTHAND}cluster"):
        found = {SHORTHAND_NAME: _plain({key: variables.get(SHORTHAND + key) for key in SHORTHAND_KEYS})}
    return {name: facts for name, facts in found.items() if isinstance(facts, dict) and facts.get("cluster")}


def with_password(source: Source, *, prompt: Callable[[str], str] | None = None) -> Source:
    """The same source with a password where it needs one: from the environment (PGPASSWORD), else asked for."""
    connection = source.connection
    if connection.password is not None or connection.sslcert is not None:
        return source
    question = f"Password of the SQL user {connection.user} for the connection {source.name} (not shown while you type)"
    password = os.environ.get("PGPASSWORD") or _ask(f"password of {source.name}", question, prompt)
    if not password:
        raise OnboardingError(
            f"crdb_connections.{source.name}: has no password for the SQL user {connection.user}. Set password (or"
            " crdb_connection_password), or PGPASSWORD in the environment"
            + ("." if connection.deployment == "serverless" else ", or sslcert and sslkey for a client certificate.")
        )
    return replace(source, connection=connection.replace(password=password))


def app_facts(variables: Mapping[str, Any], sources: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The apps of a host as they were given, or the one app that the shorthand makes."""
    apps = variables.get("crdb_apps")
    if apps is None:
        given = {key: variables.get(name) for key, name in APP_SHORTHAND.items()}
        apps = [{key: value for key, value in given.items() if value is not None}]
    if not isinstance(apps, (list, tuple)):
        raise OnboardingError("crdb_apps: wants a list, one entry an app.")
    if variables.get("crdb_apps") is None and len(sources) > 1 and "connection" not in apps[0]:
        raise OnboardingError(
            f"crdb_connections has {len(sources)} entries ({', '.join(sources)}): say which one in crdb_app_connection,"
            " or list the apps in crdb_apps."
        )
    plain: list[dict[str, Any]] = _plain(apps)
    default = variables.get("crdb_app_samples")
    for facts in plain:
        if isinstance(facts, dict) and default is not None:
            facts.setdefault("samples", default)
    return plain


def _app(facts: Any, sources: Mapping[str, Source], catalogue: Mapping[str, Framework]) -> App:
    if not isinstance(facts, Mapping):
        raise OnboardingError("crdb_apps: each entry wants a dictionary (name, connection, folder, frameworks).")
    name = facts.get("name") or DEFAULT_APP_NAME
    what = f"crdb_apps entry {name!r}"
    if not _APP_NAME.fullmatch(str(name)):
        raise OnboardingError(f"{what}: a name has letters, digits, '.', '_' and '-', at most 63.")
    unknown = sorted(set(facts) - _APP_KEYS)
    if unknown:
        raise OnboardingError(f"{what}: does not know {', '.join(unknown)}; it knows {', '.join(sorted(_APP_KEYS))}.")
    connection = facts.get("connection") or (next(iter(sources)) if len(sources) == 1 else None)
    if connection not in sources:
        raise OnboardingError(
            f"{what}: connection {connection!r} is none of {', '.join(sources)}."
            if connection
            else f"{what}: say which connection it uses: {', '.join(sources)}."
        )
    folder = str(facts.get("folder") or DEFAULT_APP_FOLDER)
    if not folder.startswith(("/", "~")) or "\0" in folder or "\n" in folder:
        raise OnboardingError(f"{what}: folder {folder!r} is not an absolute path; begin it with / or ~/.")
    for key in ("user", "group"):
        if facts.get(key) and not _SYSTEM_NAME.fullmatch(str(facts[key])):
            raise OnboardingError(f"{what}: {key} {facts[key]!r} is no name of a system's {key}.")
    environment_file = str(facts.get("environment_file") or DEFAULT_ENVIRONMENT_FILE)
    if PurePosixPath(environment_file).is_absolute() or ".." in PurePosixPath(environment_file).parts:
        raise OnboardingError(f"{what}: environment_file {environment_file!r} does not stay inside the app's folder.")
    psql_service = str(facts.get("psql_service") or "")
    if psql_service and not _APP_NAME.fullmatch(psql_service):
        raise OnboardingError(
            f"{what}: psql_service {psql_service!r}: has letters, digits, '.', '_' and '-', at most 63."
        )
    service = _commands.unit(facts.get("service"), what)
    secret = sources[str(connection)].connection.password
    found = App(
        name=str(name),
        source=sources[str(connection)],
        folder=folder.rstrip("/") or "/",
        user=str(facts.get("user") or ""),
        group=str(facts.get("group") or ""),
        frameworks=(),
        environment_file=environment_file,
        samples=_flag(facts.get("samples", False), f"{what}: samples"),
        psql_service=psql_service,
        trust_store=_flag(facts.get("trust_store", False), f"{what}: trust_store"),
        service=service,
        reload=_commands.reload(facts.get("reload"), service, what, secret),
        health=_commands.health(facts.get("health"), service, what, secret),
    )
    if found.trust_store and found.source.ca is None:
        raise OnboardingError(
            f"{what}: trust_store holds the CA: give ca_file, ca_url or ca_text for the connection {found.source.name}."
        )
    return replace(found, frameworks=_frameworks(found, facts, catalogue, what))


def _frameworks(
    app: App, facts: Mapping[str, Any], catalogue: Mapping[str, Framework], what: str
) -> tuple[Framework, ...]:
    wanted = facts.get("frameworks") or []
    if isinstance(wanted, str):
        wanted = [part.strip() for part in wanted.split(",") if part.strip()]
    if not isinstance(wanted, (list, tuple)):
        raise OnboardingError(f"{what}: frameworks wants a list of names, or of entries with a name.")
    found: dict[str, Framework] = {}
    owners: dict[str, str] = {}
    variables: dict[str, tuple[str, str | None, bool, str]] = {}
    try:
        for entry in wanted:
            framework = find(entry, catalogue, facts.get("password_place"))
            if found.setdefault(framework.name, framework) != framework:
                raise OnboardingError(f"{framework.name} is listed twice, in two forms: give each an app of its own.")
            connection = app.connection_for(framework)
            for file in framework.files:
                if owners.setdefault(file.destination, framework.name) != framework.name:
                    raise OnboardingError(
                        f"{owners[file.destination]} and {framework.name} both write {file.destination}: give each an"
                        " app of its own."
                    )
            for variable, form in framework.environment.items() if framework.place == "env" else ():
                by_path = app.ca_found_by(framework) == "none"
                value = (form, connection.effective_routing, by_path, framework.title)
                other = variables.setdefault(variable, value)
                if other[:-1] != value[:-1]:
                    raise OnboardingError(
                        f"{other[-1]} and {framework.title} want different values of {variable} in"
                        f" {app.environment_file}: give each an app of its own."
                    )
    except OnboardingError as exc:
        raise OnboardingError(f"{what}: {exc}") from None
    return tuple(found.values())


def apps(
    given: list[dict[str, Any]], sources: Mapping[str, Source], catalogue: Mapping[str, Framework]
) -> tuple[App, ...]:
    """All apps of a host. Raises OnboardingError; nothing has changed then."""
    found = tuple(_app(facts, sources, catalogue) for facts in given)
    for key, title in (
        (lambda a: a.name, "name"),
        (lambda a: (a.user, a.folder), "folder"),
        (lambda a: (a.user, a.psql_service) if a.psql_service else None, "psql_service"),
        (lambda a: a.service or None, "service"),
    ):
        seen: dict[Any, App] = {}
        for app in found:
            if key(app) is None:
                continue
            if key(app) in seen:
                raise OnboardingError(f"crdb_apps: {seen[key(app)].name} and {app.name} have the same {title}.")
            seen[key(app)] = app
    return found
