# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passwords and CAs are changed under programs that connect all the while."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from sandbox.certificates import CertificateStore
from sandbox.clusters import CLUSTERS, FrontSpec
from tests.conftest import new_state
from tests.integration.conftest import BIN
from tests.integration.sandbox.stage import Stage
from tests.sql import NAME, administrator

CHIEF = "canary-of-the-chief"
CLIENT = Path(__file__).with_name("rotating_client.py")
GRANTS = [
    {"privileges": ["CONNECT"]},
    {"schema": "shop", "privileges": ["USAGE", "CREATE"]},
    {"schema": "shop", "tables": "orders", "privileges": ["SELECT"]},
]


class Front(Stage):
    """A front of the self-hosted cluster whose server certificate can be changed while it serves."""

    def __init__(self, folder, sandbox):
        super().__init__(folder)
        number = [cluster.name for cluster in CLUSTERS].index(NAME)
        target = self.target(NAME, 0, str(sandbox.state / "engine" / f".s.PGSQL.{5432 + number}"))
        (self.port,) = self.single_cluster(target)
        (folder / "next").mkdir()
        self._following = CertificateStore(folder / "next").front(FrontSpec("stage", "Next CA", (), routed=False))
        self.next_ca_file = self._following.ca

    def change_certificate(self):
        """From the next connection on, present one of the next CA."""

        async def load():
            server = self._following.server
            self._fronts[0]._ports[0].context.load_cert_chain(server.certificate, server.key)

        self.run(load())


@pytest.fixture
def front(sandbox):
    folder = new_state()
    stage = Front(folder, sandbox)
    yield stage
    stage.close()
    shutil.rmtree(folder)


class Fleet:
    """Two hosts, each with an app that uses the same connection; their programs."""

    def __init__(self, controller, front, drivers, folder, **connection):
        self.controller = controller
        self.folder = folder
        self.output = ""
        self.port = front.port
        self._python = drivers["crdb_check_interpreters"]["python"]
        facts = {"deployment": "self_hosted", "host": "localhost", "port": front.port, "database": "defaultdb"}
        self.variables = {
            "crdb_hosts": "all",
            "crdb_connections": {
                "boss": {**facts, "ca_file": str(front.ca_file), "user": "chief", "password": CHIEF},
                "shop_db": {**facts, "ca_file": str(front.ca_file), **connection},
            },
            "crdb_sql_user_admin": "boss",
            "crdb_sql_user_role": "shop_owner",
            "crdb_sql_user_grants": GRANTS,
            "crdb_sql_user_password_store": str(folder / "passwords.json"),
        }
        hosts = {}
        for name in ("app1", "app2"):
            (folder / name).mkdir()
            app = {
                **{"name": "shop", "connection": "shop_db", "folder": str(folder / name), "frameworks": ["psycopg2"]},
                "reload": {"shell": "test ! -e program.pid || kill -HUP $(cat program.pid)"},
            }
            local = {"ansible_connection": "local", "ansible_python_interpreter": str(BIN / "python")}
            hosts[name] = {**local, "crdb_apps": [app]}
        self.inventory = folder / "hosts.yml"
        self.inventory.write_text(json.dumps({"all": {"hosts": hosts}}))

    def play(self, name, *words, **variables):
        loud = ["-vvvv"] if name == "rotate_credentials" else []
        done = self.controller.playbook(name, {**self.variables, **variables}, "-i", self.inventory, *loud, *words)
        self.output += done.output
        assert done.status == 0, done.output
        return " ".join(done.output.split())

    @contextlib.contextmanager
    def programs(self):
        """Run the apps' programs."""
        programs = [subprocess.Popen([self._python, CLIENT, self.folder / app]) for app in ("app1", "app2")]
        try:
            self.wait_for("shop_a")
            yield
        finally:
            for program in programs:
                program.send_signal(signal.SIGTERM)
            assert [program.wait(60) for program in programs] == [0, 0]

    def connections(self, app):
        """What the program of an app noted: seconds, whether it connected, and as whom or why not."""
        path = self.folder / app / "connections.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(float(when), word == "ok", rest) for when, word, rest in (line.split(" ", 2) for line in lines)]

    def wait_for(self, user):
        """Until the programs of both have connected as a user again."""
        seen = {app: len(self.connections(app)) for app in ("app1", "app2")}
        deadline = time.monotonic() + 60
        while not all(user in [who for _t, _ok, who in self.connections(app)[seen[app] :]] for app in seen):
            assert time.monotonic() < deadline, self.connections("app1")[-3:]
            time.sleep(0.1)

    def make_table(self, user):
        """As an app's migration does."""
        facts = {"host": "localhost", "port": self.port, "dbname": "defaultdb", "sslmode": "verify-full"}
        ca_file = self.variables["crdb_connections"]["shop_db"]["ca_file"]
        with psycopg.connect(**facts, sslrootcert=ca_file, user=user, password=self.passwords()[user]) as session:
            session.execute("CREATE TABLE shop.ticks (who text)")

    def passwords(self):
        (cluster,) = json.loads((self.folder / "passwords.json").read_text())["clusters"].values()
        return {user: entry["password"] for user, entry in cluster["users"].items()}


