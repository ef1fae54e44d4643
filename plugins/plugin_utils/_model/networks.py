# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entries of an IP allowlist, parsed and validated. An error suggests what was probably intended.

Everything is pure. The action `allowlist` and the filter `validate_networks` share it.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

NAME_LIMIT = 63
WIDE = 16
"""A prefix shorter than this lets in more than 65536 addresses."""

_KEYS = ("cidr", "name", "sql", "ui", "expires")
_EXPIRES = re.compile(r"(?:^| )\(until ([0-9]{4}-[0-9]{2}-[0-9]{2})\)$")
_NAME = re.compile(r"[ -~]*")
_SPECIAL = (
    ("0.0.0.0/8", "a reserved range ('this network')"),
    ("10.0.0.0/8", "a private range"),
    ("100.64.0.0/10", "the shared range of carrier NAT"),
    ("127.0.0.0/8", "the loopback range"),
    ("169.254.0.0/16", "the link-local range"),
    ("172.16.0.0/12", "a private range"),
    ("192.0.0.0/24", "a reserved range (protocol assignments)"),
    ("192.0.2.0/24", "a documentation range"),
    ("192.88.99.0/24", "a reserved range (6to4 relays)"),
    ("192.168.0.0/16", "a private range"),
    ("198.18.0.0/15", "a reserved range (benchmarks)"),
    ("198.51.100.0/24", "a documentation range"),
    ("203.0.113.0/24", "a documentation range"),
    ("224.0.0.0/4", "the multicast range"),
    ("240.0.0.0/4", "a reserved range"),
)
_RANGES = tuple(
    (int(network.network_address), int(network.broadcast_address), title)
    for network, title in ((ipaddress.IPv4Network(cidr), title) for cidr, title in _SPECIAL)
)
_ANY = ipaddress.IPv4Network("0.0.0.0/0")


class InvalidNetworkError(ValueError):
    """One entry is not valid. The message says what is wrong with it and what was probably intended."""


@dataclass(frozen=True)
class Entry:
    """One network that is allowed to connect."""

    network: ipaddress.IPv4Network
    name: str = ""
    sql: bool = True
    ui: bool = False
    expires: date | None = None

    @property
    def cidr(self) -> str:
        """The canonical text."""
        return str(self.network)

    def full_name(self, prefix: str) -> str:
        """The name in the allowlist: the owner's prefix, the name, and the expiry date if there is one."""
        end = f" (until {self.expires.isoformat()})" if self.expires else ""
        return f"{prefix}{self.name}{end}"


