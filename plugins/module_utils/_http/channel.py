# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection whose every read and write ends at the deadline of the exchange, with TLS or without.

A socket's own timeout bounds one read: a server that sends a byte now and then is never late. So the timeout is set to
the time that is left before each read of the socket. The libraries above http.client (urllib3, requests) read headers
from a socket that they do not hand out, so they cannot be bounded this way.
Looking up a name is bounded by the resolver of the system alone.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import time
from functools import partial
from typing import Any, Callable, Optional, Protocol

from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import (
    ConnectError,
    HttpError,
    TimedOutError,
    TooLargeError,
)

HEADER_LIMIT = 64 * 1024
_BLOCK = 64 * 1024
_LONGEST = 3600.0


class Deadline:
    """The moment at which an exchange must be over.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Begin to count again."""
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """The seconds that are left, for a socket. Raises TimedOutError when there are none."""
        left = self._end - time.monotonic()
        # Not a number is not greater, either.
        if not left > 0:
            raise self.error()
        return min(left, _LONGEST)

    def error(self) -> TimedOutError:
        """What to raise when it is over."""
        return TimedOutError(f"no complete response within {self.seconds:g} s")


class Channel(Protocol):
    """Bytes to a server and from it."""

    ragged: bool
    """Whether the server ended TLS without saying so, as when somebody else cut the connection."""

    def receive(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""

    def send(self, data: bytes) -> None:
        """Send all of the data."""

    def is_idle(self) -> bool:
        """Whether the connection is open and nothing waits to be read."""

    def close(self) -> None:
        """Close the connection."""


class TcpChannel:
    """A connection over TCP.

    Args:
        host: name or address.
        port: number.
        deadline: of each exchange.
        family: AF_INET for IPv4 only.
    """

    ragged = False

    def __init__(self, host: str, port: int, deadline: Deadline, family: int = socket.AF_UNSPEC) -> None:
        self._deadline = deadline
        self._socket = self._connect(host, port, family)

    def _connect(self, host: str, port: int, family: int) -> socket.socket:
        addresses = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        error: Optional[OSError] = None
        for number, (kind, type_, protocol, _name, address) in enumerate(addresses):
            sock = socket.socket(kind, type_, protocol)
            try:
                # One address that does not answer must leave time for the others.
                sock.settimeout(self._deadline.left() / (len(addresses) - number))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except OSError as exc:
                sock.close()
                error = exc
            except BaseException:
                sock.close()
                raise
        if isinstance(error, socket.timeout):
            raise self._deadline.error()
        raise error or ConnectError("the name has no address")

    def _timed(self, work: Callable[[], Any]) -> Any:
        self._socket.settimeout(self._deadline.left())
        try:
            return work()
        except socket.timeout:
            raise self._deadline.error() from None

    def receive(self, size: int) -> bytes:
        data: bytes = self._timed(partial(self._socket.recv, size))
        return data

    def send(self, data: bytes) -> None:
        # The timeout of sendall is one for all of the data.
        self._timed(partial(self._socket.sendall, data))

    def is_idle(self) -> bool:
        try:
            self._socket.setblocking(False)
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        self._socket.close()


class TlsChannel:
    """TLS over another channel, which may be TLS to a proxy. Raises ssl.SSLError.

    Args:
        inner: carries the bytes.
        context: verifies the server.
        host: the server's name or address.
    """

    def __init__(self, inner: Channel, context: ssl.SSLContext, host: str) -> None:
        self.ragged = False
        self._inner = inner
        self._inner_ended = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._run(self._tls.do_handshake)

    def _run(self, work: Callable[[], Any]) -> Any:
        while True:
            try:
                result = work()
            except ssl.SSLWantReadError:
                self._flush()
                data = self._inner.receive(_BLOCK)
                if data:
                    self._incoming.write(data)
                else:
                    self._inner_ended = True
                    self._incoming.write_eof()
            except ssl.SSLError:
                # An alert tells the server why. What is wrong matters more than whether the alert arrives.
                with contextlib.suppress(OSError, HttpError):
                    self._flush()
                raise
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._inner.send(data)

    def receive(self, size: int) -> bytes:
        try:
            data: bytes = self._run(partial(self._tls.read, size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            data = b""
        # Python 3.9 tells OpenSSL to ignore a missing end of TLS. With an end, nothing more was read from below.
        self.ragged = not data and self._inner_ended
        return data

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._run(partial(self._tls.write, view)) :]

    def is_idle(self) -> bool:
        return not self._tls.pending() and not self._incoming.pending and self._inner.is_idle()

    def close(self) -> None:
        self._inner.close()


class _Reader(io.RawIOBase):
    """The file that http.client reads a response from; `budget` bounds the bytes of the header."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.budget: Optional[int] = HEADER_LIMIT

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._channel.receive(len(buffer))
        if self.budget is not None:
            self.budget -= len(data)
            if self.budget < 0:
                raise TooLargeError(f"the header has more than {HEADER_LIMIT} bytes")
        buffer[: len(data)] = data
        return len(data)


class HttpSocket:
    """What http.client uses of a socket, over a channel. The channel outlives it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._reader = _Reader(channel)

    def makefile(self, _mode: str, *_buffering: Any) -> io.BufferedReader:
        """The file to read responses from."""
        return io.BufferedReader(self._reader)

    def sendall(self, data: bytes) -> None:
        """Send all of the data."""
        self._channel.send(data)

    def header_is_read(self) -> None:
        """Stop counting: the body has a limit of its own."""
        self._reader.budget = None

    def close(self) -> None:
        """Nothing: whoever opened the channel closes it."""
