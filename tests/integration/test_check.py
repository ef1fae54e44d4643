# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check through Ansible: a fleet and its canary, what the Cloud API adds, ad hoc, in somebody else's play."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import confirm as _confirm
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

from sandbox.allowlist import Entry
from tests.cloud import EGRESS, KEY, CloudStage
from tests.faults import table
from tests.faults.broken import BrokenServer
from tests.faults.test_faults import target
from tests.integration.conftest import BIN

ROUTING_ID = "funky-skunk-123"
PASSWORD = "c4n4ry-p4ssw0rd"
REFUSAL = table.REFUSED + "connection refused"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates of the broken servers."""
    return table.prepare(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def cloud():
    """An API without SQL, of which every request can be counted."""
    stage = CloudStage()
    yield stage
    stage.close()


def inventory(folder, count, names=None):
    """An inventory whose hosts are this machine."""
    path = folder / "hosts.yml"
    local = {"ansible_connection": "local", "ansible_python_interpreter": str(BIN / "python")}
    hosts = names or [f"host{number:03}" for number in range(count)]
    path.write_text(json.dumps({"all": {"vars": local, "hosts": dict.fromkeys(hosts)}}))
    return path


def endpoint(server, files, **changes):
    """One endpoint of a serverless cluster, at a server of this test."""
    facts = {"name": "shop", "host": "localhost", "port": server.port, "user": table.USER, "database": table.DATABASE,
             "password": PASSWORD, "routing_id": ROUTING_ID, "ca_file": files.ca}  # fmt: skip
    return {**facts, **changes}


def play(folder, *tasks, **keywords):
    """A play of these tasks, which prints what was registered as `result` for `results` to read."""
    path = folder / "play.yml"
    shown = {
        "name": "Print the result",
        "ansible.builtin.debug": {"msg": "RESULT {{ inventory_hostname }} {{ result | to_json | b64encode }}"},
    }
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [*tasks, shown], **keywords}]))
    return str(path)


def check(*endpoints, **keywords):
    """The task that checks endpoints."""
    module = {"endpoints": list(endpoints), "fail": False, **keywords.pop("arguments", {})}
    return {"name": "Check", "crdb.onboard.check": module, "register": "result", **keywords}


def results(run):
    """The first check of every host."""
    printed = re.findall(r"RESULT (\S+) ([A-Za-z0-9+/=]+)", run.output)
    found = {host: json.loads(base64.b64decode(text)) for host, text in printed}
    return {host: result["checks"][0] for host, result in found.items() if "checks" in result}


def codes(run):
    """How many hosts have which code."""
    found = [one["code"] for one in results(run).values()]
    return {code: found.count(code) for code in found}


def proofs(server):
    """The login attempts that a server has seen: SCRAM's first message depends on no password."""
    return len([message for message in server.password_messages if not message.startswith(b"SCRAM-SHA-256\0")])


SHAPES = [
    # On the linear strategy, the next test sees one attempt too.
    pytest.param({}, id="linear", marks=pytest.mark.thorough),
    pytest.param({"strategy": "ansible.builtin.free"}, id="free", marks=pytest.mark.thorough),
    pytest.param({"serial": 7}, id="serial"),
]