@pytest.fixture
def boss(sandbox):
    with administrator(sandbox) as session:
        session.execute(f"CREATE ROLE chief LOGIN PASSWORD '{CHIEF}'")
        session.execute("GRANT admin TO chief")
        yield session


def may_log_in(boss, user):
    """Whether a user is let in at all, and whether it has a password."""
    query = "SELECT rolcanlogin, rolpassword IS NOT NULL FROM pg_authid WHERE rolname = %s"
    return boss.execute(query, (user,)).fetchone()


def test_passwords_and_the_ca_change_and_no_connection_fails(controller, front, boss, drivers, tmp_path):
    """Programs connect ten times a second, and load their configuration again when they are told to."""
    fleet = Fleet(controller, front, drivers, tmp_path, users=["shop_a", "shop_b"])
    secrets = []
    fleet.play("sql_user")
    fleet.play("app_servers")
    secrets += fleet.passwords().values()
    fleet.make_table("shop_a")
    with fleet.programs():
        preview = fleet.play("rotate_credentials", "--check", "--diff")
        assert "shop_b would get a new password, and be rolled out in place of shop_a" in preview
        assert boss.execute("SELECT 1 FROM pg_roles WHERE rolname = 'shop_b'").fetchone() is None

        # From one user to the other.
        said = fleet.play("rotate_credentials", crdb_rotation_grace=2)
        secrets += fleet.passwords().values()
        assert "every host uses shop_b; shop_a can no longer log in" in said
        fleet.wait_for("shop_b")
        assert may_log_in(boss, "shop_a") == (False, False)
        assert list(fleet.passwords()) == ["shop_b"]
        # What one made is the role's, of which both are members.
        owner = boss.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'ticks'").fetchone()
        assert owner == ("shop_owner",)
        # A run of the fleet the day after changes nothing.
        again = fleet.controller.playbook("app_servers", fleet.variables, "-i", fleet.inventory)
        assert [again.recap(host)["changed"] for host in ("app1", "app2")] == [0, 0]

        # Back to the first, one host after the other: nobody is locked out in between.
        said = fleet.play("rotate_credentials", "-l", "app1", crdb_rotation_grace=2)
        secrets += fleet.passwords().values()
        assert (
            "app2 does not have the new credentials yet. Run the playbook for it too. Until then shop_b can log in too"
            in said
        )
        assert may_log_in(boss, "shop_a") == may_log_in(boss, "shop_b") == (True, True)
        said = fleet.play("rotate_credentials", crdb_rotation_grace=2)
        assert "the change to shop_a goes on; app1 has finished it" in said
        assert "every host uses shop_a; shop_b can no longer log in" in said
        fleet.wait_for("shop_a")
        assert may_log_in(boss, "shop_b") == (False, False)

        # The CA: both are trusted while the server changes from one to the other.
        connections = fleet.variables["crdb_connections"]
        both = tmp_path / "both.crt"
        both.write_bytes(front.ca_file.read_bytes() + front.next_ca_file.read_bytes())
        connections["boss"]["ca_file"] = str(both)
        connections["shop_db"]["ca_file"] = str(front.next_ca_file)
        fleet.play("app_servers", crdb_ca_keep_previous=True)
        front.change_certificate()
        fleet.wait_for("shop_a")
        fleet.play("app_servers")
        fleet.wait_for("shop_a")
    for app in ("app1", "app2"):
        found = fleet.connections(app)
        assert [(when, why) for when, connected, why in found if not connected] == []
        assert {who for _when, _connected, who in found} == {"shop_a", "shop_b"}
        assert (tmp_path / app / "certs" / "ca.crt").read_text().count("BEGIN CERTIFICATE") == 1
        print(f"{app}: {len(found)} connections in {found[-1][0] - found[0][0]:.0f} s, none failed")
    for secret in (*secrets, CHIEF, "SCRAM-SHA-256$"):
        assert secret not in fleet.output


