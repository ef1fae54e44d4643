# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: S608 - every name and text of a statement goes through identifier() or literal()

"""A SQL user made by SQL, with no more rights than were listed, and its removal with nothing of it left.

What it is for a user to be there is decided by `_users`, as for those of the Cloud API; here is how SQL does it.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import Source
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import grants as _grants
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.grants import ADMIN_ROLE, Comparison, Grant, Grantee
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import (
    DUPLICATE_OBJECT,
    HIDDEN,
    Sessions,
    SqlError,
    Statement,
    identifier,
    literal,
    with_password,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_api as _users
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.by_api import Target

_RELATIONS = "'r', 'p', 'v', 'm', 'S'"
_OWN_SCHEMAS = "'information_schema', 'crdb_internal', 'pg_extension'"
_SHOWN_OWNED = 5


@dataclass(frozen=True)
class Wanted:
    """A user, and what it is to be able to do.

    Args:
        user: as the service keeps it.
        databases: those in which it is given, and with `revoke` taken, something.
        grants: to the role when there is one, else to the user.
        memberships: further roles.
        role: owns what its members leave behind; made when it is missing; empty for none.
        revoke: take what is not listed.
        reassign_to: who gets what a user owns that is removed; the role when empty.
    """

    user: str
    databases: tuple[str, ...]
    grants: tuple[Grant, ...] = ()
    memberships: tuple[str, ...] = ()
    role: str = ""
    revoke: bool = False
    reassign_to: str = ""


@dataclass
class Plan:
    """The statements of one user; `own` are run in a session of the user itself, which is an owner's business."""

    prepare: list[Statement] = field(default_factory=list)
    add: list[Statement] = field(default_factory=list)
    own: list[Statement] = field(default_factory=list)
    remove: list[Statement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        """All, in the order in which they are carried out."""
        return [*self.prepare, *self.add, *self.own, *self.remove]


def plan(sessions: Sessions, wanted: Wanted) -> Plan:
    """What leads from what is there to what is wanted, the password aside. Raises OnboardingError, SqlError."""
    user, role = wanted.user, wanted.role
    creators = {grant.creator for grant in wanted.grants if grant.creator}
    roles = _grants.roles(sessions, {user, *wanted.memberships, *creators, *((role,) if role else ())})
    missing = sorted(({*wanted.memberships} | creators) - roles.there)
    if missing:
        raise OnboardingError(f"There is no role {', '.join(missing)}, which crdb_sql_user_grants names.")
    todo = Plan()
    administrator = user in roles.administrators
    if administrator and not (wanted.revoke and ADMIN_ROLE in roles.of(user)):
        raise OnboardingError(
            f"The SQL user {user} is an administrator, who may do everything: crdb_sql_user_revoke: true takes the role"
            " admin from it, once it has what crdb_sql_user_grants lists."
            if ADMIN_ROLE in roles.of(user)
            else f"The SQL user {user} is an administrator by itself, which cannot be taken from it: choose another."
        )
    if role in roles.administrators:
        raise OnboardingError(f"The role {role} is an administrator: choose another in crdb_sql_user_role.")
    if role and role not in roles.there:
        todo.prepare.append(Statement(sessions.database, f"CREATE ROLE {identifier(role)}"))
    kept = (*wanted.memberships, *((role,) if role else ()))
    member = roles.of(user)
    todo.add += [
        Statement(sessions.database, f"GRANT {identifier(one)} TO {identifier(user)}")
        for one in dict.fromkeys(kept)
        if one not in member
    ]
    _compare(sessions, wanted, roles, todo, administrator=administrator)
    if role:
        for database in wanted.databases:
            todo.own += _opened_to(sessions, database, user, role, there=user in roles.there)
    if wanted.revoke:
        todo.remove += [
            Statement(sessions.database, f"REVOKE {identifier(one)} FROM {identifier(user)}")
            for one in member
            if one not in kept
        ]
    return todo


def _compare(sessions: Sessions, wanted: Wanted, roles: _grants.Roles, todo: Plan, *, administrator: bool) -> None:
    user, role = wanted.user, wanted.role
    grantees = [(role, wanted.grants)] if role else [(user, wanted.grants)]
    if role and wanted.revoke:
        # What it has beside the role.
        grantees.append((user, ()))
    for grantee, grants in grantees:
        through = roles.of(grantee)
        if grantee == user and role:
            through = tuple(sorted({*through, role} & roles.there))
        comparison = Comparison(
            sessions,
            Grantee(grantee, tuple(one for one in through if one != ADMIN_ROLE), roles.members(grantee)),
            there=grantee in roles.there and not (grantee == user and administrator),
        )
        difference = comparison.difference(grants, wanted.databases, revoke=wanted.revoke)
        todo.add += difference.add
        todo.remove += difference.remove
        todo.notes += difference.notes


def _opened_to(sessions: Sessions, database: str, user: str, role: str, *, there: bool) -> list[Statement]:
    """What the user makes in a database is to be the role's as well: only its creator can say so."""
    found = _grants.futures(sessions, database, role) if there else ()
    open_kinds = {
        one.kind
        for one in found
        if one.creator == user and not one.schema and one.privileges == frozenset(_grants.PRIVILEGES[one.kind])
    }
    return [
        _grants.alter_default(database, "", "", f"GRANT ALL ON {kind.upper()} TO {identifier(role)}")
        for kind in ("tables", "sequences")
        if kind not in open_kinds
    ]


class SqlAccounts:
    """The users of a cluster by SQL, as `_users` asks for them; each method has the name of the Cloud API's.

    Args:
        sessions: of an administrator.
        wanted: for the removal of its user.
    """

    def __init__(self, sessions: Sessions, wanted: Wanted) -> None:
        self._sessions = sessions
        self._wanted = wanted
        self.done: list[str] = []

    def users(self, cluster: str) -> list[str]:
        """The name of the user, when it is there."""
        return sorted(_grants.roles(self._sessions, [self._wanted.user]).there)

    def create_user(self, cluster: str, name: str, password: str) -> None:
        """Create the user, or take over one that was created meanwhile."""
        try:
            self._run(password_statement(self._sessions.database, name, password, create=True))
        except SqlError as exc:
            if exc.sqlstate != DUPLICATE_OBJECT:
                raise
            self.set_password(cluster, name, password)

    def set_password(self, cluster: str, name: str, password: str) -> None:
        """Set the password, of one that was retired too."""
        self._run(password_statement(self._sessions.database, name, password, create=False))

    def remove_user(self, cluster: str, name: str) -> None:
        """Remove the user, and every privilege that it has; what it owns gets another owner."""
        self._sessions.run(removal(self._sessions, self._wanted), self.done)

    def _run(self, statement: Statement) -> None:
        self._sessions.run([statement], self.done)


def password_statement(database: str, user: str, password: str, *, create: bool) -> Statement:
    """The statement that gives a user a password; the password itself is not in it."""
    verb = "CREATE" if create else "ALTER"
    return with_password(database, f"{verb} ROLE {identifier(user)} WITH LOGIN", password)


def retirement(database: str, user: str) -> Statement:
    """The statement after which nobody can log in as a user that stays."""
    return Statement(database, f"ALTER ROLE {identifier(user)} WITH NOLOGIN PASSWORD NULL")


def reassignment(sessions: Sessions, user: str, role: str) -> list[Statement]:
    """The statements that make a role the owner of what a user has made, in whatever database."""
    return [
        Statement(database, f"REASSIGN OWNED BY {identifier(user)} TO {identifier(role)}")
        for database in _databases(sessions)
        if _owned(sessions, database, user)
    ]


def removal(sessions: Sessions, wanted: Wanted) -> list[Statement]:
    """The statements that take a user away. Never drops what it owns: that needs somebody to go to.

    Raises OnboardingError when there is nobody.
    """
    user = wanted.user
    roles = _grants.roles(sessions, {user, sessions.user})
    if user not in roles.there:
        return []
    if user == sessions.user:
        raise OnboardingError(f"The SQL user {user} cannot remove itself: name another connection.")
    heir = wanted.reassign_to or wanted.role
    statements: list[Statement] = []
    helped = user in roles.of(sessions.user)
    for database in _databases(sessions):
        owned = _owned(sessions, database, user)
        if owned and not heir:
            more = " and more" if len(owned) > _SHOWN_OWNED else ""
            raise OnboardingError(
                f"The SQL user {user} owns {', '.join(owned[:_SHOWN_OWNED])}{more} in {database}: say who is to own"
                " that in crdb_sql_user_reassign_to. Nothing was changed."
            )
        if owned:
            statements.append(Statement(database, f"REASSIGN OWNED BY {identifier(user)} TO {identifier(heir)}"))
        defaults = _defaults_of(sessions, database, user)
        if defaults and not helped:
            # Default privileges are changed by members of their creator only.
            statements.append(Statement(database, f"GRANT {identifier(user)} TO {identifier(sessions.user)}"))
            helped = True
        statements += defaults
        statements += _revoke_all(sessions, database, user)
    statements.append(Statement(sessions.database, f"DROP ROLE {identifier(user)}"))
    return statements


def _databases(sessions: Sessions) -> list[str]:
    rows = sessions.query(
        "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
    )
    # CockroachDB's own, in which nobody is granted anything.
    return [str(row[0]) for row in rows if row[0] != "system"]


def _owned(sessions: Sessions, database: str, user: str) -> list[str]:
    who = f"(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = {literal(user)})"
    rows = sessions.query(
        f"SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
        f" ON n.oid = c.relnamespace WHERE c.relowner = {who} AND c.relkind IN ({_RELATIONS})"
        f" UNION ALL SELECT 'schema', nspname FROM pg_catalog.pg_namespace WHERE nspowner = {who}"
        " UNION ALL SELECT 'database', datname FROM pg_catalog.pg_database"
        f" WHERE datdba = {who} AND datname = current_database()",
        database,
    )
    return sorted(f"{row[0]} {row[1]}" if row[0] in ("schema", "database") else f"{row[0]}.{row[1]}" for row in rows)


def _defaults_of(sessions: Sessions, database: str, user: str) -> list[Statement]:
    """The end of the default privileges that a user gives or gets."""
    found = {entry[:4] for entry in _grants.defaults(sessions, database)}
    return [
        _grants.alter_default(
            database, creator, schema, f"REVOKE ALL ON {_grants.OBJECT_WORDS[letter]} FROM {identifier(grantee)}"
        )
        for creator, schema, letter, grantee in sorted(found)
        if (creator == user) != (grantee == user) and grantee
    ]


def _revoke_all(sessions: Sessions, database: str, user: str) -> list[Statement]:
    rows = sessions.query(
        "SELECT nspname FROM pg_catalog.pg_namespace"
        f" WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ({_OWN_SCHEMAS}) ORDER BY nspname",
        database,
    )
    who = identifier(user)
    statements = [Statement(database, f"REVOKE ALL ON DATABASE {identifier(database)} FROM {who}")]
    for row in rows:
        schema = identifier(str(row[0]))
        statements += [
            Statement(database, f"REVOKE ALL ON {what} {schema} FROM {who}")
            for what in ("ALL TABLES IN SCHEMA", "ALL SEQUENCES IN SCHEMA", "SCHEMA")
        ]
    return statements


@dataclass
class Outcome:
    """What was done, or in check mode would be: `did` as `_users` says it, the statements as people may see them."""

    did: str
    statements: list[str]
    notes: list[str]

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, changed."""
        return bool(self.statements) or self.did not in ("", "gone")


@dataclass(frozen=True)
class Secret:
    """The password that was given, where it is kept, and when it is set; see `_users.ensure`."""

    password: str | None = field(repr=False)
    store: PasswordStore | None
    update: str
    length: int

    def known(self, target: Target) -> str | None:
        """The password, as far as it is known."""
        return self.password or (self.store.get(target.cluster, target.user)[0] if self.store is not None else None)


def remove(source: Source, target: Target, wanted: Wanted, store: PasswordStore | None, *, check: bool) -> Outcome:
    """Make the user, what it was granted and its stored password be gone. Raises OnboardingError, SqlError."""
    with Sessions(source) as sessions:
        statements = [statement.shown for statement in removal(sessions, wanted)]
        accounts = SqlAccounts(sessions, wanted)
        try:
            did = "remove" if _users.remove(accounts, target, store, check=check) else "gone"
        except OnboardingError as exc:
            raise _midway(exc, accounts.done, statements) from None
    return Outcome(did, statements, [])


def ensure(source: Source, target: Target, wanted: Wanted, secret: Secret, *, check: bool) -> Outcome:
    """Make the user be there, with what was granted and, with `revoke`, no more. Additions go first.

    What was done is looked at again: PostgreSQL only warns when somebody grants without the right to. A password that
    was set is proved by a login. Raises OnboardingError, SqlError, which say how far it came.
    """
    with Sessions(source) as sessions:
        todo = plan(sessions, wanted)
        accounts = SqlAccounts(sessions, wanted)
        there = bool(accounts.users(target.cluster))
        did = _users.decide(there, secret.password, secret.store, target, secret.update)
        if todo.own and not did and secret.known(target) is None:
            raise OnboardingError(
                f"The SQL user {target.user} is to open to {wanted.role} what it makes, which only itself can do: give"
                " crdb_sql_user_password, or crdb_sql_user_password_store."
            )
        shown = [statement.shown for statement in todo.statements]
        if did:
            verb = "CREATE" if did == "create" else "ALTER"
            shown.insert(len(todo.prepare), f"{verb} ROLE {identifier(target.user)} WITH LOGIN PASSWORD {HIDDEN}")
        if not check and shown:
            try:
                todo.notes = _carry_out(sessions, source, target, wanted, secret, todo, accounts)
            except OnboardingError as exc:
                raise _midway(exc, accounts.done, shown) from None
    return Outcome(did, shown, todo.notes)


def _carry_out(
    sessions: Sessions,
    source: Source,
    target: Target,
    wanted: Wanted,
    secret: Secret,
    todo: Plan,
    accounts: SqlAccounts,
) -> list[str]:
    """Do it all; the notes of a last look."""
    done = accounts.done
    sessions.run(todo.prepare, done)
    did = _users.ensure(accounts, target, secret.password, secret.store, secret.update, secret.length, check=False)
    sessions.run(todo.add, done)
    if did or todo.own:
        with _as_user(source, target, secret.known(target)) as own:
            _prove(own, target, set_now=bool(did))
            own.run(todo.own, done)
    sessions.run(todo.remove, done)
    last = plan(sessions, wanted)
    left = last.statements
    if left:
        raise OnboardingError(
            f"The server took {'; '.join(statement.shown for statement in left)} without any effect: {sessions.user}"
            " lacks the right to give or take that. Use an administrator, or the owner of the objects."
        )
    return last.notes


def _as_user(source: Source, target: Target, password: str | None) -> Sessions:
    connection = source.connection.replace(user=target.user, password=password, sslcert=None, sslkey=None)
    return Sessions(replace(source, connection=connection))


def _prove(own: Sessions, target: Target, *, set_now: bool) -> None:
    try:
        own.on(own.database)
    except SqlError as exc:
        if not set_now:
            raise
        raise OnboardingError(
            f"The SQL user {target.user} cannot log in with the password that was just set. {exc} Where the"
            " cluster setting server.user_login.store_client_pre_hashed_passwords.enabled is off, CockroachDB takes the"
            " verifier for the password itself: turn it on, and set the password again with"
            " crdb_sql_user_update_password=new."
        ) from None


def _midway(exc: OnboardingError, done: list[str], all_of_them: list[str]) -> OnboardingError:
    if not done:
        return exc
    missing = [shown for shown in all_of_them if shown not in done]
    return OnboardingError(
        f"{exc} Done: {'; '.join(done)}. Not done: {'; '.join(missing) or 'nothing'}. Run it again: what was done"
        " already is left as it is."
    )
