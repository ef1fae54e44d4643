# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks as a person runs them, from the checkout and from an installed copy of the collection."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.conftest import new_state
from tests.integration.conftest import BIN, CHECKOUT, Controller, files_below

FRAMEWORKS = ["psycopg2", "django", "node-postgres"]
APP_FILES = {".env", "certs/ca.crt", "crdb_database.py", "crdb_settings.py", "crdb_database.cjs"}
# On a developer's machine; app_servers.yml writes none.
SAMPLES = {"samples/psycopg2_accounts.py", "samples/django_accounts.py", "samples/node-postgres.cjs"}
RECORD = ".local/state/crdb-onboard/files.json"
NEWEST = CHECKOUT / ".venv-newest" / "bin"


def two_apps(sandbox):
    """Two apps with two connections on one host."""
    return {
        "crdb_connections": {name: sandbox.connections[name] for name in ("funky_skunk", "steady_heron")},
        "crdb_apps": [
            {"name": "one", "connection": "funky_skunk", "folder": "~/one", "frameworks": FRAMEWORKS},
            {"name": "two", "connection": "steady_heron", "folder": "~/two", "frameworks": FRAMEWORKS},
        ],
    }


def find_python(version):
    """The path of a Python of this machine, or None."""
    done = subprocess.run([CHECKOUT / "scripts" / "find-python", version], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def test_check_mode_on_an_empty_home_passes_and_writes_nothing(controller, sandbox):
    run = controller.playbook("dev_machine", two_apps(sandbox), "--check", "--diff")
    assert run.status == 0, run.output
    assert run.recap()["changed"] == 1
    assert "one/.env (absent)" in run.output
    assert "one/certs/ca.crt (absent)" in run.output
    assert files_below(controller.home) == {}


def test_two_apps_are_onboarded_and_the_second_run_changes_nothing(controller, sandbox, drivers):
    first = controller.playbook("dev_machine", {**two_apps(sandbox), **drivers})
    assert first.status == 0, first.output
    written = files_below(controller.home)
    assert set(written) == {f"{app}/{name}" for app in ("one", "two") for name in APP_FILES | SAMPLES} | {RECORD}
    assert first.output.count(": connected as maxroach to defaultdb") == 3
    assert first.output.count(": connected as petra to defaultdb") == 3

    second = controller.playbook("dev_machine", {**two_apps(sandbox), **drivers}, "--diff")
    assert second.status == 0, second.output
    assert second.recap()["changed"] == 0
    assert "Nothing: every file is as it should be." in second.output
    assert files_below(controller.home) == written


def test_secret_files_are_private_and_hold_the_only_password(controller, sandbox):
    run = controller.playbook("dev_machine", two_apps(sandbox), "-vvvv", "--diff")
    assert run.status == 0, run.output
    for app, name in (("one", "funky_skunk"), ("two", "steady_heron")):
        password = sandbox.connections[name]["password"]
        holders = [path for path, content in files_below(controller.home).items() if password.encode() in content]
        assert holders == [f"{app}/.env"]
        assert (controller.home / app / ".env").stat().st_mode & 0o777 == 0o600
        assert password not in run.output


@pytest.mark.parametrize("playbook", ["dev_machine", "app_servers", "connection", "check"])
def test_without_a_terminal_and_a_connection_it_ends_with_one_clear_error(controller, playbook):
    run = controller.playbook(playbook, {"crdb_hosts": "localhost"})
    assert run.status == 2, run.output
    assert run.output.count("fatal:") == 1
    assert "There is no connection. Set its connection string" in run.output
    assert "DATABASE_URL" in run.output
    assert files_below(controller.home) == {}


def test_without_a_password_it_names_the_variable(controller, sandbox):
    facts = {k: v for k, v in sandbox.connections["funky_skunk"].items() if k != "password"}
    run = controller.playbook("dev_machine", {"crdb_connections": {"shop": facts}})
    assert run.status == 2, run.output
    assert "connections.shop: the SQL user maxroach has no password. Set password" in run.output


def url_of(facts, password=True):
    """The connection string that a person copies from the Console."""
    user = f"{facts['user']}:{facts['password']}" if password else facts["user"]
    options = f"&options=--cluster%3D{facts['routing_id']}" if facts.get("routing_id") else ""
    return f"postgresql://{user}@{facts['host']}:{facts['port']}/{facts['database']}?sslmode=verify-full{options}"


@pytest.mark.parametrize("variable", ["COCKROACH_URL", "DATABASE_URL"])
def test_the_connection_string_of_the_environment_is_taken(controller, sandbox, variable):
    facts = sandbox.connections["funky_skunk"]
    run = controller.playbook(
        "dev_machine",
        {"crdb_connection_ca_file": facts["ca_file"], "crdb_frameworks": "psycopg2", "crdb_app_samples": False},
        **{variable: url_of(facts)},
    )
    assert run.status == 0, run.output
    assert set(files_below(controller.home / "crdb-app")) == {".env", "certs/ca.crt", "crdb_database.py"}
    assert facts["password"] not in run.output


@pytest.mark.parametrize("cores", ["pinned", "newest"])
def test_what_was_typed_is_used_by_every_role_and_shown_by_none(controller, sandbox, cores):
    use_core(controller, cores)
    facts = sandbox.connections["funky_skunk"]
    terminal = controller.terminal(
        ["ansible-playbook", "playbooks/dev_machine.yml", "-vvvv", "-e", f"crdb_connection_ca_file={facts['ca_file']}",
         "-e", "crdb_frameworks=psycopg2,django"],
    )  # fmt: skip
    terminal.until("Connection string of the cluster")
    terminal.type(url_of(facts, password=False))
    terminal.until("Password of the SQL user maxroach")
    terminal.type(facts["password"])
    assert terminal.end() == 0, terminal.screen
    assert facts["password"] not in terminal.screen
    assert facts["password"] in (controller.home / "crdb-app" / ".env").read_text()
    assert terminal.screen.count("Connection string of the cluster") == 1


def use_core(controller, cores):
    """Run on the pinned ansible-core, or on the newest."""
    if cores == "newest":
        if not (NEWEST / "ansible-playbook").exists():
            pytest.skip("no Python 3.12 or newer: install one (pyenv install 3.13) and run make test-integration")
        controller.bin = NEWEST


@pytest.mark.parametrize("cores", ["pinned", "newest"])
def test_the_collection_works_installed_elsewhere(controller, sandbox, drivers, tmp_path, cores):
    use_core(controller, cores)
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", tmp_path], cwd=CHECKOUT, check=True,
        capture_output=True,
    )  # fmt: skip
    artifact = next(tmp_path.glob("*.tar.gz"))
    installed = tmp_path / "collections"
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_PIPELINING": "false"}
    elsewhere = Controller(
        controller.home, bin=controller.bin, cwd=tmp_path, config=tmp_path / "none", environment=environment
    )
    done = elsewhere.run("ansible-galaxy", "collection", "install", "--offline", "-p", installed, artifact)
    assert done.status == 0, done.output
    run = elsewhere.playbook("crdb.onboard.dev_machine", {**two_apps(sandbox), **drivers}, "-v")
    assert run.status == 0, run.output
    assert run.output.count(": connected as ") >= 6
    for name in ("funky_skunk", "steady_heron"):
        assert sandbox.connections[name]["password"] not in run.output


