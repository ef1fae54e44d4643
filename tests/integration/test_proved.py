# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What works is never replaced by what was not proved, whichever way it is run; the order of dev_machine.yml."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import files_below
from tests.integration.test_check import inventory
from tests.integration.test_offboard import tree

WRONG = "wr0ng-p4ssw0rd"
ROLES = """
- hosts: all
  gather_facts: false
  roles: [crdb.onboard.crdb_ca, crdb.onboard.crdb_app_config]
"""
MODULES = """
- hosts: localhost
  gather_facts: false
  tasks:
    - crdb.onboard.ca: {options}
    - crdb.onboard.app_config: {options}
"""
DOORS = ("dev_machine", "roles", "modules")


def flat(text):
    """Output without the line breaks of the display."""
    return " ".join(text.split())


def app(name="shop", **more):
    """An app with a framework, its psql service, a sample and every kind of file."""
    return {
        "name": name,
        "folder": f"~/{name}",
        "frameworks": ["django", "node-postgres"],
        "psql_service": name,
        **more,
    }


@pytest.fixture
def onboard(controller, sandbox, tmp_path):
    """Onboard this machine with these facts, the way that is named."""

    def run(door, facts, *words, apps=None):
        options = {"connections": {"db": facts}, "apps": apps or [app()]}
        path = tmp_path / "play.yml"
        if door == "modules":
            path.write_text(MODULES.format(options=json.dumps(options)))
            return controller.playbook(str(path), {}, *words)
        variables = {"crdb_connections": options["connections"], "crdb_apps": options["apps"]}
        if door == "dev_machine":
            return controller.playbook("dev_machine", variables, *words)
        path.write_text(ROLES)
        return controller.playbook(str(path), variables, "-i", inventory(tmp_path, 1), *words)

    return run


@pytest.fixture
def logins(sandbox):
    """How many connections with a password the sandbox has seen since the last call, to the cluster of a name."""
    log = sandbox.state / "sandbox.log"
    seen = [len(log.read_text().splitlines())]

    def count(name):
        lines = log.read_text().splitlines()
        new, seen[0] = lines[seen[0] :], len(lines)
        return len([line for line in new if name in line])

    return count


def both_places(sandbox, name="funky_skunk"):
    """A connection whose CA is written beside the app and to ~/.postgresql/root.crt."""
    return {**sandbox.connections[name], "ca_destination": "both"}


@pytest.mark.parametrize("door", DOORS)
def test_a_mistyped_password_leaves_every_working_file_and_is_tried_once(controller, sandbox, onboard, logins, door):
    facts = both_places(sandbox)
    first = onboard(door, facts)
    assert first.status == 0, first.output
    before = tree(controller.home)
    assert {".pgpass", ".pg_service.conf", ".postgresql/root.crt", "shop/.env", "shop/certs/ca.crt"} <= set(before)
    logins("funky-skunk")
    second = onboard(door, {**facts, "password": WRONG})
    assert second.status == 2, second.output
    assert tree(controller.home) == before
    assert "password_rejected cause:" in flat(second.output)
    assert "cure:" in second.output
    assert WRONG not in second.output
    # The roles and modules prove the CA in a connection of its own, before anything is logged in.
    assert logins("funky-skunk") == 1
    again = onboard(door, facts)
    assert again.recap("host000" if door == "roles" else "localhost")["changed"] == 0, again.output


@pytest.mark.parametrize("door", DOORS)
def test_a_strangers_ca_leaves_every_working_file(controller, sandbox, onboard, logins, door):
    facts = both_places(sandbox)
    first = onboard(door, facts)
    assert first.status == 0, first.output
    before = tree(controller.home)
    logins("funky-skunk")
    second = onboard(door, {**facts, "ca_file": str(sandbox.stranger_ca_file)})
    assert second.status == 2, second.output
    assert tree(controller.home) == before
    assert "tls_unknown_ca cause:" in flat(second.output)
    assert "cure:" in second.output
    assert logins("funky-skunk") == 0


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("wrong", ["password", "ca"])
def test_a_first_run_that_is_wrong_leaves_an_empty_home(controller, sandbox, onboard, door, wrong):
    facts = both_places(sandbox)
    facts.update({"password": WRONG} if wrong == "password" else {"ca_file": str(sandbox.stranger_ca_file)})
    run = onboard(door, facts)
    assert run.status == 2, run.output
    written = set(tree(controller.home))
    if door == "dev_machine" or wrong == "ca":
        assert written == set()
    # By itself the CA was right, and proved.
    assert not [path for path in written if path.endswith(".env") or path == ".pgpass"]


