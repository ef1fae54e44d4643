# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks, SQL users and clusters by playbook: what the API is asked, and what the fronts then do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import requests
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.cluster import choose
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import parse_url

from sandbox.allowlist import Entry
from tests.cloud import EGRESS, KEY, CloudStage
from tests.integration.conftest import BIN, CHECKOUT, environment_values

INSIDE = "203.0.113.0/24"


@pytest.fixture
def cloud():
    """An API without SQL, of which every request can be counted."""
    stage = CloudStage()
    stage.switch(rate=10)
    yield stage
    stage.close()


def inventory(folder, hosts):
    """An inventory whose hosts are this machine."""
    path = folder / "hosts.yml"
    local = {"ansible_connection": "local", "ansible_python_interpreter": str(BIN / "python")}
    path.write_text(json.dumps({"all": {"hosts": {name: {**local, **facts} for name, facts in hosts.items()}}}))
    return path


def play(folder, **play_keywords):
    """A play of the two roles, with these keywords."""
    path = folder / "play.yml"
    roles = [{"role": "crdb.onboard.crdb_network"}]
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": roles, **play_keywords}]))
    return str(path)


def changes(cloud):
    """The changes that were asked for, by cluster."""
    names = {cluster.identifier: name for name, cluster in cloud.clusters.items()}
    return sorted((names[r["path"].split("/")[4]], r["method"]) for r in cloud.api.requests if r["method"] != "GET")


def listings(cloud, name):
    """How often the allowlist of a cluster was read from its beginning, but for looks at the propagation."""
    path = f"/api/v1/clusters/{cloud.clusters[name].identifier}/networking/allowlist"
    return len([r for r in cloud.api.requests if r["path"] == path and r["query"] == "pagination.limit=500"])


TWO_CLUSTERS = {
    "one": {"crdb_network_clusters": ["funky-skunk"], "crdb_network_entries": ["198.41.0.1"]},
    "two": {"crdb_network_clusters": ["funky-skunk", "steady-heron"], "crdb_network_entries": ["198.41.0.2"]},
    "localhost": {"crdb_network_clusters": ["steady-heron"], "crdb_network_entries": ["198.41.0.3"]},
}
SHAPES = [
    ({}, [], {"funky-skunk": ["1", "2"], "steady-heron": ["2", "3"]}),
    ({"serial": 1}, [], {"funky-skunk": ["1", "2"], "steady-heron": ["2", "3"]}),
    ({"strategy": "free"}, [], {"funky-skunk": ["1", "2"], "steady-heron": ["2", "3"]}),
    ({"become": True, "become_user": "nobody-at-all"}, [], {"funky-skunk": ["1", "2"], "steady-heron": ["2", "3"]}),
    ({"serial": 1, "become": True, "become_user": "nobody-at-all"}, ["-l", "one"], {"funky-skunk": ["1"]}),
    ({"serial": 2}, ["-l", "two"], {"funky-skunk": ["2"], "steady-heron": ["2"]}),
    ({}, ["-l", "localhost"], {"steady-heron": ["3"]}),
]


@pytest.mark.parametrize(("keywords", "words", "expected"), SHAPES, ids=str)
def test_each_cluster_of_the_hosts_in_play_is_reconciled_exactly_once(
    controller, cloud, tmp_path, keywords, words, expected
):
    hosts = inventory(tmp_path, TWO_CLUSTERS)
    run = controller.playbook(play(tmp_path, **keywords), cloud.variables(), "-i", hosts, *words)
    assert run.status == 0, run.output
    for name in cloud.clusters:
        assert cloud.networks(name) == sorted([INSIDE, *(f"198.41.0.{n}/32" for n in expected.get(name, []))])
        assert listings(cloud, name) == (1 if name in expected else 0)
    assert changes(cloud) == sorted((name, "POST") for name, numbers in expected.items() for _number in numbers)
    lists = [r for r in cloud.api.requests if r["path"] == "/api/v1/clusters"]
    # Each name is looked up once, on two pages.
    assert len(lists) == 2 * len(expected)
    assert {r["status"] for r in cloud.api.requests} == {200}