class TestCanary:
    @pytest.mark.parametrize("keywords", SHAPES)
    def test_100_hosts_with_one_wrong_password_make_one_attempt(self, controller, files, tmp_path, keywords):
        with BrokenServer(table.scram(password="another")) as server:
            path = play(tmp_path, check(endpoint(server, files)), **keywords)
            run = controller.playbook(path, {}, "-i", inventory(tmp_path, 100), "--forks", "40")
            assert run.status == 0, run.output
            assert proofs(server) == 1
            assert server.connections == 1
        assert codes(run) == {"password_rejected": 1, "canary_refused": 99}
        canary = next(host for host, found in results(run).items() if found["code"] == "password_rejected")
        for host, found in results(run).items():
            assert found["password_sent"] is (host == canary)
            assert host == canary or canary in found["cause"]
        assert PASSWORD not in run.output

    def test_the_sandbox_sees_one_attempt_of_100_hosts(self, controller, sandbox, tmp_path):
        cluster = sandbox.clusters["funky-skunk"]
        facts = {"host": cluster.host, "port": cluster.ports["inside"], "user": cluster.user, "database": "defaultdb",
                 "password": PASSWORD, "routing_id": cluster.routing_id, "ca_file": str(cluster.ca_file),
                 "options": f"--cluster={cluster.routing_id}"}  # fmt: skip
        log = sandbox.state / "sandbox.log"
        before = len(log.read_text().splitlines())
        path = play(tmp_path, check(facts))
        run = controller.playbook(path, {}, "-i", inventory(tmp_path, 100), "--forks", "40")
        assert run.status == 0, run.output
        seen = [line for line in log.read_text().splitlines()[before:] if "funky-skunk" in line]
        assert len(seen) == 1, seen
        assert codes(run) == {"password_rejected": 1, "canary_refused": 99}

    def test_a_right_password_is_checked_from_every_host(self, controller, files, tmp_path):
        with BrokenServer(table.scram(password=PASSWORD)) as server:
            path = play(tmp_path, check(endpoint(server, files)))
            run = controller.playbook(path, {}, "-i", inventory(tmp_path, 12), "--forks", "12")
            assert run.status == 0, run.output
            assert proofs(server) == 12
        assert codes(run) == {"ok": 12}

    def test_a_canary_that_comes_to_no_login_keeps_nobody_waiting(self, controller, files, tmp_path):
        """All hosts are diagnosed, without any password on its way."""
        with BrokenServer(table.refuses_startup(table.PROXY, REFUSAL)) as server:
            path = play(tmp_path, check(endpoint(server, files)))
            run = controller.playbook(path, {}, "-i", inventory(tmp_path, 12), "--forks", "12")
            assert run.status == 0, run.output
            assert server.password_messages == []
        assert codes(run) == {"not_in_allowlist": 12}

    def test_one_attempt_even_when_the_first_canaries_come_to_no_login(self, controller, files, tmp_path):
        tries = iter(range(1000))

        def behaviour(peer):
            if next(tries) < 3:
                return
            table.scram(password="another")(peer)

        with BrokenServer(behaviour) as server:
            path = play(tmp_path, check(endpoint(server, files)))
            run = controller.playbook(path, {}, "-i", inventory(tmp_path, 12), "--forks", "12")
            assert run.status == 0, run.output
            assert proofs(server) == 1
        found = codes(run)
        assert found.pop("password_rejected") == 1
        assert found.pop("closed_without_a_word") <= 3
        assert set(found) == {"canary_refused"}

    def test_other_users_are_tried_on_their_own(self, controller, files, tmp_path):
        with BrokenServer(table.scram(password="another")) as server:
            other = endpoint(server, files, name="other", user="someone")
            path = play(tmp_path, check(endpoint(server, files), other))
            run = controller.playbook(path, {}, "-i", inventory(tmp_path, 8), "--forks", "8")
            assert run.status == 0, run.output
            assert proofs(server) == 2

    def test_another_password_for_the_user_is_not_tried_in_the_same_task(self, controller, files, tmp_path):
        with BrokenServer(table.scram(password="another")) as server:
            mixed = endpoint(server, files, password="pw of {{ inventory_hostname }}")
            run = controller.playbook(play(tmp_path, check(mixed)), {}, "-i", inventory(tmp_path, 8), "--forks", "8")
            assert run.status == 0, run.output
            assert proofs(server) == 1

    def test_an_until_loop_does_not_hammer(self, controller, files, tmp_path):
        with BrokenServer(table.scram(password="another")) as server:
            task = check(endpoint(server, files), until="result.checks[0].ok", retries=3, delay=0, ignore_errors=True)
            run = controller.playbook(play(tmp_path, task), {}, "-i", inventory(tmp_path, 1))
            assert run.status == 0, run.output
            assert proofs(server) == 1
        assert codes(run) == {"not_tried": 1}

    def test_a_changed_password_is_tried_by_a_later_task(self, controller, files, tmp_path):
        with BrokenServer(table.scram(password=PASSWORD)) as server:
            first = {**check(endpoint(server, files, password="stale")), "register": "before"}
            run = controller.playbook(
                play(tmp_path, first, check(endpoint(server, files))), {}, "-i", inventory(tmp_path, 4), "--forks", "4"
            )
            assert run.status == 0, run.output
        assert codes(run) == {"ok": 4}


