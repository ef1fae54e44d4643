# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the PostgreSQL wire protocol that a proxy must understand. Pure: bytes in, bytes out."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Callable, Optional

SSL_REQUEST = 80877103
CANCEL_REQUEST = 80877102
GSSENC_REQUEST = 80877104
MAX_STARTUP_PACKET = 10_000
"""Bytes of a startup packet, including its length; PostgreSQL's own limit."""

_INT32 = struct.Struct("!I")
_START = struct.Struct("!II")
_HEADER = struct.Struct("!cI")


class MalformedMessageError(ValueError):
    """The bytes violate the protocol."""


def start_packet(code: int, payload: bytes = b"") -> bytes:
    """A packet without a type byte: StartupMessage, SSLRequest or CancelRequest."""
    return _START.pack(_START.size + len(payload), code) + payload


def startup_message(protocol: int, parameters: Mapping[str, str]) -> bytes:
    """The StartupMessage with these parameters, in their order."""
    payload = b"".join(f"{key}\0{value}\0".encode("utf-8", "surrogateescape") for key, value in parameters.items())
    return start_packet(protocol, payload + b"\0")


def parse_startup_parameters(payload: bytes) -> dict[str, str]:
    """The parameters of a StartupMessage. If a key is repeated, its last value counts.

    Args:
        payload: the bytes after the protocol version.

    Raises:
        MalformedMessageError: the strings are not terminated, or do not come in pairs.
    """
    if not payload.endswith(b"\0") or (len(payload) > 1 and not payload.endswith(b"\0\0")):
        raise MalformedMessageError("startup parameters are not terminated")
    strings = payload[:-1].split(b"\0")[:-1]
    if len(strings) % 2 or b"" in strings[::2]:
        raise MalformedMessageError("startup parameters do not come in pairs")
    texts = [string.decode("utf-8", "surrogateescape") for string in strings]
    return dict(zip(texts[::2], texts[1::2]))


def message(kind: bytes, payload: bytes) -> bytes:
    """A message with its type byte and its length."""
    return _HEADER.pack(kind, _INT32.size + len(payload)) + payload


def error_response(severity: str, sqlstate: str, text: str, hint: str = "", detail: str = "") -> bytes:
    """An ErrorResponse; an empty hint or detail is left out."""
    fields = {b"S": severity, b"C": sqlstate, b"M": text}
    if detail:
        fields[b"D"] = detail
    if hint:
        fields[b"H"] = hint
    encoded = (key + value.encode("utf-8", "surrogateescape") + b"\0" for key, value in fields.items())
    return message(b"E", b"".join(encoded) + b"\0")


def parse_error_fields(payload: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse by their one-letter codes."""
    fields = (field for field in payload.split(b"\0") if field)
    return {chr(field[0]): field[1:].decode("utf-8", "replace") for field in fields}


class FrontendStream:
    """Rewrites SQL statements in the bytes from a client, and forwards everything else.

    Only ``Query`` and ``Parse`` messages of up to ``LIMIT`` bytes are buffered until they are complete. All others are
    forwarded as they arrive, so a COPY or a large parameter uses no memory.

    Args:
        rewrite: returns the replacement of a statement, or ``None`` to leave it unchanged.
    """

    # A GRANT may list hundreds of tables.
    LIMIT = 32 * 1024

    def __init__(self, rewrite: Callable[[bytes], Optional[bytes]]) -> None:
        self._rewrite = rewrite
        self._buffered = b""
        self._to_pass = 0

    def feed(self, data: bytes) -> bytes:
        """The bytes to forward for ``data``, the next bytes of the stream."""
        if self._to_pass >= len(data):
            self._to_pass -= len(data)
            return data
        sent = [data[: self._to_pass]]
        data = self._buffered + data[self._to_pass :]
        self._buffered = b""
        self._to_pass = 0
        position = 0
        while len(data) - position >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, position)
            # The server refuses a length below 4; here it only must not stop the loop.
            end = position + 1 + max(length, _INT32.size)
            if kind in (b"Q", b"P") and length <= self.LIMIT:
                if end > len(data):
                    break
                sent.append(self._statement(kind, data[position:end]))
            else:
                sent.append(data[position:end])
                self._to_pass = max(0, end - len(data))
            position = min(end, len(data))
        self._buffered = data[position:]
        return b"".join(sent)

    def _statement(self, kind: bytes, whole: bytes) -> bytes:
        payload = whole[_HEADER.size :]
        name, separator, rest = payload.partition(b"\0") if kind == b"P" else (b"", b"", payload)
        statement, end, tail = rest.partition(b"\0")
        replacement = self._rewrite(statement) if end else None
        if replacement is None:
            return whole
        return message(kind, name + separator + replacement + end + tail)


class AuthenticationStream:
    """Reads the messages of a server up to its first ReadyForQuery; later bytes are forwarded unchanged.

    Args:
        replace_key: returns the BackendKeyData payload to send instead of the server's (process id and secret).
    """

    def __init__(self, replace_key: Callable[[bytes], bytes]) -> None:
        self._replace_key = replace_key
        self._buffered = b""
        self.authenticated = False
        """Whether ReadyForQuery has arrived."""
        self.sqlstate: Optional[str] = None
        """The SQLSTATE with which the server refused the authentication, or ``None``."""

    def feed(self, data: bytes) -> bytes:
        """The bytes to forward for ``data``, the next bytes of the stream."""
        if self.authenticated:
            return data
        data = self._buffered + data
        sent = []
        position = 0
        while not self.authenticated and len(data) - position >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, position)
            end = position + 1 + max(length, _INT32.size)
            if end > len(data):
                break
            payload = data[position + _HEADER.size : end]
            if kind == b"K":
                payload = self._replace_key(payload)
            elif kind == b"E":
                self.sqlstate = parse_error_fields(payload).get("C", "")
            self.authenticated = kind == b"Z"
            sent.append(message(kind, payload))
            position = end
        self._buffered = b"" if self.authenticated else data[position:]
        if self.authenticated:
            sent.append(data[position:])
        return b"".join(sent)
