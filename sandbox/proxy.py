# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fronts: TLS, routing, allowlist, and the way to the cluster's SQL.

Order of events and every refusal are CockroachDB Cloud SQL proxy behaviour. The first eight bytes are read from the
bare socket, and not one more, before TLS begins: whatever a client, or somebody on its way, sends in plain text behind
its SSLRequest becomes part of the TLS handshake and fails there, and can never be taken for a decrypted message.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import socket
import ssl
import struct
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional, Protocol

from sandbox import messages, scram, shims
from sandbox.allowlist import Address, Allowlist
from sandbox.errors import ProxyError
from sandbox.listeners import Listener
from sandbox.routing import ClusterIdentifier, route
from sandbox.throttle import Throttle

log = logging.getLogger("sandbox.proxy")

STARTUP_LIMIT = 30.0
"""Seconds from the connection to the end of its startup message; after them it is closed.

Ten were measured to be too few for JVMs on a loaded machine.
"""

SESSION_REVIVAL_TOKEN = "crdb:session_revival_token_base64"  # noqa: S105 - the name of a parameter
_PROXY_PARAMETER_PREFIX = "crdb:"
_CHUNK = 64 * 1024
_LINGER = 1.0
_CLOSE_LIMIT = 2.0
_START = struct.Struct("!II")
_LENGTH = struct.Struct("!I")
_PROTOCOL_MAJOR = 3
_CANCEL_PACKET = 16
_TOO_MANY_CONNECTIONS = "53300"


@dataclass(frozen=True)
class Target:
    """A cluster as a front sees it.

    Args:
        name: of the cluster, for the log.
        socket_path: the unix socket of its engine.
        allowlist: shared with whatever else changes it.
        tenant: its number; ``None`` where there is no routing.
        passwords: of the engine, by user: for clients whose certificate stands in for one.
    """

    name: str
    socket_path: Path
    allowlist: Allowlist
    tenant: Optional[int] = None
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)


class Router(Protocol):
    """Decides which cluster a connection goes to."""

    @property
    def refuses_in_words(self) -> bool:
        """Whether a client outside the allowlist is told so, or gets no answer at all."""

    @property
    def targets(self) -> Sequence[Target]:
        """All clusters that it knows."""

    def resolve(self, parameters: dict[str, str], server_name: Optional[str]) -> tuple[Target, dict[str, str]]:
        """The cluster, and the startup parameters to send on.

        Raises:
            ProxyError: none is meant, or one that does not exist.
        """


class RoutingProxy:
    """Serverless: one port for all clusters, the client names the one that it means."""

    refuses_in_words = True

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = tuple(targets)
        self._targets = {target.tenant: target for target in targets}

    def resolve(self, parameters: dict[str, str], server_name: Optional[str]) -> tuple[Target, dict[str, str]]:
        """See `Router`. The tenant's number finds the cluster; the name must then be the right one."""
        found = route(parameters, server_name)
        target = self._targets.get(found.identifier.tenant)
        if target is None or ClusterIdentifier(target.name, target.tenant or 0) != found.identifier:
            raise ProxyError("codeParamsRoutingFailed", f"cluster {found.identifier} not found")
        return target, found.parameters


class SingleCluster:
    """Dedicated: the port belongs to one cluster; networks outside its allowlist cannot reach it."""

    refuses_in_words = False

    def __init__(self, target: Target) -> None:
        self.targets = (target,)

    def resolve(self, parameters: dict[str, str], server_name: Optional[str]) -> tuple[Target, dict[str, str]]:
        """See `Router`. Nothing to decide."""
        return self.targets[0], dict(parameters)


@dataclass(frozen=True)
class LiveConnection:
    """An authenticated connection.

    Args:
        cluster: its name.
        address: the client's, as it appears.
        abort: cuts it at once, without a word to either side.
    """

    cluster: str
    address: Address
    abort: Callable[[], None]


@dataclass(frozen=True)
class _CancelKey:
    target: Target
    address: Address
    backend_key: bytes


class _Gone(Exception):  # noqa: N818 - no error: the client has left or has been served
    """Nothing is left to be said to this client."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class NotUnderstoodError(ProxyError):
    """A failure of which the real proxy keeps the reason to itself."""

    def __init__(self) -> None:
        super().__init__(None, "")


class CertificateRefusedError(ProxyError):
    """A client whose certificate is another user's; worded as CockroachDB does."""

    SQLSTATE = "28000"

    def __init__(self, user: str, owner: str) -> None:
        text = f'certificate authentication failed for user "{user}"'
        super().__init__(None, text, f"The certificate is for {owner}.")