def test_an_until_loop_waits_for_a_server_that_starts(controller, files, tmp_path):
    tries = iter(range(1000))

    def behaviour(peer):
        if next(tries) < 2:
            table.refuses_startup("57P03", "the database system is starting up")(peer)
        else:
            table.scram(password=PASSWORD)(peer)

    with BrokenServer(behaviour) as server:
        task = check(endpoint(server, files), until="result is succeeded", retries=5, delay=0, arguments={"fail": True})
        run = controller.playbook(play(tmp_path, task), {}, "-i", inventory(tmp_path, 1))
        assert run.status == 0, run.output
    assert codes(run) == {"ok": 1}


class TestWordsOfAServer:
    """A mask stands for a password; where the password is a word of the sentence too, a mask would give it away."""

    @pytest.mark.parametrize("transport", ["program", "ansible"])
    @pytest.mark.parametrize("password", ["server", table.USER, table.DATABASE, "localhost", "a"])
    def test_a_password_that_is_a_word_of_the_sentence(self, controller, files, tmp_path, password, transport):
        def behaviour(peer):
            peer.tls(files.good)
            peer.startup()
            peer.scram(password)
            peer.let_in()
            peer.error("XX000", f"no, {password}, that is not the word")

        with BrokenServer(behaviour) as server:
            path = play(tmp_path, check(endpoint(server, files, password=password)))
            run = controller.playbook(path, {}, "-i", inventory(tmp_path, 1), CRDB_ONBOARD_TRANSPORT=transport)
        assert run.status == 0, run.output
        (found,) = results(run).values()
        assert found["code"] == "server_error"
        assert found["cause"].startswith("The server at localhost (127.0.0.1) answered after the login with an error")
        assert found["cause"].endswith('(SQLSTATE XX000): "(not shown)".')
        assert "***" not in json.dumps(found)
        assert "NO_LOG" not in json.dumps(found)

    @pytest.mark.parametrize("transport", ["program", "ansible"])
    def test_no_verbosity_shows_what_a_server_repeats(self, controller, files, tmp_path, transport):
        with BrokenServer(table.cleartext_refused) as server:
            path = play(tmp_path, check(endpoint(server, files)))
            run = controller.playbook(path, {}, "-i", inventory(tmp_path, 1), "-vvvv", CRDB_ONBOARD_TRANSPORT=transport)
        assert server.password_messages == [PASSWORD.encode() + b"\0"]
        (found,) = results(run).values()
        assert "you said ********" in found["evidence"]["server_message"]
        assert PASSWORD not in run.output


