# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports for servers that tests start, and for connections that must be refused."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port of 127.0.0.1 where nothing listens, and which the kernel gives to nothing else meanwhile.

    A server that sets SO_REUSEADDR, as sshd, PostgreSQL and PgBouncer do, can listen there. Without the hold, another
    server or a connection of another test could take the port before it (measured on Linux, with a range of one port).
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
