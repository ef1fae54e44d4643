# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: S608 - every name and text of a statement goes through identifier() or literal()

"""Create a SQL user by SQL, with no more rights than are listed, and remove one completely.

`decision` decides what to do about the user and its password, as it does for the Cloud API; this is how SQL does it.
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
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.by_api import ensure as ensure_account
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.by_api import remove as remove_account
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.decision import Passwords, Target, decide

_RELATIONS = "'r', 'p', 'v', 'm', 'S'"
_OWN_SCHEMAS = "'information_schema', 'crdb_internal', 'pg_extension'"
_SHOWN_OWNED = 5


@dataclass(frozen=True)
class DesiredUser:
    """A user, and what it may do.

    Args:
        user: as CockroachDB stores the name.
        databases: those in which it is granted something, and with `revoke` loses the rest.
        grants: to the role if there is one, else to the user.
        memberships: more roles that the user is a member of.
        role: owns what its members leave behind, and is created if missing; empty for none.
        revoke: revoke what is not listed.
        reassign_to: the new owner of what a removed user owns; the role if empty.
    """

    user: str
    databases: tuple[str, ...]
    grants: tuple[Grant, ...] = ()
    memberships: tuple[str, ...] = ()
    role: str = ""
    revoke: bool = False
    reassign_to: str = ""


@dataclass
class UserPlan:
    """The statements for one user; `own` must run in a session of the user itself."""

    prepare: list[Statement] = field(default_factory=list)
    add: list[Statement] = field(default_factory=list)
    own: list[Statement] = field(default_factory=list)
    remove: list[Statement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        """All statements, in the order in which they run."""
        return [*self.prepare, *self.add, *self.own, *self.remove]


def plan(sessions: Sessions, desired: DesiredUser) -> UserPlan:
    """The statements that turn the current state into the desired one, except for the password.

    Raises OnboardingError, SqlError.
    """
    user, role = desired.user, desired.role
    creators = {grant.creator for grant in desired.grants if grant.creator}
    roles = _grants.roles(sessions, {user, *desired.memberships, *creators, *((role,) if role else ())})
    missing = sorted(({*desired.memberships} | creators) - roles.existing)
    if missing:
        raise OnboardingError(f"There is no role {', '.join(missing)}, which grants names. Create it first.")
    todo = UserPlan()
    administrator = user in roles.administrators
    if administrator and not (desired.revoke and ADMIN_ROLE in roles.of(user)):
        raise OnboardingError(
            f"The SQL user {user} is an administrator, who may do everything. Set revoke: true (crdb_sql_user_revoke)"
            " to revoke the role admin, after the user was granted what grants lists."
            if ADMIN_ROLE in roles.of(user)
            else f"The SQL user {user} is an administrator without the role admin, which cannot"
            " be revoked. Choose another user."
        )
    if role in roles.administrators:
        raise OnboardingError(f"The role {role} is an administrator. Set role (crdb_sql_user_role) to another one.")
    if role and role not in roles.existing:
        todo.prepare.append(Statement(sessions.database, f"CREATE ROLE {identifier(role)}"))
    kept = (*desired.memberships, *((role,) if role else ()))
    memberships = roles.of(user)
    todo.add += [
        Statement(sessions.database, f"GRANT {identifier(granted)} TO {identifier(user)}")
        for granted in dict.fromkeys(kept)
        if granted not in memberships
    ]
    _compare(sessions, desired, roles, todo, administrator=administrator)
    if role:
        for database in desired.databases:
            todo.own += _opened_to(sessions, database, user, role, exists=user in roles.existing)
    if desired.revoke:
        todo.remove += [
            Statement(sessions.database, f"REVOKE {identifier(granted)} FROM {identifier(user)}")
            for granted in memberships
            if granted not in kept
        ]
    return todo


def _compare(
    sessions: Sessions, desired: DesiredUser, roles: _grants.Roles, todo: UserPlan, *, administrator: bool
) -> None:
    user, role = desired.user, desired.role
    grantees = [(role, desired.grants)] if role else [(user, desired.grants)]
    if role and desired.revoke:
        # The user keeps nothing of its own beside the role.
        grantees.append((user, ()))
    for grantee, grants in grantees:
        through = roles.of(grantee)
        if grantee == user and role:
            through = tuple(sorted({*through, role} & roles.existing))
        comparison = Comparison(
            sessions,
            Grantee(grantee, tuple(name for name in through if name != ADMIN_ROLE), roles.members(grantee)),
            exists=grantee in roles.existing and not (grantee == user and administrator),
        )
        difference = comparison.difference(grants, desired.databases, revoke=desired.revoke)
        todo.add += difference.add
        todo.remove += difference.remove
        todo.notes += difference.notes


def _opened_to(sessions: Sessions, database: str, user: str, role: str, *, exists: bool) -> list[Statement]:
    """Open to the role what the user creates in a database, which only the creator can do."""
    defaults = _grants.futures(sessions, database, role) if exists else ()
    open_kinds = {
        default.kind
        for default in defaults
        if default.creator == user
        and not default.schema
        and default.privileges == frozenset(_grants.PRIVILEGES[default.kind])
    }
    return [
        _grants.alter_default(database, "", "", f"GRANT ALL ON {kind.upper()} TO {identifier(role)}")
        for kind in ("tables", "sequences")
        if kind not in open_kinds
    ]


class SqlAccounts:
    """The SQL users of a cluster by SQL, with the methods of `Accounts`.

    Args:
        sessions: of an administrator.
        desired: for the removal of its user.
    """

    def __init__(self, sessions: Sessions, desired: DesiredUser) -> None:
        self._sessions = sessions
        self._desired = desired
        self.done: list[str] = []

    def users(self, cluster: str) -> list[str]:
        """The name of the user, if it exists."""
        return sorted(_grants.roles(self._sessions, [self._desired.user]).existing)

    def create_user(self, cluster: str, name: str, password: str) -> None:
        """Create the user; if somebody created it meanwhile, set its password."""
        try:
            self._run(password_statement(self._sessions.database, name, password, create=True))
        except SqlError as exc:
            if exc.sqlstate != DUPLICATE_OBJECT:
                raise
            self.set_password(cluster, name, password)

    def set_password(self, cluster: str, name: str, password: str) -> None:
        """Set the password, and let the user log in again if it was retired."""
        self._run(password_statement(self._sessions.database, name, password, create=False))

    def remove_user(self, cluster: str, name: str) -> None:
        """Remove the user with all its privileges; what it owns gets another owner."""
        self._sessions.run(removal(self._sessions, self._desired), self.done)

    def _run(self, statement: Statement) -> None:
        self._sessions.run([statement], self.done)


def password_statement(database: str, user: str, password: str, *, create: bool) -> Statement:
    """The statement that sets a user's password, without the password itself."""
    verb = "CREATE" if create else "ALTER"
    return with_password(database, f"{verb} ROLE {identifier(user)} WITH LOGIN", password)