# Molecule runs the playbooks with 3.9, 3.11 and 3.13.
@pytest.mark.parametrize(
    "version",
    ["3.9", *(pytest.param(version, marks=pytest.mark.thorough) for version in ("3.10", "3.11", "3.12", "3.13"))],
)
def test_targets_run_every_python(controller, sandbox, version):
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine: pyenv install {version} gives one")
    run = controller.playbook("dev_machine", {**two_apps(sandbox), "ansible_python_interpreter": python})
    assert run.status == 0, run.output
    assert run.recap()["changed"] == 1


def test_what_is_not_ours_is_refused_all_at_once_and_nothing_is_written(controller, sandbox):
    foreign = {"one/.env": "DATABASE_URL=mine\n", "two/crdb_settings.py": "mine\n", "two/certs/ca.crt": "mine\n"}
    for name, content in foreign.items():
        path = controller.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    before = files_below(controller.home)
    run = controller.playbook("dev_machine", two_apps(sandbox))
    assert run.status == 2
    assert f"{controller.home}/two/certs/ca.crt: " in flat(run.output)
    assert files_below(controller.home) == before
    (controller.home / "two/certs/ca.crt").unlink()
    run = controller.playbook("dev_machine", two_apps(sandbox))
    assert f"{controller.home}/one/.env: the existing DATABASE_URL was not written by" in flat(run.output)
    assert f"{controller.home}/two/crdb_settings.py: the existing file was not written by" in flat(run.output)
    assert set(files_below(controller.home)) == {"one/.env", "two/crdb_settings.py"}


