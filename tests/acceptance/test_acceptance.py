# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The acceptance run itself: it sees what is wrong, leaves nothing behind, and touches nothing that is not its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import cloud as sandbox_cloud
from sandbox import http as sandbox_http
from sandbox import organization as cloud_organization
from sandbox import pages
from tests import vendor
from tests.acceptance import checks, report
from tests.acceptance.__main__ import main
from tests.acceptance.api import Answer, Api
from tests.acceptance.names import Names, belongs, new_run
from tests.acceptance.run import CHECKS, Check, CheckError, Result, Run, SkippedError
from tests.acceptance.sweep import leftovers, sweep
from tests.acceptance.target import RefusedError, Target, of_cloud, of_sandbox, of_url
from tests.cloud import CloudStage
from tests.conftest import CHECKOUT, Sandbox

OTTER, BADGER, SKUNK = "brave-otter", "lone-badger", "funky-skunk"
LIMIT = 300.0


class Cloud:
    """The API of the sandbox, as its owner."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._url, self._ca_file = sandbox.cloud["crdb_cloud_url"], sandbox.cloud["crdb_cloud_ca_file"]
        key = Path(sandbox.cloud["crdb_cloud_api_key_file"]).read_text().strip()
        self._headers = {"Authorization": f"Bearer {key}"}
        self.key = key

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(
            method, self._url + path, json=body, headers=self._headers, verify=self._ca_file, timeout=20
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def cloud(sandbox: Sandbox) -> Iterator[Cloud]:
    owner = Cloud(sandbox)
    owner.ask("PUT", "/sandbox/switches", {})
    yield owner
    owner.ask("PUT", "/sandbox/switches", {})


def words(sandbox: Sandbox, cluster: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "tests.acceptance", *more, "--sandbox", str(sandbox.state), "--cluster", cluster]


def environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(CHECKOUT / "collections"), "HOME": str(folder), "TMPDIR": str(folder)}


def run_acceptance(sandbox: Sandbox, folder: Path, cluster: str, *more: str) -> tuple[int, str, dict[str, Any]]:
    """The exit status, what was printed, and the report."""
    done = subprocess.run(
        [*words(sandbox, cluster, "run", *more), "--report", str(folder / "report")],
        cwd=CHECKOUT, env=environment(folder), capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    path = folder / "report" / "acceptance.json"
    return done.returncode, done.stdout + done.stderr, json.loads(path.read_text()) if path.exists() else {}


def made(sandbox: Sandbox, cluster: str) -> list[str]:
    """What runs made on a cluster and is still there."""
    return leftovers(of_sandbox(sandbox.state, cluster))


class Started:
    """A run in the background."""

    def __init__(self, sandbox: Sandbox, folder: Path, cluster: str, only: str) -> None:
        self.process = subprocess.Popen(
            [*words(sandbox, cluster, "run", "--yes", "--only", only), "--report", str(folder / "report")],
            cwd=CHECKOUT, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.output = ""
        self.until("sweeps if this one is killed")
        self.watcher = int(re.search(r"process ([0-9]+) sweeps", self.output)[1])

    def until(self, text: str) -> None:
        """Read until the text is printed."""
        while text not in self.output:
            line = self.process.stdout.readline()
            assert line, self.output
            self.output += line

    def kill(self, *, watcher_too: bool = False) -> None:
        if watcher_too:
            os.kill(self.watcher, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def wait_for_watcher(self) -> None:
        end = time.monotonic() + LIMIT
        while is_running(self.watcher):
            assert time.monotonic() < end, "the watcher did not end"
            time.sleep(0.1)


def is_running(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(listed.strip()) and not listed.strip().startswith("Z")


# A check in which the run is killed, and how many seconds after its beginning. Whatever was made by then must go.
POINTS = [
    ("api-user-and-network", 2.5),
    ("least-rights", 1.0),
    ("api-user-and-network", 0.0),
    ("api-user-and-network", 4.5),
    ("database", 0.8),
    ("rotation", 3.0),
    ("rotation", 8.0),
    ("rename-database", 0.3),
    ("duplicates", 0.2),
    ("user-case", 0.2),
]


@pytest.mark.parametrize(
    ("name", "seconds"),
    [pytest.param(*point, marks=[pytest.mark.thorough] if number else []) for number, point in enumerate(POINTS)],
)
def test_a_run_that_is_killed_is_swept(
    sandbox: Sandbox, cloud: Cloud, tmp_path: Path, name: str, seconds: float
) -> None:
    started = Started(sandbox, tmp_path, OTTER, name)
    started.until(f"...   {name}\n")
    time.sleep(seconds)
    before = made(sandbox, OTTER)
    started.kill()
    started.wait_for_watcher()
    print(f"killed {seconds} s into {name}: {len(before)} things were there, {len(made(sandbox, OTTER))} are")
    assert made(sandbox, OTTER) == []
    assert list(tmp_path.glob("crdb-acceptance-*")) == []
    (log,) = (tmp_path / "report").glob("sweep-*.log")
    assert "nothing is left over" in log.read_text()


@pytest.mark.parametrize(
    ("cluster", "check"), [(OTTER, "duplicates"), pytest.param(BADGER, "least-rights", marks=pytest.mark.thorough)]
)
def test_a_run_that_is_killed_with_its_watcher_is_swept_by_the_command(
    sandbox: Sandbox, cloud: Cloud, tmp_path: Path, cluster: str, check: str
) -> None:
    started = Started(sandbox, tmp_path, cluster, check)
    started.until("ok    database")
    started.kill(watcher_too=True)
    end = time.monotonic() + LIMIT
    while any(str(tmp_path) in line for line in processes()):
        assert time.monotonic() < end, "a playbook of the killed run goes on"
        time.sleep(0.1)
    assert made(sandbox, cluster)
    theirs = subprocess.run(
        words(sandbox, cluster, "sweep", "--run", "00000000"), cwd=CHECKOUT, env=environment(tmp_path),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert theirs.returncode == 0, theirs.stderr
    assert made(sandbox, cluster)
    done = subprocess.run(
        words(sandbox, cluster, "sweep"), cwd=CHECKOUT, env=environment(tmp_path), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"removed database crdb_acc_[0-9a-f]{8}_sample", done.stdout)
    assert "nothing is left over" in done.stdout
    assert made(sandbox, cluster) == []


def processes() -> list[str]:
    return subprocess.run(["ps", "-e", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )


def test_an_interrupted_run_sweeps_by_itself(sandbox: Sandbox, cloud: Cloud, tmp_path: Path) -> None:
    started = Started(sandbox, tmp_path, OTTER, "duplicates")
    started.until("...   duplicates\n")
    started.process.send_signal(signal.SIGTERM)
    output, _nothing = started.process.communicate(timeout=LIMIT)
    assert started.process.returncode == 130, started.output + output
    assert made(sandbox, OTTER) == []
    assert not is_running(started.watcher)
    assert list(tmp_path.glob("crdb-acceptance-*")) == []
    assert list((tmp_path / "report").iterdir()) == []


def test_a_row_that_is_broken_is_named(sandbox: Sandbox, cloud: Cloud, tmp_path: Path) -> None:
    name = "backups-config"
    sentence = "GET /clusters/{id}/backups-config answered 404, code 5: not found, but the service has it."
    cloud.ask("PUT", "/sandbox/switches", {"missing": ["GET clusters/{cluster_id}/backups-config"]})
    status, output, found = run_acceptance(sandbox, tmp_path, OTTER, "--yes", "--only", f"{name},versions")
    assert status == 1, output
    assert found["outcomes"]["failed"] == 1
    assert sentence in " ".join(output.split())
    (failed,) = [item for item in found["results"] if item["outcome"] == "failed"]
    assert failed["name"] == name
    assert sentence in failed["text"]
    assert report.matrix_line(found).endswith(f"1 of 2 checks passed: not {name} |")
    cloud.ask("PUT", "/sandbox/switches", {})
    status, output, _found = run_acceptance(sandbox, tmp_path, OTTER, "--yes", "--only", f"{name},versions")
    assert status == 0, output


@pytest.fixture(scope="module")
def stage() -> Iterator[CloudStage]:
    """An API without SQL, in this process, so that any part of it can be broken."""
    running = CloudStage()
    yield running
    running.close()


def without(*names: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Break the lists: parameters of these names are not heeded, and keys of these names are not sent."""
    page = pages.page

    def broken(key: str, items: Any, query: Any, limit: int, *order: str) -> dict[str, Any]:
        query = {name: value for name, value in query.items() if name.removeprefix("pagination.") not in names}
        made = page(key, items, query, limit, *order)
        return {**made, "pagination": {k: v for k, v in made["pagination"].items() if k not in names}}

    return lambda monkeypatch: monkeypatch.setattr(pages, "page", broken)


