# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listening sockets: find ports, accept connections, and make a port unreachable."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
from collections.abc import Awaitable, Sequence
from typing import Callable, Optional

from sandbox.errors import SandboxError

_BACKLOG = 128
_FREE_PORT_ATTEMPTS = 50
_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class PortTakenError(SandboxError):
    """Another program listens on the port."""


def bind_loopback(port: int) -> list[socket.socket]:
    """Sockets that are bound to one port on 127.0.0.1 and, where IPv6 exists, on ::1. They do not listen yet.

    Args:
        port: 0 takes a port that is free on both addresses.

    Raises:
        PortTakenError: the port is in use, or (for 0) every port that was tried.
    """
    for _attempt in range(1 if port else _FREE_PORT_ATTEMPTS):
        with contextlib.suppress(PortTakenError):
            return _bind_both(port)
    raise PortTakenError(
        f"port {port} of 127.0.0.1 or ::1 is in use" if port else "no port is free on both loopback addresses"
    )


def _bind_both(port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for family, host in _LOOPBACKS:
            try:
                sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port))
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    raise PortTakenError(str(error)) from error
                if family == socket.AF_INET6 and bound:
                    continue  # this machine has no IPv6
                raise
            sock.setblocking(False)
            port = sock.getsockname()[1]
            bound.append(sock)
        stack.pop_all()
    return bound


class Listener:
    """A port that is either open or unreachable.

    An unreachable port does not answer a connection attempt, like a dedicated cluster whose firewall drops it. This
    needs no privilege: the accept queue is as short as possible and filled with connections to itself. Linux and BSD
    then ignore further attempts (measured on Linux 6). If a system accepts them, the client gets a silent connection.

    Args:
        sockets: bound sockets, one for each address family.
        handle: serves an accepted connection in a task of its own, and closes it.
    """

    _MAX_FILLERS = 32
    _QUEUE_FULL_AFTER = 0.05
    """Seconds after which a connection to loopback counts as unanswered."""

    def __init__(self, sockets: Sequence[socket.socket], handle: Callable[[socket.socket], Awaitable[None]]) -> None:
        self._sockets = tuple(sockets)
        self._handle = handle
        self._acceptors: list[asyncio.Task[None]] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._fillers: list[socket.socket] = []
        self._discard: set[tuple[object, ...]] = set()
        self._reachable: Optional[bool] = None

    @property
    def port(self) -> int:
        """The port number, the same for all addresses."""
        number: int = self._sockets[0].getsockname()[1]
        return number

    def set_reachable(self, reachable: bool) -> None:
        """Open the port, or make it unreachable. Established connections are not affected."""
        if reachable == self._reachable:
            return
        self._reachable = reachable
        for task in self._acceptors:
            task.cancel()
        self._acceptors.clear()
        if reachable:
            # The fillers are still in the queue, and are recognized by their addresses when they are accepted.
            self._discard.update(filler.getsockname() for filler in self._fillers)
            self._release_fillers()
            for sock in self._sockets:
                sock.listen(_BACKLOG)
                self._acceptors.append(asyncio.create_task(self._accept(sock)))
        else:
            for sock in self._sockets:
                sock.listen(0)
                self._fill_queue(sock)

    async def close(self) -> None:
        """Stop listening, and cut all connections."""
        tasks = [*self._acceptors, *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sock in self._sockets:
            sock.close()
        self._release_fillers()

    def _release_fillers(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def _fill_queue(self, sock: socket.socket) -> None:
        for _number in range(self._MAX_FILLERS):
            filler = socket.socket(sock.family, socket.SOCK_STREAM)
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
            if not select.select([], [filler], [], self._QUEUE_FULL_AFTER)[1]:
                filler.close()
                return
            self._fillers.append(filler)

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(sock)
            except OSError:
                # Out of file descriptors, which passes when others leave, or a client that is already gone.
                await asyncio.sleep(0.1)
                continue
            if peer in self._discard:
                self._discard.remove(peer)
                connection.close()
                continue
            task = asyncio.ensure_future(self._handle(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
