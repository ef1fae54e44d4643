# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fronts: TLS, routing, the allowlist, and forwarding to the cluster's engine.

The order of events and every refusal are those of the CockroachDB Cloud SQL proxy. Exactly eight bytes are read from
the socket before TLS begins. Unencrypted bytes after an SSLRequest, sent by the client or injected by somebody else,
become part of the TLS handshake and fail there. They can never be mistaken for a decrypted message.
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
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional, Protocol

from sandbox import messages, scram, shims, tokens
from sandbox.allowlist import Address, Allowlist
from sandbox.engine import NOWHERE
from sandbox.errors import ProxyError
from sandbox.listeners import Listener
from sandbox.routing import ClusterIdentifier, route
from sandbox.statements import fold
from sandbox.throttle import Throttle

log = logging.getLogger("sandbox.proxy")

STARTUP_LIMIT = 30.0
"""Seconds from the connection to the end of the startup message; then the front closes the connection.

Ten seconds were too few for JVMs on a loaded machine (measured).
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
_CLEARTEXT_PASSWORD = 3
_PASSWORD_HEAD = struct.Struct("!cI")
_LONGEST_TOKEN = 64 * 1024
_NO_DATABASE = "3D000"
# Without a SQLSTATE the client left; too many connections; the database was dropped a moment ago.
_NO_FAILED_LOGIN = (None, "53300", _NO_DATABASE)


@dataclass(frozen=True)
class Target:
    """A cluster, as a front needs it.

    Args:
        name: the cluster's name, for the log.
        socket_path: the unix socket of the cluster's engine.
        allowlist: the cluster's allowlist, which others may change.
        tenant: the tenant number; ``None`` without routing.
        passwords: the engine's passwords by user, for clients that log in with a certificate or a token.
        tokens: the settings of logins by token, read for each of them; ``None`` for a cluster that knows no tokens.
        has_database: whether the cluster has a database of this name. It is called in a thread.
    """

    name: str
    socket_path: Path
    allowlist: Allowlist
    tenant: Optional[int] = None
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    has_database: Callable[[str], bool] = lambda _name: True
    tokens: Optional[Callable[[], tokens.Settings]] = None


class Router(Protocol):
    """Decides which cluster receives a connection."""

    @property
    def answers_unlisted(self) -> bool:
        """Whether a client outside the allowlist receives an error, or no answer at all."""

    @property
    def targets(self) -> Sequence[Target]:
        """All clusters behind the front."""

    def resolve(self, parameters: dict[str, str], server_name: Optional[str]) -> tuple[Target, dict[str, str]]:
        """The cluster, and the startup parameters to forward.

        Raises:
            ProxyError: the client does not name a cluster, or the cluster does not exist.
        """


class RoutingProxy:
    """Serverless: all clusters share a port, and the client names its cluster."""

    answers_unlisted = True

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = tuple(targets)
        self._targets = {target.tenant: target for target in targets}

    def resolve(self, parameters: dict[str, str], server_name: Optional[str]) -> tuple[Target, dict[str, str]]:
        """See `Router`. The tenant number selects the cluster, and the name must match it."""
        named = route(parameters, server_name)
        target = self._targets.get(named.identifier.tenant)
        if target is None or ClusterIdentifier(target.name, target.tenant or 0) != named.identifier:
            raise ProxyError("codeParamsRoutingFailed", f"cluster {named.identifier} not found")
        return target, named.parameters


class SingleCluster:
    """Dedicated and self-hosted: a port belongs to a cluster, and networks outside its allowlist cannot reach it."""

    answers_unlisted = False

    def __init__(self, target: Target) -> None:
        self.targets = (target,)

    def resolve(self, parameters: dict[str, str], server_name: Optional[str]) -> tuple[Target, dict[str, str]]:
        """See `Router`. There is only one cluster."""
        return self.targets[0], dict(parameters)


@dataclass(frozen=True)
class LiveConnection:
    """An authenticated connection.

    Args:
        cluster: the cluster's name.
        address: the address that the client appears to have.
        abort: cuts the connection at once, without a message to either side.
    """

    cluster: str
    address: Address
    abort: Callable[[], None]


@dataclass(frozen=True)
class _CancelKey:
    target: Target
    address: Address
    backend_key: bytes


class _ConnectionOverError(Exception):
    """There is nothing left to send: the client has left, or was served. `outcome` goes into the log."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class NotUnderstoodError(ProxyError):
    """A failure whose reason the real proxy does not tell the client."""

    def __init__(self) -> None:
        super().__init__(None, "")


