# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet: ten hosts by ssh, two apps of two system users on each."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests import fleet as fleets
from tests.integration.conftest import Controller

pytestmark = pytest.mark.skipif(not fleets.possible(), reason="needs root, unshare and sshd: make system-deps, as root")

NUMBER = 10
APPS = ("shop", "reports")
# An app loads its configuration when it is reloaded, and is well unless it is allergic to what it loaded.
RELOAD = {"shell": "cat .env certs/ca.crt >loaded && echo reloaded >>history"}
HEALTH = {"shell": "test ! -e /srv/allergy || ! grep -q -f /srv/allergy loaded", "retries": 1, "delay": 0.1}
FILES = {
    "shop": (".env", "certs/ca.crt", "crdb_database.py"),
    "reports": (".env", "certs/ca.crt", "crdb_database.cjs"),
}


@pytest.fixture(scope="module")
def fleet():
    """Ten hosts."""
    fleet = fleets.Fleet(NUMBER)
    yield fleet
    fleet.stop()


def variables(sandbox, connection, **more):
    """Two apps with this connection: one whose user has a home, one whose user has none."""
    apps = [
        {"name": "shop", "user": "shop", "folder": "/srv/shop", "frameworks": ["psycopg2"], "reload": RELOAD,
         "health": HEALTH},
        {"name": "reports", "user": "reports", "folder": "/srv/reports", "frameworks": ["node-postgres"],
         "reload": RELOAD},
    ]  # fmt: skip
    return {"crdb_connections": {"db": sandbox.connections[connection]}, "crdb_apps": apps, **more}


def roll(controller, fleet, facts, *words):
    """One run of the playbook."""
    controller.environment.update(fleet.environment)
    return controller.playbook("app_servers", facts, "-i", fleet.inventory(), *words)


def last_report(run):
    """The hosts by outcome, from the last report of a run."""
    text = re.split(r"\n(?:TASK|PLAY) ", run.output[run.output.rindex("Show which hosts were updated") :])[0]
    # The lines of the report; the host that reported them comes after them.
    text = re.sub(r"^(ok: |NO MORE ).*$", "", text, flags=re.MULTILINE)
    found = {}
    for name, rest in re.findall(r"\b([a-z][a-z ]+) \(\d+\):(.*?)(?=\b[a-z][a-z ]+ \(\d+\):|\Z)", text, re.DOTALL):
        found[name.strip()] = sorted(re.findall(r"\bapp\d+\b", rest), key=lambda host: int(host[3:]))
    return found


def contents(host, app):
    """What an app's files hold, and their modes and owners."""
    found = {}
    for name in FILES[app]:
        path = host.path(f"/srv/{app}/{name}")
        status = path.stat()
        found[name] = (path.read_bytes(), status.st_mode & 0o777, status.st_uid)
    return found


def url_of(text):
    """The connection string of an environment file, split."""
    return urlsplit(re.search(r'^DATABASE_URL="([^"]*)"$', text, re.MULTILINE)[1])


def at_rest(sandbox, fleet, connections):
    """Every app has the files of one of these connections, whole and of one run, and works with just these."""
    seen = set()
    for host in fleet.hosts.values():
        for app in APPS:
            folder = host.path(f"/srv/{app}")
            environment = (folder / ".env").read_text()
            url = url_of(environment)
            (name,) = [c for c in connections if sandbox.connections[c]["user"] == url.username]
            authority = Path(sandbox.connections[name]["ca_file"]).read_text()
            assert (folder / "certs/ca.crt").read_text().strip() == authority.strip(), (host.name, app)
            assert (folder / "loaded").read_text() == environment + (folder / "certs/ca.crt").read_text()
            assert parse_qs(url.query)["sslrootcert"] == [f"/srv/{app}/certs/ca.crt"]
            seen.add(name)
        left = [str(path) for place in ("srv", "home", "var/lib/crdb-onboard") for path in leftovers(host.path(place))]
        assert left == [], host.name
    return seen


def leftovers(folder):
    """Files of a run that did not end: staged ones, and what was kept to be given back."""
    return [
        path for path in folder.rglob("*") if path.name.startswith(".crdb-onboard.") or path.name == "unconfirmed.json"
    ]


