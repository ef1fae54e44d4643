# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app's own commands, run with the rights of a user of the host.

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

# Of what a command printed, characters and lines.
TAIL = 600
_LINES = 3


class CommandError(Exception):
    """A command did not end with 0; the message says how it ended, and the last of what it printed."""


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
    rights: dict[str, Any] = {}
    if owner.foreign:
        groups = os.getgrouplist(owner.user, owner.gid)
        rights = {"user": owner.uid, "group": owner.gid, "extra_groups": groups}
    # A file and no pipe: what goes on in the background keeps its output open, and is not waited for.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command["argv"], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder,
                env=_environment(owner), start_new_session=True, umask=0o022, **rights,
            )  # fmt: skip
        except OSError as exc:
            raise CommandError(f"cannot be run: {exc.filename or command['argv'][0]}: {exc.strerror}") from None
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
    """Run a command until it succeeds or has no attempts left. Raises CommandError for the last one."""
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
