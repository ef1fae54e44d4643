# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a connection comes in on a laptop: README's main command, at a terminal and without one, and what follows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.conftest import files_below
from tests.integration.test_onboarding import flat, url_of

CLOUD_URL = "postgresql://max:s3cret-canary@funky-skunk-123.abc.cockroachlabs.cloud:26257/bank?sslmode=verify-full"
QUIET = {"crdb_app_samples": False, "crdb_frameworks": "psycopg2"}


@pytest.fixture
def laptop(controller, sandbox):
    """A machine for which the sandbox is CockroachDB Cloud; it has no CA."""
    controller.environment["COCKROACH_SERVER"] = sandbox.cloud["crdb_cloud_url"]
    return controller


def cluster_id(sandbox, name):
    """The id that the Console shows in the command that downloads the CA."""
    return json.loads((sandbox.state / "sandbox.json").read_text())["clusters"][name]["id"]


def main_command(sandbox):
    """README's main command; nobody can be asked for the CA of the stand-in's own site."""
    return [
        *("ansible-playbook", "playbooks/dev_machine.yml", "-e", "crdb_frameworks=psycopg2,django"),
        *("-e", f"crdb_cloud_ca_file={sandbox.cloud['crdb_cloud_ca_file']}"),
    ]


class TestMainCommand:
    @pytest.mark.parametrize("form", ["{}", "cockroach sql --url '{}'"])
    def test_a_string_the_ca_and_the_password_are_asked_for(self, laptop, sandbox, form):
        facts = sandbox.connections["funky_skunk"]
        url = url_of({**facts, "password": "<ENTER-SQL-USER-PASSWORD>"})
        terminal = laptop.terminal([*main_command(sandbox), "-vvvv"])
        terminal.until("Connection string of the cluster")
        terminal.type(form.format(url))
        terminal.until("CA of localhost")
        # As people paste it: the command that the Console shows.
        terminal.type(f"curl -o root.crt 'https://example.com/clusters/{cluster_id(sandbox, 'funky-skunk')}/cert'")
        terminal.until("Password of the SQL user maxroach")
        terminal.type(facts["password"])
        assert terminal.end() == 0, terminal.screen
        assert "from the prompt" in terminal.screen
        assert facts["password"] not in terminal.screen
        assert (laptop.home / "crdb-app/certs/ca.crt").read_text() == Path(facts["ca_file"]).read_text()
        assert facts["password"] in (laptop.home / "crdb-app/.env").read_text()

    def test_wrong_input_is_asked_for_again(self, laptop, sandbox):
        facts = sandbox.connections["funky_skunk"]
        terminal = laptop.terminal(main_command(sandbox))
        terminal.until("Connection string of the cluster")
        terminal.type(url_of({**facts, "password": "hunter2canary"}).replace("verify-full", "require"))
        terminal.until("is weaker than verify-full")
        terminal.until("Attempt 2 of 3")
        terminal.type(url_of(facts))
        terminal.until("CA of localhost")
        terminal.type("nothing")
        terminal.until("neither the id of a cluster")
        terminal.type(cluster_id(sandbox, "funky-skunk"))
        assert terminal.end() == 0, terminal.screen
        assert "hunter2canary" not in terminal.screen

    def test_without_a_terminal_one_sentence_says_where_the_ca_comes_from(self, laptop, sandbox):
        run = laptop.playbook("dev_machine", QUIET, DATABASE_URL=url_of(sandbox.connections["funky_skunk"]))
        assert run.status == 2
        output = flat(run.output)
        assert (
            "/.postgresql/root.crt: the CA does not exist. Set ca_cluster_id (crdb_connection_ca_cluster_id)" in output
        )
        assert "Connect > Download CA" in output
        assert files_below(laptop.home) == {}

    @pytest.mark.parametrize("name", ["funky-skunk", "steady-heron"])
    def test_without_a_terminal_the_cluster_id_is_enough(self, laptop, sandbox, name):
        facts = sandbox.connections[name.replace("-", "_")]
        variables = {
            **QUIET,
            "crdb_connection_ca_cluster_id": cluster_id(sandbox, name),
            "crdb_connection_deployment": facts["deployment"],
            "crdb_cloud_ca_file": sandbox.cloud["crdb_cloud_ca_file"],
        }
        run = laptop.playbook("dev_machine", variables, COCKROACH_URL=f'psql "{url_of(facts)}"')
        assert run.status == 0, run.output
        assert "from COCKROACH_URL in the environment" in run.output
        assert (laptop.home / "crdb-app/certs/ca.crt").read_text() == Path(facts["ca_file"]).read_text()

    def test_a_site_that_is_not_verified_gives_no_ca(self, laptop, sandbox):
        facts = sandbox.connections["funky_skunk"]
        variables = {**QUIET, "crdb_connection_ca_cluster_id": cluster_id(sandbox, "funky-skunk")}
        run = laptop.playbook("dev_machine", variables, COCKROACH_URL=url_of(facts))
        assert run.status == 2
        assert "ca_cluster_id https://localhost" in flat(run.output)
        assert "cannot be downloaded" in flat(run.output)
        assert files_below(laptop.home) == {}

    @pytest.mark.parametrize("named", ["", "&sslrootcert=$HOME/.postgresql/root.crt"])
    def test_a_cluster_of_the_cloud_has_the_public_ca(self, controller, named):
        run = controller.playbook(
            "dev_machine", {**QUIET, "crdb_check_fail": False}, "--check", COCKROACH_URL=CLOUD_URL + named
        )
        assert run.status == 0, run.output
        assert "CA: ISRG Root X1" in run.output
        assert f"created {controller.home}/.postgresql/root.crt" in run.output

    def test_no_warning_comes_first(self, laptop, sandbox):
        run = laptop.playbook("connection", {}, COCKROACH_URL=CLOUD_URL)
        assert run.status == 0, run.output
        assert "[WARNING]" not in run.output
        assert "s3cret-canary" not in run.output


