# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The allowlist of a cluster: the networks that may reach it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@dataclass(frozen=True)
class Entry:
    """A network in an allowlist.

    Args:
        cidr: the network, such as ``203.0.113.0/24``; the host bits must be zero.
        name: a label for people; default empty.
        sql: whether it may open SQL connections; default true.
        ui: whether it may open the DB Console; default false.

    Raises:
        ValueError: ``cidr`` is not a valid network.
    """

    cidr: str
    name: str = ""
    sql: bool = True
    ui: bool = False

    def __post_init__(self) -> None:
        ipaddress.ip_network(self.cidr)


class Allowlist:
    """The entries of a cluster. All fronts of the cluster share it, and it may change while they serve.

    Without any entry nobody is let in, as in the real service.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = tuple(entries)
        self._subscribers: list[Callable[[], None]] = []

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries in their original order."""
        return self._entries

    def replace(self, entries: Iterable[Entry]) -> None:
        """Replace all entries, and notify the subscribers."""
        self._entries = tuple(entries)
        for notify in self._subscribers:
            notify()

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` after every change."""
        self._subscribers.append(notify)

    def permits_sql(self, address: Address) -> bool:
        """Whether any entry with ``sql`` contains the address. The real proxy has no other rule either."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(entry.sql and address in ipaddress.ip_network(entry.cidr) for entry in self._entries)
