# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client CA of an Advanced cluster: by the API's operations with their faults, and by the playbook with logins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import requests
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import client_ca as _client_ca
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import http_client as _http
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import AccessError, CloudError
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import authority as _authority
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

from sandbox.organization import identifier
from tests.cloud import KEY, CloudStage

NAME = "steady-heron"
TOLD = {"crdb_client_cert_cluster_state": "absent", "crdb_client_cert_cluster_allow_used": True}
"""Remove all client CAs, whoever uses them."""


@pytest.fixture(scope="module")
def cloud():
    stage = CloudStage()
    yield stage
    stage.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(_shared, "take_turn", lambda: None)
    monkeypatch.setattr(_http, "_pause", lambda attempt, seconds: None)
    monkeypatch.setattr(_client_ca, "POLL", 0.02)


@pytest.fixture(scope="module")
def cas(tmp_path_factory):
    """Two client CAs: a folder with old.crt, old.key, new.crt and new.key."""
    folder = tmp_path_factory.mktemp("cas")
    for name in ("old", "new"):
        _authority.create(f"{folder}/{name}.crt", f"{folder}/{name}.key", 365, None)
    return folder


def member(cas, name):
    (found,) = _client_ca.members((cas / f"{name}.crt").read_bytes())
    return found


def reconcile(cloud, state, *named, wait=5.0):
    api = CloudApi(Settings(key=KEY, url=cloud.url, ca_file=str(cloud.ca_file), timeout=5.0))
    reconciler = _client_ca.ClientCaReconciler(api, cloud.clusters[NAME].identifier, NAME)
    changes = _client_ca.plan(reconciler.read(wait)[1], named, state)
    if not changes.empty:
        reconciler.carry_out(changes, wait)
    return changes


def set_now(cloud, *members):
    cloud.clusters[NAME].client_ca.settle(b"".join(each.pem for each in members).decode())


def now(cloud):
    return list(_client_ca.members(cloud.clusters[NAME].client_ca.pem.encode()))


def test_from_none_to_a_bundle_and_back(cloud, cas):
    old, new = member(cas, "old"), member(cas, "new")
    set_now(cloud)
    cloud.switch()
    assert reconcile(cloud, "present", old).steps() == [f"add the client CA {old.shown()}"]
    assert reconcile(cloud, "present", new).removed == []
    assert now(cloud) == [old, new]
    assert reconcile(cloud, "present", old, new).empty
    assert [r["method"] for r in cloud.api.requests if r["method"] != "GET"] == ["POST", "PATCH"]
    reconcile(cloud, "absent", old)
    assert now(cloud) == [new]
    reconcile(cloud, "absent")
    assert now(cloud) == []
    assert [r["method"] for r in cloud.api.requests if r["method"] != "GET"] == ["POST", "PATCH", "PATCH", "DELETE"]
    assert reconcile(cloud, "absent", old).empty


def test_a_change_of_others_that_is_pending_is_waited_for(cloud, cas):
    """While it is pending, the service shows no certificate: a plan made of that would drop theirs."""
    old, new = member(cas, "old"), member(cas, "new")
    set_now(cloud)
    cloud.switch(client_ca_seconds=0.3)
    api = CloudApi(Settings(key=KEY, url=cloud.url, ca_file=str(cloud.ca_file), timeout=5.0))
    api.set_client_ca(cloud.clusters[NAME].identifier, old.pem.decode())
    reconcile(cloud, "present", new)
    assert now(cloud) == [old, new]
    cloud.switch(client_ca_seconds=0.5)
    with pytest.raises(OnboardingError, match=r"a change is not in effect after 0\.1 s.*crdb_client_cert_cluster_wait"):
        reconcile(cloud, "absent", new, wait=0.1)
    assert reconcile(cloud, "absent", new).empty


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_certificate_that_cannot_be_read_is_not_dropped(cloud, cas, monkeypatch, state):
    old, new = member(cas, "old"), member(cas, "new")
    set_now(cloud, old)
    strange = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    shown = {"status": "IS_SET", "x509_pem_cert": old.pem.decode() + strange}
    monkeypatch.setattr(type(cloud.clusters[NAME].client_ca), "described", lambda _self: shown)
    with pytest.raises(OnboardingError, match=r"shows a certificate that cannot be read here.*Nothing was changed"):
        reconcile(cloud, state, new if state == "present" else old)
    assert now(cloud) == [old]


@pytest.mark.parametrize(
    ("switches", "kind", "words"),
    [
        ({"client_ca_fails": True}, OnboardingError, "the service did not make the change, and shows FAILED"),
        ({"role": "DEVELOPER"}, AccessError, "changing the client CA needs Cluster Admin or Cluster Operator"),
        ({"locked": 503}, CloudError, "Another operation is running on the cluster"),
        ({"faults": {"1": "401"}}, AccessError, "The API key is wrong or has expired"),
    ],
)
def test_what_fails_is_said_and_changes_nothing(cloud, cas, switches, kind, words):
    set_now(cloud, member(cas, "old"))
    cloud.switch(**switches)
    with pytest.raises(kind, match=words):
        reconcile(cloud, "present", member(cas, "new"))
    assert now(cloud) == [member(cas, "old")]


