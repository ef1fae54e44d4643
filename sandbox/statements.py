# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rewrites the statements that CockroachDB understands otherwise than PostgreSQL. Pure: text in, text out.

A statement is recognized only if it is alone in its query string. Names of users and roles are folded to lower case,
also in quotes, as CockroachDB does. What the rewritten statements call is in ``emulation.sql``.
"""

# ruff: noqa: S608 - every text of a statement goes through literal()

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Optional

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_NAMES = rf"{_NAME}(?:\s*,\s*{_NAME})*"
_END = r"\s*;?\s*"
_PRIVILEGES = r"(?P<privileges>[A-Za-z ]+(?:\s*,\s*[A-Za-z ]+)*?)"


def _pattern(text: str) -> re.Pattern[str]:
    spaced = text.replace(" ", r"\s+").replace("NAMES", _NAMES).replace("NAME", _NAME)
    return re.compile(r"\s*" + spaced + _END, re.IGNORECASE | re.DOTALL)


_SHOW_DEFAULTS = _pattern(
    r"SHOW DEFAULT PRIVILEGES(?: FOR (?:(?P<all>ALL ROLES)|(?P<what>ROLE|USER|GRANTEE) (?P<roles>NAMES)))?"
    r"(?: IN SCHEMA (?P<schema>NAME))?"
)
_SHOW_SYSTEM = _pattern(r"SHOW SYSTEM GRANTS(?: FOR (?P<roles>NAMES))?")
_SHOW_GRANTS = _pattern(r"SHOW GRANTS FOR (?P<roles>NAMES)")
_SHOW_SCHEDULES = _pattern(r"SELECT (?P<columns>NAMES) FROM \[SHOW SCHEDULES\]")
_VERSION = _pattern(r"SELECT version\(\)")
_SESSION_USER = _pattern(r"SELECT \* FROM \[SHOW SESSION_USER\]")
_CREATE_SCHEDULE = _pattern(r"CREATE SCHEDULE '(?P<name>(?:[^']|'')+)' FOR .+")
_GLOBAL = _pattern(
    rf"(?P<verb>GRANT|REVOKE) (?:SYSTEM {_PRIVILEGES}|{_PRIVILEGES.replace('privileges', 'others')}"
    r" ON EXTERNAL CONNECTION (?P<object>NAME)) (?:TO|FROM) (?P<roles>NAMES)(?: WITH GRANT OPTION)?"
)
_FOR_ALL = _pattern(
    r"ALTER DEFAULT PRIVILEGES FOR ALL ROLES(?: IN SCHEMA (?P<schema>NAME))? (?P<verb>GRANT|REVOKE)"
    rf" {_PRIVILEGES} ON (?P<type>TABLES|SEQUENCES|TYPES|SCHEMAS|FUNCTIONS|ROUTINES) (?:TO|FROM) (?P<roles>NAMES)"
)
_MEMBERSHIP = _pattern(
    r"(?P<verb>GRANT|REVOKE(?: ADMIN OPTION FOR)?) (?P<granted>NAMES) (?:TO|FROM) (?P<roles>NAMES)"
    r"(?P<rest> WITH ADMIN OPTION| CASCADE| RESTRICT)?"
)
_PRIVILEGE = _pattern(
    r"(?P<verb>GRANT|REVOKE(?: GRANT OPTION FOR)?) (?P<what>.+? ON .+?) (?P<to>TO|FROM) (?P<roles>NAMES)"
    r"(?P<rest> WITH GRANT OPTION| CASCADE| RESTRICT)?"
)
_DEFAULTS = _pattern(
    r"ALTER DEFAULT PRIVILEGES(?: FOR (?:ROLE|USER) (?P<creators>NAMES))?(?P<schema> IN SCHEMA NAMES)?"
    r" (?P<verb>GRANT|REVOKE) (?P<what>.+? ON .+?) (?P<to>TO|FROM) (?P<roles>NAMES)(?P<rest> WITH GRANT OPTION)?"
)
_ROLE = _pattern(
    r"(?P<verb>CREATE|ALTER|DROP) (?:ROLE|USER)(?P<exists> IF (?:NOT )?EXISTS)? (?P<roles>NAMES)(?P<options> .+?)?"
)
_OWNED = _pattern(
    r"(?P<verb>REASSIGN|DROP) OWNED BY (?P<roles>NAMES)(?: TO (?P<heir>NAME))?(?P<rest> CASCADE| RESTRICT)?"
)
_OWNER = _pattern(r"(?P<what>ALTER .+?) OWNER TO (?P<roles>NAME)")
_CATALOGUE = re.compile(
    rb"(?<!['\w.])\"?pg_catalog\"?\s*\.\s*\"?(pg_default_acl|pg_roles|pg_database|pg_auth_members|pg_authid)\"?(?!['\w])",
    re.IGNORECASE,
)
_CATALOGUE_NEEDED = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|GRANT|REVOKE|ALTER|DROP|TRUNCATE|CREATE(?!\s+(?:DATABASE|ROLE|USER)\b))\b", re.I
)
_UNQUALIFIED = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE)\s+({_NAME})\s*(?![\w.(])", re.IGNORECASE)
_SUPERUSER = re.compile(r"\bSUPERUSER\b", re.IGNORECASE)
_IN_QUOTES = re.compile(r"'(?:[^']|'')*'")


def fold(name: str) -> str:
    """The name of a user or role as CockroachDB stores it: in lower case, and composed (NFC)."""
    return unicodedata.normalize("NFC", name).lower()


def literal(text: str) -> str:
    """A text in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def rewrite(statement: str) -> Optional[str]:
    """The statement to send to PostgreSQL instead, or ``None`` to leave it unchanged."""
    return _of_cockroach(statement) or _of_roles(statement)


