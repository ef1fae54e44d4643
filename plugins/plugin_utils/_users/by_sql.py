# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create a SQL user by SQL, with no more rights than are listed, and remove one.

`decision` decides what to do about the user and its password, as it does for the Cloud API; this is how SQL does it.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import Source
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import defaults as _defaults
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.grants import (
    DEFAULT_SCHEMA,
    PRIVILEGES,
    Comparison,
    Grant,
    Grantee,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.roles import (
    ADMIN_ROLE,
    Roles,
    borrowed,
    grant_membership,
    revoke_membership,
    roles,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import (
    DUPLICATE_OBJECT,
    HIDDEN,
    STATEMENT_TIMEOUT,
    Sessions,
    SqlError,
    Statement,
    identifier,
    with_password,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.by_api import ensure as ensure_account
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.by_api import remove as remove_account
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.decision import Passwords, Target, decide
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.removal import Removal, removal


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

    Names of users and roles are given as CockroachDB stores them.
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
    """The statements for one user; `own` must run in a session of the user itself.

    While `add` and `remove` run, the administrator `admin` is a member of `creators`, whose default privileges change.
    """

    admin: str
    database: str
    prepare: list[Statement] = field(default_factory=list)
    add: list[Statement] = field(default_factory=list)
    own: list[Statement] = field(default_factory=list)
    remove: list[Statement] = field(default_factory=list)
    creators: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        """All statements, in the order in which they run."""
        taken = [grant_membership(self.database, name, self.admin) for name in sorted(self.creators)]
        back = [revoke_membership(self.database, name, self.admin) for name in sorted(self.creators, reverse=True)]
        return [*self.prepare, *taken, *self.add, *self.own, *self.remove, *back]


def plan(sessions: Sessions, desired: DesiredUser) -> UserPlan:
    """The statements that turn the current state into the desired one, except for the password.

    Raises OnboardingError, SqlError.
    """
    user, role = desired.user, desired.role
    creators = {grant.creator for grant in desired.grants if grant.creator}
    found = roles(sessions)
    missing = sorted(({*desired.memberships} | creators) - found.existing)
    if missing:
        raise OnboardingError(f"There is no role {', '.join(missing)}, which grants names. Create it first.")
    _check_administrators(sessions, desired, found)
    todo = UserPlan(sessions.user, sessions.database)
    if role and role not in found.existing:
        todo.prepare.append(Statement(sessions.database, f"CREATE ROLE {identifier(role)}"))
    kept = (*desired.memberships, *((role,) if role else ()))
    memberships = found.of(user)
    todo.add += [
        grant_membership(sessions.database, granted, user)
        for granted in dict.fromkeys(kept)
        if granted not in memberships
    ]
    _compare(sessions, desired, found, todo)
    if role:
        for database in desired.databases:
            todo.own += _opened_to(sessions, database, user, role, found)
    if desired.revoke:
        todo.remove += [
            revoke_membership(sessions.database, granted, user) for granted in memberships if granted not in kept
        ]
    return todo


def _check_administrators(sessions: Sessions, desired: DesiredUser, found: Roles) -> None:
    """Raises OnboardingError where the user or its role is an administrator who cannot stop being one."""
    user, role = desired.user, desired.role
    if user in found.administrators and ADMIN_ROLE not in found.of(user):
        raise OnboardingError(
            f"The SQL user {user} is an administrator without the role admin, which cannot be revoked. Choose another"
            " user."
        )
    if user in found.administrators and not desired.revoke:
        raise OnboardingError(
            f"The SQL user {user} is an administrator, who may do everything. Set revoke: true (crdb_sql_user_revoke)"
            " to revoke the role admin, after the user was granted what grants lists."
        )
    if user in found.administrators and not found.may_grant(sessions.user, ADMIN_ROLE):
        raise OnboardingError(
            f"{sessions.user} cannot revoke the role admin from {user}: it was not granted admin WITH ADMIN OPTION. Set"
            " admin (crdb_sql_user_admin) to the connection of root, or of a user that the Cloud API created."
        )
    if role in found.administrators:
        raise OnboardingError(f"The role {role} is an administrator. Set role (crdb_sql_user_role) to another one.")


def _compare(sessions: Sessions, desired: DesiredUser, found: Roles, todo: UserPlan) -> None:
    user, role = desired.user, desired.role
    grantees = [(role, desired.grants)] if role else [(user, desired.grants)]
    if role and desired.revoke:
        # The user keeps nothing of its own beside the role.
        grantees.append((user, ()))
    for grantee, grants in grantees:
        through = found.of(grantee)
        if grantee == user and role:
            through = tuple(sorted({*through, role} & found.existing))
        comparison = Comparison(
            sessions,
            Grantee(grantee, tuple(name for name in through if name != ADMIN_ROLE), found.members(grantee)),
            found,
            exists=grantee in found.existing and not (grantee == user and user in found.administrators),
        )
        difference = comparison.difference(grants, desired.databases, revoke=desired.revoke)
        todo.add += difference.add
        todo.remove += difference.remove
        todo.creators |= difference.creators
        todo.notes += difference.notes


def _opened_to(sessions: Sessions, database: str, user: str, role: str, found: Roles) -> list[Statement]:
    """Open to the role what the user creates in a database, which only the creator can do."""
    current = _defaults.read(sessions, database, found, role, [DEFAULT_SCHEMA]) if user in found.existing else ()
    open_kinds = {
        default.kind
        for default in current
        if (default.creator, default.grantee, default.schema) == (user, role, "")
        and default.kind.lower() in PRIVILEGES
        and all(default.includes(privilege) for privilege in PRIVILEGES[default.kind.lower()])
    }
    return [
        _defaults.alter(database, user, "", f"GRANT ALL ON {kind} TO {identifier(role)}", user=user)
        for kind in ("TABLES", "SEQUENCES")
        if kind not in open_kinds
    ]


class SqlAccounts:
    """The SQL users of a cluster by SQL, with the methods of `Accounts`.

    Args:
        sessions: of an administrator.
        user: as CockroachDB stores the name.
        removal: the plan to remove the user, where it was made already.
    """

    def __init__(self, sessions: Sessions, user: str, removal: Removal | None = None) -> None:
        self._sessions = sessions
        self._user = user
        self._removal = removal
        self.done: list[str] = []

    def users(self, cluster: str) -> list[str]:
        """The name of the user, if it exists."""
        return sorted(roles(self._sessions).existing & {self._user})

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
        (self._removal or removal(self._sessions, name, "")).run(self._sessions, self.done)

    def _run(self, statement: Statement) -> None:
        self._sessions.run([statement], self.done)


def password_statement(database: str, user: str, password: str, *, create: bool) -> Statement:
    """The statement that sets a user's password, without the password itself."""
    verb = "CREATE" if create else "ALTER"
    return with_password(database, f"{verb} ROLE {identifier(user)} WITH LOGIN", password)


def retirement(database: str, user: str) -> Statement:
    """The statement after which nobody can log in as the user, who stays."""
    return Statement(database, f"ALTER ROLE {identifier(user)} WITH NOLOGIN PASSWORD NULL")


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
    source: Source,
    target: Target,
    desired: DesiredUser,
    store: PasswordStore | None,
    *,
    check: bool,
    statement_timeout: float = STATEMENT_TIMEOUT,
) -> Outcome:
    """Remove the user, its privileges and its stored password. Raises OnboardingError, SqlError."""
    with Sessions(source, statement_timeout) as sessions:
        plan = removal(sessions, desired.user, desired.reassign_to or desired.role)
        statements = [statement.shown for statement in plan.statements]
        accounts = SqlAccounts(sessions, desired.user, plan)
        try:
            did = "remove" if remove_account(accounts, target, store, check=check) else "gone"
        except OnboardingError as exc:
            raise _midway(exc, accounts.done, statements) from None
    return Outcome(did, statements, [])


def ensure(
    source: Source,
    target: Target,
    desired: DesiredUser,
    secret: Secret,
    *,
    check: bool,
    statement_timeout: float = STATEMENT_TIMEOUT,
) -> Outcome:
    """Ensure that the user exists with the desired privileges, and with `revoke` no others. Additions go first.

    The result is verified: PostgreSQL only warns when somebody grants without the right to. A password that was set is
    proved by a login. Raises OnboardingError, SqlError, which list what was done.
    """
    with Sessions(source, statement_timeout) as sessions:
        todo = plan(sessions, desired)
        accounts = SqlAccounts(sessions, desired.user)
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
                work = _Work(sessions, source, target, desired, secret, statement_timeout)
                todo.notes = work.carry_out(todo, accounts)
            except OnboardingError as exc:
                raise _midway(exc, accounts.done, shown) from None
    return Outcome(did, shown, todo.notes)


@dataclass(frozen=True)
class _Work:
    """What the changes for one user need; see `ensure`."""

    sessions: Sessions
    source: Source
    target: Target
    desired: DesiredUser
    secret: Secret
    statement_timeout: float

    def carry_out(self, todo: UserPlan, accounts: SqlAccounts) -> list[str]:
        """Make the changes and verify them; the notes of the last look."""
        sessions, secret, done = self.sessions, self.secret, accounts.done
        sessions.run(todo.prepare, done)
        did = ensure_account(
            accounts, self.target, secret.password, secret.store, secret.update, secret.length, check=False
        )
        with borrowed(sessions, sorted(todo.creators), done):
            sessions.run(todo.add, done)
            if did or todo.own:
                with self._as_user() as own:
                    _prove(own, self.target, set_now=bool(did))
                    own.run(todo.own, done)
            sessions.run(todo.remove, done)
        last = plan(sessions, self.desired)
        left = last.statements
        if left:
            raise OnboardingError(
                f"The server accepted {'; '.join(statement.shown for statement in left)} without any effect:"
                f" {sessions.user} lacks the right to grant or revoke that. Use an administrator, or the owner of the"
                " objects."
            )
        return last.notes

    def _as_user(self) -> Sessions:
        password = self.secret.known(self.target)
        connection = self.source.connection.replace(user=self.target.user, password=password, sslcert=None, sslkey=None)
        return Sessions(replace(self.source, connection=connection), self.statement_timeout)


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
    # The same statement may be due in several databases.
    left = Counter(done)
    missing = []
    for shown in statements:
        left[shown] -= 1
        if left[shown] < 0:
            missing.append(shown)
    return OnboardingError(
        f"{exc} Done: {'; '.join(done)}. Not done: {'; '.join(missing) or 'nothing'}. Run it again:"
        " what was done is not repeated."
    )