def patched(module: Any, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setattr(module, name, value)


async def _no_body(reader: Any, headers: Any) -> bytes:
    """What a server reads that knows neither chunks nor what a number is."""
    return b""


NOT_SERVED = {
    "backups-config": "GET clusters/{cluster_id}/backups-config",
    "organization": "GET organization",
    "nodes": "GET clusters/{cluster_id}/nodes",
    "available-regions": "GET clusters/available-regions",
    "versions": "GET cluster-versions",
    "rename-database": "PATCH clusters/{cluster_id}/databases/{name}",
}
IGNORES_BODIES = patched(sandbox_http, "_read_body", _no_body)
MAC = cloud_organization._CA_FOLDERS["MAC"]
# A part of the API that differs from the service -> what the check says.
ROWS = [
    *((name, None, r"answered 404, code 5: not found, but the service (has it|renames)") for name in NOT_SERVED),
    ("sort-order", without("sort_order"), r"pagination\.sort_order is not heeded: ascending \['bank"),
    ("previous-page", without("previous_page"), r"pagination\.previous_page is missing on the second page"),
    ("usage-limits", patched(cloud_organization, "usage_limits", lambda plan: {}), r"usage_limits is missing"),
    ("limit-not-a-number", without("limit"), r"pagination\.limit=abc was answered 200, but the service answers 400\."),
    ("length-not-a-number", IGNORES_BODIES, r"Content-Length: abc was answered 200"),
    ("chunked-body", IGNORES_BODIES, r"A body in chunks was answered 400"),
    ("reserved-user", patched(sandbox_cloud, "_RESERVED_PREFIXES", ()), r"begins with pg_ was answered 200"),
    ("reserved-database", patched(sandbox_cloud, "SYSTEM_DATABASES", ()), r"with the name postgres is not tried"),
    ("system-databases", patched(sandbox_cloud, "SYSTEM_DATABASES", ()), r"does not list postgres, system"),
    ("ca-paths", patched(cloud_organization, "_CA_FOLDERS", dict.fromkeys(("MAC", "LINUX", "WINDOWS"), MAC)),
     r"the same for Windows and Mac"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "broken", "sentence"), ROWS, ids=[row[0] for row in ROWS])
def test_every_row_that_is_broken_is_named(
    stage: CloudStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, broken: Any, sentence: str
) -> None:
    stage.switch(page_limit=100)
    cluster = "steady-heron" if name == "ca-paths" else OTTER

    def outcome() -> Result:
        target = of_cloud(cluster, stage.options, {}, is_sandbox=True)
        return Run(target, Names(new_run()), tmp_path, None).make(CHECKS[name])

    good = outcome()
    assert good.outcome in ("passed", "answered"), good.text
    if broken is None:
        stage.switch(page_limit=100, missing=[NOT_SERVED[name]])
    else:
        broken(monkeypatch)
    bad = outcome()
    monkeypatch.undo()
    stage.switch(page_limit=100)
    assert bad.outcome == "failed"
    assert re.search(sentence, bad.text), bad.text
    assert sweep(of_cloud(cluster, stage.options, {}, is_sandbox=True)) == []


def test_every_check_of_the_service_was_broken() -> None:
    assert {row[0] for row in ROWS} >= {item.name for item in CHECKS.values() if item.group == "service"}


def test_a_real_cluster_is_found_by_the_environment(sandbox: Sandbox, cloud: Cloud, tmp_path: Path) -> None:
    of_person = {
        **environment(tmp_path),
        "COCKROACH_API_KEY": cloud.key,
        "COCKROACH_SERVER": sandbox.cloud["crdb_cloud_url"],
        "REQUESTS_CA_BUNDLE": sandbox.cloud["crdb_cloud_ca_file"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance", "--cluster", OTTER, "--only", "versions", "--report", str(tmp_path)],
        cwd=CHECKOUT, env=of_person, capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\| CockroachDB unknown \| STANDARD GCP \| 1 of 1 checks passed \|", done.stdout)
    refused = subprocess.run(
        [sys.executable, "-m", "tests.acceptance", "--cluster", "nothing"],
        cwd=CHECKOUT, env=of_person, capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no cluster 'nothing', or the key may not see it; it sees: brave-otter" in refused.stderr


def test_a_self_hosted_cluster_is_given_by_its_administrators_connection_string(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    conninfo = of_sandbox(sandbox.state, BADGER).conninfo
    query = "&".join(f"{key}={conninfo[key]}" for key in ("sslmode", "sslrootcert", "sslcert", "sslkey"))
    url = f"postgresql://{conninfo['user']}@{conninfo['host']}:{conninfo['port']}/?{query}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance", "--only", "database", "--report", str(tmp_path)],
        cwd=CHECKOUT, env={**environment(tmp_path), "CRDB_ACCEPTANCE_URL": url}, capture_output=True, text=True,
        check=False, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\| CockroachDB v[0-9.]+ \| self-hosted \| 2 of 2 checks passed \|", done.stdout)
    assert made(sandbox, BADGER) == []


def test_a_report_counts_every_request_and_names_no_secret_and_no_host(
    sandbox: Sandbox, cloud: Cloud, tmp_path: Path
) -> None:
    cloud.ask("PUT", "/sandbox/switches", {})
    status, output, found = run_acceptance(
        sandbox, tmp_path, OTTER, "--yes", "--only", "missing-database-named,duplicates"
    )
    assert status == 0, output
    sent = cloud.ask("GET", "/sandbox/requests")
    assert found["requests"] == len(sent)
    assert found["left_over"] == []
    assert f"{found['checks']} checks" in output
    assert re.search(
        r"^\| 20\d\d-\d\d-\d\d \| the sandbox \| STANDARD GCP \| 7 of 7 checks passed \|$", output, re.MULTILINE
    )
    cluster = of_sandbox(sandbox.state, OTTER).cluster
    text = (tmp_path / "report" / "acceptance.txt").read_text() + json.dumps(found)
    for private in (cloud.key, cluster["id"], cluster["name"], "localhost", str(tmp_path), str(CHECKOUT)):
        assert private not in text


def test_a_cluster_in_use_is_refused_before_the_first_change(sandbox: Sandbox, cloud: Cloud, tmp_path: Path) -> None:
    cloud.ask("PUT", "/sandbox/switches", {})
    status, output, found = run_acceptance(sandbox, tmp_path, SKUNK)
    assert status == 2, output
    assert found == {}
    assert re.search("has [0-9]+ databases beside those of a new cluster, so it may be in use", output)
    assert "add --yes" in output
    assert {request["method"] for request in cloud.ask("GET", "/sandbox/requests")} == {"GET"}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"defaultdb": 0}, ""),
        ({"defaultdb": 0, "crdb_acc_0123abcd_sample": 2}, ""),
        ({"defaultdb": 0, "data": 3}, "has 1 databases beside those of a new cluster"),
        ({"defaultdb": 1}, "has tables in defaultdb"),
        ({"defaultdb": 0, "shop": 0}, "has 1 databases beside those of a new cluster"),
    ],
)
def test_a_cluster_that_looks_new_is_not_refused(stage: CloudStage, tables: dict[str, int], message: str) -> None:
    stage.switch(page_limit=100)
    target = of_cloud("steady-heron", stage.options, {})
    accounts = stage.accounts["steady-heron"]
    before, accounts.tables = accounts.tables, tables
    try:
        if not message:
            target.refuse_production()
            return
        with pytest.raises(RefusedError, match=message):
            target.refuse_production()
    finally:
        accounts.tables = before


