# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the sandbox consists of: this table is the place to add a cluster or a listener."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Optional

from sandbox.allowlist import Entry

Deployment = Literal["serverless", "dedicated", "self_hosted"]

HOST = "localhost"
SNI_DOMAIN = "sandbox.test"
DEFAULT_PORT = 26357
"""First of the default ports, one hundred above CockroachDB's own 26257."""


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Args:
        name: as the Cloud Console shows it.
        deployment: how it is sold, which decides how it is reached.
        user: its SQL user.
        tenant: the number that makes the name a routing id; serverless only.
        plan: as the Cloud API calls how it is sold.
        provider: the cloud that it claims to run in.
        databases: the first one is the connection's.
        allowlist: the entries from the start. The default admits the documentation network 203.0.113.0/24 for SQL.
        admin: an administrator who logs in by a certificate; only where the front asks for those.
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
        """Those that are there from the start."""
        return (self.user, self.admin) if self.admin else (self.user,)

    @property
    def routing_id(self) -> Optional[str]:
        """``<name>-<tenant>``, or ``None`` for a cluster that is not routed to by name."""
        return None if self.tenant is None else f"{self.name}-{self.tenant}"

    @property
    def sni_host(self) -> str:
        """The host name under which the cluster is found by SNI, once a hosts file leads it to loopback."""
        return f"{self.routing_id or self.name}.{SNI_DOMAIN}"

    @property
    def connection_name(self) -> str:
        """Its key in ``connections.json``, a valid Ansible variable name."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class ListenerSpec:
    """One port of a front.

    Args:
        name: what tests and people call it.
        appears_as: the address that clients of this port appear to have. On loopback the true one is always
            127.0.0.1 (measured), which no allowlist could tell apart.
        impostor: whether it presents the certificate of another host, signed by the same CA.
    """

    name: str
    appears_as: str
    impostor: bool = False


@dataclass(frozen=True)
class FrontSpec:
    """One TLS end point and the clusters behind it.

    Args:
        name: the prefix of its files.
        authority: the common name of its CA.
        clusters: several behind a routing proxy; exactly one where there is no routing.
        routed: whether the client has to name the cluster, and whether one outside the allowlist is refused in words
            (serverless) or gets no answer at all (the others).
        client_certificates: whether it asks clients for a certificate of its own CA, which then stands in for the
            password of the user that its common name is.
    """

    name: str
    authority: str
    clusters: tuple[Cluster, ...]
    routed: bool
    client_certificates: bool = False


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
