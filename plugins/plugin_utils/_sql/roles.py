# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles of a cluster, and memberships that are taken for a moment.

The catalogue is read in plain queries of one table each, which are joined here: joins and subqueries over roles took
CockroachDB 20 to 30 s (cockroachdb/cockroach issue 65551).
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import (
    Sessions,
    SqlError,
    Statement,
    identifier,
)

ADMIN_ROLE = "admin"


@dataclass(frozen=True)
class Roles:
    """The roles of a cluster, which of them are administrators, and who is a member of which.

    Args:
        names: by the id that the catalogue uses.
        administrators: those who may do everything.
        memberships: pairs of member and role.
        admin_options: those of them with the right to grant the role.
    """

    names: Mapping[str, str]
    administrators: frozenset[str]
    memberships: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    admin_options: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    @property
    def existing(self) -> frozenset[str]:
        """The names of all roles."""
        return frozenset(self.names.values())

    def id_of(self, name: str) -> str:
        """The id of a role, 0 for one that does not exist."""
        return next((number for number, role in self.names.items() if role == name), "0")

    def of(self, member: str) -> tuple[str, ...]:
        """The roles that a role is a direct member of."""
        return tuple(sorted(role for name, role in self.memberships if name == member))

    def members(self, role: str) -> tuple[str, ...]:
        """The direct members of a role."""
        return tuple(sorted(member for member, name in self.memberships if name == role))

    def includes(self, role: str, member: str) -> bool:
        """Whether a role is the same as another, or a member of it, directly or through others."""
        return role in self._reached(member)

    def may_grant(self, member: str, role: str) -> bool:
        """Whether a member has the ADMIN OPTION on a role, directly or through others."""
        return any((name, role) in self.admin_options for name in self._reached(member))

    def _reached(self, member: str) -> set[str]:
        reached, todo = {member}, [member]
        while todo:
            for role in self.of(todo.pop()):
                if role not in reached:
                    reached.add(role)
                    todo.append(role)
        return reached


def roles(sessions: Sessions) -> Roles:
    """Read all roles and memberships from the catalogue."""
    rows = sessions.query("SELECT oid, rolname, rolsuper FROM pg_catalog.pg_roles")
    names = {str(row[0]): str(row[1]) for row in rows}
    members = [
        ((names[str(row[1])], names[str(row[0])]), row[2] == "t")
        for row in sessions.query("SELECT roleid, member, admin_option FROM pg_catalog.pg_auth_members")
        if str(row[0]) in names and str(row[1]) in names
    ]
    return Roles(
        names,
        frozenset(str(row[1]) for row in rows if row[2] == "t"),
        frozenset(pair for pair, _option in members),
        frozenset(pair for pair, option in members if option),
    )


def to_borrow(roles: Roles, user: str, creators: Iterable[str]) -> tuple[str, ...]:
    """The creators whose default privileges a user may change only as a member, which it is not yet.

    CockroachDB documentation, ALTER DEFAULT PRIVILEGES: administrators need the membership too before v23.1.29,
    v23.2.16, v24.1.7, v24.2.5 and v24.3.0. Taken on later releases it does no harm.
    """
    return tuple(sorted({name for name in creators if name and not roles.includes(name, user)}))


def grant_membership(database: str, role: str, member: str) -> Statement:
    """The statement that makes a role a member of another."""
    return Statement(database, f"GRANT {identifier(role)} TO {identifier(member)}")


def revoke_membership(database: str, role: str, member: str) -> Statement:
    """The statement that ends a membership."""
    return Statement(database, f"REVOKE {identifier(role)} FROM {identifier(member)}")


@contextmanager
def borrowed(sessions: Sessions, names: Iterable[str], done: list[str]) -> Iterator[None]:
    """Make the sessions' user a member of roles for a while, and take that back after, also on failure.

    Raises OnboardingError that names each statement to run where one could not be taken back.
    """
    taken: list[str] = []
    failure: BaseException | None = None
    try:
        for name in names:
            # Noted first: a statement without an answer may have taken effect.
            taken.append(name)
            try:
                sessions.run([grant_membership(sessions.database, name, sessions.user)], done)
            except SqlError as exc:
                if not exc.uncertain:
                    taken.remove(name)
                raise
        yield
    except BaseException as exc:
        failure = exc
        raise
    finally:
        _give_back(sessions, taken, done, failure)


def _give_back(sessions: Sessions, taken: list[str], done: list[str], failure: BaseException | None) -> None:
    left = []
    for name in reversed(taken):
        statement = revoke_membership(sessions.database, name, sessions.user)
        try:
            sessions.run([statement], done, cleanup=True)
        except OnboardingError as exc:
            left.append(f"{sessions.user} may still be a member of {name}. Run {statement.shown} by hand: {exc}")
    if left:
        raise OnboardingError(" ".join([str(failure), *left] if failure else left)) from None