@pytest.mark.thorough
def test_100_hosts_that_ask_for_their_current_address_make_one_reconcile(controller, cloud, tmp_path):
    hosts = inventory(tmp_path, {f"host{number:03}": {} for number in range(100)})
    variables = {**cloud.variables(), **current(cloud, "hosts"), "crdb_network_clusters": ["funky-skunk"]}
    run = controller.playbook(play(tmp_path), variables, "-i", hosts)
    assert run.status == 0, run.output
    assert changes(cloud) == [("funky-skunk", "POST")]
    assert listings(cloud, "funky-skunk") == 1
    assert cloud.clusters["funky-skunk"].stored[(EGRESS, 32)].name == "crdb.onboard host000"
    assert run.output.count("changed=1 ") == 1


def current(cloud, who):
    """The variables that ask the stage's echo service."""
    return {
        "crdb_network_allow_private": True,
        "crdb_network_current": who,
        "crdb_network_echo": [f"{cloud.url}/echo/plain", f"{cloud.url}/echo/json"],
        "crdb_network_echo_ca_file": str(cloud.ca_file),
    }


def test_a_nat_pool_is_refused_with_all_answers(controller, cloud):
    cloud.switch(echo=["192.0.2.44", "192.0.2.45"])
    run = controller.playbook(
        "authorize_network",
        {**cloud.variables(), **current(cloud, "controller"), "crdb_network_clusters": ["funky-skunk"]},
    )
    assert run.status == 2, run.output
    assert "192.0.2.44" in run.output
    assert "192.0.2.45" in run.output
    assert changes(cloud) == []


def test_a_laptop_that_moved_has_its_new_address_and_no_old_one(controller, cloud):
    variables = {**cloud.variables(), **current(cloud, "controller"), "crdb_network_clusters": ["funky-skunk"],
                 "crdb_network_name": "ann", "crdb_network_replace": True}  # fmt: skip
    first = controller.playbook("authorize_network", variables)
    assert first.status == 0, first.output
    cloud.switch(echo=["192.0.2.99"])
    second = controller.playbook("authorize_network", variables)
    assert second.status == 0, second.output
    assert cloud.networks("funky-skunk") == ["192.0.2.99/32", INSIDE]
    third = controller.playbook("authorize_network", variables)
    assert third.recap()["changed"] == 0


def test_the_controller_is_not_locked_out_unless_told(controller, cloud):
    cloud.store("funky-skunk", Entry(INSIDE, "inside"), Entry(f"{EGRESS}/32", "theirs"))
    variables = {**cloud.variables(), **current(cloud, "none"), "crdb_network_clusters": ["funky-skunk"],
                 "crdb_network_entries": ["198.41.0.1"], "crdb_network_state": "exact"}  # fmt: skip
    run = controller.playbook("authorize_network", variables)
    assert run.status == 2, run.output
    assert "would lock out 192.0.2.44" in " ".join(run.output.split())
    assert changes(cloud) == []
    told = controller.playbook("authorize_network", {**variables, "crdb_network_allow_lockout": True})
    assert told.status == 0, told.output
    assert cloud.networks("funky-skunk") == ["198.41.0.1/32"]


NEVER = 3600.0
"""A propagation delay that no test waits for: it ends when the test says so."""
MOVED = {"crdb_network_clusters": ["funky-skunk"], "crdb_network_name": "ann", "crdb_network_replace": True,
         "crdb_network_wait": NEVER}  # fmt: skip


