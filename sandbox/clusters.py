# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of the sandbox's clusters and listeners. Add a new one here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Optional

from sandbox.allowlist import Entry

Deployment = Literal["serverless", "dedicated", "self_hosted"]

HOST = "localhost"
SNI_DOMAIN = "sandbox.test"
DEFAULT_PORT = 26357
"""The first of the default ports, one hundred above CockroachDB's own 26257."""


@dataclass(frozen=True)
class Cluster:
    """A cluster.

    Args:
        name: as in the Cloud Console.
        deployment: the type of cluster, which decides how clients reach it.
        user: the SQL user of the published connection.
        tenant: the number that follows the name in the routing id; serverless only.
        plan: BASIC, STANDARD or ADVANCED, as in the Cloud API.
        provider: the cloud provider that the Cloud API reports.
        databases: the first is the database of the published connection.
        allowlist: the initial entries. The default lets the documentation network 203.0.113.0/24 use SQL.
        admin: an administrator who logs in with a certificate; only for a front that asks for certificates.
    """

    name: str
    deployment: Deployment
    user: str
    tenant: Optional[int] = None
    plan: str = "BASIC"
    provider: str = "AWS"
    databases: tuple[str, ...] = ("defaultdb",)
    allowlist: tuple[Entry, ...] = (Entry("203.0.113.0/24", "inside"),)
    admin: Optional[str] = None

    @property
    def users(self) -> tuple[str, ...]:
        """The initial SQL users."""
        return (self.user, self.admin) if self.admin else (self.user,)

    @property
    def routing_id(self) -> Optional[str]:
        """``<name>-<tenant>``, or ``None`` for a cluster without routing."""
        return None if self.tenant is None else f"{self.name}-{self.tenant}"

    @property
    def sni_host(self) -> str:
        """The host name that SNI routing uses; a hosts file must map it to loopback."""
        return f"{self.routing_id or self.name}.{SNI_DOMAIN}"

    @property
    def connection_name(self) -> str:
        """Its key in ``connections.json``, a valid Ansible variable name."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class ListenerSpec:
    """A port of a front.

    Args:
        name: used by tests and people.
        appears_as: the address that clients of this port appear to have. Their real address on loopback is always
            127.0.0.1 (measured), so an allowlist could not distinguish them.
        impostor: whether the port presents a certificate for another host, signed by the same CA.
    """

    name: str
    appears_as: str
    impostor: bool = False


@dataclass(frozen=True)
class FrontSpec:
    """A front: a TLS endpoint and the clusters behind it.

    Args:
        name: the prefix of the front's files.
        authority: the common name of the front's CA.
        clusters: several behind a routing proxy, or exactly one without routing.
        routed: true for serverless. The client must name the cluster, and a client outside the allowlist receives an
            error. Otherwise such a client receives no answer.
        client_certificates: whether the front asks for a client certificate of its CA. A certificate replaces the
            password of the user in its common name.
        client_ca_by_api: whether the Cloud API sets the CA of client certificates. There is none at first. A
            certificate logs in the users that the sandbox made.
    """

    name: str
    authority: str
    clusters: tuple[Cluster, ...]
    routed: bool
    client_certificates: bool = False
    client_ca_by_api: bool = False


LISTENERS = (
    ListenerSpec("inside", appears_as="203.0.113.10"),
    ListenerSpec("outside", appears_as="198.51.100.99"),
    ListenerSpec("impostor", appears_as="203.0.113.10", impostor=True),
    ListenerSpec("newcomer", appears_as="192.0.2.44"),
)

FRONTS = (
    FrontSpec(
        name="serverless",
        authority="Sandbox Public CA",
        routed=True,
        clusters=(
            Cluster("funky-skunk", "serverless", user="maxroach", tenant=123, databases=("defaultdb", "bank")),
            Cluster("brave-otter", "serverless", user="carl", tenant=456, plan="STANDARD", provider="GCP"),
        ),
    ),
    FrontSpec(
        name="steady-heron",
        authority="Sandbox steady-heron CA",
        routed=False,
        client_ca_by_api=True,
        clusters=(Cluster("steady-heron", "dedicated", user="petra", plan="ADVANCED"),),
    ),
    FrontSpec(
        name="lone-badger",
        authority="Sandbox lone-badger CA",
        routed=False,
        client_certificates=True,
        clusters=(Cluster("lone-badger", "self_hosted", user="roach", admin="root"),),
    ),
)

CLUSTERS = tuple(cluster for front in FRONTS for cluster in front.clusters)