@pytest.mark.parametrize("fault", ["reset_after", "500_after", "reset", "html", "429", "timeout_after"])
def test_a_lost_response_is_looked_up(cloud, cas, fault, monkeypatch):
    old, new = member(cas, "old"), member(cas, "new")
    set_now(cloud, old)
    cloud.switch(faults={"1": fault})
    if fault == "timeout_after":
        monkeypatch.setattr("sandbox.switches._HOLD", 0.2)
    reconcile(cloud, "present", new)
    assert now(cloud) == [old, new]


def test_a_colleague_who_changes_it_at_the_same_time_is_named(cloud, cas):
    old = member(cas, "old")
    set_now(cloud, old)
    cloud.switch()
    api = CloudApi(Settings(key=KEY, url=cloud.url, ca_file=str(cloud.ca_file), timeout=5.0))
    reconciler = _client_ca.ClientCaReconciler(api, cloud.clusters[NAME].identifier, NAME)
    with pytest.raises(OnboardingError, match="somebody else changed it at the same time"):
        reconciler.carry_out(_client_ca.plan([], [old], "present"), 5.0)
    assert now(cloud) == [old]


class TestUsed:
    @pytest.fixture
    def pem(self, cas):
        ca = _authority.ClientAuthority.load(f"{cas}/old.crt", f"{cas}/old.key", None)
        return ca.issue(_authority.new_key().public_key(), ["petra"], 30, scoped=False).pem.decode()

    def test_a_ca_that_signed_what_a_host_has_stays(self, cas, pem):
        old, new = member(cas, "old"), member(cas, "new")
        refused = _client_ca.plan([old, new], [old], "absent")
        words = r"signed the client certificates of app1, which could not log in.*Nothing was changed"
        with pytest.raises(OnboardingError, match=words):
            _client_ca.refuse_used(NAME, refused, {"app1": [pem], "app2": []})
        _client_ca.refuse_used(NAME, _client_ca.plan([old, new], [new], "absent"), {"app1": [pem]})
        _client_ca.refuse_used(NAME, _client_ca.plan([old], [new], "present"), {"app1": [pem], "app2": None})

    def test_what_nobody_looked_at_counts_as_used(self, cas, pem):
        new = member(cas, "new")
        changes = _client_ca.plan([new], [], "absent")
        with pytest.raises(OnboardingError, match=r"which client certificates app2, app3 has is not known"):
            _client_ca.refuse_used(NAME, changes, {"app1": [pem], "app2": None, "app3": None})

    def test_the_same_ca_with_a_later_end_takes_over(self, cas, pem):
        """A CA that was renewed with its key verifies the same client certificates."""
        ca = _authority.ClientAuthority.load(f"{cas}/old.crt", f"{cas}/old.key", None)
        builder = _authority.x509.CertificateBuilder()
        old = ca.certificate
        renewed = builder.subject_name(old.subject).issuer_name(old.subject).public_key(ca.key.public_key())
        renewed = renewed.serial_number(7).not_valid_before(old.not_valid_before_utc)
        renewed = renewed.not_valid_after(old.not_valid_after_utc + _authority.BACKDATED)
        for extension in old.extensions:
            renewed = renewed.add_extension(extension.value, extension.critical)
        signed = renewed.sign(ca.key, _authority.hashes.SHA256())
        (later,) = _client_ca.members(signed.public_bytes(_authority.Encoding.PEM))
        changes = _client_ca.plan([member(cas, "old"), later], [member(cas, "old")], "absent")
        _client_ca.refuse_used(NAME, changes, {"app1": [pem]})


class Heron:
    """One app of this machine that uses the Advanced cluster of the sandbox by a client certificate."""

    def __init__(self, controller, sandbox, cas):
        self.controller, self.sandbox, self.cas = controller, sandbox, cas
        self.facts = {"cluster": NAME, "user": "petra", "database": "defaultdb"}
        self.facts.update(client_ca_file=f"{cas}/old.crt", client_ca_key_file=f"{cas}/old.key")
        self.network = {"crdb_network_entries": ["192.0.2.44/32"], "crdb_network_allow_private": True}

    def play(self, name, *words, status=0, **variables):
        common = {
            "crdb_hosts": "localhost",
            "crdb_check_drivers": False,
            "crdb_apps": [{"name": "shop", "folder": "~/shop", "frameworks": ["psycopg2"]}],
            "crdb_connections": {"shop": self.facts},
            **self.sandbox.cloud,
        }
        done = self.controller.playbook(name, {**common, **variables}, *words)
        assert done.status == status, done.output
        return " ".join(done.output.split())

    def stored(self):
        key = self.sandbox.cloud["crdb_cloud_api_key_file"]
        answer = requests.get(
            f"{self.sandbox.cloud['crdb_cloud_url']}/api/v1/clusters/{identifier(NAME)}/client-ca-cert",
            headers={"Authorization": f"Bearer {Path(key).read_text().strip()}"},
            verify=self.sandbox.cloud["crdb_cloud_ca_file"], timeout=20,
        ).json()  # fmt: skip
        return answer["status"], list(_client_ca.members(answer["x509_pem_cert"].encode()))