def wait_until(condition):
    """Wait for something that happens soon, with a bound for a slow machine."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def looks(cloud):
    """How often a run looked whether changes are in effect."""
    return len([r for r in cloud.api.requests if r["query"] == "pagination.limit=1"])


def waits_and_removes(controller, cloud, variables, **switches):
    """Start a run that must wait, let changes take effect once it waits, and return it when it has ended."""
    cloud.switch(propagation=NEVER, **switches)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(controller.playbook, "authorize_network", variables)
        try:
            wait_until(lambda: looks(cloud) > 1 or run.done())
            assert changes(cloud) == []
        finally:
            cloud.switch(propagation=0.0, **switches)
            cloud.propagate("funky-skunk")
        return run.result()


def test_access_is_removed_only_when_that_of_a_colleague_is_in_effect(controller, cloud):
    theirs = Entry("192.0.2.0/24", "theirs")
    cloud.store("funky-skunk", Entry(INSIDE, "inside"), Entry(f"{EGRESS}/32", "crdb.onboard ann"))
    cloud.switch(propagation=NEVER)
    cloud.add("funky-skunk", theirs)
    variables = {**cloud.variables(), **current(cloud, "none"), **MOVED, "crdb_network_state": "absent"}
    run = waits_and_removes(controller, cloud, variables)
    assert run.status == 0, run.output
    assert cloud.networks("funky-skunk") == ["192.0.2.0/24", INSIDE]
    (before,) = [entries for request, entries in cloud.effective if request.method == "DELETE"]
    assert theirs in before


def test_check_mode_says_that_a_run_waits(controller, cloud):
    cloud.store("funky-skunk", Entry(INSIDE, "inside"), Entry(f"{EGRESS}/32", "crdb.onboard ann"))
    cloud.switch(propagation=NEVER)
    cloud.add("funky-skunk", Entry("192.0.2.0/24", "theirs"))
    variables = {**cloud.variables(), **current(cloud, "none"), **MOVED, "crdb_network_state": "absent"}
    run = controller.playbook("authorize_network", variables, "--check")
    assert run.status == 0, run.output
    assert "an earlier change is not in effect yet. A run waits for it" in " ".join(run.output.split())
    assert changes(cloud) == []


def workers_of(process):
    """The processes that a process has forked."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, parent in (line.split() for line in listed.splitlines()) if int(parent) == process.pid]


