# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each fault of the table, produced for real on loopback, in this Python and in the oldest and newest found."""

from __future__ import annotations

import contextlib
import json
import operator
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check import notes, run
from ansible_collections.crdb.onboard.plugins.module_utils._check.app_files import Finding
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import CATALOGUE
from ansible_collections.crdb.onboard.plugins.module_utils._check.diagnosis import Diagnosis, describe
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts
from ansible_collections.crdb.onboard.plugins.module_utils._check.report import refused_input, with_findings
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint, check_endpoints
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import WireError
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.formats import of_host

from tests.faults import table
from tests.faults.broken import VERSION, Behaviour, BrokenServer, Peer
from tests.faults.certificates import DAY, NOW, Authority
from tests.faults.table import DATABASE, FAULTS, PASSWORD, USER, Fault, Files
from tests.ports import held_port
from tests.unit.plugins.module_utils.test_check_diagnosis import BORROWED, REACHED

# A server that speaks TLS 1.1 only is one of the faults.
pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")

ROOT = Path(__file__).resolve().parents[2]

# Reads a list of [endpoint, timeout, skew] and writes the reports in the same order, all of them checked at once.
OUTSIDE = """
import concurrent.futures, json, sys
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint
work = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    reports = pool.map(lambda one: check_endpoint(Endpoint.from_dict(one[0]), one[1], one[2]).as_dict(), work)
    json.dump(list(reports), sys.stdout)
"""


@pytest.fixture(autouse=True)
def _a_bare_user(bare_user: None) -> None:
    """Every test here is one of a user with neither files nor variables."""


def endpoint(files: Files, port: int, **changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": "shop",
        "host": "localhost",
        "port": port,
        "user": USER,
        "database": DATABASE,
        "password": PASSWORD,
        "ca_file": files.ca,
    }
    for key, value in changes.items():
        path = isinstance(value, str) and value.startswith("{")
        facts[key] = _path(files, value) if path else value
    return facts


def _path(files: Files, template: str) -> str:
    name, _brace, rest = template[1:].partition("}")
    return str(operator.attrgetter(name)(files)) + rest


@contextlib.contextmanager
def target(fault: Fault) -> Iterator[tuple[int, BrokenServer | None]]:
    """A port where the fault's server listens, or where nothing does."""
    if fault.filtered:
        with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for filler in (first, second):
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield listener.getsockname()[1], None
        return
    if fault.behaviour is None:
        with held_port() as port:
            yield port, None
        return
    with BrokenServer(fault.behaviour) as server:
        yield server.port, server


def assert_told(fault: Fault, report: dict[str, Any], host: str) -> None:
    assert report["code"] == fault.code, report
    assert report["code"] != fault.neighbour
    assert not report["ok"]
    assert host in report["cause"]
    assert host in report["cure"]
    for sentence in (report["cause"], report["cure"]):
        assert sentence.endswith(".")
        assert "{" not in sentence
        assert "\n" not in sentence
    for said in fault.says:
        assert said in report["cause"] + report["cure"]
    for key, value in fault.evidence.items():
        assert report["evidence"][key] == value
    assert report["stages"][-1]["ok"] is False
    assert all(stage["ok"] for stage in report["stages"][:-1])
    assert all(stage["milliseconds"] >= 0 for stage in report["stages"])
    text = json.dumps(report, ensure_ascii=False)
    for secret in (PASSWORD, quote(PASSWORD, safe=""), table.TOKEN_CANARY):
        assert secret not in text
    assert text.isprintable()


def assert_told_at_a_terminal(fault: Fault, report: dict[str, Any], facts: dict[str, Any]) -> None:
    """The lines that a person sees, without the evidence and the code, tell this fault from its neighbour."""
    lines = " ".join(of_host("app1", {"checks": [report]}))
    assert "evidence" not in lines
    words = lines.replace(fault.code, "")
    for said in (*fault.says, report["cause"], report["cure"]):
        assert " ".join(said.split()) in words
    server = report["evidence"].get("server_message")
    if CATALOGUE[fault.code].quotes_server and server:
        assert server.rstrip(".") in words
    known = Facts.of(Endpoint.from_dict(facts), fault.timeout)
    neighbour = describe(fault.neighbour, report["evidence"]["step"], WireError("another error"), known)
    assert neighbour.cause not in words


