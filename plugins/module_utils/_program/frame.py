# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module `ansible.module_utils.basic` in a program of plugin_utils/_transport.

Ansible's own takes 0.14 s of a host's processor to start: more than our modules take to work (docs/performance.md).
This one expects arguments that the controller has validated, and otherwise behaves like Ansible's.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import os
import syslog
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Callable, ClassVar, NoReturn

ANSWER = "crdb.onboard answers: "
"""The beginning of the line with the result. The host's shell profile may print lines before it."""
MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
_PART_MASK = "********"


def _expanded(facts: Mapping[str, Any], value: Any) -> Any:
    """A path, or the paths of a list, with `~` and variables expanded; any other value unchanged."""
    if isinstance(value, list) and facts.get("elements") == "path":
        return [_expanded({"type": "path"}, entry) for entry in value]
    if isinstance(value, str) and facts.get("type") == "path":
        return os.path.expanduser(os.path.expandvars(value))  # noqa: PTH111 - Path also changes what it does not expand
    return value


def _with_defaults(specification: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, and the defaults of missing ones, also in suboptions."""
    parameters: dict[str, Any] = {}
    for name, facts in specification.items():
        value = _expanded(facts, arguments.get(name))
        if value is None:
            value = facts.get("default")
        options = facts.get("options")
        if options and isinstance(value, list):
            value = [_with_defaults(options, entry) for entry in value]
        elif options and value is not None:
            value = _with_defaults(options, value)
        parameters[name] = value
    return parameters


def _secrets(specification: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """The values of the options that are `no_log`."""
    for name, facts in specification.items():
        value = values[name]
        entries = value if isinstance(value, list) else [value]
        if facts.get("no_log"):
            yield from (str(entry) for entry in entries if entry)
        if facts.get("options"):
            for entry in entries:
                if entry is not None:
                    yield from _secrets(facts["options"], entry)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        if isinstance(value, str):
            yield value
        return
    for part in value:
        yield from _texts(part)


def masked(value: Any, secrets: list[str]) -> Any:
    """The value with every secret in its texts replaced by a mask."""
    if isinstance(value, dict):
        return {name: masked(part, secrets) for name, part in value.items()}
    if isinstance(value, list):
        return [masked(part, secrets) for part in value]
    if isinstance(value, str):
        if value in secrets:
            return MASK
        for secret in secrets:
            value = value.replace(secret, _PART_MASK)
    return value


class AnsibleModule:
    """The arguments and the answer of one call, with the interface of Ansible's class of this name.

    `request` is set first: `module`, `arguments`, `check_mode`, `diff` (whether differences are shown), and `log`, the
    syslog facility, or an empty text for no message.
    """

    request: ClassVar[dict[str, Any]] = {}
    current: ClassVar[AnsibleModule | None] = None

    def __init__(self, argument_spec: Mapping[str, Any], supports_check_mode: bool = False) -> None:
        self.check_mode: bool = self.request["check_mode"]
        self._diff: bool = self.request["diff"]
        self.params = _with_defaults(argument_spec, self.request["arguments"])
        # The longest first, because a secret may contain another.
        self.no_log_values: Collection[str] = sorted(set(_secrets(argument_spec, self.params)), key=len, reverse=True)
        self._warnings: list[str] = []
        AnsibleModule.current = self
        if self.check_mode and not supports_check_mode:
            self.exit_json(skipped=True, msg="this module does not support check mode")
        if self.request["log"]:
            self._log()

    def _log(self) -> None:
        """Write a message to syslog, as Ansible's modules do, with the arguments that are a single value."""
        words = {
            k: v for k, v in self.params.items() if isinstance(v, (bool, int, float, str)) and v not in ("", False)
        }
        logged = masked({"check_mode": self.check_mode, **words}, list(self.no_log_values))
        facility = getattr(syslog, self.request["log"], syslog.LOG_USER)
        syslog.openlog(f"ansible-{self.request['module']}", 0, facility)
        syslog.syslog(syslog.LOG_INFO, "Invoked with " + " ".join(f"{name}={value}" for name, value in logged.items()))

    def warn(self, warning: str) -> None:
        """Show a warning on the controller."""
        self._warnings.append(warning)

    def exit_json(self, **result: Any) -> NoReturn:
        """Answer with a result, and exit."""
        self._answer(result)
        raise SystemExit(0)

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        """Answer with a failure, and exit."""
        self._answer({"failed": True, "msg": msg, **result})
        raise SystemExit(1)

    def _answer(self, result: dict[str, Any]) -> None:
        if self._warnings:
            result["warnings"] = self._warnings
        whole = "\0".join(_texts(result))
        secrets = [secret for secret in self.no_log_values if secret in whole]
        answer(masked(result, secrets) if secrets else result)


def answer(result: Mapping[str, Any]) -> None:
    """Print the result as one line of ASCII."""
    data = f"\n{ANSWER}{json.dumps(result)}\n".encode("ascii")
    while data:
        data = data[os.write(1, data) :]


def run(main: Callable[[], None]) -> None:
    """Run a module. An exception that it does not handle becomes a failure with the traceback."""
    try:
        main()
    except Exception as exc:  # as Ansible does
        import traceback

        module = AnsibleModule.current
        facts = {"msg": f"The module ended early: {type(exc).__name__}: {exc}", "exception": traceback.format_exc()}
        if module is not None:
            module.fail_json(**facts)
        answer({"failed": True, **facts})
        raise SystemExit(1) from None