def test_a_self_hosted_cluster_in_use_is_refused(sandbox: Sandbox) -> None:
    target = of_sandbox(sandbox.state, BADGER)
    with target.connect() as session:
        session.execute("CREATE TABLE of_somebody (id int)")
        try:
            with pytest.raises(RefusedError, match="so it may be in use"):
                target.refuse_production()
        finally:
            session.execute("DROP TABLE of_somebody")


def test_only_what_is_ours_is_swept(sandbox: Sandbox, cloud: Cloud) -> None:
    cloud.ask("PUT", "/sandbox/switches", {"rate": 0})
    target = of_sandbox(sandbox.state, OTTER)
    base = f"/api/v1/clusters/{target.cluster['id']}"
    names = Names(new_run())
    theirs = "crdb_acceptable"
    for name in (theirs, names("sample")):
        cloud.ask("POST", f"{base}/databases", {"name": name})
        cloud.ask("POST", f"{base}/sql-users", {"name": name, "password": "long-enough-for-a-user"})
    for address, name in (("192.0.2.99", "crdb_acc"), ("192.0.2.98", f"{names.entry_prefix}x")):
        entry = {"cidr_ip": address, "cidr_mask": 32, "name": name, "sql": True, "ui": False}
        cloud.ask("POST", f"{base}/networking/allowlist", entry)
    try:
        assert leftovers(target, names.run) == [
            f"database {names('sample')}", f"user {names('sample')}", "entry 192.0.2.98/32",
        ]  # fmt: skip
        assert sweep(target, names.run) == []
        assert leftovers(target) == []
        assert theirs in target.databases()
        assert theirs in [user["name"] for user in target.api.items(f"{base[8:]}/sql-users", "users")]
    finally:
        cloud.ask("DELETE", f"{base}/databases/{theirs}")
        cloud.ask("DELETE", f"{base}/sql-users/{theirs}")
        cloud.ask("DELETE", f"{base}/networking/allowlist/192.0.2.99/32")


