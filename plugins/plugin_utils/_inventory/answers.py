# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person typed, for this run only, and never on a disk.

Ansible runs every task in a process forked from the main one, so an answer of one task is lost to the next. The
strategy plugins import an action plugin in the main process before they fork for it (ansible-core 2.19 to 2.21, source
read): the anonymous memory made at that import is shared by all later processes of the run, and gone with them.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
from collections.abc import Callable

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

_SIZE = 64 * 1024
_LENGTH_BYTES = 4

_memory = mmap.mmap(-1, _SIZE)
_lock = multiprocessing.get_context("fork").Lock()


def _read() -> dict[str, str]:
    length = int.from_bytes(_memory[:_LENGTH_BYTES], "big")
    return json.loads(_memory[_LENGTH_BYTES : _LENGTH_BYTES + length]) if length else {}


def given() -> dict[str, str]:
    """The answers so far, by the name they were asked under."""
    with _lock:
        return _read()


def ask_once(name: str, ask: Callable[[], str]) -> str:
    """The answer under this name; `ask` is called when this run has none, by one process only."""
    with _lock:
        answers = _read()
        if name not in answers:
            answers[name] = ask()
            data = json.dumps(answers).encode("utf-8")
            if len(data) > _SIZE - _LENGTH_BYTES:
                raise OnboardingError(f"the answer for {name} is too long: {len(answers[name])} characters")
            _memory[_LENGTH_BYTES : _LENGTH_BYTES + len(data)] = data
            _memory[:_LENGTH_BYTES] = len(data).to_bytes(_LENGTH_BYTES, "big")
        return answers[name]