@pytest.mark.parametrize("door", ["roles", "modules"])
def test_the_ca_alone_is_proved_without_a_login(controller, sandbox, onboard, logins, door, tmp_path):
    facts = {key: value for key, value in sandbox.connections["steady_heron"].items() if key != "password"}
    options = {"connections": {"db": {**facts, "password": WRONG}}, "apps": [app()]}
    path = tmp_path / "ca.yml"
    path.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [{"crdb.onboard.ca": options}]}])
        if door == "modules"
        else json.dumps([{"hosts": "localhost", "gather_facts": False, "roles": ["crdb.onboard.crdb_ca"]}])
    )
    variables = {"crdb_connections": options["connections"], "crdb_apps": options["apps"]} if door == "roles" else {}
    run = controller.playbook(str(path), variables)
    assert run.status == 0, run.output
    assert "shop/certs/ca.crt" in files_below(controller.home)
    assert "not proved" not in run.output


@pytest.mark.parametrize("door", DOORS)
def test_what_cannot_be_reached_yet_is_written_on_request_and_said_in_one_line(controller, sandbox, tmp_path, door):
    facts = {**sandbox.connections["steady_heron"], "port": 1}
    options = {"connections": {"db": facts}, "apps": [app()]}
    variables = {"crdb_connections": options["connections"], "crdb_apps": options["apps"], "crdb_check_fail": False}
    path = tmp_path / "play.yml"
    if door == "modules":
        path.write_text(MODULES.format(options=json.dumps({**options, "prove": False})))
        run = controller.playbook(str(path), {})
    elif door == "roles":
        path.write_text(ROLES)
        off = {"crdb_ca_prove": False, "crdb_app_config_prove": False}
        run = controller.playbook(str(path), {**variables, **off}, "-i", inventory(tmp_path, 1))
    else:
        run = controller.playbook("dev_machine", {**variables, "crdb_app_config_prove": False})
    assert run.status == 0, run.output
    assert "shop/.env" in files_below(controller.home)
    said = [line for line in run.output.splitlines() if "not proved: shop" in line]
    assert len(said) == 1, run.output


def test_in_check_mode_nothing_is_asked(controller, sandbox, onboard):
    for door in DOORS:
        run = onboard(door, {**sandbox.connections["steady_heron"], "port": 1}, "--check")
        # dev_machine.yml goes on to its check, which asks.
        assert run.status == (2 if door == "dev_machine" else 0), run.output
        assert "wrote no file" not in run.output
    assert tree(controller.home) == {}


def test_the_cloud_api_says_more_about_what_was_not_proved(controller, sandbox):
    facts = {**sandbox.connections["funky_skunk"], "user": "nobody_there"}
    variables = {"crdb_connections": {"db": facts}, "crdb_apps": [app()], **sandbox.cloud}
    run = controller.playbook("dev_machine", variables)
    assert run.status == 2, run.output
    assert "shop: db: user_unknown cause:" in flat(run.output)
    assert tree(controller.home) == {}


class TestFleet:
    """The roles in a playbook of one's own, for many hosts at once."""

    @pytest.fixture
    def roll(self, controller, sandbox, tmp_path):
        """Onboard hosts, each in a folder of its own, with these facts."""

        def run(facts, *words):
            play = tmp_path / "play.yml"
            play.write_text(ROLES)
            variables = {
                "crdb_connections": {"db": {**sandbox.connections["funky_skunk"], **facts}},
                "crdb_apps": [{"name": "{{ inventory_hostname }}", "folder": "~/{{ inventory_hostname }}"}],
            }
            return controller.playbook(str(play), variables, "-i", inventory(tmp_path, 8), "--forks", "8", *words)

        return run

    def test_a_refused_password_is_tried_by_one_host(self, controller, roll, logins):
        first = roll({})
        assert first.status == 0, first.output
        before = files_below(controller.home)
        logins("funky-skunk")
        run = roll({"password": WRONG})
        assert run.status == 2, run.output
        assert logins("funky-skunk") == 1
        assert files_below(controller.home) == before
        output = flat(run.output)
        assert output.count("password_rejected cause:") >= 1
        assert "canary_refused cause:" in output
        again = roll({})
        assert again.status == 0, again.output
        assert [again.recap(f"host{number:03}")["changed"] for number in range(8)] == [0] * 8
        assert logins("funky-skunk") == 0


def test_one_task_after_the_other_does_not_try_a_refused_password_again(controller, sandbox, tmp_path, logins):
    options = {"connections": {"db": {**sandbox.connections["funky_skunk"], "password": WRONG}}, "apps": [app()]}
    tasks = [
        {"crdb.onboard.ca": options},
        {"crdb.onboard.app_config": options, "ignore_errors": True},
        {"crdb.onboard.app_config": options, "ignore_errors": True},
        {"crdb.onboard.check": options},
    ]
    path = tmp_path / "play.yml"
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    logins("funky-skunk")
    run = controller.playbook(str(path), {})
    assert run.status == 2, run.output
    assert logins("funky-skunk") == 1
    assert "shop/.env" not in files_below(controller.home)


