# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entries of an IP allowlist, validated: what is wrong with each, and what was probably meant.

Pure, standard library only; shared by the module allowlist and the filter.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Optional

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
_RANGES = tuple((ipaddress.IPv4Network(cidr), title) for cidr, title in _SPECIAL)
_ANY = ipaddress.IPv4Network("0.0.0.0/0")


class InvalidEntry(ValueError):  # noqa: N818
    """What is wrong with one entry, and what was probably meant."""


@dataclass(frozen=True)
class Entry:
    """One network that is let in."""

    network: ipaddress.IPv4Network
    name: str = ""
    sql: bool = True
    ui: bool = False
    expires: Optional[date] = None

    @property
    def cidr(self) -> str:
        """The canonical text."""
        return str(self.network)

    def full_name(self, prefix: str) -> str:
        """The name in the allowlist, which says whose the entry is and when it ends."""
        end = f" (until {self.expires.isoformat()})" if self.expires else ""
        return f"{prefix}{self.name}{end}"


@dataclass(frozen=True)
class Verdict:
    """What was found out about one entry as it was given."""

    given: str
    entry: Optional[Entry]
    error: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether it may go into an allowlist."""
        return not self.error


def parse_network(text: str) -> ipaddress.IPv4Network:
    """A network from `a.b.c.d` (one address) or `a.b.c.d/n`.

    Raises InvalidEntry.
    """
    given = text.strip()
    if not given:
        raise InvalidEntry("is empty: write an IPv4 address or network, such as 198.41.0.4 or 198.41.0.0/24.")
    address, slash, prefix = given.partition("/")
    if ":" in address:
        raise InvalidEntry(_not_version_4(given, address))
    if re.search(r"\s", given):
        raise InvalidEntry(f"{given!r} has a blank in it: write one network an entry.")
    if "," in given or ";" in given:
        raise InvalidEntry(f"{given!r} is more than one: write one network an entry.")
    host = _address(given, address)
    if not slash:
        return ipaddress.IPv4Network((host, 32))
    length = _prefix(given, host, prefix)
    network = ipaddress.IPv4Network((host, length), strict=False)
    if network.network_address != host:
        raise InvalidEntry(
            f"{given!r} has bits set behind its prefix: was the network {network} meant, or the one address {host}/32?"
        )
    return network


def _not_version_4(given: str, address: str) -> str:
    try:
        version6 = ipaddress.IPv6Address(address)
    except ValueError:
        before = address.partition(":")[0]
        if before.count(".") == 3:
            return f"{given!r} has a port: an allowlist has addresses only; was {before} meant?"
        return f"{given!r} is no IPv4 address: write four numbers, such as 198.41.0.4."
    if version6.ipv4_mapped is not None:
        return f"{given!r} is IPv6, which is not supported; was {version6.ipv4_mapped} meant?"
    return f"{given!r} is IPv6, which is not supported: find out the public IPv4 address of the network."


def _address(given: str, address: str) -> ipaddress.IPv4Address:
    octets = address.split(".")
    if not re.fullmatch(r"[0-9.]+", address):
        if "*" in address:
            bits = 8 * len([octet for octet in octets if octet.isdecimal()])
            start = ".".join([*(o for o in octets if o.isdecimal()), "0", "0", "0", "0"][:4])
            raise InvalidEntry(f"{given!r} has a wildcard: was {start}/{bits} meant?")
        if re.fullmatch(r"[0-9.]+-[0-9.]+", address):
            raise InvalidEntry(_span(given, address))
        if re.search(r"[A-Za-z]", address):
            raise InvalidEntry(f"{given!r} is a name, not an address: write the public IPv4 address it stands for.")
        raise InvalidEntry(f"{given!r} is no IPv4 address: write four numbers, such as 198.41.0.4.")
    if len(octets) != 4 or "" in octets:
        raise InvalidEntry(f"{given!r} has {len([o for o in octets if o])} numbers, and an IPv4 address has four.")
    if any(len(octet) > 1 and octet.startswith("0") for octet in octets):
        plain = ".".join(octet.lstrip("0") or "0" for octet in octets)
        raise InvalidEntry(
            f"{given!r} has leading zeros, which some programs read as octal: was {plain} meant? Write it so."
        )
    wrong = [octet for octet in octets if int(octet) > 255]
    if wrong:
        raise InvalidEntry(f"{given!r}: {wrong[0]} is more than 255, the most that a number of an address can be.")
    return ipaddress.IPv4Address(address)


def _span(given: str, address: str) -> str:
    first, _dash, last = address.partition("-")
    try:
        networks = list(ipaddress.summarize_address_range(ipaddress.IPv4Address(first), ipaddress.IPv4Address(last)))
    except (ValueError, TypeError):
        return f"{given!r} is a range of addresses: write it as networks."
    shown = ", ".join(map(str, networks[:4])) + (" and so on" if len(networks) > 4 else "")
    return f"{given!r} is a range of addresses: write it as networks: {shown}."


def _prefix(given: str, host: ipaddress.IPv4Address, prefix: str) -> int:
    if re.fullmatch(r"[0-9]{1,3}", prefix, re.ASCII):
        if len(prefix) > 1 and prefix.startswith("0"):
            raise InvalidEntry(f"{given!r}: the prefix has a leading zero; was {host}/{int(prefix)} meant?")
        if int(prefix) > 32:
            raise InvalidEntry(f"{given!r}: the prefix /{prefix} is not between 0 and 32; /32 is one address.")
        return int(prefix)
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", prefix, re.ASCII):
        try:
            network = ipaddress.IPv4Network(f"{host}/{prefix}", strict=False)
        except ValueError:
            raise InvalidEntry(
                f"{given!r}: {prefix} is no netmask; write the prefix as a number, such as /24."
            ) from None
        raise InvalidEntry(f"{given!r}: write the netmask as a number: {host}/{network.prefixlen}.")
    if not prefix:
        raise InvalidEntry(f"{given!r} has no number behind the slash; one address is {host}/32.")
    raise InvalidEntry(f"{given!r}: the prefix {prefix!r} is no number between 0 and 32.")


def _special(network: ipaddress.IPv4Network) -> str:
    for special, title in _RANGES:
        if network.subnet_of(special):
            return title
    return ""


def parse_entry(given: Any, *, allow_any: bool = False, allow_private: bool = False) -> Entry:
    """An entry as a text (`a.b.c.d/n`) or as a dictionary of cidr, name, sql, ui and expires.

    Raises InvalidEntry.
    """
    facts = {"cidr": given} if isinstance(given, str) else given
    if not isinstance(facts, Mapping):
        raise InvalidEntry(f"{given!r} is neither a network nor a dictionary of {', '.join(_KEYS)}.")
    unknown = sorted(str(key) for key in facts if key not in _KEYS)
    if unknown:
        raise InvalidEntry(f"an entry does not know {', '.join(unknown)}; it knows {', '.join(_KEYS)}.")
    cidr = facts.get("cidr")
    if not isinstance(cidr, str):
        raise InvalidEntry(f"cidr: {cidr!r} is no text; write it in quotes." if cidr is not None else "has no cidr.")
    network = parse_network(cidr)
    flags: dict[str, bool] = {}
    for key, default in (("sql", True), ("ui", False)):
        flag: Any = facts.get(key, default)
        if not isinstance(flag, bool):
            raise InvalidEntry(f"{cidr}: {key} is {flag!r}; it wants true or false.")
        flags[key] = flag
    if not flags["sql"] and not flags["ui"]:
        raise InvalidEntry(f"{cidr}: lets in neither SQL nor the Console: set sql or ui, or leave the entry out.")
    if network == _ANY and not allow_any:
        raise InvalidEntry(
            "0.0.0.0/0 lets in every address of the internet, and only the passwords are left to keep attackers out."
            " List the networks that need access; if it has to be, set crdb_network_allow_any: true."
        )
    special = _special(network)
    if special and not allow_private:
        raise InvalidEntry(
            f"{network} is in {special}, which never reaches a public endpoint: write the public address that the"
            " network goes out by (crdb_network_current: controller finds it)."
        )
    name = facts.get("name") or ""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name != name.strip():
        raise InvalidEntry(f"{cidr}: the name {name!r} has characters other than printable ASCII, or blanks at an end.")
    if _EXPIRES.search(name):
        raise InvalidEntry(f"{cidr}: the name {name!r} ends as an expiry does: give the date as expires.")
    return Entry(network, name, flags["sql"], flags["ui"], _expiry(cidr, facts.get("expires")))


def _expiry(cidr: str, given: Any) -> Optional[date]:
    if given in (None, ""):
        return None
    if isinstance(given, date):
        return given
    try:
        return date.fromisoformat(str(given))
    except ValueError:
        raise InvalidEntry(f"{cidr}: expires {given!r} is no date; write it as 2026-12-31.") from None


def expiry_of(name: str) -> Optional[date]:
    """The date that an entry's name holds, if it does."""
    found = _EXPIRES.search(name)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def warnings_of(entry: Entry, others: Sequence[Entry]) -> list[str]:
    """What a person should know about an entry that is valid."""
    told = []
    if entry.network == _ANY:
        told.append(
            "lets in every address of the internet: fit for a test for a short time, never for production;"
            " it invites attempts at the passwords and denial of service."
        )
    elif entry.network.prefixlen < WIDE:
        told.append(f"is wide: it lets in {entry.network.num_addresses} addresses.")
    for other in others:
        wider = other.network != entry.network and entry.network.subnet_of(other.network)
        if wider and other.sql >= entry.sql and other.ui >= entry.ui:
            told.append(f"is covered by {other.network}: it means nothing beside that.")
            break
    return told


