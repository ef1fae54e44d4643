# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run shows to people besides Ansible's results: reports as lines, and that a long step goes on.

Ansible's default configuration prints a result as JSON, where a report of many lines is one line with `\\n` in it. So
reports do not go through results: they are displayed.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible import constants
from ansible.errors import AnsibleAction
from ansible.utils.display import Display
from ansible_collections.crdb.onboard.plugins.module_utils._text import escaped
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared

# Callbacks whose output is read by programs, which more lines would break, and those that print nothing.
_FOR_PROGRAMS = ("json", "jsonl", "null", "selective")
EVERY_SECONDS = 10.0
_PROGRESS = "progress"
LAST_CALLBACK = "crdb.onboard.report_last"
_LAST = "shown last"

display = Display()
_at_prompt = threading.Event()


def for_people() -> bool:
    """Whether people read what the run prints."""
    return str(constants.DEFAULT_STDOUT_CALLBACK).rpartition(".")[2] not in _FOR_PROGRAMS


def show(lines: Sequence[str]) -> bool:
    """Display lines without the empty ones at both ends; False without lines, and when nobody reads them.

    Characters that would steer the terminal are shown as escapes.
    """
    text = escaped("\n".join(lines).strip("\n"))
    if not text or not for_people():
        return False
    display.display(text)
    return True


def keep_for_the_end(lines: Sequence[str]) -> bool:
    """Keep lines for the end of the run, in place of those kept before; False where nothing would show them."""
    if LAST_CALLBACK not in constants.CALLBACKS_ENABLED or not for_people():
        return False
    shared.put(_LAST, list(lines))
    return True


def show_last() -> None:
    """Display the lines that were kept for the end of the run."""
    show(shared.get(_LAST) or [])


@contextlib.contextmanager
def at_prompt() -> Iterator[None]:
    """Show no progress while a person is asked."""
    _at_prompt.set()
    try:
        yield
    finally:
        _at_prompt.clear()


@contextlib.contextmanager
def progress(text: str) -> Iterator[None]:
    """Every ten seconds, show that a step goes on. One line serves all hosts that take long at the same time."""
    if not for_people():
        yield
        return
    ended = threading.Event()

    def tick() -> None:
        start = time.monotonic()
        while not ended.wait(EVERY_SECONDS):
            if not _at_prompt.is_set() and _is_due():
                display.display(f"... {text}: still running after {time.monotonic() - start:.0f} s")

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_due() -> bool:
    """Whether no task of the run showed a line in the last ten seconds."""
    # Not through `shared`, whose locks do not keep the threads of one process apart. At worst, a line is shown twice.
    path = shared.folder() / _PROGRESS
    with contextlib.suppress(OSError):
        if path.exists() and time.time() - path.stat().st_mtime < 0.9 * EVERY_SECONDS:
            return False
        path.touch(mode=0o600)
        os.utime(path)
    return True


class ShownOnceError(AnsibleAction):  # type: ignore[misc]
    """Ends a task with a result whose message Ansible prints once: without the position of the task in our files."""

    def as_task_result(self, utr: Any) -> Any:
        """Return the result as ansible-core 2.21 and newer keep it; older ones take the dictionary."""
        return type(utr).from_action_result_dict(dict(self._result))

    @property
    def omit_exception_key(self) -> bool:
        """See ContributesToTaskResult of Ansible."""
        return True

    @property
    def omit_failed_key(self) -> bool:
        """A host that cannot be reached has not failed."""
        return not self._result.get("failed")
