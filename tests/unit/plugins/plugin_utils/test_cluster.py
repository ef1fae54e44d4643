# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The look-up of a cluster: by name or id, its region and endpoint, and the facts of a connection to it."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

CLUSTERS = [
    {"id": "1", "name": "shop", "state": "CREATED", "cloud_provider": "AWS"},
    {"id": "2", "name": "bank", "state": "DELETED", "cloud_provider": "AWS"},
    {"id": "3", "name": "bank", "state": "CREATED", "cloud_provider": "GCP"},
    {"id": "4", "name": "twin", "cloud_provider": "AWS"},
    {"id": "5", "name": "twin", "cloud_provider": "GCP"},
    {"id": "6", "name": "1", "cloud_provider": "GCP"},
]


@pytest.mark.parametrize(
    ("name", "expected"), [("shop", "1"), ("bank", "3"), ("4", "4"), ("1", "1")], ids=["name", "deleted", "id", "both"]
)
def test_a_cluster_is_chosen(name, expected):
    assert _cluster.choose(CLUSTERS, name)["id"] == expected


@pytest.mark.parametrize(
    ("clusters", "name", "message"),
    [
        (CLUSTERS, "twin", "There are 2 clusters named 'twin': give the id, one of 4 (AWS), 5 (GCP)."),
        (CLUSTERS, "2", "There is no cluster '2', or the key may not see it; it sees: 1, bank, shop, twin, twin."),
        ([], "shop", "it sees: none."),
    ],
)
def test_a_cluster_that_cannot_be_chosen(clusters, name, message):
    with pytest.raises(OnboardingError) as caught:
        _cluster.choose(clusters, name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("plan", "provider", "deployment", "limit"),
    [
        ("BASIC", "AWS", "serverless", 50),
        ("STANDARD", "GCP", "serverless", 50),
        ("SERVERLESS", "GCP", "serverless", 50),
        ("ADVANCED", "AWS", "dedicated", 20),
        ("dedicated", "GCP", "dedicated", 200),
        (None, "AWS", "serverless", 50),
    ],
)
def test_plans(plan, provider, deployment, limit):
    cluster = {"plan": plan, "cloud_provider": provider}
    assert (_cluster.deployment(cluster), _cluster.entry_limit(cluster)) == (deployment, limit)


EAST = {"name": "east", "sql_dns": "east.test", "internal_dns": "in.east.test"}
WEST = {"name": "west", "sql_dns": "west.test", "private_endpoint_dns": "link.west.test", "internal_dns": "in.west"}


@pytest.mark.parametrize(
    ("regions", "region", "endpoint", "expected"),
    [
        ([EAST, WEST], "", "public", "all.test"),
        ([EAST, WEST], "west", "public", "west.test"),
        ([EAST], "", "private", "in.east.test"),
        ([EAST, WEST], "west", "private", "link.west.test"),
        ([EAST, {**WEST, "primary": True}], "", "private", "link.west.test"),
    ],
)
def test_host_names(regions, region, endpoint, expected):
    assert _cluster.host_of({"name": "shop", "regions": regions}, region, endpoint, "all.test") == expected


@pytest.mark.parametrize(
    ("regions", "region", "message"),
    [
        ([EAST, WEST], "north", "The cluster shop has no region 'north'; it has east, west."),
        (
            [EAST, WEST],
            "",
            "The cluster shop has several regions: choose one with region (crdb_connection_region); it has east, west.",
        ),
        ([{"name": "east", "sql_dns": "east.test"}], "", "The cluster shop has no private endpoint in east."),
    ],
)
def test_a_host_name_that_the_cluster_does_not_have(regions, region, message):
    with pytest.raises(OnboardingError) as caught:
        _cluster.host_of({"name": "shop", "regions": regions}, region, "private", "all.test")
    assert str(caught.value) == message


PUBLIC = {"host": "all.test", "port": 26257, "ca_text": "PEM", "ca_public": True}
SERVERLESS = {
    "id": "1",
    "name": "shop",
    "plan": "BASIC",
    "state": "CREATED",
    "regions": [EAST],
    "config": {"serverless": {"routing_id": "shop-7"}},
}


@pytest.fixture
def service(monkeypatch):
    """One Serverless cluster, without a request."""
    monkeypatch.setattr(_cluster, "lookup", lambda settings, name: SERVERLESS)
    monkeypatch.setattr(_cluster, "public_endpoint", lambda settings, cluster: PUBLIC)


def settings():
    return Settings("key")


def test_a_connection_to_a_cluster_gets_its_facts(service):
    facts = {
        "cluster": "shop",
        "user": "ann",
        "database": "d",
        "host": "",
        "ca_public": False,
        "ca_destination": "auto",
    }
    assert _cluster.expand("connections.shop", facts, settings) == {
        **{"deployment": "serverless", "host": "all.test", "port": 26257, "routing_id": "shop-7"},
        **{"ca_text": "PEM", "ca_public": True, "ca_destination": "root_crt", "user": "ann", "database": "d"},
    }


def test_what_the_connection_says_of_its_ca_holds(service):
    facts = {"cluster": "shop", "user": "ann", "ca_file": "ca.crt", "ca_destination": "certs", "region": "east"}
    connection = _cluster.expand("connections.shop", facts, settings)
    assert (connection["ca_file"], connection["ca_destination"], connection["host"]) == ("ca.crt", "certs", "east.test")
    assert not {"ca_text", "cluster", "region", "endpoint"} & set(connection)


def test_a_dedicated_cluster_has_a_ca_of_its_own():
    facts = _cluster.connection_facts({"plan": "ADVANCED"}, {**PUBLIC, "ca_public": False}, "in.east.test")
    assert facts == {"deployment": "dedicated", "host": "in.east.test", "port": 26257, "ca_text": "PEM"}


@pytest.mark.parametrize("facts", [{"host": "x"}, {"cluster": ""}, "text", None])
def test_other_connections_stay_as_they_are(facts):
    assert _cluster.expand("connections.shop", facts, None) is facts


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"host": "x", "port": 1}, "has cluster and host and port, which the Cloud API gives. Remove host and port"),
        ({"user": ""}, "has cluster, but user is missing. Set it (crdb_connection_user) to"),
        ({"endpoint": "secret"}, ": endpoint must be one of public, private, not 'secret'."),
        ({"region": "north"}, ": The cluster shop has no region 'north'; it has east."),
    ],
)
def test_a_wrong_connection_is_named(service, facts, message):
    with pytest.raises(OnboardingError) as caught:
        _cluster.expand("connections.shop", {"cluster": "shop", "user": "ann", **facts}, settings)
    assert str(caught.value).startswith("connections.shop")
    assert message in str(caught.value)


def test_a_cluster_that_is_being_created_is_refused(service, monkeypatch):
    monkeypatch.setattr(_cluster, "lookup", lambda settings, name: {**SERVERLESS, "state": "CREATING"})
    with pytest.raises(OnboardingError, match=r"is in the state CREATING\. Wait until it is CREATED"):
        _cluster.facts_of(None, "shop")
