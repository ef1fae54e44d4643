# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The questions to the person at the terminal: each is asked once a run, and again when the answer is not valid.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import answers
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import InvalidConnectionError

ATTEMPTS = 3
Prompt = Callable[[str], str]
"""Asks a person without echo; an empty text is no answer, as where there is no terminal."""

# No person types a NUL: the mark of a question whose answers were all refused, with the last reason.
_REFUSED = "\0"


def ask(name: str, question: str, prompt: Prompt | None, check: Callable[[str], object]) -> str:
    """The answer to a question; empty for none. Without `prompt`, only what was typed before in this run.

    `check` raises InvalidConnectionError or OnboardingError for an answer that is not valid: the question is then asked
    again with that reason, at most three times in all. Raises OnboardingError with the last reason.
    """
    if prompt is None:
        answer = answers.get(name) or ""
    else:
        answer = answers.ask_once(name, lambda: _valid_answer(question, prompt, check))
    if answer.startswith(_REFUSED):
        raise OnboardingError(answer[len(_REFUSED) :])
    return answer


def _valid_answer(question: str, prompt: Prompt, check: Callable[[str], object]) -> str:
    reason = ""
    for attempt in range(ATTEMPTS):
        again = f"{reason} Attempt {attempt + 1} of {ATTEMPTS}.\n" if reason else ""
        answer = prompt(again + question)
        if not answer:
            return answer
        try:
            check(answer)
        except (OnboardingError, InvalidConnectionError) as exc:
            reason = str(exc)
        else:
            return answer
    return _REFUSED + reason