def flat(text):
    """Output without the line breaks of the display."""
    return " ".join(text.split())


def test_force_keeps_what_it_replaces_and_absent_gives_it_back(controller, sandbox):
    (controller.home / "one").mkdir()
    (controller.home / "one" / ".env").write_text("A=1\nexport DATABASE_URL=mine")
    (controller.home / "one" / "crdb_settings.py").write_text("mine\n")
    before = files_below(controller.home)
    variables = {**two_apps(sandbox), "crdb_hosts": "localhost"}
    run = controller.playbook("app_servers", {**variables, "crdb_app_config_force": True})
    assert run.status == 0, run.output
    assert (controller.home / "one" / "crdb_settings.py.crdb-onboard-1.bak").read_text() == "mine\n"
    assert (controller.home / "one" / ".env").read_text().startswith('A=1\nexport DATABASE_URL="postgresql://')
    run = controller.playbook("offboard", variables)
    assert run.recap()["changed"] == 2, run.output
    assert files_below(controller.home) == before


def test_a_changed_connection_replaces_our_files_and_a_hand_edit_stays(controller, sandbox):
    variables = {**two_apps(sandbox), "crdb_check_fail": False}
    assert controller.playbook("app_servers", {**variables, "crdb_hosts": "localhost"}).status == 0
    skunk = {**sandbox.connections["funky_skunk"], "routing": "database"}
    changed = {**variables, "crdb_connections": {**variables["crdb_connections"], "funky_skunk": skunk}}
    run = controller.playbook("app_servers", {**changed, "crdb_hosts": "localhost"}, "--diff")
    assert run.status == 0, run.output
    assert run.recap()["changed"] == 1
    assert "funky-skunk-123.defaultdb" in (controller.home / "one" / ".env").read_text()
    assert skunk["password"] not in run.output

    with (controller.home / "one" / "crdb_settings.py").open("a") as stream:
        stream.write("# a note\n")
    edited = files_below(controller.home)
    run = controller.playbook("app_servers", {**changed, "crdb_hosts": "localhost"}, "--check", "--diff")
    assert run.recap()["changed"] == 1
    assert "(changes: line " in run.output
    assert "# a note" not in run.output
    run = controller.playbook("app_servers", {**changed, "crdb_hosts": "localhost"})
    assert run.status == 0, run.output
    assert run.recap()["changed"] == 0
    assert "crdb_settings.py: was changed after crdb.onboard wrote it, and is kept" in flat(run.output)
    assert files_below(controller.home) == edited


def test_a_password_is_not_written_where_git_would_commit_it(controller, sandbox):
    project = controller.home / "one"
    subprocess.run(["git", "init", "--quiet", project], check=True)
    run = controller.playbook("dev_machine", two_apps(sandbox))
    assert run.status == 2
    assert f"git would commit it: add the line /.env to {project}/.gitignore first" in flat(run.output)
    assert not (controller.home / "two").exists()

    (project / ".gitignore").write_text("/.env\n")
    run = controller.playbook("dev_machine", two_apps(sandbox))
    assert run.status == 0, run.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write another user's files: run the tests as root")
@pytest.mark.parametrize("user", ["nobody", "daemon"], ids=["no home", "root's home"])
def test_files_of_another_user_are_written_with_that_users_ids(controller, sandbox, user):
    folder = new_state()
    shutil.chown(folder, user)
    try:
        facts = two_apps(sandbox)
        facts["crdb_apps"] = [{**facts["crdb_apps"][0], "folder": str(folder / "app"), "user": user}]
        for changed in (1, 0):
            run = controller.playbook("app_servers", {**facts, "crdb_hosts": "localhost"})
            assert run.status == 0, run.output
            assert "were not read" not in run.output
            assert run.recap()["changed"] == changed
        written = [path for path in (folder / "app").rglob("*") if path.is_file()]
        assert {str(path.relative_to(folder / "app")) for path in written} == APP_FILES
        assert {path.owner() for path in (folder / "app").rglob("*")} == {user}
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(f"/var/lib/crdb-onboard/{user}", ignore_errors=True)


