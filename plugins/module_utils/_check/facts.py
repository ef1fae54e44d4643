# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The facts about a connection from which a diagnosis is made.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEFAULT_TIMEOUT
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509

if TYPE_CHECKING:
    from ansible_collections.crdb.onboard.plugins.module_utils._check.token import Claims

# Clocks that differ by less count as equal: the controller's is read before the request travels to the host.
CLOCK_SECONDS = 300.0
# Where a token comes from that was given as a password.
_NO_SOURCE = "what is sent in place of a password"


class Facts:
    """Everything that the sentences of a diagnosis may name about a connection.

    `secret`: the password once it was sent, because a server may repeat it. No sentence names it.
    """

    routing_id: str | None = None
    options: str | None = None
    ca_file: str | None = None
    ca_given: bool = False
    ca_of_libpq: bool = False
    client_cert: str | None = None
    # The client certificate, once it was read.
    client: x509.Certificate | None = None
    timeout: float = DEFAULT_TIMEOUT
    address: str | None = None
    local_address: str | None = None
    public_roots: bool = True
    # The list of revoked certificates, if one was read.
    revocations: str | None = None
    # The server's certificates, its own first, and the certificates in the configured CA.
    chain: tuple[x509.Certificate, ...] = ()
    authorities: tuple[x509.Certificate, ...] = ()
    # This machine's clock, and the controller's at the same moment; None when it is not known.
    now: datetime.datetime | None = None
    controller_now: datetime.datetime | None = None
    # Where a token comes from, and what it says about itself once it was read.
    token_from: str = _NO_SOURCE
    token: Claims | None = None
    secret: str = ""
    password_encoded: bool = False
    # The protocol that a server chose which speaks TLS from the first byte; None where none was found to do so.
    tls_at_once: str | None = None

    def __init__(self, *, name: str, deployment: str, host: str, port: int, user: str, database: str) -> None:
        self.name = name
        self.deployment = deployment
        self.host = host
        self.port = port
        self.user = user
        self.database = database
        # The addresses that were tried, each {address, error}.
        self.attempts: list[dict[str, str]] = []

    @classmethod
    def of(cls, endpoint: Endpoint, timeout: float) -> Facts:
        facts = cls(
            name=endpoint.name,
            deployment=endpoint.deployment,
            host=endpoint.host,
            port=endpoint.port,
            user=endpoint.user,
            database=endpoint.database,
        )
        facts.routing_id = endpoint.routing_id
        facts.options = endpoint.options
        facts.ca_file = None if endpoint.ca_text else endpoint.ca_file
        facts.ca_given = bool(endpoint.ca_text or endpoint.ca_file)
        facts.client_cert = endpoint.sslcert
        facts.timeout = timeout
        facts.token_from = _token_source(endpoint)
        facts.password_encoded = bool(re.search("%[0-9A-Fa-f]{2}", endpoint.password or ""))
        return facts


def _token_source(endpoint: Endpoint) -> str:
    if endpoint.jwt_file:
        return f"the file {endpoint.jwt_file}"
    if endpoint.jwt_command:
        return f"the command {endpoint.jwt_command[0]}"
    return "the token itself" if endpoint.jwt else _NO_SOURCE


def cluster_sent(facts: Facts) -> str:
    """The cluster that the connection names, in the proxy's order: in the options, the database, the host name."""
    flag = re.search(r"cluster=(\S+)", facts.options or "")
    if flag:
        return flag.group(1)
    prefix, dot, _name = facts.database.partition(".")
    if dot and prefix:
        return prefix
    label, dot, _zone = facts.host.partition(".")
    return label if dot and not label.isdigit() else facts.host