def test_the_checks_that_are_asked_for(sandbox: Sandbox, cloud: Cloud, tmp_path: Path) -> None:
    """The client comes from a stand-in for the vendor's server; this sandbox does not throttle, and limits no rate."""
    vendor.publish(tmp_path / "archives", "v25.4.11")
    server = vendor.Server(tmp_path / "archives", tmp_path)
    cloud.ask("PUT", "/sandbox/switches", {"rate": 0})
    target = of_sandbox(sandbox.state, OTTER)
    target.network_variables.update(crdb_client_base_url=server.url, crdb_client_ca_file=str(server.ca_file))
    try:
        target.close_up(tmp_path)
        run = Run(target, Names(new_run()), tmp_path, None, frozenset({"client", "throttle", "rate"}))
        results = {item.name: run.make(item) for item in checks.chosen("client,throttle,rate-limit", "cloud")}
        assert {(r.outcome, r.text) for r in results.values() if r.outcome in ("failed", "skipped")} == set()
        assert results["client"].outcome == "passed"
        assert results["throttle"].text == "not within 10 wrong passwords"
        assert results["rate-limit"].text == "40 requests at once were answered"
        cloud.ask("PUT", "/sandbox/switches", {"rate": 5})
        assert "429, code 8: rate limit exceeded, Retry-After 1" in run.make(CHECKS["rate-limit"]).text
    finally:
        cloud.ask("PUT", "/sandbox/switches", {"rate": 0})
        server.close()
        assert sweep(target, run.names.run) == []
    assert made(sandbox, OTTER) == []


