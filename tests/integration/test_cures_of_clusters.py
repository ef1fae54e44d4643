# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cures that need a cluster or a playbook, followed as they are written: routes, the allowlist, the app's own files.

Those of servers and of this machine's files are in tests/faults/test_cures.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint

from tests.conftest import SandboxCluster, new_state

# What is wrong with the facts of a serverless cluster, and the code; the cure is to take the right ones.
WRONG_FACTS: list[tuple[str, dict[str, Any]]] = [
    ("missing_cluster_identifier", {"options": None}),
    ("invalid_cluster_identifier", {"options": "--cluster=7a8ac5a3-0000-4000-8000-000000000000"}),
    ("unknown_cluster", {"options": "--cluster=happy-koala-7"}),
    ("conflicting_cluster_identifiers", {"database": "brave-otter-456.defaultdb"}),
    ("multiple_cluster_flags", {"options": "--cluster=funky-skunk-123 --cluster=funky-skunk-123"}),
    ("invalid_cluster_flag", {"options": "--cluster="}),
    ("invalid_database_name", {"database": "a.b.c"}),
]
OUTSIDE = "198.51.100.99"
# What the sandbox's echo service says of this machine.
NEWCOMER = "192.0.2.44"


def checked(cluster: SandboxCluster, listener: str = "inside", **changes: Any) -> dict[str, Any]:
    facts = {
        "name": "shop",
        "host": cluster.host,
        "port": cluster.ports[listener],
        "user": cluster.user,
        "database": cluster.databases[0],
        "password": cluster.password,
        "deployment": cluster.deployment,
        "routing_id": cluster.routing_id,
        "options": f"--cluster={cluster.routing_id}" if cluster.routing_id else None,
        "ca_file": str(cluster.ca_file),
        **changes,
    }
    return check_endpoint(Endpoint.from_dict(facts), 3.0).as_dict()


@pytest.mark.parametrize(("code", "wrong"), WRONG_FACTS, ids=[code for code, _wrong in WRONG_FACTS])
def test_a_route_that_is_corrected(code, wrong, sandbox):
    cluster = sandbox.clusters["funky-skunk"]
    before = checked(cluster, **wrong)
    assert before["code"] == code, before["cause"]
    right = dict.fromkeys(wrong)
    if "options" in wrong:
        # The cure prints the option where it knows the routing id.
        printed = re.search(r"--cluster=[a-z0-9-]+[0-9]", before["cure"])
        right["options"] = printed.group() if printed else f"--cluster={cluster.routing_id}"
    if "database" in wrong:
        right["database"] = "defaultdb"
    assert checked(cluster, **right)["code"] == "ok", before["cure"]


# The verdict of the check alone, and the one with the Cloud API's help.
REFUSED = [
    ("funky-skunk", "not_in_allowlist"),
    ("steady-heron", "tcp_timeout"),
]


@pytest.mark.parametrize(("name", "code"), REFUSED, ids=[code for _name, code in REFUSED])
def test_an_address_that_is_added_to_the_allowlist(name, code, sandbox, controller):
    cluster = sandbox.clusters[name]
    before = checked(cluster, "outside")
    assert before["code"] == code, before["cause"]
    assert "to the IP allowlist of" in before["cure"]
    entry = {
        "crdb_network_entries": [{"cidr": f"{OUTSIDE}/32", "name": "of the cures"}],
        "crdb_network_clusters": [name],
        "crdb_network_allow_private": True,
        **sandbox.cloud,
    }
    try:
        run = controller.playbook("authorize_network", entry)
        assert run.status == 0, run.output
        assert checked(cluster, "outside")["code"] == "ok"
    finally:
        run = controller.playbook("authorize_network", {**entry, "crdb_network_state": "absent"})
    assert run.status == 0, run.output
    assert checked(cluster, "outside")["code"] == code


# The codes of TestWithTheCloudApi.
BY_API = ("not_in_allowlist", "allowlist_drops_address", "allowlist_without_sql", "user_unknown", "password_wrong")


