# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose failed login keeps which hosts from trying: real hosts, and a server that does to one host what a test says."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests import fleet
from tests.faults import table
from tests.faults.broken import BrokenServer
from tests.integration.test_check import PASSWORD, check, codes, endpoint, play, results

pytestmark = pytest.mark.skipif(not fleet.possible(), reason="needs root, unshare and sshd")
HOSTS = 5


@pytest.fixture(scope="module")
def hosts():
    """Five hosts that are reached by ssh."""
    running = fleet.Fleet(HOSTS)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates of the broken servers."""
    return table.prepare(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def run(controller, hosts, files, tmp_path):
    """Check one login from all hosts."""

    def run(server, **keywords):
        controller.environment.update(hosts.environment)
        facts = endpoint(server, files, ca_file=None, ca_text=Path(files.ca).read_text())
        path = play(tmp_path, check(facts, **{"arguments": {"timeout": 3}, **keywords}))
        done = controller.playbook(path, {}, "-i", hosts.inventory(), "--forks", str(HOSTS))
        assert done.status == 0, done.output
        return done

    return run


def silent_after_the_proof(peer):
    """Take the password, and say nothing."""
    peer.tls(table.FILES.good)
    peer.startup()
    peer.message(b"R", b"\0\0\0\3")
    peer.password_message()
    peer.hang()


def closes_after_the_proof(peer):
    """Take the password, and close."""
    peer.tls(table.FILES.good)
    peer.startup()
    peer.message(b"R", b"\0\0\0\3")
    peer.password_message()


FULL = table.refuses_login("53300", "sorry, too many clients already")
STOPS = table.refuses_login("57P01", "terminating connection due to administrator command")
ACCIDENTS = [
    pytest.param(silent_after_the_proof, "server_hang_auth", id="server_hang_auth", marks=pytest.mark.thorough),
    pytest.param(closes_after_the_proof, "closed_in_session", id="closed_in_session"),
    pytest.param(FULL, "too_many_connections", id="too_many_connections"),
    pytest.param(STOPS, "server_stopping", id="server_stopping", marks=pytest.mark.thorough),
]


@pytest.mark.parametrize(("accident", "code"), ACCIDENTS)
def test_the_accident_of_the_first_host_is_no_verdict_on_the_others(run, accident, code):
    numbers = itertools.count()

    def behaviour(peer):
        (accident if next(numbers) == 0 else table.scram(password=PASSWORD))(peer)

    with BrokenServer(behaviour) as server:
        done = run(server)
    assert codes(done) == {code: 1, "ok": HOSTS - 1}


@pytest.mark.parametrize(
    ("accident", "code"),
    [
        pytest.param(silent_after_the_proof, "server_hang_auth", id="server_hang_auth", marks=pytest.mark.thorough),
        pytest.param(FULL, "too_many_connections", id="too_many_connections"),
    ],
)
def test_after_three_accidents_the_others_do_not_try_and_say_why(run, accident, code):
    with BrokenServer(accident) as server:
        done = run(server)
        assert len(server.password_messages) == 3
    assert codes(done) == {code: 3, "canary_failed": HOSTS - 3}
    tried = {host for host, found in results(done).items() if found["code"] == code}
    for host, found in results(done).items():
        assert found["password_sent"] is (host in tried)
        if host not in tried:
            assert f"with {code}, so this host sent no password" in found["cause"]
            assert "refused" not in found["cause"] + found["cure"] + json.dumps(found["evidence"])
            assert set(found["evidence"]["tried_by"]) == tried


REFUSALS = [
    (table.refuses_login("28P01", "password authentication failed for user maxroach"), "password_rejected", "refused"),
    (table.refuses_login("28000", "no"), "login_refused", "refused"),
    (table.scram(password=PASSWORD, wrong_signature=True), "server_signature_invalid", "failed"),
    (table.refuses_login("XX000", "internal error"), "server_error", "failed"),
]


@pytest.mark.parametrize(("refusal", "code", "follower"), REFUSALS, ids=[code for _b, code, _f in REFUSALS])
def test_what_can_be_a_wrong_password_is_tried_by_one_host(run, refusal, code, follower):
    with BrokenServer(refusal) as server:
        done = run(server)
        assert server.connections == 1
    assert codes(done) == {code: 1, f"canary_{follower}": HOSTS - 1}


def test_a_refusal_after_an_accident_is_the_last_attempt(run):
    numbers = itertools.count()

    def behaviour(peer):
        (FULL if next(numbers) == 0 else table.scram(password="another"))(peer)

    with BrokenServer(behaviour) as server:
        done = run(server)
    assert codes(done) == {"too_many_connections": 1, "password_rejected": 1, "canary_refused": HOSTS - 2}


def test_a_loop_waits_for_a_server_that_is_full(run):
    numbers = itertools.count()

    def behaviour(peer):
        (FULL if next(numbers) < 4 else table.scram(password=PASSWORD))(peer)

    with BrokenServer(behaviour) as server:
        done = run(server, until="result.checks[0].ok", retries=10, delay=0, ignore_errors=True)
    assert codes(done) == {"ok": HOSTS}


def test_a_loop_does_not_repeat_a_password_that_gets_no_answer(run):
    with BrokenServer(closes_after_the_proof) as server:
        run(server, until="result.checks[0].ok", retries=3, delay=0, ignore_errors=True)
        assert len(server.password_messages) == 3
