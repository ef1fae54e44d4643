# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Resolve a host name, and open a TCP connection to one of its addresses.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import errno
import queue
import socket
import threading
from typing import Any, NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import DialError, ResolveError
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline

MAX_ADDRESSES = 8
# No cluster of CockroachDB Cloud is on the machine that asks.
_CLOUD = ".cockroachlabs.cloud"


class Address(NamedTuple):
    family: int
    sockaddr: tuple[Any, ...]

    @property
    def text(self) -> str:
        return str(self.sockaddr[0])


def resolve(host: str, port: int, deadline: Deadline) -> list[Address]:
    """The host's addresses in the system's order, without repeats, at most MAX_ADDRESSES. Raises ResolveError.

    A caller cannot set a timeout for the system's resolver, so it runs in a thread that is abandoned after the timeout.
    """
    answers: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as exc:  # handed to the caller's thread
            answers.put(exc)

    threading.Thread(target=ask, name="crdb-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.remaining())
    except queue.Empty as exc:
        raise ResolveError("timeout", "no answer from the resolver") from exc
    if isinstance(answer, Exception):
        raise _resolve_error(answer) from answer
    addresses = dict.fromkeys(Address(family, sockaddr) for family, _type, _proto, _canonical, sockaddr in answer)
    if not addresses:
        raise ResolveError("not_found", "the name has no address")
    if all(_leads_nowhere(host, address.text) for address in addresses):
        raise ResolveError("filtered", next(iter(addresses)).text)
    return list(addresses)[:MAX_ADDRESSES]


def _leads_nowhere(host: str, address: str) -> bool:
    """Whether DNS filters answer this address in place of the host's."""
    if address in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound to
        return True
    return host.lower().endswith(_CLOUD) and (address == "::1" or address.startswith("127."))


def _resolve_error(error: Exception) -> ResolveError:
    if isinstance(error, UnicodeError):
        return ResolveError("invalid", "the name has a label that is empty or too long")
    if not isinstance(error, socket.gaierror):
        return ResolveError("failed", str(error))
    text = error.strerror or "no reason given"
    # Not every system defines EAI_NODATA.
    if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
        return ResolveError("not_found", text)
    return ResolveError("temporary" if error.errno == socket.EAI_AGAIN else "failed", text)


def connect(address: Address, deadline: Deadline) -> socket.socket:
    """A TCP connection to one address. Raises DialError."""
    seconds = deadline.remaining()
    if not seconds:
        raise DialError(errno.ETIMEDOUT, "no time left")
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError as exc:
        raise DialError(exc.errno or 0, exc.strerror or "no socket") from exc
    try:
        sock.settimeout(seconds)
        sock.connect(address.sockaddr)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except socket.timeout as exc:
        sock.close()
        raise DialError(errno.ETIMEDOUT, f"no answer in {seconds:.1f} s") from exc
    except OSError as exc:
        sock.close()
        raise DialError(exc.errno or 0, exc.strerror or str(exc)) from exc
    return sock