class TestWithTheCloudApi:
    """The check asks the API, and names more exactly what is wrong."""

    @pytest.fixture
    def variables(self, sandbox):
        url = sandbox.cloud["crdb_cloud_url"]
        return {
            **sandbox.cloud,
            "crdb_hosts": "localhost",
            "crdb_network_allow_private": True,
            "crdb_network_echo": [f"{url}/echo/plain", f"{url}/echo/json"],
            "crdb_network_echo_ca_file": sandbox.cloud["crdb_cloud_ca_file"],
        }

    def check(self, controller, variables, of_cluster, facts):
        ca_file = controller.home / "crdb-app" / "certs" / "ca.crt"
        ca_file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(of_cluster.ca_file, ca_file)
        return _checked_by_the_playbook(controller, {**variables, "crdb_connections": {"shop": facts}})["shop"]

    def close(self, controller, network):
        """Take the entry away again, which locks this machine out."""
        undone = {**network, "crdb_network_state": "absent", "crdb_network_allow_lockout": True}
        run = controller.playbook("authorize_network", undone)
        assert run.status == 0, run.output

    @pytest.mark.thorough
    def test_an_entry_is_added(self, controller, sandbox, variables):
        cluster = sandbox.clusters["funky-skunk"]
        facts = {**sandbox.connections["funky_skunk"], "port": cluster.ports["newcomer"]}
        entry = {"cidr": f"{NEWCOMER}/32", "name": "of the cures"}
        network = {**variables, "crdb_network_clusters": ["funky-skunk"], "crdb_network_entries": [entry]}
        try:
            before = self.check(controller, variables, cluster, facts)
            assert before["code"] == "not_in_allowlist", before["cause"]
            assert f"Add {NEWCOMER}/32 to the IP allowlist of cluster" in before["cure"]
            run = controller.playbook("authorize_network", network)
            assert run.status == 0, run.output
            assert self.check(controller, variables, cluster, facts)["code"] == "ok", before["cure"]
        finally:
            self.close(controller, network)

    def test_an_entry_is_added_and_then_turned_on_for_sql(self, controller, sandbox, variables):
        cluster = sandbox.clusters["steady-heron"]
        facts = {"cluster": cluster.name, "user": cluster.user, "password": cluster.password}
        entry = {"cidr": f"{NEWCOMER}/32", "name": "of the cures", "sql": False, "ui": True}
        network = {**variables, "crdb_network_clusters": [cluster.name], "crdb_network_entries": [entry]}
        try:
            before = self.check(controller, variables, cluster, facts)
            assert before["code"] == "allowlist_drops_address", before["cause"]
            assert f"Add {NEWCOMER}/32 to the IP allowlist of cluster" in before["cure"]
            run = controller.playbook("authorize_network", network)
            assert run.status == 0, run.output
            between = self.check(controller, variables, cluster, facts)
            assert between["code"] == "allowlist_without_sql", between["cause"]
            entry["sql"] = True
            run = controller.playbook("authorize_network", network)
            assert run.status == 0, run.output
            assert self.check(controller, variables, cluster, facts)["code"] == "ok", between["cure"]
        finally:
            self.close(controller, network)

    def test_a_user_is_created_and_then_given_its_password(self, controller, sandbox, variables):
        cluster = sandbox.clusters["funky-skunk"]
        facts = {**sandbox.connections["funky_skunk"], "user": "newcomer", "password": "c4n4ry-of-the-newcomer"}
        user = {**variables, "crdb_sql_user_clusters": ["funky-skunk"], "crdb_sql_user_name": "newcomer"}
        try:
            before = self.check(controller, variables, cluster, facts)
            assert before["code"] == "user_unknown", before["cause"]
            run = controller.playbook("sql_user", {**user, "crdb_sql_user_password": facts["password"]})
            assert run.status == 0, run.output
            assert self.check(controller, variables, cluster, facts)["code"] == "ok", before["cure"]
            facts["password"] = "c4n4ry-of-another-day"
            before = self.check(controller, variables, cluster, facts)
            assert before["code"] == "password_wrong", before["cause"]
            user.update(crdb_sql_user_password=facts["password"], crdb_sql_user_update_password="always")
            run = controller.playbook("sql_user", user)
            assert run.status == 0, run.output
            assert self.check(controller, variables, cluster, facts)["code"] == "ok", before["cure"]
        finally:
            user.pop("crdb_sql_user_password", None)
            controller.playbook("sql_user", {**user, "crdb_sql_user_state": "absent"})


USER = "nobody"


