# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""inventories/example, copied and filled in as its README says."""

from __future__ import annotations

import json
import shutil

import pytest

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


def test_the_allowlists_entries_are_valid(controller, mine):
    words = ("-i", mine / "staging", "--tags", "validate")
    run = controller.playbook("authorize_network", {"crdb_hosts": "shops"}, *words)
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