@dataclass(frozen=True)
class Verdict:
    """The result for one entry. `text`: the entry as it was written; `error`: empty if it is valid."""

    text: str
    entry: Entry | None
    error: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the entry can be added to an allowlist."""
        return not self.error


class Coverage:
    """What networks together allow. A look-up takes one step a prefix length, however many networks there are.

    Args:
        rights: the networks, each with `sql` and `ui`.
    """

    def __init__(self, rights: Iterable[tuple[ipaddress.IPv4Network, bool, bool]]) -> None:
        self._rights: dict[tuple[int, int], set[tuple[bool, bool]]] = {}
        for network, sql, ui in rights:
            key = network.prefixlen, int(network.network_address)
            self._rights.setdefault(key, set()).add((sql, ui))
        self._lengths = sorted({length for length, _address in self._rights})

    def _around(self, address: int, longest: int) -> Iterator[tuple[tuple[int, int], set[tuple[bool, bool]]]]:
        """The networks with prefixes up to a length that contain an address, the widest first, with their rights."""
        for length in self._lengths:
            if length > longest:
                return
            key = length, address >> (32 - length) << (32 - length)
            if key in self._rights:
                yield key, self._rights[key]

    def wider(self, entry: Entry) -> ipaddress.IPv4Network | None:
        """A wider network that allows all that an entry allows, or None."""
        around = self._around(int(entry.network.network_address), entry.network.prefixlen - 1)
        for (length, address), rights in around:
            if any(sql >= entry.sql and ui >= entry.ui for sql, ui in rights):
                return ipaddress.IPv4Network((address, length))
        return None

    def admits(self, address: str) -> bool:
        """Whether an IPv4 address may open SQL connections."""
        around = self._around(int(ipaddress.IPv4Address(address)), 32)
        return any(sql for _key, rights in around for sql, _ui in rights)


def coverage(entries: Iterable[Entry]) -> Coverage:
    """What entries together allow."""
    return Coverage((entry.network, entry.sql, entry.ui) for entry in entries)


def parse_network(text: str) -> ipaddress.IPv4Network:
    """A network from `a.b.c.d` (one address) or `a.b.c.d/n`.

    Raises InvalidNetworkError.
    """
    text = text.strip()
    if not text:
        raise InvalidNetworkError("is empty: write an IPv4 address or network, such as 198.41.0.4 or 198.41.0.0/24.")
    address, slash, prefix = text.partition("/")
    if ":" in address:
        raise InvalidNetworkError(_not_version_4(text, address))
    if re.search(r"\s", text):
        raise InvalidNetworkError(f"{text!r} contains white space: write one network per entry.")
    if "," in text or ";" in text:
        raise InvalidNetworkError(f"{text!r} contains several networks: write one network per entry.")
    host = _address(text, address)
    if not slash:
        return ipaddress.IPv4Network((host, 32))
    length = _prefix(text, host, prefix)
    network = ipaddress.IPv4Network((host, length), strict=False)
    if network.network_address != host:
        raise InvalidNetworkError(
            f"{text!r} has bits set after its prefix: did you mean the network {network} or the address {host}/32?"
        )
    return network


def _not_version_4(text: str, address: str) -> str:
    try:
        version6 = ipaddress.IPv6Address(address)
    except ValueError:
        before = address.partition(":")[0]
        if before.count(".") == 3:
            return f"{text!r} has a port, but an allowlist contains addresses only. Did you mean {before}?"
        return f"{text!r} is not an IPv4 address: write four numbers, such as 198.41.0.4."
    if version6.ipv4_mapped is not None:
        return f"{text!r} is IPv6, which is not supported. Did you mean {version6.ipv4_mapped}?"
    return f"{text!r} is IPv6, which is not supported: use the public IPv4 address of the network."


def _address(text: str, address: str) -> ipaddress.IPv4Address:
    octets = address.split(".")
    if not re.fullmatch(r"[0-9.]+", address):
        if "*" in address:
            bits = 8 * len([octet for octet in octets if octet.isdecimal()])
            start = ".".join([*(o for o in octets if o.isdecimal()), "0", "0", "0", "0"][:4])
            raise InvalidNetworkError(f"{text!r} has a wildcard. Did you mean {start}/{bits}?")
        if re.fullmatch(r"[0-9.]+-[0-9.]+", address):
            raise InvalidNetworkError(_span(text, address))
        if re.search(r"[A-Za-z]", address):
            raise InvalidNetworkError(f"{text!r} is a name, not an address: write its public IPv4 address.")
        raise InvalidNetworkError(f"{text!r} is not an IPv4 address: write four numbers, such as 198.41.0.4.")
    if len(octets) != 4 or "" in octets:
        raise InvalidNetworkError(
            f"{text!r} has {len([o for o in octets if o])} numbers, but an IPv4 address has four."
        )
    if any(len(octet) > 1 and octet.startswith("0") for octet in octets):
        plain = ".".join(octet.lstrip("0") or "0" for octet in octets)
        raise InvalidNetworkError(
            f"{text!r} has leading zeros, which some programs read as octal. Did you mean {plain}?"
        )
    wrong = [octet for octet in octets if int(octet) > 255]
    if wrong:
        raise InvalidNetworkError(f"{text!r}: {wrong[0]} is more than 255, the largest number in an IPv4 address.")
    return ipaddress.IPv4Address(address)


def _span(text: str, address: str) -> str:
    first, _dash, last = address.partition("-")
    try:
        networks = list(ipaddress.summarize_address_range(ipaddress.IPv4Address(first), ipaddress.IPv4Address(last)))
    except (ValueError, TypeError):
        return f"{text!r} is a range of addresses: write it as networks."
    shown = ", ".join(map(str, networks[:4])) + (" and so on" if len(networks) > 4 else "")
    return f"{text!r} is a range of addresses: write it as networks: {shown}."


def _prefix(text: str, host: ipaddress.IPv4Address, prefix: str) -> int:
    if re.fullmatch(r"[0-9]{1,3}", prefix, re.ASCII):
        if len(prefix) > 1 and prefix.startswith("0"):
            raise InvalidNetworkError(f"{text!r}: the prefix has a leading zero. Did you mean {host}/{int(prefix)}?")
        if int(prefix) > 32:
            raise InvalidNetworkError(f"{text!r}: the prefix /{prefix} must be between 0 and 32; /32 is one address.")
        return int(prefix)
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", prefix, re.ASCII):
        try:
            network = ipaddress.IPv4Network(f"{host}/{prefix}", strict=False)
        except ValueError:
            raise InvalidNetworkError(
                f"{text!r}: {prefix} is not a netmask: write the prefix as a number, such as /24."
            ) from None
        raise InvalidNetworkError(f"{text!r}: write the netmask as a number: {host}/{network.prefixlen}.")
    if not prefix:
        raise InvalidNetworkError(f"{text!r} has no number after the slash; one address is {host}/32.")
    raise InvalidNetworkError(f"{text!r}: the prefix {prefix!r} must be a number between 0 and 32.")


def _special(network: ipaddress.IPv4Network) -> str:
    first, last = int(network.network_address), int(network.broadcast_address)
    return next((title for low, high, title in _RANGES if low <= first and last <= high), "")


def parse_entry(value: Any, *, allow_any: bool = False, allow_private: bool = False) -> Entry:
    """An entry as a text (`a.b.c.d/n`) or as a dictionary of cidr, name, sql, ui and expires.

    Raises InvalidNetworkError.
    """
    facts = {"cidr": value} if isinstance(value, str) else value
    if not isinstance(facts, Mapping):
        raise InvalidNetworkError(f"{value!r} must be a network or a dictionary of {', '.join(_KEYS)}.")
    unknown = sorted(str(key) for key in facts if key not in _KEYS)
    if unknown:
        raise InvalidNetworkError(f"unknown key: {', '.join(unknown)}. The keys are {', '.join(_KEYS)}.")
    cidr = facts.get("cidr")
    if not isinstance(cidr, str):
        raise InvalidNetworkError(
            f"cidr: {cidr!r} must be text: write it in quotes." if cidr is not None else "cidr is missing."
        )
    network = parse_network(cidr)
    flags: dict[str, bool] = {}
    for key, default in (("sql", True), ("ui", False)):
        flag: Any = facts.get(key, default)
        if not isinstance(flag, bool):
            raise InvalidNetworkError(f"{cidr}: {key} must be true or false, not {flag!r}.")
        flags[key] = flag
    if not flags["sql"] and not flags["ui"]:
        raise InvalidNetworkError(f"{cidr}: allows neither SQL nor the Console: set sql or ui, or remove the entry.")
    if network == _ANY and not allow_any:
        raise InvalidNetworkError(
            "0.0.0.0/0 allows every address of the internet, so only the passwords keep attackers out."
            " List the networks that need access. To allow it anyway, set allow_any: true (crdb_network_allow_any)."
        )
    special = _special(network)
    if special and not allow_private:
        raise InvalidNetworkError(
            f"{network} is in {special}, which never reaches a public endpoint: write the public address of the"
            " network (current: controller finds it)."
        )
    name = facts.get("name") or ""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name != name.strip():
        raise InvalidNetworkError(f"{cidr}: the name {name!r} must be printable ASCII without spaces at its ends.")
    if _EXPIRES.search(name):
        raise InvalidNetworkError(f"{cidr}: the name {name!r} ends like an expiry date: give the date as expires.")
    return Entry(network, name, flags["sql"], flags["ui"], _expiry(cidr, facts.get("expires")))


def _expiry(cidr: str, value: Any) -> date | None:
    if value in (None, ""):
        return None
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise InvalidNetworkError(f"{cidr}: expires must be a date such as 2026-12-31, not {value!r}.") from None


def expiry_of(name: str) -> date | None:
    """The expiry date in an entry's name, or None."""
    match = _EXPIRES.search(name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def warnings_of(entry: Entry, others: Coverage) -> list[str]:
    """The warnings about a valid entry; it may be among the others."""
    warnings = []
    if entry.network == _ANY:
        warnings.append(
            "allows every address of the internet: use it for a short test only, never in production."
            " It invites password guessing and denial of service."
        )
    elif entry.network.prefixlen < WIDE:
        warnings.append(f"is wide: it allows {entry.network.num_addresses} addresses.")
    wider = others.wider(entry)
    if wider is not None:
        warnings.append(f"is covered by {wider}, so it has no effect.")
    return warnings


def validate(
    entries: Sequence[Any],
    *,
    allow_any: bool = False,
    allow_private: bool = False,
    prefix: str = "",
    dedicated: bool | None = None,
    today: date | None = None,
) -> list[Verdict]:
    """One verdict per entry, in the same order. `dedicated`: None where the plan is not known."""
    parsed: list[tuple[str, Entry | None, str]] = []
    for value in entries:
        text = str(value.get("cidr")) if isinstance(value, Mapping) else str(value)
        try:
            valid_entry = parse_entry(value, allow_any=allow_any, allow_private=allow_private)
            _fits(valid_entry, prefix, dedicated, today)
            parsed.append((text, valid_entry, ""))
        except InvalidNetworkError as exc:
            parsed.append((text, None, str(exc)))
    valid = coverage(entry for _where, entry, _problem in parsed if entry is not None)
    verdicts = []
    seen: dict[ipaddress.IPv4Network, Entry] = {}
    for text, entry, error in parsed:
        if entry is None:
            verdicts.append(Verdict(text, None, error))
            continue
        before = seen.get(entry.network)
        if before is not None and before != entry:
            error = f"{entry.cidr} is given twice with different name, rights or expiry: remove one."
        warnings = ["is given twice."] if before == entry else warnings_of(entry, valid)
        seen.setdefault(entry.network, entry)
        verdicts.append(Verdict(text, entry if not error else None, error, tuple(warnings)))
    return verdicts


def _fits(entry: Entry, prefix: str, dedicated: bool | None, today: date | None) -> None:
    full = entry.full_name(prefix)
    if len(full) > NAME_LIMIT:
        raise InvalidNetworkError(
            f"{entry.cidr}: the name {full!r} has {len(full)} characters, but the limit is {NAME_LIMIT}."
        )
    if entry.ui and dedicated is False:
        raise InvalidNetworkError(f"{entry.cidr}: ui is set, but the cluster's plan has no DB Console: remove ui.")
    if entry.expires is not None and today is not None and entry.expires < today:
        raise InvalidNetworkError(
            f"{entry.cidr}: expired on {entry.expires.isoformat()}: remove the entry, or give a later date."
        )


def unique(verdicts: Sequence[Verdict]) -> list[Entry]:
    """The valid entries, each network once."""
    entries: dict[ipaddress.IPv4Network, Entry] = {}
    for verdict in verdicts:
        if verdict.entry is not None:
            entries.setdefault(verdict.entry.network, verdict.entry)
    return list(entries.values())
