# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Cloud API adds to a failed check: decided from its responses, without a request."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.confirm import (
    concerns,
    judge_address,
    judge_allowlist,
    judge_user,
    matching_cluster,
)

PUBLIC = ipaddress.IPv4Address("192.0.2.44")


def entry(cidr, *, sql=True):
    address, mask = cidr.split("/")
    return {"cidr_ip": address, "cidr_mask": int(mask), "sql": sql}


ALLOWLISTS = {
    "empty": ("proxy_refused", [], False, "not_in_allowlist"),
    "another network": ("not_in_allowlist", [entry("203.0.113.0/24")], False, "not_in_allowlist"),
    "dropped packets": ("tcp_timeout", [entry("203.0.113.0/24")], False, "allowlist_drops_address"),
    "not for SQL": ("not_in_allowlist", [entry("192.0.2.0/24", sql=False)], False, "allowlist_without_sql"),
    "in effect soon": ("not_in_allowlist", [entry("192.0.2.44/32")], True, "allowlist_propagating"),
    "in effect": ("not_in_allowlist", [entry("192.0.2.44/32")], False, "allowlist_holds_address"),
    "host bits": ("not_in_allowlist", [entry("192.0.2.9/24")], False, "allowlist_holds_address"),
    "an entry that cannot be read": ("not_in_allowlist", [entry("x/24")], False, "not_in_allowlist"),
    "one of two is for SQL": (
        "not_in_allowlist",
        [entry("192.0.2.0/24", sql=False), entry("192.0.2.44/32")],
        False,
        "allowlist_holds_address",
    ),
}


@pytest.mark.parametrize(("code", "entries", "propagating", "expected"), ALLOWLISTS.values(), ids=ALLOWLISTS)
def test_the_allowlist_and_the_public_address(code, entries, propagating, expected):
    finding = judge_address(judge_allowlist(code, "shop", entries, propagating=propagating), entries, PUBLIC)
    assert finding.code == expected
    assert finding.words["public_entry"] == "192.0.2.44/32"
    missing = expected in ("not_in_allowlist", "allowlist_drops_address")
    assert ("missing_entry" in finding.evidence) == missing
    assert finding.evidence["propagating"] is propagating


def test_a_long_allowlist_is_shortened():
    entries = [entry(f"198.41.{number}.0/24") for number in range(60)]
    finding = judge_allowlist("proxy_refused", "shop", entries, propagating=False)
    assert finding.code == "proxy_refused"
    assert finding.words["allowlist"].endswith("198.41.4.0/24, ...)")
    assert len(finding.evidence["allowlist"]) == 50
    assert judge_allowlist("proxy_refused", "shop", [], propagating=False).words["allowlist"].endswith("(empty)")


@pytest.mark.parametrize(
    ("code", "user", "expected"),
    [
        ("password_rejected", "ann", "password_wrong"),
        ("password_rejected", "Ann", "password_wrong"),
        ("password_rejected", "bob", "user_unknown"),
        ("login_refused", "ann", "login_refused"),
        ("login_refused", "bob", "user_unknown"),
    ],
)
def test_the_users(code, user, expected):
    finding = judge_user(code, user, ["root", "ann"])
    assert finding.code == expected
    assert finding.evidence == {"user_exists": user.lower() == "ann"}


def cluster(name, number, *, routing_id=None, host="", regions=()):
    config = {"serverless": {"routing_id": routing_id}} if routing_id else None
    return {"id": number, "name": name, "config": config, "sql_dns": host, "regions": list(regions)}


CLUSTERS = [
    cluster("funky-skunk", "1", routing_id="funky-skunk-123", host="shared.test"),
    cluster("brave-otter", "2", routing_id="brave-otter-456", host="shared.test"),
    cluster("steady-heron", "3", regions=[{"sql_dns": "heron.test", "internal_dns": "in.heron.test"}]),
    cluster("twin", "4"),
    cluster("twin", "5"),
]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"cluster": "steady-heron"}, "3"),
        ({"cluster": "2"}, "2"),
        ({"cluster": "twin"}, None),
        ({"routing_id": "brave-otter-456"}, "2"),
        ({"options": "--cluster=funky-skunk-123"}, "1"),
        ({"host": "HERON.test", "deployment": "dedicated"}, "3"),
        ({"host": "in.heron.test", "deployment": "dedicated"}, "3"),
        ({"host": "shared.test", "deployment": "dedicated"}, None),
        ({"routing_id": "another-9"}, None),
    ],
)
def test_the_cluster_of_an_endpoint(facts, expected):
    endpoint = {"host": "elsewhere.test", "user": "ann", "database": "shop", **facts}
    match = matching_cluster(CLUSTERS, endpoint)
    assert (match and match["id"]) == expected


def test_only_failed_checks_that_the_api_can_explain_are_asked_about():
    assert concerns({"ok": False, "code": "tcp_timeout"})
    assert not concerns({"ok": False, "code": "ca_other_cluster"})
    assert not concerns({"ok": True, "code": "tcp_timeout"})
