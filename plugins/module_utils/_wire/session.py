# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client session with a PostgreSQL server: start-up, login and simple queries, as far as a connectivity check needs.

Every wait is bounded by a Deadline, every message by MAX_MESSAGE bytes, every session by MAX_RECEIVED bytes.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._wire.channel import Channel
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import (
    AuthUnsupportedError,
    MalformedError,
    PasswordNeededError,
    ScramError,
    ServerError,
    WireError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.messages import (
    MAX_MESSAGE,
    AuthRequest,
    auth_request,
    cstring,
    data_row,
    error_fields,
    framed,
    startup_message,
    strings,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.scram import ScramClient, ScramMessageError

# A backend may send these at any time once the session is open (PostgreSQL: "Asynchronous Operations").
_ASYNCHRONOUS = (b"A", b"S")
# The messages that may be long, and how long PostgreSQL lets them be.
_LONG_MESSAGES = b"ESTDNAV"
_MAX_LEGAL = 1 << 30


class Wire(Channel):
    """A session with a server, from the StartupMessage to its end.

    `password_sent` turns true just before the first bytes that depend on the password are sent.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__(sock, deadline)
        self.password_sent = False

    def startup(self, parameters: Mapping[str, str]) -> AuthRequest:
        """Send the StartupMessage and read what the server asks for. Raises ServerError, and what take() raises."""
        self.send(startup_message(parameters))
        while True:
            kind, payload = self._message()
            if kind == b"R":
                return auth_request(payload)
            # NegotiateProtocolVersion lists what the server does not support; the session continues.
            if kind != b"v":
                raise MalformedError("content", f"message {kind!r} instead of an authentication request")

    def login(self, request: AuthRequest, password: str | None) -> None:
        """Answer the authentication request once, and wait for AuthenticationOk.

        Raises AuthUnsupportedError, PasswordNeededError, ScramError, ServerError and those of take().
        """
        if request.kind == 0:
            return
        if request.kind == 3:
            self._send_password(cstring(_required(password)))
            self._expect_auth(0)
        elif request.kind == 10 and "SCRAM-SHA-256" in request.mechanisms:
            self._login_scram(_required(password))
        else:
            raise AuthUnsupportedError(request.method)

    def ready(self) -> dict[str, str]:
        """Read until ReadyForQuery and return the server's parameters. Raises ServerError, and what take() raises."""
        parameters: dict[str, str] = {}
        while True:
            kind, payload = self._message()
            if kind == b"Z":
                return parameters
            if kind == b"S":
                name, value, *_rest = [*strings(payload), "", ""]
                parameters[name] = value
            elif kind not in (b"K", b"v", b"A"):
                raise MalformedError("content", f"message {kind!r} between the login and ReadyForQuery")

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run a simple query and return its rows as text, None for NULL. Raises ServerError, and what take() raises."""
        self.send(framed(b"Q", cstring(sql)))
        rows: list[tuple[str | None, ...]] = []
        described = False
        while True:
            kind, payload = self._message()
            if kind == b"Z":
                return rows
            if kind == b"T":
                described = True
            elif kind == b"D" and described:
                rows.append(data_row(payload))
            elif kind != b"C" and kind not in _ASYNCHRONOUS:
                raise MalformedError("content", f"message {kind!r} in the answer to a query")

    def terminate(self) -> None:
        """Announce the end of the session to the server. Never raises WireError."""
        with contextlib.suppress(WireError):
            self.send(framed(b"X", b""))

    def _login_scram(self, password: str) -> None:
        scram = ScramClient(password)
        first = scram.first()
        self.send(framed(b"p", cstring("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
        server_first = self._expect_auth(11)
        with _scram_errors():
            final = scram.final(server_first, self.deadline.remaining())
        self._send_password(final)
        # AuthenticationOk here would skip the server's proof: _expect_auth refuses it.
        server_final = self._expect_auth(12)
        with _scram_errors():
            scram.verify(server_final)
        self._expect_auth(0)

    def _send_password(self, payload: bytes) -> None:
        self.password_sent = True
        self.send(framed(b"p", payload))

    def _expect_auth(self, expected: int) -> bytes:
        kind, payload = self._message()
        if kind != b"R" or len(payload) < 4:
            raise MalformedError("content", f"message {kind!r} in the middle of the login")
        number: int = struct.unpack("!I", payload[:4])[0]
        if number == expected:
            return payload[4:]
        if expected == 12 and number == 0:
            raise ScramError("signature", "the server accepts the login without proving that it knows the password")
        raise MalformedError("content", f"authentication message {number} instead of {expected}")

    def _message(self) -> tuple[bytes, bytes]:
        """The next message that is not a notice: its type and payload. Raises ServerError for an ErrorResponse."""
        while True:
            head = self.take(5)
            kind, length = head[:1], struct.unpack("!i", head[1:])[0]
            if not 4 <= length <= MAX_MESSAGE:
                legal = kind in _LONG_MESSAGES and 4 <= length <= _MAX_LEGAL
                raise MalformedError(
                    "too_long" if legal else "length", f"message {kind!r} claims a length of {length} bytes"
                )
            payload = self.take(length - 4, partial=True)
            if kind == b"E":
                raise ServerError(error_fields(payload))
            if kind != b"N":
                return kind, payload


@contextlib.contextmanager
def _scram_errors() -> Iterator[None]:
    try:
        yield
    except ScramMessageError as exc:
        raise ScramError(exc.kind, str(exc)) from exc


def _required(password: str | None) -> str:
    # libpq treats an empty password as missing.
    if not password:
        raise PasswordNeededError("the server asks for a password")
    return password