def retirement(database: str, user: str) -> Statement:
    """The statement after which nobody can log in as the user, who stays."""
    return Statement(database, f"ALTER ROLE {identifier(user)} WITH NOLOGIN PASSWORD NULL")


def reassignment(sessions: Sessions, user: str, role: str) -> list[Statement]:
    """The statements that make a role the owner of what a user owns in any database."""
    return [
        Statement(database, f"REASSIGN OWNED BY {identifier(user)} TO {identifier(role)}")
        for database in _databases(sessions)
        if _owned(sessions, database, user)
    ]


def removal(sessions: Sessions, desired: DesiredUser) -> list[Statement]:
    """The statements that remove a user. What it owns is never dropped but gets another owner.

    Raises OnboardingError when no new owner is given.
    """
    user = desired.user
    roles = _grants.roles(sessions, {user, sessions.user})
    if user not in roles.existing:
        return []
    if user == sessions.user:
        raise OnboardingError(
            f"The SQL user {user} cannot remove itself. Set admin (crdb_sql_user_admin) to the connection of another"
            " administrator."
        )
    heir = desired.reassign_to or desired.role
    statements: list[Statement] = []
    is_member = user in roles.of(sessions.user)
    for database in _databases(sessions):
        owned = _owned(sessions, database, user)
        if owned and not heir:
            more = " and more" if len(owned) > _SHOWN_OWNED else ""
            raise OnboardingError(
                f"The SQL user {user} owns {', '.join(owned[:_SHOWN_OWNED])}{more} in {database}. Set"
                " reassign_to (crdb_sql_user_reassign_to) to the new owner. Nothing was changed."
            )
        if owned:
            statements.append(Statement(database, f"REASSIGN OWNED BY {identifier(user)} TO {identifier(heir)}"))
        defaults = _defaults_of(sessions, database, user)
        if defaults and not is_member:
            # Only members of a role may change its default privileges.
            statements.append(Statement(database, f"GRANT {identifier(user)} TO {identifier(sessions.user)}"))
            is_member = True
        statements += defaults
        statements += _revoke_all(sessions, database, user)
    statements.append(Statement(sessions.database, f"DROP ROLE {identifier(user)}"))
    return statements


