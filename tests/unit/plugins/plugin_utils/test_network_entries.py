# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entries of an allowlist, good and bad, each with its error or warning."""

from __future__ import annotations

import random
from datetime import date

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.networks import (
    Coverage,
    expiry_of,
    parse_entry,
    unique,
    validate,
)

from tests.instructions import instructions

TODAY = date(2026, 6, 1)

GOOD = [
    ("198.41.0.4", "198.41.0.4/32"),
    ("198.41.0.4/32", "198.41.0.4/32"),
    (" 198.41.0.4/32 ", "198.41.0.4/32"),
    ("198.41.0.0/24", "198.41.0.0/24"),
    ("8.0.0.0/8", "8.0.0.0/8"),
    ("198.41.0.128/25", "198.41.0.128/25"),
    ("172.15.255.255", "172.15.255.255/32"),
    ("172.32.0.0/16", "172.32.0.0/16"),
    ("100.63.255.255", "100.63.255.255/32"),
    ("100.128.0.0/16", "100.128.0.0/16"),
    ("192.0.1.0/24", "192.0.1.0/24"),
    ("198.20.0.0/16", "198.20.0.0/16"),
    ("223.255.255.255", "223.255.255.255/32"),
    ({"cidr": "198.41.0.4"}, "198.41.0.4/32"),
    ({"cidr": "198.41.0.0/24", "name": "office"}, "198.41.0.0/24"),
    ({"cidr": "198.41.0.0/24", "sql": False, "ui": True}, "198.41.0.0/24"),
    ({"cidr": "198.41.0.0/24", "expires": "2026-12-31"}, "198.41.0.0/24"),
    ({"cidr": "198.41.0.0/24", "expires": date(2026, 6, 1)}, "198.41.0.0/24"),
]

BAD = [
    ("", "is empty"),
    ("2001:db8::1", "is IPv6, which is not supported: use the public IPv4"),
    ("2001:db8::/32", "is IPv6"),
    ("::ffff:198.41.0.4", "Did you mean 198.41.0.4?"),
    ("::/0", "is IPv6"),
    ("198.41.0.4:26257", "has a port, but an allowlist contains addresses only. Did you mean 198.41.0.4?"),
    ("198.41.0.256", "256 is more than 255"),
    ("999.1.1.1/32", "999 is more than 255"),
    ("198.41.0", "has 3 numbers, but an IPv4 address has four"),
    ("198.41.0.4.5", "has 5 numbers"),
    ("198.41..4", "has 3 numbers"),
    ("3324575748", "has 1 numbers"),
    ("198.041.0.4", "Did you mean 198.41.0.4?"),
    ("010.0.0.1", "leading zeros, which some programs read as octal"),
    ("198.41.0.4/33", "the prefix /33 must be between 0 and 32"),
    ("198.41.0.4/-1", "the prefix '-1' must be a number between 0 and 32"),
    ("198.41.0.0/024", "has a leading zero. Did you mean 198.41.0.0/24?"),
    ("198.41.0.0/", "has no number after the slash; one address is 198.41.0.0/32"),
    ("198.41.0.0/abc", "the prefix 'abc' must be a number"),
    ("198.41.0.0/255.255.255.0", "write the netmask as a number: 198.41.0.0/24"),
    ("198.41.0.0/255.0.255.0", "255.0.255.0 is not a netmask"),
    ("198.41.0.5/24", "did you mean the network 198.41.0.0/24 or the address 198.41.0.5/32?"),
    ("8.8.8.8/0", "did you mean the network 0.0.0.0/0 or the address 8.8.8.8/32?"),
    ("198.41.0.*", "has a wildcard. Did you mean 198.41.0.0/24?"),
    ("198.41.*.*", "Did you mean 198.41.0.0/16?"),
    ("198.41.0.0-198.41.0.255", "is a range of addresses: write it as networks: 198.41.0.0/24"),
    ("198.41.0.4-198.41.0.6", "198.41.0.4/31, 198.41.0.6/32"),
    ("198.41.0.4, 198.41.0.5", "contains white space: write one network per entry"),
    ("198.41.0.4,198.41.0.5", "contains several networks"),
    ("198.41.0.4 /32", "contains white space"),
    ("office.example.com", "is a name, not an address"),
    ("localhost", "is a name, not an address"),
    ("\u0661.1.1.1", "is not an IPv4 address"),
    ("0.0.0.0/0", "allows every address of the internet"),
    ("0.0.0.0", "a reserved range ('this network')"),  # noqa: S104 - an input
    ("10.0.0.0/8", "is in a private range, which never reaches a public endpoint"),
    ("10.1.2.3", "a private range"),
    ("172.16.0.0/12", "a private range"),
    ("172.31.255.255", "a private range"),
    ("192.168.1.10", "a private range"),
    ("100.64.0.1", "the shared range of carrier NAT"),
    ("127.0.0.1", "the loopback range"),
    ("169.254.169.254", "the link-local range"),
    ("224.0.0.1", "the multicast range"),
    ("240.0.0.0/4", "a reserved range"),
    ("255.255.255.255", "a reserved range"),
    ("192.0.2.1", "a documentation range"),
    ("198.51.100.0/24", "a documentation range"),
    ("203.0.113.7", "a documentation range"),
    ("198.18.0.1", "a reserved range (benchmarks)"),
    (42, "must be a network or a dictionary"),
    (None, "must be a network or a dictionary"),
    ({}, "cidr is missing"),
    ({"cidr": 198.41}, "must be text: write it in quotes"),
    ({"cidr": "198.41.0.4", "ssl": True}, "unknown key: ssl"),
    ({"cidr": "198.41.0.4", "sql": "yes"}, "sql must be true or false, not 'yes'"),
    ({"cidr": "198.41.0.4", "sql": False}, "allows neither SQL nor the Console"),
    ({"cidr": "198.41.0.4", "name": "x" * 70}, "but the limit is 63"),
    ({"cidr": "198.41.0.4", "name": " x"}, "without spaces at its ends"),
    ({"cidr": "198.41.0.4", "name": "b\u00fcro"}, "must be printable ASCII"),
    ({"cidr": "198.41.0.4", "name": "x (until 2026-01-01)"}, "give the date as expires"),
    ({"cidr": "198.41.0.4", "expires": "31.12.2026"}, "expires must be a date such as 2026-12-31"),
    ({"cidr": "198.41.0.4", "expires": "2026-05-31"}, "expired on 2026-05-31"),
    ({"cidr": "198.41.0.4", "ui": True, "sql": True}, "the cluster's plan has no DB Console"),
]