def is_running(pid):
    """Whether a process is there, and no zombie."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(listed.strip()) and not listed.strip().startswith("Z")


def test_a_run_that_is_killed_while_it_waits_changes_nothing_more_and_the_next_one_waits(controller, cloud):
    """`kill -9` of the main process, whose worker is in a session of its own."""
    variables = {**cloud.variables(), **current(cloud, "controller"), **MOVED}
    old, new = f"{EGRESS}/32", "192.0.2.99/32"
    cloud.store("funky-skunk", Entry(INSIDE, "inside"), Entry(old, "crdb.onboard ann"))
    cloud.switch(propagation=NEVER, echo=["192.0.2.99"])
    path = controller.home / "killed.json"
    path.write_text(json.dumps(variables))
    process = subprocess.Popen(
        [str(BIN / "ansible-playbook"), "playbooks/authorize_network.yml", "-e", f"@{path}"],
        cwd=CHECKOUT, env=controller._environment({}), start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: looks(cloud) > 1)
    workers = workers_of(process)
    assert len(workers) == 1
    process.kill()
    process.wait()
    sent = cloud.count()
    wait_until(lambda: not any(map(is_running, workers)))
    # One request may have been on its way.
    assert cloud.count() <= sent + 1
    assert changes(cloud) == [("funky-skunk", "POST")]

    run = waits_and_removes(controller, cloud, variables, echo=["192.0.2.99"])
    assert run.status == 0, run.output
    assert cloud.networks("funky-skunk") == [new, INSIDE]
    (before,) = [entries for request, entries in cloud.effective if request.method == "DELETE"]
    assert new in [entry.cidr for entry in before]


def test_more_entries_than_the_plan_allows_are_refused_before_the_allowlist_is_read(controller, cloud):
    entries = [f"20.0.{number}.0/24" for number in range(51)]
    variables = {**cloud.variables(), "crdb_network_clusters": ["funky-skunk"], "crdb_network_entries": entries}
    run = controller.playbook("authorize_network", variables)
    assert run.status == 2, run.output
    assert "may have 50 entries, but entries lists 51" in " ".join(run.output.split())
    assert listings(cloud, "funky-skunk") == 0
    assert changes(cloud) == []


def test_check_mode_shows_the_difference_and_changes_nothing(controller, cloud):
    variables = {**cloud.variables(), "crdb_network_clusters": ["funky-skunk"], "crdb_network_entries": ["198.41.0.1"],
                 "crdb_sql_user_clusters": ["funky-skunk"], "crdb_sql_user_name": "ann",
                 "crdb_sql_user_password_store": str(controller.home / "store.json")}  # fmt: skip
    run = controller.playbook("authorize_network", variables, "--check", "--diff")
    assert run.status == 0, run.output
    assert "+198.41.0.1/32 sql 'crdb.onboard '" in run.output
    run = controller.playbook("sql_user", variables, "--check", "--diff")
    assert run.status == 0, run.output
    assert "the SQL user ann would be created" in run.output
    assert changes(cloud) == []
    assert not (controller.home / "store.json").exists()


FACTS = {"user": "ann", "password": "canary-of-a-password"}
CHOSEN = [
    ({"cluster": "steady-heron"}, "localhost", "defaultdb"),
    ({"cluster": "steady-heron", "database": "shop"}, "localhost", "shop"),
    ({"cluster": "steady-heron", "region": "us-west-2"}, "west-steady-heron.sandbox.test", "defaultdb"),
    ({"cluster": "steady-heron", "endpoint": "private"}, "internal-steady-heron.sandbox.test", "defaultdb"),
    (
        {"cluster": "steady-heron", "endpoint": "private", "region": "us-west-2", "database": "shop"},
        "internal-west-steady-heron.sandbox.test",
        "shop",
    ),
    ({"cluster": "brave-otter", "endpoint": "private"}, "private-brave-otter.sandbox.test", "defaultdb"),
    ({"cluster": "funky-skunk", "region": "us-east-1", "database": "bank"}, "localhost", "bank"),
]


def test_cluster_region_endpoint_and_database_make_the_connection(controller, cloud, tmp_path):
    """By connection.yml and by cluster_info, which say the same, and what the API's own connection string says."""
    connections = {f"c{number}": {**facts, **FACTS} for number, (facts, _host, _database) in enumerate(CHOSEN)}
    path = tmp_path / "play.yml"
    result = tmp_path / "result.json"
    options = [{"name" if k == "cluster" else k: v for k, v in facts.items()} for facts, _host, _database in CHOSEN]
    chosen = {key: f"{{{{ item.{key} | default(omit) }}}}" for key in ("name", "region", "endpoint", "database")}
    tasks = [
        {
            "name": "Show them",
            "crdb.onboard.connection": {"connections": "{{ crdb_connections }}", "apps": [], "cloud": cloud.options},
            "register": "shown",
        },
        {
            "name": "Look",
            "crdb.onboard.cluster_info": {"user": "ann", "cloud": cloud.options, **chosen},
            "loop": options,
            "register": "looked",
        },
        {
            "name": "Keep it",
            "ansible.builtin.copy": {"dest": str(result), "content": "{{ [shown, looked] | to_json }}"},
        },
    ]
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    variables = {"crdb_connections": connections}
    run = controller.playbook(str(path), variables)
    assert run.status == 0, run.output
    assert FACTS["password"] not in run.output + result.read_text()
    shown, looked = json.loads(result.read_text())
    cloud.switch(rate=0)
    for number, (facts, host, database) in enumerate(CHOSEN):
        cluster = cloud.clusters[facts["cluster"]]
        parameters = shown["connections"][f"c{number}"]["parameters"]
        assert (parameters["Host"], parameters["Database"].rpartition(".")[2]) == (host, database)
        info = looked["results"][number]
        ours = parse_url(info["connection_string"])
        answer = requests.get(
            f"{cloud.url}/api/v1/clusters/{cluster.identifier}/connection-string",
            params={"sql_user": "ann", "database": database, "os": "LINUX"},
            headers={"Authorization": f"Bearer {KEY}"},
            verify=str(cloud.ca_file),
            timeout=20,
        ).json()
        theirs = parse_url(answer["connection_string"])
        assert ours.host == host
        for part in ("port", "database", "user", "effective_routing_id", "deployment", "sslmode"):
            assert getattr(ours, part) == getattr(theirs, part), part
        assert info["connection"]["routing_id" if cluster.routing_id else "host"] == (cluster.routing_id or host)
        if host == "localhost":
            assert ours.host == theirs.host


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"region": "eu-central-1"}, "has no region 'eu-central-1'; it has us-east-1, us-west-2"),
        ({"endpoint": "secret"}, "endpoint must be one of: public, private, got: secret"),
        ({"host": "x"}, "has cluster and host, which the Cloud API gives. Remove host, or cluster"),
        ({"user": ""}, "has cluster, but user is missing. Set it (crdb_connection_user) to"),
    ],
)
def test_a_choice_that_the_cluster_does_not_have_is_refused(controller, cloud, facts, message):
    connections = {"shop": {"cluster": "steady-heron", **FACTS, **facts}}
    run = controller.playbook("connection", {**cloud.variables(), "crdb_connections": connections})
    assert run.status == 2, run.output
    # YAML doubles the quotes within a text.
    assert message in " ".join(run.output.replace("''", "'").split())