def test_two_apps_of_system_users_and_the_second_run_changes_nothing(controller, sandbox, fleet):
    facts = variables(sandbox, "funky_skunk", crdb_serial=[1, "100%"])
    run = roll(controller, fleet, facts)
    assert run.status == 0, run.output
    assert last_report(run) == {"updated": list(fleet.hosts)}
    assert sandbox.connections["funky_skunk"]["password"] not in run.output
    for host in fleet.hosts.values():
        for app, uid in (("shop", 4204), ("reports", 4207)):
            modes = {name: (mode, owner) for name, (_content, mode, owner) in contents(host, app).items()}
            assert modes == {name: (0o600 if name == ".env" else 0o644, uid) for name in FILES[app]}
            assert host.path(f"/srv/{app}/history").read_text() == "reloaded\n"
        assert host.path("/home/shop/.local/state/crdb-onboard/files.json").stat().st_mode & 0o777 == 0o600
        assert host.path("/var/lib/crdb-onboard/reports/files.json").stat().st_uid == 4207
    assert at_rest(sandbox, fleet, ["funky_skunk"]) == {"funky_skunk"}

    again = roll(controller, fleet, facts, "--diff")
    assert again.status == 0, again.output
    assert last_report(again) == {"unchanged": list(fleet.hosts)}
    assert [again.recap(name)["changed"] for name in fleet.hosts] == [0] * NUMBER
    assert host.path("/srv/shop/history").read_text() == "reloaded\n"


def test_what_is_not_proved_is_not_written_and_stops_at_the_first_host(controller, sandbox, fleet):
    settle(controller, sandbox, fleet, "funky_skunk")
    before = {name: [contents(host, app) for app in APPS] for name, host in fleet.hosts.items()}
    wrong = variables(sandbox, "funky_skunk")
    wrong["crdb_connections"]["db"] = {**sandbox.connections["funky_skunk"], "password": "Not-The-0ne"}
    run = roll(controller, fleet, wrong)
    assert run.status == 2, run.output
    assert last_report(run) == {"refused": ["app1"], "untouched": list(fleet.hosts)[1:]}
    flat = " ".join(run.output.split())
    assert (
        "This task wrote no file, because with the new configuration 1 of 1 endpoints did not pass the check." in flat
    )
    assert "shop: db: password_rejected. Cause: " in flat
    assert "Cure: " in flat
    assert "Not-The-0ne" not in run.output
    assert {name: [contents(host, app) for app in APPS] for name, host in fleet.hosts.items()} == before
    at_rest(sandbox, fleet, ["funky_skunk"])

    unknown = variables(sandbox, "brave_otter")
    facts = {key: value for key, value in sandbox.connections["brave_otter"].items() if key != "ca_file"}
    unknown["crdb_connections"]["db"] = {**facts, "ca_text": sandbox.stranger_ca_file.read_text()}
    run = roll(controller, fleet, unknown)
    assert run.status == 2, run.output
    assert last_report(run) == {"refused": ["app1"], "untouched": list(fleet.hosts)[1:]}
    assert {name: [contents(host, app) for app in APPS] for name, host in fleet.hosts.items()} == before


def settle(controller, sandbox, fleet, connection):
    """Bring all hosts to a connection at once."""
    run = roll(controller, fleet, variables(sandbox, connection, crdb_serial=["100%"]))
    assert run.status == 0, run.output
    assert at_rest(sandbox, fleet, [connection]) == {connection}


def test_the_failing_host_works_with_its_old_config_and_those_after_it_are_untouched(controller, sandbox, fleet):
    settle(controller, sandbox, fleet, "funky_skunk")
    before = {name: [contents(host, app) for app in APPS] for name, host in fleet.hosts.items()}
    allergy = fleet.hosts["app3"].path("/srv/allergy")
    allergy.write_text(f"{sandbox.connections['steady_heron']['user']}:\n")
    run = roll(controller, fleet, variables(sandbox, "steady_heron", crdb_serial=[1, 3, "100%"]))
    assert run.status == 2, run.output
    assert last_report(run) == {
        "updated": ["app1", "app2", "app4"],
        "rolled back": ["app3"],
        "untouched": ["app5", "app6", "app7", "app8", "app9", "app10"],
    }
    flat = " ".join(run.output.split())
    assert "shop: rolled back: its health command ended with 1. It works again with its old files." in flat
    assert "reports: not reached: not reloaded, because shop failed first. Its old files are back." in flat
    for name in ("app3", "app5", "app6", "app7", "app8", "app9", "app10"):
        assert [contents(fleet.hosts[name], app) for app in APPS] == before[name], name
    assert at_rest(sandbox, fleet, ["funky_skunk", "steady_heron"]) == {"funky_skunk", "steady_heron"}
    check = controller.playbook(
        "check", variables(sandbox, "funky_skunk"), "-i", fleet.inventory(), "-l", "app3", **fleet.environment
    )
    assert check.status == 0, check.output
    assert re.search(r"shop: db .* (proved|reached)", check.output)

    allergy.unlink()
    cured = roll(controller, fleet, variables(sandbox, "steady_heron", crdb_serial=[1, "100%"]))
    assert cured.status == 0, cured.output
    assert last_report(cured)["unchanged"] == ["app1", "app2", "app4"]
    assert at_rest(sandbox, fleet, ["steady_heron"]) == {"steady_heron"}