class TestConnectionStrings:
    """What is reported of a connection string, by the task that checks it."""

    @staticmethod
    def url(server, files, more):
        userinfo = f"{table.USER}:{PASSWORD}"
        return f"postgresql://{userinfo}@localhost:{server.port}/{table.DATABASE}?sslrootcert={files.ca}{more}"

    @pytest.mark.parametrize(
        ("more", "frameworks", "code", "notes"),
        [
            ("&sslmode=verify-full", ["psycopg2"], "ok", []),
            ("&sslmode=require", ["psycopg2"], "ok", ["url_sslmode"]),
            ("&sslmode=verify-full&pgbouncer=true", [], "ok", ["libpq_refuses_url"]),
            ("&sslmode=verify-full&pgbouncer=true", ["pgx", "jdbc"], "ok", ["libpq_refuses_url"]),
            ("&sslmode=verify-full&pgbouncer=true", ["pgx", "psycopg2"], "libpq_would_fail", []),
            ("&sslmode=verify-full&pgbouncer=true", [{"name": "psycopg2", "version": "2.9.9"}], "libpq_would_fail", []),
            ("&sslmode=verify-full&application_name=a=b", ["ruby-pg"], "libpq_would_fail", []),
            ("&sslmode=verify-full&connect_timeout=abc", [], "input_refused", []),
            ("&sslmode=verify-full?application_name=x", [], "input_refused", []),
        ],
    )
    def test_is_judged_by_the_clients_that_are_used(self, controller, files, tmp_path, more, frameworks, code, notes):
        with BrokenServer(table.scram(password=PASSWORD)) as server:
            arguments = {"url": self.url(server, files, more), "apps": [{"name": "shop", "frameworks": frameworks}]}
            task = {"name": "Check", "crdb.onboard.check": {"fail": False, **arguments}, "register": "result"}
            run = controller.playbook(play(tmp_path, task), {}, "-i", inventory(tmp_path, 1))
        assert run.status == 0, run.output
        (found,) = results(run).values()
        assert found["code"] == code
        assert found["ok"] is (code == "ok")
        assert [note["code"] for note in found["notes"]] == notes
        assert bool(found["cause"] and found["cure"]) is (code != "ok")
        assert PASSWORD not in run.output

    def test_refused_input_is_a_verdict_like_the_others(self, controller, files, tmp_path):
        """One that fails the task by default, names cause and cure, and has nothing tried."""
        with BrokenServer(table.scram(password=PASSWORD)) as server:
            url = self.url(server, files, "&sslmode=verify-full").replace("@", "@@", 1)
            task = {
                "name": "Check",
                "crdb.onboard.check": {"url": url},
                "register": "result",
                "ignore_errors": True,
            }
            run = controller.playbook(play(tmp_path, task), {}, "-i", inventory(tmp_path, 1))
            assert server.connections == 0
        (found,) = results(run).values()
        assert (found["code"], found["cause"]) == (
            "input_refused",
            "The password in the URL contains an unescaped '@'.",
        )
        assert found["cure"] == "Write it as %40."
        assert "write it as %40" in " ".join(run.output.split())
        assert PASSWORD not in run.output


NETWORKS = [
    ([], 0, "not_in_allowlist", f"Add {EGRESS}/32"),
    ([Entry("203.0.113.0/24", "inside")], 0, "not_in_allowlist", "203.0.113.0/24"),
    ([Entry(f"{EGRESS}/32", "us", sql=True)], 0, "allowlist_holds_address", "by another address"),
    ([Entry("192.0.2.0/24", "us", sql=True)], 60, "allowlist_propagating", "has not taken effect everywhere"),
    ([Entry(f"{EGRESS}/32", "us", sql=False)], 0, "allowlist_without_sql", "not for SQL"),
]
NOT_ALLOWED = table.refuses_startup(table.PROXY, REFUSAL)


