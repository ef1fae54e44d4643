# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes PostgreSQL answer as CockroachDB does to what drivers send when they connect.

There are functions in every database, found through ``search_path``, and statements that the proxy rewrites because a
function cannot replace them. docs/sandbox.md lists both.
"""

from __future__ import annotations

import re
from typing import Optional

COCKROACH_VERSION = "CockroachDB CCL v25.4.10 (sandbox, PostgreSQL behind)"
"""The result of ``version()``. Django's backend requires ``vX.Y.Z`` in it (measured with django-cockroachdb 5.2)."""

SEARCH_PATH = '"$user", public, crdb, pg_catalog'
"""For every role. pg_catalog comes last so that ``crdb.version()`` is found before PostgreSQL's own function."""

DATABASE_SQL = f"""
CREATE SCHEMA IF NOT EXISTS crdb;
CREATE OR REPLACE FUNCTION crdb.version() RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT '{COCKROACH_VERSION}'::text $$;
CREATE SCHEMA IF NOT EXISTS crdb_internal;
CREATE OR REPLACE FUNCTION crdb_internal.increment_feature_counter(feature text) RETURNS boolean LANGUAGE sql
    AS $$ SELECT true $$;
GRANT USAGE ON SCHEMA crdb, crdb_internal TO PUBLIC;
GRANT CREATE ON SCHEMA public TO PUBLIC;
"""
"""Runs in template1 and in every database. The last line is there because CockroachDB lets everybody create tables."""

COCKROACH_ONLY_SETTINGS = (
    "autocommit_before_ddl",
    "default_int_size",
    "default_transaction_quality_of_service",
    "default_transaction_use_follower_reads",
    "distsql",
    "enable_implicit_transaction_for_batch_statements",
    "enable_zigzag_join",
    "multiple_active_portals_enabled",
    "reorder_joins_limit",
    "serial_normalization",
    "sql_safe_updates",
    "vectorize",
)
"""CockroachDB's session settings that clients send in the startup message, and that PostgreSQL refuses (42704)."""

_SETTING_FLAG = re.compile(
    r"(?<!\S)(?:-c\s*|--)(?:" + "|".join(COCKROACH_ONLY_SETTINGS) + r")=(?:\\.|[^\s\\])*(?:\s+|$)",
    re.ASCII | re.DOTALL,
)
_SHOW_VERSION = re.compile(rb"\s*SHOW\s+crdb_version\s*;?\s*", re.IGNORECASE)
_SET_ALTER_COLUMN_TYPE = re.compile(
    rb"(\s*SET\s+(?:(?:SESSION|LOCAL)\s+)?)(enable_experimental_alter_column_type_general\s*(?:=|\sTO\s)[^;]*;?\s*)",
    re.IGNORECASE,
)


_ADMIN_MEMBERSHIP = re.compile(
    rb"\s*(?:(GRANT)\s+\"?admin\"?\s+TO|REVOKE\s+\"?admin\"?\s+FROM)\s+(\w+|\"(?:[^\"]|\"\")+\")\s*;?\s*", re.IGNORECASE
)


def rewrite_statement(statement: bytes) -> Optional[bytes]:
    """The statement to send to PostgreSQL instead, or ``None`` to leave it unchanged.

    Only a statement that is alone in its query string is recognized.
    """
    if _SHOW_VERSION.fullmatch(statement):
        return f"SELECT '{COCKROACH_VERSION}'::text AS crdb_version".encode()
    setting = _SET_ALTER_COLUMN_TYPE.fullmatch(statement)
    if setting:
        # PostgreSQL accepts any name with a dot as a custom setting.
        return setting[1] + b"crdb." + setting[2]
    membership = _ADMIN_MEMBERSHIP.fullmatch(statement)
    if membership:
        # PostgreSQL roles do not inherit the superuser attribute.
        attribute = b"SUPERUSER" if membership[1] else b"NOSUPERUSER"
        return statement.rstrip(b"; \t\r\n") + b"; ALTER ROLE " + membership[2] + b" " + attribute
    return None


def strip_cockroach_settings(parameters: dict[str, str]) -> dict[str, str]:
    """The startup parameters without CockroachDB's own session settings, including those in ``options``."""
    kept = {key: value for key, value in parameters.items() if key not in COCKROACH_ONLY_SETTINGS}
    options = kept.get("options")
    if options is not None:
        stripped = _SETTING_FLAG.sub("", options)
        if stripped != options:
            kept["options"] = stripped.rstrip()
        if not kept["options"]:
            del kept["options"]
    return kept
