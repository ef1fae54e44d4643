# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which statements and settings are rewritten for PostgreSQL, and which are left unchanged."""

from __future__ import annotations

from typing import Optional

import pytest

from sandbox.shims import RELEASES, database_sql, rewrite_statement, strip_cockroach_settings
from sandbox.statements import fold, without_database

VERSION = "SELECT crdb_internal.version() AS crdb_version"
SHOWN = "SELECT * FROM crdb_internal.show_default_privileges"


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
        (
            'REVOKE "admin" FROM "a""B";',
            """CALL crdb_internal.run('REVOKE "admin" FROM "a""b"', 'admin', ARRAY['a"b']::text[])""",
        ),
        ("grant other to Ann", """CALL crdb_internal.run('grant "other" TO "ann"', '', ARRAY['ann']::text[])"""),
        (
            'GRANT SELECT ON TABLE "Odd" TO PUBLIC, "Ann"',
            """CALL crdb_internal.run('GRANT SELECT ON TABLE "Odd" TO public, "ann"', '', ARRAY[]::text[])""",
        ),
        (
            "CREATE ROLE \"Ann\" WITH LOGIN PASSWORD 'it''s'",
            "CALL crdb_internal.run('CREATE ROLE \"ann\" WITH LOGIN PASSWORD ''it''''s''', '', ARRAY['ann']::text[])",
        ),
        ("CREATE USER bob", """CALL crdb_internal.run('CREATE ROLE "bob" LOGIN', '', ARRAY['bob']::text[])"""),
        ("DROP USER bob", """CALL crdb_internal.run('DROP ROLE "bob"', 'drop', ARRAY['bob']::text[])"""),
        (
            "REASSIGN OWNED BY a TO B",
            """CALL crdb_internal.run('REASSIGN OWNED BY "a" TO "b"', 'reassign', ARRAY['a']::text[])""",
        ),
        (
            "ALTER TYPE mood OWNER TO Ann",
            """CALL crdb_internal.run('ALTER TYPE mood OWNER TO "ann"', '', ARRAY[]::text[])""",
        ),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO Ann",
            'ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO "ann"',
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE Bob GRANT SELECT ON TABLES TO ann",
            'CALL crdb_internal.run(\'ALTER DEFAULT PRIVILEGES FOR ROLE "bob" GRANT SELECT ON TABLES TO "ann"\','
            " 'defaults', ARRAY['bob']::text[])",
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ALL ROLES IN SCHEMA s REVOKE ALL ON TABLES FROM ann",
            "CALL crdb_internal.change_for_all('s', 'tables', ARRAY['ALL']::text[], ARRAY['ann']::text[], false)",
        ),
        ("SHOW DEFAULT PRIVILEGES", f"{SHOWN}('', ARRAY[]::text[], '')"),
        ("SHOW DEFAULT PRIVILEGES FOR ALL ROLES IN SCHEMA s", f"{SHOWN}('ALL ROLES', ARRAY[]::text[], 's')"),
        ('SHOW DEFAULT PRIVILEGES FOR GRANTEE "Ann"', f"{SHOWN}('GRANTEE', ARRAY['ann']::text[], '')"),
        ("SHOW DEFAULT PRIVILEGES FOR ROLE a, b;", f"{SHOWN}('ROLE', ARRAY['a', 'b']::text[], '')"),
        ("SHOW SYSTEM GRANTS FOR a", "SELECT * FROM crdb_internal.show_system_grants(ARRAY['a']::text[])"),
        ("SHOW GRANTS FOR a", "SELECT * FROM crdb_internal.show_grants(ARRAY['a']::text[])"),
        (
            "GRANT SYSTEM VIEWACTIVITY, REPAIRCLUSTERMETADATA TO a",
            "CALL crdb_internal.change_global('system', ARRAY['VIEWACTIVITY', 'REPAIRCLUSTERMETADATA']::text[],"
            " ARRAY['a']::text[], true)",
        ),
        (
            "REVOKE ALL PRIVILEGES ON EXTERNAL CONNECTION backup FROM a",
            "CALL crdb_internal.change_global('backup', ARRAY['ALL']::text[], ARRAY['a']::text[], false)",
        ),
        ("select version()", "SELECT crdb_internal.version() AS version"),
        ("SELECT version(), 1", None),
        ("SELECT * FROM [SHOW SESSION_USER]", "SELECT session_user::text AS session_user"),
        ("SELECT * FROM [SHOW SESSION_USERS]", None),
        ("SELECT owner FROM [SHOW SCHEDULES]", "SELECT owner FROM crdb_internal.show_schedules()"),
        ("CREATE SCHEDULE 'a' FOR BACKUP INTO 'x'", "CALL crdb_internal.create_schedule('a')"),
        (
            "CREATE ROLE a SUPERUSER",
            "SELECT crdb_internal.refuse('42601', 'syntax error: CockroachDB has no option SUPERUSER')",
        ),
        ("SELECT d.datname FROM pg_catalog.pg_database d", "SELECT d.datname FROM crdb_internal.pg_database d"),
        ('TABLE "pg_catalog"."pg_roles"', "TABLE crdb_internal.pg_roles"),
        ("SELECT 'pg_catalog.pg_roles', pg_catalog.pg_roles_of()", None),
        ("GRANT a TO b; SELECT 1", None),
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


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT 1", None),
        ("SHOW crdb_version", None),
        ("SELECT current_database(), 'FROM x'", None),
        ("CREATE DATABASE other", None),
        ("SELECT datname FROM pg_catalog.pg_database", "3D000"),
        ("SELECT datname FROM pg_database WHERE true", "42P01"),
        ("INSERT INTO t VALUES (1)", "42P01"),
        ("CREATE TABLE t (id int)", "3D000"),
    ],
)
def test_a_statement_in_a_database_that_does_not_exist(statement: str, code: Optional[str]) -> None:
    replacement = without_database(statement, "none")
    assert (replacement is None) if code is None else (f"refuse('{code}', " in str(replacement))


def test_names_are_folded_and_composed() -> None:
    assert fold("MaxRoach") == "maxroach"
    assert fold("Cafe\u0301") == "caf\u00e9"


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_has_its_version(release: str) -> None:
    assert f"CockroachDB CCL v{release}." in database_sql(release)
    assert "@" not in database_sql(release)