def _of_cockroach(statement: str) -> Optional[str]:
    """What PostgreSQL has no statement for."""
    if shown := _SHOW_DEFAULTS.fullmatch(statement):
        what = "ALL ROLES" if shown["all"] else "GRANTEE" if (shown["what"] or "").upper() == "GRANTEE" else "ROLE"
        kind = literal(what if shown["all"] or shown["what"] else "")
        schema = literal(_plain(shown["schema"]) if shown["schema"] else "")
        return f"SELECT * FROM crdb_internal.show_default_privileges({kind}, {_array(shown['roles'])}, {schema})"
    if shown := _SHOW_SYSTEM.fullmatch(statement):
        return f"SELECT * FROM crdb_internal.show_system_grants({_array(shown['roles'])})"
    if shown := _SHOW_GRANTS.fullmatch(statement):
        return f"SELECT * FROM crdb_internal.show_grants({_array(shown['roles'])})"
    if shown := _SHOW_SCHEDULES.fullmatch(statement):
        return f"SELECT {shown['columns']} FROM crdb_internal.show_schedules()"
    if _VERSION.fullmatch(statement):
        # The function is found by the search_path only, which the client may have changed.
        return "SELECT crdb_internal.version() AS version"
    if _SESSION_USER.fullmatch(statement):
        return "SELECT session_user::text AS session_user"
    if created := _CREATE_SCHEDULE.fullmatch(statement):
        return f"CALL crdb_internal.create_schedule('{created['name']}')"
    if changed := _GLOBAL.fullmatch(statement):
        given = "true" if changed["verb"].upper() == "GRANT" else "false"
        key = literal(_plain(changed["object"]) if changed["object"] else "system")
        privileges = _privileges(changed["privileges"] or changed["others"])
        return f"CALL crdb_internal.change_global({key}, {privileges}, {_array(changed['roles'])}, {given})"
    if changed := _FOR_ALL.fullmatch(statement):
        given = "true" if changed["verb"].upper() == "GRANT" else "false"
        schema = literal(_plain(changed["schema"]) if changed["schema"] else "")
        kind = literal(changed["type"].lower().replace("functions", "routines"))
        privileges, roles = _privileges(changed["privileges"]), _array(changed["roles"])
        return f"CALL crdb_internal.change_for_all({schema}, {kind}, {privileges}, {roles}, {given})"
    return None


