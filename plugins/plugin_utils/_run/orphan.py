# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task ends when its playbook run is gone. Every wait and every step that changes something asks here first.

Ansible runs each task in a process of its own, in a session of its own. When the main process is killed (`kill -9`,
out of memory), nobody tells that process: without this, it would go on waiting, and then change things.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import time

_STEP_SECONDS = 0.5


class RunGoneError(Exception):
    """The process that started this task has ended. It is no OnboardingError: nothing may catch it and go on."""

    def __init__(self) -> None:
        super().__init__("The playbook run that started this task has ended, so the task ends without another change.")


class _Processes:
    """The process that forks, and in a fork, the process that made it. The main process waits for nobody's end."""

    forking: int | None = None
    parent: int | None = None


def _before_fork() -> None:
    _Processes.forking = os.getpid()


def _after_fork() -> None:
    # Not os.getppid(): the parent may have ended already.
    _Processes.parent = _Processes.forking


# The main process imports this before it forks one process a host and task.
os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def still_wanted() -> None:
    """Raise RunGoneError when the process that forked this one has ended. Call it before every change."""
    if _Processes.parent is not None and os.getppid() != _Processes.parent:
        raise RunGoneError


def pause(seconds: float) -> None:
    """Wait. Raises RunGoneError at most half a second after the process that forked this one has ended."""
    end = time.monotonic() + seconds
    still_wanted()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _STEP_SECONDS))
        still_wanted()
