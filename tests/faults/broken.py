# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server on loopback that does exactly what a test tells it to, and the server's side of the protocol to do it with.

Written apart from the client under test, so that both would have to be wrong in the same way.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

VERSION = "CockroachDB CCL v25.2.1 (test)"


class Peer:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, server: BrokenServer) -> None:
        self.sock = sock
        self.server = server

    # Bytes and messages

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.sock.recv(count - len(data))
            if not chunk:
                raise ConnectionError("the client left")
            data += chunk
        return data

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def message(self, kind: bytes, payload: bytes = b"") -> None:
        self.write(kind + struct.pack("!I", len(payload) + 4) + payload)

    def error(self, code: str, text: str, severity: str = "FATAL", **fields: str) -> None:
        parts = {"S": severity, "V": severity, "C": code, "M": text, **fields}
        self.message(b"E", b"".join(f"{key}{value}".encode() + b"\0" for key, value in parts.items()) + b"\0")

    def password_message(self) -> bytes:
        head = self.read(5)
        payload = self.read(struct.unpack("!I", head[1:])[0] - 4)
        if head[:1] == b"p":
            self.server.password_messages.append(payload)
        return payload

    def hang(self) -> None:
        """Say nothing until the client goes away."""
        with contextlib.suppress(OSError):
            while self.sock.recv(4096):
                pass

    # The phases of a connection

    def ssl_request(self) -> None:
        request = self.read(8)
        if request[:1] == b"\x16":
            raise ConnectionError("the client asks whether TLS is spoken from the first byte")
        if request != struct.pack("!II", 8, 80877103):
            raise AssertionError("the client did not ask for TLS first")

    def tls(self, certificate: Path, **settings: object) -> None:
        """Answer the SSLRequest with S and shake hands."""
        self.ssl_request()
        self.write(b"S")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if settings.get("weak"):
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(certificate)
        if settings.get("old"):
            old_tls(context)
        if settings.get("new"):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        if settings.get("client_ca"):
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(str(settings["client_ca"]))
        context.sni_callback = lambda _sock, name, _context: self.server.sni.append(name)
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def startup(self) -> dict[str, str]:
        length, version = struct.unpack("!II", self.read(8))
        if version != 196608:
            raise AssertionError("the client does not speak 3.0")
        parts = [part.decode() for part in self.read(length - 8).split(b"\0")]
        parameters = dict(zip(parts[0:-2:2], parts[1:-2:2]))
        self.server.startups.append(parameters)
        return parameters

    def scram(
        self,
        password: str,
        *,
        iterations: int = 4096,
        wrong_signature: bool = False,
        skip_signature: bool = False,
        own_nonce: bool = False,
        first: bytes | None = None,
        mechanisms: tuple[str, ...] = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"),
    ) -> None:
        """The server's side of SCRAM-SHA-256 (RFC 5802), up to its last SASL message."""
        self.message(b"R", struct.pack("!I", 10) + b"".join(name.encode() + b"\0" for name in mechanisms) + b"\0")
        payload = self.password_message()
        name, _nul, rest = payload.partition(b"\0")
        assert name == b"SCRAM-SHA-256"
        client_first = rest[4:].decode()
        assert client_first.startswith("n,,")
        bare = client_first[3:]
        client_nonce = bare.split("r=", 1)[1]
        salt = b"0123456789abcdef"
        nonce = ("" if own_nonce else client_nonce) + "server-part"
        server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={iterations}".encode()
        if first is not None:
            server_first = first.replace(b"NONCE", nonce.encode())
        self.message(b"R", struct.pack("!I", 11) + server_first)
        final = self.password_message().decode()
        without_proof, _p, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
        auth = ",".join((bare, server_first.decode(), without_proof)).encode()
        client_key = hmac.new(salted, b"Client Key", "sha256").digest()
        stored = hashlib.sha256(client_key).digest()
        signature = hmac.new(stored, auth, "sha256").digest()
        expected = bytes(a ^ b for a, b in zip(client_key, signature))
        if base64.b64decode(proof) != expected:
            self.error("28P01", "password authentication failed for user maxroach")
            raise ConnectionError("wrong password")
        server_key = hmac.new(salted, b"Server Key", "sha256").digest()
        verifier = hmac.new(server_key, auth, "sha256").digest()
        if wrong_signature:
            verifier = bytes(32)
        if not skip_signature:
            self.message(b"R", struct.pack("!I", 12) + b"v=" + base64.b64encode(verifier))

    def let_in(self) -> None:
        self.message(b"R", struct.pack("!I", 0))

    def ready(self) -> None:
        self.message(b"S", b"server_version\0" + b"13.0.0\0")
        self.message(b"N", b"SNOTICE\0C00000\0Mhello\0\0")
        self.message(b"K", struct.pack("!II", 1, 2))
        self.message(b"Z", b"I")

    def query(self) -> str:
        head = self.read(5)
        assert head[:1] == b"Q"
        return self.read(struct.unpack("!I", head[1:])[0] - 4).rstrip(b"\0").decode()

    def row(self, *values: str) -> None:
        columns = b"".join(
            name + b"\0" + struct.pack("!IHIhiH", 0, 0, 25, -1, -1, 0)
            for name in (b"current_user", b"current_database", b"version")
        )
        self.message(b"T", struct.pack("!H", 3) + columns)
        if values:
            cells = b"".join(struct.pack("!i", len(value.encode())) + value.encode() for value in values)
            self.message(b"D", struct.pack("!H", len(values)) + cells)
        self.message(b"C", b"SELECT 1\0")
        self.message(b"Z", b"I")


def old_tls(context: ssl.SSLContext) -> None:
    """Let a server speak nothing newer than TLS 1.1. Raises ValueError or SSLError where OpenSSL forbids it."""
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


Behaviour = Callable[[Peer], None]


class BrokenServer:
    """Listens, by default at a free loopback port, and runs the behaviour for each connection in its own thread."""

    def __init__(self, behaviour: Behaviour, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._behaviour = behaviour
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(address)
        self._socket.listen(16)
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        self.password_messages: list[bytes] = []
        self.startups: list[dict[str, str]] = []
        self.sni: list[str | None] = []
        self.surprises: list[BaseException] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> BrokenServer:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in accept().
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _address = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(20)
        peer = Peer(sock, self)
        try:
            self._behaviour(peer)
        except OSError:
            pass  # the client hung up, which most faults make it do
        except BaseException as exc:
            self.surprises.append(exc)
        finally:
            with contextlib.suppress(OSError):
                peer.sock.close()
