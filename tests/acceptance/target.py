# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster that an acceptance run works on, and how to reach it: through the Cloud API, or by SQL only."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import verify
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.cluster import choose, deployment
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from psycopg.conninfo import conninfo_to_dict

from tests.acceptance.api import Api, segment

URL_VARIABLE = "CRDB_ACCEPTANCE_URL"
"""The connection string of an administrator of a self-hosted cluster; never an argument, which everybody could read."""

SYSTEM_DATABASES = ("defaultdb", "postgres", "system", "template0", "template1")
_UNREADABLE = (
    f"{URL_VARIABLE} is not a connection string with one host and a port. In a password, write %, /, ?, #, @ and spaces"
    " as %25, %2F, %3F, %23, %40 and %20."
)
_CONNECT_TIMEOUT = 30
_STATEMENT_TIMEOUT = "300s"


class RefusedError(Exception):
    """The run does not start. The message says why, and what to do."""


@dataclass
class Target:
    """A cluster.

    Args:
        name: as the person gave it; of a self-hosted one its host.
        kind: `cloud` or `self_hosted`.
        is_sandbox: whether it is a stand-in, which the report then says.
        cloud_variables: variables of playbooks that reach the API.
        network_variables: variables of playbooks that find the public address.
        cluster: as the API describes it; empty for a self-hosted one.
        conninfo: how to connect by SQL, without user, password and database for a cluster of the Cloud.
        private: texts that a report must not show, with what stands for them.
    """

    name: str
    kind: str
    is_sandbox: bool = False
    api: Api | None = None
    cloud_variables: dict[str, Any] = field(default_factory=dict)
    network_variables: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    conninfo: dict[str, Any] = field(default_factory=dict)
    private: dict[str, str] = field(default_factory=dict)

    @property
    def plan(self) -> str:
        """BASIC, STANDARD, ADVANCED, or self-hosted."""
        return str(self.cluster.get("plan") or "self-hosted")

    @property
    def is_serverless(self) -> bool:
        """Whether the cluster is behind the routing proxy."""
        return self.kind == "cloud" and deployment(self.cluster) == "serverless"

    def path(self, rest: str = "") -> str:
        """A path of this cluster in the API."""
        return f"clusters/{segment(str(self.cluster['id']))}{f'/{rest}' if rest else ''}"

    def connect(
        self, user: str = "", password: str = "", database: str = "", **more: Any
    ) -> psycopg.Connection[tuple[Any, ...]]:
        """A session that commits each statement. Raises psycopg.OperationalError."""
        given = {"user": user, "password": password, "dbname": database}
        arguments = {**self.conninfo, **{name: value for name, value in given.items() if value}, **more}
        if user and user != self.conninfo.get("user"):
            # The certificate is the administrator's.
            arguments = {name: value for name, value in arguments.items() if name not in ("sslcert", "sslkey")}
        session = psycopg.connect(**{"connect_timeout": _CONNECT_TIMEOUT, **arguments}, autocommit=True)
        session.execute(f"SET statement_timeout = '{_STATEMENT_TIMEOUT}'".encode())
        return session

    def close_up(self, folder: Path) -> None:
        """Learn how to connect by SQL; the CA is written into the folder. Raises RefusedError."""
        if self.kind == "self_hosted" or self.api is None:
            return
        answer = self.api.ask("GET", self.path("connection-string"), os="LINUX", database="defaultdb")
        certificate = self.api.ask("GET", f"//clusters/{segment(str(self.cluster['id']))}/cert", authenticated=False)
        if answer.status != 200 or certificate.status != 200:
            raise RefusedError(f"The API gives no connection to the cluster: {answer}; its CA: {certificate}.")
        verify(certificate.content, "the CA of the cluster")
        path = folder / "cluster-ca.crt"
        path.write_bytes(certificate.content)
        self.conninfo = {**conninfo_to_dict(answer.value["connection_string"]), "sslrootcert": str(path)}
        self.private[str(self.conninfo["host"])] = "HOST"

    def refuse_production(self) -> None:
        """Raise RefusedError for a cluster that holds more than a new one does."""
        names = self.databases() if self.kind == "cloud" else self._databases_by_sql()
        others = sorted(name for name in names if name not in SYSTEM_DATABASES and not name.startswith("crdb_acc_"))
        filled = sorted(name for name, tables in names.items() if tables and name == "defaultdb")
        if others or filled:
            found = f"{len(others)} databases beside those of a new cluster" if others else "tables in defaultdb"
            raise RefusedError(
                f"The cluster has {found}, so it may be in use. The run adds users, databases and allowlist entries of"
                " its own and removes them again; it changes nothing else. Use a new cluster, or add --yes"
                " (make acceptance YES=1)."
            )

    def databases(self) -> dict[str, int]:
        """The databases that the API lists, with their numbers of tables."""
        if self.api is None:
            return self._databases_by_sql()
        found = self.api.items(self.path("databases"), "databases")
        return {str(item["name"]): int(item.get("table_count") or 0) for item in found}

    def _databases_by_sql(self) -> dict[str, int]:
        with self.connect() as session:
            names = [str(row[0]) for row in session.execute("SELECT datname FROM pg_database")]
        with self.connect(database="defaultdb") as session:
            row = session.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        return {name: int(row[0]) if row and name == "defaultdb" else 0 for name in names}