def test_a_name_that_two_clusters_have_is_refused_with_their_ids():
    twins = [{"id": "1", "name": "twin", "cloud_provider": "AWS"}, {"id": "2", "name": "twin", "cloud_provider": "GCP"}]
    clusters = [*twins, {"id": "3", "name": "twin", "state": "DELETED"}]
    with pytest.raises(OnboardingError, match=r"2 clusters named 'twin': give the id, one of 1 \(AWS\), 2 \(GCP\)"):
        choose(clusters, "twin")
    assert choose(clusters, "2") == twins[1]


def test_the_allowlist_does_not_concern_a_private_end_point(controller, cloud):
    connections = {"shop": {"cluster": "steady-heron", "endpoint": "private", **FACTS}}
    variables = {**cloud.variables(), "crdb_connections": connections, "crdb_network_entries": ["198.41.0.1"]}
    run = controller.playbook("authorize_network", variables)
    assert run.status == 0, run.output
    assert "steady-heron is reached by a private endpoint, which has no allowlist" in " ".join(run.output.split())
    assert cloud.count() == 0
    # One of two: the other is done.
    connections["public"] = {"cluster": "funky-skunk", **FACTS}
    run = controller.playbook("authorize_network", variables)
    assert run.status == 0, run.output
    assert changes(cloud) == [("funky-skunk", "POST")]


@pytest.mark.parametrize(("keywords", "words"), [({"serial": 1, "become": True, "become_user": "nobody-at-all"}, []),
                                                 ({"strategy": "free"}, ["-l", "two"])], ids=str)  # fmt: skip
def test_each_user_of_the_hosts_in_play_is_made_exactly_once(controller, cloud, tmp_path, keywords, words):
    def host(*clusters):
        connections = {name.replace("-", "_"): {"cluster": name, "user": "ann"} for name in clusters}
        return {"crdb_connections": connections}

    hosts = {"one": host("funky-skunk"), "two": host("funky-skunk", "steady-heron"), "localhost": host("brave-otter")}
    path = tmp_path / "play.yml"
    roles = [{"role": "crdb.onboard.crdb_sql_user"}]
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": roles, **keywords}]))
    variables = {**cloud.variables(), "crdb_sql_user_password_store": str(tmp_path / "store.json")}
    run = controller.playbook(str(path), variables, "-i", inventory(tmp_path, hosts), *words)
    assert run.status == 0, run.output
    expected = ["funky-skunk", "steady-heron"] if words else sorted(cloud.clusters)
    assert changes(cloud) == sorted((name, "POST") for name in expected)
    kept = json.loads((tmp_path / "store.json").read_text())["clusters"]
    for name in expected:
        entry = kept[cloud.clusters[name].identifier]
        assert cloud.accounts[name].passwords["ann"] == entry["users"]["ann"]["password"]


