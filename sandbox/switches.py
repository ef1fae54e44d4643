# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults of the sandbox's Cloud API, and behaviour that the specification leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Optional

from sandbox.http import Response

_HTTP = {3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 13: 500, 14: 503, 16: 401}
_HOLD = 30.0


class ApiError(Exception):
    """The request fails. `response`: the response to send."""

    def __init__(self, code: int, message: str, status: Optional[int] = None, **headers: str) -> None:
        super().__init__(message)
        self.response = Response.of({"code": code, "message": message, "details": []}, status or _HTTP[code], **headers)


@dataclass
class Switches:
    """Behaviour that the specification leaves open, and faults.

    Args:
        page_limit: the maximum of entries on a page, so small that there is always a second page.
        propagation: seconds until a change of an allowlist takes effect.
        client_ca_seconds: until a change of a client CA takes effect.
        client_ca_fails: whether changes of a client CA fail.
        duplicate: status of a POST for an existing object: 409, 400, or 200, which changes the object.
        put_existing: status of a PUT for an existing entry: 200 or 409.
        host_bits: ``reject``, ``normalize`` or ``keep`` (the address stays as sent).
        ui_refused: whether ``ui`` is refused for a plan without a DB Console.
        rate: the limit of requests per second; 0 for none.
        rate_status: status of a request above the limit.
        retry_after: whether that response has a Retry-After header.
        state: of every cluster, such as CREATING; empty for CREATED or LOCKED.
        locked: status of a change while another operation locks the cluster, such as 503; 0 for not locked.
        role: the rights of the key: DEVELOPER, OPERATOR or ADMIN.
        user_case: how the API shows the name of a user: ``fold`` (in lower case, as SQL has it), or ``keep`` (as sent).
        missing: operations that are answered as if they did not exist, such as ``GET organization``: the method and the
            template, as `OPERATIONS` of `sandbox/cloud.py` has them.
        extra_fields: whether responses have fields that are not in the specification.
        entry_limit: the maximum of entries in an allowlist; None for the limit of the plan.
        echo: the addresses that the echo service returns in turn; empty for the newcomer's address.
        faults: the number of a request, counted from 0 since the switches were set -> the kind of fault.
    """

    page_limit: int = 2
    propagation: float = 0.3
    client_ca_seconds: float = 0.3
    client_ca_fails: bool = False
    duplicate: int = 409
    put_existing: int = 200
    host_bits: str = "reject"
    ui_refused: bool = True
    rate: int = 10
    rate_status: int = 429
    retry_after: bool = True
    state: str = ""
    locked: int = 0
    role: str = "ADMIN"
    user_case: str = "fold"
    missing: list[str] = field(default_factory=list)
    extra_fields: bool = True
    entry_limit: Optional[int] = None
    echo: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Any) -> Switches:
        """The switches of a JSON value. Raises ApiError that names a switch that does not exist."""
        known = [item.name for item in fields(cls)]
        unknown = sorted(set(values) - set(known)) if isinstance(values, dict) else ["the body is no object"]
        if unknown:
            raise ApiError(3, f"unknown switch: {', '.join(unknown)}; valid: {', '.join(known)}")
        return cls(**values)


def fault(kind: str) -> tuple[bool, Response]:
    """Whether the request is carried out nevertheless, and the response that replaces its own."""
    after = kind.endswith("_after")
    simple = {
        "timeout": Response(cut=True, hold=_HOLD),
        "reset": Response(cut=True),
        "429": ApiError(8, "rate limit exceeded").response,
        "429_retry": ApiError(8, "rate limit exceeded", Retry_After="1").response,
        "500": ApiError(13, "internal error").response,
        "503": ApiError(14, "the service is unavailable").response,
        "401": ApiError(16, "the API key has expired").response,
        "403": ApiError(7, "unauthorized").response,
        "bad_json": Response(200, b'{"allowlist": ['),
        "html": Response(502, b"<html><body>Bad Gateway</body></html>", "text/html"),
        "html_ok": Response(200, b"<!doctype html><title>Sign in</title>", "text/html"),
        "empty": Response(200, b""),
    }
    return after, simple[kind[: -len("_after")] if after else kind]
