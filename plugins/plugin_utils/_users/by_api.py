# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One SQL user of one cluster: what is to be done, and doing it so that its password is never lost.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import (
    CloudError,
    ExistsError,
    NotFoundError,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore, generate

TRIES = 3
PASSWORD_VARIABLE = "CRDB_SQL_USER_PASSWORD"  # noqa: S105 - the name of a variable
ON_CREATE, ALWAYS, NEW = UPDATES = ("on_create", "always", "new")
"""When a password is set: for one that is created; each time; each time, and another than the stored one."""
RESERVED = ("root", "node", "admin", "public", "none")
ADMIN_NOTE = (
    "is an administrator of the cluster, with the right to make others so, as every user that the Cloud API creates."
    " Take that from it by SQL (REVOKE admin FROM ...), or give applications a user made by SQL."
)
DIFFERS_NOTE = (
    "keeps the password that is in the store, and was given another: crdb_sql_user_update_password=always sets that"
    " one, after which programs that use the old one fail."
)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}", re.ASCII)


def user_name(given: str) -> str:
    """The name as the service keeps it. Raises OnboardingError for one that it refuses."""
    if not _NAME.fullmatch(given):
        raise OnboardingError(
            f"SQL user {given!r}: a name has 1 to 63 letters, digits, '_', '.' and '-', and begins with a letter, a"
            " digit or '_'."
        )
    name = given.lower()
    if name in RESERVED or name.startswith(("pg_", "crdb_internal")):
        raise OnboardingError(f"SQL user {given!r}: the name is reserved by CockroachDB; choose another.")
    return name


@dataclass(frozen=True)
class Target:
    """Whose user it is."""

    cluster: str
    cluster_name: str
    user: str


class Accounts(Protocol):
    """Who creates and removes users: the Cloud API, or SQL."""

    def users(self, cluster: str) -> Sequence[str]:
        """The names of the SQL users."""

    def create_user(self, cluster: str, name: str, password: str) -> None:
        """Create a SQL user."""

    def set_password(self, cluster: str, name: str, password: str) -> None:
        """Change a password."""

    def remove_user(self, cluster: str, name: str) -> None:
        """Remove a SQL user."""


def given_password(option: str) -> str | None:
    """The password that was given, as an option or in the environment of the controller."""
    return option or os.environ.get(PASSWORD_VARIABLE) or None


def _lost(target: Target) -> OnboardingError:
    return OnboardingError(
        f"The SQL user {target.user} of {target.cluster_name} is there, and its password is not in the store: nobody"
        " can read it back. Give it as crdb_sql_user_password, or set a new one with crdb_sql_user_update_password:"
        " always (programs that use the old one then fail)."
    )


def decide(there: bool, password: str | None, store: PasswordStore | None, target: Target, update: str) -> str:
    """`create`, `set` or nothing. Raises OnboardingError when the password would be nowhere."""
    if not there:
        if password is None and store is None:
            raise OnboardingError(
                f"The SQL user {target.user} of {target.cluster_name} needs a password: give crdb_sql_user_password, or"
                " name a file in crdb_sql_user_password_store, and one is generated and kept there."
            )
        return "create"
    known, pending = store.get(target.cluster, target.user) if store is not None else (None, False)
    if update != ON_CREATE or pending:
        if password is None and store is None:
            raise OnboardingError(
                f"There is no new password for the SQL user {target.user}: give crdb_sql_user_password, or"
                " crdb_sql_user_password_store."
            )
        return "set"
    if password is None and store is not None and known is None:
        raise _lost(target)
    return ""


def differs(password: str | None, store: PasswordStore | None, target: Target, update: str) -> bool:
    """Whether a password was given that is not the stored one, and is not going to be set."""
    known = store.get(target.cluster, target.user)[0] if store is not None else None
    return password is not None and known not in (None, password) and update == ON_CREATE


def ensure(
    api: Accounts,
    target: Target,
    password: str | None,
    store: PasswordStore | None,
    update: str,
    length: int,
    *,
    check: bool,
) -> str:
    """Make the user be there; what was, or would be, done: `create`, `set` or nothing."""
    there = target.user in [name.lower() for name in api.users(target.cluster)]
    todo = decide(there, password, store, target, update)
    if check or not todo:
        return todo
    if store is not None:
        if password is None:
            known, pending = store.get(target.cluster, target.user)
            # One that may not have been set yet is as good as new.
            password = known if known and (update != NEW or pending) else generate(length)
        # Before the service knows it: a run that dies in between leaves a password that the next one sets.
        store.put(target.cluster, target.cluster_name, target.user, password, pending=True)
    if password is None:
        raise AssertionError("decide() refuses this")
    if todo == "create":
        _create(api, target, password)
    else:
        api.set_password(target.cluster, target.user, password)
    if store is not None:
        store.put(target.cluster, target.cluster_name, target.user, password, pending=False)
    return todo


def _create(api: Accounts, target: Target, password: str) -> None:
    for attempt in range(TRIES):
        try:
            api.create_user(target.cluster, target.user, password)
            return
        except ExistsError:
            # Created meanwhile, by us or by somebody else: with our password it is ours.
            api.set_password(target.cluster, target.user, password)
            return
        except CloudError as exc:
            if not exc.uncertain or attempt + 1 == TRIES:
                raise


def remove(api: Accounts, target: Target, store: PasswordStore | None, *, check: bool) -> bool:
    """Make the user and its stored password be gone; whether anything was, or would be, done."""
    there = target.user in [name.lower() for name in api.users(target.cluster)]
    stored = store is not None and store.get(target.cluster, target.user)[0] is not None
    if check:
        return there or stored
    for attempt in range(TRIES if there else 0):
        try:
            api.remove_user(target.cluster, target.user)
            break
        except NotFoundError:
            break
        except CloudError as exc:
            if not exc.uncertain or attempt + 1 == TRIES:
                raise
    if store is not None and stored:
        store.remove(target.cluster, target.user)
    return there or stored
