# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide what to do about one SQL user: its name, and when its password is set.

It is pure: it asks no service and changes nothing.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore, generate

PASSWORD_VARIABLE = "CRDB_SQL_USER_PASSWORD"  # noqa: S105 - the name of a variable
ON_CREATE, ALWAYS, NEW = UPDATES = ("on_create", "always", "new")
"""When to set a password: when the user is created; in every run; in every run, and never the stored one again."""
CREATE, SET, NOTHING = ("create", "set", "")
"""What to do: create the user; set its password; leave it as it is."""
RESERVED = ("root", "node", "admin", "public", "none")
DIFFERS_NOTE = (
    "keeps the password that is in the store, and was given another: update_password=always sets that one, after which"
    " programs that use the old one fail."
)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}", re.ASCII)


def user_name(text: str) -> str:
    """The name as CockroachDB stores it, in lower case. Raises OnboardingError for one that it refuses."""
    if not _NAME.fullmatch(text):
        raise OnboardingError(
            f"SQL user {text!r}: the name must have 1 to 63 letters, digits, '_', '.' or '-', and begin with a letter,"
            " a digit or '_'."
        )
    name = text.lower()
    if name in RESERVED or name.startswith(("pg_", "crdb_internal")):
        raise OnboardingError(f"SQL user {text!r}: the name is reserved by CockroachDB. Choose another.")
    return name


def name_notes(name: str) -> list[str]:
    """Notes on a name that the service takes, but that CockroachDB's documentation does not list."""
    if "-" in name or name[:1].isdigit() or name.startswith("."):
        return [
            f"The documentation of CockroachDB lists only letters, digits, '_' and '.' in names of SQL users, with a"
            f" letter or '_' first. {name} works, but must be in double quotes in SQL."
        ]
    return []


@dataclass(frozen=True)
class Target:
    """A SQL user of a cluster.

    Args:
        cluster: its key in the password store; through the API, its id.
        cluster_name: for people.
        user: as CockroachDB stores the name.
    """

    cluster: str
    cluster_name: str
    user: str


@dataclass(frozen=True)
class Passwords:
    """What is known about the password of one user.

    Args:
        given: by the option or the environment.
        stored: in the store.
        pending: the stored one may not have been set yet, because a run ended before it knew.
        has_store: there is a store, so that a generated one is not lost.
    """

    given: str | None = field(default=None, repr=False)
    stored: str | None = field(default=None, repr=False)
    pending: bool = False
    has_store: bool = False

    @classmethod
    def of(cls, given: str | None, store: PasswordStore | None, target: Target) -> Passwords:
        """Those of a user, read from the store if there is one. Raises OnboardingError."""
        if store is None:
            return cls(given)
        stored, pending = store.get(target.cluster, target.user)
        return cls(given, stored, pending, has_store=True)

    @property
    def known(self) -> str | None:
        """The password that the user has, as far as it is known."""
        return self.given or self.stored

    def differs(self, update: str) -> bool:
        """Whether the given password is not the stored one, and will not be set."""
        return self.given is not None and self.stored not in (None, self.given) and update == ON_CREATE

    def to_set(self, update: str, length: int) -> str:
        """The password to set: the given one, else the stored one where it may stay, else a new one."""
        if self.given is not None:
            return self.given
        # A pending one was never in use, so it is as good as a new one.
        if self.stored and (update != NEW or self.pending):
            return self.stored
        return generate(length)


def given_password(option: str) -> str | None:
    """The password of the option, else of the controller's environment, else None."""
    return option or os.environ.get(PASSWORD_VARIABLE) or None


def decide(exists: bool, passwords: Passwords, target: Target, update: str) -> str:
    """CREATE, SET or NOTHING.

    Args:
        exists: whether the user exists.
        passwords: what is known of its password.
        target: for errors.
        update: one of UPDATES.

    Raises OnboardingError when nobody would know the user's password.
    """
    unknown = passwords.given is None and not passwords.has_store
    if not exists:
        if unknown:
            raise OnboardingError(
                f"The SQL user {target.user} of {target.cluster_name} needs a password. Set password"
                " (crdb_sql_user_password), or set password_store (crdb_sql_user_password_store) to a file that a"
                " generated password is kept in."
            )
        return CREATE
    if update != ON_CREATE or passwords.pending:
        if unknown:
            raise OnboardingError(
                f"There is no new password for the SQL user {target.user}. Set password (crdb_sql_user_password) or"
                " password_store (crdb_sql_user_password_store)."
            )
        return SET
    if passwords.has_store and passwords.known is None:
        raise OnboardingError(
            f"The SQL user {target.user} of {target.cluster_name} exists, but its password is not in the store and"
            " cannot be read back. Set password (crdb_sql_user_password) to it, or set a new one with"
            " update_password: always (crdb_sql_user_update_password); programs that use the old one then fail."
        )
    return NOTHING
