# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The organization that the sandbox's Cloud API shows: its clusters, and what it may choose for new ones.

The shapes are those of the official Go SDK 7; the values are made up.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Protocol
from urllib.parse import quote, urlencode

from sandbox import pages
from sandbox.allowlist import Allowlist, Entry
from sandbox.client_ca import ClientCa
from sandbox.shims import NEWEST, RELEASES
from sandbox.switches import ApiError

NAMESPACE = uuid.UUID("6f8b7d0e-2d7c-4b51-9c36-31c1f7a8d2aa")
CREATED_AT = "2026-01-01T00:00:00Z"
PROVIDERS = ("AWS", "GCP", "AZURE")

ORGANIZATION = {
    "id": str(uuid.uuid5(NAMESPACE, "organization")),
    "label": "sandbox",
    "name": "The sandbox",
    "created_at": CREATED_AT,
}

# The service lists the newest first, unless it is asked for the other order.
VERSIONS = (
    {
        "version": "v25.2",
        "release_type": "REGULAR",
        "support_status": "SUPPORTED",
        "support_end": "2026-05-12T00:00:00Z",
        "allowed_upgrades": ["v25.4"],
    },
    {
        "version": "v25.4",
        "release_type": "REGULAR",
        "support_status": "SUPPORTED",
        "support_end": "2026-11-03T00:00:00Z",
        "allowed_upgrades": ["v26.1"],
    },
    {
        "version": "v26.1",
        "release_type": "INNOVATION",
        "support_status": "SUPPORTED",
        "support_end": "2026-08-01T00:00:00Z",
        "allowed_upgrades": [],
    },
)

# The nearest first, as the service sorts them.
REGIONS = (
    {"name": "us-east-1", "location": "N. Virginia", "provider": "AWS", "distance": 10.5, "serverless": True},
    {"name": "us-central1", "location": "Iowa", "provider": "GCP", "distance": 900.0, "serverless": True},
    {"name": "eastus2", "location": "Virginia", "provider": "AZURE", "distance": 950.0, "serverless": False},
    {"name": "us-west-2", "location": "Oregon", "provider": "AWS", "distance": 3700.0, "serverless": True},
)


def usage_limits(plan: str) -> dict[str, str]:
    """The limits of a serverless cluster; 64-bit numbers are texts in this API."""
    if plan == "STANDARD":
        return {"provisioned_virtual_cpus": "2"}
    return {"request_unit_limit": "50000000", "storage_mib_limit": "10240"}