class TestClient:
    """The client's download comes last, and its failure does not end the onboarding."""

    @pytest.fixture
    def onboard(self, controller, tmp_path):
        """Onboard with a connection, and with a client that cannot be downloaded."""

        def onboard(facts):
            variables = {
                "crdb_connections": {"db": facts},
                "crdb_apps": [app()],
                "crdb_client_install": True,
                "crdb_client_base_url": "https://127.0.0.1:1",
                "crdb_client_prefix": str(tmp_path / "prefix"),
            }
            return controller.playbook("dev_machine", variables)

        return onboard

    def test_a_failed_download_is_reported_with_its_cure_and_is_no_change(self, onboard, controller, sandbox, tmp_path):
        run = onboard(sandbox.connections["steady_heron"])
        assert run.status == 0, run.output
        assert run.recap()["failed"] == 0
        assert run.recap()["changed"] == 1
        assert "fatal:" not in run.output
        end = flat(run.output[run.output.index("TASK [crdb.onboard.crdb_client : Show notes for the operator]") :])
        assert "The client was not installed" in end
        assert "cannot be downloaded" in end
        assert "run the same command once more" in end
        assert run.output.index("Check the connection") < run.output.rindex("Install the client")
        assert "shop/.env" in files_below(controller.home)
        assert not (tmp_path / "prefix").exists()
        again = onboard(sandbox.connections["steady_heron"])
        assert again.status == 0, again.output
        assert again.recap()["changed"] == 0

    def test_a_connection_that_is_not_proved_downloads_nothing(self, onboard, sandbox):
        run = onboard({**sandbox.connections["funky_skunk"], "password": WRONG})
        assert run.status == 2, run.output
        assert "password_rejected cause:" in flat(run.output)
        assert "cannot be downloaded" not in run.output


class TestNames:
    """An app without a name is named after its folder."""

    def onboard(self, controller, facts, folder, **more):
        variables = {"crdb_connections": {"db": facts}, "crdb_app_folder": folder, "crdb_frameworks": "django", **more}
        run = controller.playbook("dev_machine", variables)
        assert run.status == 0, run.output
        return run

    def test_two_folders_are_two_apps(self, controller, sandbox):
        facts = sandbox.connections["steady_heron"]
        for name in ("shop", "reports"):
            run = self.onboard(controller, facts, f"~/src/{name}", crdb_app_psql_service=name)
            assert f"{name}: Django trusts" in run.output
            assert "removes" not in run.output
        services = (controller.home / ".pg_service.conf").read_text()
        assert "[shop]" in services
        assert "[reports]" in services

    def test_the_preview_says_what_is_removed(self, controller, sandbox):
        facts = sandbox.connections["steady_heron"]
        self.onboard(controller, facts, "~/src/shop", crdb_app_psql_service="first")
        run = self.onboard(controller, facts, "~/src/shop", crdb_app_psql_service="second")
        preview = run.output[: run.output.index("TASK [crdb.onboard.crdb_app_config")]
        assert f"changed {controller.home}/.pg_service.conf, removes [first]" in flat(preview)
        assert "[first]" not in (controller.home / ".pg_service.conf").read_text()

    def test_what_was_recorded_under_the_old_name_is_the_folders_app(self, controller, sandbox):
        """Before, every app without a name was called `app`."""
        facts = sandbox.connections["steady_heron"]
        self.onboard(controller, facts, "~/src/shop", crdb_app_name="app", crdb_app_psql_service="shop")
        record = controller.home / ".local/state/crdb-onboard/files.json"
        run = self.onboard(controller, facts, "~/src/shop", crdb_app_psql_service="shop")
        assert "removes" not in run.output
        names = {name for entry in json.loads(record.read_text())["files"].values() for key in entry["keys"].values()
                 for name in key["apps"]}  # fmt: skip
        assert names == {"shop"}
        run = controller.playbook("offboard", {"crdb_hosts": "localhost", "crdb_app_folder": "~/src/shop"})
        assert run.status == 0, run.output
        assert tree(controller.home) == {}

    @pytest.mark.thorough
    def test_offboarding_knows_the_old_name_too(self, controller, sandbox):
        facts = sandbox.connections["steady_heron"]
        self.onboard(controller, facts, "~/src/shop", crdb_app_name="app", crdb_app_psql_service="shop")
        self.onboard(controller, facts, "~/src/reports", crdb_app_psql_service="reports")
        run = controller.playbook("offboard", {"crdb_hosts": "localhost", "crdb_app_folder": "~/src/shop"})
        assert run.status == 0, run.output
        assert not (controller.home / "src/shop").exists()
        assert (controller.home / "src/reports/.env").exists()
        services = (controller.home / ".pg_service.conf").read_text()
        assert "[shop]" not in services
        assert "[reports]" in services
