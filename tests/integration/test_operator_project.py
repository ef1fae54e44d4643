# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An operator with a project of their own: from an empty store to a user of an app, and out of the hosts again."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.cloud import CloudStage
from tests.integration.conftest import BIN

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": str(BIN / "python")}


def inventory(folder, hosts, **everywhere):
    """An inventory whose hosts are this machine."""
    path = folder / "hosts.json"
    named = {name: {**LOCAL, **facts} for name, facts in hosts.items()}
    path.write_text(json.dumps({"all": {"hosts": named, "vars": everywhere}}))
    return path


class TestUsersWithNoMoreRights:
    """docs/network.md: one command, from an empty store."""

    @pytest.fixture
    def project(self, controller, sandbox, tmp_path):
        url, ca_file = sandbox.cloud["crdb_cloud_url"], sandbox.cloud["crdb_cloud_ca_file"]
        variables = {
            **sandbox.cloud,
            "crdb_network_allow_private": True,
            "crdb_network_current": "controller",
            "crdb_network_name": "operator",
            "crdb_network_echo": [f"{url}/echo/plain", f"{url}/echo/json"],
            "crdb_network_echo_ca_file": ca_file,
            "crdb_sql_user_password_store": str(tmp_path / "passwords.json"),
            "crdb_connections": {
                "shop_admin": {"cluster": "brave-otter", "user": "warden"},
                "shop_db": {"cluster": "brave-otter", "user": "shop", "database": "defaultdb"},
            },
            "crdb_sql_user_admin": "shop_admin",
            "crdb_sql_user_grants": [{"privileges": ["CONNECT"]}],
        }
        path = inventory(tmp_path, {"shop1": {}, "shop2": {}}, **variables)

        def play(name, *words, **more):
            return controller.playbook(name, more, "-i", path, *words)

        assert play("authorize_network").status == 0
        yield play
        for user in ("shop", "warden"):
            play("sql_user", crdb_sql_user_admin="", crdb_sql_user_grants=[], crdb_sql_user_name=user,
                 crdb_sql_user_clusters=["brave-otter"], crdb_sql_user_state="absent")  # fmt: skip
        play("authorize_network", crdb_network_state="absent", crdb_network_allow_lockout=True)

    def test_from_an_empty_store(self, project, sandbox, tmp_path):
        store = tmp_path / "passwords.json"
        preview = project("sql_user", "--check", "--diff")
        assert preview.status == 0, preview.output
        assert "the SQL user warden would be created" in preview.output
        assert not store.exists()
        run = project("sql_user")
        assert run.status == 0, run.output
        (entry,) = json.loads(store.read_text())["clusters"].values()
        passwords = {user: facts["password"] for user, facts in entry["users"].items()}
        assert set(passwords) == {"warden", "shop"}
        assert not any(password in run.output for password in passwords.values())
        cluster = sandbox.clusters["brave-otter"]
        with psycopg.connect(**cluster.conninfo(user="shop", password=passwords["shop"])) as session:
            assert session.execute("SELECT current_user").fetchone() == ("shop",)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("CREATE ROLE eve")
        again = project("sql_user")
        assert again.status == 0, again.output
        assert again.recap("shop1")["changed"] == again.recap("shop2")["changed"] == 0
        store.unlink()
        lost = project("sql_user")
        assert lost.status == 2
        text = " ".join(lost.output.split())
        assert "exists, but its password is not in the store" in text
        assert "in a run without admin, with clusters: brave-otter, name: warden" in text


def said(run):
    """The output without the line breaks of the display."""
    return " ".join(run.output.split())


