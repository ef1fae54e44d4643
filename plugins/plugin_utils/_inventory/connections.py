# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections of an action's options, as typed values.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import answers, schema
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.ca import CA_SOURCE_KEYS, CaSource
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import (
    Connection,
    InvalidConnectionError,
    is_cloud_host,
    resolve,
)

DEFAULT_NAME = "default"
"""The name of the connection that the environment or a person at the terminal supplies."""
_OF_SITE = (*CA_SOURCE_KEYS, "ca_public", "ca_destination", "ca_fingerprint")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """A connection with what belongs to it on a host: its CA, and where that goes."""

    name: str
    connection: Connection
    ca: CaSource | None
    ca_public: bool
    ca_destination: str

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


def endpoint_facts(name: str, connection: Connection, ca: Mapping[str, Any]) -> dict[str, Any]:
    """What a check, or a SQL session of the controller, needs of a connection; `ca` is its ca_text or ca_file."""
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


def source(name: str, facts: Any) -> Source:
    """One entry of `connections`. Raises OnboardingError that names the entry and the key."""
    where = f"connections.{name}"
    facts = schema.validated("connections", facts, where)
    ca_keys = [key for key in CA_SOURCE_KEYS if facts.get(key)]
    if len(ca_keys) > 1:
        raise OnboardingError(f"{where}: has {' and '.join(ca_keys)}, but a connection has one CA source.")
    fingerprint = re.sub(r"[:\s]", "", facts.get("ca_fingerprint", "")).lower()
    if fingerprint and not (ca_keys and _FINGERPRINT.fullmatch(fingerprint)):
        raise OnboardingError(
            f"{where}.ca_fingerprint: must be the SHA-256 (64 hexadecimal digits) of the CA that"
            f" {', '.join(CA_SOURCE_KEYS)}"
            " supplies."
        )
    ca = CaSource(ca_keys[0], facts[ca_keys[0]], fingerprint) if ca_keys else None
    try:
        connection = resolve({key: value for key, value in facts.items() if key not in _OF_SITE})
    except InvalidConnectionError as exc:
        raise OnboardingError(f"{where}: {exc}") from None
    if ca is None and not connection.sslrootcert and connection.deployment != "serverless":
        raise OnboardingError(
            f"{where}: a {connection.deployment.replace('_', '-')} cluster has a CA of its own. Set ca_file, ca_url or"
            " ca_text, or sslrootcert when the file is on the host already."
        )
    return Source(name, connection, ca, facts["ca_public"], facts["ca_destination"])


def alternating(name: str, facts: Any) -> tuple[Any, tuple[str, ...]]:
    """The facts of a connection with `users` as one with its first user, and both users; others unchanged, and none.

    Raises OnboardingError when they are not two.
    """
    if not isinstance(facts, Mapping) or not facts.get("users"):
        return facts, ()
    users = schema.as_list(facts["users"])
    excluded = [key for key in ("user", "password", "sslcert") if facts.get(key)]
    if excluded:
        raise OnboardingError(f"connections.{name}: has users, so {' and '.join(excluded)} must be left out.")
    if not isinstance(users, (list, tuple)) or len({str(user).lower() for user in users}) != 2 or len(users) != 2:
        raise OnboardingError(f"connections.{name}: users must be two different names, which then alternate.")
    names = tuple(str(user).lower() for user in users)
    return {**{key: value for key, value in facts.items() if key != "users"}, "user": names[0]}, names


def _ask(name: str, question: str, prompt: Callable[[str], str] | None) -> str:
    if prompt is None:
        return answers.get(name) or ""
    return answers.ask_once(name, lambda: prompt(question))


def connection_facts(
    connections: Mapping[str, Any] | None, *, prompt: Callable[[str], str] | None = None
) -> dict[str, dict[str, Any]]:
    """The facts of every connection by name: the option's, else the environment's, else what a person types.

    `prompt` asks without echo; None takes only what was typed before in this run. Raises OnboardingError when there is
    no connection.
    """
    if not isinstance(connections or {}, Mapping):
        raise OnboardingError("connections: must be a dictionary from a name to the facts of that connection.")
    facts_by_name = {str(name): schema.plain(facts) for name, facts in (connections or {}).items()}
    # One that was made of empty shorthand variables sets nothing.
    only = facts_by_name.get(DEFAULT_NAME)
    if len(facts_by_name) == 1 and isinstance(only, dict) and not {"url", "host", "cluster"} & set(only):
        facts_by_name = {}
    if facts_by_name:
        return facts_by_name
    url = os.environ.get("COCKROACH_URL") or os.environ.get("DATABASE_URL")
    url = url or _ask("url", "Connection string of the cluster (not shown while you type)", prompt)
    if not url:
        raise OnboardingError(
            "There is no connection. Set its connection string (the key url of an entry in connections), or set"
            " COCKROACH_URL or DATABASE_URL in the environment. The Cloud Console shows the string under Connect."
        )
    return {DEFAULT_NAME: {**(only or {}), "url": url}}


def clusters(connections: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Those of the connections that name a cluster of the Cloud API, as they were set."""
    facts_by_name = schema.plain(connections or {}) if isinstance(connections or {}, Mapping) else {}
    return {name: facts for name, facts in facts_by_name.items() if isinstance(facts, dict) and facts.get("cluster")}


def with_password(source: Source, *, prompt: Callable[[str], str] | None = None) -> Source:
    """The same source with a password where it needs one: from the environment (PGPASSWORD), else typed."""
    connection = source.connection
    if connection.password is not None or connection.sslcert is not None:
        return source
    question = f"Password of the SQL user {connection.user} for the connection {source.name} (not shown while you type)"
    password = os.environ.get("PGPASSWORD") or _ask(f"password of {source.name}", question, prompt)
    if not password:
        raise OnboardingError(
            f"connections.{source.name}: the SQL user {connection.user} has no password. Set password, or set"
            " PGPASSWORD"
            " in the environment"
            + (
                "."
                if connection.deployment == "serverless"
                else ", or set sslcert and sslkey for a client certificate."
            )
        )
    return replace(source, connection=connection.replace(password=password))