def test_no_two_codes_have_the_same_words() -> None:
    causes: dict[str, str] = {}
    for code, entry in CATALOGUE.items():
        if code in BORROWED:
            continue
        for cause, _cure in [(entry.cause, entry.cure), *entry.per_deployment.values()]:
            assert causes.setdefault(cause, code) == code
            assert "evidence" not in cause
        assert "in the evidence" not in entry.cure


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_fault(fault: Fault, files: Files) -> None:
    with target(fault) as (port, server):
        facts = endpoint(files, port, **fault.endpoint)
        report = check_endpoint(Endpoint.from_dict(facts), fault.timeout, fault.skew).as_dict()
    assert_told(fault, report, facts["host"])
    assert_told_at_a_terminal(fault, report, facts)
    if server is not None:
        assert server.connections <= fault.connections
        assert len(server.password_messages) == fault.password_messages
        assert report["password_sent"] == any(_proves(message) for message in server.password_messages)
        assert server.surprises == []


def _proves(message: bytes) -> bool:
    """Whether a message of the client depends on the password: SCRAM's first does not."""
    return not message.startswith(b"SCRAM-SHA-256\0")


def interpreter(name: str) -> str | None:
    """A working Python of that version: on PATH, or among pyenv's, whose shims on PATH may not run."""
    candidates = [shutil.which(name) or ""]
    if shutil.which("pyenv"):
        root = Path(subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout.strip())
        candidates += sorted(str(path) for path in root.glob(f"versions/{name[6:]}.*/bin/python"))
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.mark.parametrize("name", ["python3.9", "python3.13"])
def test_every_fault_from_another_python(name: str, files: Files) -> None:
    python = interpreter(name)
    if python is None:
        pytest.skip(f"no working {name} on PATH or in pyenv")
    with contextlib.ExitStack() as stack:
        work: list[tuple[dict[str, Any], float, float | None]] = []
        for fault in FAULTS:
            port, _server = stack.enter_context(target(fault))
            work.append((endpoint(files, port, **fault.endpoint), fault.timeout, fault.skew))
        done = subprocess.run(
            [python, "-c", OUTSIDE],
            input=json.dumps(work),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd="/",
            env={
                "PYTHONPATH": str(ROOT / "collections"),
                "PYTHONDONTWRITEBYTECODE": "1",
                **{name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")},
            },
        )
    assert done.stderr == ""
    for fault, (facts, _timeout, _skew), report in zip(FAULTS, work, json.loads(done.stdout)):
        assert_told(fault, report, facts["host"])


def test_a_refused_token_is_sent_once_and_an_expired_one_never(files: Files) -> None:
    """What the server refuses holds the other apps of that login. What this machine refuses is that app's alone."""
    facts = table.by_token(jwt=table.token())
    with BrokenServer(table.refused_token("invalid audience", "token issued with an audience of [shop]")) as server:
        same = [endpoint(files, server.port, name=f"app{number}", **facts) for number in range(3)]
        reports = check_endpoints([Endpoint.from_dict(entry) for entry in same])
    assert [report.diagnosis.code for report in reports] == ["jwt_wrong_audience", "not_tried", "not_tried"]
    assert len(server.password_messages) == 1
    with BrokenServer(table.refused_token("not enabled")) as server:
        expired = endpoint(files, server.port, name="old", **table.by_token(jwt=table.token(exp=1)))
        good = endpoint(files, server.port, name="new", **facts)
        reports = check_endpoints([Endpoint.from_dict(entry) for entry in (expired, good)])
    assert [report.diagnosis.code for report in reports] == ["jwt_expired", "jwt_disabled"]
    assert (server.connections, len(server.password_messages)) == (1, 1)


def test_passes(files: Files) -> None:
    with BrokenServer(table.shows("good")) as server:
        facts = endpoint(files, server.port, options="--cluster=funky-skunk-123")
        report = check_endpoint(Endpoint.from_dict(facts)).as_dict()
    assert report["code"] == "ok"
    assert report["ok"]
    assert [stage["stage"] for stage in report["stages"]] == ["dns", "tcp", "tls", "route", "auth", "sql"]
    assert report["server"]["version"] == VERSION
    assert report["server"]["user"] == USER
    assert report["server"]["database"] == DATABASE
    assert report["server"]["certificate"]["sans"] == ["localhost", "127.0.0.1"]
    assert report["server"]["certificate"]["issuer"] == "CN=Test CA"
    assert report["server"]["tls_version"] in ("TLSv1.2", "TLSv1.3")
    assert server.sni == ["localhost"]
    assert server.startups[0]["options"] == "--cluster=funky-skunk-123"
    assert server.startups[0]["database"] == DATABASE
    assert server.surprises == []


@pytest.mark.parametrize(
    ("changes", "sni"),
    [
        ({"host": "127.0.0.1"}, None),
        ({"sslcert": "{client}", "sslkey": "{client}"}, "localhost"),
        ({"ca_file": "{folder}/none.crt", "ca_text": "PEM"}, "localhost"),
    ],
)
def test_passes_also(changes: dict[str, str], sni: str | None, files: Files) -> None:
    if "ca_text" in changes:
        changes = {**changes, "ca_text": "# naïve comment\n" + Path(files.ca).read_text()}
    with BrokenServer(table.shows("good", **({"client_ca": "authority"} if "sslcert" in changes else {}))) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, **changes)))
    assert report.diagnosis.code == "ok"
    assert server.sni == [sni]