class TestOffboarding:
    """An operator's project: hosts elsewhere, and this machine with files of its own."""

    @pytest.fixture
    def fleet(self, controller, sandbox, tmp_path):
        facts = sandbox.connections["funky_skunk"]
        hosts = {
            # The hosts are one machine, so their apps have different names.
            name: {"crdb_apps": [{"name": f"app-{name}", "folder": str(tmp_path / name), "frameworks": ["django"]}]}
            for name in ("shop1", "shop2")
        }
        path = inventory(tmp_path, hosts, crdb_connections={"shop": facts})
        done = controller.playbook("app_servers", {}, "-i", path)
        assert done.status == 0, done.output
        mine = {"crdb_connections": {"mine": facts}, "crdb_app_folder": "~/shop", "crdb_app_config_prove": False}
        done = controller.playbook("dev_machine", mine)
        assert done.status == 0, done.output
        assert (controller.home / "shop" / ".env").is_file()
        return path

    def test_of_hosts_that_were_named_after_a_list(self, controller, fleet, tmp_path):
        files = [tmp_path / host / name for host in ("shop1", "shop2") for name in (".env", "crdb_settings.py")]
        unnamed = controller.playbook("offboard", {}, "-i", fleet)
        assert unnamed.status == 2
        assert "Name the hosts to remove it from" in said(unnamed)
        assert all(path.is_file() for path in files)
        preview = controller.playbook("offboard", {"crdb_hosts": "all"}, "-i", fleet, "--check")
        assert preview.status == 0, preview.output
        assert all(f"remove {path}" in said(preview) for path in files)
        assert all(path.is_file() for path in files)
        assert preview.recap("shop1")["changed"] > 0
        one = controller.playbook("offboard", {}, "-i", fleet, "-l", "shop1")
        assert one.status == 0, one.output
        assert f"remove {files[0]}" in said(one)
        assert one.output.index(str(files[0])) < one.output.index("TASK [Remove")
        assert [path.is_file() for path in files] == [False, False, True, True]
        assert (controller.home / "shop" / ".env").is_file()

    def test_only_the_folder_that_is_given(self, controller, fleet, sandbox):
        facts = sandbox.connections["funky_skunk"]
        other = {
            "crdb_connections": {"mine": facts},
            "crdb_app_folder": "~/elsewhere/shop",
            "crdb_frameworks": "django",
        }
        assert controller.playbook("dev_machine", other).status == 0
        run = controller.playbook("offboard", {"crdb_hosts": "localhost", "crdb_app_folder": "~/elsewhere/shop"})
        assert run.status == 0, run.output
        assert not (controller.home / "elsewhere").exists()
        assert (controller.home / "shop" / ".env").is_file()
        assert "shop/.env" in run.output


class TestNoLongerManaged:
    @pytest.fixture
    def play(self, controller, sandbox, tmp_path):
        self.home = controller.home
        self.facts = {"shop": sandbox.connections["funky_skunk"]}

        def play(apps, *words, **more):
            path = inventory(tmp_path, {"shop1": {"crdb_apps": apps}}, crdb_connections=self.facts)
            run = controller.playbook("app_servers", more, "-i", path, *words)
            assert run.status == 0, run.output
            return run

        return play

    def apps(self, **frameworks):
        return [
            {"name": name, "folder": f"~/{name}", "frameworks": names.split(), "psql_service": name}
            for name, names in frameworks.items()
        ]

    def test_what_left_the_inventory_is_named_and_pruned(self, play):
        play(self.apps(shop="django psycopg2", old="django"))
        only_shop = self.apps(shop="psycopg2")
        named = play(only_shop)
        for path in ("shop/crdb_settings.py", "old/.env", "old/crdb_settings.py", ".pg_service.conf"):
            assert (self.home / path).is_file()
            assert f"{self.home / path}: is no longer managed" in said(named)
        assert "set prune: true (crdb_app_config_prune)" in said(named)
        # The check at the end of the rollout says so, too.
        assert "app_file_unmanaged" in said(named)
        preview = play(only_shop, "--check", crdb_app_config_prune=True)
        assert preview.recap("shop1")["changed"] > 0
        assert (self.home / "old" / ".env").is_file()
        pruned = play(only_shop, crdb_app_config_prune=True)
        assert "is no longer managed" not in pruned.output
        assert not (self.home / "old").exists()
        assert not (self.home / "shop" / "crdb_settings.py").exists()
        assert (self.home / "shop" / ".env").is_file()
        assert "[old]" not in (self.home / ".pg_service.conf").read_text()
        assert "[shop]" in (self.home / ".pg_service.conf").read_text()
        again = play(only_shop, crdb_app_config_prune=True)
        assert again.recap("shop1")["changed"] == 0


def test_networks_and_users_of_the_fleet_from_a_play_of_localhost(controller, tmp_path):
    """A play of one's own on localhost, which the inventory does not list: the variables are those of its hosts."""
    cloud = CloudStage()
    cloud.switch()
    try:
        hosts = {
            "shop1": {
                "crdb_network_clusters": ["funky-skunk"],
                "crdb_network_entries": ["198.41.0.1"],
                "crdb_connections": {"shop": {"cluster": "funky-skunk", "user": "shop"}},
            },
            "ledger1": {
                "crdb_network_clusters": "funky-skunk, steady-heron",
                "crdb_network_entries": ["198.41.0.2"],
                "crdb_connections": {"ledger": {"cluster": "steady-heron", "user": "ledger"}},
            },
        }
        store = str(tmp_path / "passwords.json")
        path = inventory(tmp_path, hosts, **cloud.variables(), crdb_sql_user_password_store=store)
        for playbook in ("authorize_network", "sql_user"):
            run = controller.playbook(playbook, {"crdb_hosts": "localhost"}, "-i", path)
            assert run.status == 0, run.output
        assert cloud.networks("funky-skunk") == ["198.41.0.1/32", "198.41.0.2/32", "203.0.113.0/24"]
        assert cloud.networks("steady-heron") == ["198.41.0.2/32", "203.0.113.0/24"]
        assert "shop" in cloud.accounts["funky-skunk"].passwords
        assert "ledger" in cloud.accounts["steady-heron"].passwords
    finally:
        cloud.close()
