# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about what TLS needs before the handshake: the offer, client keys.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import SAME_NETWORK, Entry

ENTRIES: Mapping[str, Entry] = {
    "tls_not_offered": Entry(
        "The server at {address} port {port} ({host}) speaks PostgreSQL without TLS.",
        "Turn TLS on at {host}: a CockroachDB node is secure when it starts with --certs-dir and without --insecure.",
        dict.fromkeys(
            ("serverless", "dedicated"),
            (
                "The server at {address} port {port} ({host}) speaks PostgreSQL without TLS, so it is not a "
                "CockroachDB Cloud cluster.",
                "Compare host {host} and port {port} with the Connect dialog, and look for a tunnel or a local "
                "server in its place.",
            ),
        ),
    ),
    "not_postgresql": Entry(
        "What listens at {address} port {port} ({host}) is {stranger}, not a PostgreSQL or CockroachDB server.",
        "Correct host {host} and port {port} of {name}: CockroachDB's SQL port is 26257 unless it was changed.",
    ),
    "tls_from_the_start": Entry(
        "What listens at {address} port {port} ({host}) speaks TLS from the first byte, as {listener} does, and a "
        "CockroachDB SQL port does not.",
        "Correct host {host} and port {port} of {name}: the DB Console has a port of its own (8080), and the SQL port "
        "is 26257 unless it was changed; a TLS tunnel has to speak PostgreSQL's SSLRequest.",
    ),
    "captive_portal": Entry(
        "Something on the network path to {host} ({address}) port {port} answers as a web server and redirects to "
        "{where}, as the sign-in page of a network does.",
        "Open {where} in a browser and sign in to the network, then check {host} again.",
    ),
    "tls_plaintext_injected": Entry(
        "{address} port {port} ({host}) agreed to TLS and then sent unencrypted data, which may be injected by "
        "someone on the network path.",
        "Do not send a password there; " + SAME_NETWORK + ".",
    ),
    "server_requires_encryption": Entry(
        "The server at {host} ({address}) says that the connection is not encrypted although TLS was asked for: "
        "something on the network path answers in its place or removes TLS.",
        "Connect to {host} port {port} directly, or let the pooler or load balancer in between pass TLS through.",
    ),
    "client_cert_missing": Entry(
        "The client certificate's file {path} for {user} at {host} does not exist on this machine.",
        "Create the client certificate of {user} for {host} and put it at {path}, or leave it out and use a password.",
    ),
    "client_cert_unreadable": Entry(
        "The client certificate's file {path} for {user} at {host} cannot be read: {error}.",
        "Make {path} a regular file that the user who connects to {host} may read.",
    ),
    "client_cert_unusable": Entry(
        "The client certificate {path} for {user} at {host} cannot be used: {error}.",
        "Create the client certificate and the key of {user} for {host} again, both as PEM.",
    ),
    "client_key_missing": Entry(
        "The client key's file {path} for {user} at {host} does not exist on this machine.",
        "Put the key of {user}'s client certificate for {host} at {path}, with mode 0600.",
    ),
    "client_key_unreadable": Entry(
        "The client key's file {path} for {user} at {host} cannot be read: {error}.",
        "Make {path} a regular file of the user who connects to {host}, with mode 0600.",
    ),
    "client_key_too_open": Entry(
        "The client key {path} for {user} at {host} can be read by others ({error}), and libpq and pq refuse "
        "such a key.",
        "Run `chmod 0600 {path}` as its owner, then connect to {host} again.",
    ),
    "client_key_encrypted": Entry(
        "The client key {path} for {user} at {host} is encrypted with a passphrase.",
        "Write the key of {user} for {host} to {path} without a passphrase, with mode 0600.",
    ),
    "client_key_mismatch": Entry(
        "The client key {path} for {user} at {host} does not belong to the certificate {client_cert}.",
        "Put the key that was made together with {client_cert} for {host} at {path}.",
    ),
}