def test_the_table_is_as_long_as_promised():
    assert len(GOOD) + len(BAD) >= 60


@pytest.mark.parametrize(("given", "cidr"), GOOD, ids=lambda value: str(value)[:40])
def test_good(given, cidr):
    (verdict,) = validate([given], today=TODAY)
    assert (verdict.error, verdict.entry.cidr) == ("", cidr)


@pytest.mark.parametrize(("given", "message"), BAD, ids=lambda value: ascii(value)[:40])
def test_bad(given, message):
    (verdict,) = validate([given], today=TODAY, dedicated=False, prefix="crdb.onboard ")
    assert verdict.entry is None
    assert message in verdict.error
    assert "198.41.0.4, 198.41.0.5" not in str(given) or "one network per entry" in verdict.error


ALLOWED = [
    ("0.0.0.0/0", {"allow_any": True}, "allows every address of the internet: use it for a short test only"),
    ("8.0.0.0/8", {}, "is wide: it allows 16777216 addresses"),
    ("10.1.2.3", {"allow_private": True}, ""),
    ("203.0.113.0/24", {"allow_private": True}, ""),
]


@pytest.mark.parametrize(("given", "switches", "warning"), ALLOWED)
def test_what_is_allowed_explicitly_gets_a_warning(given, switches, warning):
    (verdict,) = validate([given], **switches)
    assert verdict.valid
    assert warning in " ".join(verdict.warnings)
    assert bool(warning) == bool(verdict.warnings)


def test_entries_are_compared_with_each_other():
    same = validate(["198.41.0.4", "198.41.0.4/32"])
    assert [v.valid for v in same] == [True, True]
    assert "is given twice" in same[1].warnings[0]
    assert len(unique(same)) == 1
    different = validate(["198.41.0.4", {"cidr": "198.41.0.4/32", "name": "x"}])
    assert "given twice with different name" in different[1].error
    covered = validate(["198.41.0.4", "198.41.0.0/24"])
    assert covered[0].warnings == ("is covered by 198.41.0.0/24, so it has no effect.",)
    assert covered[1].warnings == ()
    other_right = validate(["198.41.0.4", {"cidr": "198.41.0.0/24", "sql": False, "ui": True}])
    assert other_right[0].warnings == ()


def networks(number):
    """So many networks of several sizes."""
    return [f"20.{index // 256 % 256}.{index % 256}.0/{24 + index % 2 * 8}" for index in range(number)]


def test_validation_of_twice_as_many_entries_is_twice_the_work():
    validate(networks(2))
    few, many = (instructions(lambda n=n: validate(networks(n), prefix="p ")) for n in (150, 300))
    assert many < 2.2 * few


def test_many_different_entries_of_one_network_are_no_more_work():
    few, many = (
        instructions(lambda n=n: validate([{"cidr": "20.1.0.0/24", "name": str(i)} for i in range(n)]))
        for n in (150, 300)
    )
    assert many < 2.2 * few


def test_coverage_agrees_with_a_comparison_of_all_pairs():
    chance = random.Random(7)  # noqa: S311 - a repeatable sample
    entries = []
    for _number in range(300):
        length = chance.choice((8, 12, 16, 20, 24, 31, 32))
        address = chance.getrandbits(5) << 27 | chance.getrandbits(3) << 14 | chance.getrandbits(2)
        sql, ui = chance.choice(((True, False), (False, True), (True, True)))
        network = f"{'.'.join(str(byte) for byte in (address >> (32 - length) << (32 - length)).to_bytes(4, 'big'))}"
        entries.append(parse_entry({"cidr": f"{network}/{length}", "sql": sql, "ui": ui}, allow_private=True))
    covered = Coverage((entry.network, entry.sql, entry.ui) for entry in entries)
    for entry in entries:
        around = [
            other.network
            for other in entries
            if other.network != entry.network
            and entry.network.subnet_of(other.network)
            and other.sql >= entry.sql
            and other.ui >= entry.ui
        ]
        assert covered.wider(entry) == min(around, key=lambda network: network.prefixlen, default=None)
        address = entry.network.broadcast_address
        assert covered.admits(str(address)) == any(other.sql and address in other.network for other in entries)
    assert not Coverage(()).admits("20.1.2.3")


def test_the_expiry_is_read_back_from_the_name():
    (verdict,) = validate([{"cidr": "198.41.0.4", "name": "ann", "expires": "2026-12-31"}])
    name = verdict.entry.full_name("crdb.onboard ")
    assert name == "crdb.onboard ann (until 2026-12-31)"
    assert expiry_of(name) == date(2026, 12, 31)
    assert expiry_of("ann (until 2026-13-31)") is None