class TestCloudApi:
    """What the API adds to a verdict: on the controller, by read requests only, with the key in nothing."""

    @pytest.fixture(autouse=True)
    def _fresh(self, monkeypatch):
        monkeypatch.setattr(_confirm, "_FRESH_SECONDS", -1.0)

    @pytest.fixture
    def ask(self, cloud, files):
        """Check a server, and let the API confirm the verdict."""

        def work(behaviour, *, address=lambda: EGRESS, options=None, switches=None, **changes):
            cloud.switch(**(switches or {}))
            with behaviour if hasattr(behaviour, "__enter__") else BrokenServer(behaviour) as server:
                facts = endpoint(server, files, **changes)
                found = check_endpoint(Endpoint.from_dict(facts), 2.0).as_dict()
            assert _confirm.concerns(found) != found["ok"]
            told = _confirm.confirm(
                found, facts, lambda: Settings.from_options({**cloud.options, **(options or {})}), address
            )
            assert KEY not in json.dumps(told)
            assert {request["method"] for request in cloud.api.requests} <= {"GET"}
            assert list(told) == list(found)
            return told

        return work

    @pytest.mark.parametrize(("entries", "propagation", "code", "says"), NETWORKS)
    def test_the_allowlist(self, ask, cloud, entries, propagation, code, says):
        cloud.store("funky-skunk", *entries)
        cloud.clusters["funky-skunk"].propagated_at = time.monotonic() + propagation
        found = ask(NOT_ALLOWED)
        assert found["code"] == code
        assert EGRESS in found["cause"]
        assert says in found["cause"] + found["cure"]
        assert found["evidence"]["cloud_api"]["public_address"] == EGRESS
        assert found["evidence"]["server_message"] == REFUSAL
        assert found["notes"] == []

    @pytest.mark.parametrize(
        ("entry", "code", "says"),
        [(Entry("203.0.113.0/24", "inside"), "allowlist_drops_address", f"Add {EGRESS}/32"),
         (Entry(f"{EGRESS}/32", "us", sql=True), "allowlist_holds_address", "firewall")],
    )  # fmt: skip
    def test_a_dedicated_cluster_that_drops_packets(self, ask, cloud, entry, code, says):
        cloud.store("steady-heron", entry)
        facts = {"deployment": "dedicated", "routing_id": None, "cluster": "steady-heron"}
        found = ask(_Filtered(), **facts)
        assert found["code"] == code
        assert "steady-heron" in found["cause"]
        assert says in found["cure"]

    @pytest.mark.parametrize(
        ("user", "code"), [("maxroach", "password_wrong"), ("MaxRoach", "password_wrong"), ("nobody", "user_unknown")]
    )
    def test_wrong_user_and_wrong_password_are_told_apart(self, ask, user, code):
        found = ask(table.scram(password="another"), user=user)
        assert found["code"] == code
        assert user in found["cause"]

    @pytest.mark.parametrize(
        ("state", "code"),
        [("CREATING", "cluster_creating"), ("LOCKED", "cluster_locked"), ("CREATION_FAILED", "cluster_failed"),
         ("DELETED", "cluster_deleted"), ("CREATED", "server_unavailable")],
    )  # fmt: skip
    def test_the_state_of_the_cluster(self, ask, state, code):
        refusal = table.refuses_startup(table.PROXY, "codeUnavailable: no pods")
        found = ask(refusal, switches={"state": state})
        assert found["code"] == code
        assert found["evidence"]["cloud_api"]["state"] == state

    @pytest.mark.parametrize("kind", ["401", "403", "500", "html_ok", "bad_json", "reset"])
    @pytest.mark.parametrize("first", [0, 2])
    def test_an_api_that_does_not_help_is_a_note(self, ask, kind, first):
        faults = {str(number): kind for number in range(first, 50)}
        found = ask(NOT_ALLOWED, switches={"faults": faults})
        assert found["code"] == "not_in_allowlist"
        assert [note["code"] for note in found["notes"]] == ["cloud_api_silent"]

    def test_an_address_that_cannot_be_told_is_a_note(self, ask):
        def address():
            raise OnboardingError("the echo services see different addresses")

        found = ask(NOT_ALLOWED, address=address)
        assert found["code"] == "not_in_allowlist"
        assert [note["code"] for note in found["notes"]] == ["public_address_unknown"]

    def test_a_cluster_that_the_key_does_not_see_is_a_note(self, ask):
        found = ask(NOT_ALLOWED, routing_id="other-cluster-9")
        assert found["code"] == "not_in_allowlist"
        assert [note["code"] for note in found["notes"]] == ["cloud_no_cluster"]

    def test_a_key_file_that_is_open_is_a_note(self, ask, tmp_path):
        path = tmp_path / "key"
        path.write_text(KEY)
        path.chmod(0o644)
        options = {"api_key": "", "api_key_file": str(path)}
        found = ask(NOT_ALLOWED, options=options)
        assert found["code"] == "not_in_allowlist"
        assert [note["code"] for note in found["notes"]] == ["cloud_api_silent"]

    def test_self_hosted_clusters_are_none_of_its_business(self, ask, cloud):
        ask(table.scram(password="another"), deployment="self_hosted")
        assert cloud.api.requests == []

    def test_a_fleet_asks_once_and_the_hosts_find_their_address(self, controller, cloud, files, tmp_path):
        cloud.switch()
        cloud.store("funky-skunk", Entry("203.0.113.0/24", "inside"))
        echo = {"echo": [f"{cloud.url}/echo/plain"], "echo_ca_file": str(cloud.ca_file)}
        arguments = {"cloud": cloud.options, **echo}
        with BrokenServer(NOT_ALLOWED) as server:
            path = play(tmp_path, check(endpoint(server, files), arguments=arguments))
            run = controller.playbook(path, {}, "-i", inventory(tmp_path, 10), "-vvv")
        assert run.status == 0, run.output
        assert KEY not in run.output
        found = list(results(run).values())
        assert [one["code"] for one in found] == ["not_in_allowlist"] * 10
        assert {one["evidence"]["cloud_api"]["missing_entry"] for one in found} == {f"{EGRESS}/32"}
        lists = [request for request in cloud.api.requests if request["path"].endswith("/clusters")]
        assert len(lists) <= 4
        assert {request["method"] for request in cloud.api.requests} == {"GET"}

    def test_what_passed_asks_nothing(self, controller, cloud, files, tmp_path):
        cloud.switch()
        with BrokenServer(table.scram(password=PASSWORD)) as server:
            path = play(tmp_path, check(endpoint(server, files)))
            run = controller.playbook(path, cloud.variables(), "-i", inventory(tmp_path, 1))
        assert codes(run) == {"ok": 1}
        assert cloud.api.requests == []


