# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: S608 - every name and text of a statement goes through identifier() or literal(), ids are numbers

"""Plan the removal of a SQL user: what it owns gets another owner, what it was granted is revoked, then it is dropped.

CockroachDB documentation, DROP USER: a user is not dropped while it owns or is granted anything. All of that is looked
up before the first statement, so that a removal that cannot be finished changes nothing.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import defaults as _defaults
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.roles import (
    Roles,
    borrowed,
    grant_membership,
    revoke_membership,
    roles,
    to_borrow,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import (
    Sessions,
    SqlError,
    Statement,
    identifier,
    literal,
)

_RELATIONS = {"r": "tables", "p": "tables", "v": "tables", "m": "tables", "S": "sequences"}
_OWN_SCHEMAS = ("information_schema", "crdb_internal")
_PUBLIC_SCHEMA = "public"
_SHOWN_OWNED = 5
# An undefined table or column: CockroachDB has policies from v25.2 on.
_NOT_IN_CATALOGUE = ("42P01", "42703")


@dataclass
class Removal:
    """The statements that remove one user.

    Args:
        user: who sends them, and is a member of the roles in `creators` while `first` runs.
        database: in which memberships are changed.
        creators: roles whose default privileges are changed.
        first: give what the user owns to another owner, and revoke default privileges.
        then: revoke privileges, and drop the user.
    """

    user: str
    database: str
    creators: tuple[str, ...] = ()
    first: list[Statement] = field(default_factory=list)
    then: list[Statement] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        """All statements, in the order in which they run."""
        taken = [grant_membership(self.database, name, self.user) for name in self.creators]
        back = [revoke_membership(self.database, name, self.user) for name in reversed(self.creators)]
        return [*taken, *self.first, *back, *self.then]

    def run(self, sessions: Sessions, done: list[str]) -> None:
        """Run all statements; each one that succeeded is added to `done`. Raises OnboardingError."""
        with borrowed(sessions, self.creators, done):
            sessions.run(self.first, done)
        sessions.run(self.then, done)


def removal(sessions: Sessions, user: str, heir: str) -> Removal:
    """The statements that remove a user. What it owns is never dropped but gets another owner.

    Args:
        sessions: of an administrator.
        user: whom to remove; there is nothing to do if it does not exist.
        heir: the new owner, or empty.

    Raises OnboardingError when the user could not be dropped in the end.
    """
    found = roles(sessions)
    plan = Removal(sessions.user, sessions.database)
    if user not in found.existing:
        return plan
    if user == sessions.user:
        raise OnboardingError(
            f"The SQL user {user} cannot remove itself. Set admin (crdb_sql_user_admin) to the connection of another"
            " administrator."
        )
    _require_heir(found, user, heir)
    _require_no_schedule(sessions, user)
    _require_no_policy(sessions, user, found.id_of(user))
    contents = [_contents(sessions, database, found.id_of(user)) for database in databases(sessions)]
    owned = [(content.database, content.owned) for content in contents if content.owned]
    if owned and not heir:
        raise OnboardingError(_without_heir(user, owned))
    changed: set[str] = set()
    for content in contents:
        if heir:
            plan.first += _reassignment_in(content, user, heir)
        for default in _defaults.read(sessions, content.database, found, user, content.schemas):
            if default.grantee != _defaults.PUBLIC or default.creator == user:
                changed.add(default.creator)
                plan.first.append(_revoke_default(sessions, content.database, default))
        plan.then += _revoke_all(content, user)
    plan.then += _revoke_global(sessions, user)
    plan.then.append(Statement(sessions.database, f"DROP ROLE {identifier(user)}"))
    plan.creators = to_borrow(found, sessions.user, changed)
    return plan


def reassignment(sessions: Sessions, user: str, heir: str) -> list[Statement]:
    """The statements that make a role the owner of what a user owns in any database. Raises OnboardingError."""
    found = roles(sessions)
    _require_heir(found, user, heir)
    contents = [_contents(sessions, database, found.id_of(user)) for database in databases(sessions)]
    return [statement for content in contents for statement in _reassignment_in(content, user, heir)]


def databases(sessions: Sessions) -> list[str]:
    """The databases in which a user may own or be granted something."""
    rows = sessions.query(
        "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
    )
    # CockroachDB's own database, in which no user is granted anything.
    return [str(row[0]) for row in rows if row[0] != "system"]


def _require_heir(found: Roles, user: str, heir: str) -> None:
    if heir and heir not in found.existing:
        raise OnboardingError(
            f"There is no role {heir}, which should own what {user} owns. Create it first, or set reassign_to"
            " (crdb_sql_user_reassign_to) to another one. Nothing was changed."
        )
    if heir == user:
        raise OnboardingError(
            f"{user} cannot own what it owns after its removal. Set reassign_to (crdb_sql_user_reassign_to) to another"
            " role. Nothing was changed."
        )


def _require_no_schedule(sessions: Sessions, user: str) -> None:
    # Only CockroachDB has schedules. It drops no owner of one (pkg/sql/drop_role.go), and none gets another owner.
    rows = sessions.query_if_known("SHOW SCHEDULES", "SELECT owner FROM [SHOW SCHEDULES]") or []
    count = sum(1 for row in rows if row[0] == user)
    if count:
        raise OnboardingError(
            f"The SQL user {user} owns {count} schedules, which cannot get another owner. SHOW SCHEDULES lists them:"
            " create them again as another user, and drop these. Nothing was changed."
        )


def _require_no_policy(sessions: Sessions, user: str, number: str) -> None:
    # A policy of row-level security names its roles, and DROP ROLE is refused for as long as it does.
    named = []
    for database in databases(sessions):
        try:
            rows = sessions.query(
                "SELECT polname, polrelid::regclass::text, polroles::text FROM pg_catalog.pg_policy", database
            )
        except SqlError as exc:
            if exc.sqlstate not in _NOT_IN_CATALOGUE:
                raise
            continue
        named += [f"{name} on {table} in {database}" for name, table, roles_ in rows if _holds(str(roles_), number)]
    if named:
        more = " and more" if len(named) > _SHOWN_OWNED else ""
        raise OnboardingError(
            f"The SQL user {user} is named by the row-level security policies {', '.join(named[:_SHOWN_OWNED])}{more}."
            " Take it out of them (ALTER POLICY), or drop them. Nothing was changed."
        )


def _holds(numbers: str, number: str) -> bool:
    """Whether an array of numbers in PostgreSQL's text form has this one."""
    return number in numbers.strip("{}").split(",")


