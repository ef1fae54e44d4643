# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""What the check tells beside a verdict, by code.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Note

NOTES: Mapping[str, Note] = {
    "slow_dns": Note(
        "Looking up {host} took {took} ms, where up to {normal} is normal: look at this machine's DNS servers.",
    ),
    "slow_tcp": Note(
        "Connecting to {host} ({address}) took {took} ms, where up to {normal} is normal: the network path is "
        "long, or packets are lost on it.",
    ),
    "slow_tls": Note(
        "The TLS handshake with {host} took {took} ms, where up to {normal} is normal: the server is busy, or a "
        "proxy intercepts TLS.",
    ),
    "slow_route": Note(
        "The start-up message to {host} was answered after {took} ms, where up to {normal} is normal: a cluster "
        "that slept was woken up, or is busy.",
    ),
    "slow_auth": Note(
        "The login at {host} took {took} ms, where up to {normal} is normal: many SCRAM iterations, or a busy cluster.",
    ),
    "slow_sql": Note(
        "The query at {host} took {took} ms, where up to {normal} is normal: the cluster is busy, or the node is "
        "far from the data.",
    ),
    "clock_differs": Note(
        "This machine's clock says {now} and the controller's {controller_now}: TLS to {host} fails when this "
        "machine's time is outside a certificate's dates.",
    ),
    "app_not_configured": Note(
        "Not configured on this host yet: {name}, without {path}. The connection to {host} was checked with what the "
        "inventory says.",
        files_differ=True,
    ),
    "app_file_too_open": Note(
        "The file {path} of {name} holds a password for {host} and has mode {mode}: run `chmod 600 {path}`.",
    ),
    "app_file_changed": Note(
        "The file {path} of {name} for {host} differs from what the inventory would write.",
        files_differ=True,
    ),
    "env_value_overridden": Note(
        "{variable} is set in the environment of this session too, to another value, and programs that are started in "
        "it use that one for {host}, not the one in {path}. To use the file: `unset {variable}`.",
    ),
    "app_file_unmanaged": Note(
        "No app or framework of the inventory needs {path}, written for {apps}. To remove what is not needed, write "
        "the configuration with prune: true.",
    ),
    "app_ca_changed": Note(
        "The CA file {path} of {name} for {host} does not hold the CA of the inventory (SHA-256 {fingerprint}).",
        files_differ=True,
    ),
    "cloud_api_silent": Note(
        "The Cloud API was asked about {host} and gave no answer that can be used: {reason}",
    ),
    "cloud_no_cluster": Note(
        "The key of the Cloud API does not show exactly one cluster that {host} leads to ({cluster}).",
    ),
    "public_address_unknown": Note(
        "The public address of this machine could not be found, to compare it with {allowlist}, which {host} "
        "goes by: {reason}",
    ),
    "cluster_busy": Note(
        "The Cloud API says of cluster {cluster} ({host}): {state}.",
    ),
    "url_sslmode": Note(
        "The connection string of {host} has sslmode {mode}, by which clients connect {weak}. It was checked with "
        "verify-full: write sslmode=verify-full, and sslrootcert with the path of the CA file.",
    ),
    "libpq_port": Note(
        "The connection string of {host} has no port. It was checked with {port}, and clients built on libpq (psql, "
        "psycopg, Ruby's pg) connect to 5432: write the port.",
        stops_libpq=True,
    ),
    "libpq_refuses_url": Note(
        "Clients built on libpq (psql, psycopg, Ruby's pg) refuse the connection string of {host}, because {why}: "
        "{remedy}.",
        stops_libpq=True,
    ),
    "libpq_without_ca": Note(
        "Clients built on libpq (psql, psycopg, Ruby's pg) do not connect to {host} with verify-full: they take no "
        "public roots, and {ca} does not exist. Put the CA certificate there, or name it in sslrootcert (ca_file).",
        stops_libpq=True,
    ),
    "libpq_environment": Note(
        "The environment of this session sets {variables}, which clients built on libpq take for {host} where their "
        "connection string says nothing.",
    ),
    "not_cockroachdb": Note(
        "The server at {host} is not CockroachDB: its version() is {version}.",
    ),
    "old_cockroachdb": Note(
        "The server at {host} runs {version}, which lost its support before 2025. This project was not tried with it.",
    ),
    "other_user": Note(
        "The session at {host} runs as {session_user}, although {user} logged in: a pooler or a rule of the server "
        "sets another user.",
    ),
    "other_database": Note(
        "The session at {host} is in database {session_database}, although {database} was asked for.",
    ),
    "ca_holds_key": Note(
        "The CA file {path} for {host} holds a private key beside the certificate, and its mode {mode} lets others "
        "read the key: move the key to a file of its own with mode 0600.",
    ),
    "stricter_clients": Note(
        "{clients} would refuse the certificate of {host}: {why}.",
    ),
    "certificate_expires": Note(
        "The certificate of {host} expires at {not_after}, in {days} days.",
    ),
    "client_cert_expires": Note(
        "The client certificate {client_cert} for {host} expires at {not_after}, in {days} days.",
    ),
    "ca_expires": Note(
        "The CA certificate {failing} of {host} in {ca} expires at {failing_after}, in {days} days.",
    ),
}
