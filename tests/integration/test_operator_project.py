# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An operator with a project of their own: from an empty store to a user of an app, and out of the hosts again."""

from __future__ import annotations

import json

import psycopg
import pytest

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
        assert "crdb_sql_user_update_password=always" in text