class App:
    """One app on this machine, whose files are spoilt and mended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = folder / ".env"
        self.config = folder / "crdb_database.py"
        self.ca = folder / "certs" / "ca.crt"

    def change(self, path: Path, old: str, new: str) -> None:
        """Edit a file in place, so that it stays its owner's."""
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def _for_root_alone(path: Path) -> None:
    os.chown(path, 0, 0)
    path.chmod(0o600)


def _given(path: Path) -> None:
    shutil.chown(path, USER)


# The code, what spoils the app's files, and what a person does by hand by the cure, if it is not the playbook's.
SPOILT: list[tuple[str, Callable[[App], None], Callable[[App], None] | None]] = [
    ("app_file_missing", lambda app: app.config.unlink(), None),
    ("app_file_unreadable", lambda app: _for_root_alone(app.env), lambda app: _given(app.env)),
    (
        "app_file_malformed",
        lambda app: app.change(app.env, 'DATABASE_URL="', "DATABASE_URL='"),
        lambda app: app.change(app.env, "DATABASE_URL='", 'DATABASE_URL="'),
    ),
    ("env_value_missing", lambda app: app.change(app.env, "DATABASE_URL=", "OTHER_URL="), None),
    ("env_value_differs", lambda app: app.change(app.env, "/defaultdb?", "/bank?"), None),
    (
        "env_value_twice",
        lambda app: app.change(app.env, "DATABASE_URL=", "DATABASE_URL=postgresql://x\nDATABASE_URL="),
        lambda app: app.change(app.env, "DATABASE_URL=postgresql://x\n", ""),
    ),
    (
        "ca_unreadable",
        lambda app: _for_root_alone(app.ca),
        lambda app: app.ca.chmod(0o644),
    ),
]
# Its password is in the file, so that the file is compared as a whole.
INLINE = "app_config_differs"


@pytest.fixture
def place():
    """A folder that every account can get to."""
    folder = new_state()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(f"/var/lib/crdb-onboard/{USER}", ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the apps are another user's")
def test_the_files_of_apps_that_are_mended(controller, sandbox, place):
    codes = [code for code, _spoil, _mend in SPOILT] + [INLINE]
    apps = {code: App(place / code) for code in codes}
    for app in apps.values():
        app.folder.mkdir()
        _given(app.folder)
    variables = {
        "crdb_connections": dict.fromkeys(codes, sandbox.connections["funky_skunk"]),
        "crdb_apps": [_described(code, app) for code, app in apps.items()],
        "crdb_hosts": "localhost",
        "crdb_check_drivers": False,
        "crdb_app_config_samples": False,
    }
    run = controller.playbook("dev_machine", variables)
    assert run.status == 0, run.output
    for code, spoil, _mend in SPOILT:
        spoil(apps[code])
    inline = apps[INLINE]
    inline.change(inline.config, "/defaultdb?", "/bank?")
    reports = _checked_by_the_playbook(controller, variables)
    assert {name: report["code"] for name, report in reports.items()} == {code: code for code in codes}
    for code, _spoil, mend in SPOILT:
        if mend is not None:
            mend(apps[code])
    for force in (False, True):
        # The cure says where the files are written again only if that is asked for.
        named = [code for code, report in reports.items() if ("force: true" in report["cure"]) == force]
        those = [_described(code, apps[code]) for code in named]
        run = controller.playbook("dev_machine", {**variables, "crdb_apps": those, "crdb_app_config_force": force})
        assert run.status == 0, run.output
    reports = _checked_by_the_playbook(controller, variables)
    assert {name: report["code"] for name, report in reports.items()} == dict.fromkeys(codes, "ok")


def _described(code: str, app: App) -> dict[str, Any]:
    facts = {"name": code, "user": USER, "folder": str(app.folder), "connection": code, "frameworks": ["psycopg2"]}
    return {**facts, "password_place": "inline"} if code == INLINE else facts


def _checked_by_the_playbook(controller, variables) -> dict[str, dict[str, Any]]:
    """The report on each connection, by its name."""
    folder = controller.home / "reports"
    asked = {**variables, "crdb_check_report_folder": str(folder), "crdb_check_fail": False}
    run = controller.playbook("check", asked)
    assert run.status == 0, run.output
    (host,) = json.loads((folder / "crdb-check.json").read_text())["hosts"]
    return {report["name"].rpartition(": ")[2]: report for report in host["checks"]}