def test_a_role_that_owns_something_is_swept(sandbox: Sandbox) -> None:
    target, names = of_sandbox(sandbox.state, BADGER), Names(new_run())
    with target.connect() as session:
        for word in ("first", "second"):
            session.execute(f'CREATE ROLE "{names(word)}"'.encode())
        session.execute(f'GRANT "{names("first")}" TO "{names("second")}"'.encode())
        session.execute(b"CREATE SCHEMA acceptance_owned")
        session.execute(f'ALTER SCHEMA acceptance_owned OWNER TO "{names("first")}"'.encode())
        assert leftovers(target, names.run) == [f"role {names('first')}", f"role {names('second')}"]
        try:
            assert sweep(target, names.run) == []
            assert leftovers(target, names.run) == []
        finally:
            session.execute(b"DROP SCHEMA acceptance_owned")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("crdb_acc_0123abcd_boss", True),
        ("pg_crdb_acc_0123abcd_reserved", True),
        ("CRDB_ACC_0123ABCD_MiXed", True),
        ("crdb_acc_0123abcd acceptance", True),
        ("crdb_acc_0123abcd", True),
        ("crdb_acc_0123abc_boss", False),
        ("crdb_acc_0123abcdef", False),
        ("crdb_acc_xyz", False),
        ("my_crdb_acc_0123abcd_boss", False),
        ("crdb.onboard office", False),
    ],
)
def test_names(name: str, ours: bool) -> None:
    assert belongs(name) is ours
    assert belongs(name, "0123abcd") is ours
    assert not belongs(name, "ffffffff")


