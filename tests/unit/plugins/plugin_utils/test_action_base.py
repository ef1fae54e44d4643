# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every action of the collection does with its result, before Ansible shows it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import screen

STEERING = "\x1b[31mred\x1b]0;owned\x07\u202e"
HARMLESS = "\\x1b[31mred\\x1b]0;owned\\x07\\u202e"


class Action(OnboardingAction):
    """An action that returns what a server said, or fails with it."""

    OPTIONS = "show"
    answer: Callable[[], dict[str, Any]]

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self.answer()


@pytest.fixture
def action(monkeypatch: pytest.MonkeyPatch) -> Action:
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    task = SimpleNamespace(args={"lines": ["a"]}, name="Show", until=None, retries=None, failed_when=None, _uuid="u")
    made = Action.__new__(Action)
    made._task = task
    monkeypatch.setattr(made, "validate_argument_spec", lambda spec: (None, {}))
    return made


def test_what_a_server_said_does_not_steer_the_terminal(action: Action) -> None:
    said = {"changed": False, "clusters": [{STEERING: STEERING}], "report": [f"named {STEERING}\n"]}
    action.answer = lambda: said
    assert action.run(task_vars={"inventory_hostname": "web1"}) == {
        "changed": False,
        "clusters": [{HARMLESS: HARMLESS}],
        "report": [f"named {HARMLESS}\n"],
    }


def test_an_error_with_what_a_server_said_does_not_steer_the_terminal(action: Action) -> None:
    def fail() -> dict[str, Any]:
        raise OnboardingError(f"The cluster {STEERING} is gone.")

    action.answer = fail
    with pytest.raises(screen.ShownOnceError) as caught:
        action.run(task_vars={"inventory_hostname": "web1"})
    assert caught.value._result["msg"] == f"The cluster {HARMLESS} is gone."
    assert str(caught.value) == caught.value._result["msg"]