class _Filtered:
    """A port that does not answer."""

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self.port, _none = self._stack.enter_context(target(table.Fault("", "", "", filtered=True)))
        return self

    def __exit__(self, *raised):
        return self._stack.__exit__(*raised)


class TestAdHoc:
    def url(self, server):
        return f"postgresql://{table.USER}:{PASSWORD}@localhost:{server.port}/{table.DATABASE}?sslmode=verify-full"

    def run(self, controller, tmp_path, files, url, **extra):
        words = ["-m", "crdb.onboard.check", "-a", f"url={url} ca_file={files.ca}"]
        return controller.run("ansible", "all", "-i", inventory(tmp_path, 2), *words, **extra)

    def test_the_url_of_the_controllers_environment(self, controller, files, tmp_path):
        with BrokenServer(table.scram(password=PASSWORD)) as server:
            lookup = "{{ lookup('env', 'DATABASE_URL') }}"
            run = self.run(controller, tmp_path, files, lookup, DATABASE_URL=self.url(server))
        assert run.status == 0, run.output
        assert "2 hosts: 2 reached, not proved" in run.output
        assert run.output.count("| SUCCESS =>") == 2
        assert "command line holds a password" not in run.output
        assert PASSWORD not in run.output

    def test_a_password_that_was_typed_is_warned_of(self, controller, files, tmp_path):
        with BrokenServer(table.scram(password=PASSWORD)) as server:
            run = self.run(controller, tmp_path, files, self.url(server))
        assert run.status == 0, run.output
        assert run.output.count("command line holds a password") == 1
        assert PASSWORD not in run.output

    def test_a_failure_ends_with_a_status_that_a_pipeline_sees(self, controller, files, tmp_path):
        with BrokenServer(table.scram(password="another")) as server:
            lookup = "{{ lookup('env', 'DATABASE_URL') }}"
            run = self.run(controller, tmp_path, files, lookup, DATABASE_URL=self.url(server))
            assert proofs(server) == 1
        assert run.status == 2, run.output
        assert run.output.count("refuses the password") == 1
        assert "2 hosts: password_rejected at localhost port" in run.output
        assert ": 1 tried, 1 waited (url)" in run.output

    def test_the_inventorys_connections(self, controller, sandbox, tmp_path):
        facts = sandbox.connections["funky_skunk"]
        path = tmp_path / "vars.json"
        path.write_text(json.dumps({"crdb_connections": {"shop": {**facts, "ca_text": None}}}))
        where = inventory(tmp_path, 1)
        module = ["-m", "crdb.onboard.check", "-a", json.dumps({"connections": "{{ crdb_connections }}"})]
        run = controller.run("ansible", "all", "-i", where, *module, "--check", "-e", f"@{path}")
        assert run.status == 0, run.output
        assert facts["password"] not in run.output