def of_cloud(name: str, options: Mapping[str, Any], network: Mapping[str, Any], *, is_sandbox: bool = False) -> Target:
    """A cluster of the Cloud API, by its name or id. Raises OnboardingError."""
    settings = Settings.from_options(options)
    api = Api(settings)
    cluster = choose(api.items("clusters", "clusters"), name)
    variables = {f"crdb_cloud_{key}": value for key, value in options.items() if key != "api_key"}
    private = {str(cluster["id"]): "CLUSTER-ID", str(cluster["name"]): "CLUSTER", settings.key: "********"}
    routing_id = ((cluster.get("config") or {}).get("serverless") or {}).get("routing_id")
    if routing_id:
        private[str(routing_id)] = "ROUTING-ID"
    for region in cluster.get("regions") or []:
        private.update({str(value): "HOST" for key, value in region.items() if key.endswith("_dns") and value})
    return Target(name, "cloud", is_sandbox, api, variables, dict(network), cluster, {}, private)


def of_url(url: str, *, is_sandbox: bool = False) -> Target:
    """A self-hosted cluster, by an administrator's connection string, whose paths are on this machine."""
    try:
        conninfo = conninfo_to_dict(url)
    except psycopg.Error:
        # libpq's words show the part that it cannot read, which may be the password.
        raise RefusedError(_UNREADABLE) from None
    if not conninfo.get("host") or not str(conninfo.get("port", 26257)).isdecimal():
        raise RefusedError(_UNREADABLE)
    if conninfo.get("sslmode") != "verify-full":
        raise RefusedError(
            "The connection string must have sslmode=verify-full, and sslrootcert with the path of the CA."
        )
    conninfo.setdefault("dbname", "defaultdb")
    conninfo.setdefault("port", 26257)
    private = {str(conninfo["host"]): "HOST"}
    if conninfo.get("password"):
        private[str(conninfo["password"])] = "********"
    return Target(str(conninfo["host"]), "self_hosted", is_sandbox, conninfo=conninfo, private=private)


def of_sandbox(state: Path, name: str) -> Target:
    """A cluster of a running sandbox. Raises RefusedError."""
    described = json.loads((state / "sandbox.json").read_text())
    facts = described["clusters"].get(name)
    if facts is None:
        raise RefusedError(f"The sandbox has no cluster {name}, but {', '.join(described['clusters'])}.")
    if facts["deployment"] == "self_hosted":
        admin, port = facts["admin"], facts["listeners"]["inside"]["port"]
        certificate = f"sslcert={admin['sslcert']}&sslkey={admin['sslkey']}&sslrootcert={facts['ca_file']}"
        url = f"postgresql://{admin['user']}@{facts['host']}:{port}/defaultdb?sslmode=verify-full&{certificate}"
        return of_url(url, is_sandbox=True)
    cloud = described["cloud"]
    options = {"url": cloud["url"], "ca_file": cloud["ca_file"], "api_key_file": cloud["api_key_file"]}
    network = {
        "crdb_network_allow_private": True,
        "crdb_network_echo": [f"{cloud['url']}/echo/plain", f"{cloud['url']}/echo/json"],
        "crdb_network_echo_ca_file": cloud["ca_file"],
    }
    return of_cloud(name, options, network, is_sandbox=True)


def from_environment(name: str) -> Target:
    """The real cluster that the environment gives. Raises RefusedError and OnboardingError."""
    url = os.environ.get(URL_VARIABLE, "").strip()
    if url:
        return of_url(url)
    return of_cloud(name, {}, {})


def release(text: str) -> str:
    """The release in the answer of `SELECT version()`."""
    match = re.search(r"v[0-9]+\.[0-9]+\.[0-9]+\S*", text)
    return match[0] if match else text[:60]