def test_public_roots_are_the_systems(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", files.ca)
    with BrokenServer(table.shows("good")) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, ca_file=None)))
    assert report.diagnosis.code == "ok"


def test_no_public_roots(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files.folder / "none.pem"))
    with BrokenServer(table.shows("good")) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, ca_file=None)))
    assert report.diagnosis.code == "public_roots_missing"


def test_without_a_ca_the_file_of_libpq_is_taken(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As libpq does: ~/.postgresql/root.crt if it exists, or PGSSLROOTCERT; neither when a CA is named."""
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    root = folder / "root.crt"
    monkeypatch.setenv("HOME", str(tmp_path))
    with BrokenServer(table.shows("good")) as server:

        def check(**changes: Any) -> dict[str, Any]:
            return check_endpoint(Endpoint.from_dict(endpoint(files, server.port, **changes))).as_dict()

        nothing = check(ca_file=None)
        root.write_text(Path(files.ca).read_text())
        right, public = check(ca_file=None), check(ca_file="public")
        root.write_text(files.stranger.path.read_text())
        wrong, named = check(ca_file=None), check()
        monkeypatch.setenv("PGSSLROOTCERT", files.ca)
        variable = check(ca_file=None)
    assert nothing["code"] == public["code"] == "tls_not_public"
    assert wrong["code"] == "tls_unknown_ca"
    assert f"which is not in the CA file {root} (which libpq takes by itself)" in wrong["cause"]
    assert right["ok"]
    assert named["ok"]
    assert variable["ok"]
    assert [note["code"] for note in variable["notes"]] == ["libpq_environment"]


def test_public_roots_that_libpq_does_not_take(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """psql verifies nothing by public roots unless sslrootcert=system says so; others do."""
    monkeypatch.setenv("SSL_CERT_FILE", files.ca)
    with BrokenServer(table.shows("good")) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, ca_file=None))).as_dict()
        public = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, ca_file="public"))).as_dict()
    assert report["ok"]
    assert [note["code"] for note in report["notes"]] == ["libpq_without_ca"]
    assert ".postgresql/root.crt does not exist" in report["notes"][0]["text"]
    assert public["notes"] == []


def test_variables_that_libpq_takes_are_a_note(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGOPTIONS", "PGHOSTADDR", "PGSERVICE", "PGSSLROOTCERT", "PGPASSWORD", "PGUSER"):
        monkeypatch.setenv(name, "c4n4ry")
    with BrokenServer(table.shows("good")) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, options="-c a=b"))).as_dict()
    assert report["ok"]
    (found,) = report["notes"]
    assert found["code"] == "libpq_environment"
    assert "sets PGSERVICE, PGHOSTADDR, which" in found["text"]


def test_a_refused_login_is_not_tried_again(files: Files) -> None:
    """Three apps of one user with wrong passwords, and one with another user: the server sees two attempts."""
    with BrokenServer(table.scram(password="another")) as server:
        same = [
            endpoint(files, server.port, name=f"app{number}", password=f"{PASSWORD}{number}") for number in range(3)
        ]
        other = endpoint(files, server.port, name="other", user="someone")
        reports = check_endpoints([Endpoint.from_dict(facts) for facts in [*same, other]])
    assert [report.diagnosis.code for report in reports] == [
        "password_rejected",
        "not_tried",
        "not_tried",
        "password_rejected",
    ]
    assert "app0" in reports[1].diagnosis.cause
    assert len(server.startups) == 2
    assert sum(not message.startswith(b"SCRAM") for message in server.password_messages) == 2


@pytest.mark.parametrize(
    ("behaviour", "codes"),
    [
        (table.refuses_login("53300", "sorry, too many clients already"), ["too_many_connections"] * 3),
        (table.refuses_login("08P01", "query_wait_timeout"), ["pooler_server_down"] * 3),
        (table.refuses_login("XX000", "a bug"), ["server_error", "canary_failed", "canary_failed"]),
        (table.refuses_login("28000", "no"), ["login_refused", "not_tried", "not_tried"]),
    ],
)
def test_only_what_may_be_a_refusal_keeps_a_login_from_being_tried_again(
    files: Files, behaviour: Behaviour, codes: list[str]
) -> None:
    with BrokenServer(behaviour) as server:
        same = [endpoint(files, server.port, name=f"app{number}") for number in range(3)]
        reports = check_endpoints([Endpoint.from_dict(facts) for facts in same])
    assert [report.diagnosis.code for report in reports] == codes
    assert len(server.password_messages) == codes.count(codes[0])
    assert "refused" not in reports[2].diagnosis.cause or codes[2] == "not_tried"


def test_the_same_login_that_passes_is_checked_for_each_endpoint(files: Files) -> None:
    with BrokenServer(table.shows("good")) as server:
        both = [endpoint(files, server.port, name=name) for name in ("one", "two")]
        reports = check_endpoints([Endpoint.from_dict(facts) for facts in both])
    assert [(report.name, report.ok) for report in reports] == [("one", True), ("two", True)]
    assert len(server.startups) == 2


STAGES = ("dns", "tcp", "tls", "route", "auth", "sql")


@pytest.mark.parametrize("stage", STAGES)
def test_a_slow_stage_is_named(stage: str, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage made slow for real, the others not: the note names it, and the verdict stays."""
    limits = dict.fromkeys(STAGES, (60000.0, 0.0))
    monkeypatch.setattr(notes, "NORMAL", {**limits, stage: (400.0, 0.0)})

    def slow(at: str) -> None:
        if at == stage:
            time.sleep(0.6)

    def behaviour(peer: Peer) -> None:
        slow("tls")
        peer.tls(files.good)
        peer.startup()
        slow("route")
        peer.scram(PASSWORD)
        slow("auth")
        peer.let_in()
        slow("sql")
        peer.ready()
        peer.query()
        peer.row(USER, DATABASE, VERSION)
        peer.hang()

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: (slow("dns"), real(*args, **more))[1])
    connect = run.connect
    monkeypatch.setattr(run, "connect", lambda *args: (slow("tcp"), connect(*args))[1])
    with BrokenServer(behaviour) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, host="127.0.0.1"))).as_dict()
    assert report["ok"]
    assert [note["code"] for note in report["notes"]] == [f"slow_{stage}"]
    assert "127.0.0.1" in report["notes"][0]["text"]
    assert "up to 400 is normal" in report["notes"][0]["text"]


