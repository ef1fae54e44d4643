# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""psql by the name of a service: on every deployment, among the entries of others, and taken away again."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.integration.test_offboard import tree

SERVICES = {"skunk": "funky_skunk", "otter": "brave_otter", "heron": "steady_heron", "badger": "lone_badger"}
THEIRS = {
    ".pgpass": b"# mine\n*:*:*:*:a password for all others\nother.example.com:5432:*:me:theirs",
    ".pg_service.conf": b"# mine\r\n[theirs]\r\nhost=other.example.com\r\n\r\n# the last one\r\n  [last]\r\nport=1",
}


def psql(home, *words):
    """What psql says, as a person types it: no password on its command line or in its environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["psql", "-XAtw", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout + done.stderr).strip()


@pytest.fixture
def variables(sandbox):
    """An app a deployment; the self-hosted cluster twice, by password and by client certificate."""
    connections = {name: dict(sandbox.connections[name]) for name in SERVICES.values()}
    badger = sandbox.clusters["lone-badger"]
    connections["certified"] = {
        **{key: value for key, value in connections["lone_badger"].items() if key != "password"},
        **badger.client_certificate,
    }
    for key in ("sslcert", "sslkey"):
        connections["lone_badger"].pop(key, None)
    connections["lone_badger"]["password"] = badger.password
    named = {**SERVICES, "certified": "certified"}
    apps = [
        {"name": name, "connection": connection, "folder": f"~/{name}", "psql_service": name}
        for name, connection in named.items()
    ]
    return {"crdb_hosts": "localhost", "crdb_connections": connections, "crdb_apps": apps}


def test_psql_connects_by_the_services_name_on_every_deployment(controller, sandbox, variables):
    home = controller.home
    for name, content in THEIRS.items():
        (home / name).write_bytes(content)
        (home / name).chmod(0o600)
    before = tree(home)
    check = controller.playbook("app_servers", {**variables, "crdb_check_fail": False}, "--check", "--diff")
    assert check.status == 0, check.output
    assert "+[skunk]" in check.output
    assert ":********" in check.output
    assert "*:*:*:*" not in check.output
    assert "a password for all others" not in check.output
    assert tree(home) == before
    run = controller.playbook("app_servers", variables)
    assert run.status == 0, run.output
    for name in SERVICES:
        cluster = sandbox.clusters[SERVICES[name].replace("_", "-")]
        said = psql(home, f"service={name}", "-c", "SELECT current_user, current_database()", "-c", "\\conninfo")
        assert said.splitlines()[0] == f"{cluster.user}|defaultdb", said
        assert "SSL connection (protocol: TLSv1." in said, said
    assert psql(home, "service=certified", "-c", "SELECT current_user") == sandbox.clusters["lone-badger"].user
    for name in THEIRS:
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    passwords = [cluster.password for cluster in sandbox.clusters.values()]
    assert not [p for p in passwords if p in (home / ".pg_service.conf").read_text()]
    again = controller.playbook("app_servers", variables)
    assert again.recap()["changed"] == 0, again.output
    run = controller.playbook("offboard", variables)
    assert run.status == 0, run.output
    assert tree(home) == before


def test_a_wrong_ca_and_a_wrong_host_are_refused_by_psql(controller, sandbox, variables):
    facts = variables["crdb_connections"]["steady_heron"]
    strange = {**facts, "ca_file": str(sandbox.stranger_ca_file)}
    impostor = {**facts, "port": sandbox.clusters["steady-heron"].ports["impostor"]}
    apps = [
        {"name": name, "connection": name, "folder": f"~/{name}", "psql_service": name}
        for name in ("strange", "impostor")
    ]
    run = controller.playbook(
        "./tests/clients/playbooks/write.yml",
        {
            "crdb_hosts": "localhost",
            "crdb_connections": {"strange": strange, "impostor": impostor},
            "crdb_apps": apps,
            "crdb_check_fail": False,
        },
    )
    assert run.status == 0, run.output
    assert "certificate verify failed" in psql(controller.home, "service=strange", "-c", "SELECT 1")
    assert "does not match host name" in psql(controller.home, "service=impostor", "-c", "SELECT 1")


def test_one_app_is_taken_away_a_new_password_replaces_the_old_and_files_of_ours_are_private(
    controller, sandbox, variables, tmp_path
):
    home = controller.home
    inventory = tmp_path / "inventory.yml"
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "crdb_apps": variables["crdb_apps"],
    }
    inventory.write_text(json.dumps({"all": {"hosts": {"localhost": host}}}))
    given = {"crdb_hosts": "localhost", "crdb_connections": variables["crdb_connections"], "crdb_check_fail": False}
    run = controller.playbook("app_servers", given, "-i", inventory)
    assert run.status == 0, run.output
    for name in THEIRS:
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    # Not the server's: only what is written is looked at.
    given["crdb_connections"]["steady_heron"]["password"] = r"wi:th\colons"
    given["crdb_app_config_prove"] = False
    run = controller.playbook("app_servers", given, "-i", inventory, "--diff")
    assert run.status == 0, run.output
    assert "wi:th" not in run.output
    assert r":wi\:th\\colons" in (home / ".pgpass").read_text()
    assert sandbox.clusters["steady-heron"].password not in (home / ".pgpass").read_text()
    assert "password authentication failed" in psql(home, "service=heron", "-c", "SELECT 1")
    run = controller.playbook("offboard", {**given, "crdb_offboard_apps": ["heron", "skunk"]}, "-i", inventory)
    assert run.status == 0, run.output
    assert 'definition of service "heron" not found' in psql(home, "service=heron")
    assert (home / ".pgpass").read_text().count("\n") == 2
    assert psql(home, "service=otter", "-c", "SELECT 1") == "1"
    run = controller.playbook("offboard", given, "-i", inventory)
    assert run.status == 0, run.output
    assert tree(home) == {}
