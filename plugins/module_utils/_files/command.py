# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run an app's own commands with the rights of a user of the host.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files.diff import masked
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner

# The last characters and lines of a command's output that a message quotes.
TAIL = 600
_LINES = 3


class CommandError(Exception):
    """A command failed; the message has its exit code, and the end of its output."""


def _environment(owner: Owner) -> dict[str, str]:
    environment = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "TZ") if key in os.environ}
    environment.update(HOME=owner.home, USER=owner.user, LOGNAME=owner.user)
    runtime = f"/run/user/{owner.uid}"
    if os.path.isdir(runtime):
        environment["XDG_RUNTIME_DIR"] = runtime
    return environment


def _attempt(command: dict[str, Any], folder: str, secrets: list[str]) -> None:
    """Run a command once. Raises CommandError."""
    owner = Owner(command["user"])
    ids: dict[str, Any] = {}
    if owner.foreign:
        groups = os.getgrouplist(owner.user, owner.gid)
        ids = {"user": owner.uid, "group": owner.gid, "extra_groups": groups}
    # A file instead of a pipe: a background process that keeps its output open is not waited for.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - the command of the inventory, as a list, with its user's rights
                command["argv"], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder,
                env=_environment(owner), start_new_session=True, umask=0o022, **ids,
            )  # fmt: skip
        except OSError as exc:
            raise CommandError(f"cannot be started: {exc.filename or command['argv'][0]}: {exc.strerror}") from None
        try:
            code: Optional[int] = process.wait(command["timeout"])
        except subprocess.TimeoutExpired:
            code = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code == 0:
            return
        output.seek(0)
        text = masked(output.read(), secrets)
    ended = f"did not end within {command['timeout']:g} s" if code is None else f"ended with {code}"
    last = " ".join(line.strip() for line in text.splitlines()[-_LINES:] if line.strip())[-TAIL:]
    raise CommandError(f"{ended}{': ' + last if last else ''}")


def run_command(command: Optional[dict[str, Any]], folder: str, secrets: list[str]) -> None:
    """Run a command until it succeeds or has no attempts left. Raises the CommandError of the last attempt."""
    if command is None:
        return
    for left in range(command["retries"], -1, -1):
        try:
            _attempt(command, folder if os.path.isdir(folder) else "/", secrets)
            return
        except CommandError:
            if not left:
                raise
        time.sleep(command["delay"])
