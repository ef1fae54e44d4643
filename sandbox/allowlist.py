# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks that may reach a cluster."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@dataclass(frozen=True)
class Entry:
    """One network of an allowlist.

    Args:
        cidr: the network, ``203.0.113.0/24``; bits of the host part must be zero.
        name: what people call it; default empty.
        sql: whether it may open SQL connections; default true.
        ui: whether it may open the DB Console; default false.

    Raises:
        ValueError: ``cidr`` is no network.
    """

    cidr: str
    name: str = ""
    sql: bool = True
    ui: bool = False

    def __post_init__(self) -> None:
        ipaddress.ip_network(self.cidr)


class Allowlist:
    """The entries of one cluster, shared by every front of that cluster and changeable while they serve.

    No entry means that nobody is let in, as with the real service.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = tuple(entries)
        self._subscribers: list[Callable[[], None]] = []

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, in the order given."""
        return self._entries

    def replace(self, entries: Iterable[Entry]) -> None:
        """Put other entries in place of the present ones, and tell the subscribers."""
        self._entries = tuple(entries)
        for notify in self._subscribers:
            notify()

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Have ``notify`` called after every change."""
        self._subscribers.append(notify)

    def permits_sql(self, address: Address) -> bool:
        """Whether ``address`` lies in an entry that admits SQL: plain containment, as the real proxy does."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(entry.sql and address in ipaddress.ip_network(entry.cidr) for entry in self._entries)
