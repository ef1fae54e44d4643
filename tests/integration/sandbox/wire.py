# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A PostgreSQL client that sends any bytes. It shares no code with the sandbox."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from pathlib import Path
from types import TracebackType
from typing import Optional

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSSENC_REQUEST = struct.pack("!ii", 8, 80877104)
PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = 3 << 16 | 2
PATIENCE = 20.0


def startup(parameters: dict[str, str], protocol: int = PROTOCOL_3_0) -> bytes:
    """A StartupMessage."""
    body = b"".join(key.encode() + b"\0" + value.encode() + b"\0" for key, value in parameters.items()) + b"\0"
    return struct.pack("!ii", len(body) + 8, protocol) + body


def cancel_request(key: bytes) -> bytes:
    """A CancelRequest for the key of a BackendKeyData message."""
    return struct.pack("!ii", len(key) + 8, 80877102) + key


def query(text: str) -> bytes:
    """A simple Query."""
    return framed(b"Q", text.encode() + b"\0")


def framed(kind: bytes, payload: bytes) -> bytes:
    """Any message with a type."""
    return kind + struct.pack("!i", len(payload) + 4) + payload


class RawClient:
    """A connection that is unencrypted until `encrypt`.

    Args:
        port: on loopback.
        host: which loopback address.
        timeout: of each operation, seconds.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", timeout: float = PATIENCE) -> None:
        self._socket = socket.create_connection((host, port), timeout)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes unchanged."""
        self._socket.sendall(data)

    def end(self) -> None:
        """Close the sending direction; only for an unencrypted connection."""
        self._socket.shutdown(socket.SHUT_WR)

    def receive(self, size: int) -> bytes:
        """Exactly this many bytes, or fewer at the end of the stream."""
        received = b""
        while len(received) < size:
            data = self._socket.recv(size - len(received))
            if not data:
                break
            received += data
        return received

    def rest(self) -> bytes:
        """All bytes until the other side closes or resets the connection."""
        received = b""
        with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
            while data := self._socket.recv(65536):
                received += data
        return received

    def handshake(self, server_name: Optional[str], ca_file: Path, maximum: Optional[ssl.TLSVersion] = None) -> str:
        """Perform the TLS handshake and return the TLS version. Verifies the chain, but not the host name."""
        context = ssl.create_default_context(cafile=str(ca_file))
        context.check_hostname = False
        if maximum is not None:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = maximum
            context.set_ciphers("ALL:@SECLEVEL=0")
        encrypted = context.wrap_socket(self._socket, server_hostname=server_name)
        self._socket = encrypted
        return str(encrypted.version())

    def encrypt(self, server_name: Optional[str], ca_file: Path) -> RawClient:
        """SSLRequest, its answer, and TLS."""
        self.send(SSL_REQUEST)
        assert self.receive(1) == b"S"
        self.handshake(server_name, ca_file)
        return self

    def message(self) -> tuple[bytes, bytes]:
        """The next message: type and payload; two empty strings at the end of the stream."""
        header = self.receive(5)
        if len(header) < 5:
            return b"", b""
        return header[:1], self.receive(struct.unpack("!i", header[1:])[0] - 4)

    def messages_to(self, last: bytes) -> list[tuple[bytes, bytes]]:
        """The messages up to the first of the type ``last``."""
        found = []
        while True:
            found.append(self.message())
            assert found[-1][0], f"the stream ended before {last!r}: {found}"
            if found[-1][0] == last:
                return found

    def refusal(self) -> dict[str, str]:
        """The fields of the ErrorResponse, which must be the next and the last message."""
        kind, payload = self.message()
        assert kind == b"E"
        assert self.rest() == b""
        return error_fields(payload)


def error_fields(payload: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse."""
    return {chr(part[0]): part[1:].decode() for part in payload.split(b"\0") if part}