def test_the_playbook_with_a_limit_checks_that_host_alone(controller, sandbox, tmp_path):
    facts = sandbox.connections["funky_skunk"]
    hosts = inventory(tmp_path, 0, ["one", "two", "three"])
    variables = {"crdb_connections": {"shop": facts}}
    run = controller.playbook("check", variables, "-i", hosts, "--check", "-l", "two")
    assert run.status == 0, run.output
    assert "host two" not in run.output
    assert run.recap("two")["failed"] == 0
    assert "\none " not in run.output
    wrong = {"crdb_connections": {"shop": {**facts, "password": "wr0ng-p4ssw0rd"}}}
    run = controller.playbook("check", wrong, "-i", hosts, "--check", "-l", "two")
    assert run.status == 2
    assert run.recap("two")["failed"] == 1


class TestAppsOwnView:
    """What was written is read back; the playbook that checks is not the one that wrote."""

    @pytest.fixture
    def onboarded(self, controller, sandbox):
        """A home with the configs of one app."""
        facts = sandbox.connections["funky_skunk"]
        variables = {"crdb_connections": {"shop": facts}, "crdb_frameworks": "psycopg2", "crdb_hosts": "localhost"}
        run = controller.playbook("dev_machine", variables)
        assert run.status == 0, run.output
        return controller.home / "crdb-app", variables

    def check(self, controller, onboarded, *words):
        run = controller.playbook("check", onboarded[1], *words)
        for connection in onboarded[1]["crdb_connections"].values():
            assert connection["password"] not in run.output
        return run.status, " ".join(run.output.split())

    def test_as_it_was_written(self, controller, onboarded):
        status, output = self.check(controller, onboarded)
        assert status == 0, output
        assert "app_" not in output
        assert "env_" not in output

    def test_an_env_file_that_was_edited_by_hand(self, controller, onboarded):
        path = onboarded[0] / ".env"
        path.write_text(path.read_text().replace("/defaultdb?", "/bank?"))
        status, output = self.check(controller, onboarded)
        assert status == 2
        assert "env_value_differs" in output
        assert "database is bank, expected defaultdb" in output

    def test_a_password_that_was_changed_on_one_side(self, controller, onboarded):
        path = onboarded[0] / ".env"
        path.write_text(re.sub("maxroach:[^@]*@", "maxroach:another@", path.read_text()))
        status, output = self.check(controller, onboarded)
        assert status == 2
        assert "the password is different" in output

    def test_a_file_that_is_gone(self, controller, onboarded):
        (onboarded[0] / "crdb_database.py").unlink()
        status, output = self.check(controller, onboarded)
        assert status == 2
        assert "app_file_missing" in output

    def test_a_ca_that_was_replaced(self, controller, onboarded, sandbox):
        path = onboarded[0] / "certs" / "ca.crt"
        path.write_text(sandbox.stranger_ca_file.read_text())
        status, output = self.check(controller, onboarded)
        assert status == 2
        assert "tls_unknown_ca" in output

    def test_check_mode_looks_at_what_is_there_and_fails_for_none(self, controller, onboarded):
        (onboarded[0] / ".env").unlink()
        status, output = self.check(controller, onboarded, "--check")
        assert status == 0, output

    def test_the_drivers_of_the_apps_own_venv(self, controller, onboarded, drivers):
        folder, variables = onboarded
        python = Path(drivers["crdb_check_interpreters"]["python"])
        (folder / "venv").symlink_to(python.parents[1])
        variables.update(crdb_check_drivers=True, crdb_check_interpreters={"python": "venv/bin/python"})
        status, output = self.check(controller, onboarded)
        assert status == 0, output
        assert "crdb-app: psycopg2" in output
        assert "connected as maxroach to defaultdb" in output

    def test_drivers_do_not_send_a_refused_password_again(self, controller, onboarded, drivers, sandbox):
        variables = onboarded[1]
        variables.update(drivers)
        (connection,) = variables["crdb_connections"].values()
        wrong = {"crdb_connections": {"shop": {**connection, "password": "wr0ng"}}}
        controller.playbook(
            "dev_machine", {**variables, **wrong, "crdb_app_config_force": True, "crdb_app_config_prove": False}
        )
        log = sandbox.state / "sandbox.log"
        before = len(log.read_text().splitlines())
        run = controller.playbook("check", {**variables, **wrong})
        assert run.status == 2, run.output
        assert "not tried, because the check reports password_rejected" in " ".join(run.output.split())
        assert len([line for line in log.read_text().splitlines()[before:] if "funky-skunk" in line]) == 1
        stale = controller.playbook("check", variables)
        assert stale.status == 2, stale.output
        assert "not tried, because the check reports env_value_differs" in " ".join(stale.output.split())

    def test_a_note_in_a_file_with_a_password_is_none_of_a_fault(self, controller, sandbox):
        facts = sandbox.connections["funky_skunk"]
        variables = {"crdb_connections": {"shop": facts}, "crdb_frameworks": "psycopg2", "crdb_hosts": "localhost",
                     "crdb_app_password_place": "inline"}  # fmt: skip
        run = controller.playbook("dev_machine", variables)
        assert run.status == 0, run.output
        path = controller.home / "crdb-app" / "crdb_database.py"
        written = path.read_text()
        assert facts["password"] in written
        path.write_text(written + "# a note\n")
        status, output = self.check(controller, (path.parent, variables))
        assert status == 0, output
        path.write_text(written.replace(facts["password"], "another"))
        status, output = self.check(controller, (path.parent, variables))
        assert status == 2
        assert "app_config_differs" in output


