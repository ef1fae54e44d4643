# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The messages of PostgreSQL's protocol, built and parsed. Pure, without I/O.

Layouts: PostgreSQL documentation, chapter "Frontend/Backend Protocol".

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import MalformedError

SSL_REQUEST = struct.pack("!II", 8, 80877103)
PROTOCOL_3_0 = 196608
MAX_MESSAGE = 64 * 1024

_AUTH_METHODS = {
    0: "trust",
    2: "Kerberos V5",
    3: "cleartext password",
    5: "MD5",
    6: "SCM credentials",
    7: "GSSAPI",
    9: "SSPI",
    10: "SASL",
}


class AuthRequest(NamedTuple):
    """What the server asks for after the StartupMessage. `kind`: the protocol's number; 0: nothing."""

    kind: int
    mechanisms: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """The name of the authentication method."""
        if self.kind == 10:
            return "SASL ({})".format(", ".join(self.mechanisms))
        return _AUTH_METHODS.get(self.kind, f"number {self.kind}")


def startup_message(parameters: Mapping[str, str]) -> bytes:
    """The StartupMessage with these parameters, in their order."""
    body = b"".join(cstring(name) + cstring(value) for name, value in parameters.items())
    return struct.pack("!II", len(body) + 9, PROTOCOL_3_0) + body + b"\0"


def framed(kind: bytes, payload: bytes) -> bytes:
    """A message with its type byte and its length."""
    return kind + struct.pack("!I", len(payload) + 4) + payload


def cstring(text: str) -> bytes:
    """Text in UTF-8, terminated by NUL."""
    return text.encode("utf-8", "surrogateescape") + b"\0"


def strings(payload: bytes) -> list[str]:
    """The texts in a payload of NUL-terminated strings, with an empty one after the last NUL."""
    return [part.decode("utf-8", "replace") for part in payload.split(b"\0")]


def auth_request(payload: bytes) -> AuthRequest:
    """Parse an authentication request. Raises MalformedError."""
    if len(payload) < 4:
        raise MalformedError("content", f"an authentication request of {len(payload)} bytes")
    kind: int = struct.unpack("!I", payload[:4])[0]
    mechanisms = tuple(name for name in strings(payload[4:]) if name) if kind == 10 else ()
    return AuthRequest(kind, mechanisms)


def error_fields(payload: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse by their one-letter names. Raises MalformedError."""
    fields: dict[str, str] = {}
    for part in payload.split(b"\0"):
        if part:
            fields.setdefault(chr(part[0]), part[1:].decode("utf-8", "replace"))
    if not set(fields) & {"S", "V", "C", "M"}:
        raise MalformedError("content", "an ErrorResponse without any of its fields")
    fields.setdefault("C", "")
    fields.setdefault("M", "")
    return fields


def plain_error(reply: bytes) -> dict[str, str] | None:
    """The fields of an ErrorResponse sent instead of 'S' or 'N'; None if the bytes are not an ErrorResponse."""
    if len(reply) < 5:
        return None
    length: int = struct.unpack("!i", reply[1:5])[0]
    if not 4 <= length <= MAX_MESSAGE:
        return None
    try:
        return error_fields(reply[5 : 1 + length])
    except MalformedError:
        return None


def data_row(payload: bytes) -> tuple[str | None, ...]:
    """The columns of a DataRow as text, None for NULL. Raises MalformedError."""
    values: list[str | None] = []
    try:
        (count,) = struct.unpack_from("!H", payload, 0)
        at = 2
        for _column in range(count):
            (size,) = struct.unpack_from("!i", payload, at)
            at += 4
            if size == -1:
                values.append(None)
                continue
            if size < 0 or at + size > len(payload):
                raise MalformedError("length", f"a column claims a length of {size} bytes")
            values.append(payload[at : at + size].decode("utf-8", "replace"))
            at += size
    except struct.error as exc:
        raise MalformedError("length", "a row is shorter than its columns") from exc
    return tuple(values)


def server_kind(banner: bytes) -> str | None:
    """The kind of server that sends these first bytes: 'SSH', 'HTTP', 'TLS', 'mail or FTP', 'MySQL', or None."""
    if banner.startswith(b"SSH-"):
        return "SSH"
    if banner.startswith(b"HTTP/") or re.match(rb"\s*<(!doctype|html)", banner, re.IGNORECASE):
        return "HTTP"
    if re.match(rb"[\x15\x16]\x03[\x00-\x04]", banner):
        return "TLS"
    if re.match(rb"(220[ -]|\+OK|\* OK)", banner):
        return "mail or FTP"
    if re.match(rb".\x00\x00\x00[\x0a\xff]", banner, re.DOTALL):
        return "MySQL"
    return None