def test_validation_needs_no_key_and_names_every_mistake(controller):
    run = controller.playbook(
        "authorize_network", {"crdb_network_entries": ["10.0.0.0/8", "198.41.0.5/24"]}, "--tags", "validate"
    )
    assert run.status == 2, run.output
    assert "10.0.0.0/8 is in a private range" in run.output
    assert "did you mean the network 198.41.0.0/24 or" in " ".join(run.output.split())
    good = controller.playbook("authorize_network", {"crdb_network_entries": ["198.41.0.5"]}, "--tags", "validate")
    assert good.status == 0, good.output


def test_a_fleet_of_self_hosted_clusters_needs_no_key_and_has_nothing_to_do(controller, tmp_path):
    connections = {"shop": {"host": "db.example.com", "user": "shop", "password": "p" * 16, "ca_text": "x"}}
    variables = {"crdb_connections": connections, "crdb_sql_user_password_store": str(tmp_path / "store.json")}
    run = controller.playbook("sql_user", variables)
    assert run.status == 0, run.output
    assert run.recap()["changed"] == 0
    assert "Nothing to do" in run.output


def test_without_a_key_it_says_where_one_comes_from(controller):
    run = controller.playbook("authorize_network", {"crdb_network_clusters": ["x"]})
    assert run.status == 2, run.output
    assert "No API key was given. Set COCKROACH_API_KEY" in " ".join(run.output.split())


def test_a_missing_cluster_is_refused_with_the_names_there_are(controller, cloud):
    run = controller.playbook("authorize_network", {**cloud.variables(), "crdb_network_clusters": ["skunk"]})
    assert run.status == 2, run.output
    assert "it sees: brave-otter, funky-skunk, steady-heron" in " ".join(run.output.split())


def test_names_of_the_api_do_not_steer_the_terminal(controller, cloud):
    """A cluster's and an entry's name with colours, a window title and a mark that turns the reading direction."""
    cluster = cloud.clusters["funky-skunk"]
    entry = Entry("198.41.0.9/32", "\x1b]0;owned\x07\u202ecolleague")
    facts = {"shop": {"cluster": "funky-skunk", "user": "ann", "password": "p"}}
    given = {"crdb_network_entries": ["198.41.0.1"], "crdb_network_replace": True, "crdb_connections": facts}
    outputs = []
    for name, status in ((cluster.name, 0), ("\x1b[31mred\u202e\x07-skunk", 2)):
        cluster.name = name
        cloud.store("funky-skunk", entry, Entry("203.0.113.0/24", "inside"))
        for playbook, words in (("authorize_network", ["--check"]), ("authorize_network", []), ("connection", [])):
            run = controller.playbook(playbook, {**cloud.variables(), **given}, "-vvv", "--diff", *words)
            assert run.status == status, run.output
            outputs.append(run.output)
    assert "colleague" in outputs[0]
    assert "'name' must be printable text" in " ".join(outputs[-1].split())
    assert {char for char in "".join(outputs) if not char.isprintable() and char not in "\n\t"} == set()


def use_until_cut(connection):
    """Go on using a connection, for the time that a change takes to arrive."""
    for _number in range(200):
        connection.execute("SELECT 1")
        time.sleep(0.1)


