# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command of the package: what its arguments become, what it refuses, how it ends, and the package."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import tomllib
import yaml
from packaging.requirements import Requirement

from package.crdb_onboard import arguments, cli, demo

TOP = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((TOP / "package" / "pyproject.toml").read_text())
FACADE = TOP / "collections" / "ansible_collections" / "crdb" / "onboard"
COLLECTION = "crdb_onboard/ansible_collections/crdb/onboard/"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    # The package is not installed here.
    monkeypatch.setattr(arguments, "_versions", lambda: "")


def words(*typed):
    return arguments.words(arguments.parse(typed))


def variables(*typed):
    passed = words(*typed)
    values = json.loads(passed[passed.index("-e") + 1])
    assert ("crdb_hosts" in values) == ("-i" not in typed)
    return {name: value for name, value in values.items() if name != "crdb_hosts"}


class TestWhatThePackageContains:
    def test_the_collection_is_what_galaxy_gets(self):
        included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
        rooms = {target.removeprefix(COLLECTION) for target in included.values() if target.startswith(COLLECTION)}
        assert rooms == {entry.name for entry in FACADE.iterdir()}
        for source, target in included.items():
            path = (TOP / "package" / source).resolve()
            assert path.exists()
            if target.startswith(COLLECTION):
                assert path == TOP / target.removeprefix(COLLECTION)
            elif "demo_files" in target:
                assert path == TOP / target.removeprefix("crdb_onboard/demo_files/")

    def test_galaxy_does_not_get_the_package(self):
        assert "package" in yaml.safe_load((TOP / "galaxy.yml").read_text())["build_ignore"]

    @pytest.mark.parametrize("part", ["controller", "sandbox"])
    def test_it_requires_what_the_checkout_requires(self, part):
        project = PROJECT["project"]
        required = project["dependencies"] if part == "controller" else project["optional-dependencies"]["demo"]
        lines = (TOP / "requirements" / f"{part}.in").read_text().splitlines()
        names = {Requirement(line).name for line in lines if line and not line.startswith(("#", "-"))}
        # The sandbox uses some of the controller's.
        ours = {Requirement(text).name for text in (*required, *project["dependencies"])}
        assert ours == names | {Requirement(text).name for text in project["dependencies"]}

    def test_the_tested_versions_of_ansible_are_in_its_range(self):
        required = {Requirement(text).name: Requirement(text).specifier for text in PROJECT["project"]["dependencies"]}
        for name in ("controller", "controller-newest"):
            lock = (TOP / "requirements" / f"{name}.txt").read_text()
            assert re.search(r"^ansible-core==(\S+)", lock, re.MULTILINE)[1] in required["ansible-core"]
        oldest = yaml.safe_load((TOP / "meta" / "runtime.yml").read_text())["requires_ansible"]
        assert oldest == ">=2.19.0"
        assert "2.18.99" not in required["ansible-core"]


class TestWhatArgumentsBecome:
    @pytest.mark.parametrize("command", arguments.COMMANDS.values(), ids=lambda command: command.playbook)
    def test_every_argument_is_a_documented_variable_of_a_playbook(self, command):
        assert (TOP / "playbooks" / f"{command.playbook}.yml").exists()
        known = set(re.findall(r"crdb_\w+", (TOP / "playbooks" / f"{command.playbook}.yml").read_text()))
        for path in (TOP / "roles").glob("*/meta/argument_specs.yml"):
            for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
                known |= set(entry["options"])
        assert {argument.variable for argument in command.arguments} <= known

    def test_values_are_passed_as_they_are(self):
        assert variables("dev", "--frameworks", "psycopg2,django", "--name", "a 'b' {c}=d") == {
            "crdb_frameworks": "psycopg2,django",
            "crdb_app_name": "a 'b' {c}=d",
        }

    def test_a_switch_is_a_boolean_and_nothing_is_set_that_was_not_given(self):
        assert variables("dev", "--client", "--no-samples", "--ca-public") == {
            "crdb_client_install": True,
            "crdb_app_samples": False,
            "crdb_connection_ca_public": True,
        }
        assert variables("dev") == {}

    @pytest.mark.parametrize("command", arguments.COMMANDS)
    def test_it_runs_on_this_machine_unless_hosts_are_named(self, command, monkeypatch):
        assert words(command) == ["-e", '{"crdb_hosts": "localhost"}']
        assert words(command, "-l", "shops") == ["-l", "shops"]
        assert words(command, "-i", "hosts") == ["-i", "hosts"]
        monkeypatch.setenv("ANSIBLE_INVENTORY", "hosts")
        assert words(command) == []

    def test_a_path_is_relative_to_the_current_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert variables("dev", "--folder", ".", "--ca-file", "certs/ca.crt") == {
            "crdb_app_folder": str(tmp_path),
            "crdb_connection_ca_file": str(tmp_path / "certs" / "ca.crt"),
        }
        assert variables("dev", "--ca-file", "~/ca.crt") == {"crdb_connection_ca_file": str(Path.home() / "ca.crt")}

    def test_a_folder_of_other_hosts_is_not_looked_up_here(self):
        assert variables("dev", "--folder", "~/src/shop") == {"crdb_app_folder": "~/src/shop"}
        assert variables("check", "-i", "hosts", "--folder", "/srv/x/..")["crdb_app_folder"] == "/srv/x/.."

    def test_options_of_ansible_are_passed_on_and_the_persons_variables_win(self):
        passed = words(
            *("check", "-i", "one", "-i", "two", "-l", "shops", "--check", "--diff", "-vvv", "--folder", "/x"),
            *("-e", "crdb_app_folder=/y", "-e", "@more.yml", "--", "--forks", "20", "-vault"),
        )
        own = ["-i", "one", "-i", "two", "-l", "shops", "--check", "--diff", "-vvv", "-e", '{"crdb_app_folder": "/x"}']
        assert passed == [*own, "-e", "crdb_app_folder=/y", "-e", "@more.yml", "--forks", "20", "-vault"]

    @pytest.mark.parametrize("typed", [["dev", "shop"], ["dev", "--fold", "x"], ["develop"], ["demo", "-i", "x"]])
    def test_what_is_not_known_is_refused(self, typed, capsys):
        with pytest.raises(SystemExit) as ended:
            arguments.parse(typed)
        assert ended.value.code == 2
        assert "usage: crdb-onboard" in capsys.readouterr().err