class TestForms:
    """playbooks/connection.yml shows the three forms of the Console's dialog."""

    def test_the_password_is_masked(self, controller, sandbox):
        facts = sandbox.connections["funky_skunk"]
        run = controller.playbook("connection", {"crdb_connections": {"skunk": facts}})
        assert run.status == 0, run.output
        port = facts["port"]
        query = "?sslmode=verify-full&options=--cluster%3Dfunky-skunk-123"
        assert f"postgresql://maxroach:********@localhost:{port}/defaultdb{query}" in run.output
        assert f"cockroach sql --url 'postgresql://maxroach@localhost:{port}/defaultdb{query}'" in run.output
        assert "Username  maxroach" in run.output
        assert facts["password"] not in run.output

    def test_unless_asked_for(self, controller, sandbox):
        facts = sandbox.connections["funky_skunk"]
        run = controller.playbook(
            "connection", {"crdb_connections": {"skunk": facts}, "crdb_connection_show_password": True}
        )
        assert run.status == 0, run.output
        assert f"postgresql://maxroach:{facts['password']}@" in run.output
        assert f"Password  {facts['password']}" in run.output


class TestAdHocCheck:
    """ansible GROUP -m crdb.onboard.check, as the README shows it."""

    def check(self, controller, url, ca_file, *words):
        return controller.run(
            "ansible", "localhost", "-m", "crdb.onboard.check", "-a",
            f"url={{{{ lookup('env', 'DATABASE_URL') }}}} ca_file={ca_file}", *words, DATABASE_URL=url,
        )  # fmt: skip

    def test_it_passes(self, controller, sandbox):
        facts = sandbox.connections["brave_otter"]
        run = self.check(controller, url_of(facts), facts["ca_file"], "-vvvv")
        assert run.status == 0, run.output
        assert "SUCCESS" in run.output
        assert facts["password"] not in run.output

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"password": "wrong-wrong-wrong"}, "password_rejected"),
            ({"user": "nobody"}, "password_rejected"),
            ({"routing_id": "happy-koala-7"}, "unknown_cluster"),
            ({"database": "nothere"}, "database_missing"),
            ({"port": 1}, "tcp_refused"),
            ({"host": "nowhere.invalid"}, "dns_"),
        ],
    )
    def test_it_names_the_cause(self, controller, sandbox, change, code):
        facts = {**sandbox.connections["brave_otter"], **change}
        run = self.check(controller, url_of(facts), facts["ca_file"])
        assert run.status == 2, run.output
        assert code in run.output
        assert facts["password"] not in run.output

    def test_listeners(self, controller, sandbox):
        for name, code in (("outside", "not_in_allowlist"), ("impostor", "tls_wrong_host")):
            facts = sandbox.connections["brave_otter"]
            port = sandbox.clusters["brave-otter"].ports[name]
            run = self.check(controller, url_of({**facts, "port": port}), facts["ca_file"])
            assert run.status == 2, run.output
            assert code in run.output

    def test_a_strangers_ca(self, controller, sandbox):
        run = self.check(controller, url_of(sandbox.connections["brave_otter"]), sandbox.stranger_ca_file)
        assert run.status == 2, run.output
        assert "tls_unknown_ca" in run.output

    def test_an_empty_variable_is_named(self, controller, sandbox):
        run = self.check(controller, "", sandbox.stranger_ca_file)
        assert run.status == 2
        assert "url is empty" in run.output


def test_sni_by_name_through_a_private_hosts_file(controller, sandbox, drivers, tmp_path):
    """A Serverless cluster named by its host name only: names resolve in a mount namespace, for this run alone."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to make a mount namespace: run as root, or allow user namespaces")
    hosts = tmp_path / "hosts"
    cluster = sandbox.clusters["funky-skunk"]
    hosts.write_text(f"127.0.0.1 localhost {cluster.sni_host}\n")
    facts = {
        k: v for k, v in sandbox.connections["funky_skunk"].items() if k not in ("routing_id", "routing", "deployment")
    }
    facts = {**facts, "host": cluster.sni_host, "deployment": "serverless"}
    variables = {
        "crdb_connections": {"skunk": facts},
        "crdb_apps": [{"name": "sni", "folder": "~/sni", "frameworks": FRAMEWORKS}],
        **drivers,
    }
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    (wrapper / "ansible-playbook").write_text(
        "#!/bin/sh\n"
        f"exec unshare --mount sh -c 'mount --bind {hosts} /etc/hosts && exec {controller.bin}/ansible-playbook \"$@\"'"
        ' sh "$@"\n'
    )
    (wrapper / "ansible-playbook").chmod(0o755)
    controller.bin = wrapper
    run = controller.playbook("dev_machine", variables)
    assert run.status == 0, run.output
    assert run.output.count(": connected as maxroach to defaultdb") == 3
    assert "options" not in (controller.home / "sni" / ".env").read_text()