class TestWithSql:
    """On the whole sandbox."""

    @pytest.fixture
    def variables(self, sandbox, tmp_path):
        self.url, self.ca_file = sandbox.cloud["crdb_cloud_url"], sandbox.cloud["crdb_cloud_ca_file"]
        self.key = (sandbox.state / "api-key").read_text().strip()
        self.ask("PUT", "/sandbox/switches", {"rate": 10})
        return {
            **sandbox.cloud,
            "crdb_network_allow_private": True,
            "crdb_network_current": "controller",
            "crdb_network_name": "ann",
            "crdb_network_echo": [f"{self.url}/echo/plain", f"{self.url}/echo/json"],
            "crdb_network_echo_ca_file": self.ca_file,
            "crdb_sql_user_password_store": str(tmp_path / "passwords.json"),
            "crdb_connections": {"shop": {"cluster": "funky-skunk", "user": "ann", "database": "bank"}},
            "crdb_apps": [{"name": "shop", "connection": "shop", "folder": "~/shop", "frameworks": ["psycopg2"]}],
        }

    def ask(self, method, path, body=None):
        answer = requests.request(
            method, self.url + path, json=body, verify=self.ca_file, headers={"Authorization": f"Bearer {self.key}"},
            timeout=20,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.json()

    def leave(self, controller, variables):
        run = controller.playbook(
            "leaver", {**variables, "crdb_network_current": "none", "crdb_sql_user_name": "ann"}, "-e",
            "crdb_network_allow_lockout=true",
        )  # fmt: skip
        assert run.status == 0, run.output
        return run

    def password(self, variables):
        store = json.loads((CHECKOUT / variables["crdb_sql_user_password_store"]).read_text())["clusters"]
        return next((c["users"]["ann"]["password"] for c in store.values() if "ann" in c["users"]), None)

    def test_from_a_name_to_a_proved_connection_and_back(self, controller, sandbox, variables, tmp_path):
        output = ""
        for playbook in ("sql_user", "authorize_network", "dev_machine"):
            run = controller.playbook(playbook, variables, "-vvvv", "--diff")
            assert run.status == 0, run.output
            output += run.output
        assert "is an administrator of the cluster" in output
        password = self.password(variables)
        url = (controller.home / "shop" / ".env").read_text()
        assert password in url
        # The API's own connection string and ours say the same.
        identifier = next(c["id"] for c in self.pages("/api/v1/clusters", "clusters") if c["name"] == "funky-skunk")
        theirs = self.ask("GET", f"/api/v1/clusters/{identifier}/connection-string?database=bank&sql_user=ann")
        parsed = parse_url(theirs["connection_string"])
        ours = parse_url(environment_values(url)["DATABASE_URL"])
        for part in ("host", "port", "database", "user", "effective_routing_id", "deployment"):
            assert getattr(ours, part) == getattr(parsed, part)

        # Whoever comes the next day connects with the same password, and nothing is set again.
        self.ask("PUT", "/sandbox/switches", {"rate": 10})
        for playbook in ("sql_user", "authorize_network", "dev_machine"):
            again = controller.playbook(playbook, variables)
            assert again.status == 0, again.output
            assert again.recap()["changed"] == 0
        # A host that is added the next day connects, without a reset.
        apps = [{"name": "shop", "connection": "shop", "folder": str(tmp_path / "added"), "frameworks": ["psycopg2"]}]
        hosts = inventory(tmp_path, {"old": {}, "added": {"crdb_apps": apps}})
        others = {**{name: value for name, value in variables.items() if name != "crdb_apps"}, "crdb_hosts": "added"}
        added = controller.playbook("dev_machine", others, "-i", hosts)
        assert added.status == 0, added.output
        assert password in (tmp_path / "added" / ".env").read_text()
        assert {r["method"] for r in self.ask("GET", "/sandbox/requests")} == {"GET"}

        # Removing the entry cuts the live connection; the user and the password go too.
        cluster = sandbox.clusters["funky-skunk"]
        with psycopg.connect(**cluster.conninfo("newcomer", user="ann", password=password)) as connection:
            connection.execute("SELECT 1")
            output += self.leave(controller, variables).output
            with pytest.raises(psycopg.OperationalError):
                use_until_cut(connection)
        with pytest.raises(psycopg.OperationalError, match="codeProxyRefusedConnection"):
            psycopg.connect(**cluster.conninfo("newcomer", user="ann", password=password))
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**cluster.conninfo("inside", user="ann", password=password))
        assert self.password(variables) is None
        log = (sandbox.state / "sandbox.log").read_text() + (sandbox.state / "postgresql.log").read_text()
        for secret in (password, self.key):
            assert secret not in output
            assert secret not in log

    def pages(self, path, key):
        token = ""
        while token is not None:
            page = self.ask("GET", f"{path}?pagination.page={token}")
            yield from page[key]
            token = page["pagination"].get("next_page")

    def test_a_run_that_is_killed_behind_the_change_is_finished_by_the_next(self, controller, sandbox, variables):
        self.ask("PUT", "/sandbox/switches", {"rate": 10, "faults": {"3": "timeout_after"}})
        path = controller.home / "killed.json"
        path.write_text(json.dumps(variables))
        words = [str(BIN / "ansible-playbook"), "playbooks/sql_user.yml", "-e", f"@{path}"]
        process = subprocess.Popen(
            words, cwd=CHECKOUT, env=controller._environment({}), start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        # Once the service has the password, and hangs in place of its answer.
        deadline = time.monotonic() + 60
        while not any(r["method"] == "POST" for r in self.ask("GET", "/sandbox/requests")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.ask("PUT", "/sandbox/switches", {"rate": 10})
        for playbook in ("sql_user", "authorize_network", "dev_machine"):
            run = controller.playbook(playbook, variables)
            assert run.status == 0, run.output
        assert "shop: shop" in run.output
        self.leave(controller, variables)

    def test_a_forgotten_password_is_replaced_by_one_command(self, controller, sandbox, variables):
        assert controller.playbook("sql_user", variables).status == 0
        (CHECKOUT / variables["crdb_sql_user_password_store"]).unlink()
        lost = controller.playbook("sql_user", variables)
        assert lost.status == 2
        assert "its password is not in the store" in " ".join(lost.output.split())
        found = controller.playbook("sql_user", variables, "-e", "crdb_sql_user_update_password=always")
        assert found.status == 0, found.output
        cluster = sandbox.clusters["funky-skunk"]
        with psycopg.connect(**cluster.conninfo("inside", user="ann", password=self.password(variables))):
            pass
        self.leave(controller, variables)

    def test_the_store_is_encrypted_when_the_run_has_a_vault_secret(self, controller, variables):
        secret = controller.home / "vault"
        secret.write_text("a-vault-secret\n")
        store = CHECKOUT / variables["crdb_sql_user_password_store"]
        run = controller.playbook("sql_user", variables, "--vault-password-file", secret)
        assert run.status == 0, run.output
        assert store.read_bytes().startswith(b"$ANSIBLE_VAULT;")
        assert store.stat().st_mode & 0o777 == 0o600
        without = controller.playbook("sql_user", variables)
        assert without.status == 2
        assert "no vault secret" in " ".join(without.output.split())
        again = controller.playbook("sql_user", variables, "--vault-password-file", secret)
        assert again.recap()["changed"] == 0
        store.unlink()
        self.leave(controller, variables)


def test_the_key_and_a_given_password_are_in_no_output(controller, cloud):
    variables = {**cloud.variables(), "crdb_sql_user_clusters": ["funky-skunk"], "crdb_sql_user_name": "ann",
                 "crdb_sql_user_password": "canary-of-a-given-password"}  # fmt: skip
    output = ""
    for faults in ({}, {"2": "500"}, {"0": "401"}, {"2": "html"}):
        cloud.accounts["funky-skunk"].passwords.pop("ann", None)
        cloud.switch(faults=faults)
        output += controller.playbook("sql_user", variables, "-vvvv", "--diff").output
    assert "the SQL user ann created" in output
    assert "make a new one in the Console" in " ".join(output.split())
    assert KEY not in output
    assert "canary-of-a-given-password" not in output