@pytest.mark.thorough
def test_the_password_of_a_single_user_changes_with_a_gap_that_is_said(controller, front, boss, drivers, tmp_path):
    fleet = Fleet(controller, front, drivers, tmp_path, user="shop_a")
    fleet.play("sql_user")
    fleet.play("app_servers")
    fleet.make_table("shop_a")
    named = {"crdb_rotation_connections": ["shop_db"]}
    refused = fleet.controller.playbook("rotate_credentials", {**fleet.variables, **named}, "-i", fleet.inventory)
    assert refused.status == 2
    assert "programs of that host cannot log in. Set two users in users (crdb_connection_users), or set" in " ".join(
        refused.output.split()
    )
    with fleet.programs():
        said = fleet.play("rotate_credentials", crdb_rotation_single=True, **named)
        fleet.wait_for("shop_a")
        end = time.time()
    assert "every host has the new password. The last one had it at most" in said
    for app in ("app1", "app2"):
        found = fleet.connections(app)
        failed = [(when, why) for when, connected, why in found if not connected]
        assert failed, "the gap was too short to be met; then this test says nothing"
        assert all("password authentication failed" in why for _when, why in failed)
        # One gap, and after it every connection succeeds.
        assert all(connected for when, connected, _why in found if when > failed[-1][0])
        assert failed[-1][0] < end
        print(f"{app}: could not log in for {failed[-1][0] - failed[0][0]:.1f} s")


def test_through_the_cloud_api_the_old_user_gets_a_password_that_nobody_knows(controller, sandbox, tmp_path):
    cluster = sandbox.clusters["steady-heron"]
    variables = {
        **sandbox.cloud,
        "crdb_network_allow_private": True,
        "crdb_network_entries": [{"cidr": "192.0.2.44", "name": "rotation"}],
        "crdb_network_name": "rotation",
        "crdb_sql_user_password_store": str(tmp_path / "passwords.json"),
        "crdb_connections": {"shop": {"cluster": "steady-heron", "users": ["shop_a", "shop_b"]}},
        "crdb_apps": [{"name": "shop", "connection": "shop", "folder": "~/shop", "frameworks": ["psycopg2"]}],
        "crdb_hosts": "localhost",
    }

    def passwords():
        (found,) = json.loads((tmp_path / "passwords.json").read_text())["clusters"].values()
        return {user: entry["password"] for user, entry in found["users"].items()}

    try:
        for name in ("sql_user", "authorize_network", "app_servers"):
            done = controller.playbook(name, variables)
            assert done.status == 0, done.output
        before = passwords()
        assert list(before) == ["shop_a"]
        edited = controller.home / "shop" / "crdb_database.py"
        edited.write_text(edited.read_text() + "# by hand\n")
        held = controller.playbook("rotate_credentials", variables)
        assert held.status == 2
        text = " ".join(held.output.split())
        assert f"{edited} was changed after it was written" in text
        assert "-e crdb_app_config_force=true" in text
        done = controller.playbook("rotate_credentials", {**variables, "crdb_app_config_force": True})
        assert done.status == 0, done.output
        assert "every host uses shop_b; shop_a can no longer log in" in " ".join(done.output.split())
        assert list(passwords()) == ["shop_b"]
        assert passwords()["shop_b"] in (controller.home / "shop" / ".env").read_text()
        assert controller.playbook("sql_user", variables).recap()["changed"] == 0
        with psycopg.connect(**cluster.conninfo(user="shop_b", password=passwords()["shop_b"])):
            pass
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**cluster.conninfo(user="shop_a", password=before["shop_a"]))
    finally:
        for user in ("shop_a", "shop_b"):
            gone = {**variables, "crdb_connections": {}, "crdb_network_entries": [], "crdb_network_allow_lockout": True}
            gone.update(crdb_sql_user_clusters=["steady-heron"], crdb_network_clusters=["steady-heron"])
            controller.playbook("leaver", {**gone, "crdb_sql_user_name": user})