def _without_heir(user: str, owned: list[tuple[str, list[str]]]) -> str:
    places = []
    for database, names in owned:
        more = " and more" if len(names) > _SHOWN_OWNED else ""
        places.append(f"{', '.join(names[:_SHOWN_OWNED])}{more} in {database}")
    return (
        f"The SQL user {user} owns {'; '.join(places)}. Set reassign_to (crdb_sql_user_reassign_to) to the new owner."
        " Nothing was changed."
    )


@dataclass(frozen=True)
class _Contents:
    """What a database has: its schemas, where in them are objects of a kind, and what a user owns."""

    database: str
    schemas: tuple[str, ...]
    kinds: dict[str, tuple[str, ...]]
    types: tuple[tuple[str, str], ...]
    owned: list[str]
    owns_public: bool


def _contents(sessions: Sessions, database: str, owner: str) -> _Contents:
    """Read it in plain queries of one table each, which are joined here."""
    rows = sessions.query("SELECT oid, nspname, nspowner FROM pg_catalog.pg_namespace", database)
    own = {str(row[0]): str(row[1]) for row in rows if _is_for_users(str(row[1]))}
    owned = [f"schema {row[1]}" for row in rows if row[2] == owner and str(row[0]) in own]
    owner_of_database = sessions.query(
        f"SELECT datdba FROM pg_catalog.pg_database WHERE datname = {literal(database)}", database
    )
    owned += [f"database {database}" for (number,) in owner_of_database if number == owner]
    numbers = ", ".join(own) or "0"
    objects = list(_objects(sessions, database, numbers))
    owned += [f"{word}{own[schema]}.{name}" for word, _kind, name, schema, of in objects if of == owner]
    kinds = {
        kind: tuple(sorted({own[schema] for _word, found, _name, schema, _of in objects if found == kind}))
        for kind in ("tables", "sequences", "functions", "procedures")
    }
    types = tuple(sorted((own[schema], name) for _word, kind, name, schema, _of in objects if kind == "types"))
    owns_public = f"schema {_PUBLIC_SCHEMA}" in owned
    return _Contents(database, tuple(sorted(own.values())), kinds, types, sorted(owned), owns_public)


