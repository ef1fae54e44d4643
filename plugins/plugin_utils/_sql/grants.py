# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: S608 - every name and text of a statement goes through identifier() or literal()

"""What a SQL user may do: parse the grants, compare them with the server's catalogue, write the statements.

It uses only statements, catalogue tables and functions that CockroachDB and PostgreSQL both document. Neither has a
common view of who was granted what on databases and schemas, so what counts is what the grantee can do. A privilege is
missing when the grantee cannot use it. It is the grantee's own, and can be revoked, when somebody else cannot use it
and none of the grantee's roles gives it.
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
"""The privileges that both document, by kind of object."""

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
    """Privileges on a database, a schema, or the tables or sequences of a schema; `names` is None for all of them.

    With `future`, they also apply to what `creator` (empty: the administrator who grants) will create.
    """

    kind: str
    database: str
    privileges: tuple[str, ...]
    schema: str = ""
    names: tuple[str, ...] | None = None
    future: bool = False
    creator: str = ""


def _names(value: Any, label: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(item, str) for item in value):
        raise OnboardingError(f"{label}: must be names, as a list or as text with commas.")
    return tuple(dict.fromkeys(value))


def parse(entries: Any, database: str, label: str = "grants") -> tuple[tuple[Grant, ...], tuple[str, ...]]:
    """The grants and the roles of the option `grants`.

    Args:
        entries: a list of dictionaries.
        database: of the entries that name none.
        label: names the option in errors.

    Raises OnboardingError that names the entry and what is wrong with it.
    """
    if not isinstance(entries, (list, tuple)):
        raise OnboardingError(f"{label}: must be a list.")
    grants: list[Grant] = []
    roles: list[str] = []
    for number, entry in enumerate(entries, start=1):
        where = f"{label}, entry {number}"
        if not isinstance(entry, Mapping):
            raise OnboardingError(f"{where}: must be a dictionary with some of {', '.join(_KEYS)}.")
        unknown = sorted(set(entry) - set(_KEYS))
        if unknown:
            raise OnboardingError(f"{where}: unknown key: {', '.join(unknown)}. The keys are {', '.join(_KEYS)}.")
        facts = {key: value for key, value in entry.items() if value not in (None, "")}
        if "role" in facts:
            roles.append(_role(facts, where))
        else:
            grants.append(_grant(facts, database, where))
    return tuple(grants), tuple(dict.fromkeys(roles))


def _role(facts: Mapping[str, Any], where: str) -> str:
    if len(facts) > 1:
        raise OnboardingError(f"{where}: has role and other keys. Give the role an entry of its own.")
    role = str(facts["role"])
    identifier(role)
    if role.lower() == ADMIN_ROLE:
        raise OnboardingError(f"{where}: the role admin may do everything. List what the user needs instead.")
    return role


def _grant(facts: Mapping[str, Any], database: str, where: str) -> Grant:
    kinds = [key for key in ("tables", "sequences") if key in facts]
    if len(kinds) > 1:
        raise OnboardingError(f"{where}: has tables and sequences. Give each an entry of its own.")
    kind = kinds[0] if kinds else "schema" if "schema" in facts else "database"
    allowed = PRIVILEGES[kind]
    privileges = tuple(p.upper() for p in _names(facts.get("privileges") or (), f"{where}: privileges"))
    wrong = [privilege for privilege in privileges if privilege not in allowed]
    if wrong:
        raise OnboardingError(
            f"{where}: {', '.join(wrong)} cannot be granted on {kind}. Use {', '.join(allowed)}, which both CockroachDB"
            " and PostgreSQL have."
        )
    names = None
    if kinds and facts[kind] != ALL:
        names = _names(facts[kind], f"{where}: {kind}")
    future = facts.get("future", False)
    if not isinstance(future, bool):
        raise OnboardingError(f"{where}: future must be true or false.")
    if future and (not kinds or names is not None):
        raise OnboardingError(f"{where}: future must be used with tables: all or sequences: all.")
    if "creator" in facts and not future:
        raise OnboardingError(f"{where}: creator must be used with future: true.")
    grant = Grant(
        kind=kind,
        database=str(facts.get("database") or database),
        privileges=tuple(p for p in allowed if p in privileges),
        schema=str(facts.get("schema") or DEFAULT_SCHEMA) if kind != "database" else "",
        names=names,
        future=future,
        creator=str(facts.get("creator") or ""),
    )
    for name in (grant.database, *(n for n in (grant.schema, grant.creator) if n), *(grant.names or ())):
        identifier(name)
    return grant


@dataclass(frozen=True)
class Roles:
    """Some roles of a cluster: which exist, which are administrators, and who is a member of which."""

    existing: frozenset[str]
    administrators: frozenset[str]
    memberships: frozenset[tuple[str, str]]
    """Pairs of member and role."""

    def of(self, member: str) -> tuple[str, ...]:
        """The roles that a role is a direct member of."""
        return tuple(sorted(role for name, role in self.memberships if name == member))

    def members(self, role: str) -> tuple[str, ...]:
        """The direct members of a role."""
        return tuple(sorted(member for member, name in self.memberships if name == role))


def roles(sessions: Sessions, role_names: Iterable[str]) -> Roles:
    """Read roles and their memberships from the catalogue."""
    names = ", ".join(literal(name) for name in sorted(set(role_names)))
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
    """The privileges that a grantee can use on one object, and those of them that can be revoked from it."""

    held: frozenset[str]
    own: frozenset[str]


Objects = dict[str, Held]


@dataclass(frozen=True)
class Grantee:
    """A role that exists, the roles that it is a member of, and its own members."""

    name: str
    through: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


def look(sessions: Sessions, database: str, schema: str, kind: str, grantee: Grantee | None) -> Objects:
    """The objects of a kind, by name; a grantee of None can do nothing.

    Nothing can be revoked on what the grantee or its members own: its members opened that to it.
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
        owners = ", ".join(literal(role) for role in (grantee.name, *grantee.members))
        others = f"{owner} NOT IN (SELECT oid FROM pg_catalog.pg_roles WHERE rolname IN ({owners}))"
        for privilege in privileges:
            may = f"c.oid, {literal(privilege)})"
            held = f"{function}({literal(grantee.name)}, {may}"
            by_role = "".join(f" AND NOT {function}({literal(role)}, {may}" for role in grantee.through)
            not_everybody = f"EXISTS (SELECT 1 FROM pg_catalog.pg_roles r WHERE NOT {function}(r.rolname, {may})"
            columns += [held, f"{held}{by_role} AND {others} AND {not_everybody}"]
    objects: Objects = {}
    for row in sessions.query(f"SELECT {', '.join(columns)} FROM {source}", database):
        flags = row[1:] or ("f",) * (2 * len(privileges))
        objects[str(row[0])] = Held(
            frozenset(p for p, flag in zip(privileges, flags[::2]) if flag == "t"),
            frozenset(p for p, flag in zip(privileges, flags[1::2]) if flag == "t"),
        )
    return objects