class NodeError(ProxyError):
    """A node refuses the connection itself, where no proxy stands in front of it. The wording is CockroachDB's."""

    SQLSTATE = "08P01"

    def __init__(self, text: str) -> None:
        super().__init__(None, text)


class CertificateRefusedError(ProxyError):
    """The client's certificate belongs to another user. The wording is CockroachDB's."""

    SQLSTATE = "28000"

    def __init__(self, user: str, owner: str) -> None:
        text = f'certificate authentication failed for user "{user}"'
        super().__init__(None, text, f"The certificate is for {owner}.")


class _Event:
    """The log line of a connection: only its first outcome is recorded."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._recorded = False
        self.cluster = "-"

    def record(self, outcome: str) -> None:
        if not self._recorded:
            self._recorded = True
            # Quoted, because some outcomes contain text from the client.
            log.info("%s %s %r", self._where, self.cluster, outcome)


class _Streams:
    """A reader and its writer, which are closed together."""

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
            pass  # the other side closed first


@dataclass
class _Port:
    name: str
    address: Address
    certificate: Path
    key: Path
    context: ssl.SSLContext = field(init=False)
    listener: Listener = field(init=False)


class Front:
    """A TLS endpoint with its listeners.

    Args:
        name: for the log.
        router: decides which cluster receives a connection.
        throttle: refuses addresses after wrong passwords; by default never.
    """

    def __init__(self, name: str, router: Router, throttle: Optional[Throttle] = None) -> None:
        self.name = name
        self.router = router
        self._throttle = throttle or Throttle(0)
        self.live: set[LiveConnection] = set()
        """The authenticated connections, so that they can be counted and cut."""
        self._ports: list[_Port] = []
        self._cancel_keys: dict[bytes, _CancelKey] = {}
        self._databases: set[tuple[str, str]] = set()
        """Those that were found to exist, by cluster."""
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
            appears_as: the address that the clients of this port appear to have.
            certificate: a PEM file, with its private key in ``key``.
            sockets: bound sockets that do not listen yet.
            client_ca: ask clients for a certificate of this CA. The handshake refuses one of another CA.

        Raises:
            OSError: the certificate cannot be loaded.
        """
        port = _Port(name, ipaddress.ip_address(appears_as), certificate, key)
        port.context = self._context(port, client_ca.read_text() if client_ca else "")

        async def handle(sock: socket.socket) -> None:
            await self._handle(port, sock)

        port.listener = Listener(sockets, handle)
        self._ports.append(port)
        for target in self.router.targets:
            target.allowlist.subscribe(lambda: self._apply_allowlist(port))
        self._apply_allowlist(port)
        return port.listener

    def _context(self, port: _Port, client_ca: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(port.certificate, port.key)
        context.sni_callback = self._remember_server_name
        if client_ca:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=client_ca)
        return context

    def trust(self, client_ca: str) -> None:
        """Verify the client certificates of new connections by these CAs (PEM); empty for asking for none."""
        for port in self._ports:
            port.context = self._context(port, client_ca)

    def cut_unlisted(self) -> None:
        """Cut connections from addresses that left the allowlist, without a message, as the service does."""
        allowlists = {target.name: target.allowlist for target in self.router.targets}
        for connection in tuple(self.live):
            if not allowlists[connection.cluster].permits_sql(connection.address):
                log.info("%s %s %s cut: left the allowlist", self.name, connection.address, connection.cluster)
                connection.abort()

    async def close(self) -> None:
        """Close the ports, and cut all connections."""
        for connection in self.live:
            connection.abort()
        await asyncio.gather(*(port.listener.close() for port in self._ports))

    def _apply_allowlist(self, port: _Port) -> None:
        port.listener.set_reachable(
            self.router.answers_unlisted
            or any(target.allowlist.permits_sql(port.address) for target in self.router.targets)
        )

    def _remember_server_name(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: Optional[str], context: ssl.SSLContext
    ) -> None:
        if name is not None and isinstance(connection, ssl.SSLObject):
            self._server_names[connection] = name

    async def _handle(self, port: _Port, sock: socket.socket) -> None:
        """Serve a connection from its first byte to its last."""
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
                    event.record(error.message or "not understood")
                    await streams.send(_error_response(error))
                except (_ConnectionOverError, OSError):
                    raise
                except Exception:
                    log.exception("internal error of the sandbox")
                    event.record("internal server error")
                    await streams.send(_error_response(ProxyError(None, "internal server error")))
                finally:
                    await streams.close()
        except _ConnectionOverError as over:
            event.record(over.outcome)
        except asyncio.TimeoutError:
            event.record("startup timed out")
        except ssl.SSLError as error:
            event.record(f"TLS failed: {error.reason}")
        except OSError as error:
            event.record(f"connection lost: {error.strerror or type(error).__name__}")

    async def _encrypt(self, port: _Port, sock: socket.socket) -> _Streams:
        """Wait for the SSLRequest on the socket, and perform the TLS handshake."""
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
            raise _ConnectionOverError("closed without a message")
        if len(start) == _START.size:
            length, code = _START.unpack(start)
            if code == messages.SSL_REQUEST and length == _START.size:
                await asyncio.get_running_loop().sock_sendall(sock, b"S")
                return
            if code == messages.CANCEL_REQUEST and length == _CANCEL_PACKET:
                key = await _receive(sock, _CANCEL_PACKET - _START.size)
                sock.close()
                raise _ConnectionOverError(await self._cancel(key, port.address))
            is_startup = _START.size <= length <= messages.MAX_STARTUP_PACKET
        else:
            is_startup = False
        # A direct TLS handshake arrives here too: its first bytes give an impossible length.
        refusal = self._unencrypted() if is_startup else NotUnderstoodError()
        await _refuse_in_plain_text(sock, refusal)
        raise _ConnectionOverError(refusal.message or "not understood")

    def _unencrypted(self) -> ProxyError:
        if self.router.answers_unlisted:
            return ProxyError(None, "server requires encryption")
        return NodeError("node is running secure mode, SSL connection required")

    async def _read_startup(self, port: _Port, reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
        try:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if not _START.size <= length <= messages.MAX_STARTUP_PACKET:
                raise NotUnderstoodError
            packet = await reader.readexactly(length - _LENGTH.size)
        except asyncio.IncompleteReadError as error:
            raise _ConnectionOverError("closed before the startup message") from error
        (code,) = _LENGTH.unpack_from(packet)
        payload = packet[_LENGTH.size :]
        if code == messages.CANCEL_REQUEST:
            raise _ConnectionOverError(await self._cancel(payload, port.address))
        if code >> 16 != _PROTOCOL_MAJOR:
            raise NotUnderstoodError if self.router.answers_unlisted else NodeError(f"unknown protocol version {code}")
        try:
            parameters = messages.parse_startup_parameters(payload)
        except messages.MalformedMessageError:
            raise NotUnderstoodError from None
        if SESSION_REVIVAL_TOKEN in parameters:
            raise NotUnderstoodError
        return code, parameters

    def _server_name(self, streams: _Streams) -> Optional[str]:
        return self._server_names.get(streams.writer.get_extra_info("ssl_object"))

    def _check_allowlist(self, target: Target, port: _Port) -> None:
        if target.allowlist.permits_sql(port.address):
            return
        if self.router.answers_unlisted:
            raise ProxyError("codeProxyRefusedConnection", "connection refused")
        raise _ConnectionOverError("left the allowlist")

    def _check_throttle(self, target: Target, port: _Port) -> None:
        if self.router.answers_unlisted and self._throttle.refuses(port.address, target.name):
            raise ProxyError(
                "codeProxyRefusedConnection",
                "too many failed authentication attempts",
                "authentication failed repeatedly: check the username and the password",
            )

    async def _serve(
        self, port: _Port, target: Target, client: _Streams, startup: tuple[int, dict[str, str]], event: _Event
    ) -> None:
        """Let the cluster authenticate the client, then forward in both directions until one side closes."""
        password = _password_by_certificate(target, client, startup[1].get("user", ""))
        if password is None and target.tokens is not None and tokens.asked_for(startup[1]):
            try:
                password = await _password_by_token(target, client, fold(startup[1].get("user", "")))
            except ProxyError:
                self._throttle.failed(port.address, target.name)
                raise
            startup = (startup[0], tokens.without_option(startup[1]))
        try:
            server = _Streams(*await asyncio.open_unix_connection(target.socket_path, limit=_CHUNK))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ProxyError("codeBackendDialFailed", f"unable to reach backend SQL server: {reason}") from error
        protocol, parameters = startup[0], _as_cockroach_reads(startup[1])
        missing = None
        if not await self._has_database(target, parameters["database"]):
            # CockroachDB lets the session start; its first statement that needs the catalogue fails.
            missing = parameters["database"]
            parameters = {**parameters, "database": NOWHERE, "crdb.database": missing}
        live = LiveConnection(target.name, port.address, client.writer.transport.abort)
        with contextlib.ExitStack() as at_end:
            authentication = messages.AuthenticationStream(
                lambda key: at_end.enter_context(self._cancel_key(_CancelKey(target, port.address, key)))
            )

            def from_server(data: bytes) -> bytes:
                pending = not authentication.authenticated
                forwarded = authentication.feed(data)
                if pending and authentication.authenticated:
                    event.record("authenticated")
                    self._throttle.succeeded(port.address, target.name)
                    self.live.add(live)
                    at_end.callback(self.live.discard, live)
                elif authentication.sqlstate is not None:
                    event.record(f"refused by the cluster: {authentication.sqlstate}")
                return forwarded

            try:
                await server.send(messages.startup_message(protocol, _forwarded(parameters)))
                if password is not None:
                    login_result = await scram.log_in(server.reader, server.writer, password)
                    await client.send(from_server(login_result))
                stream = messages.FrontendStream(lambda statement: shims.rewrite_statement(statement, missing))
                await _forward(client, server, stream.feed, from_server)
            finally:
                await server.close()
            if authentication.sqlstate == _NO_DATABASE:
                self._databases.discard((target.name, parameters["database"]))
            if not authentication.authenticated and authentication.sqlstate not in _NO_FAILED_LOGIN:
                self._throttle.failed(port.address, target.name)
        event.record("left while authenticating")

    async def _has_database(self, target: Target, name: str) -> bool:
        known = (target.name, name)
        if known not in self._databases and await asyncio.to_thread(target.has_database, name):
            self._databases.add(known)
        return known in self._databases

    @contextlib.contextmanager
    def _cancel_key(self, key: _CancelKey) -> Iterator[bytes]:
        """A key that replaces the server's, valid as long as the connection."""
        # As in the CockroachDB Cloud SQL proxy, the process id is the proxy's IPv4 address.
        own = ipaddress.IPv4Address("127.0.0.1").packed + secrets.token_bytes(4)
        self._cancel_keys[own] = key
        try:
            yield own
        finally:
            del self._cancel_keys[own]

    async def _cancel(self, own: bytes, address: Address) -> str:
        """Forward a CancelRequest if its key is known and belongs to this address. It is never answered."""
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


def _password_by_certificate(target: Target, client: _Streams, user: str) -> Optional[str]:
    """The engine's password of the user in the client's certificate; ``None`` without a certificate."""
    certificate = client.writer.get_extra_info("peercert")
    if not certificate:
        return None
    names = {name: value for part in certificate["subject"] for name, value in part}
    owner = names.get("commonName", "")
    # SQL user names are case-insensitive.
    if owner.lower() != user.lower() or owner not in target.passwords:
        raise CertificateRefusedError(user, owner)
    return target.passwords[owner]


async def _password_by_token(target: Target, client: _Streams, user: str) -> str:
    """The engine's password of a user who proves itself by a token, which is asked for as a password in clear text.

    Raises:
        ProxyError: the token is refused.
    """
    await client.send(messages.message(b"R", _LENGTH.pack(_CLEARTEXT_PASSWORD)))
    async with asyncio.timeout(STARTUP_LIMIT):
        kind, length = _PASSWORD_HEAD.unpack(await client.reader.readexactly(_PASSWORD_HEAD.size))
        if kind != b"p" or not _LENGTH.size < length <= _LONGEST_TOKEN:
            raise NotUnderstoodError
        payload = await client.reader.readexactly(length - _LENGTH.size)
    token = payload.rstrip(b"\0").decode("utf-8", "replace")
    if not token:
        raise tokens.UserRefusedError(user)
    if target.tokens is not None:
        tokens.verify(target.tokens(), user, token, time.time())
    if user not in target.passwords:
        raise tokens.UserRefusedError(user)
    return target.passwords[user]


def _as_cockroach_reads(parameters: Mapping[str, str]) -> dict[str, str]:
    """The startup parameters with the name of the user folded, and the database that an empty one stands for."""
    read = {**parameters, "database": parameters.get("database") or "defaultdb"}
    if "user" in read:
        read["user"] = fold(read["user"])
    return read


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
        # A broken connection is a normal end. The caller closes the other side.
        await asyncio.gather(*pumps, return_exceptions=True)


async def _receive(sock: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes, or fewer if the peer closes."""
    loop = asyncio.get_running_loop()
    received = b""
    while len(received) < size:
        data = await loop.sock_recv(sock, size - len(received))
        if not data:
            break
        received += data
    return received


def _error_response(error: ProxyError) -> bytes:
    return messages.error_response(error.SEVERITY, error.SQLSTATE, error.message, error.hint, error.detail)


async def _refuse_in_plain_text(sock: socket.socket, error: ProxyError) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _error_response(error))
    # Closing a socket with unread bytes resets the connection, and the client might lose the answer.
    sock.shutdown(socket.SHUT_WR)
    with contextlib.suppress(asyncio.TimeoutError):
        async with asyncio.timeout(_LINGER):
            while await loop.sock_recv(sock, _CHUNK):
                pass
