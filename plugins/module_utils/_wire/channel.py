# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of a session: a socket, the request for TLS, the handshake, and reads that are bounded in time and size.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

from ansible_collections.crdb.onboard.plugins.module_utils._wire import chain_rules, x509
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import (
    ClosedError,
    MalformedError,
    NetworkLostError,
    NotPostgresError,
    PlaintextInjectedError,
    ServerError,
    TimedOutError,
    TlsError,
    TlsNotOfferedError,
    WireError,
    WrongNameError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.messages import SSL_REQUEST, plain_error, server_kind
from ansible_collections.crdb.onboard.plugins.module_utils._wire.tls import certificates_in_clear

MAX_RECEIVED = 1024 * 1024
_CHUNK = 16 * 1024
# The first bytes of a peer that is not PostgreSQL: enough to recognize an HTTP, SSH or mail server.
_BANNER_BYTES = 512
_BANNER_SECONDS = 0.3
# The server's certificates are among its first bytes.
_HANDSHAKE_BYTES = 64 * 1024


class Channel:
    """A connected socket: unencrypted at first, and then under TLS.

    `deadline` bounds every method and may be replaced between calls. `max_received` bounds the bytes of the whole
    session, and may be raised once the peer is verified. Nothing is retried.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._socket = sock
        self.deadline = deadline
        self.max_received = MAX_RECEIVED
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._buffer = bytearray()
        self._received = 0
        self._first_tls_bytes = b""
        self._handshake = bytearray()
        self._cut = False

    def close(self) -> None:
        """Close the socket. Never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def request_tls(self) -> None:
        """Send the SSLRequest and read the single byte that answers it.

        Raises TlsNotOfferedError, NotPostgresError, PlaintextInjectedError, ServerError, TimedOutError, ClosedError,
        NetworkLostError.
        """
        self._send_raw(SSL_REQUEST)
        reply = self._receive_raw()
        if reply == b"S":
            return
        if reply == b"N":
            raise TlsNotOfferedError("the server answers N to the SSLRequest")
        reply += self._linger(reply)
        if reply[:1] == b"E":
            fields = plain_error(reply)
            if fields is not None:
                raise ServerError(fields)
        if reply[:1] == b"S" and not _is_other_server(reply):
            raise PlaintextInjectedError(reply)
        raise NotPostgresError(reply)

    def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Perform the TLS handshake, with SNI unless the name is an IP address. Verify chain and name as libpq does.

        A context that does not verify the chain does not verify the name either. Raises TlsError, WrongNameError,
        NotPostgresError (the peer greets instead of starting TLS), MalformedError, TimedOutError, ClosedError,
        NetworkLostError.
        """
        self._shake_hands(context, server_hostname)
        if context.verify_mode == ssl.CERT_NONE:
            return
        # Only the certificate that OpenSSL verified counts, not what was captured from the unencrypted handshake.
        leaf = x509.read_all([self._own_certificate()])
        if not leaf:
            raise MalformedError("content", "the server's certificate cannot be read")
        if not chain_rules.matches_host(leaf[0], server_hostname):
            raise WrongNameError("the certificate is for another name")

    def tls_facts(self) -> tuple[str, str]:
        """The TLS version and the cipher; empty texts before the handshake."""
        if self._tls is None:
            return "", ""
        cipher = self._tls.cipher()
        return self._tls.version() or "", cipher[0] if cipher else ""

    def application_protocol(self) -> str:
        """The protocol that the server chose in the handshake (ALPN); empty if none."""
        return (self._tls.selected_alpn_protocol() if self._tls is not None else None) or ""

    def peer_chain(self) -> list[bytes]:
        """The certificates that the server presented, in DER, its own first.

        All of them with Python 3.13 or newer, or if they were sent unencrypted, even if the handshake failed;
        otherwise only the first.
        """
        if self._tls is None:
            return []
        own = self._own_certificate()
        unverified = getattr(self._tls, "get_unverified_chain", None)
        chain: list[bytes] = list(unverified() or ()) if unverified is not None else []
        chain = chain or certificates_in_clear(bytes(self._handshake))
        if own and chain[:1] != [own]:
            return [own]
        return chain

    def send(self, data: bytes) -> None:
        """Send all bytes, encrypted after start_tls. Raises TlsError, TimedOutError, NetworkLostError."""
        if self._tls is None:
            self._send_raw(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as exc:
            raise TlsError(exc) from exc
        self._flush()

    def take(self, count: int, *, partial: bool = False) -> bytes:
        """Exactly `count` bytes. `partial`: they belong to a message that has begun. Raises TimedOutError, ClosedError,
        NetworkLostError, TlsError, MalformedError."""
        while len(self._buffer) < count:
            try:
                chunk = self._read()
            except ClosedError as exc:
                exc.partial = partial or bool(self._buffer)
                raise
            self._buffer += chunk
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _shake_hands(self, context: ssl.SSLContext, server_hostname: str) -> None:
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        except (ssl.SSLError, ValueError) as exc:
            error = exc if isinstance(exc, ssl.SSLError) else ssl.SSLError(str(exc))
            raise TlsError(error) from exc
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                self._feed_tls()
            except ssl.SSLEOFError as exc:
                raise ClosedError("the connection ended in the TLS handshake") from exc
            except ssl.SSLError as exc:
                with contextlib.suppress(WireError):
                    # The alert records the reason in the server's log.
                    self._flush()
                if _is_other_server(b"S" + self._first_tls_bytes):
                    raise NotPostgresError(b"S" + self._first_tls_bytes) from exc
                raise TlsError(exc) from exc

    def _own_certificate(self) -> bytes:
        """The certificate whose key the server proved to have, in DER; empty before the handshake is complete."""
        with contextlib.suppress(ValueError):
            return (self._tls.getpeercert(True) if self._tls is not None else None) or b""
        return b""

    def _read(self) -> bytes:
        if self._tls is None:
            return self._receive_raw()
        while True:
            try:
                data = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                self._flush()
                self._feed_tls()
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError) as exc:
                raise ClosedError("the connection ended") from exc
            except ssl.SSLError as exc:
                raise TlsError(exc) from exc
            if not data:
                raise ClosedError("the connection ended")
            return data

    def _feed_tls(self) -> None:
        try:
            data = self._receive_raw()
        except ClosedError as exc:
            if exc.reset:
                raise
            self._incoming.write_eof()
            return
        if len(self._first_tls_bytes) < _BANNER_BYTES:
            self._first_tls_bytes += data[:_BANNER_BYTES]
        if len(self._handshake) < _HANDSHAKE_BYTES:
            self._handshake += data
        self._incoming.write(data)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._send_raw(data)

    def _wait(self) -> None:
        left = self.deadline.remaining()
        if not left:
            raise TimedOutError("no answer before the deadline")
        self._socket.settimeout(left)

    def _send_raw(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._wait()
            try:
                with _network_errors():
                    view = view[self._socket.send(view) :]
            except ClosedError:
                # The server may have sent the reason before it closed: the next read returns it, or fails.
                self._cut = True
                return

    def _receive_raw(self) -> bytes:
        self._wait()
        with _network_errors():
            data = self._socket.recv(_CHUNK)
        if not data:
            raise ClosedError("the connection ended", reset=self._cut)
        self._received += len(data)
        if self._received > self.max_received:
            raise MalformedError("endless", f"more than {self.max_received} bytes")
        return data

    def _linger(self, reply: bytes) -> bytes:
        """The rest of an unexpected first answer, as far as it arrives at once."""
        before, self.deadline = self.deadline, self.deadline.within(_BANNER_SECONDS)
        rest = b""
        try:
            while len(reply) + len(rest) < _BANNER_BYTES:
                rest += self._receive_raw()
        except WireError:
            pass
        finally:
            self.deadline = before
        return rest


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    try:
        yield
    except socket.timeout as exc:
        raise TimedOutError("no answer before the deadline") from exc
    except (ConnectionResetError, BrokenPipeError, ConnectionAbortedError) as exc:
        raise ClosedError("the connection was reset", reset=True) from exc
    except OSError as exc:
        raise NetworkLostError(exc.strerror or "network error", exc.errno or 0) from exc


def _is_other_server(banner: bytes) -> bool:
    return server_kind(banner) is not None