def test_an_advanced_cluster_takes_a_ca_and_the_next_one(controller, sandbox, cas):
    """Set, logged in with, rotated as a bundle, and removed, each as a playbook; nothing that hosts use goes."""
    heron = Heron(controller, sandbox, cas)
    old, new = member(cas, "old"), member(cas, "new")
    heron.play("authorize_network", **heron.network)
    try:
        said = heron.play("cluster_client_ca", "--check", "--diff")
        assert "steady-heron: would add the client CA CN=Cockroach CA" in said
        assert heron.stored() == ("NOT_SET", [])
        refused = heron.play("app_servers", status=2)
        assert "because its connection with the new files is not proved" in refused
        said = heron.play("cluster_client_ca")
        assert "changed=1" in said
        assert "interrupts existing connections" in said
        assert heron.stored() == ("IS_SET", [old])
        assert "changed=0" in heron.play("cluster_client_ca")
        heron.play("app_servers")
        removal = {"crdb_client_cert_cluster_state": "absent"}
        assert "signed the client certificates of localhost" in heron.play("cluster_client_ca", status=2, **removal)
        # The next CA: beside the old one, then new certificates, then alone.
        heron.facts.update(client_ca_file=f"{cas}/new.crt", client_ca_key_file=f"{cas}/new.key")
        heron.play("cluster_client_ca")
        assert heron.stored() == ("IS_SET", [old, new])
        removal["crdb_client_cert_cluster_ca_files"] = [f"{cas}/old.crt"]
        assert "signed the client certificates of localhost" in heron.play("cluster_client_ca", status=2, **removal)
        heron.play("app_servers")
        heron.play("cluster_client_ca", **removal)
        assert heron.stored() == ("IS_SET", [new])
        # The cluster trusts the new one only, and the app still logs in.
        assert "changed=0" in heron.play("app_servers")
        heron.play("check")
        heron.play("cluster_client_ca", **TOLD)
        assert heron.stored() == ("NOT_SET", [])
        assert "changed=0" in heron.play("cluster_client_ca", **TOLD)
        basic = {"crdb_client_cert_cluster_names": ["funky-skunk"]}
        assert "accepts no client certificate" in heron.play("cluster_client_ca", status=2, **basic)
    finally:
        heron.play("offboard")
        heron.play("cluster_client_ca", **TOLD)
        heron.play("authorize_network", **heron.network, crdb_network_state="absent")


@pytest.mark.thorough
def test_a_fleet_changes_it_once_and_counts_hosts_that_nobody_asked(controller, sandbox, cas, tmp_path):
    heron = Heron(controller, sandbox, cas)
    inventory = tmp_path / "hosts"
    inventory.write_text(
        f"[all:vars]\nansible_connection=local\nansible_python_interpreter={sys.executable}\n[apps]\napp1\napp2\napp3\n"
    )
    fleet = ("-i", inventory)
    try:
        # Three hosts name it, and the change is made once.
        said = heron.play("cluster_client_ca", *fleet, crdb_hosts="all")
        assert said.count("add the client CA") == 1
        assert said.count("done already in this run") >= 1
        assert heron.stored() == ("IS_SET", [member(cas, "old")])
        both = {"crdb_client_cert_cluster_ca_files": [f"{cas}/old.crt", f"{cas}/new.crt"]}
        heron.play("cluster_client_ca", *fleet, "-l", "app1", crdb_hosts="all", **both)
        assert heron.stored() == ("IS_SET", [member(cas, "old"), member(cas, "new")])
        removal = {"crdb_client_cert_cluster_state": "absent", "crdb_hosts": "all"}
        removal["crdb_client_cert_cluster_ca_files"] = [f"{cas}/old.crt"]
        refused = heron.play("cluster_client_ca", *fleet, "-l", "app1", status=2, **removal)
        assert "which client certificates app2, app3 has is not known" in refused
        assert heron.stored() == ("IS_SET", [member(cas, "old"), member(cas, "new")])
        # All hosts were asked, and none has a certificate.
        heron.play("cluster_client_ca", *fleet, **removal)
        assert heron.stored() == ("IS_SET", [member(cas, "new")])
    finally:
        heron.play("cluster_client_ca", **TOLD)
