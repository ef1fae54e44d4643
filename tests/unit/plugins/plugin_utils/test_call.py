# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a module goes to a host as a program, when by Ansible's own call, and when it does not go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import call

SECRET = {"files": [{"path": "/f", "content": "c4n4ry"}]}
PLAIN = {"state": "absent", "files": [], "secrets": []}


class Connection:
    """A connection that can use pipelining or not."""

    def __init__(self, able: bool) -> None:
        self._options: dict[str, Any] = {"pipelining": False}
        self._able = able

    def set_option(self, name: str, value: Any) -> None:
        self._options[name] = value

    def is_pipelining_enabled(self) -> bool:
        return self._able and self._options["pipelining"] and not constants.DEFAULT_KEEP_REMOTE_FILES


class Action:
    """An action that records how its module was called."""

    def __init__(self, able: bool) -> None:
        self._connection = Connection(able)
        self._task = SimpleNamespace(no_log=False, check_mode=False, diff=False, delegate_to=None)
        self._templar = SimpleNamespace(template=lambda text: text)
        self.calls: list[str] = []

    def _compute_environment_string(self) -> str:
        return ""

    def _low_level_execute_command(self, command: str, sudoable: bool, in_data: bytes) -> dict[str, Any]:
        self.calls.append("program")
        return {"rc": 0, "stdout": f'{call.program.ANSWER}{{"changed": true}}', "stderr": ""}

    def _execute_module(self, module_name: str, module_args: Any, task_vars: Any) -> dict[str, Any]:
        self.calls.append("ansible")
        return {"changed": True, "invocation": {"module_args": module_args}}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (call.TRANSPORT, call.ALLOW_SECRETS_IN_FILES):
        monkeypatch.delenv(name, raising=False)


def run(action: Action, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return call.call(action, "files", arguments, {}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("able", "arguments", "transport", "how"),
    [
        (True, SECRET, "", "program"),
        (True, SECRET, "program", "program"),
        (True, SECRET, "ansible", "ansible"),
        (True, PLAIN, "", "program"),
        (False, PLAIN, "", "ansible"),
        (False, PLAIN, "ansible", "ansible"),
    ],
)
def test_how_a_module_is_called(
    able: bool, arguments: dict[str, Any], transport: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(call.TRANSPORT, transport)
    action = Action(able)
    assert run(action, arguments) == {"changed": True}
    assert action.calls == [how]


@pytest.mark.parametrize("transport", ["program", "ansible"])
def test_a_secret_without_pipelining_is_refused_with_the_name_of_the_setting(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(call.TRANSPORT, transport)
    action = Action(able=False)
    with pytest.raises(OnboardingError, match="CRDB_ONBOARD_ALLOW_SECRETS_IN_FILES=true"):
        run(action, SECRET)
    assert action.calls == []
    monkeypatch.setenv(call.ALLOW_SECRETS_IN_FILES, "true")
    assert run(action, SECRET) == {"changed": True}
    assert action.calls == ["ansible"]


def test_the_action_knows_better_whether_there_is_a_secret() -> None:
    action = Action(able=False)
    run(action, SECRET, secret=False)
    assert action.calls == ["ansible"]
    with pytest.raises(OnboardingError):
        run(action, PLAIN, secret=True)


def test_kept_files_are_refused_even_where_files_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_KEEP_REMOTE_FILES", True)
    monkeypatch.setenv(call.ALLOW_SECRETS_IN_FILES, "true")
    action = Action(able=True)
    with pytest.raises(OnboardingError, match="Unset ANSIBLE_KEEP_REMOTE_FILES"):
        run(action, SECRET)
    run(action, PLAIN)
    assert action.calls == ["ansible"]


@pytest.mark.parametrize("name", [call.TRANSPORT, call.ALLOW_SECRETS_IN_FILES])
def test_a_wrong_value_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "maybe")
    with pytest.raises(OnboardingError, match=f"{name} must be .*, not 'maybe'"):
        run(Action(able=False), SECRET)


@pytest.mark.parametrize(
    ("module", "arguments", "secret"),
    [
        ("files", SECRET, True),
        ("files", PLAIN, False),
        ("files", {"secrets": ["x"]}, True),
        ("files", {"endpoints": [{"name": "a", "password": None}]}, False),
        ("files", {"endpoints": [{"name": "a"}, {"name": "b", "password": "x"}]}, True),
        ("endpoint_check", {"apps": [{"files": [], "salt": "x"}]}, True),
        ("endpoint_check", {"endpoints": [{"password": "x"}]}, True),
        ("endpoint_check", {"endpoints": [{"sslkey": "/key"}]}, False),
        ("app_reload", {"units": ["shop.service"]}, False),
        ("app_reload", {"secrets": ["x"]}, True),
        ("client", {"proxy": "http://u:p@proxy"}, True),
        ("client", {"proxy": "", "version": "v25.4.1"}, False),
        ("driver_probe", {"probes": []}, False),
    ],
)
def test_a_secret_is_found_in_the_options_that_are_no_log(module: str, arguments: Any, secret: bool) -> None:
    assert call.has_secret(call.specification(module), arguments) is secret
