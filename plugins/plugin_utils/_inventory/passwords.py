# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store of generated passwords: one file on the controller, mode 0600, encrypted when the run has a vault secret.

The Cloud API never returns a password, so each is written here before it is set there.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._files import replace
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared

# Characters that need no escaping in a URL, a shell, YAML or a properties file.
ALPHABET = string.ascii_letters + string.digits + "_-"
LENGTH = 32
SHORTEST = 16
_VAULT = b"$ANSIBLE_VAULT;"
_TITLE = "Passwords of SQL users, written by crdb.onboard: keep this file, because the service cannot show them again."


def _pair(users: Sequence[str]) -> str:
    return ",".join(sorted(users))


def generate(length: int = LENGTH, alphabet: str = ALPHABET) -> str:
    """A new random password. Raises OnboardingError if its length or alphabet would be too small."""
    if length < SHORTEST:
        raise OnboardingError(f"the length of a password must be at least {SHORTEST}, not {length}.")
    if len(set(alphabet)) < 16 or any(not " " < char < "\x7f" for char in alphabet):
        raise OnboardingError(
            "the alphabet of passwords must have at least 16 printable ASCII characters, and no others."
        )
    return "".join(secrets.choice(alphabet) for _number in range(length))


@dataclass(frozen=True)
class Rotation:
    """The progress of a change of a connection's user or password.

    Args:
        current: the user that programs log in as; empty before the first change.
        following: the user that they will log in as; empty when no change is under way.
        ready: whether `following` can log in already.
        since: the time when `following` became ready, in seconds since the epoch.
        hosts: the hosts that have the credentials of `following`.
    """

    current: str = ""
    following: str = ""
    ready: bool = False
    since: float = 0.0
    hosts: tuple[str, ...] = ()

    @property
    def in_use(self) -> str:
        """The user that new configurations name; empty before the first change."""
        return self.following if self.ready else self.current


class PasswordStore:
    """The file with the generated passwords.

    Args:
        path: the file, which need not exist.
        vault: Ansible's VaultLib, with the run's secrets.
    """

    def __init__(self, path: str, vault: Any = None) -> None:
        self._path = Path(path).expanduser()
        self._vault = vault

    def get(self, cluster: str, user: str) -> tuple[str | None, bool]:
        """The password, and whether it may not have been set at the service yet."""
        entry = self._read().get(cluster, {}).get("users", {}).get(user)
        return (None, False) if entry is None else (str(entry["password"]), bool(entry.get("pending")))

    def put(self, cluster: str, name: str, user: str, password: str, *, pending: bool) -> None:
        """Store a password."""
        with self._locked():
            content = self._read()
            of_cluster = content.setdefault(cluster, {"name": name, "users": {}})
            of_cluster["users"][user] = {"password": password, **({"pending": True} if pending else {})}
            self._write(content)

    def remove(self, cluster: str, user: str) -> bool:
        """Remove a password; return whether it was stored."""
        with self._locked():
            content = self._read()
            users = content.get(cluster, {}).get("users", {})
            if user not in users:
                return False
            del users[user]
            if not users and not content[cluster].get("rotations"):
                del content[cluster]
            self._write(content)
            return True

    def rotation(self, cluster: str, users: Sequence[str]) -> Rotation:
        """The progress of the rotation of these users, in any order."""
        kept = self._read().get(cluster, {}).get("rotations", {}).get(_pair(users), {})
        return Rotation(**{**kept, "hosts": tuple(kept.get("hosts", ()))})

    def set_rotation(self, cluster: str, name: str, users: Sequence[str], rotation: Rotation) -> None:
        """Store the progress of a rotation."""
        with self._locked():
            content = self._read()
            of_cluster = content.setdefault(cluster, {"name": name, "users": {}})
            of_cluster.setdefault("rotations", {})[_pair(users)] = asdict(rotation)
            self._write(content)

    def _fail(self, reason: str) -> OnboardingError:
        return OnboardingError(f"password_store {self._path}: {reason}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise self._fail(f"cannot be written: {exc.strerror}.") from None
        try:
            shared.lock_file(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> dict[str, Any]:
        try:
            status = self._path.stat()
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise self._fail(f"cannot be read: {exc.strerror}.") from None
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise self._fail(f"must not be readable by other users; run: chmod 600 {self._path}")
        if data.startswith(_VAULT):
            if self._vault is None or not self._vault.secrets:
                raise self._fail(
                    "is encrypted, but the run has no vault secret: add --vault-password-file or --ask-vault-pass."
                )
            try:
                data = self._vault.decrypt(data)
            except Exception:
                # The exception may quote decrypted text.
                raise self._fail("cannot be decrypted with the run's vault secrets.") from None
        try:
            content = json.loads(data)["clusters"]
        except (ValueError, KeyError, TypeError):
            raise self._fail("is not a password store of this collection; set another file.") from None
        return dict(content)

    def _write(self, content: dict[str, Any]) -> None:
        data = (json.dumps({"title": _TITLE, "clusters": content}, indent=2) + "\n").encode("utf-8")
        if self._vault is not None and self._vault.secrets:
            data = self._vault.encrypt(data)
        path = self._path.resolve()
        try:
            replace.write(str(path), data, 0o600, prefix=f".{path.name}.")
        except OSError as exc:
            raise self._fail(f"cannot be written: {exc.strerror}.") from None