class TestCheckAfterIt:
    def onboard(self, laptop, sandbox, folder="~/crdb-app", name="funky_skunk", app="app"):
        facts = sandbox.connections[name]
        variables = {
            **QUIET,
            "crdb_connection_ca_file": facts["ca_file"],
            "crdb_app_folder": folder,
            "crdb_app_name": app,
        }
        run = laptop.playbook("dev_machine", variables, DATABASE_URL=url_of(facts))
        assert run.status == 0, run.output
        return facts["password"]

    def test_it_checks_what_was_written(self, laptop, sandbox):
        password = self.onboard(laptop, sandbox)
        run = laptop.playbook("check", {}, "-vvvv")
        assert run.status == 0, run.output
        assert f"Checking the connection in {laptop.home}/crdb-app/.env" in run.output
        assert "app: default" in run.output
        assert password not in run.output

    def test_the_folder_selects_one_of_two_apps(self, laptop, sandbox):
        self.onboard(laptop, sandbox)
        self.onboard(laptop, sandbox, "~/src/shop", "brave_otter", "shop")
        both = laptop.playbook("check", {})
        assert both.status == 0, both.output
        assert "app: app" in both.output
        assert "shop: shop" in both.output
        one = laptop.playbook("check", {"crdb_app_folder": "~/src/shop"})
        assert one.status == 0, one.output
        assert f"Checking the connection in {laptop.home}/src/shop/.env\n" in one.output
        framework = laptop.playbook("check", {"crdb_app_folder": "~/src/shop", "crdb_frameworks": "psycopg2"})
        assert framework.status == 0, framework.output

    def test_the_variable_of_the_environment_is_named(self, laptop, sandbox):
        facts = sandbox.connections["funky_skunk"]
        variables = {"crdb_connection_ca_file": facts["ca_file"]}
        run = laptop.playbook("check", variables, "--check", DATABASE_URL=url_of(facts))
        assert run.status == 0, run.output
        assert "Checking the connection from DATABASE_URL in the environment" in run.output

    def test_it_asks_where_nothing_was_written(self, laptop, sandbox):
        facts = sandbox.connections["funky_skunk"]
        terminal = laptop.terminal(
            ["ansible-playbook", "playbooks/check.yml", "-e", f"crdb_connection_ca_file={facts['ca_file']}", "--check"],
        )
        terminal.until("Connection string of the cluster")
        terminal.type(url_of(facts))
        assert terminal.end() == 0, terminal.screen


class TestFrameworks:
    def test_the_preview_needs_no_connection(self, controller):
        run = controller.playbook("frameworks", {"crdb_frameworks": "typeorm,hibernate"})
        assert run.status == 0, run.output
        assert "No connection was given, so the files show example values" in run.output
        assert "my-cluster-123.abc.cockroachlabs.cloud" in run.output

    @pytest.mark.parametrize("playbook", ["frameworks", "dev_machine"])
    def test_an_unknown_framework_is_named_first(self, controller, playbook):
        run = controller.playbook(playbook, {"crdb_frameworks": "djanga"})
        assert run.status == 2
        assert "Did you mean django?" in flat(run.output)
        assert "There is no connection" not in run.output


def test_a_relative_ca_file_lies_beside_the_inventory(controller, sandbox, tmp_path):
    facts = sandbox.connections["funky_skunk"]
    inventory = tmp_path / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts").write_text("here ansible_connection=local\n")
    (inventory / "shop-ca.crt").write_text(Path(facts["ca_file"]).read_text())
    (inventory / "group_vars" / "all.json").write_text(
        json.dumps({"crdb_connections": {"shop": {**facts, "ca_file": "shop-ca.crt"}}})
    )
    for folder in (tmp_path, inventory):
        controller.cwd = folder
        run = controller.playbook("crdb.onboard.connection", {"crdb_hosts": "all"}, "-i", inventory)
        assert run.status == 0, run.output
