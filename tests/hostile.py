# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server on this machine that answers byte by byte as a test says, over TLS or without, and records its requests."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Union

from sandbox.certificates import CertificateStore
from sandbox.clusters import FrontSpec

Parts = Iterable[Union[bytes, float]]
"""What is sent, one after the other; a number is a pause in seconds."""


def answer(body: bytes = b"", status: str = "200 OK", *headers: str) -> Parts:
    """A response with its length; a header is a whole line."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return ["".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1") + body]


def redirect(url: str) -> Parts:
    """A response that names another URL."""
    return answer(b"", "302 Found", f"Location: {url}")


def drip(data: bytes, pause: float = 0.05) -> Parts:
    """Bytes, one at a time."""
    return [part for number in range(len(data)) for part in (data[number : number + 1], pause)]


def _relay(one: socket.socket, other: socket.socket) -> None:
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)


class HostileServer:
    """Answers each request with `script(path, number)`, then closes the connection if `keep` is not set.

    As a proxy, it opens the tunnels that it is asked for if `relay` is set.

    Args:
        folder: for the certificates of a TLS server, whose CA is in `ca_file`; None for http.
        script: from a request's target, and how many came before, to what is sent.
    """

    def __init__(self, folder: Path | None, script: Callable[[str, int], Parts], *, keep: bool = False) -> None:
        self.script = script
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        self.relay = False
        self._keep = keep
        self._closing = threading.Event()
        self._context = None
        if folder is not None:
            files = CertificateStore(folder).front(FrontSpec("hostile", "Hostile CA", (), routed=True))
            self.ca_file = files.ca
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(files.server.certificate, files.server.key)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
                stack.callback(connection.close)
            connection.settimeout(20)
            with connection.makefile("rb") as stream:
                while self._answer(connection, stream) and self._keep:
                    pass

    def _answer(self, connection: socket.socket, stream: Iterable[bytes]) -> bool:
        lines = []
        for line in stream:
            if not line.strip():
                break
            lines.append(line.decode("latin-1").strip())
        if not lines:
            return False
        headers = dict(line.split(": ", 1) for line in lines[1:])
        stream.read(int(headers.get("Content-Length", 0)))  # type: ignore[attr-defined]
        number = len(self.requests)
        self.requests.append((lines[0], headers))
        for part in self.script(lines[0].split(" ")[1], number):
            if isinstance(part, bytes):
                connection.sendall(part)
            elif self._closing.wait(part):
                return False
        if self.relay:
            host, _colon, port = lines[0].split(" ")[1].rpartition(":")
            with socket.create_connection((host, int(port))) as target:
                _relay(connection, target)
        return not self.relay

    def close(self) -> None:
        """End it."""
        self._closing.set()
        self._socket.close()
