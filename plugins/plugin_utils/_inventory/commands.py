# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of an app on its host: one makes it read its configuration again, one tells whether it works.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema

RUN_AS = ("app", "root")
RELOAD_SECONDS = 90.0
HEALTH_SECONDS = 10.0
HEALTH_RETRIES = 10
HEALTH_DELAY = 1.0
_MAX_SECONDS = 3600.0
_MAX_RETRIES = 600
_MAX_DELAY = 300.0
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*(?:@[A-Za-z0-9_.:-]*)?")
_UNIT_SUFFIX = ".service"
_UNIT_LIMIT = 255


@dataclass(frozen=True)
class Command:
    """A program with its arguments, run once and then up to `retries` times more, `delay` seconds apart.

    `run_as` is ``root`` or ``app``, the user of the app; one attempt may take `timeout` seconds.
    """

    argv: tuple[str, ...]
    run_as: str
    timeout: float
    retries: int = 0
    delay: float = 0.0


def words(where: str, text: str) -> tuple[str, ...]:
    """A program and its arguments, from a line that quotes as a shell does. Raises OnboardingError."""
    try:
        found = tuple(shlex.split(text))
    except ValueError:
        raise OnboardingError(f"{where}: has a quote without its other half.") from None
    if not found:
        raise OnboardingError(f"{where}: must be a program and its arguments.")
    return found


def unit(value: Any, what: str) -> str:
    """The name of a systemd service unit with its suffix; empty for none. Raises OnboardingError."""
    if value is None or value == "":
        return ""
    name = str(value).removesuffix(_UNIT_SUFFIX)
    if not isinstance(value, str) or not _UNIT.fullmatch(name) or len(name) > _UNIT_LIMIT - len(_UNIT_SUFFIX):
        raise OnboardingError(f"{what}: service {value!r} is not a systemd service name, such as shop.service.")
    return name + _UNIT_SUFFIX


def reload(value: Any, service: str, what: str, secret: str | None) -> Command | None:
    """The command that makes the app read its configuration again; the default is systemd's own.

    `secret` must not be among the arguments. Raises OnboardingError.
    """
    if value is None and service:
        return Command(("systemctl", "reload-or-restart", service), "root", RELOAD_SECONDS)
    return _command(value, f"{what}: reload", secret, RELOAD_SECONDS, retried=False)


def health(value: Any, service: str, what: str, secret: str | None) -> Command | None:
    """The command that ends with 0 when the app works; the default asks whether its service is active.

    `secret` must not be among the arguments. Raises OnboardingError.
    """
    if value is None and service:
        argv = ("systemctl", "is-active", "--quiet", service)
        return Command(argv, "root", HEALTH_SECONDS, HEALTH_RETRIES, HEALTH_DELAY)
    return _command(value, f"{what}: health", secret, HEALTH_SECONDS, retried=True)


def _command(value: Any, what: str, secret: str | None, timeout: float, *, retried: bool) -> Command | None:
    if value is None or value is False:
        return None
    if isinstance(value, str):
        raise OnboardingError(
            f"{what}: must be a list of the program and its arguments. For a shell command line, put shell: before it."
        )
    facts = {"argv": value} if isinstance(value, (list, tuple)) else value
    if not isinstance(facts, Mapping):
        raise OnboardingError(f"{what}: must be a list, a dictionary with argv or shell, or false for none.")
    known = {"argv", "shell", "run_as", "timeout", *(("retries", "delay") if retried else ())}
    schema.refuse_unknown(facts, known, what)
    argv = _argv(facts, what)
    if secret and any(secret in argument for argument in argv):
        raise OnboardingError(
            f"{what}: must not contain the password, because everybody on the host sees its arguments. Let the program"
            " read the app's environment file."
        )
    run_as = facts.get("run_as", "app")
    if run_as not in RUN_AS:
        raise OnboardingError(f"{what}: run_as must be {' or '.join(RUN_AS)}, not {run_as!r}.")
    return Command(
        argv,
        str(run_as),
        _number(facts.get("timeout", timeout), f"{what}: timeout", 0.1, _MAX_SECONDS),
        int(_number(facts.get("retries", HEALTH_RETRIES), f"{what}: retries", 0, _MAX_RETRIES)) if retried else 0,
        _number(facts.get("delay", HEALTH_DELAY), f"{what}: delay", 0, _MAX_DELAY) if retried else 0.0,
    )


def _argv(facts: Mapping[str, Any], what: str) -> tuple[str, ...]:
    if ("argv" in facts) == ("shell" in facts):
        raise OnboardingError(
            f"{what}: must have either argv (the program and its arguments) or shell (a shell command line)."
        )
    command = ["/bin/sh", "-c", facts["shell"]] if "shell" in facts else facts["argv"]
    words = list(command) if isinstance(command, (list, tuple)) else []
    if not words or not all(isinstance(w, (str, int, float)) and not isinstance(w, bool) for w in words):
        raise OnboardingError(f"{what}: must be a list of texts, the program first.")
    argv = tuple(str(word) for word in words)
    if not argv[0].strip() or not argv[-1].strip() or any("\0" in word for word in argv):
        raise OnboardingError(f"{what}: has an empty program, or an argument with a NUL character.")
    return argv


def _number(value: Any, what: str, least: float, most: float) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        number = None
    if number is None or not least <= number <= most:
        raise OnboardingError(f"{what}: must be a number from {least:g} to {most:g}, not {value!r}.")
    return number