def _databases(sessions: Sessions) -> list[str]:
    rows = sessions.query(
        "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
    )
    # CockroachDB's own database, in which no user is granted anything.
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
    """The statements that revoke the default privileges that a user gives or gets."""
    entries = {entry[:4] for entry in _grants.defaults(sessions, database)}
    return [
        _grants.alter_default(
            database, creator, schema, f"REVOKE ALL ON {_grants.OBJECT_WORDS[letter]} FROM {identifier(grantee)}"
        )
        for creator, schema, letter, grantee in sorted(entries)
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
    """What was done (in check mode: would be done).

    Args:
        did: `create`, `set`, `remove`, `gone` (there was no user) or empty.
        statements: as people may see them, without passwords.
        notes: for the operator.
    """

    did: str
    statements: list[str]
    notes: list[str]

    @property
    def changed(self) -> bool:
        """Whether anything was (in check mode: would be) changed."""
        return bool(self.statements) or self.did not in ("", "gone")


@dataclass(frozen=True)
class Secret:
    """The given password, its store, when it is set, and the length of a generated one; see `by_api.ensure`."""

    password: str | None = field(repr=False)
    store: PasswordStore | None
    update: str
    length: int

    def known(self, target: Target) -> str | None:
        """The password that the user has, as far as it is known."""
        return Passwords.of(self.password, self.store, target).known


def remove(
    source: Source, target: Target, desired: DesiredUser, store: PasswordStore | None, *, check: bool
) -> Outcome:
    """Remove the user, its privileges and its stored password. Raises OnboardingError, SqlError."""
    with Sessions(source) as sessions:
        statements = [statement.shown for statement in removal(sessions, desired)]
        accounts = SqlAccounts(sessions, desired)
        try:
            did = "remove" if remove_account(accounts, target, store, check=check) else "gone"
        except OnboardingError as exc:
            raise _midway(exc, accounts.done, statements) from None
    return Outcome(did, statements, [])


def ensure(source: Source, target: Target, desired: DesiredUser, secret: Secret, *, check: bool) -> Outcome:
    """Ensure that the user exists with the desired privileges, and with `revoke` no others. Additions go first.

    The result is verified: PostgreSQL only warns when somebody grants without the right to. A password that was set is
    proved by a login. Raises OnboardingError, SqlError, which list what was done.
    """
    with Sessions(source) as sessions:
        todo = plan(sessions, desired)
        accounts = SqlAccounts(sessions, desired)
        exists = bool(accounts.users(target.cluster))
        passwords = Passwords.of(secret.password, secret.store, target)
        did = decide(exists, passwords, target, secret.update)
        if todo.own and not did and passwords.known is None:
            raise OnboardingError(
                f"The SQL user {target.user} must itself open to {desired.role} what it creates. That needs"
                " its password. Set password or password_store (crdb_sql_user_password, crdb_sql_user_password_store)."
            )
        shown = [statement.shown for statement in todo.statements]
        if did:
            verb = "CREATE" if did == "create" else "ALTER"
            shown.insert(len(todo.prepare), f"{verb} ROLE {identifier(target.user)} WITH LOGIN PASSWORD {HIDDEN}")
        if not check and shown:
            try:
                todo.notes = _carry_out(sessions, source, target, desired, secret, todo, accounts)
            except OnboardingError as exc:
                raise _midway(exc, accounts.done, shown) from None
    return Outcome(did, shown, todo.notes)


def _carry_out(
    sessions: Sessions,
    source: Source,
    target: Target,
    desired: DesiredUser,
    secret: Secret,
    todo: UserPlan,
    accounts: SqlAccounts,
) -> list[str]:
    """Make the changes and verify them; the notes of the last look."""
    done = accounts.done
    sessions.run(todo.prepare, done)
    did = ensure_account(accounts, target, secret.password, secret.store, secret.update, secret.length, check=False)
    sessions.run(todo.add, done)
    if did or todo.own:
        with _as_user(source, target, secret.known(target)) as own:
            _prove(own, target, set_now=bool(did))
            own.run(todo.own, done)
    sessions.run(todo.remove, done)
    last = plan(sessions, desired)
    left = last.statements
    if left:
        raise OnboardingError(
            f"The server accepted {'; '.join(statement.shown for statement in left)} without any effect:"
            f" {sessions.user} lacks the right to grant or revoke that. Use an administrator, or the owner of the"
            " objects."
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
            f"The SQL user {target.user} cannot log in with the password that was just set. {exc} If the cluster"
            " setting server.user_login.store_client_pre_hashed_passwords.enabled is off, CockroachDB takes the"
            " verifier for the password itself. Turn it on, then set the password again with update_password: new"
            " (crdb_sql_user_update_password)."
        ) from None


def _midway(exc: OnboardingError, done: list[str], statements: list[str]) -> OnboardingError:
    if not done:
        return exc
    missing = [shown for shown in statements if shown not in done]
    return OnboardingError(
        f"{exc} Done: {'; '.join(done)}. Not done: {'; '.join(missing) or 'nothing'}. Run it again:"
        " what was done is not repeated."
    )
