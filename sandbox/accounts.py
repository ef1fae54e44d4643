# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running programs under the account that owns the engine, never as root."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Optional, Union

from sandbox.errors import SandboxError

_ROOT_USES = ("postgres", "nobody")
_PR_SET_PDEATHSIG = 1
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Account:
    """Whom the engine runs as.

    Args:
        name: of the account.
        uid: its user id.
        gid: its group id.
        changes: whether it is another one than the process's own.
    """

    name: str
    uid: int
    gid: int
    changes: bool

    @classmethod
    def choose(cls, owned: Optional[Path] = None) -> Account:
        """The invoking user; for root the account ``postgres`` if it exists, else ``nobody``.

        Args:
            owned: a folder of an earlier run: whoever of them owns it stays in charge.

        Raises:
            SandboxError: for root, when neither account exists, or the folder belongs to a third.
        """
        if os.geteuid() != 0:
            entry = pwd.getpwuid(os.geteuid())
            return cls(entry.pw_name, os.geteuid(), os.getegid(), changes=False)
        candidates = [entry for entry in pwd.getpwall() if entry.pw_name in _ROOT_USES and entry.pw_uid != 0]
        candidates.sort(key=lambda entry: _ROOT_USES.index(entry.pw_name))
        if owned is not None and owned.exists():
            owner = owned.lstat().st_uid
            candidates = [entry for entry in candidates if entry.pw_uid == owner]
            if not candidates:
                raise SandboxError(f"{owned} belongs to user id {owner}, under which the engine is not run: remove it")
        if not candidates:
            raise SandboxError(
                "PostgreSQL does not run as root, and there is neither an account 'postgres' nor 'nobody' to run it"
                " under: run the sandbox as another user"
            )
        chosen = candidates[0]
        return cls(chosen.pw_name, chosen.pw_uid, chosen.pw_gid, changes=True)

    def run(self, argv: Sequence[Union[str, Path]]) -> str:
        """Run a program to its end, and return what it printed.

        Raises:
            SandboxError: it ended with an error, whose text is in the message.
        """
        done = subprocess.run(  # noqa: S603 - fixed programs, no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **self._identity(),
        )
        if done.returncode != 0:
            command = " ".join(str(word) for word in argv)
            raise SandboxError(f"as {self.name}: {command}: {done.stdout.strip() or f'status {done.returncode}'}")
        printed: str = done.stdout
        return printed

    def can_run(self, argv: Sequence[Union[str, Path]]) -> bool:
        """Whether the program can be reached by the account, and succeeds."""
        try:
            self.run(argv)
        except (OSError, SandboxError):
            return False
        return True

    def start(self, argv: Sequence[Union[str, Path]], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program that, on Linux, is interrupted when this process dies.

        Has to be called from the main thread: the kernel ties the child to the thread that made it.
        """
        return subprocess.Popen(  # noqa: S603 - fixed programs, no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_interrupted_with_parent(),
            **self._identity(),
        )

    def _identity(self) -> dict[str, Any]:
        common: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT, "umask": 0o077}
        if not self.changes:
            return common
        return {**common, "user": self.uid, "group": self.gid, "extra_groups": []}


def _interrupted_with_parent() -> Optional[Callable[[], None]]:
    if not sys.platform.startswith("linux"):
        return None
    # Loaded before the fork: a child of a fork should not load libraries.
    prctl = ctypes.CDLL(None).prctl

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)

    return set_death_signal
