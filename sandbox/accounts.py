# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs programs as the account that owns the engine, never as root."""

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

_ACCOUNTS_FOR_ROOT = ("postgres", "nobody")
_PR_SET_PDEATHSIG = 1
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Account:
    """The system account that the engine runs as.

    Args:
        name: the account's name.
        uid: its user id.
        gid: its group id.
        is_other_user: whether it differs from the account of this process.
    """

    name: str
    uid: int
    gid: int
    is_other_user: bool

    @classmethod
    def choose(cls, folder: Optional[Path] = None) -> Account:
        """The current user; for root the account ``postgres`` if it exists, else ``nobody``.

        Args:
            folder: the engine's folder of an earlier run; the account that owns it is used again.

        Raises:
            SandboxError: for root, if neither account exists, or if the folder belongs to another account.
        """
        if os.geteuid() != 0:
            entry = pwd.getpwuid(os.geteuid())
            return cls(entry.pw_name, os.geteuid(), os.getegid(), is_other_user=False)
        candidates = [entry for entry in pwd.getpwall() if entry.pw_name in _ACCOUNTS_FOR_ROOT and entry.pw_uid != 0]
        candidates.sort(key=lambda entry: _ACCOUNTS_FOR_ROOT.index(entry.pw_name))
        if folder is not None and folder.exists():
            owner = folder.lstat().st_uid
            candidates = [entry for entry in candidates if entry.pw_uid == owner]
            if not candidates:
                raise SandboxError(
                    f"{folder} belongs to user id {owner}, which cannot run the engine: remove the folder"
                )
        if not candidates:
            raise SandboxError(
                "PostgreSQL does not run as root, and neither the account 'postgres' nor 'nobody' exists:"
                " run the sandbox as another user"
            )
        entry = candidates[0]
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, is_other_user=True)

    def run(self, argv: Sequence[Union[str, Path]]) -> str:
        """Run a program to its end, and return its output.

        Raises:
            SandboxError: the program failed; the message contains its output.
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
        output: str = done.stdout
        return output

    def can_run(self, argv: Sequence[Union[str, Path]]) -> bool:
        """Whether the account can reach the program, and the program succeeds."""
        try:
            self.run(argv)
        except (OSError, SandboxError):
            return False
        return True

    def start(self, argv: Sequence[Union[str, Path]], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program. On Linux it is interrupted when this process dies.

        Call this from the main thread: the kernel ties the child to the thread that started it.
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
        if not self.is_other_user:
            return common
        return {**common, "user": self.uid, "group": self.gid, "extra_groups": []}


def _interrupted_with_parent() -> Optional[Callable[[], None]]:
    if not sys.platform.startswith("linux"):
        return None
    # Loaded before the fork, because the child of a fork should not load libraries.
    prctl = ctypes.CDLL(None).prctl

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)

    return set_death_signal
