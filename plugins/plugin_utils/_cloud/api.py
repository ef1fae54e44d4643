# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operations of the CockroachDB Cloud API that the collection uses, one method each.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import Authority, verify
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import fields
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import (
    HttpClient,
    checked,
    list_of,
    segment,
)

_TEXT = (fields.Line,)
_NAME = {"name": _TEXT}
_CLUSTER = {"id": _TEXT, "name": _TEXT}
_OF_CLUSTER = {
    **dict.fromkeys(("state", "operation_status", "plan", "cloud_provider", "sql_dns"), _TEXT),
    "config": (dict,),
    "regions": (list,),
}
_OF_REGION = dict.fromkeys(("name", "sql_dns", "internal_dns", "private_endpoint_dns"), _TEXT)
_ENTRY = {"cidr_ip": _TEXT, "cidr_mask": (int, str)}
_OF_ENTRY = {"name": (str,), "sql": (bool,), "ui": (bool,)}


def _checked_cluster(cluster: dict[str, Any], path: str) -> dict[str, Any]:
    """The cluster itself, in which what others read has the right types. Raises CloudError."""
    checked(cluster, path, _CLUSTER, _OF_CLUSTER)
    config = checked(cluster.get("config") or {}, path, {}, {"serverless": (dict,)})
    checked(config.get("serverless") or {}, path, {}, {"routing_id": _TEXT})
    for region in cluster.get("regions") or []:
        checked(region, path, {}, _OF_REGION)
    return cluster


