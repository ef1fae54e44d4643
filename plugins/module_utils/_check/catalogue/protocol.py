# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about a server that hangs, hangs up or answers nonsense.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import SAME_NETWORK, Entry

ENTRIES: Mapping[str, Entry] = {
    "server_hang_sslrequest": Entry(
        "{address} port {port} ({host}) accepts the connection and does not answer PostgreSQL's request for TLS.",
        "Check that port {port} of {host} is the SQL port and that its server is healthy; a load balancer "
        "without a live node does not answer either.",
        api_knows=("state",),
    ),
    "server_hang_handshake": Entry(
        "{address} port {port} ({host}) agreed to TLS and then stopped answering in the handshake.",
        "Try a smaller MTU if the network path to {host} has a VPN; otherwise " + SAME_NETWORK + ".",
        api_knows=("state",),
    ),
    "server_hang_startup": Entry(
        "The server of {host} ({address}) did not answer the start-up message within the {timeout} s of the "
        "whole check.",
        "Check the state of the nodes of {host} (DB Console, `cockroach node status`), or raise the timeout "
        "above {timeout} s.",
        {
            "serverless": (
                "The server of {host} ({address}) did not answer the start-up message within the {timeout} s of "
                "the whole check, as when cluster {cluster} wakes up.",
                "Run the check of {host} again with a timeout above {timeout} s; if it stays so, look at the "
                "cluster's state in the Console.",
            )
        },
        api_knows=("state",),
    ),
    "server_hang_auth": Entry(
        "The server of {host} ({address}) stopped answering during the login of {user}.",
        "Check the state of the nodes of {host}: a login needs a live majority of the cluster's system ranges.",
        api_knows=("state",),
    ),
    "server_hang_login": Entry(
        "The server of {host} ({address}) accepted the login of {user} and did not report that it is ready.",
        "Check the state of the nodes of {host} and of a pooler in front of it, which may wait for a free connection.",
        api_knows=("state",),
    ),
    "server_hang_query": Entry(
        "The server of {host} ({address}) accepted the login of {user} and does not answer a query.",
        "Check the state of the nodes of {host}, and in the Console whether the cluster has reached a limit of "
        "its plan.",
        api_knows=("state",),
    ),
    "closed_without_a_word": Entry(
        "{address} port {port} ({host}) closed the connection {when}, without a message.",
        "Check that port {port} of {host} is the SQL port; if it is, its server or the load balancer in front of "
        "it is restarting, or a firewall cuts the connection.",
        api_knows=("state",),
    ),
    "closed_in_session": Entry(
        "The server at {host} ({address}), which speaks PostgreSQL's protocol, closed the connection {when}, without a "
        "message.",
        "Check the state and the logs of the nodes of {host}, and of the load balancer or pooler in front of them: one "
        "was restarted, or closes connections early.",
        {
            "serverless": (
                "The server at {host} ({address}), which speaks PostgreSQL's protocol, closed the connection {when}, "
                "without a message.",
                "Check {host} again; if it stays so, look at the state of cluster {cluster} in the Console.",
            )
        },
        api_knows=("state",),
    ),
    "network_lost": Entry(
        "The network reported an error {when} with {host} ({address}): {error}.",
        "Check this machine's network and VPN, then " + SAME_NETWORK + ".",
    ),
    "reply_truncated": Entry(
        "{address} port {port} ({host}) closed the connection {when}, in the middle of a message.",
        "Check the server of {host} and what is in front of it: it crashed, or something cuts the connection.",
    ),
    "reply_bad_length": Entry(
        "The server at {address} port {port} ({host}) sent a message with an impossible length {when}: {error}.",
        "Check that {host} port {port} is a CockroachDB or PostgreSQL server and that nothing in between changes "
        "the data.",
    ),
    "reply_too_long": Entry(
        "The server at {address} port {port} ({host}) sent a message {when} that is too long for this check: {error}.",
        "Connect to {host} with psql to see what it sends; a driver may accept it.",
    ),
    "reply_endless": Entry(
        "The server at {address} port {port} ({host}) sends without end {when}: {error}.",
        "Check that {host} port {port} is a CockroachDB or PostgreSQL server and not a test server or a trap.",
    ),
    "reply_malformed": Entry(
        "The server at {address} port {port} ({host}) breaks PostgreSQL's protocol {when}: {error}.",
        "Check that {host} port {port} is a CockroachDB or PostgreSQL server, or a proxy that speaks protocol 3.0.",
    ),
}