class _Event:
    """The one line of the log that a connection leaves: the first thing worth telling that happened to it."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._told = False
        self.cluster = "-"

    def happened(self, outcome: str) -> None:
        if not self._told:
            self._told = True
            # Quoted: part of some outcomes is what a client wrote.
            log.info("%s %s %r", self._where, self.cluster, outcome)


class _Streams:
    """A reader and its writer, closed together."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def close(self) -> None:
        self.writer.close()
        try:
            await asyncio.wait_for(self.writer.wait_closed(), _CLOSE_LIMIT)
        except asyncio.TimeoutError:
            self.writer.transport.abort()
        except OSError:
            pass  # the other side was faster


@dataclass
class _Port:
    name: str
    address: Address
    context: ssl.SSLContext
    listener: Listener = field(init=False)


class Front:
    """One TLS end point with its listeners.

    Args:
        name: for the log.
        router: decides where connections go.
        throttle: its patience with wrong passwords; default endless.
    """

    def __init__(self, name: str, router: Router, throttle: Optional[Throttle] = None) -> None:
        self.name = name
        self.router = router
        self._throttle = throttle or Throttle(0)
        self.live: set[LiveConnection] = set()
        """The connections that are authenticated, for those who want to count or cut them."""
        self._ports: list[_Port] = []
        self._cancel_keys: dict[bytes, _CancelKey] = {}
        self._server_names: weakref.WeakKeyDictionary[ssl.SSLObject, str] = weakref.WeakKeyDictionary()
        for target in router.targets:
            target.allowlist.subscribe(self.cut_unlisted)

    def listen(
        self,
        name: str,
        appears_as: str,
        certificate: Path,
        key: Path,
        sockets: Sequence[socket.socket],
        client_ca: Optional[Path] = None,
    ) -> Listener:
        """Serve a port.

        Args:
            name: for the log.
            appears_as: the address that its clients appear to have.
            certificate: PEM, with its private key in ``key``.
            sockets: bound, not listening yet.
            client_ca: ask clients for a certificate of this CA; one of another is refused in the handshake.

        Raises:
            OSError: the certificate cannot be loaded.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        context.sni_callback = self._remember_server_name
        if client_ca is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(client_ca)
        port = _Port(name, ipaddress.ip_address(appears_as), context)

        async def handle(sock: socket.socket) -> None:
            await self._handle(port, sock)

        port.listener = Listener(sockets, handle)
        self._ports.append(port)
        for target in self.router.targets:
            target.allowlist.subscribe(lambda: self._apply_allowlist(port))
        self._apply_allowlist(port)
        return port.listener

    def cut_unlisted(self) -> None:
        """Cut the connections whose address has left its cluster's allowlist, without a word as the service does."""
        allowlists = {target.name: target.allowlist for target in self.router.targets}
        for connection in tuple(self.live):
            if not allowlists[connection.cluster].permits_sql(connection.address):
                log.info("%s %s %s cut: left the allowlist", self.name, connection.address, connection.cluster)
                connection.abort()

    async def close(self) -> None:
        """Close the ports and cut every connection."""
        for connection in self.live:
            connection.abort()
        await asyncio.gather(*(port.listener.close() for port in self._ports))

    def _apply_allowlist(self, port: _Port) -> None:
        port.listener.set_reachable(
            self.router.refuses_in_words
            or any(target.allowlist.permits_sql(port.address) for target in self.router.targets)
        )

    def _remember_server_name(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: Optional[str], context: ssl.SSLContext
    ) -> None:
        if name is not None and isinstance(connection, ssl.SSLObject):
            self._server_names[connection] = name

    async def _handle(self, port: _Port, sock: socket.socket) -> None:
        """Serve one connection from its first byte to its last."""
        event = _Event(f"{self.name}/{port.name} {port.address}")
        try:
            async with asyncio.timeout(STARTUP_LIMIT) as limit:
                streams = await self._encrypt(port, sock)
                try:
                    protocol, received = await self._read_startup(port, streams.reader)
                    limit.reschedule(None)
                    target, parameters = self.router.resolve(received, self._server_name(streams))
                    event.cluster = target.name
                    self._check_allowlist(target, port)
                    self._check_throttle(target, port)
                    await self._serve(port, target, streams, startup=(protocol, parameters), event=event)
                except ProxyError as error:
                    event.happened(error.message or "not understood")
                    await streams.send(_error_response(error))
                except (_Gone, OSError):
                    raise
                except Exception:
                    log.exception("a fault of the sandbox")
                    event.happened("internal server error")
                    await streams.send(_error_response(ProxyError(None, "internal server error")))
                finally:
                    await streams.close()
        except _Gone as gone:
            event.happened(gone.outcome)
        except asyncio.TimeoutError:
            event.happened("startup timed out")
        except ssl.SSLError as error:
            event.happened(f"TLS failed: {error.reason}")
        except OSError as error:
            event.happened(f"connection lost: {error.strerror or type(error).__name__}")

    async def _encrypt(self, port: _Port, sock: socket.socket) -> _Streams:
        """Wait for the SSLRequest on the bare socket, and take it over into TLS."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        try:
            await self._expect_ssl_request(port, sock)
            reader = asyncio.StreamReader(limit=_CHUNK, loop=loop)
            transport, protocol = await loop.connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader, loop=loop),
                sock,
                ssl=port.context,
                ssl_handshake_timeout=STARTUP_LIMIT,
                ssl_shutdown_timeout=_CLOSE_LIMIT,
            )
        except BaseException:
            sock.close()
            raise
        return _Streams(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def _expect_ssl_request(self, port: _Port, sock: socket.socket) -> None:
        start = await _receive(sock, _START.size)
        if not start:
            raise _Gone("closed without a word")
        if len(start) == _START.size:
            length, code = _START.unpack(start)
            if code == messages.SSL_REQUEST and length == _START.size:
                await asyncio.get_running_loop().sock_sendall(sock, b"S")
                return
            if code == messages.CANCEL_REQUEST and length == _CANCEL_PACKET:
                key = await _receive(sock, _CANCEL_PACKET - _START.size)
                sock.close()
                raise _Gone(await self._cancel(key, port.address))
            understood = _START.size <= length <= messages.MAX_STARTUP_PACKET
        else:
            understood = False
        # A direct TLS handshake ends up here too: its first bytes make an impossible length.
        refusal = ProxyError(None, "server requires encryption") if understood else NotUnderstoodError()
        await _refuse_in_plain_text(sock, refusal)
        raise _Gone(refusal.message or "not understood")

    async def _read_startup(self, port: _Port, reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
        try:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if not _START.size <= length <= messages.MAX_STARTUP_PACKET:
                raise NotUnderstoodError
            packet = await reader.readexactly(length - _LENGTH.size)
        except asyncio.IncompleteReadError as error:
            raise _Gone("closed before its startup message") from error
        (code,) = _LENGTH.unpack_from(packet)
        payload = packet[_LENGTH.size :]
        if code == messages.CANCEL_REQUEST:
            raise _Gone(await self._cancel(payload, port.address))
        if code >> 16 != _PROTOCOL_MAJOR:
            raise NotUnderstoodError
        try:
            parameters = messages.parse_startup_parameters(payload)
        except messages.MalformedMessage:
            raise NotUnderstoodError from None
        if SESSION_REVIVAL_TOKEN in parameters:
            raise NotUnderstoodError
        return code, parameters

    def _server_name(self, streams: _Streams) -> Optional[str]:
        return self._server_names.get(streams.writer.get_extra_info("ssl_object"))

    def _check_allowlist(self, target: Target, port: _Port) -> None:
        if target.allowlist.permits_sql(port.address):
            return
        if self.router.refuses_in_words:
            raise ProxyError("codeProxyRefusedConnection", "connection refused")
        raise _Gone("left the allowlist")

    def _check_throttle(self, target: Target, port: _Port) -> None:
        if self.router.refuses_in_words and self._throttle.refuses(port.address, target.name):
            raise ProxyError(
                "codeProxyRefusedConnection",
                "too many failed authentication attempts",
                "authentication failed repeatedly: check the username and the password",
            )

    async def _serve(
        self, port: _Port, target: Target, client: _Streams, startup: tuple[int, dict[str, str]], event: _Event
    ) -> None:
        """Authenticate by the cluster's own word, then forward both ways until one side leaves."""
        password = _certified(target, client, startup[1].get("user", ""))
        try:
            server = _Streams(*await asyncio.open_unix_connection(target.socket_path, limit=_CHUNK))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ProxyError("codeBackendDialFailed", f"unable to reach backend SQL server: {reason}") from error
        protocol, parameters = startup
        live = LiveConnection(target.name, port.address, client.writer.transport.abort)
        with contextlib.ExitStack() as at_end:
            authentication = messages.AuthenticationStream(
                lambda key: at_end.enter_context(self._cancel_key(_CancelKey(target, port.address, key)))
            )

            def from_server(data: bytes) -> bytes:
                pending = not authentication.authenticated
                sent = authentication.feed(data)
                if pending and authentication.authenticated:
                    event.happened("authenticated")
                    self._throttle.succeeded(port.address, target.name)
                    self.live.add(live)
                    at_end.callback(self.live.discard, live)
                elif authentication.sqlstate is not None:
                    event.happened(f"refused by the cluster: {authentication.sqlstate}")
                return sent

            try:
                await server.send(messages.startup_message(protocol, _forwarded(parameters)))
                if password is not None:
                    decided = await scram.log_in(server.reader, server.writer, password)
                    await client.send(from_server(decided))
                await _forward(client, server, messages.FrontendStream(shims.rewrite_statement).feed, from_server)
            finally:
                await server.close()
            if not authentication.authenticated and authentication.sqlstate not in (None, _TOO_MANY_CONNECTIONS):
                self._throttle.failed(port.address, target.name)
        event.happened("left while authenticating")

    @contextlib.contextmanager
    def _cancel_key(self, key: _CancelKey) -> Iterator[bytes]:
        """A key of our own in place of the server's, valid as long as the connection."""
        # The process id is the proxy's IPv4 address: CockroachDB Cloud SQL proxy behaviour.
        own = ipaddress.IPv4Address("127.0.0.1").packed + secrets.token_bytes(4)
        self._cancel_keys[own] = key
        try:
            yield own
        finally:
            del self._cancel_keys[own]

    async def _cancel(self, own: bytes, address: Address) -> str:
        """Pass a CancelRequest on if its key is known and comes from where the key went. Never answered."""
        key = self._cancel_keys.get(own)
        if key is None or key.address != address:
            return "cancel request with an unknown key"
        server = _Streams(*await asyncio.open_unix_connection(key.target.socket_path))
        try:
            await server.send(messages.start_packet(messages.CANCEL_REQUEST, key.backend_key))
            await server.reader.read()
        finally:
            await server.close()
        return "cancel request"