def test_check_mode_is_a_drift_gate(controller, sandbox, fleet):
    settle(controller, sandbox, fleet, "steady_heron")
    facts = variables(sandbox, "steady_heron", crdb_serial=["100%"])
    clean = roll(controller, fleet, facts, "--check", "--diff")
    assert clean.status == 0, clean.output
    assert [clean.recap(name)["changed"] for name in fleet.hosts] == [0] * NUMBER

    hand_edited = fleet.hosts["app2"].path("/srv/shop/crdb_database.py")
    hand_edited.write_text(hand_edited.read_text() + "# by hand\n")
    environment = fleet.hosts["app3"].path("/srv/reports/.env")
    environment.write_text(environment.read_text().replace('DATABASE_URL="', 'DATABASE_URL="x'))
    fleet.hosts["app5"].path("/srv/shop/.env").chmod(0o640)
    fleet.hosts["app7"].path("/srv/reports/certs/ca.crt").unlink()
    before = {name: everything(host) for name, host in fleet.hosts.items()}
    run = roll(controller, fleet, facts, "--check", "--diff", "-vvv")
    assert run.status == 0, run.output
    changed = [name for name in fleet.hosts if run.recap(name)["changed"]]
    assert changed == ["app2", "app3", "app5", "app7"]
    assert "(changes: line" in run.output
    assert "# by hand" not in run.output
    assert "-mode: 0640" in run.output
    assert "/srv/reports/certs/ca.crt (absent)" in run.output
    assert sandbox.connections["steady_heron"]["password"] not in run.output
    assert {name: everything(host) for name, host in fleet.hosts.items()} == before

    # Ours is put right; what somebody wrote is theirs until they say so, and named where no app connects by it.
    mended = roll(controller, fleet, facts)
    assert mended.status == 2, mended.output
    assert last_report(mended)["updated"] == ["app5", "app7"]
    assert last_report(mended)["failed"] == ["app3"]
    assert "the check does not pass: reports: db: env_value_differs" in " ".join(mended.output.split())
    assert "another run changed" not in mended.output
    forced = roll(controller, fleet, {**facts, "crdb_app_config_force": True})
    assert forced.status == 0, forced.output
    assert last_report(forced)["updated"] == ["app2", "app3"]
    at_rest(sandbox, fleet, ["steady_heron"])


def everything(host):
    """All files below the places that are written to."""
    return {
        str(path.relative_to(host.root)): (path.stat().st_mode, path.read_bytes())
        for place in ("srv", "home", "var/lib/crdb-onboard", "etc/systemd/system")
        for path in sorted(host.path(place).rglob("*"))
        if path.is_file()
    }


class Watch(threading.Thread):
    """Looks at every host all the time: a file is whole, and the CA that it names is there."""

    def __init__(self, fleet, valid):
        super().__init__(daemon=True)
        self._fleet, self._valid, self._over = fleet, valid, threading.Event()
        self._roots = {name: host.root for name, host in fleet.hosts.items()}
        self.looks, self.wrong = 0, []

    def run(self):
        while not self._over.wait(0.01):
            for name, root in self._roots.items():
                for app in APPS:
                    self._look(name, root / "srv" / app)

    def _look(self, host, folder):
        self.looks += 1
        environment = (folder / ".env").read_text()
        if environment not in self._valid["environment"]:
            self.wrong.append((host, folder.name, "environment", environment.count("\n")))
        authority = folder / "certs/ca.crt"
        if not authority.exists() or authority.read_text() not in self._valid["ca"]:
            self.wrong.append((host, folder.name, "ca"))

    def end(self):
        self._over.set()
        self.join()