def nodes(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a cluster that the API describes like this; a serverless one has none."""
    return [
        {"name": f"{cluster['name']}-{region['name']}-{number}", "region_name": region["name"], "status": "LIVE"}
        for region in cluster["regions"]
        for number in range(region["node_count"])
    ]


def backups(plan: str) -> dict[str, Any]:
    """The configuration of the managed backups."""
    return {"enabled": True, "frequency_minutes": 1440 if plan == "BASIC" else 60, "retention_days": 30}


class Accounts(Protocol):
    """The SQL users and databases of a cluster."""

    def users(self) -> list[str]:
        """The names of the users that may log in."""

    def create_user(self, name: str, password: str) -> None:
        """Create a user that may log in."""

    def set_password(self, name: str, password: str) -> None:
        """Change the password of a user."""

    def drop_user(self, name: str) -> None:
        """Remove a user with its grants, and end its sessions."""

    def databases(self) -> dict[str, int]:
        """The databases, each with its number of tables."""

    def create_database(self, name: str) -> None:
        """Create an empty database."""

    def rename_database(self, name: str, new_name: str) -> None:
        """Rename a database, and end its sessions."""

    def drop_database(self, name: str) -> None:
        """Remove a database with all data."""


def identifier(name: str) -> str:
    """The id of the cluster of this name."""
    return str(uuid.uuid5(NAMESPACE, name))


@dataclass
class CloudCluster:
    """A cluster, as the API needs it.

    Args:
        name: the cluster's name.
        plan: BASIC, STANDARD or ADVANCED.
        provider: AWS, GCP or AZURE.
        host: of the SQL endpoint.
        port: of the SQL endpoint.
        routing_id: only for a serverless cluster.
        ca: the file with the cluster's CA.
        effective: the allowlist that the fronts use.
        accounts: the cluster's users and databases.
        stored: the entries that the API returns. They become effective after the propagation delay.
        sent_names: the names of users as they were sent, by the name that SQL has.
        version: the full version of CockroachDB that the cluster says it runs.
        client_ca: by which client certificates are verified; only for an Advanced cluster.
    """

    name: str
    plan: str
    provider: str
    host: str
    port: int
    routing_id: Optional[str]
    ca: Path
    effective: Allowlist
    accounts: Accounts
    stored: dict[tuple[str, int], Entry] = field(default_factory=dict)
    propagated_at: float = 0.0
    sent_names: dict[str, str] = field(default_factory=dict)
    version: str = RELEASES[NEWEST]
    client_ca: ClientCa = field(default_factory=ClientCa)

    def __post_init__(self) -> None:
        for entry in self.effective.entries:
            network = ipaddress.ip_network(entry.cidr)
            self.stored.setdefault((str(network.network_address), network.prefixlen), entry)

    @property
    def identifier(self) -> str:
        """The cluster's id, which never changes."""
        return identifier(self.name)


def describe(cluster: CloudCluster, state: str, day: int) -> dict[str, Any]:
    """A cluster in the API's words; `day` of January 2026 is when it was made."""
    dedicated = cluster.plan == "ADVANCED"
    created_at = f"2026-01-{day:02d}T00:00:00Z"
    return {
        "id": cluster.identifier,
        "name": cluster.name,
        "cockroach_version": cluster.version,
        "upgrade_status": "FINALIZED",
        "plan": cluster.plan,
        "cloud_provider": cluster.provider,
        "account_id": "",
        "state": state,
        "creator_id": str(uuid.uuid5(NAMESPACE, "creator")),
        "operation_status": "UNSPECIFIED",
        "config": _config(cluster),
        "regions": _regions(cluster, dedicated),
        "created_at": created_at,
        "updated_at": created_at,
        "sql_dns": cluster.host,
        "network_visibility": "PUBLIC",
        "egress_traffic_policy": "UNSPECIFIED",
        "delete_protection": "DISABLED",
        "labels": {},
        "parent_id": "root",
        "is_customer_cloud_account": False,
        "cidr_range": "",
    }


def _config(cluster: CloudCluster) -> dict[str, Any]:
    if cluster.plan == "ADVANCED":
        hardware = {"machine_type": "m6i.xlarge", "num_virtual_cpus": 4, "storage_gib": 35, "memory_gib": 16.0}
        return {"dedicated": {**hardware, "disk_iops": 3000}}
    limits = usage_limits(cluster.plan)
    return {"serverless": {"routing_id": cluster.routing_id, "upgrade_type": "AUTOMATIC", "usage_limits": limits}}


def _regions(cluster: CloudCluster, dedicated: bool) -> list[dict[str, Any]]:
    region: dict[str, Any] = {
        "name": "us-east-1" if cluster.provider == "AWS" else "us-central1",
        "sql_dns": cluster.host,
        "ui_dns": f"admin-{cluster.name}.sandbox.test" if dedicated else "",
        "internal_dns": f"internal-{cluster.name}.sandbox.test",
        "private_endpoint_dns": f"private-{cluster.name}.sandbox.test" if cluster.provider == "GCP" else "",
        "node_count": 3 if dedicated else 0,
        "primary": True,
    }
    if not dedicated:
        return [region]
    names = {"sql_dns": "west", "internal_dns": "internal-west"}
    second_region = {key: f"{prefix}-{cluster.name}.sandbox.test" for key, prefix in names.items()}
    return [region, {**region, "name": "us-west-2", "primary": False, **second_region}]


def stored_entries(clusters: Iterable[CloudCluster]) -> dict[str, list[dict[str, Any]]]:
    """The allowlists by cluster, in the form that the state folder stores."""
    return {cluster.name: [asdict(entry) for entry in cluster.stored.values()] for cluster in clusters}


# What stands before the file's name; the service names the Mac's folder on Linux too.
_CA_FOLDERS = {
    "MAC": "$HOME/Library/CockroachCloud/certs/",
    "LINUX": "$HOME/Library/CockroachCloud/certs/",
    "WINDOWS": "$env:appdata\\CockroachCloud\\certs\\",
}


def connection_string(cluster: CloudCluster, query: Mapping[str, str]) -> dict[str, Any]:
    """The service's connection string of a cluster, without a password. Raises ApiError."""
    database = query.get("database") or "defaultdb"
    system = query.get("os")
    if system:
        pages.chosen(query, "os", list(_CA_FOLDERS))
    parameters = {"sslmode": "verify-full"}
    if cluster.plan == "ADVANCED":
        if not system:
            raise ApiError(3, "os is required")
        parameters["sslrootcert"] = f"{_CA_FOLDERS[system]}{cluster.name}-ca.crt"
    else:
        # All clusters of the sandbox share a host name, so the option names the cluster.
        parameters["options"] = f"--cluster={cluster.routing_id}"
    user = query.get("sql_user")
    credentials = f"{quote(user, safe='')}@" if user else ""
    text = f"postgresql://{credentials}{cluster.host}:{cluster.port}/{quote(database, safe='')}?{urlencode(parameters)}"
    params = {"Host": cluster.host, "Port": str(cluster.port), "Database": database}
    return {"connection_string": text, "params": {**params, **({"Username": user} if user else {})}}
