# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answers that a person types during one playbook run. They are kept in memory only.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run.memory import Memory, MemoryFullError

_memory = Memory("answers", 64 * 1024)


def get(name: str) -> str | None:
    """The answer to the question of this name; None when nobody was asked yet."""
    return _memory.get(name)


def ask_once(name: str, ask: Callable[[], str]) -> str:
    """The answer to the question of this name. One task calls `ask` when there is no answer; the others wait.

    Raises OnboardingError when the answer is too long to keep.
    """
    try:
        return _memory.once(name, ask)
    except MemoryFullError as exc:
        raise OnboardingError(f"the answer for {name} is too long: {exc}.") from None