class CloudApi(HttpClient):
    """The operations. Each raises CloudError, or the subclass that its docstring names."""

    def clusters(self) -> list[dict[str, Any]]:
        """All clusters that the key can see, as the API describes them."""
        path = "/api/v1/clusters"
        return [_checked_cluster(cluster, path) for cluster in self.items(path, "clusters")]

    def cluster(self, identifier: str) -> dict[str, Any]:
        """One cluster, by its id. Raises NotFoundError."""
        path = f"/api/v1/clusters/{segment(identifier)}"
        return _checked_cluster(self.get(path), path)

    def connection_string(self, cluster: str, user: str, database: str) -> dict[str, Any]:
        """The service's own connection string, without a password, as the API's JSON."""
        query = {"database": database, "os": "LINUX", **({"sql_user": user} if user else {})}
        return self.get(f"/api/v1/clusters/{segment(cluster)}/connection-string", query)

    def allowlist(self, cluster: str) -> tuple[list[dict[str, Any]], bool]:
        """All entries, and whether a change is not yet in effect."""
        path = f"{self._of(cluster)}/networking/allowlist"
        entries: list[dict[str, Any]] = []
        propagating = False
        for page in self.pages(path):
            checked(page, path, {}, {"propagating": (bool,)})
            entries += [checked(entry, path, _ENTRY, _OF_ENTRY) for entry in list_of(page, "allowlist", path)]
            propagating = propagating or bool(page.get("propagating"))
        return entries, propagating

    def propagating(self, cluster: str) -> bool:
        """Whether a change of the allowlist is not yet in effect."""
        path = f"{self._of(cluster)}/networking/allowlist"
        # Without it, nobody knows whether the change is in effect.
        page = checked(self.get(path, {"pagination.limit": "1"}), path, {"propagating": (bool,)})
        return bool(page["propagating"])

    def add_entry(self, cluster: str, entry: Mapping[str, Any]) -> None:
        """Add an entry. Raises ExistsError when its network is listed already."""
        self.change("POST", f"{self._of(cluster)}/networking/allowlist", dict(entry))

    def update_entry(self, cluster: str, entry: Mapping[str, Any]) -> None:
        """Change the name and the rights of an entry. Raises NotFoundError when it is not listed."""
        body = {key: entry[key] for key in ("name", "sql", "ui")}
        self.change("PATCH", self._entry(cluster, entry), body)

    def remove_entry(self, cluster: str, entry: Mapping[str, Any]) -> None:
        """Remove an entry. Raises NotFoundError when it is not listed."""
        self.change("DELETE", self._entry(cluster, entry))

    def users(self, cluster: str) -> list[str]:
        """The names of the SQL users."""
        path = f"{self._of(cluster)}/sql-users"
        return [str(checked(user, path, _NAME)["name"]) for user in self.items(path, "users")]

    def create_user(self, cluster: str, name: str, password: str) -> None:
        """Create a SQL user, which becomes an administrator. Raises ExistsError when the name is taken."""
        self.change("POST", f"{self._of(cluster)}/sql-users", {"name": name, "password": password})

    def set_password(self, cluster: str, name: str, password: str) -> None:
        """Set the password of a SQL user."""
        path = f"{self._of(cluster)}/sql-users/{segment(name)}/password"
        # Setting the same password twice does no harm.
        self.change("PUT", path, {"password": password}, repeatable=True)

    def remove_user(self, cluster: str, name: str) -> None:
        """Remove a SQL user. Raises NotFoundError when there is none."""
        self.change("DELETE", f"{self._of(cluster)}/sql-users/{segment(name)}")

    def databases(self, cluster: str) -> dict[str, int | None]:
        """The databases, each with its number of tables, or None where the service does not say."""
        tables: dict[str, int | None] = {}
        path = f"{self._of(cluster)}/databases"
        for database in self.items(path, "databases"):
            checked(database, path, _NAME, {"table_count": (int, str)})
            count = str(database.get("table_count") or "")
            tables[str(database["name"])] = int(count) if re.fullmatch("[0-9]{1,9}", count) else None
        return tables

    def create_database(self, cluster: str, name: str) -> None:
        """Create a database. Raises ExistsError when the name is taken."""
        self.change("POST", f"{self._of(cluster)}/databases", {"name": name})

    def remove_database(self, cluster: str, name: str) -> None:
        """Remove a database with all its data. Raises NotFoundError when there is none."""
        self.change("DELETE", f"{self._of(cluster)}/databases/{segment(name)}")

    def client_ca(self, cluster: str) -> tuple[str, str]:
        """The status of the client CA (NOT_SET, PENDING, IS_SET, FAILED), and its certificates (PEM).

        While a change is PENDING, the service shows no certificate.
        """
        path = self._client_ca(cluster)
        answer = checked(self.get(path), path, {"status": _TEXT}, {"x509_pem_cert": (str,)})
        return str(answer["status"]), str(answer.get("x509_pem_cert") or "")

    def set_client_ca(self, cluster: str, pem: str) -> None:
        """Set the client CA of a cluster that has none. Raises ExistsError when it has one."""
        self.change("POST", self._client_ca(cluster), {"x509_pem_cert": pem})

    def update_client_ca(self, cluster: str, pem: str) -> None:
        """Replace the client CA. Raises NotFoundError when the cluster has no client CA."""
        self.change("PATCH", self._client_ca(cluster), {"x509_pem_cert": pem})

    def remove_client_ca(self, cluster: str) -> None:
        """Remove the client CA. Raises NotFoundError when the cluster has no client CA."""
        self.change("DELETE", self._client_ca(cluster))

    def authorities(self, cluster: str) -> tuple[Authority, ...]:
        """The cluster's CA, verified. The key is not sent for it. Raises OnboardingError when it is not valid."""
        path = f"/clusters/{segment(cluster)}/cert"
        response = self.repeat(lambda: self.send("GET", path, authenticated=False))
        return verify(response.content, f"the CA at {self.settings.url}{path}")

    @staticmethod
    def _of(cluster: str) -> str:
        return f"/api/v1/clusters/{segment(cluster)}"

    def _client_ca(self, cluster: str) -> str:
        return f"{self._of(cluster)}/client-ca-cert"

    def _entry(self, cluster: str, entry: Mapping[str, Any]) -> str:
        where = f"{segment(str(entry['cidr_ip']))}/{int(entry['cidr_mask'])}"
        return f"{self._of(cluster)}/networking/allowlist/{where}"