SECRETS = [
    "postgresql://ann:hunter2@db.example.com:26257/shop",
    "postgresql://:hunter2@db.example.com/shop",
    "--url=cockroachdb://ann:hunter2@db.example.com/shop",
    "postgresql://db.example.com/shop?user=ann&password=hunter2",
    "https://user:hunter2@proxy.example.com/ca.crt",
    "crdb_connection_password=hunter2",
    "crdb_connection_password=alwayshunter2",
    "-ecrdb_connection_password='hunter2'",
    '{"crdb_connection_password": "hunter2"}',
    '{"crdb_connections": {"a": {"password":"hunter2"}}}',
    "crdb_cloud_api_key=hunter2",
    "ansible_become_pass=hunter2",
    "--password=hunter2",
    "--password",
    "--api-key",
]
HARMLESS = [
    "postgresql://ann@db.example.com:26257/shop?sslmode=verify-full",
    "postgresql://ann:<ENTER-SQL-USER-PASSWORD>@db.example.com/shop",
    "crdb_connection_password={{ lookup('env', 'SHOP_PASSWORD') }}",
    "postgresql://ann:{{ password }}@db.example.com/shop",
    "crdb_app_password_place=env",
    "crdb_connection_show_password=true",
    "crdb_sql_user_update_password=always",
    "crdb_sql_user_password_store=/srv/passwords.json",
    "crdb_cloud_api_key_file=/srv/key",
    "--ask-pass",
    "--ask-become-pass",
    "--vault-password-file=/srv/vault",
    "https://cockroachlabs.cloud/clusters/00000000-0000-0000-0000-000000000000/cert",
]


class TestPasswords:
    @pytest.mark.parametrize("word", SECRETS)
    def test_an_argument_with_a_password_is_refused_and_not_repeated(self, word, capsys, monkeypatch):
        monkeypatch.setattr(subprocess, "Popen", None)
        assert cli.main(["dev", "-e", word]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "in the list of processes" in shown.err
        assert "DATABASE_URL" in shown.err
        assert "hunter2" not in shown.err

    @pytest.mark.parametrize("word", HARMLESS)
    def test_an_argument_without_one_is_accepted(self, word):
        assert not arguments.has_secret(["dev", "-e", word])


WAITS = (
    "import sys; from package.crdb_onboard import arguments, child, cli\n"
    "arguments._versions = str\n"
    'program = \'import os, time; from pathlib import Path; Path(os.environ["TMPDIR"], "left").touch();'
    ' print(os.environ["TMPDIR"], flush=True); time.sleep(60)\'\n'
    "run = child.Child.run\n"
    "child.Child.run = lambda self, command, env: run(self, [sys.executable, '-c', program], env)\n"
    "sys.exit(cli.main(['check']))\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_and_its_temporary_files(number):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    folder = Path(process.stdout.readline().strip())
    assert (folder / "left").exists()
    process.send_signal(number)
    # Python turns SIGINT into an exception, and ends with that signal as well.
    assert process.wait() == 128 + number
    process.stdout.close()
    assert not folder.exists()


def test_the_path_of_a_socket_of_ansibles_is_short_enough(tmp_path, monkeypatch):
    deep = tmp_path / ("a" * 60)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with cli._temporary_folder() as folder:
        assert len(folder) + len("/pymp-12345678/listener-12345678") <= 103
        assert Path(folder).stat().st_mode & 0o777 == 0o700


def test_the_demo_without_its_extra_says_how_to_install_it(monkeypatch, capsys):
    extra = PROJECT["project"]["optional-dependencies"]["demo"]
    metadata = ["requests", *(f'{name} ; extra == "demo"' for name in extra)]
    monkeypatch.setattr(demo.importlib.metadata, "requires", {"crdb-onboard": metadata}.get)
    assert demo.problem() == ""
    # One of them alone is enough.
    monkeypatch.setattr(demo, "_installed", lambda name: name != Requirement(extra[-1]).name)
    assert cli.main(["demo"]) == 1
    shown = capsys.readouterr().err
    assert "requests" not in shown
    page = (TOP / "docs" / "install.md").read_text()
    for name in extra:
        assert name in page.partition("pipx inject crdb-onboard ")[2].partition("`")[0]
        assert name in shown.partition("pipx inject crdb-onboard ")[2].partition("\n")[0]
        assert name in shown.partition(f"{sys.executable} -m pip install ")[2]


def _printed():
    pages = (TOP / "README.md", TOP / "docs" / "install.md", TOP / "package" / "README.md")
    for page in pages:
        text = page.read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
        yield from (line for line in lines if re.match(r"(uvx .*)?crdb-onboard \S", line))
    yield from re.findall(r"^  (crdb-onboard .*?)(?:  |$)", arguments._EPILOG, re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(_printed())))
def test_a_printed_command_is_accepted(command):
    typed = shlex.split(re.sub(r"\s#.*", "", command))
    typed = typed[typed.index("crdb-onboard") + 1 :]
    assert not arguments.has_secret(typed)
    if typed[-1] in ("--help", "--version") or "COMMAND" in typed:
        return
    assert arguments.parse(typed).command == typed[0]
