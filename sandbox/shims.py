# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes PostgreSQL answer as CockroachDB does to what drivers send when they connect.

There are functions and views in every database (``emulation.sql``), found through ``search_path``, and statements that
the front rewrites because a function cannot replace them (``statements.py``). docs/sandbox.md lists both.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from sandbox import statements

RELEASES = {"23.1": "v23.1.28", "24.1": "v24.1.6", "24.3": "v24.3.5", "25.4": "v25.4.10"}
"""The releases that the sandbox can be: each with its full version, for 23.1 and 24.1 before their late fixes."""

NEWEST = "25.4"

SEARCH_PATH = '"$user", public, crdb_internal, pg_catalog'
"""For every role. pg_catalog comes last so that ``crdb_internal.version()`` is found before PostgreSQL's function."""

_EMULATION = Path(__file__).with_name("emulation.sql")


def cockroach_version(release: str) -> str:
    """The result of ``version()``. Django's backend requires ``vX.Y.Z`` in it (django-cockroachdb 5.2)."""
    return f"CockroachDB CCL {RELEASES[release]} (sandbox, PostgreSQL behind)"


def database_sql(release: str) -> str:
    """What runs in template1 and in every database, as a superuser, once the role ``admin`` exists."""
    major, minor = release.split(".")
    text = _EMULATION.read_text().replace("@VERSION@", cockroach_version(release))
    return text.replace("@RELEASE@", str(100 * int(major) + int(minor)))


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


def rewrite_statement(statement: bytes, missing_database: Optional[str] = None) -> Optional[bytes]:
    """The statement to send to PostgreSQL instead, or ``None`` to leave it unchanged.

    Only a statement that is alone in its query string is recognized, but for the names of catalogue tables.

    Args:
        statement: as the client sent it.
        missing_database: the database of the session, if it does not exist.
    """
    if _SHOW_VERSION.fullmatch(statement):
        return b"SELECT crdb_internal.version() AS crdb_version"
    setting = _SET_ALTER_COLUMN_TYPE.fullmatch(statement)
    if setting:
        # PostgreSQL accepts any name with a dot as a custom setting.
        return setting[1] + b"crdb." + setting[2]
    text = statement.decode("utf-8", "surrogateescape")
    replacement = statements.without_database(text, missing_database) if missing_database is not None else None
    replacement = replacement or statements.rewrite(text)
    if replacement is not None:
        return replacement.encode("utf-8", "surrogateescape")
    renamed = statements.rewrite_catalogue(statement)
    return None if renamed == statement else renamed


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
