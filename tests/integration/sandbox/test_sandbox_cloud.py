# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes through the Cloud API take effect at the fronts."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

import psycopg
import pytest
import requests

from sandbox.allowlist import Entry
from tests.conftest import Sandbox, new_state, run_sandbox
from tests.integration.sandbox.stage import INSIDE, OUTSIDE, Stage
from tests.integration.sandbox.wire import PATIENCE

PASSWORD = "of-a-user-made-by-the-api"


class Api:
    """A client of the sandbox's Cloud API."""

    def __init__(self, sandbox: Sandbox) -> None:
        described = json.loads((sandbox.state / "sandbox.json").read_text())["cloud"]
        self._url, self._ca_file = described["url"], described["ca_file"]
        key = (sandbox.state / "api-key").read_text().strip()
        self._headers = {"Authorization": f"Bearer {key}"}
        self.ask("PUT", "/sandbox/switches", {"page_limit": 100, "rate": 0, "propagation": 0.2})
        clusters = self.ask("GET", "/api/v1/clusters")["clusters"]
        self.ids = {cluster["name"]: cluster["id"] for cluster in clusters}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a response whose status must be 200."""
        answer = requests.request(
            method, self._url + path, json=body, headers=self._headers, verify=self._ca_file, timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


def connect_when_let_in(arguments: dict[str, Any]) -> psycopg.Connection[Any]:
    """Retry until the change has taken effect."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return psycopg.connect(**arguments, connect_timeout=3)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline


def use_until_cut(connection: psycopg.Connection[Any]) -> None:
    """Use a connection for as long as a change takes to arrive."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        connection.execute("SELECT 1")
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["brave-otter", "steady-heron"])
def test_an_entry_permits_connections_and_its_removal_cuts_them(sandbox: Sandbox, name: str) -> None:
    api = Api(sandbox)
    base = f"/api/v1/clusters/{api.ids[name]}"
    cluster = sandbox.clusters[name]
    api.ask("POST", f"{base}/sql-users", {"name": "zoe", "password": PASSWORD})
    arguments = cluster.conninfo("newcomer", user="zoe", password=PASSWORD)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**arguments, connect_timeout=2)
    entry = {"cidr_ip": "192.0.2.44", "cidr_mask": 32, "name": "", "sql": True, "ui": False}
    api.ask("POST", f"{base}/networking/allowlist", entry)
    assert api.ask("GET", f"{base}/networking/allowlist")["propagating"] is True
    with connect_when_let_in(arguments) as live:
        api.ask("DELETE", f"{base}/networking/allowlist/192.0.2.44/32")
        with pytest.raises(psycopg.OperationalError):
            use_until_cut(live)
    api.ask("DELETE", f"{base}/sql-users/zoe")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**cluster.conninfo("inside", user="zoe", password=PASSWORD))


def test_a_database_of_the_api_can_be_used(sandbox: Sandbox) -> None:
    api = Api(sandbox)
    base = f"/api/v1/clusters/{api.ids['brave-otter']}"
    api.ask("POST", f"{base}/databases", {"name": "made"})
    api.ask("POST", f"{base}/sql-users", {"name": "zoe", "password": PASSWORD})
    arguments = sandbox.clusters["brave-otter"].conninfo(user="zoe", password=PASSWORD, dbname="made")
    with psycopg.connect(**arguments) as connection:
        connection.execute("CREATE TABLE t (i int)")
    found = {d["name"]: d.get("table_count") for d in api.ask("GET", f"{base}/databases")["databases"]}
    assert found["made"] == "1"
    with psycopg.connect(**arguments) as connection:
        api.ask("PATCH", f"{base}/databases/made", {"new_name": "renamed"})
        with pytest.raises(psycopg.OperationalError):
            use_until_cut(connection)
    with psycopg.connect(**{**arguments, "dbname": "renamed"}) as connection:
        connection.execute("SELECT i FROM t")
    api.ask("DELETE", f"{base}/databases/renamed")
    api.ask("DELETE", f"{base}/sql-users/zoe")


def test_a_live_connection_is_cut_only_when_its_own_address_leaves(stage: Stage) -> None:
    target = stage.target("funky-skunk", 123)
    ports = stage.routing_proxy([target], [INSIDE, OUTSIDE])
    stage.allow(target, Entry("203.0.113.0/24"), Entry("198.51.100.0/24"))
    arguments = {
        "host": "localhost", "user": "u", "password": "p", "dbname": "d", "options": "--cluster=funky-skunk-123",
        "sslmode": "verify-full", "sslrootcert": str(stage.ca_file),
    }  # fmt: skip
    with psycopg.connect(port=ports[0], **arguments), psycopg.connect(port=ports[1], **arguments):
        assert len(stage.live()) == 2
        stage.allow(target, Entry("203.0.113.0/24"))
        deadline = time.monotonic() + PATIENCE
        while len(stage.live()) > 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert stage.live() == ["funky-skunk"]


def test_a_wrong_password_makes_the_proxy_refuse_the_right_one_too() -> None:
    state = new_state()
    try:
        run_sandbox("up", "--state", str(state), "--port", "0", "--throttle", "3600", "--lifetime", "600")
        skunk = Sandbox.read(state).clusters["funky-skunk"]
        otter = Sandbox.read(state).clusters["brave-otter"]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**skunk.conninfo(password="a wrong one"))
        with pytest.raises(psycopg.OperationalError, match="codeProxyRefusedConnection: too many failed auth"):
            psycopg.connect(**skunk.conninfo())
        psycopg.connect(**otter.conninfo()).close()
    finally:
        run_sandbox("down", "--state", str(state))
        shutil.rmtree(state)
