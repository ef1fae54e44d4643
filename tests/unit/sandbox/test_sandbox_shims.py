# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which statements and settings are rewritten for PostgreSQL, and which are left unchanged."""

from __future__ import annotations

from typing import Optional

import pytest

from sandbox.shims import COCKROACH_VERSION, rewrite_statement, strip_cockroach_settings

VERSION = f"SELECT '{COCKROACH_VERSION}'::text AS crdb_version"


@pytest.mark.parametrize(
    ("statement", "replacement"),
    [
        ("SHOW crdb_version", VERSION),
        (" show\n crdb_version ; ", VERSION),
        ("SHOW crdb_versions", None),
        ("SHOW crdb_version; SELECT 1", None),
        ("SELECT 'SHOW crdb_version'", None),
        (
            "SET enable_experimental_alter_column_type_general = true",
            "SET crdb.enable_experimental_alter_column_type_general = true",
        ),
        (
            "set session ENABLE_EXPERIMENTAL_ALTER_COLUMN_TYPE_GENERAL TO 'on';",
            "set session crdb.ENABLE_EXPERIMENTAL_ALTER_COLUMN_TYPE_GENERAL TO 'on';",
        ),
        ("SET enable_experimental_alter_column_type_general = true; SELECT 1", None),
        ("SET search_path = public", None),
        ('REVOKE "admin" FROM "a""b";', 'REVOKE "admin" FROM "a""b"; ALTER ROLE "a""b" NOSUPERUSER'),
        ("grant admin to ann", "grant admin to ann; ALTER ROLE ann SUPERUSER"),
        ("REVOKE admin, other FROM ann", None),
        ('GRANT "administrators" TO ann', None),
        ("SELECT 1", None),
        ("", None),
    ],
)
def test_statement(statement: str, replacement: Optional[str]) -> None:
    rewritten = rewrite_statement(statement.encode())
    assert rewritten == (None if replacement is None else replacement.encode())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"options": "-c default_transaction_quality_of_service=background"}, {}),
        ({"options": "-cdefault_int_size=4 -c geqo=off"}, {"options": "-c geqo=off"}),
        ({"options": "-c geqo=off --vectorize=off"}, {"options": "-c geqo=off"}),
        ({"options": r"-c distsql=a\ b -c geqo=off"}, {"options": "-c geqo=off"}),
        ({"options": "-c search_path=distsql=x"}, {"options": "-c search_path=distsql=x"}),
        ({"options": "-c  geqo=off \t-c jit=off"}, {"options": "-c  geqo=off \t-c jit=off"}),
        ({"multiple_active_portals_enabled": "true", "user": "carl"}, {"user": "carl"}),
        ({"options": ""}, {}),
    ],
)
def test_settings(parameters: dict[str, str], expected: dict[str, str]) -> None:
    assert strip_cockroach_settings(parameters) == expected
