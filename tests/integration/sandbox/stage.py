# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fronts of the sandbox for tests: real TLS sockets in front of them, a recording server behind them."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Callable, TypeVar

from sandbox.allowlist import Allowlist, Entry
from sandbox.certificates import CertificateStore
from sandbox.clusters import FrontSpec
from sandbox.listeners import bind_loopback
from sandbox.proxy import Front, Router, RoutingProxy, SingleCluster, Target

INSIDE = "203.0.113.10"
OUTSIDE = "198.51.100.99"
SERVER_KEY = b"\0\0\x10\x92" + b"only the server knows this"
"""BackendKeyData of the recording server: a process id and, as protocol 3.2 allows, a long secret."""

Result = TypeVar("Result")


class RecordingServer:
    """A PostgreSQL server that accepts every login, answers nothing, and records what it receives."""

    def __init__(self) -> None:
        self.startups: list[tuple[int, dict[str, str]]] = []
        self.cancelled: list[bytes] = []
        self.statements: list[bytes] = []
        self.heard = threading.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length, code = struct.unpack("!ii", await reader.readexactly(8))
        payload = await reader.readexactly(length - 8)
        if code == 80877102:
            self._hear(self.cancelled, payload)
            writer.close()
            return
        words = [word.decode() for word in payload[:-2].split(b"\0")]
        self._hear(self.startups, (code, dict(zip(words[::2], words[1::2]))))
        writer.write(_message(b"R", b"\0\0\0\0") + _message(b"K", SERVER_KEY) + _message(b"Z", b"I"))
        try:
            while True:
                kind, size = struct.unpack("!ci", await reader.readexactly(5))
                self._hear(self.statements, kind + await reader.readexactly(size - 4))
                writer.write(_message(b"C", b"DONE\0") + _message(b"Z", b"I"))
        except asyncio.IncompleteReadError:
            writer.close()

    def wait_for(self, told: Callable[[], bool]) -> None:
        """Wait until the server has received enough."""
        with self.heard:
            assert self.heard.wait_for(told, timeout=20)

    def _hear(self, record: list[Any], what: object) -> None:
        with self.heard:
            record.append(what)
            self.heard.notify_all()


def _message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!i", len(payload) + 4) + payload


class Stage:
    """Fronts in a separate event loop, which runs in a thread.

    Args:
        folder: for certificates and the server's socket; its path must be short.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._fronts: list[Front] = []
        spec = FrontSpec("stage", "Stage CA", (), routed=True)
        self._certificates = CertificateStore(folder).front(spec)
        self.ca_file = self._certificates.ca
        self.server = RecordingServer()
        self._server = self.run(asyncio.start_unix_server(self.server.serve, folder / "server"))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a function in the event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def target(self, name: str, tenant: int, socket: str = "server") -> Target:
        """A cluster whose allowlist contains 203.0.113.0/24."""
        return Target(name, self._folder / socket, Allowlist([Entry("203.0.113.0/24")]), tenant)

    def routing_proxy(self, targets: Sequence[Target], addresses: Iterable[str] = (INSIDE,)) -> list[int]:
        """Start a routing proxy. Returns its ports, one for each address that clients appear to have."""
        return self.serve(RoutingProxy(targets), addresses)

    def single_cluster(self, target: Target, addresses: Iterable[str] = (INSIDE,)) -> list[int]:
        """Start the front of a dedicated cluster. Returns its ports."""
        return self.serve(SingleCluster(target), addresses)

    def allow(self, target: Target, *entries: Entry) -> None:
        """Replace an allowlist while it is in use."""

        async def replace() -> None:
            target.allowlist.replace(entries)

        self.run(replace())

    def live(self) -> list[str]:
        """The clusters of all live connections."""

        async def count() -> list[str]:
            return [connection.cluster for front in self._fronts for connection in front.live]

        return self.run(count())

    def close(self) -> None:
        """Close the fronts and stop the event loop."""

        async def close() -> None:
            await asyncio.gather(*(front.close() for front in self._fronts))
            self._server.close()

        self.run(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def serve(self, router: Router, addresses: Iterable[str] = (INSIDE,)) -> list[int]:
        """Start a front with any router. Returns its ports."""

        async def listen() -> list[int]:
            front = Front("stage", router)
            self._fronts.append(front)
            server = self._certificates.server
            return [
                front.listen(address, address, server.certificate, server.key, bind_loopback(0)).port
                for address in addresses
            ]

        return self.run(listen())