def a_run(tmp_path: Path, **private: str) -> Run:
    return Run(Target("x", "cloud", private=private), Names("0123abcd"), tmp_path, None)


def test_the_outcome_of_a_check_is_what_it_raised(tmp_path: Path) -> None:
    def fails(run: Run) -> str | None:
        raise CheckError("It is broken.")

    def skips(run: Run) -> str | None:
        raise SkippedError("Not here.")

    def breaks(run: Run) -> str | None:
        raise KeyError("odd")

    run = a_run(tmp_path)
    made = [
        run.make(Check(name, name, "claim", work, **more))
        for name, work, more in (
            ("passes", lambda run: None, {}),
            ("answers", lambda run: "42", {}),
            ("fails", fails, {}),
            ("skips", skips, {}),
            ("breaks", breaks, {}),
            ("later", lambda run: None, {"after": ("release",)}),
            ("other", lambda run: None, {"kinds": ("self_hosted",)}),
            ("asked", lambda run: None, {"asked": "throttle"}),
        )
    ]
    assert [(r.check.name, r.outcome, r.text) for r in made] == [
        ("passes", "passed", ""),
        ("answers", "answered", "42"),
        ("fails", "failed", "It is broken."),
        ("skips", "skipped", "Not here."),
        ("breaks", "failed", "KeyError: 'odd'"),
        ("later", "skipped", "It needs release."),
        ("other", "skipped", "It is not for a Cloud cluster."),
        ("asked", "skipped", "It is made only with --throttle."),
    ]


def test_a_report_is_without_names_unless_they_are_asked_for(tmp_path: Path) -> None:
    run = a_run(tmp_path, **{"s3cret-password": "********", "blue-dog": "CLUSTER", "blue-dog-147": "ROUTING-ID"})
    text = (
        'blue-dog-147 at blue-dog-147.6wr.gcp-us-east1.cockroachlabs.cloud: server at "34.1.2.3", password'
        f" s3cret-password, entry 34.1.2.9 and 192.0.2.201, file {tmp_path}/x"
    )
    assert run.redact(text) == (
        "ROUTING-ID at HOST: server at HOST, password ********, entry ADDRESS and 192.0.2.201, file FOLDER/x"
    )
    shown = run.redact(text, show_names=True)
    assert "blue-dog-147.6wr.gcp-us-east1.cockroachlabs.cloud" in shown
    assert "s3cret" not in shown


