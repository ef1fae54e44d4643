# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about the login and the first query.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Entry

ENTRIES: Mapping[str, Entry] = {
    "hba_refused": Entry(
        "The server at {host} ({address}) has a rule that refuses {user} from this machine's address on database "
        "{database}.",
        "Add a rule for {user} to the host-based authentication at {host}: the cluster setting "
        "server.host_based_authentication.configuration, PostgreSQL's pg_hba.conf or a pooler's auth_hba_file.",
        quotes_server=True,
    ),
    "auth_method_unsupported": Entry(
        "The server at {host} ({address}) requires {user} to log in with {method}, which this check does not support.",
        "Let {user} at {host} use a SCRAM-SHA-256 password; the apps' own drivers may support {method}.",
    ),
    "password_missing": Entry(
        "The server at {host} ({address}) requires the password of {user}, and none is set.",
        "Set the password of {user} for {name} ({host}), or a client certificate where the cluster accepts one.",
    ),
    "password_rejected": Entry(
        "The server at {host} ({address}) refuses the password of {user}, or has no user {user}.",
        "Set the password of {user} again in the cluster's list of SQL users and give it for {host}; in a URL "
        "its special characters must be percent-encoded, and more tries lock this address out.",
        refuses_login=True,
        api_knows=("user",),
    ),
    "password_encoded_twice": Entry(
        "The server at {host} ({address}) refuses the password of {user}, which still has percent-encoded characters "
        "after it was decoded once.",
        "Encode the password of {user} once only in the URL for {host} (a % as %25), and as it is where it is given by "
        "itself; more tries lock this address out.",
        refuses_login=True,
    ),
    "password_wrong": Entry(
        "The password of {user} at {host} ({address}) is wrong: the Cloud API reports that cluster {cluster} has "
        "that user.",
        "Set the password of {user} again in the list of SQL users of cluster {cluster} and give it for {host}; "
        "more tries lock this address out.",
        refuses_login=True,
    ),
    "password_expired": Entry(
        "The password of {user} at {host} ({address}) has expired.",
        "Set a new password or a later VALID UNTIL for {user} at {host}.",
        refuses_login=True,
    ),
    "user_unknown": Entry(
        "The server at {host} ({address}) has no user {user}.",
        "Create {user} in the cluster's list of SQL users at {host}, or correct the name (names are lower case).",
        refuses_login=True,
    ),
    "login_denied": Entry(
        "{user} may not log in at {host} ({address}): the role has NOLOGIN or NOSQLLOGIN.",
        "Run `ALTER ROLE {user} LOGIN` at {host} as an administrator (SQLLOGIN where that was taken away), or "
        "use another user.",
        refuses_login=True,
    ),
    "ldap_refused": Entry(
        "The server at {host} ({address}) asked its LDAP directory about {user}, and the login failed there.",
        "Give the directory's password of {user} for {host}; if the words above name the service account or the "
        "directory, correct the ldap options in server.host_based_authentication.configuration.",
        quotes_server=True,
        refuses_login=True,
    ),
    "jwt_refused": Entry(
        "The server at {host} ({address}) takes what {user} sends as a JSON web token, and refuses it.",
        "Send a token that is valid and issued for {user} as the password for {host}, or take "
        "`--crdb:jwt_auth_enabled=true` out of the options to log in with a password.",
        quotes_server=True,
        refuses_login=True,
    ),
    "identity_not_mapped": Entry(
        "The server at {host} ({address}) knows who logs in, and has no rule by which that is SQL user {user}.",
        "Add the pair to the cluster setting server.identity_map.configuration at {host}, or log in as another user "
        "than {user}.",
        quotes_server=True,
        refuses_login=True,
    ),
    "client_cert_of_another": Entry(
        "The server at {host} ({address}) trusts the client certificate {client_cert}, which is not one of {user}.",
        "Create a certificate for {user} (`cockroach cert create-client {user}`), and set sslcert and sslkey "
        "(crdb_connection_sslcert, crdb_connection_sslkey) to it and its key for {host}.",
        quotes_server=True,
    ),
    "login_refused": Entry(
        "The server at {host} ({address}) refuses the login of {user} (SQLSTATE {sqlstate}).",
        "Look {user} up in the cluster's list of SQL users at {host}, and correct what the server's words name.",
        quotes_server=True,
        refuses_login=True,
        api_knows=("user",),
    ),
    "server_signature_invalid": Entry(
        "The server at {host} ({address}) did not prove that it knows the password of {user}, so it may be an "
        "impostor.",
        "Do not use this connection: find out who answers at {host} ({address}), and change the password of {user}.",
    ),
    "scram_iterations": Entry(
        "The server at {host} ({address}) requires more SCRAM iterations for a login than this check accepts: {error}.",
        "Find out who answers at {host}; at a real cluster set the password of {user} again, with fewer SCRAM "
        "iterations.",
    ),
    "scram_malformed": Entry(
        "The server at {host} ({address}) breaks the rules of SCRAM in the login of {user}: {error}.",
        "Check what answers at {host}: a proxy or pooler in between has to speak SCRAM-SHA-256 correctly.",
    ),
    "database_missing": Entry(
        "Database {database} does not exist at {host} ({address}), or {user} cannot see it.",
        "Create it with `CREATE DATABASE` at {host}, or correct the database of {name} (a new cluster has defaultdb).",
    ),
    "query_denied": Entry(
        "{user} is logged in at {host} ({address}), and may not read the list of databases (pg_catalog.pg_database).",
        "Give {user} the right that the server's words name at {host}, as an administrator, or use another user.",
        quotes_server=True,
    ),
    "quorum_lost": Entry(
        "The cluster at {host} ({address}) cannot read some of its data, because most copies of it are on nodes that "
        "are down.",
        "Start the nodes of {host} that are down (`cockroach node status`, DB Console), and check again.",
        quotes_server=True,
        api_knows=("state",),
    ),
    "license_missing": Entry(
        "The cluster at {host} ({address}) limits its transactions, because it has no valid license.",
        "Install a license at {host} (`SET CLUSTER SETTING enterprise.license`), or let its telemetry through, as the "
        "server's words say.",
        quotes_server=True,
    ),
    "connect_denied": Entry(
        "{user} has no right to connect to database {database} at {host}.",
        "Run `GRANT CONNECT ON DATABASE {database} TO {user}` at {host} as an administrator.",
    ),
    "role_at_limit": Entry(
        "The server at {host} ({address}) allows no further connection of {user} to database {database}.",
        "Make the pools of the apps that use {host} smaller, or raise the limit (`ALTER ROLE {user} CONNECTION LIMIT`, "
        "`ALTER DATABASE {database} CONNECTION LIMIT`).",
        quotes_server=True,
    ),
    "too_many_connections": Entry(
        "The server at {host} ({address}) has reached its limit of connections.",
        "Make the pools of the apps that use {host} smaller, or raise the cluster's limit of connections.",
        quotes_server=True,
        api_knows=("state",),
    ),
    "server_starting": Entry(
        "The server at {host} ({address}) is still starting.",
        "Wait a minute and check {host} again.",
        quotes_server=True,
        api_knows=("state",),
    ),
    "server_stopping": Entry(
        "The server at {host} ({address}) is stopping or being drained.",
        "Wait for the restart to end, or connect to another node than {host}.",
        quotes_server=True,
        api_knows=("state",),
    ),
    "server_error": Entry(
        "The server at {host} ({address}) answered {when} with an error (SQLSTATE {sqlstate}).",
        "Correct what the server's words name, or look them up in the logs of {host}.",
        quotes_server=True,
    ),
}
