# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about the TLS handshake and the certificates.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import SAME_NETWORK, Entry

ENTRIES: Mapping[str, Entry] = {
    "tls_unknown_ca": Entry(
        "The certificate of {host} ({address}) is signed by {issuer}, which is not in {ca}.",
        "Download the CA certificate of {host} again and set ca_file (crdb_connection_ca_file) to it in place of "
        "{ca}; if {issuer} is an "
        "intermediate CA, the server has to send it; else a proxy between this machine and {host} intercepts TLS.",
    ),
    "tls_not_public": Entry(
        "The certificate of {host} ({address}) is signed by {issuer}, which is not one of this machine's public roots.",
        "Name the CA certificate of {host}, which the Connect dialog or the folder of its certificates has: ca_file "
        "(crdb_connection_ca_file), or sslrootcert in the connection string.",
        {
            "serverless": (
                "The certificate of {host} ({address}) is signed by {issuer}, which is not one of this machine's "
                "public roots.",
                "Look for a proxy between this machine and {host} that intercepts TLS, and let {host} pass it: the "
                "certificate of a serverless cluster is signed by a public CA.",
            )
        },
    ),
    "tls_self_signed": Entry(
        "The server at {host} ({address}) presents a self-signed certificate, {failing}, which is not in {ca}.",
        "If it is a server of yours, issue its certificate by your CA (`cockroach cert create-node {host} ...`) and "
        "restart it; else something between this machine and {host} intercepts TLS.",
        dict.fromkeys(
            ("serverless", "dedicated"),
            (
                "The server at {host} ({address}) presents a self-signed certificate, {failing}, so it is not a "
                "CockroachDB Cloud cluster.",
                "Compare {host} and port {port} with the Connect dialog; if they are right, a proxy between this "
                "machine and {host} intercepts TLS.",
            ),
        ),
    ),
    "ca_other_cluster": Entry(
        "The certificate of {host} ({address}) is signed by {issuer}, and {ca} holds a CA of that name with "
        "another key: the CA of another cluster, or the one from before it was renewed.",
        "Download the CA certificate of {host} itself, and set ca_file (crdb_connection_ca_file) to it in place of "
        "{ca}.",
    ),
    "ca_incomplete": Entry(
        "The certificate of {host} ({address}) leads to {ca_subject} in {ca}, which is itself signed by a CA "
        "that is not in there.",
        "Add the CA that signed {ca_subject} to {ca}, up to the root, so that {host} can be verified.",
    ),
    "tls_missing_intermediate": Entry(
        "The server at {host} ({address}) does not send the certificate of {issuer}, which signed its own, and "
        "{ca} does not hold it either.",
        "Let the server at {host} send its whole chain (its certificate followed by that of {issuer}), or add "
        "{issuer} and what signed it to {ca}.",
    ),
    "public_roots_missing": Entry(
        "This machine's OpenSSL finds no public CA certificates, so {host} ({address}) cannot be verified.",
        "Install the system's package of CA certificates (ca-certificates), or set ca_file (crdb_connection_ca_file) "
        "for {host}.",
    ),
    "tls_wrong_host": Entry(
        "The certificate of {address} port {port} is for {certificate_names}, not for {host}.",
        "Connect by a name that the certificate holds, as the Connect dialog shows it, in place of {host}.",
        {
            "self_hosted": (
                "The certificate of {address} port {port} is for {certificate_names}, not for {host}.",
                "Connect by a name that the certificate holds, or issue the node's certificate again with {host} "
                "(`cockroach cert create-node ... {host}`).",
            )
        },
    ),
    "tls_expired": Entry(
        "The certificate of {host} ({address}) expired at {not_after}, and this machine's clock says {now}.",
        "Correct this machine's clock if it is wrong; otherwise the certificate of {host} has to be renewed on "
        "the server.",
    ),
    "tls_not_yet_valid": Entry(
        "The certificate of {host} ({address}) is valid from {not_before}, and this machine's clock says {now}.",
        "Correct this machine's clock, which is behind, or wait until the certificate of {host} is valid.",
    ),
    "tls_chain_expired": Entry(
        "The server at {host} ({address}) sends the certificate of {failing}, which expired at {failing_after}, "
        "and this machine's clock says {now}.",
        "Renew the certificate of {failing} in the chain that the server at {host} sends, or correct this "
        "machine's clock.",
    ),
    "tls_chain_not_yet_valid": Entry(
        "The server at {host} ({address}) sends the certificate of {failing}, which is valid from "
        "{failing_before}, and this machine's clock says {now}.",
        "Correct this machine's clock, which is behind, or wait until {failing} in the chain of {host} is valid.",
    ),
    "ca_expired": Entry(
        "The CA certificate {failing} that the one of {host} ({address}) leads to in {ca} expired at "
        "{failing_after}, and this machine's clock says {now}.",
        "Download the current CA certificate of {host} in place of {ca}, or correct this machine's clock.",
    ),
    "ca_not_yet_valid": Entry(
        "The CA certificate {failing} that the one of {host} ({address}) leads to in {ca} is valid from "
        "{failing_before}, and this machine's clock says {now}.",
        "Correct this machine's clock, or use the CA certificate of {host} that is valid now in place of {ca}.",
    ),
    "clock_ahead": Entry(
        "This machine's clock says {now} and the controller's {controller_now}: it is ahead, so the certificate "
        "{failing} of {host} ({address}), valid until {failing_after}, counts as expired here.",
        "Set this machine's clock, for example with chrony or systemd-timesyncd, and check {host} again.",
    ),
    "clock_behind": Entry(
        "This machine's clock says {now} and the controller's {controller_now}: it is behind, so the certificate "
        "{failing} of {host} ({address}), valid from {failing_before}, is not valid here yet.",
        "Set this machine's clock, for example with chrony or systemd-timesyncd, and check {host} again.",
    ),
    "tls_too_old": Entry(
        "The server at {host} ({address}) and this machine have no TLS version from 1.2 on in common: {error}.",
        "Turn on TLS 1.2 or newer at {host}, or in the proxy or load balancer in front of it.",
    ),
    "tls_weak_certificate": Entry(
        "The certificate of {host} ({address}) uses a key or a signature that is too weak for this machine's "
        "OpenSSL: {error}.",
        "Issue the certificates of {host} again with RSA of 2048 bits or more, or ECDSA, and SHA-256.",
    ),
    "tls_certificate_refused": Entry(
        "The certificate of {host} ({address}) cannot be verified with {ca}: {error}.",
        "Issue the certificate of {host} again for use as a TLS server, signed by {ca}.",
    ),
    "tls_handshake_refused": Entry(
        "The server at {host} ({address}) refuses the TLS handshake: {error}.",
        "Check that {host} is the right name (the server may know several), and its TLS settings: version, "
        "ciphers, client certificates.",
        api_knows=("state",),
    ),
    "client_cert_required": Entry(
        "The server at {host} ({address}) requires a client certificate, and none is set.",
        "Set sslcert and sslkey (crdb_connection_sslcert, crdb_connection_sslkey) to the client certificate and key of "
        "{user} for {host}.",
    ),
    "client_cert_expired": Entry(
        "The client certificate {client_cert} for {user} at {host} expired at {client_after}; this machine's clock "
        "says {now}.",
        "Run playbooks/app_servers.yml, which renews it where the connection has client_ca_file "
        "(crdb_connection_client_ca_file), or put another certificate for {user} at {host} in place of {client_cert}.",
    ),
    "client_cert_not_yet_valid": Entry(
        "The client certificate {client_cert} for {user} at {host} is not valid before {client_before}; this machine's "
        "clock says {now}.",
        "Correct this machine's clock if it is wrong, or put a certificate for {user} at {host} that is valid now in "
        "place of {client_cert}.",
    ),
    "client_cert_other_ca": Entry(
        "The server at {host} ({address}) does not trust {client_issuer}, the CA of the client certificate "
        "{client_cert} of {user}.",
        "Let the client CA of {host} sign a certificate for {user}, and put it in place of {client_cert}, or add "
        "{client_issuer} to the client CAs of {host} (ca-client.crt on its nodes).",
        per_deployment={
            "dedicated": (
                "The server at {host} ({address}) does not trust {client_issuer}, the CA of the client certificate "
                "{client_cert} of {user}.",
                "Run `playbooks/cluster_client_ca.yml`, which adds the client_ca_file of the connection "
                "(crdb_connection_client_ca_file) to the client CAs of {host}, or put a certificate for {user} of one "
                "of them in place of {client_cert}.",
            ),
        },
    ),
    "client_cert_refused": Entry(
        "The server at {host} ({address}) refuses the client certificate {client_cert}: {error}.",
        "Use a client certificate for {user} that is signed by the client CA of {host} and has the extended key usage "
        "clientAuth, in place of {client_cert}.",
    ),
    "tls_failed": Entry(
        "TLS with {host} ({address}) failed {when}: {error}.",
        "Check that {host} port {port} is the SQL port itself, then " + SAME_NETWORK + ".",
    ),
}