@dataclass(frozen=True)
class Future:
    """Privileges of a grantee on what a creator will create in a schema, or if that is empty, in the database."""

    creator: str
    schema: str
    kind: str
    privileges: frozenset[str]


def defaults(sessions: Sessions, database: str) -> Iterator[tuple[str, str, str, str, str]]:
    """All default privileges of a database: creator, schema or empty, letter of the kind, grantee, letters."""
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
        Future(
            creator, schema, kinds[letter], frozenset(p for p in PRIVILEGES[kinds[letter]] if _LETTERS[p] in letters)
        )
        for creator, schema, letter, who, letters in defaults(sessions, database)
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
    """A change of default privileges; without a creator, of those of the user who runs it."""
    who = f" FOR ROLE {identifier(creator)}" if creator else ""
    where = f" IN SCHEMA {identifier(schema)}" if schema else ""
    return Statement(database, f"ALTER DEFAULT PRIVILEGES{who}{where} {rest}")


@dataclass
class Difference:
    """The statements that turn the current privileges into the desired ones; additions must go first."""

    add: list[Statement]
    remove: list[Statement]
    notes: list[str]


class Comparison:
    """Compares what one grantee can do with what it should be able to do.

    Args:
        sessions: of the administrator.
        grantee: a user or a role.
        exists: whether it exists and is not an administrator, so that what it can do shows what it was granted.
    """

    def __init__(self, sessions: Sessions, grantee: Grantee, *, exists: bool) -> None:
        self._sessions = sessions
        self._grantee = grantee.name
        self._members = grantee.members
        self._existing = grantee if exists else None
        self._seen: dict[tuple[str, str, str], Objects] = {}

    def difference(self, grants: tuple[Grant, ...], databases: Iterable[str], *, revoke: bool) -> Difference:
        """The statements; with `revoke`, other privileges in these databases and the named schemas are revoked.

        Raises OnboardingError for an object that does not exist.
        """
        todo = Difference([], [], [])
        desired: dict[tuple[str, str, str, str], set[str]] = {}
        for grant in grants:
            for name in self._objects(grant):
                desired.setdefault((grant.database, grant.schema, grant.kind, name), set()).update(grant.privileges)
        self._give(desired, todo)
        self._give_future(grants, todo)
        if revoke:
            for database in databases:
                schemas = sorted({DEFAULT_SCHEMA, *(g.schema for g in grants if g.database == database and g.schema)})
                self._take(database, schemas, desired, todo)
                self._take_future(database, grants, todo)
        self._note_missing_access(desired, grants, todo)
        return todo

    def _at(self, database: str, schema: str, kind: str) -> Objects:
        key = (database, schema, kind)
        if key not in self._seen:
            self._seen[key] = look(self._sessions, database, schema, kind, self._existing)
        return self._seen[key]

    def _objects(self, grant: Grant) -> tuple[str, ...]:
        objects = self._at(grant.database, grant.schema, grant.kind)
        if grant.kind in ("database", "schema"):
            if not objects:
                place = f" in {grant.database}" if grant.schema else ""
                raise OnboardingError(f"There is no {grant.kind} {grant.schema or grant.database}{place}.")
            return tuple(objects)
        if not self._at(grant.database, grant.schema, "schema"):
            raise OnboardingError(f"There is no schema {grant.schema} in {grant.database}.")
        missing = [name for name in grant.names or () if name not in objects]
        if missing:
            names = ", ".join(sorted(objects)) or "none"
            raise OnboardingError(
                f"The schema {grant.schema} of {grant.database} has no {grant.kind} {', '.join(missing)}; it has:"
                f" {names}."
            )
        return grant.names if grant.names is not None else tuple(sorted(objects))

    def _give(self, desired: Mapping[tuple[str, str, str, str], set[str]], todo: Difference) -> None:
        groups: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
        for (database, schema, kind, name), privileges in desired.items():
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
        desired: Mapping[tuple[str, str, str, str], set[str]],
        todo: Difference,
    ) -> None:
        if not self._existing:
            return
        places = [("", "database")] + [(s, kind) for s in schemas for kind in ("schema", "tables", "sequences")]
        for schema, kind in places:
            groups: dict[tuple[str, ...], list[str]] = {}
            for name, rights in self._at(database, schema, kind).items():
                granted = desired.get((database, schema, kind, name), set())
                extra = rights.own - granted
                if "CREATE" in rights.held - rights.own - granted:
                    todo.notes.append(
                        f"{self._grantee} can also CREATE in the {kind} {name}, through a role or PUBLIC, which is not"
                        " revoked."
                    )
                if extra:
                    groups.setdefault(tuple(p for p in PRIVILEGES[kind] if p in extra), []).append(name)
            for privileges, names in groups.items():
                objects = on_object(kind, schema, sorted(names))
                todo.remove.append(
                    Statement(database, f"REVOKE {', '.join(privileges)} ON {objects} FROM {identifier(self._grantee)}")
                )

    def _desired_future(self, grants: Iterable[Grant], database: str) -> dict[tuple[str, str, str], set[str]]:
        desired: dict[tuple[str, str, str], set[str]] = {}
        for grant in grants:
            if grant.future and grant.database == database:
                key = (grant.creator or self._sessions.user, grant.schema, grant.kind)
                desired.setdefault(key, set()).update(grant.privileges)
        return desired

    def _current_future(self, database: str) -> tuple[Future, ...]:
        current = futures(self._sessions, database, self._grantee) if self._existing else ()
        return tuple(future for future in current if future.creator not in (self._grantee, *self._members))

    def _give_future(self, grants: tuple[Grant, ...], todo: Difference) -> None:
        for database in sorted({grant.database for grant in grants if grant.future}):
            current = {(f.creator, f.schema, f.kind): f.privileges for f in self._current_future(database)}
            for (creator, schema, kind), privileges in self._desired_future(grants, database).items():
                held = current.get((creator, schema, kind), frozenset()) | current.get((creator, "", kind), frozenset())
                missing = [p for p in PRIVILEGES[kind] if p in privileges - held]
                if missing:
                    who = "" if creator == self._sessions.user else creator
                    rest = f"GRANT {', '.join(missing)} ON {kind.upper()} TO {identifier(self._grantee)}"
                    todo.add.append(alter_default(database, who, schema, rest))

    def _take_future(self, database: str, grants: tuple[Grant, ...], todo: Difference) -> None:
        desired = self._desired_future(grants, database)
        for future in self._current_future(database):
            extra = future.privileges - desired.get((future.creator, future.schema, future.kind), set())
            if extra:
                who = "" if future.creator == self._sessions.user else future.creator
                privileges = ", ".join(p for p in PRIVILEGES[future.kind] if p in extra)
                rest = f"REVOKE {privileges} ON {future.kind.upper()} FROM {identifier(self._grantee)}"
                todo.remove.append(alter_default(database, who, future.schema, rest))

    def _note_missing_access(
        self, desired: Mapping[tuple[str, str, str, str], set[str]], grants: Iterable[Grant], todo: Difference
    ) -> None:
        """Note where privileges on tables have no effect, because CONNECT or USAGE is missing."""
        for database, schema in sorted({(g.database, g.schema) for g in grants if g.kind in ("tables", "sequences")}):
            needed = (("database", "", database, "CONNECT"), ("schema", schema, schema, "USAGE"))
            for kind, where, name, privilege in needed:
                held = self._at(database, where, kind)[name].held if self._existing else frozenset()
                if self._existing and privilege not in held | desired.get((database, where, kind, name), set()):
                    todo.notes.append(
                        f"{self._grantee} cannot use what it was granted in {database}.{schema} without {privilege} on"
                        f" the {kind} {name}: add it to grants."
                    )
