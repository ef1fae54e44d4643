# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: S608 - every name and text of a statement goes through identifier() or literal()

"""What a SQL user may do: parse the grants, compare them with the server's catalogue, write the statements.

It uses statements, catalogue tables and functions that CockroachDB and PostgreSQL both document, and where they differ
goes by what the server answers. They have no common view of who was granted what on databases and schemas, so what
counts is what the grantee can do. A privilege is missing when the grantee cannot use it. It is the grantee's own, and
can be revoked, when neither PUBLIC nor one of the grantee's roles gives it.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import defaults as _defaults
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.roles import ADMIN_ROLE, Roles, to_borrow
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import (
    Sessions,
    Statement,
    folded,
    identifier,
    literal,
)

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
_PUBLIC = "public"
_RELKINDS = {"tables": "'r', 'p', 'v', 'm'", "sequences": "'S'"}


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
    role = folded(str(facts["role"]))
    identifier(role)
    if role == ADMIN_ROLE:
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
        creator=folded(str(facts.get("creator") or "")),
    )
    for name in (grant.database, *(n for n in (grant.schema, grant.creator) if n), *(grant.names or ())):
        identifier(name)
    return grant


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


def look(sessions: Sessions, database: str, schema: str, kind: str, grantee: Grantee | None, roles: Roles) -> Objects:
    """The objects of a kind, by name; a grantee of None can do nothing.

    Nothing can be revoked on what the grantee or its members own: its members opened that to it.
    """
    name, owner, source = _source(sessions, database, schema, kind)
    privileges = PRIVILEGES[kind]
    if grantee is None:
        rows = sessions.query(f"SELECT {name} FROM {source}", database)
        return {str(row[0]): Held(frozenset(), frozenset()) for row in rows}
    public = _public(sessions, database, schema, kind)
    askers = [grantee.name, *grantee.through, *([_PUBLIC] if public is None else [])]
    asked = [(asker, privilege) for asker in askers for privilege in privileges]
    function = f"has_{_FUNCTION[kind]}_privilege"
    columns = [name, owner, *(f"{function}({literal(asker)}, oid, {literal(p)})" for asker, p in asked)]
    objects: Objects = {}
    for row in sessions.query(f"SELECT {', '.join(columns)} FROM {source}", database):
        allowed = {pair for pair, flag in zip(asked, row[2:]) if flag == "t"}
        held = {p for p in privileges if (grantee.name, p) in allowed}
        others = {p for asker, p in allowed if asker != grantee.name}
        others |= {p for p in privileges if (row[0], p) in (public or ())}
        is_own = roles.names.get(str(row[1])) in (grantee.name, *grantee.members)
        objects[str(row[0])] = Held(frozenset(held), frozenset() if is_own else frozenset(held - others))
    return objects


def _source(sessions: Sessions, database: str, schema: str, kind: str) -> tuple[str, str, str]:
    """The columns of the name and the owner of objects, and the table with its condition, without a join."""
    if kind == "database":
        return "datname", "datdba", f"pg_catalog.pg_database WHERE datname = {literal(database)}"
    if kind == "schema":
        return "nspname", "nspowner", f"pg_catalog.pg_namespace WHERE nspname = {literal(schema)}"
    rows = sessions.query(f"SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {literal(schema)}", database)
    number = str(rows[0][0]) if rows else "0"
    condition = f"relnamespace = {number} AND relkind IN ({_RELKINDS[kind]})"
    return "relname", "relowner", f"pg_catalog.pg_class WHERE {condition}"


def _public(sessions: Sessions, database: str, schema: str, kind: str) -> set[tuple[str | None, str]] | None:
    """The names of objects and the privileges that PUBLIC has on them; None where the server has no such statement."""
    rows = sessions.query_if_known("SHOW GRANTS", f"SHOW GRANTS FOR {_PUBLIC}", database)
    if rows is None:
        return None
    found = set()
    for row in rows:
        # Its columns: database, schema, object, type of the object, grantee, privilege, whether it can be granted on.
        of_schema, name, grantee, privilege = row[1], row[2], row[-3], str(row[-2]).upper()
        place = {"database": (of_schema, name) == (None, None), "schema": of_schema == schema and name is None}
        fits = place.get(kind, of_schema == schema and name is not None)
        if grantee == _PUBLIC and fits:
            key = {"database": database, "schema": schema}.get(kind, name)
            found |= {(key, p) for p in PRIVILEGES[kind] if privilege in (p, _defaults.ALL_PRIVILEGES)}
    return found


def on_object(kind: str, schema: str, names: Iterable[str]) -> str:
    """The part of GRANT and REVOKE that names objects."""
    if kind == "database":
        return "DATABASE " + ", ".join(identifier(name) for name in names)
    if kind == "schema":
        return "SCHEMA " + identifier(schema)
    word = "TABLE" if kind == "tables" else "SEQUENCE"
    return f"{word} " + ", ".join(f"{identifier(schema)}.{identifier(name)}" for name in names)


@dataclass
class Difference:
    """The statements that turn the current privileges into the desired ones; additions must go first.

    `creators`: whose default privileges they change.
    """

    add: list[Statement]
    remove: list[Statement]
    notes: list[str]
    creators: set[str]


class Comparison:
    """Compares what one grantee can do with what it should be able to do.

    Args:
        sessions: of the administrator.
        grantee: a user or a role.
        roles: of the cluster.
        exists: whether it exists and is not an administrator, so that what it can do shows what it was granted.
    """

    def __init__(self, sessions: Sessions, grantee: Grantee, roles: Roles, *, exists: bool) -> None:
        self._sessions = sessions
        self._roles = roles
        self._grantee = grantee.name
        self._members = grantee.members
        self._existing = grantee if exists else None
        self._seen: dict[tuple[str, str, str], Objects] = {}

    def difference(self, grants: tuple[Grant, ...], databases: Iterable[str], *, revoke: bool) -> Difference:
        """The statements; with `revoke`, other privileges in these databases and the named schemas are revoked.

        Raises OnboardingError for an object that does not exist.
        """
        todo = Difference([], [], [], set())
        desired: dict[tuple[str, str, str, str], set[str]] = {}
        for grant in grants:
            for name in self._objects(grant):
                desired.setdefault((grant.database, grant.schema, grant.kind, name), set()).update(grant.privileges)
        self._give(desired, todo)
        self._give_future(grants, todo, revoke=revoke)
        if revoke:
            for database in databases:
                schemas = sorted({DEFAULT_SCHEMA, *(g.schema for g in grants if g.database == database and g.schema)})
                self._take(database, schemas, desired, todo)
                self._take_future(database, schemas, grants, todo)
        self._note_missing_access(desired, grants, todo)
        return todo

    def _at(self, database: str, schema: str, kind: str) -> Objects:
        key = (database, schema, kind)
        if key not in self._seen:
            self._seen[key] = look(self._sessions, database, schema, kind, self._existing, self._roles)
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

    def _current_future(self, database: str, schemas: Iterable[str]) -> tuple[_defaults.Default, ...]:
        if not self._existing:
            return ()
        current = _defaults.read(self._sessions, database, self._roles, self._grantee, schemas)
        return tuple(
            default
            for default in current
            if default.grantee == self._grantee and default.creator not in (self._grantee, *self._members)
        )

    def _give_future(self, grants: tuple[Grant, ...], todo: Difference, *, revoke: bool) -> None:
        """With `revoke`, broader defaults are revoked later, so only the same default counts as given."""
        for database in sorted({grant.database for grant in grants if grant.future}):
            desired = self._desired_future(grants, database)
            current = self._current_future(database, sorted({schema for _creator, schema, _kind in desired}))
            for (creator, schema, kind), privileges in desired.items():
                covering = [
                    default
                    for default in current
                    if default.kind == kind.upper()
                    and default.creator in ((creator,) if revoke else (creator, _defaults.ALL_ROLES))
                    and default.schema in ((schema,) if revoke else (schema, ""))
                ]
                missing = [p for p in PRIVILEGES[kind] if p in privileges and not any(d.includes(p) for d in covering)]
                if missing:
                    rest = f"GRANT {', '.join(missing)} ON {kind.upper()} TO {identifier(self._grantee)}"
                    todo.add.append(self._alter(database, creator, schema, rest, todo))

    def _take_future(self, database: str, schemas: Iterable[str], grants: tuple[Grant, ...], todo: Difference) -> None:
        desired = self._desired_future(grants, database)
        kinds = {kind.upper(): kind for kind in ("tables", "sequences")}
        for default in self._current_future(database, schemas):
            kind = kinds.get(default.kind)
            if kind is None:
                continue
            kept = desired.get((default.creator, default.schema, kind), set())
            extra = [p for p in PRIVILEGES[kind] if default.includes(p) and p not in kept]
            if extra:
                rest = f"REVOKE {', '.join(extra)} ON {default.kind} FROM {identifier(self._grantee)}"
                todo.remove.append(self._alter(database, default.creator, default.schema, rest, todo))

    def _alter(self, database: str, creator: str, schema: str, rest: str, todo: Difference) -> Statement:
        todo.creators.update(to_borrow(self._roles, self._sessions.user, [creator]))
        return _defaults.alter(database, creator, schema, rest, user=self._sessions.user)

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