class TestPrinted:
    """What a failed check prints, and what a play can still read."""

    @pytest.fixture
    def refusing(self, files):
        with BrokenServer(table.scram(password="another")) as server:
            yield endpoint(server, files)

    def ad_hoc(self, controller, tmp_path, facts, *words):
        module = ("-m", "crdb.onboard.check", "-a", json.dumps({"endpoints": [facts]}))
        return controller.run("ansible", "all", "-i", inventory(tmp_path, 12), "--forks", "12", *module, *words)

    def test_an_ad_hoc_check_of_12_hosts_is_one_report(self, controller, tmp_path, refusing):
        run = self.ad_hoc(controller, tmp_path, refusing)
        assert run.status == 2, run.output
        assert run.output.count("cause: ") == 1
        assert run.output.count("12 hosts: 12 failed") == 1
        assert len(run.output.splitlines()) < 80
        assert "stages:" not in run.output

    def test_hosts_that_cannot_be_reached_are_in_it(self, controller, files, tmp_path):
        where = tmp_path / "two.yml"
        local = {"ansible_connection": "local", "ansible_python_interpreter": str(BIN / "python")}
        dead = {"ansible_host": "127.0.0.1", "ansible_port": 1}
        where.write_text(json.dumps({"all": {"hosts": {"a": local, "b": dead}}}))
        with BrokenServer(table.scram(password=PASSWORD)) as server:
            module = ("-m", "crdb.onboard.check", "-a", json.dumps({"endpoints": [endpoint(server, files)]}))
            run = controller.run("ansible", "all", "-i", where, *module)
        assert run.output.count("2 hosts: 1 reached, not proved, 1 unreachable") == 1

    def test_with_v_it_is_the_whole_result(self, controller, tmp_path, refusing):
        assert "stages:" in self.ad_hoc(controller, tmp_path, refusing, "-v").output

    def test_a_failed_task_of_a_play_prints_the_cause_once(self, controller, tmp_path, refusing):
        task = {"name": "Check", "crdb.onboard.check": {"endpoints": [refusing]}}
        run = controller.playbook(play(tmp_path, task), {}, "-i", inventory(tmp_path, 1))
        assert run.status == 2, run.output
        assert run.output.count("refuses the") == 1
        assert "stages:" not in run.output

    @pytest.mark.parametrize("way", ["register", "rescue"])
    def test_what_a_play_reads_is_complete(self, controller, tmp_path, refusing, way):
        task = {"name": "Check", "crdb.onboard.check": {"endpoints": [refusing]}}
        if way == "register":
            task |= {"register": "result", "ignore_errors": True}
            tasks = [task]
        else:
            fact = {"ansible.builtin.set_fact": {"result": "{{ ansible_failed_result }}"}}
            tasks = [{"block": [task], "rescue": [fact]}]
        run = controller.playbook(play(tmp_path, *tasks), {}, "-i", inventory(tmp_path, 1))
        assert run.status == 0, run.output
        (found,) = results(run).values()
        assert [stage["stage"] for stage in found["stages"]] == ["dns", "tcp", "tls", "route", "auth"]