def start(controller, fleet, facts):
    """Begin a run in a session of its own, which a signal reaches as a whole."""
    path = controller.home / "facts.json"
    path.write_text(json.dumps(facts))
    return subprocess.Popen(
        [controller.bin / "ansible-playbook", "playbooks/app_servers.yml", "-i", fleet.inventory(), "-e", f"@{path}"],
        cwd=controller.cwd, env=controller._environment(fleet.environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True,
    )  # fmt: skip


def end_orphans(fleet):
    """Ansible's workers have sessions of their own: those of a killed controller may wait for it forever."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(fleet.inventory()) in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


@pytest.mark.thorough
def test_a_controller_that_is_killed_at_any_time(controller, sandbox, fleet):
    """Ten kills at random points of runs that change every file; then one plain run, and all is as it should be."""
    names = ("funky_skunk", "steady_heron")
    valid = {"environment": set(), "ca": set()}
    for name in names:
        begun = time.monotonic()
        settle(controller, sandbox, fleet, name)
        duration = time.monotonic() - begun
        for app in APPS:
            valid["environment"].add(contents(fleet.hosts["app1"], app)[".env"][0].decode())
            valid["ca"].add(contents(fleet.hosts["app1"], app)["certs/ca.crt"][0].decode())
    watch = Watch(fleet, valid)
    watch.start()
    points = random.Random(2026)  # noqa: S311 - reproducible points in time
    for number in range(10):
        run = start(controller, fleet, variables(sandbox, names[number % 2], crdb_serial=["100%"]))
        time.sleep(points.uniform(0.2, 1.0) * duration)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    plain = roll(controller, fleet, variables(sandbox, "funky_skunk", crdb_serial=["100%"]))
    watch.end()
    end_orphans(fleet)
    assert plain.status == 0, plain.output
    assert watch.looks > 1000
    assert watch.wrong == []
    assert at_rest(sandbox, fleet, ["funky_skunk"]) == {"funky_skunk"}
    again = roll(controller, fleet, variables(sandbox, "funky_skunk", crdb_serial=["100%"]))
    assert last_report(again) == {"unchanged": list(fleet.hosts)}, again.output


OVERTAKEN = """
- hosts: all
  gather_facts: false
  vars: {crdb_app_config_ca: true, crdb_app_config_confirm: true}
  tasks:
    - block:
        - import_role: {name: crdb.onboard.crdb_app_config}
        - import_role: {name: crdb.onboard.crdb_app_service}
        - copy: {dest: /srv/shop/certs/ca.crt, content: "{{ other_ca }}"}
        - import_role: {name: crdb.onboard.crdb_check}
      rescue:
        - {crdb.onboard.rollout: {}, register: found}
        - debug: {var: found.hosts.app1.detail}
"""


def test_files_that_another_run_replaces_before_the_last_check_are_said_to_be_its(controller, sandbox, fleet, tmp_path):
    playbook = tmp_path / "overtaken.yml"
    playbook.write_text(OVERTAKEN)
    other = Path(sandbox.connections["steady_heron"]["ca_file"]).read_text()
    controller.environment.update(fleet.environment)
    facts = variables(sandbox, "brave_otter", other_ca=other)
    run = controller.playbook(str(playbook), facts, "-i", fleet.inventory(), "-l", "app1")
    said = "another run changed the files of shop meanwhile: the check does not pass: shop: db: tls_unknown_ca"
    assert said in " ".join(run.output.split()), run.output
    # A certificate that is not ours would be left there, and refused.
    fleet.hosts["app1"].path("/srv/shop/certs/ca.crt").unlink()
    settle(controller, sandbox, fleet, "brave_otter")


@pytest.mark.thorough
def test_two_operators_at_once(controller, sandbox, fleet, tmp_path):
    settle(controller, sandbox, fleet, "brave_otter")
    other = Controller(tmp_path / "other")
    other.home.mkdir()
    names = ("funky_skunk", "steady_heron")
    runs = [
        start(person, fleet, variables(sandbox, name, crdb_serial=[1, "50%"]))
        for person, name in zip((controller, other), names)
    ]
    outputs = [run.communicate(timeout=300)[0] for run in runs]
    print(*outputs, sep="\n" + "=" * 100 + "\n")
    assert {run.returncode for run in runs} <= {0, 2}
    for run, output in zip(runs, outputs):
        lost = re.search("another run changed (its files|the files of [a-z, ]+) meanwhile", " ".join(output.split()))
        assert (run.returncode == 0) == (lost is None), output
    assert at_rest(sandbox, fleet, [*names, "brave_otter"]) <= {*names, "brave_otter"}
    settle(controller, sandbox, fleet, "funky_skunk")
