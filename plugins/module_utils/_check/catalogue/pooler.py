# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The codes of the check about a pooler in front of the cluster: PgBouncer and what behaves like it.

The names of settings are PgBouncer's. Source: PgBouncer 1.18 in front of PostgreSQL 15, tests/faults/test_poolers.py.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Entry

ENTRIES: Mapping[str, Entry] = {
    "pooler_password_rejected": Entry(
        "The pooler at {host} ({address}) refuses the password of {user}, or has no user {user}.",
        "Correct the password of {user} for {name}, or add {user} to the pooler's own list of users at {host} "
        "(PgBouncer: auth_file or auth_query).",
        refuses_login=True,
    ),
    "pooler_login_refused": Entry(
        "The pooler at {host} ({address}) knows {user}, and the server behind it refuses the pooler's login.",
        "Correct the user and the password with which the pooler at {host} connects to the cluster (PgBouncer: "
        "[databases] and auth_file).",
        quotes_server=True,
        refuses_login=True,
    ),
    "pooler_database_unknown": Entry(
        "The pooler at {host} ({address}) has no database {database}.",
        "Add {database} to the pooler's list of databases at {host} (PgBouncer: [databases]), or correct the database "
        "of {name}.",
    ),
    "pooler_server_down": Entry(
        "The pooler at {host} ({address}) cannot connect to the server behind it, or waits for a free connection to "
        "it.",
        "Check the cluster behind the pooler at {host} and the pooler's log: it names the server that it tries "
        "(PgBouncer: SHOW POOLS, SHOW SERVERS).",
        quotes_server=True,
    ),
    "pooler_option_refused": Entry(
        "The pooler at {host} ({address}) does not pass the start-up parameter {parameter} on, and refuses it.",
        "Take {parameter} out of the connection of {name}, or let PgBouncer at {host} leave it out "
        "(ignore_startup_parameters): then the pooler's own connection has to name a serverless cluster.",
    ),
    "pooler_full": Entry(
        "The pooler at {host} ({address}) has reached its limit of clients.",
        "Make the pools of the apps that use {host} smaller, or raise the pooler's limit (PgBouncer: max_client_conn).",
        quotes_server=True,
    ),
    "pooler_console": Entry(
        "Database {database} at {host} ({address}) is the pooler's own console, which {user} may not use.",
        "Correct the database of {name} at {host}: it is one that the pooler connects to.",
    ),
}
