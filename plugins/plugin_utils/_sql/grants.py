# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: S608 - every name and text of a statement goes through identifier() or literal()

"""What a SQL user may do: the grants that were asked for, what the catalogue says, and the statements in between.

Only statements, catalogue tables and functions that CockroachDB and PostgreSQL both document. Neither has a common view
of who was granted what on databases and schemas, so what counts is what the grantee can do: a privilege is missing when
it cannot, and is the grantee's own to lose when somebody else cannot and none of its roles gives it.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import Sessions, Statement, identifier, literal

ADMIN_ROLE = "admin"
ALL = "all"
DEFAULT_SCHEMA = "public"
PRIVILEGES: Mapping[str, tuple[str, ...]] = {
    "database": ("CONNECT", "CREATE"),
    "schema": ("USAGE", "CREATE"),
    "tables": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "sequences": ("USAGE", "SELECT", "UPDATE"),
}
"""By kind of object, those that both document."""

_KEYS = ("database", "schema", "tables", "sequences", "privileges", "future", "creator", "role")
_FUNCTION = {"database": "database", "schema": "schema", "tables": "table", "sequences": "sequence"}
_RELKINDS = {"tables": "'r', 'p', 'v', 'm'", "sequences": "'S'"}
_OBJECT_TYPES = {"tables": "r", "sequences": "S"}
OBJECT_WORDS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS"}
"""The kinds of default privileges, by their letters in pg_default_acl."""

# PostgreSQL documentation, table "ACL Privilege Abbreviations"; CockroachDB writes the same letters.
_ACL_ENTRY = re.compile(r'^(?:"((?:[^"]|"")*)"|([^="\n]*))=([A-Za-z*]*)/', re.MULTILINE)
_LETTERS = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d", "USAGE": "U"}


@dataclass(frozen=True)
class Grant:
    """Privileges on a database, a schema, or tables or sequences of a schema; `names` is None for all there are.

    With `future`, they are also given on what `creator` (empty: the administrator who grants) will make.
    """

    kind: str
    database: str
    privileges: tuple[str, ...]
    schema: str = ""
    names: tuple[str, ...] | None = None
    future: bool = False
    creator: str = ""


def _names(value: Any, what: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(item, str) for item in value):
        raise OnboardingError(f"{what}: wants names, as a list or as text with commas.")
    return tuple(dict.fromkeys(value))


def parse(given: Any, database: str) -> tuple[tuple[Grant, ...], tuple[str, ...]]:
    """The grants, and the roles to be a member of; `database` is meant where none is given.

    Raises OnboardingError that names the entry and what it wants.
    """
    if not isinstance(given, (list, tuple)):
        raise OnboardingError("crdb_sql_user_grants: wants a list.")
    grants: list[Grant] = []
    roles: list[str] = []
    for number, entry in enumerate(given, start=1):
        what = f"crdb_sql_user_grants, entry {number}"
        if not isinstance(entry, Mapping):
            raise OnboardingError(f"{what}: wants a dictionary with some of {', '.join(_KEYS)}.")
        unknown = sorted(set(entry) - set(_KEYS))
        if unknown:
            raise OnboardingError(f"{what}: does not know {', '.join(unknown)}; it knows {', '.join(_KEYS)}.")
        facts = {key: value for key, value in entry.items() if value not in (None, "")}
        if "role" in facts:
            roles.append(_role(facts, what))
        else:
            grants.append(_grant(facts, database, what))
    return tuple(grants), tuple(dict.fromkeys(roles))


def _role(facts: Mapping[str, Any], what: str) -> str:
    if len(facts) > 1:
        raise OnboardingError(f"{what}: gives role, and more: a membership has an entry of its own.")
    role = str(facts["role"])
    identifier(role)
    if role.lower() == ADMIN_ROLE:
        raise OnboardingError(f"{what}: the role admin may do everything; name what the user is to do.")
    return role


def _grant(facts: Mapping[str, Any], database: str, what: str) -> Grant:
    kinds = [key for key in ("tables", "sequences") if key in facts]
    if len(kinds) > 1:
        raise OnboardingError(f"{what}: gives tables and sequences: give each an entry of its own.")
    kind = kinds[0] if kinds else "schema" if "schema" in facts else "database"
    allowed = PRIVILEGES[kind]
    privileges = tuple(p.upper() for p in _names(facts.get("privileges") or (), f"{what}: privileges"))
    wrong = [privilege for privilege in privileges if privilege not in allowed]
    if wrong:
        raise OnboardingError(
            f"{what}: {', '.join(wrong)} cannot be given on {kind}: name some of {', '.join(allowed)}, which"
            " CockroachDB and PostgreSQL both know."
        )
    names = None
    if kinds and facts[kind] != ALL:
        names = _names(facts[kind], f"{what}: {kind}")
    future = facts.get("future", False)
    if not isinstance(future, bool):
        raise OnboardingError(f"{what}: future wants true or false.")
    if future and (not kinds or names is not None):
        raise OnboardingError(f"{what}: future goes with tables: all, or sequences: all.")
    if "creator" in facts and not future:
        raise OnboardingError(f"{what}: creator goes with future: whose future {kind} are meant.")
    found = Grant(
        kind=kind,
        database=str(facts.get("database") or database),
        privileges=tuple(p for p in allowed if p in privileges),
        schema=str(facts.get("schema") or DEFAULT_SCHEMA) if kind != "database" else "",
        names=names,
        future=future,
        creator=str(facts.get("creator") or ""),
    )
    for name in (found.database, *(n for n in (found.schema, found.creator) if n), *(found.names or ())):
        identifier(name)
    return found


@dataclass(frozen=True)
class Roles:
    """Some roles of a cluster: which are there, which are administrators, and who is a member of what."""

    there: frozenset[str]
    administrators: frozenset[str]
    memberships: frozenset[tuple[str, str]]
    """Pairs of member and role."""

    def of(self, member: str) -> tuple[str, ...]:
        """The roles that it is a direct member of."""
        return tuple(sorted(role for one, role in self.memberships if one == member))

    def members(self, role: str) -> tuple[str, ...]:
        """Its direct members."""
        return tuple(sorted(member for member, one in self.memberships if one == role))


def roles(sessions: Sessions, asked: Iterable[str]) -> Roles:
    """Look at roles and their memberships."""
    names = ", ".join(literal(name) for name in sorted(set(asked)))
    rows = sessions.query(f"SELECT rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname IN ({names})")
    members = sessions.query(
        "SELECT u.rolname, g.rolname FROM pg_catalog.pg_auth_members m"
        " JOIN pg_catalog.pg_roles g ON g.oid = m.roleid JOIN pg_catalog.pg_roles u ON u.oid = m.member"
        f" WHERE u.rolname IN ({names}) OR g.rolname IN ({names})"
    )
    return Roles(
        frozenset(str(row[0]) for row in rows),
        frozenset(str(row[0]) for row in rows if row[1] == "t"),
        frozenset((str(row[0]), str(row[1])) for row in members),
    )


@dataclass(frozen=True)
class Held:
    """What a grantee can do with one object, and what of that is its own to lose."""

    held: frozenset[str]
    own: frozenset[str]


Objects = dict[str, Held]


@dataclass(frozen=True)
class Grantee:
    """A role that is there, the roles that it is a member of, and its own members."""

    name: str
    through: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


def look(sessions: Sessions, database: str, schema: str, kind: str, grantee: Grantee | None) -> Objects:
    """The objects of a kind, by name; a grantee of None can do nothing.

    What it or its members own is none of what it may lose: its members opened that to it.
    """
    if kind == "database":
        source = f"pg_catalog.pg_database c WHERE c.datname = {literal(database)}"
        name, owner = "c.datname", "c.datdba"
    elif kind == "schema":
        source = f"pg_catalog.pg_namespace c WHERE c.nspname = {literal(schema)}"
        name, owner = "c.nspname", "c.nspowner"
    else:
        source = (
            "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            f" WHERE n.nspname = {literal(schema)} AND c.relkind IN ({_RELKINDS[kind]})"
        )
        name, owner = "c.relname", "c.relowner"
    privileges = PRIVILEGES[kind]
    columns = [name]
    if grantee is not None:
        function = f"has_{_FUNCTION[kind]}_privilege"
        owners = ", ".join(literal(one) for one in (grantee.name, *grantee.members))
        others = f"{owner} NOT IN (SELECT oid FROM pg_catalog.pg_roles WHERE rolname IN ({owners}))"
        for privilege in privileges:
            may = f"c.oid, {literal(privilege)})"
            held = f"{function}({literal(grantee.name)}, {may}"
            by_role = "".join(f" AND NOT {function}({literal(role)}, {may}" for role in grantee.through)
            somebody_not = f"EXISTS (SELECT 1 FROM pg_catalog.pg_roles r WHERE NOT {function}(r.rolname, {may})"
            columns += [held, f"{held}{by_role} AND {others} AND {somebody_not}"]
    found: Objects = {}
    for row in sessions.query(f"SELECT {', '.join(columns)} FROM {source}", database):
        flags = row[1:] or ("f",) * (2 * len(privileges))
        found[str(row[0])] = Held(
            frozenset(p for p, flag in zip(privileges, flags[::2]) if flag == "t"),
            frozenset(p for p, flag in zip(privileges, flags[1::2]) if flag == "t"),
        )
    return found


@dataclass(frozen=True)
class Future:
    """Privileges of a grantee on what a creator will make in a schema, or, for an empty one, in the database."""

    creator: str
    schema: str
    kind: str
    privileges: frozenset[str]


def defaults(sessions: Sessions, database: str) -> Iterator[tuple[str, str, str, str, str]]:
    """All default privileges of a database: creator, schema or nothing, letter of the kind, grantee, letters."""
    rows = sessions.query(
        "SELECT r.rolname, n.nspname, d.defaclobjtype, array_to_string(d.defaclacl, chr(10))"
        " FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole"
        " LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace",
        database,
    )
    for creator, schema, letter, acl in rows:
        for quoted, plain, letters in _ACL_ENTRY.findall(acl or ""):
            grantee = quoted.replace('""', '"') or plain
            yield str(creator), schema or "", str(letter), grantee, letters


def futures(sessions: Sessions, database: str, grantee: str) -> tuple[Future, ...]:
    """The default privileges that name a grantee."""
    kinds = {letter: kind for kind, letter in _OBJECT_TYPES.items()}
    return tuple(
        Future(creator, schema, kinds[letter], frozenset(p for p in PRIVILEGES[kinds[letter]] if _LETTERS[p] in given))
        for creator, schema, letter, who, given in defaults(sessions, database)
        if who == grantee and letter in kinds
    )


def on_object(kind: str, schema: str, names: Iterable[str]) -> str:
    """The part of GRANT and REVOKE that names objects."""
    if kind == "database":
        return "DATABASE " + ", ".join(identifier(name) for name in names)
    if kind == "schema":
        return "SCHEMA " + identifier(schema)
    word = "TABLE" if kind == "tables" else "SEQUENCE"
    return f"{word} " + ", ".join(f"{identifier(schema)}.{identifier(name)}" for name in names)


def alter_default(database: str, creator: str, schema: str, rest: str) -> Statement:
    """A change of default privileges; without a creator, those of whoever runs it."""
    who = f" FOR ROLE {identifier(creator)}" if creator else ""
    where = f" IN SCHEMA {identifier(schema)}" if schema else ""
    return Statement(database, f"ALTER DEFAULT PRIVILEGES{who}{where} {rest}")


@dataclass
class Difference:
    """The statements that lead from what is to what was asked for; additions are to go first."""

    add: list[Statement]
    remove: list[Statement]
    notes: list[str]


class Comparison:
    """What one grantee can do, against what it is to be able to do.

    Args:
        sessions: of the administrator.
        grantee: a user or a role.
        there: whether it exists and is no administrator, so that what it can do says what it was granted.
    """

    def __init__(self, sessions: Sessions, grantee: Grantee, *, there: bool) -> None:
        self._sessions = sessions
        self._grantee = grantee.name
        self._members = grantee.members
        self._there = grantee if there else None
        self._seen: dict[tuple[str, str, str], Objects] = {}

    def difference(self, grants: tuple[Grant, ...], databases: Iterable[str], *, revoke: bool) -> Difference:
        """The statements; with `revoke`, what was not asked for is taken in these databases and the schemas named.

        Raises OnboardingError for an object that is not there.
        """
        todo = Difference([], [], [])
        wanted: dict[tuple[str, str, str, str], set[str]] = {}
        for grant in grants:
            for name in self._objects(grant):
                wanted.setdefault((grant.database, grant.schema, grant.kind, name), set()).update(grant.privileges)
        self._give(wanted, todo)
        self._give_future(grants, todo)
        if revoke:
            for database in databases:
                schemas = sorted({DEFAULT_SCHEMA, *(g.schema for g in grants if g.database == database and g.schema)})
                self._take(database, schemas, wanted, todo)
                self._take_future(database, grants, todo)
        self._note_ways_in(wanted, grants, todo)
        return todo

    def _at(self, database: str, schema: str, kind: str) -> Objects:
        key = (database, schema, kind)
        if key not in self._seen:
            self._seen[key] = look(self._sessions, database, schema, kind, self._there)
        return self._seen[key]

    def _objects(self, grant: Grant) -> tuple[str, ...]:
        there = self._at(grant.database, grant.schema, grant.kind)
        if grant.kind in ("database", "schema"):
            if not there:
                place = f" in {grant.database}" if grant.schema else ""
                raise OnboardingError(f"There is no {grant.kind} {grant.schema or grant.database}{place}.")
            return tuple(there)
        if not self._at(grant.database, grant.schema, "schema"):
            raise OnboardingError(f"There is no schema {grant.schema} in {grant.database}.")
        missing = [name for name in grant.names or () if name not in there]
        if missing:
            names = ", ".join(sorted(there)) or "none"
            raise OnboardingError(
                f"The schema {grant.schema} of {grant.database} has no {grant.kind} {', '.join(missing)}; it has:"
                f" {names}."
            )
        return grant.names if grant.names is not None else tuple(sorted(there))

    def _give(self, wanted: Mapping[tuple[str, str, str, str], set[str]], todo: Difference) -> None:
        groups: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
        for (database, schema, kind, name), privileges in wanted.items():
            held = self._at(database, schema, kind)[name].held
            missing = tuple(p for p in PRIVILEGES[kind] if p in privileges - held)
            if missing:
                groups.setdefault((database, schema, kind, missing), []).append(name)
        for (database, schema, kind, missing), names in groups.items():
            objects = on_object(kind, schema, names)
            todo.add.append(
                Statement(database, f"GRANT {', '.join(missing)} ON {objects} TO {identifier(self._grantee)}")
            )

    def _take(
        self,
        database: str,
        schemas: Iterable[str],
        wanted: Mapping[tuple[str, str, str, str], set[str]],
        todo: Difference,
    ) -> None:
        if not self._there:
            return
        places = [("", "database")] + [(s, kind) for s in schemas for kind in ("schema", "tables", "sequences")]
        for schema, kind in places:
            groups: dict[tuple[str, ...], list[str]] = {}
            for name, found in self._at(database, schema, kind).items():
                asked = wanted.get((database, schema, kind, name), set())
                extra = found.own - asked
                if "CREATE" in found.held - found.own - asked:
                    todo.notes.append(
                        f"{self._grantee} can also CREATE in the {kind} {name}, by a role or as everybody can, which is"
                        " not taken from it alone."
                    )
                if extra:
                    groups.setdefault(tuple(p for p in PRIVILEGES[kind] if p in extra), []).append(name)
            for privileges, names in groups.items():
                objects = on_object(kind, schema, sorted(names))
                todo.remove.append(
                    Statement(database, f"REVOKE {', '.join(privileges)} ON {objects} FROM {identifier(self._grantee)}")
                )

    def _wanted_future(self, grants: Iterable[Grant], database: str) -> dict[tuple[str, str, str], set[str]]:
        wanted: dict[tuple[str, str, str], set[str]] = {}
        for grant in grants:
            if grant.future and grant.database == database:
                key = (grant.creator or self._sessions.user, grant.schema, grant.kind)
                wanted.setdefault(key, set()).update(grant.privileges)
        return wanted

    def _there_future(self, database: str) -> tuple[Future, ...]:
        found = futures(self._sessions, database, self._grantee) if self._there else ()
        return tuple(one for one in found if one.creator not in (self._grantee, *self._members))

    def _give_future(self, grants: tuple[Grant, ...], todo: Difference) -> None:
        for database in sorted({grant.database for grant in grants if grant.future}):
            there = {(f.creator, f.schema, f.kind): f.privileges for f in self._there_future(database)}
            for (creator, schema, kind), privileges in self._wanted_future(grants, database).items():
                held = there.get((creator, schema, kind), frozenset()) | there.get((creator, "", kind), frozenset())
                missing = [p for p in PRIVILEGES[kind] if p in privileges - held]
                if missing:
                    who = "" if creator == self._sessions.user else creator
                    rest = f"GRANT {', '.join(missing)} ON {kind.upper()} TO {identifier(self._grantee)}"
                    todo.add.append(alter_default(database, who, schema, rest))

    def _take_future(self, database: str, grants: tuple[Grant, ...], todo: Difference) -> None:
        wanted = self._wanted_future(grants, database)
        for one in self._there_future(database):
            extra = one.privileges - wanted.get((one.creator, one.schema, one.kind), set())
            if extra:
                who = "" if one.creator == self._sessions.user else one.creator
                privileges = ", ".join(p for p in PRIVILEGES[one.kind] if p in extra)
                rest = f"REVOKE {privileges} ON {one.kind.upper()} FROM {identifier(self._grantee)}"
                todo.remove.append(alter_default(database, who, one.schema, rest))

    def _note_ways_in(
        self, wanted: Mapping[tuple[str, str, str, str], set[str]], grants: Iterable[Grant], todo: Difference
    ) -> None:
        """Privileges on tables are worth nothing without those that lead there."""
        for database, schema in sorted({(g.database, g.schema) for g in grants if g.kind in ("tables", "sequences")}):
            ways = (("database", "", database, "CONNECT"), ("schema", schema, schema, "USAGE"))
            for kind, where, name, privilege in ways:
                held = self._at(database, where, kind)[name].held if self._there else frozenset()
                if self._there and privilege not in held | wanted.get((database, where, kind, name), set()):
                    todo.notes.append(
                        f"{self._grantee} cannot use what it was granted in {database}.{schema} without {privilege} on"
                        f" the {kind} {name}: add it to crdb_sql_user_grants."
                    )
