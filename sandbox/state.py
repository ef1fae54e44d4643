# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one folder that holds everything a sandbox has: its files, their modes, and the lock that says it is running."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from sandbox.errors import AlreadyRunning, SandboxError

CHECKOUT = Path(__file__).resolve().parent.parent
LINK = CHECKOUT / ".sandbox"
"""Leads to the default state folder, so that people and inventories find it."""

PUBLIC = 0o644
PRIVATE = 0o600
_PASSWORD_BYTES = 18
_LOCK_PATIENCE = 0.4
"""Seconds: somebody who only asks who holds the lock has it for a moment."""
_MAX_SOCKET_PATH = 103
"""Bytes that fit into a unix socket's address on every system (macOS: 104 with the NUL)."""
_LONGEST_SOCKET = "engine/.s.PGSQL.65535"


def default_folder() -> Path:
    """The state folder of this checkout and this user, outside homes so that the engine's account can reach it."""
    checkout = hashlib.sha256(os.fsencode(CHECKOUT)).hexdigest()[:8]
    return Path(f"/var/tmp/crdb-onboard-{os.geteuid()}-{checkout}")  # noqa: S108 - its owner and mode are verified


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replace or create a file; readers see the old content or the new, never a part, and never a wider mode."""
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
    """A state folder, by its parts.

    Args:
        folder: need not exist.

    Raises:
        SandboxError: its path is too long for the sockets in it.
    """

    def __init__(self, folder: Path) -> None:
        # The parent only: a link in place of the folder itself has to be seen, not followed.
        self.folder = folder.parent.resolve() / folder.name
        longest = self.folder / _LONGEST_SOCKET
        if len(os.fsencode(longest)) > _MAX_SOCKET_PATH:
            raise SandboxError(
                f"the state folder's path is too long: unix sockets in it may have {_MAX_SOCKET_PATH} bytes,"
                f" and {longest} has {len(os.fsencode(longest))}; choose a shorter one with --state"
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
        self._lock_descriptor: Optional[int] = None

    def prepare(self) -> None:
        """Create the folder, or make sure that the one that exists is ours alone.

        Raises:
            SandboxError: it is a link, belongs to somebody else, can be written by others, or holds something else.
        """
        # As root the engine runs under another account, which has to pass through.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            self.folder.mkdir(mode)
        except FileExistsError:
            self.verify()
            if any(self.folder.iterdir()) and not self._is_state():
                raise SandboxError(f"{self.folder} holds other things than a sandbox: choose another --state") from None
        except OSError as error:
            raise SandboxError(f"cannot create the state folder {self.folder}: {error.strerror}") from error
        self.folder.chmod(mode)
        self.certificates.mkdir(mode, exist_ok=True)
        self.certificates.chmod(mode)

    def verify(self) -> None:
        """Make sure that a folder that exists is ours alone.

        Raises:
            SandboxError: it is not.
        """
        found = self.folder.lstat()
        wrong = None
        if not stat.S_ISDIR(found.st_mode):
            wrong = "is a link" if stat.S_ISLNK(found.st_mode) else "is not a folder"
        elif found.st_uid != os.geteuid():
            wrong = f"belongs to user id {found.st_uid}, not to {os.geteuid()}"
        elif found.st_mode & 0o022:
            wrong = f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
        if wrong:
            raise SandboxError(f"the state folder {self.folder} {wrong}: remove it, or choose another with --state")

    def _is_state(self) -> bool:
        return any(path.exists() for path in (self.lock, self._secrets, self.certificates))

    def lock_for_life(self) -> None:
        """Take the lock, which is what 'running' means, until this process ends.

        Never given back before: whoever finds the lock free can rely on the process being gone.

        Raises:
            AlreadyRunning: another process holds it.
        """
        self._lock_descriptor = self._acquire_lock()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock for as long as one has to be alone; its file is gone afterwards.

        Raises:
            AlreadyRunning: another process holds it.
        """
        descriptor = self._acquire_lock()
        try:
            yield
        finally:
            self.lock.unlink(missing_ok=True)
            os.close(descriptor)

    def _acquire_lock(self) -> int:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                if time.monotonic() > deadline:
                    raise AlreadyRunning(f"a sandbox is running in {self.folder}") from None
                time.sleep(_LOCK_PATIENCE / 20)
                continue
            if self._is_lock_file(descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, b"%d\n" % os.getpid())
                return descriptor
            # Whoever held it before us removed the file between our open and our lock.
            os.close(descriptor)

    def _is_lock_file(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.lock.stat())
        except FileNotFoundError:
            return False

    def holder(self) -> Optional[int]:
        """The process id of the running sandbox; ``None`` when there is none.

        0 in the moment between its taking the lock and its writing the number.
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
        """The description of the running sandbox, once it serves; ``None`` when it does not."""
        pid = self.holder()
        described = _read_json(self.description)
        return described if pid and described.get("pid") == pid else None

    def ports(self) -> dict[str, int]:
        """The ports of the last time, by ``front/listener``; empty the first time."""
        return dict(_read_json(self._ports))

    def remember_ports(self, ports: dict[str, int]) -> None:
        """Keep them, so that connection strings stay the same."""
        write_atomically(self._ports, _json(ports), PRIVATE)

    def allowlists(self) -> dict[str, list[dict[str, Any]]]:
        """The allowlists of the last time, by cluster; empty the first time."""
        return dict(_read_json(self._allowlists))

    def remember_allowlists(self, entries: dict[str, list[dict[str, Any]]]) -> None:
        """Keep them for the next time."""
        write_atomically(self._allowlists, _json(entries), PRIVATE)

    def password(self, role: str) -> str:
        """The password of a role, made when it is first asked for: 24 characters of ``A-Za-z0-9_-``."""
        known = _read_json(self._secrets)
        if role not in known:
            known[role] = secrets.token_urlsafe(_PASSWORD_BYTES)
            write_atomically(self._secrets, _json(known), PRIVATE)
        password: str = known[role]
        return password

    def publish(self, description: dict[str, Any], connections: dict[str, Any]) -> None:
        """Write what others read, the description last: it says that the sandbox serves."""
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
