# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""JSON Web Tokens that take the place of a password: where one comes from, and what it says about itself.

Nothing here verifies a signature: the server does. Sources: RFC 7519 for the claims, CockroachDB's page "Cluster Single
Sign-on (SSO) using JSON Web Tokens (JWTs)" for the option.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import os
import pwd
import re
import selectors
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import TokenUnusableError
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.module_utils._wire import tls
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import FileUnusableError

OPTION = "--crdb:jwt_auth_enabled=true"
"""The start-up option that makes CockroachDB read the password as a token."""
_LONGEST = 64 * 1024
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_IN_A_TEXT = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
# What a claim may consist of to be shown: names, addresses and URLs.
_SHOWN = re.compile(r"[A-Za-z0-9._@:/+|=-]{1,120}")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ")
_BLOCK = 65536
_LAST_SECONDS = 1.0


class Claims(NamedTuple):
    """What a token says about itself.

    Args:
        expires: the moment from which it is refused (`exp`); None where it does not say.
        not_before: the moment before which it is refused (`nbf`).
        shown: its subject, audience and issuer, as far as they may be shown, by these names.
    """

    expires: datetime.datetime | None
    not_before: datetime.datetime | None
    shown: dict[str, str]


def claims_of(token: str) -> Claims:
    """The claims of a token. Raises TokenUnusableError for what is not a JSON Web Token."""
    found = _FORM.fullmatch(token)
    if not found or len(token) > _LONGEST:
        raise _malformed()
    header, payload = _decoded(found.group(1)), _decoded(found.group(2))
    if "alg" not in header:
        raise _malformed()
    shown = {}
    for name, claim in (("subject", "sub"), ("audience", "aud"), ("issuer", "iss")):
        values = payload.get(claim)
        texts = [str(value) for value in (values if isinstance(values, list) else [values]) if value is not None]
        if texts:
            shown[name] = ", ".join(text if _SHOWN.fullmatch(text) else "(not shown)" for text in texts[:5])
    return Claims(_moment(payload.get("exp")), _moment(payload.get("nbf")), shown)


def refuse_outside(claims: Claims, now: datetime.datetime) -> None:
    """Raise TokenUnusableError for a token that is not valid at this moment."""
    if claims.expires is not None and now >= claims.expires:
        raise TokenUnusableError("expired", "", "the token has expired")
    if claims.not_before is not None and now < claims.not_before:
        raise TokenUnusableError("not_yet_valid", "", "the token is not valid yet")


def from_file(path: str) -> str:
    """The token in a file, without white space around it. Raises TokenUnusableError."""
    try:
        content = tls.read_file("token", path, _LONGEST)
    except FileUnusableError as exc:
        if exc.kind == "too_large":
            raise _malformed() from None
        raise TokenUnusableError(exc.kind, path, str(exc)) from None
    return _token_of(content, path)


def from_command(command: Sequence[str], deadline: Deadline) -> str:
    """The token that a program writes to its standard output. No shell runs it. Raises TokenUnusableError.

    It runs in the home folder, with PATH, HOME, the user's name and the language only, and is killed at the deadline.
    """
    program = command[0]
    try:
        process = subprocess.Popen(  # noqa: S603 - the program of the inventory, as a list, with its user's rights
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=_home(),
            env=_environment(), start_new_session=True,
        )  # fmt: skip
    except OSError as exc:
        raise TokenUnusableError("command", program, f"it cannot be started ({exc.strerror})") from None
    try:
        output, errors = _read(process, deadline)
        code = process.wait(max(deadline.remaining(), 0.1))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise TokenUnusableError("command", program, "it did not end in time") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # A program that took another user's rights cannot be killed.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_SECONDS)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    if code != 0:
        lines = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
        last = clean(masked(lines[-1]), 200) if lines else ""
        raise TokenUnusableError("command", program, f"it ended with {code}" + (f" ({last})" if last else ""))
    return _token_of(output, program)


def contains(text: str) -> bool:
    """Whether a token is somewhere in a text."""
    for found in _FORM.finditer(text):
        with contextlib.suppress(TokenUnusableError):
            _decoded(found.group(1))
            return True
    return False


def masked(text: str) -> str:
    """A text without what looks like a token in it."""
    return _IN_A_TEXT.sub("********", text)


def _malformed() -> TokenUnusableError:
    return TokenUnusableError("malformed", "", "it is not a JSON Web Token")


def _token_of(content: bytes, path: str) -> str:
    token = content.decode("ascii", "replace").strip()
    if not token:
        raise TokenUnusableError("empty", path, "it is empty")
    return token


def _decoded(part: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        raise _malformed() from None
    if not isinstance(value, dict):
        raise _malformed()
    return value


def _moment(value: Any) -> datetime.datetime | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        raise _malformed()
    try:
        return datetime.datetime.fromtimestamp(value, datetime.timezone.utc) if value is not None else None
    except (OverflowError, OSError, ValueError):
        raise _malformed() from None


def _home() -> str:
    home = os.environ.get("HOME") or "/"
    return home if Path(home).is_dir() else "/"


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with contextlib.suppress(KeyError):
        name = pwd.getpwuid(os.geteuid()).pw_name
        environment.update(USER=name, LOGNAME=name)
    environment["HOME"] = _home()
    return environment


def _read(process: subprocess.Popen[bytes], deadline: Deadline) -> tuple[bytes, bytes]:
    """What a program writes to its two outputs, at most _LONGEST bytes of each. Raises TimeoutError."""
    contents: dict[Any, bytes] = {process.stdout: b"", process.stderr: b""}
    with selectors.DefaultSelector() as selector:
        for stream in contents:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline.remaining()
            # Without the first, a program that never stops writing would be read without end.
            if not left or not (ready := selector.select(left)):
                raise TimeoutError
            for key, _events in ready:
                block = os.read(key.fd, _BLOCK)
                if not block:
                    selector.unregister(key.fileobj)
                contents[key.fileobj] = (contents[key.fileobj] + block)[: _LONGEST + 1]
    return contents[process.stdout], contents[process.stderr]
