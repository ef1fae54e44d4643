# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections of an action's options, as typed values.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import authorities
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import site
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import (
    answers,
    certificates,
    origin,
    questions,
    schema,
    tokens,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.origin import DEFAULT_NAME
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.ca import CA_SOURCE_KEYS, PUBLIC_CA, CaSource
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import (
    CERTIFICATE_KEYS,
    CERTIFICATE_SOURCE_KEYS,
    CertificateSource,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import (
    Connection,
    InvalidConnectionError,
    is_cloud_host,
    pasted_url,
    resolve,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.token import TOKEN_KEYS, TokenSource

_OF_SITE = (*CA_SOURCE_KEYS, "ca_public", "ca_destination", "ca_fingerprint", *CERTIFICATE_KEYS, *TOKEN_KEYS)
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_CLUSTER_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
# How the Console, in commands for a shell, writes the home that no driver expands.
_HOME = re.compile(r"\$(?:HOME|\{HOME\})(?=/)")
_ROOT_CRT = "~/.postgresql/root.crt"
URL_ANSWER = "url"
"""The name of the question for the connection string."""


@dataclass(frozen=True)
class Source:
    """A connection with what belongs to it on a host: its CA, where that goes, its client certificates or its token.

    With a `certificate` the connection names its certificate and key by their paths inside the folder of an app. With a
    `token` it has the option that makes the server read the password as one, and no password.
    """

    name: str
    connection: Connection
    ca: CaSource | None
    ca_public: bool
    ca_destination: str
    certificate: CertificateSource | None = None
    token: TokenSource | None = None

    @property
    def has_login(self) -> bool:
        """Whether it has a way to log in: a password, a client certificate or a token."""
        return self.without_password or self.connection.password is not None

    @property
    def without_password(self) -> bool:
        """Whether its user logs in with a client certificate or a token."""
        return self.connection.sslcert is not None or self.token is not None

    @property
    def destinations(self) -> tuple[str, ...]:
        """Where the CA goes on a host: ``certs``, ``root_crt`` or both. Configurations name the first one."""
        if self.ca_destination == "both":
            return ("certs", "root_crt")
        if self.ca_destination != "auto":
            return (self.ca_destination,)
        return ("root_crt",) if self.ca_public else ("certs",)

    @property
    def found_by_clients(self) -> bool:
        """Whether clients find the CA where they look by themselves, as the guide's forms need it.

        That is so for a public CA. Without a CA source, the Serverless clusters of CockroachDB Cloud have a public one.
        """
        if self.connection.sslrootcert:
            return False
        if self.ca is None:
            cloud = self.connection.deployment == "serverless" and is_cloud_host(self.connection.host)
            return self.ca_public or cloud
        return self.ca_public and "root_crt" in self.destinations


def endpoint_facts(
    name: str, connection: Connection, ca: Mapping[str, Any], token: TokenSource | None = None
) -> dict[str, Any]:
    """What a check, or a SQL session of the controller, needs of a connection; `ca` is its ca_text or ca_file."""
    parameters = dict(connection.parameters)
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
        **{key: parameters[key] for key in ("sslcrl", "sslcrldir") if key in parameters},
        **(token.facts() if token else {}),
        **ca,
    }


def source(
    name: str,
    facts: Any,
    *,
    url: str = "",
    cloud: Mapping[str, Any] | None = None,
    prompt: questions.Prompt | None = None,
) -> Source:
    """One entry of `connections`. Raises OnboardingError that names the entry, or what was typed, and the key.

    Args:
        name: of the entry.
        facts: its keys.
        url: what people call the connection string, where no variable holds it.
        cloud: the option of that name, for the site that CAs are downloaded from.
        prompt: asks for the CA; None takes only what was typed before in this run.
    """
    facts = schema.validated("connections", facts, origin.label(name, {}))
    if len([key for key in CA_SOURCE_KEYS if facts.get(key)]) > 1:
        keys = [origin.setting(name, key) for key in CA_SOURCE_KEYS if facts.get(key)]
        raise OnboardingError(
            f"{origin.label(name, facts, url=url)}: has {' and '.join(keys)}, but a connection has one CA source."
        )
    connection = _connection(name, facts, url)
    public = _has_public_ca(connection)
    if public and connection.sslrootcert == _ROOT_CRT:
        connection = connection.replace(sslrootcert=None)
    ca = _given_ca(name, facts, cloud)
    if ca is None and not connection.sslrootcert:
        ca = CaSource(PUBLIC_CA, "") if public else _asked_ca(name, facts, connection, url, cloud, prompt)
    ca_public = facts["ca_public"] or (ca is not None and ca.kind == PUBLIC_CA)
    certificate = certificates.source(name, facts, connection)
    if certificate is not None:
        connection = certificates.named(connection)
    connection, token = tokens.taken_out(connection, tokens.source(name, facts, connection))
    return Source(name, connection, ca, ca_public, facts["ca_destination"], certificate, token)


def _connection(name: str, facts: Mapping[str, Any], url: str) -> Connection:
    try:
        values = {key: value for key, value in facts.items() if key not in _OF_SITE}
        if facts.get("url"):
            values["url"] = pasted_url(facts["url"])
        connection = resolve(values)
    except InvalidConnectionError as exc:
        raise OnboardingError(f"{origin.label(name, facts, exc.part, url)}: {exc}") from None
    ca_path = connection.sslrootcert
    return connection.replace(sslrootcert=_HOME.sub("~", ca_path)) if ca_path and _HOME.match(ca_path) else connection


def _has_public_ca(connection: Connection) -> bool:
    """Whether this is a Serverless cluster of CockroachDB Cloud: the CA of all of these is a public one."""
    cloud = connection.deployment == "serverless" and is_cloud_host(connection.host)
    return cloud and connection.sslrootcert in (None, _ROOT_CRT)


def _given_ca(name: str, facts: Mapping[str, Any], cloud: Mapping[str, Any] | None) -> CaSource | None:
    key = next((key for key in CA_SOURCE_KEYS if facts.get(key)), "")
    fingerprint = re.sub(r"[:\s]", "", facts.get("ca_fingerprint", "")).lower()
    if fingerprint and not (key and _FINGERPRINT.fullmatch(fingerprint)):
        where = f"connections.{name}.ca_fingerprint" if name != DEFAULT_NAME else f"{origin.VARIABLE}ca_fingerprint"
        keys = ", ".join(origin.setting(name, key) for key in CA_SOURCE_KEYS)
        raise OnboardingError(f"{where}: must be the SHA-256 (64 hexadecimal digits) of the CA that {keys} supplies.")
    if key == "ca_cluster_id":
        return replace(_cluster_ca(name, facts[key], cloud), fingerprint=fingerprint)
    return CaSource(key, facts[key], fingerprint) if key else None


def _cluster_ca(name: str, text: str, cloud: Mapping[str, Any] | None) -> CaSource:
    """The CA that the site of the Cloud serves for a cluster, to anybody and without a key."""
    match = _CLUSTER_ID.search(text)
    if match is None:
        where = f"connections.{name}.ca_cluster_id" if name != DEFAULT_NAME else f"{origin.VARIABLE}ca_cluster_id"
        raise OnboardingError(
            f"{where}: {text!r} is not the id of a cluster, such as 12345678-1234-1234-1234-123456789abc. The Cloud"
            " Console shows it under Connect > Download CA."
        )
    base, ca_file = site(cloud or {})
    return CaSource("ca_cluster_id", f"{base}/clusters/{match.group().lower()}/cert", download_ca=ca_file)


def _typed_ca(name: str, text: str, cloud: Mapping[str, Any] | None) -> CaSource:
    """The CA that a person named: by the id of the cluster, a command or URL with that id, another URL, or a path."""
    text = text.strip().strip("'\"")
    if _CLUSTER_ID.search(text):
        return _cluster_ca(name, text, cloud)
    if text.startswith("https://"):
        return CaSource("ca_url", text)
    if Path(text).expanduser().is_file():
        return CaSource("ca_file", str(Path(text).expanduser().absolute()))
    raise OnboardingError("That is neither the id of a cluster, nor an https URL, nor the path of a file.")


def _asked_ca(
    name: str,
    facts: Mapping[str, Any],
    connection: Connection,
    url: str,
    cloud: Mapping[str, Any] | None,
    prompt: questions.Prompt | None,
) -> CaSource | None:
    """The CA that a person names; None where the hosts may have it. Raises OnboardingError where there must be one."""
    own = connection.deployment == "self_hosted"
    question = (
        f"CA of {connection.host}: the path of its ca.crt"
        if own
        else f"CA of {connection.host}: the cluster id in the Console's command (Connect > Download CA), or the path of"
        " a CA file"
    )
    if connection.deployment == "serverless":
        question += f". Press Enter if it is in {_ROOT_CRT} already"
    text = questions.ask(
        f"CA of {name}",
        f"{question} (not shown while you type)",
        prompt,
        lambda answer: authorities.load(_typed_ca(name, answer, cloud)),
    )
    if text:
        return _typed_ca(name, text, cloud)
    if connection.deployment == "serverless":
        return None
    # A cluster that runs elsewhere has no id in the Cloud.
    keys = [key for key in CA_SOURCE_KEYS if not (own and key == "ca_cluster_id")]
    settings = [origin.setting(name, key) for key in keys]
    console = "" if own else " The Cloud Console shows its download, with the id, under Connect > Download CA."
    raise OnboardingError(
        f"{origin.label(name, facts, url=url)}: a {connection.deployment.replace('_', '-')} cluster has a CA of"
        f" its own. Set {', '.join(settings[:-1])} or {settings[-1]}, or {origin.setting(name, 'sslrootcert')} when the"
        f" file is on the host already.{console}"
    )


def alternating(name: str, facts: Any) -> tuple[Any, tuple[str, ...]]:
    """The facts of a connection with `users` as one with its first user, and both users; others unchanged, and none.

    Raises OnboardingError when they are not two.
    """
    if not isinstance(facts, Mapping) or not facts.get("users"):
        return facts, ()
    users = schema.as_list(facts["users"])
    excluded = [key for key in ("user", "password", "sslcert", *CERTIFICATE_SOURCE_KEYS, *TOKEN_KEYS) if facts.get(key)]
    if excluded:
        keys = " and ".join(origin.setting(name, key) for key in excluded)
        raise OnboardingError(f"{origin.label(name, facts, 'users')}: has users, so {keys} must be left out.")
    if not isinstance(users, (list, tuple)) or len({str(user).lower() for user in users}) != 2 or len(users) != 2:
        raise OnboardingError(
            f"{origin.label(name, facts, 'users')}: users must be two different names, which then alternate."
        )
    names = tuple(str(user).lower() for user in users)
    return {**{key: value for key, value in facts.items() if key != "users"}, "user": names[0]}, names


def connection_facts(
    connections: Mapping[str, Any] | None, *, prompt: questions.Prompt | None = None
) -> dict[str, dict[str, Any]]:
    """The facts of every connection by name: the option's, else the environment's, else what a person types.

    `prompt` asks without echo; None takes only what was typed before in this run. Raises OnboardingError when there is
    no connection.
    """
    facts_by_name = given_facts(connections)
    if facts_by_name:
        return facts_by_name
    only = _only(connections) or {}
    variable = origin.environment_variable()
    url = (
        os.environ[variable]
        if variable
        else questions.ask(
            URL_ANSWER,
            "Connection string of the cluster (not shown while you type)",
            prompt,
            lambda answer: _connection(
                DEFAULT_NAME, alternating(DEFAULT_NAME, {**only, "url": answer})[0], origin.TYPED
            ),
        )
    )
    if not url:
        raise OnboardingError(
            "There is no connection. Set its connection string: crdb_connection_url (the key url of an entry in"
            " connections), or COCKROACH_URL or DATABASE_URL in the environment. The Cloud Console shows the string"
            " under Connect."
        )
    return {DEFAULT_NAME: {**only, "url": url}}


def given_facts(connections: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The facts of every connection that the option has; one without an address does not count."""
    if not isinstance(connections or {}, Mapping):
        raise OnboardingError("connections: must be a dictionary from a name to the facts of that connection.")
    facts_by_name = {str(name): schema.plain(facts) for name, facts in (connections or {}).items()}
    return {} if _only(connections) is not None else facts_by_name


def is_given(connections: Mapping[str, Any] | None) -> bool:
    """Whether the option, the environment or an answer of this run gives a connection."""
    return bool(given_facts(connections) or origin.environment_variable() or answers.get(URL_ANSWER))


def _only(connections: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The facts of the one connection when it has no address: variables set only what the connection string lacks."""
    only = schema.plain((connections or {}).get(DEFAULT_NAME)) if len(connections or {}) == 1 else None
    return only if isinstance(only, dict) and not {"url", "host", "cluster"} & set(only) else None


def url_label(connections: Mapping[str, Any] | None) -> str:
    """What people call the connection string where no variable holds it; empty where one does."""
    return "" if given_facts(connections) else origin.environment_variable() or origin.TYPED


def clusters(connections: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Those of the connections that name a cluster of the Cloud API, as they were set."""
    facts_by_name = schema.plain(connections or {}) if isinstance(connections or {}, Mapping) else {}
    return {name: facts for name, facts in facts_by_name.items() if isinstance(facts, dict) and facts.get("cluster")}


def with_password(source: Source, *, prompt: questions.Prompt | None = None) -> Source:
    """The same source with a password where it needs one: from the environment (PGPASSWORD), else typed."""
    connection = source.connection
    if source.has_login:
        return source
    default = source.name == DEFAULT_NAME
    of_name = "" if default else f" for the connection {source.name}"
    password = os.environ.get("PGPASSWORD") or questions.ask(
        f"password of {source.name}",
        f"Password of the SQL user {connection.user}{of_name} (not shown while you type)",
        prompt,
        lambda answer: connection.replace(password=answer),
    )
    if not password:
        certificate = f"{origin.setting(source.name, 'sslcert')} and {origin.setting(source.name, 'sslkey')}"
        raise OnboardingError(
            ("" if default else f"connections.{source.name}: ")
            + f"the SQL user {connection.user} has no password. Set {origin.setting(source.name, 'password')}, or set"
            " PGPASSWORD in the environment"
            + ("" if connection.deployment == "serverless" else f", or set {certificate} for a client certificate")
            + f", or set {origin.setting(source.name, 'jwt_file')} for a token."
        )
    connection, token = tokens.taken_out(connection.replace(password=password))
    return replace(source, connection=connection, token=token)