def _is_for_users(schema: str) -> bool:
    return not schema.startswith("pg_") and schema not in _OWN_SCHEMAS


def _objects(sessions: Sessions, database: str, schemas: str) -> Iterator[tuple[str, str, str, str, str]]:
    """The word before the name of each object, its kind, name, schema's id and owner's id."""
    relations = sessions.query(
        "SELECT oid, relname, relnamespace, relowner, relkind FROM pg_catalog.pg_class"
        f" WHERE relnamespace IN ({schemas})",
        database,
    )
    of_tables = {str(row[0]) for row in relations if row[4] != "c"}
    for _oid, name, schema, owner, letter in relations:
        if letter in _RELATIONS:
            yield "", _RELATIONS[str(letter)], str(name), str(schema), str(owner)
    for name, schema, owner, letter, relation in sessions.query(
        "SELECT typname, typnamespace, typowner, typtype, typrelid FROM pg_catalog.pg_type"
        f" WHERE typtype IN ('c', 'd', 'e', 'r') AND typnamespace IN ({schemas})",
        database,
    ):
        # Every table has a type of its rows, which goes with it.
        if letter != "c" or str(relation) not in of_tables:
            yield "type ", "types", str(name), str(schema), str(owner)
    for name, schema, owner, letter in sessions.query(
        f"SELECT proname, pronamespace, proowner, prokind FROM pg_catalog.pg_proc WHERE pronamespace IN ({schemas})",
        database,
    ):
        word = "procedure" if letter == "p" else "function"
        yield f"{word} ", f"{word}s", str(name), str(schema), str(owner)


def _reassignment_in(content: _Contents, user: str, heir: str) -> Iterator[Statement]:
    """The statements that make a role the owner of what a user owns in one database; harmless where that is nothing."""
    yield Statement(content.database, f"REASSIGN OWNED BY {identifier(user)} TO {identifier(heir)}")
    if content.owns_public:
        # Left out by REASSIGN before v23.1.29, v23.2.16, v24.1.7, v24.2.5 and v24.3.0 (their release notes).
        yield Statement(content.database, f"ALTER SCHEMA {identifier(_PUBLIC_SCHEMA)} OWNER TO {identifier(heir)}")


def _revoke_default(sessions: Sessions, database: str, default: _defaults.Default) -> Statement:
    grantee = "PUBLIC" if default.grantee == _defaults.PUBLIC else identifier(default.grantee)
    rest = f"REVOKE ALL ON {default.kind} FROM {grantee}"
    return _defaults.alter(database, default.creator, default.schema, rest, user=sessions.user)


def _revoke_all(content: _Contents, user: str) -> Iterator[Statement]:
    who = identifier(user)

    def revoke(what: str, names: Iterable[str]) -> Statement:
        return Statement(content.database, f"REVOKE ALL ON {what} {', '.join(names)} FROM {who}")

    yield revoke("DATABASE", [identifier(content.database)])
    for kind, schemas in content.kinds.items():
        if schemas:
            yield revoke(f"ALL {kind.upper()} IN SCHEMA", map(identifier, schemas))
    if content.types:
        yield revoke("TYPE", (f"{identifier(schema)}.{identifier(name)}" for schema, name in content.types))
    if content.schemas:
        yield revoke("SCHEMA", map(identifier, content.schemas))


def _revoke_global(sessions: Sessions, user: str) -> Iterator[Statement]:
    """The statements that revoke what CockroachDB grants in no database: system privileges and external connections."""
    who = identifier(user)
    system = sessions.query_if_known("SHOW SYSTEM GRANTS", f"SHOW SYSTEM GRANTS FOR {who}") or []
    if any(row[0] == user for row in system):
        yield Statement(sessions.database, f"REVOKE SYSTEM ALL FROM {who}")
    # Its columns end with: object, type of the object, grantee, privilege, whether it can be granted on.
    granted = sessions.query_if_known("SHOW GRANTS", f"SHOW GRANTS FOR {who}") or []
    connections = {str(row[-5]) for row in granted if row[-4] == "external_connection" and row[-3] == user}
    for name in sorted(connections):
        yield Statement(sessions.database, f"REVOKE ALL ON EXTERNAL CONNECTION {identifier(name)} FROM {who}")
