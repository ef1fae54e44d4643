# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an action calls its module on a host: in one trip, with no secret in a file.

Two environment variables of the controller change it (docs/large-fleets.md). They are not Ansible variables: a plugin
knows no variables by name, and how modules are sent is a matter of the controller, not of an inventory.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import program
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport.imports import COLLECTION

TRANSPORT = "CRDB_ONBOARD_TRANSPORT"
"""`program` (the default) sends a program of our own; `ansible` uses Ansible's own call."""
ALLOW_SECRETS_IN_FILES = "CRDB_ONBOARD_ALLOW_SECRETS_IN_FILES"
"""`true` lets a call with a secret write a temporary file on a host that cannot use pipelining."""
_TRANSPORTS = ("program", "ansible")

display = Display()


class _SpecificationRead(Exception):  # noqa: N818 - carries a result, and ends the module that was started for it
    """Carries the `argument_spec` of a module."""


@cache
def specification(module: str) -> Mapping[str, Any]:
    """The `argument_spec` of a module, read by starting the module on the controller up to there."""
    code = importlib.import_module(f"{COLLECTION}.modules.{module}")

    def read(argument_spec: Mapping[str, Any], **_options: Any) -> None:
        raise _SpecificationRead(argument_spec)

    original = code.AnsibleModule
    code.AnsibleModule = read  # type: ignore[attr-defined]
    try:
        code.main()
    except _SpecificationRead as exc:
        result: Mapping[str, Any] = exc.args[0]
        return result
    finally:
        code.AnsibleModule = original  # type: ignore[attr-defined]
    raise RuntimeError(f"the module {module} does not create an AnsibleModule")


def has_secret(options: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether an option that is `no_log` has a value among these arguments."""
    for name, facts in options.items():
        value = arguments.get(name)
        if facts.get("no_log") and value:
            return True
        entries = value if isinstance(value, list) else [value]
        if facts.get("options") and any(has_secret(facts["options"], entry) for entry in entries if entry):
            return True
    return False


def prepare(module: str) -> None:
    """Read what every call of a module needs. In the main process, this is done once for all tasks."""
    program.prepared(module)


def call(
    action: ActionBase,
    module: str,
    arguments: Mapping[str, Any],
    task_vars: Mapping[str, Any],
    *,
    secret: bool | None = None,
) -> dict[str, Any]:
    """Run a module of the collection on the host of a task, and return its result without `invocation`.

    `secret` says whether a secret is among the arguments; by default, whether an option that is `no_log` has a value.
    Pipelining is turned on for the call. Without it, Ansible writes the arguments into a file on the host.
    Raises OnboardingError when that file would hold a secret, and when an environment variable has a wrong value.
    """
    own = _choice(TRANSPORT, _TRANSPORTS, "program") == "program"
    pipelined = _turn_pipelining_on(action._connection)
    if not pipelined and (has_secret(specification(module), arguments) if secret is None else secret):
        _check_secrets_in_files()
    if own and pipelined:
        return _call_program(action, module, arguments, task_vars)
    result: dict[str, Any] = action._execute_module(
        module_name=f"crdb.onboard.{module}", module_args=dict(arguments), task_vars=task_vars
    )
    for name in ("invocation", "_ansible_parsed"):
        result.pop(name, None)
    return result


def _choice(variable: str, choices: tuple[str, ...], default: str) -> str:
    """The value of an environment variable of the controller."""
    value = os.environ.get(variable, "").strip().lower() or default
    if value not in choices:
        raise OnboardingError(f"{variable} must be {' or '.join(choices)}, not {value!r}.")
    return value


def _turn_pipelining_on(connection: Any) -> bool:
    """Whether this connection sends a module without a file on the host."""
    if "pipelining" in connection._options:
        connection.set_option("pipelining", True)
    return bool(connection.is_pipelining_enabled())


def keep_secrets_out_of_files(connection: Any) -> None:
    """Turn pipelining on for a call with a secret. Raises OnboardingError where a file would hold the secret."""
    if not _turn_pipelining_on(connection):
        _check_secrets_in_files()


def _check_secrets_in_files() -> None:
    """Raise OnboardingError unless a call with a secret may write a file on the host."""
    if constants.DEFAULT_KEEP_REMOTE_FILES:
        raise OnboardingError(
            "This task passes a password to the host, and ANSIBLE_KEEP_REMOTE_FILES would keep it there in a file."
            " Unset ANSIBLE_KEEP_REMOTE_FILES (keep_remote_files in ansible.cfg)."
        )
    if _choice(ALLOW_SECRETS_IN_FILES, ("true", "false"), "false") == "true":
        display.warning(
            "Passwords are written into temporary files on hosts without pipelining, because"
            f" {ALLOW_SECRETS_IN_FILES} is true. A task that is killed leaves its file there."
        )
        return
    raise OnboardingError(
        "This task passes a password to the host, which needs pipelining, and the become method (such as su) or the"
        " connection plugin does not support it. Use sudo and ssh, or allow a temporary file for the password with"
        f" {ALLOW_SECRETS_IN_FILES}=true in the controller's environment. A task that is killed leaves its file on the"
        " host."
    )


def _call_program(
    action: ActionBase, module: str, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]
) -> dict[str, Any]:
    """Send the module as a program; see `program`."""
    task = action._task
    log = not task.no_log and not _setting("DEFAULT_NO_TARGET_SYSLOG", task_vars)
    data = program.program(
        module,
        arguments,
        check_mode=task.check_mode,
        diff=task.diff,
        log=str(_setting("DEFAULT_SYSLOG_FACILITY", task_vars)) if log else "",
    )
    command = program.command(_interpreters(action, task_vars), action._compute_environment_string())
    display.vvv(f"crdb.onboard.{module} as a program of {len(data)} bytes")
    return program.result(action._low_level_execute_command(command, sudoable=True, in_data=data))


def _setting(name: str, variables: Mapping[str, Any]) -> Any:
    return constants.config.get_config_value(name, variables=variables)


def _interpreters(action: ActionBase, task_vars: Mapping[str, Any]) -> list[str]:
    """The Python that was set or discovered for the host, or else those that Ansible would try, in order."""
    delegated = action._task.delegate_to
    variables = task_vars["ansible_delegated_vars"][delegated] if delegated else task_vars
    interpreter = str(action._templar.template(_setting("INTERPRETER_PYTHON", variables)) or "auto")
    if interpreter.startswith("auto"):
        interpreter = variables.get("ansible_facts", {}).get("discovered_interpreter_python")
    return [interpreter] if interpreter else list(_setting("INTERPRETER_PYTHON_FALLBACK", variables))
