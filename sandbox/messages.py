# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The PostgreSQL wire protocol, as far as a proxy has to understand it. No I/O: bytes in, bytes out."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Callable, Optional

SSL_REQUEST = 80877103
CANCEL_REQUEST = 80877102
GSSENC_REQUEST = 80877104
MAX_STARTUP_PACKET = 10_000
"""Bytes of a startup packet, its length word included; PostgreSQL's own limit."""

_INT32 = struct.Struct("!I")
_START = struct.Struct("!II")
_HEADER = struct.Struct("!cI")


class MalformedMessage(ValueError):  # noqa: N818 - names the message, as MessageError would not
    """Bytes that are not what the protocol has at this point."""


def start_packet(code: int, payload: bytes = b"") -> bytes:
    """A packet of the kind that has no type byte: StartupMessage, SSLRequest, CancelRequest."""
    return _START.pack(_START.size + len(payload), code) + payload


def startup_message(protocol: int, parameters: Mapping[str, str]) -> bytes:
    """A StartupMessage with these parameters, in their order."""
    payload = b"".join(f"{key}\0{value}\0".encode("utf-8", "surrogateescape") for key, value in parameters.items())
    return start_packet(protocol, payload + b"\0")


def parse_startup_parameters(payload: bytes) -> dict[str, str]:
    """The parameters of a StartupMessage; of a key that is given twice the last value counts.

    Args:
        payload: what follows the protocol version.

    Raises:
        MalformedMessage: the strings are not terminated or do not come in pairs.
    """
    if not payload.endswith(b"\0") or (len(payload) > 1 and not payload.endswith(b"\0\0")):
        raise MalformedMessage("startup parameters are not terminated")
    strings = payload[:-1].split(b"\0")[:-1]
    if len(strings) % 2 or b"" in strings[::2]:
        raise MalformedMessage("startup parameters do not come in pairs")
    texts = [string.decode("utf-8", "surrogateescape") for string in strings]
    return dict(zip(texts[::2], texts[1::2]))


def message(kind: bytes, payload: bytes) -> bytes:
    """A message of the kind that has a type byte."""
    return _HEADER.pack(kind, _INT32.size + len(payload)) + payload


def error_response(severity: str, sqlstate: str, text: str, hint: str = "") -> bytes:
    """An ErrorResponse; an empty hint is left out."""
    fields = {b"S": severity, b"C": sqlstate, b"M": text}
    if hint:
        fields[b"H"] = hint
    encoded = (key + value.encode("utf-8", "surrogateescape") + b"\0" for key, value in fields.items())
    return message(b"E", b"".join(encoded) + b"\0")


def parse_error_fields(payload: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse by their one-letter codes."""
    fields = (field for field in payload.split(b"\0") if field)
    return {chr(field[0]): field[1:].decode("utf-8", "replace") for field in fields}


class FrontendStream:
    """Rewrites SQL texts in what a client sends, and passes everything else on.

    Only ``Query`` and ``Parse`` messages up to ``LIMIT`` bytes are held back until they are whole; the payload of all
    others flows through, so a COPY or a large parameter costs no memory.

    Args:
        rewrite: given a statement, its replacement, or ``None`` to leave it as it is.
    """

    LIMIT = 4096

    def __init__(self, rewrite: Callable[[bytes], Optional[bytes]]) -> None:
        self._rewrite = rewrite
        self._held = b""
        self._passing = 0

    def feed(self, data: bytes) -> bytes:
        """What to send on for ``data``, the next bytes of the stream."""
        if self._passing >= len(data):
            self._passing -= len(data)
            return data
        sent = [data[: self._passing]]
        data = self._held + data[self._passing :]
        self._held = b""
        self._passing = 0
        position = 0
        while len(data) - position >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, position)
            # A length below its own four bytes is refused by the server; here it must only not stop the loop.
            end = position + 1 + max(length, _INT32.size)
            if kind in (b"Q", b"P") and length <= self.LIMIT:
                if end > len(data):
                    break
                sent.append(self._statement(kind, data[position:end]))
            else:
                sent.append(data[position:end])
                self._passing = max(0, end - len(data))
            position = min(end, len(data))
        self._held = data[position:]
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
    """Follows what a server sends up to its first ReadyForQuery; from there on bytes pass untouched.

    Args:
        replace_key: given the server's BackendKeyData payload (process id and secret), the one to send instead.
    """

    def __init__(self, replace_key: Callable[[bytes], bytes]) -> None:
        self._replace_key = replace_key
        self._held = b""
        self.authenticated = False
        """Whether ReadyForQuery has been seen."""
        self.sqlstate: Optional[str] = None
        """SQLSTATE of the error with which the server ended the authentication, if it did."""

    def feed(self, data: bytes) -> bytes:
        """What to send on for ``data``, the next bytes of the stream."""
        if self.authenticated:
            return data
        data = self._held + data
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
        self._held = b"" if self.authenticated else data[position:]
        if self.authenticated:
            sent.append(data[position:])
        return b"".join(sent)