def validate(
    given: Sequence[Any],
    *,
    allow_any: bool = False,
    allow_private: bool = False,
    prefix: str = "",
    dedicated: Optional[bool] = None,
    today: Optional[date] = None,
) -> list[Verdict]:
    """One verdict an entry, in the order given; `dedicated` None where the plan is not known."""
    parsed: list[tuple[str, Optional[Entry], str]] = []
    for one in given:
        text = str(one.get("cidr")) if isinstance(one, Mapping) else str(one)
        try:
            entry = parse_entry(one, allow_any=allow_any, allow_private=allow_private)
            _fits(entry, prefix, dedicated, today)
            parsed.append((text, entry, ""))
        except InvalidEntry as exc:
            parsed.append((text, None, str(exc)))
    valid = [entry for _text, entry, _error in parsed if entry is not None]
    verdicts = []
    seen: dict[ipaddress.IPv4Network, Entry] = {}
    for text, found, error in parsed:
        if found is None:
            verdicts.append(Verdict(text, None, error))
            continue
        before = seen.get(found.network)
        if before is not None and before != found:
            error = f"{found.cidr} is given twice with different name, rights or expiry: leave one out."
        warnings = ["is given twice."] if before == found else warnings_of(found, valid)
        seen.setdefault(found.network, found)
        verdicts.append(Verdict(text, found if not error else None, error, tuple(warnings)))
    return verdicts


def _fits(entry: Entry, prefix: str, dedicated: Optional[bool], today: Optional[date]) -> None:
    full = entry.full_name(prefix)
    if len(full) > NAME_LIMIT:
        raise InvalidEntry(f"{entry.cidr}: the name {full!r} has {len(full)} characters, and {NAME_LIMIT} is the most.")
    if entry.ui and dedicated is False:
        raise InvalidEntry(f"{entry.cidr}: ui is set, and the cluster's plan has no DB Console: leave it out.")
    if entry.expires is not None and today is not None and entry.expires < today:
        raise InvalidEntry(f"{entry.cidr}: expired on {entry.expires.isoformat()}: leave it out, or give a later date.")


def unique(verdicts: Sequence[Verdict]) -> list[Entry]:
    """The valid entries, each network once."""
    found: dict[ipaddress.IPv4Network, Entry] = {}
    for verdict in verdicts:
        if verdict.entry is not None:
            found.setdefault(verdict.entry.network, verdict.entry)
    return list(found.values())