def test_checks_need_only_what_comes_before_them() -> None:
    seen: set[str] = set()
    for item in CHECKS.values():
        assert set(item.after) <= seen, item.name
        assert re.fullmatch("[a-z][a-z-]*", item.name)
        seen.add(item.name)
    assert {item.group for item in CHECKS.values()} == {"claim", "service", "question"}


def test_the_checks_that_are_needed_are_made_too() -> None:
    assert [item.name for item in checks.chosen("proved", "cloud")] == [
        "api-user-and-network", "release", "database", "least-rights", "proved",
    ]  # fmt: skip
    assert [item.name for item in checks.chosen("database", "self_hosted")] == ["release", "database"]
    with pytest.raises(RefusedError, match=r"unknown check: prooved\. Valid checks: api-user"):
        checks.chosen("prooved", "cloud")
    assert "leaver" not in [item.name for item in checks.chosen("", "self_hosted")]


def test_a_weaker_connection_string_is_refused() -> None:
    with pytest.raises(RefusedError, match="must have sslmode=verify-full"):
        of_url("postgresql://root@db.example.com/?sslmode=require")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://root:s3%cret@db.example.com/?sslmode=verify-full",
        "host=db.example.com password=not s3%cret",
        "postgresql://root:s3%25cret/more@db.example.com/?sslmode=verify-full",
        "postgresql://root:s3%25cret@/?sslmode=verify-full",
    ],
)
def test_a_connection_string_that_cannot_be_used_is_refused_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRDB_ACCEPTANCE_URL", url)
    assert main([]) == 2
    shown = capsys.readouterr().err
    assert "acceptance: CRDB_ACCEPTANCE_URL" in shown
    assert "s3%cret" not in shown


def test_a_password_of_the_store_is_in_no_report(tmp_path: Path) -> None:
    def breaks(run: Run) -> str | None:
        users = {"ann": {"password": "s3cret-of-ann"}}
        run.store.write_text(json.dumps({"clusters": {"id": {"users": users}}}))
        raise CheckError("The playbook printed s3cret-of-ann.")

    def breaks_at_length(run: Run) -> str | None:
        raise OSError("x" * 880 + " s3cret-of-ann and more")

    run = a_run(tmp_path)
    for work in (breaks, breaks_at_length):
        text = report.line(run.make(Check("x", "x", "claim", work)), run)
        assert "s3cret" not in text, text


def test_the_cause_of_a_failed_playbook_shows_no_part_of_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["sh", "-c", 'printf "[ERROR] %0880d s3cret-of-the-key and more" 0; exit 4', "sh"]
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _words, **more: start(words, **more))
    run = a_run(tmp_path, **{"s3cret-of-the-key": "********"})
    with pytest.raises(CheckError, match="ended with 4") as caught:
        run.playbook("sql_user")
    assert "********" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_text_of_a_check_is_one_line_and_its_answer(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    item = Check("x", "is it?", "question", lambda run: None)
    assert report.line(Result(item, "answered", "yes", 1.0), run) == "said  x: is it? (1.0 s)\n      yes"
    assert report.line(Result(item, "passed", "", 0.04), run) == "ok    x: is it? (0.0 s)"


def test_a_user_with_a_password_of_one_letter_is_removed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Careless:
        def ask(self, method: str, path: str, body: Any = None) -> Answer:
            asked.append((method, path))
            return Answer(200, {}, "", b"{}")

    run = a_run(tmp_path)
    run.target.cluster = {"id": "7"}
    monkeypatch.setattr(run.target, "api", Careless())
    assert run.make(CHECKS["short-password"]).outcome == "answered"
    assert asked == [
        ("POST", "clusters/7/sql-users"),
        ("DELETE", f"clusters/7/sql-users/{run.names('short')}"),
    ]


def test_a_list_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    api = object.__new__(Api)
    endless = type("Endless", (), {"status": 200, "value": {"users": [], "pagination": {"next_page": "p1"}}})
    monkeypatch.setattr(Api, "ask", lambda self, *words, **more: endless)
    with pytest.raises(ValueError, match="more than 200 pages"), contextlib.closing(api.items("x", "users")) as items:
        list(items)