def _certified(target: Target, client: _Streams, user: str) -> Optional[str]:
    """The engine's password of a user whose certificate the client showed; ``None`` when it showed none."""
    certificate = client.writer.get_extra_info("peercert")
    if not certificate:
        return None
    names = {name: value for part in certificate["subject"] for name, value in part}
    owner = names.get("commonName", "")
    # SQL user names fold.
    if owner.lower() != user.lower() or owner not in target.passwords:
        raise CertificateRefusedError(user, owner)
    return target.passwords[owner]


def _forwarded(parameters: Mapping[str, str]) -> dict[str, str]:
    own = {key: value for key, value in parameters.items() if not key.startswith(_PROXY_PARAMETER_PREFIX)}
    return shims.strip_cockroach_settings(own)


async def _forward(
    client: _Streams,
    server: _Streams,
    from_client: Callable[[bytes], bytes],
    from_server: Callable[[bytes], bytes],
) -> None:
    async def pump(source: _Streams, sink: _Streams, transform: Callable[[bytes], bytes]) -> None:
        while data := await source.reader.read(_CHUNK):
            await sink.send(transform(data))

    pumps = [
        asyncio.create_task(pump(client, server, from_client)),
        asyncio.create_task(pump(server, client, from_server)),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in pumps:
            task.cancel()
        # A connection that breaks is how connections end; whoever is left is closed by the caller.
        await asyncio.gather(*pumps, return_exceptions=True)


async def _receive(sock: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes, or fewer if the peer ends."""
    loop = asyncio.get_running_loop()
    received = b""
    while len(received) < size:
        data = await loop.sock_recv(sock, size - len(received))
        if not data:
            break
        received += data
    return received


def _error_response(error: ProxyError) -> bytes:
    return messages.error_response(error.SEVERITY, error.SQLSTATE, error.message, error.hint)


async def _refuse_in_plain_text(sock: socket.socket, error: ProxyError) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _error_response(error))
    # Closing with bytes unread would reset the connection and might take the answer with it.
    sock.shutdown(socket.SHUT_WR)
    with contextlib.suppress(asyncio.TimeoutError):
        async with asyncio.timeout(_LINGER):
            while await loop.sock_recv(sock, _CHUNK):
                pass
