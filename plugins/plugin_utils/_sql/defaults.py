# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Default privileges: what a role will be granted on objects that are created later.

Up to v24.1 CockroachDB's pg_default_acl leaves out the defaults of a schema (cockroachdb/cockroach issue 114032). So
SHOW DEFAULT PRIVILEGES is asked too, unless the catalogue shows such defaults, or the server does not know it.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.roles import Roles
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import Sessions, Statement, identifier

ALL_ROLES = ""
"""The creator of default privileges FOR ALL ROLES, which only CockroachDB has."""
PUBLIC = ""
"""The grantee that stands for everybody."""
ALL_PRIVILEGES = "ALL"

# The kinds by their letters in pg_default_acl, and by the words of SHOW DEFAULT PRIVILEGES.
_KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS"}
_SHOWN_KINDS = {"routines": "FUNCTIONS", **{kind.lower(): kind for kind in _KINDS.values()}}
# PostgreSQL documentation, table "ACL Privilege Abbreviations"; CockroachDB writes the same letters, without a grantor.
_ACL_ENTRY = re.compile(r'^(?:"((?:[^"]|"")*)"|([^="\n]*))=([A-Za-z*]*)/', re.MULTILINE)
_LETTERS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "U": "USAGE", "X": "EXECUTE", "C": "CREATE"}
_RESERVED = ("node", "public", "none")


@dataclass(frozen=True)
class Default:
    """Privileges of a grantee on what a creator will create in a schema, or if that is empty, in the database.

    Args:
        creator: ALL_ROLES for whoever creates it.
        schema: empty for the whole database.
        kind: TABLES, SEQUENCES, FUNCTIONS, TYPES or SCHEMAS.
        grantee: PUBLIC for everybody.
        privileges: what is granted; ALL_PRIVILEGES stands for every one.
    """

    creator: str
    schema: str
    kind: str
    grantee: str
    privileges: frozenset[str] = frozenset()

    def includes(self, privilege: str) -> bool:
        """Whether a privilege is granted."""
        return privilege in self.privileges or ALL_PRIVILEGES in self.privileges


def read(sessions: Sessions, database: str, roles: Roles, role: str, schemas: Iterable[str]) -> tuple[Default, ...]:
    """The default privileges of a database that a role gets or gives, without those on its own objects.

    Args:
        sessions: of the administrator.
        database: its name.
        roles: of the cluster.
        role: the grantee or creator.
        schemas: those of the database that matter.
    """
    catalogue = [default for default in _by_catalogue(sessions, database, roles) if _concerns(default, role)]
    found = {(d.creator, d.schema, d.kind, d.grantee): d.privileges for d in catalogue}
    if not _shows_schemas(sessions, database):
        for schema in ("", *schemas):
            for default in _by_show(sessions, database, roles, role, schema):
                key = (default.creator, default.schema, default.kind, default.grantee)
                found[key] = found.get(key, frozenset()) | default.privileges
    return tuple(Default(*key, privileges) for key, privileges in sorted(found.items()))


def _concerns(default: Default, role: str) -> bool:
    # Every role has the usual defaults of PUBLIC, which keep nobody from being dropped.
    usual = default.grantee == PUBLIC and not default.schema and default.kind in ("TYPES", "FUNCTIONS")
    return role in (default.creator, default.grantee) and default.creator != default.grantee and not usual


def _by_catalogue(sessions: Sessions, database: str, roles: Roles) -> Iterator[Default]:
    namespaces = sessions.query("SELECT oid, nspname FROM pg_catalog.pg_namespace", database)
    schemas = {str(row[0]): str(row[1]) for row in namespaces}
    # The cast is for v26.2, where the column has a type of its own, aclitem[].
    rows = sessions.query(
        "SELECT defaclrole, defaclnamespace, defaclobjtype, array_to_string(defaclacl::text[], chr(10))"
        " FROM pg_catalog.pg_default_acl",
        database,
    )
    for creator, schema, letter, acl in rows:
        name = ALL_ROLES if creator == "0" else roles.names.get(str(creator))
        kind = _KINDS.get(str(letter))
        if name is None or kind is None:
            continue
        for quoted, plain, letters in _ACL_ENTRY.findall(acl or ""):
            grantee = quoted.replace('""', '"') or plain
            privileges = frozenset(_LETTERS[one] for one in letters if one in _LETTERS)
            yield Default(name, schemas.get(str(schema), ""), kind, grantee, privileges)


def _shows_schemas(sessions: Sessions, database: str) -> bool:
    """Whether the catalogue shows defaults of schemas, so that it can be relied on for all of them."""
    return bool(sessions.query("SELECT 1 FROM pg_catalog.pg_default_acl WHERE defaclnamespace <> 0 LIMIT 1", database))


def _by_show(sessions: Sessions, database: str, roles: Roles, role: str, schema: str) -> Iterator[Default]:
    where = f" IN SCHEMA {identifier(schema)}" if schema else ""
    show = "SHOW DEFAULT PRIVILEGES FOR"
    rows = sessions.query_if_known(f"{show} ROLE", f"{show} ROLE {identifier(role)}{where}", database)
    if rows is None:
        return
    received = sessions.query_if_known(f"{show} GRANTEE", f"{show} GRANTEE {identifier(role)}{where}", database)
    if received is None:
        # FOR GRANTEE came with v23.1.11.
        creators = ", ".join(identifier(name) for name in sorted(roles.existing) if name not in _RESERVED)
        received = sessions.query(f"{show} ROLE {creators}{where}", database)
        received += sessions.query(f"{show} ALL ROLES{where}", database)
    for creator, for_all, kind, grantee, privilege, *_grantable in [*rows, *received]:
        default = Default(
            ALL_ROLES if for_all in ("t", "true") else str(creator),
            schema,
            _SHOWN_KINDS.get(str(kind), str(kind).upper()),
            PUBLIC if grantee == "public" else str(grantee),
            frozenset({str(privilege).upper()}),
        )
        if _concerns(default, role):
            yield default


def alter(database: str, creator: str, schema: str, rest: str, *, user: str) -> Statement:
    """A change of default privileges; those of the user who runs it need no FOR ROLE."""
    who = "" if creator == user else " FOR ALL ROLES" if creator == ALL_ROLES else f" FOR ROLE {identifier(creator)}"
    where = f" IN SCHEMA {identifier(schema)}" if schema else ""
    return Statement(database, f"ALTER DEFAULT PRIVILEGES{who}{where} {rest}")
