# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""inventories/example, copied and filled in as its README says."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from sandbox.allowlist import Entry
from tests.cloud import KEY, CloudStage
from tests.faults.certificates import Authority
from tests.integration.conftest import CHECKOUT

EXAMPLE = CHECKOUT / "inventories" / "example"
ENVIRONMENTS = ("staging", "production")
# Evaluated, it would be an error that prints the line; as it is, it is a password.
PASSWORD = "a{{ p%ss'wo\"rd"


@pytest.fixture
def mine(controller, tmp_path):
    """The copy, with CAs, and with vaults whose password is in a file."""
    mine = tmp_path / "mine"
    shutil.copytree(EXAMPLE, mine)
    key = tmp_path / "vault-password"
    key.write_text("only for this test\n")
    controller.environment = {
        "ANSIBLE_VAULT_PASSWORD_FILE": str(key),
        "REPORTS_DATABASE_URL": "postgresql://reports:secret@reports-1.abc.cockroachlabs.cloud:26257/reports",
    }
    authority = Authority(tmp_path, "ledger")
    template = (mine / "vault.yml.example").read_text()
    for environment in ENVIRONMENTS:
        shutil.copy(authority.path, mine / "files" / f"ledger-{environment}-ca.crt")
        vault = mine / environment / "group_vars" / "all" / "vault.yml"
        vault.write_text(template.replace('"..."', json.dumps(PASSWORD)))
        done = controller.run("ansible-vault", "encrypt", vault)
        assert done.status == 0, done.output
        assert vault.read_text().startswith("$ANSIBLE_VAULT;")
    return mine


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_ansible_reads_it_without_a_warning(controller, mine, environment):
    run = controller.run("ansible-inventory", "-i", mine / environment, "--list")
    assert run.status == 0, run.output
    listed = json.loads(run.output)
    hosts = listed["_meta"]["hostvars"]
    assert set(listed["shops"]["hosts"]) | set(listed["reports"]["hosts"]) == set(hosts)
    others = {facts["crdb_connections"]["shop_db"]["host"] for facts in hosts.values()}
    assert len(others) == 1
    assert environment in others.pop()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_connection_and_app_is_valid(controller, mine, environment):
    run = controller.playbook("connection", {"crdb_hosts": "all"}, "-i", mine / environment, "--check")
    assert run.status == 0, run.output
    assert run.output.count("shop_db (serverless)") >= 1
    assert "ledger_db (dedicated)" in run.output
    assert PASSWORD not in run.output
    assert "secret" not in run.output


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_allowlists_entries_are_valid(controller, mine, environment):
    """As docs/pipeline.md prints it: nothing names a host."""
    run = controller.playbook("authorize_network", {}, "-i", mine / environment, "--tags", "validate")
    assert run.status == 0, run.output


def test_a_missing_ca_is_named(controller, mine):
    (mine / "files" / "ledger-staging-ca.crt").unlink()
    run = controller.playbook("connection", {"crdb_hosts": "all"}, "-i", mine / "staging", "--check")
    assert run.status == 2, run.output
    assert "ledger-staging-ca.crt" in run.output


def test_nothing_in_it_is_a_secret():
    """No vault whose password stands beside it, and no password."""
    for path in EXAMPLE.rglob("*"):
        if path.is_file():
            assert "$ANSIBLE_VAULT" not in path.read_text()
            assert path.name != "vault.yml"


@pytest.fixture
def cloud():
    """The Cloud API, whose clusters have the names that the copy is filled in with."""
    stage = CloudStage()
    stage.switch()
    yield stage
    stage.close()


@pytest.fixture
def filled(mine, cloud):
    """The copy with clusters of the API, and with the store of passwords that docs/rotation.md and network.md print."""
    folder = mine / "staging" / "group_vars" / "all"
    network = (folder / "network.yml").read_text()
    for theirs, ours in (("shop-staging", "funky-skunk"), ("ledger-staging", "steady-heron")):
        network = network.replace(theirs, ours)
    (folder / "network.yml").write_text(network)
    facts = {
        "url": cloud.url,
        "ca_file": str(cloud.ca_file),
        "api_key": KEY,
    }
    variables = {f"crdb_cloud_{name}": value for name, value in facts.items()}
    variables["crdb_sql_user_password_store"] = "{{ inventory_dir }}/.passwords.json"
    # No cluster of the Cloud API needs it, and nobody can evaluate it here.
    (folder / "cloud.json").write_text(json.dumps(variables))
    connections = folder / "connections.yml"
    text = connections.read_text()
    assert 'password: "{{ vault_shop_password }}"' in text
    text += '  users_db: {cluster: funky-skunk, user: ann, ca_text: "{{ a_variable_that_nobody_sets }}"}\n'
    connections.write_text(text)
    return mine / "staging"


def test_networks_and_users_come_and_go_without_a_host_that_is_named(controller, filled, cloud):
    """As the pages print it: authorize_network, sql_user, leaver. What they do not use is not evaluated."""
    del controller.environment["REPORTS_DATABASE_URL"]
    run = controller.playbook("authorize_network", {}, "-i", filled)
    assert run.status == 0, run.output
    expected = ["198.41.0.0/24", "198.41.7.9/32", "203.0.113.0/24"]
    assert cloud.networks("funky-skunk") == expected
    assert cloud.networks("steady-heron") == expected
    run = controller.playbook("sql_user", {}, "-i", filled)
    assert run.status == 0, run.output
    store = filled / ".passwords.json"
    assert "ann" in cloud.accounts["funky-skunk"].passwords
    assert cloud.accounts["funky-skunk"].passwords["ann"] in store.read_text() or "$ANSIBLE_VAULT" in store.read_text()
    listed = controller.run("ansible-inventory", "-i", filled, "--list")
    assert "WARNING" not in listed.output
    assert set(json.loads(listed.output)["all"]["children"]) == {"ungrouped", "shops", "reports"}
    cloud.store("funky-skunk", Entry("198.51.100.7/32", "crdb.onboard ann"), Entry("203.0.113.0/24", "office"))
    gone = {"crdb_sql_user_name": "ann", "crdb_network_name": "ann", "crdb_network_entries": []}
    # Nobody answers there: to take an entry away needs no echo service.
    run = controller.playbook("leaver", {**gone, "crdb_network_echo": ["https://localhost:9/"]}, "-i", filled)
    assert run.status == 0, run.output
    assert cloud.networks("funky-skunk") == ["203.0.113.0/24"]
    assert "ann" not in cloud.accounts["funky-skunk"].passwords
    assert "its address is not known" in " ".join(run.output.split())


def test_a_missing_api_key_is_said_once_with_its_cure(controller, mine):
    """The last command of the example's README."""
    run = controller.playbook("app_servers", {}, "-i", mine / "staging")
    assert run.status == 2, run.output
    assert len(re.findall(r"msg: No API key was given", run.output)) == 1, run.output
    assert "COCKROACH_API_KEY" in run.output