def _of_roles(statement: str) -> Optional[str]:
    """What an administrator may do without being PostgreSQL's superuser, with the names of roles folded."""
    if _ROLE.fullmatch(statement) and _SUPERUSER.search(_IN_QUOTES.sub("", statement)):
        return "SELECT crdb_internal.refuse('42601', 'syntax error: CockroachDB has no option SUPERUSER')"
    if changed := _DEFAULTS.fullmatch(statement):
        creators = _list(changed["creators"])
        # Without FOR ROLE they are those of the user who runs it.
        who = f" FOR ROLE {_quoted(creators)}" if creators else ""
        text = (
            f"ALTER DEFAULT PRIVILEGES{who}{changed['schema'] or ''} {changed['verb']} {changed['what']}"
            f" {changed['to']} {_quoted(_list(changed['roles']))}{changed['rest'] or ''}"
        )
        return _run(text, "defaults", creators) if creators else text
    if changed := _ROLE.fullmatch(statement):
        verb, roles = changed["verb"].upper(), _list(changed["roles"])
        text = f"{verb} ROLE{changed['exists'] or ''} {_quoted(roles)}{changed['options'] or ''}"
        if verb == "CREATE" and re.match(r"\s*CREATE\s+USER\b", statement, re.IGNORECASE):
            text += " LOGIN" if not changed["options"] or "login" not in changed["options"].lower() else ""
        drops = verb == "DROP" and not changed["exists"]
        return _run(text, "drop" if drops else "", roles)
    if changed := _OWNED.fullmatch(statement):
        roles = _list(changed["roles"])
        heir = f" TO {_quoted(_list(changed['heir']))}" if changed["heir"] else changed["rest"] or ""
        kind = "reassign" if changed["verb"].upper() == "REASSIGN" else ""
        return _run(f"{changed['verb']} OWNED BY {_quoted(roles)}{heir}", kind, roles)
    if changed := _MEMBERSHIP.fullmatch(statement):
        granted, roles = _list(changed["granted"]), _list(changed["roles"])
        to = "TO" if changed["verb"].upper() == "GRANT" else "FROM"
        text = f"{changed['verb']} {_quoted(granted)} {to} {_quoted(roles)}{changed['rest'] or ''}"
        return _run(text, "admin" if "admin" in granted else "", roles)
    if changed := _PRIVILEGE.fullmatch(statement):
        grantees = _quoted(_list(changed["roles"]))
        return _run(f"{changed['verb']} {changed['what']} {changed['to']} {grantees}{changed['rest'] or ''}", "", [])
    if changed := _OWNER.fullmatch(statement):
        return _run(f"{changed['what']} OWNER TO {_quoted(_list(changed['roles']))}", "", [])
    return None


def rewrite_catalogue(statement: bytes) -> bytes:
    """The statement with the sandbox's own views in place of the tables that CockroachDB fills otherwise."""
    return _CATALOGUE.sub(rb"crdb_internal.\1", statement)


def without_database(statement: str, database: str) -> Optional[str]:
    """The refusal of a statement that needs the catalogue, in a session on a database that does not exist.

    CockroachDB refuses a name without a schema with 42P01 (issue 71495). Which code a qualified name gives is not
    confirmed; here it is 3D000.
    """
    if not _CATALOGUE_NEEDED.search(_IN_QUOTES.sub("''", statement)):
        return None
    relation = _UNQUALIFIED.search(statement)
    if relation:
        code, message = "42P01", f'relation "{_plain(relation[1])}" does not exist'
    else:
        code, message = "3D000", f'database "{database}" does not exist'
    return f"SELECT crdb_internal.refuse('{code}', {literal(message)})"


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _list(names: Optional[str]) -> list[str]:
    return [fold(_plain(name)) for name in re.findall(_NAME, names or "")]


def _quoted(names: Iterable[str]) -> str:
    # PostgreSQL has these words, which are no roles, without quotes only. What runs with the engine's rights has the
    # engine's role as its current user, so that both are the session's user.
    words = {"public": "public", "current_user": "session_user", "session_user": "session_user"}
    return ", ".join(words.get(name) or '"' + name.replace('"', '""') + '"' for name in names)


def _array(names: Optional[str]) -> str:
    return _texts(_list(names))


def _privileges(text: str) -> str:
    words = (" ".join(part.split()).upper().removesuffix(" PRIVILEGES") for part in text.split(","))
    return _texts(words)


def _texts(values: Iterable[str]) -> str:
    return "ARRAY[" + ", ".join(map(literal, values)) + "]::text[]"


def _run(statement: str, kind: str, roles: Iterable[str]) -> str:
    return f"CALL crdb_internal.run({literal(statement)}, '{kind}', {_texts(roles)})"