@pytest.mark.parametrize(
    ("row", "changes", "code", "says"),
    [
        ((USER, DATABASE, "PostgreSQL 15.18 (Debian)"), {}, "not_cockroachdb", "PostgreSQL 15.18"),
        ((USER, DATABASE, "CockroachDB CCL v22.2.19 (x86_64)"), {}, "old_cockroachdb", "runs CockroachDB CCL v22.2,"),
        ((USER, DATABASE, "CockroachDB CCL v23.1.0 (x86_64)"), {}, None, ""),
        (("pool", DATABASE, VERSION), {}, "other_user", "runs as pool, although maxroach"),
        ((USER, DATABASE, VERSION), {"user": "MaxRoach"}, None, ""),
        ((USER, "postgres", VERSION), {}, "other_database", "in database postgres, although defaultdb"),
        ((USER, DATABASE, VERSION), {"database": f"funky-skunk-123.{DATABASE}"}, None, ""),
    ],
)
def test_a_session_that_is_not_as_expected_is_a_note(
    files: Files, row: tuple[str, str, str], changes: dict[str, str], code: str | None, says: str
) -> None:
    def behaviour(peer: Peer) -> None:
        peer.tls(files.good)
        peer.startup()
        peer.scram(PASSWORD)
        peer.let_in()
        peer.ready()
        peer.query()
        peer.row(*row)
        peer.hang()

    with BrokenServer(behaviour) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, **changes)))
    assert report.ok
    assert [note["code"] for note in report.notes] == ([code] if code else [])
    assert all(says in note["text"] for note in report.notes)


