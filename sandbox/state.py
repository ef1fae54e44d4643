# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state folder, which contains everything that belongs to a sandbox, and the lock that shows that it runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from sandbox import tokens
from sandbox.errors import AlreadyRunningError, SandboxError

CHECKOUT = Path(__file__).resolve().parent.parent
LINK = CHECKOUT / ".sandbox"
"""A link to the default state folder, for people and inventories."""

PUBLIC = 0o644
PRIVATE = 0o600
_PASSWORD_BYTES = 18
_LOCK_TIMEOUT = 0.4
"""Seconds; a process that only reads who holds the lock takes it for a moment."""
_MAX_SOCKET_PATH = 103
"""Bytes that fit into the address of a unix socket on every system (macOS: 104 with the NUL)."""
_LONGEST_SOCKET = "engine/.s.PGSQL.65535"


def default_folder() -> Path:
    """The state folder of this checkout and user, outside any home so that the engine's account can reach it."""
    checkout = hashlib.sha256(os.fsencode(CHECKOUT)).hexdigest()[:8]
    return Path(f"/var/tmp/crdb-onboard-{os.geteuid()}-{checkout}")  # noqa: S108 - its owner and mode are verified


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Create or replace a file. Readers see the old or the new content, never a part, and never a wider mode."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class State:
    """The files of a state folder.

    Args:
        folder: need not exist yet.

    Raises:
        SandboxError: the path is too long for the unix sockets in the folder.
    """

    def __init__(self, folder: Path) -> None:
        # Only the parent is resolved: a link in place of the folder itself must be refused, not followed.
        self.folder = folder.parent.resolve() / folder.name
        longest = self.folder / _LONGEST_SOCKET
        if len(os.fsencode(longest)) > _MAX_SOCKET_PATH:
            raise SandboxError(
                f"the state folder's path is too long: a unix socket in it may have at most {_MAX_SOCKET_PATH} bytes,"
                f" but {longest} has {len(os.fsencode(longest))}; choose a shorter path with --state"
            )
        self.lock = self.folder / "lock"
        self.log = self.folder / "sandbox.log"
        self.engine_log = self.folder / "postgresql.log"
        self.engine = self.folder / "engine"
        self.certificates = self.folder / "certs"
        self.description = self.folder / "sandbox.json"
        self.connections = self.folder / "connections.json"
        self._secrets = self.folder / "secrets.json"
        self._ports = self.folder / "ports.json"
        self._allowlists = self.folder / "allowlists.json"
        self.api_key = self.folder / "api-key"
        self.tokens = self.folder / "tokens.json"
        """Changes of the settings of logins by token, by cluster; read for each login."""
        self._issuer_key = self.folder / "issuer.key"
        self._lock_descriptor: Optional[int] = None

    def prepare(self) -> None:
        """Create the folder, or verify that only this user can write to the existing one.

        Raises:
            SandboxError: it is a link, belongs to another user, is writable by others, or contains other files.
        """
        # If root starts the sandbox, the engine's account must be able to enter the folder.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            self.folder.mkdir(mode)
        except FileExistsError:
            self.verify()
            if any(self.folder.iterdir()) and not self._is_state():
                raise SandboxError(
                    f"{self.folder} contains other files than a sandbox's: choose another --state"
                ) from None
        except OSError as error:
            raise SandboxError(f"cannot create the state folder {self.folder}: {error.strerror}") from error
        self.folder.chmod(mode)
        self.certificates.mkdir(mode, exist_ok=True)
        self.certificates.chmod(mode)

    def verify(self) -> None:
        """Verify that only this user can write to the existing folder.

        Raises:
            SandboxError: the folder is a link, belongs to another user, or is writable by others.
        """
        status = self.folder.lstat()
        problem = None
        if not stat.S_ISDIR(status.st_mode):
            problem = "is a link" if stat.S_ISLNK(status.st_mode) else "is not a folder"
        elif status.st_uid != os.geteuid():
            problem = f"belongs to user id {status.st_uid}, not to {os.geteuid()}"
        elif status.st_mode & 0o022:
            problem = f"is writable by others (mode {stat.S_IMODE(status.st_mode):04o})"
        if problem:
            raise SandboxError(f"the state folder {self.folder} {problem}: remove it, or choose another with --state")

    def remove(self) -> None:
        """Remove the folder, and the link to it.

        Raises:
            SandboxError: it contains other files than a sandbox's, or a file cannot be removed.
        """
        if not self._is_state():
            raise SandboxError(f"{self.folder} contains other files than a sandbox's, so it is not removed")
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise SandboxError(f"{error.filename} cannot be removed: {error.strerror}") from error
        if LINK.is_symlink() and LINK.resolve() == self.folder:
            LINK.unlink()

    def _is_state(self) -> bool:
        return any(path.exists() for path in (self.lock, self._secrets, self.certificates))

    def lock_for_life(self) -> None:
        """Take the lock until this process ends. Holding it is what 'running' means.

        The lock is never released earlier, so a free lock proves that the process has ended.

        Raises:
            AlreadyRunningError: another process holds the lock.
        """
        self._lock_descriptor = self._acquire_lock()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock for the duration of a block, and remove its file at the end.

        Raises:
            AlreadyRunningError: another process holds the lock.
        """
        descriptor = self._acquire_lock()
        try:
            yield
        finally:
            self.lock.unlink(missing_ok=True)
            os.close(descriptor)

    def _acquire_lock(self) -> int:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                if time.monotonic() > deadline:
                    raise AlreadyRunningError(f"a sandbox is running in {self.folder}") from None
                time.sleep(_LOCK_TIMEOUT / 20)
                continue
            if self._is_lock_file(descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, b"%d\n" % os.getpid())
                return descriptor
            # The previous holder removed the file after this process opened it.
            os.close(descriptor)

    def _is_lock_file(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.lock.stat())
        except FileNotFoundError:
            return False

    def holder(self) -> Optional[int]:
        """The process id of the running sandbox, or ``None``.

        0 for a moment: it has taken the lock, but not written its process id yet.
        """
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(os.read(descriptor, 20) or b"0")
            return None
        finally:
            os.close(descriptor)

    def running(self) -> Optional[dict[str, Any]]:
        """The description of the running sandbox, or ``None`` if it does not serve yet or does not run."""
        pid = self.holder()
        description = _read_json(self.description)
        return description if pid and description.get("pid") == pid else None

    def ports(self) -> dict[str, int]:
        """The ports of the previous run by ``front/listener``; empty before the first run."""
        return dict(_read_json(self._ports))

    def remember_ports(self, ports: dict[str, int]) -> None:
        """Store the ports, so that connection strings stay the same."""
        write_atomically(self._ports, _json(ports), PRIVATE)

    def allowlists(self) -> dict[str, list[dict[str, Any]]]:
        """The allowlists of the previous run by cluster; empty before the first run."""
        return dict(_read_json(self._allowlists))

    def remember_allowlists(self, entries: dict[str, list[dict[str, Any]]]) -> None:
        """Store the allowlists for the next run."""
        write_atomically(self._allowlists, _json(entries), PRIVATE)

    def password(self, role: str) -> str:
        """The password of a role, generated at the first call: 24 characters of ``A-Za-z0-9_-``."""
        passwords = _read_json(self._secrets)
        if role not in passwords:
            passwords[role] = secrets.token_urlsafe(_PASSWORD_BYTES)
            write_atomically(self._secrets, _json(passwords), PRIVATE)
        password: str = passwords[role]
        return password

    def issuer_key(self) -> bytes:
        """The key of the issuer of tokens (PEM), made at the first call."""
        if not self._issuer_key.exists():
            write_atomically(self._issuer_key, tokens.new_key(), PRIVATE)
        return self._issuer_key.read_bytes()

    def token_settings(self) -> dict[str, dict[str, Any]]:
        """What somebody changed of the settings of logins by token, by cluster."""
        return dict(_read_json(self.tokens))

    def publish(self, description: dict[str, Any], connections: dict[str, Any]) -> None:
        """Write the files for other programs. The description comes last: it means that the sandbox serves."""
        write_atomically(self.connections, _json(connections), PRIVATE)
        write_atomically(self.description, _json(description), PUBLIC)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return value
