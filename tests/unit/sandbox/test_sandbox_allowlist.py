# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which addresses the allowlist permits."""

from __future__ import annotations

import ipaddress

import pytest

from sandbox.allowlist import Allowlist, Entry

ENTRIES = [Entry("203.0.113.0/24"), Entry("198.51.100.7/32", sql=False, ui=True), Entry("2001:db8::/32")]


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("198.51.100.7", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:203.0.113.10", True),
        ("::ffff:198.51.100.99", False),
    ],
)
def test_address(address: str, permitted: bool) -> None:
    assert Allowlist(ENTRIES).permits_sql(ipaddress.ip_address(address)) is permitted


def test_an_empty_allowlist_permits_nobody() -> None:
    assert not Allowlist().permits_sql(ipaddress.ip_address("203.0.113.10"))


def test_a_change_takes_effect_at_once_and_notifies_the_subscribers() -> None:
    allowlist = Allowlist()
    told: list[tuple[Entry, ...]] = []
    allowlist.subscribe(lambda: told.append(allowlist.entries))
    allowlist.replace(ENTRIES)
    assert told == [tuple(ENTRIES)]
    assert allowlist.permits_sql(ipaddress.ip_address("203.0.113.10"))


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("", "does not appear to be"),
        ("localhost", "does not appear to be"),
        ("203.0.113.0/33", "does not appear to be"),
        ("203.0.113.1/24", "has host bits set"),
    ],
)
def test_an_invalid_network_is_refused(cidr: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Entry(cidr)