@pytest.mark.parametrize("password", [PASSWORD, "server"])
def test_no_note_repeats_the_password_that_a_server_names_as_version_user_or_database(
    files: Files, password: str
) -> None:
    def behaviour(peer: Peer) -> None:
        peer.tls(files.good)
        peer.startup()
        peer.scram(password)
        peer.let_in()
        peer.ready()
        peer.query()
        peer.row(f"u{password}u", f"d{password}d", f"v{password}v")
        peer.hang()

    with BrokenServer(behaviour) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, password=password))).as_dict()
    assert [note["code"] for note in report["notes"]] == ["not_cockroachdb", "other_user", "other_database"]
    text = json.dumps(report, ensure_ascii=False)
    assert not any(f"{letter}{password}{letter}" in text for letter in "udv")


def test_no_finding_repeats_the_password_that_a_file_has_in_another_place(files: Files) -> None:
    facts = Endpoint.from_dict(endpoint(files, 1))
    tried = refused_input("shop", "", "")
    found = Finding("env_value_differs", {"path": "/a/.env", "variable": "X", "difference": f"user is {PASSWORD}"})
    report = with_findings(tried._replace(diagnosis=Diagnosis("ok", "", "", {})), facts, [found], "", only=False)
    assert report.diagnosis.code == "env_value_differs"
    assert "user is ********" in report.diagnosis.cause
    assert PASSWORD not in json.dumps(report.as_dict(), ensure_ascii=False)


def test_clocks_that_differ_are_a_note_where_all_passes(files: Files) -> None:
    with BrokenServer(table.shows("good")) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port)), 15.0, 3600.0).as_dict()
    assert report["ok"]
    assert [note["code"] for note in report["notes"]] == ["clock_differs"]


def test_what_ends_soon_is_a_note(files: Files, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Soon CA", days=20)
    files.soon = authority.issue("soon", days=5)
    with BrokenServer(table.shows("soon")) as server:
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port, ca_file=str(authority.path))))
    assert [note["code"] for note in report.notes] == ["certificate_expires", "ca_expires"]
    assert "CN=Soon CA" in report.notes[1]["text"]


def test_a_client_certificate_that_ends_soon_is_a_note(files: Files, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Client CA", days=90)
    files.client_authority = authority
    for days, codes in ((4, []), (2, ["client_cert_expires"])):
        own = str(authority.issue(f"own-{days}", usage=None, begins=NOW - 4 * DAY, days=4 + days))
        with BrokenServer(table.shows("good", client_ca="client_authority")) as server:
            facts = endpoint(files, server.port, sslcert=own, sslkey=own)
            report = check_endpoint(Endpoint.from_dict(facts))
        assert [note["code"] for note in report.notes] == codes
    assert own in report.notes[0]["text"]


def test_the_next_address_is_tried_and_only_one_login_made(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead address before the living one costs its share of the time, and no login."""
    with BrokenServer(table.shows("good")) as server, target(Fault("", "", "")) as (dead, _none):
        known = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", dead)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: known)
        report = check_endpoint(Endpoint.from_dict(endpoint(files, server.port)))
    assert report.ok
    assert report.address == "127.0.0.1"
    assert server.connections == 1


def test_every_code_of_the_catalogue_is_reached_somewhere() -> None:
    """A code that no test reaches is a promise that nobody checked: the rest is in the unit tests' tables."""
    assert set(CATALOGUE) - {fault.code for fault in FAULTS} - REACHED == set()
    assert {fault.neighbour for fault in FAULTS} <= set(CATALOGUE)
