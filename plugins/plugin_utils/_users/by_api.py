# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create, change or remove one SQL user, so that its password is never lost.

The same steps serve the Cloud API and SQL: both are `Accounts`.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import (
    CloudError,
    ExistsError,
    NotFoundError,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.decision import CREATE, Passwords, Target, decide

TRIES = 3
ADMIN_NOTE = (
    "is an administrator of the cluster and can make others administrators, as every user that the Cloud API creates."
    " To change that, run REVOKE admin FROM ... by SQL, or create the users of applications by SQL."
)


class Accounts(Protocol):
    """Creates and removes SQL users, through the Cloud API or by SQL."""

    def users(self, cluster: str) -> Sequence[str]:
        """The names of the SQL users."""

    def create_user(self, cluster: str, name: str, password: str) -> None:
        """Create a SQL user."""

    def set_password(self, cluster: str, name: str, password: str) -> None:
        """Set the password of a SQL user."""

    def remove_user(self, cluster: str, name: str) -> None:
        """Remove a SQL user."""


def ensure(
    accounts: Accounts,
    target: Target,
    given: str | None,
    store: PasswordStore | None,
    update: str,
    length: int,
    *,
    check: bool,
) -> str:
    """Ensure that the user exists; what was (with `check`: would be) done: CREATE, SET or NOTHING.

    Args:
        accounts: of the cluster.
        target: the user.
        given: the password of the option or the environment.
        store: keeps the password, if given.
        update: one of UPDATES.
        length: characters of a generated password.
        check: change nothing.

    Raises OnboardingError.
    """
    exists = target.user in [name.lower() for name in accounts.users(target.cluster)]
    passwords = Passwords.of(given, store, target)
    todo = decide(exists, passwords, target, update)
    if check or not todo:
        return todo
    password = passwords.to_set(update, length)
    if store is not None:
        # Stored first: when the run ends before the service has it, the next run sets the same password.
        store.put(target.cluster, target.cluster_name, target.user, password, pending=True)
    if todo == CREATE:
        _create(accounts, target, password)
    else:
        accounts.set_password(target.cluster, target.user, password)
    if store is not None:
        store.put(target.cluster, target.cluster_name, target.user, password, pending=False)
    return todo


def is_lost(accounts: Accounts, target: Target, store: PasswordStore) -> bool:
    """Whether the user exists while the store does not have its password.

    The store is read last: another host that creates the user at the same time stores its password first.
    """
    exists = target.user in [name.lower() for name in accounts.users(target.cluster)]
    password, _pending = store.get(target.cluster, target.user)
    return exists and not password


def _create(accounts: Accounts, target: Target, password: str) -> None:
    for attempt in range(TRIES):
        try:
            accounts.create_user(target.cluster, target.user, password)
            return
        except ExistsError:
            # Somebody, or a lost request of ours, created it meanwhile: with our password it is the one we need.
            accounts.set_password(target.cluster, target.user, password)
            return
        except CloudError as exc:
            if not exc.uncertain or attempt + 1 == TRIES:
                raise


def remove(accounts: Accounts, target: Target, store: PasswordStore | None, *, check: bool) -> bool:
    """Remove the user and its stored password; whether anything was (in check mode: would be) removed."""
    exists = target.user in [name.lower() for name in accounts.users(target.cluster)]
    stored = store is not None and store.get(target.cluster, target.user)[0] is not None
    if check:
        return exists or stored
    for attempt in range(TRIES if exists else 0):
        try:
            accounts.remove_user(target.cluster, target.user)
            break
        except NotFoundError:
            break
        except CloudError as exc:
            if not exc.uncertain or attempt + 1 == TRIES:
                raise
    if store is not None and stored:
        store.remove(target.cluster, target.user)
    return exists or stored
