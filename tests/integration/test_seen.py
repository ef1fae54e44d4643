# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people see: the collection from its artifact, called by name, under Ansible's own default configuration."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.integration.conftest import BIN, CHECKOUT, Controller

NEWEST = CHECKOUT / ".venv-newest" / "bin"
SCREEN = 40
CORES = [pytest.param(BIN, id="oldest"), pytest.param(NEWEST, id="newest")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the collection from its artifact."""
    folder = tmp_path_factory.mktemp("collections")
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "ANSIBLE_COLLECTIONS_PATH": str(folder)}
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", folder / "artifact"],
        cwd=CHECKOUT, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    (archive,) = (folder / "artifact").glob("*.tar.gz")
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "install", archive, "-p", folder],
        cwd=folder, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def default(controller, installed, tmp_path) -> Controller:
    """Ansible's commands as an operator has them: no configuration, no checkout."""
    controller.cwd = tmp_path
    controller.config = tmp_path / "absent.cfg"
    controller.environment.update(ANSIBLE_COLLECTIONS_PATH=str(installed))
    return controller


@pytest.fixture
def shop(sandbox):
    return {"crdb_connections": {"shop": sandbox.connections["funky_skunk"]}, "crdb_frameworks": "psycopg2,django"}


def with_core(default, folder):
    if not (folder / "ansible-playbook").exists():
        pytest.skip("there is no newest ansible-core: make test-integration installs it")
    default.bin = folder
    return default


def report_of(output):
    """The lines of the check's table, as the terminal has them."""
    lines = output.splitlines()
    (number,) = [number for number, line in enumerate(lines) if re.match(r"(host +)?endpoint +dns +tcp ", line)]
    return lines[number : number + 2]


@pytest.mark.parametrize(
    "core", [pytest.param(BIN, id="oldest", marks=pytest.mark.thorough), pytest.param(NEWEST, id="newest")]
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"},
        {"ANSIBLE_FORCE_COLOR": "1"},
        {"ANSIBLE_STDOUT_CALLBACK": "minimal"},
        {"ANSIBLE_STDOUT_CALLBACK": "oneline"},
    ],
    ids=["json", "yaml", "colour", "minimal", "oneline"],
)
def test_reports_are_lines_whatever_prints_the_results(default, shop, core, settings):
    run = with_core(default, core).playbook("crdb.onboard.dev_machine", shop, **settings)
    assert run.status == 0, run.output
    head, row = report_of(run.output)
    assert head.endswith("  verdict")
    assert re.match(r"crdb-app: shop( +[\d.]+ ms){6}  (proved|reached)", row)
    lines = run.output.splitlines()
    folder = f"{default.home}/crdb-app"
    for line in (
        "shop (serverless)", "  Parameters only:",
        f"created {folder}/.env", f"created {folder}/crdb_settings.py",
        f"{folder}/crdb_database.py: from crdb_database import connect",
        "Proved by their own drivers: crdb-app (" if "  proved" in row else "Reached, not proved: crdb-app (",
        "  python samples/django_accounts.py",
    ):  # fmt: skip
        assert [shown for shown in lines if shown.startswith(line)], line
    if "ANSIBLE_STDOUT_CALLBACK" not in settings:
        # These two callbacks print every result, whatever it holds.
        assert "\\n" not in run.output
        assert run.output.count("verdict") == 1


def test_programs_get_the_lines_in_the_result(default, shop, tmp_path):
    (tmp_path / "callback_plugins").mkdir()
    (tmp_path / "callback_plugins" / "json.py").write_text(
        "from ansible.plugins.callback import CallbackBase\n"
        "DOCUMENTATION = '''\nname: json\ntype: stdout\nshort_description: results as JSON\n'''\n"
        "class CallbackModule(CallbackBase):\n"
        "    CALLBACK_VERSION = 2.0\n    CALLBACK_TYPE = 'stdout'\n    CALLBACK_NAME = 'json'\n"
        "    def v2_runner_on_ok(self, result):\n"
        "        print(self._dump_results(result.result, indent=0).replace('\\n', ' '))\n"
    )
    run = default.playbook(
        "crdb.onboard.connection", shop,
        ANSIBLE_STDOUT_CALLBACK="json", ANSIBLE_CALLBACK_PLUGINS=str(tmp_path / "callback_plugins"),
    )  # fmt: skip
    assert run.status == 0, run.output
    results = [json.loads(line) for line in run.output.splitlines() if line.startswith("{")]
    assert [result["msg"][1] for result in results if isinstance(result.get("msg"), list)] == [
        "  General connection string:"
    ]
    assert not [line for line in run.output.splitlines() if line.startswith("  General")]


@pytest.mark.parametrize("core", CORES)
class TestAnErrorIsPrintedOnce:
    def failed(self, default, core, name, variables, message, *words, lines, status=2):
        run = with_core(default, core).playbook(name, variables, *words)
        assert run.status == status, run.output
        assert run.output.count(message) == 1, run.output
        assert "Origin: " not in run.output
        assert "[ERROR]" not in run.output
        first = next(number for number, line in enumerate(run.output.splitlines()) if message in line)
        assert len(run.output.splitlines()) - first <= lines, run.output
        return run

    def test_a_wrong_password(self, default, core, shop):
        shop["crdb_connections"] = {"shop": {**shop["crdb_connections"]["shop"], "password": "not-the-password"}}
        run = self.failed(default, core, "crdb.onboard.dev_machine", shop, "refuses the password of maxroach", lines=12)
        assert "\n  cure:  " in run.output
        assert "\\n" not in run.output

    def test_an_unreachable_host(self, default, core, shop):
        words = ("-i", "web1,", "-e", "ansible_host=127.0.0.1", "-e", "ansible_port=1")
        run = self.failed(
            default, core, "crdb.onboard.app_servers", shop, "port 1: Connection refused", *words, lines=5, status=4
        )
        assert "web1" in run.output

    def test_an_unknown_key(self, default, core):
        variables = {"crdb_connections": {"shop": {"hots": "x"}}}
        self.failed(default, core, "crdb.onboard.dev_machine", variables, "unknown key: hots", lines=5)

    def test_an_unknown_variable(self, default, core):
        variables = {"crdb_connection_hots": "x"}
        self.failed(default, core, "crdb.onboard.dev_machine", variables, "no variable crdb_connection_hots", lines=5)

    @pytest.mark.parametrize(("name", "role"), [("sql_user", "sql_user"), ("authorize_network", "network")])
    def test_an_unknown_variable_of_the_cloud_api(self, default, core, name, role):
        variables = {f"crdb_{role}_nmae": "ann", f"crdb_{role}_clusters": ["one"], "crdb_cloud_api_key": "x"}
        self.failed(default, core, f"crdb.onboard.{name}", variables, f"no variable crdb_{role}_nmae", lines=6)

    def test_a_missing_ca(self, default, core, shop):
        facts = {key: value for key, value in shop["crdb_connections"]["shop"].items() if key != "ca_file"}
        shop["crdb_connections"] = {"shop": {**facts, "sslrootcert": "/nonexistent/root.crt"}}
        run = with_core(default, core).playbook("crdb.onboard.dev_machine", shop)
        assert run.status == 2, run.output
        (line,) = [line for line in run.output.splitlines() if "/nonexistent/root.crt: the CA does" in line]
        assert line.count("does not exist") == 1
        assert "Origin: " not in run.output

    def test_networks_that_are_not_valid(self, default, core):
        variables = {"crdb_network_entries": [{"cidr": "10.0.0.0/99"}, {"cidr": "nowhere"}]}
        run = with_core(default, core).playbook("crdb.onboard.authorize_network", variables, "--tags", "validate")
        assert run.status == 2, run.output
        lines = run.output.splitlines()
        assert len([line for line in lines if "10.0.0.0/99" in line]) == 1
        assert len([line for line in lines if "nowhere" in line]) == 1
        assert "Origin: " not in run.output


PLAY_TASKS = """
- hosts: localhost
  gather_facts: false
  tasks:
    - crdb.onboard.connection:
        connections: {shop: {hots: x}}
      register: wrong
      until: wrong is succeeded
      retries: 1
      delay: 0
      ignore_errors: true
    - crdb.onboard.connection:
        connections: {shop: {hots: x}}
      register: decided
      failed_when: "'hots' not in decided.msg"
    - crdb.onboard.connection:
        connections: {shop: {hots: x}}
      register: ignored
      ignore_errors: true
    - block:
        - crdb.onboard.connection:
            connections: {shop: {hots: x}}
      rescue:
        - ansible.builtin.assert:
            that:
              - wrong.attempts == 1 and wrong is failed
              - decided is succeeded
              - ignored is failed and 'hots' in ignored.msg
              - "'hots' in ansible_failed_result.msg"
"""


@pytest.mark.parametrize("core", CORES)
def test_failed_tasks_can_be_retried_decided_and_rescued(default, tmp_path, core):
    (tmp_path / "play.yml").write_text(PLAY_TASKS)
    run = with_core(default, core).playbook(str(tmp_path / "play.yml"))
    assert run.status == 0, run.output
    assert run.output.count("FAILED - RETRYING") == 1


def test_verbose_runs_show_where_it_failed(default):
    run = default.playbook("crdb.onboard.dev_machine", {"crdb_connections": {"shop": {"hots": "x"}}}, "-v")
    assert "Origin: " in run.output


FREE = """
- hosts: all
  gather_facts: false
  strategy: STRATEGY
  roles:
    - crdb.onboard.crdb_connection
    - crdb.onboard.crdb_check
"""


@pytest.mark.parametrize(("strategy", "forks"), [("linear", 5), ("free", 5), ("host_pinned", 5), ("host_pinned", 1)])
def test_the_report_on_a_fleet_comes_once_and_whole(default, shop, tmp_path, strategy, forks):
    (tmp_path / "play.yml").write_text(FREE.replace("STRATEGY", strategy))
    hosts = {f"web{number}": {"ansible_connection": "local"} for number in range(3)}
    hosts["away"] = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    certs = default.home / "crdb-app" / "certs"
    certs.mkdir(parents=True)
    shutil.copy(shop["crdb_connections"]["shop"]["ca_file"], certs / "ca.crt")
    variables = {
        **shop,
        "crdb_frameworks": [],
        "crdb_check_drivers": False,
        "ansible_python_interpreter": sys.executable,
    }
    run = default.playbook(str(tmp_path / "play.yml"), variables, "-i", tmp_path / "hosts.json", "-f", str(forks))
    lines = run.output.splitlines()
    counted = [line for line in lines if line.startswith("4 hosts: ")]
    assert counted == ["4 hosts: 3 reached, not proved, 1 unreachable"], run.output
    assert len([line for line in lines if line.startswith("host  ") or line.startswith("host ")]) == 1
    assert len([line for line in lines if "General connection string" in line]) == 1
    partial = [line for line in lines if " of 4 hosts are checked" in line]
    if strategy == "linear":
        assert not partial
    elif forks == 1:
        assert len(partial) == 3
    # Of hosts that end at the same moment, more than one may be the last.
    assert len(partial) <= 3
    assert len({line.split()[0].rstrip(":") for line in partial}) == len(partial)
    assert all(re.match(r"(web\d: reached|away) \(\d of 4 hosts are checked\)", line) for line in partial)


def test_the_end_of_an_onboarding_fits_on_a_screen(default, shop):
    run = default.playbook("crdb.onboard.dev_machine", {**shop, "crdb_frameworks": "psycopg2,django,node-postgres"})
    assert run.status == 0, run.output
    lines = run.output.splitlines()
    start = next(number for number, line in enumerate(lines) if "Show the report" in line)
    # A busy machine adds notes of its own: a title, a line and an empty one each.
    shown = re.sub(r"(?m)^slow_\w+ at .*\n  note:  .*\n\n?", "", "\n".join(lines[start:]))
    end = shown.splitlines()
    assert len(end) <= SCREEN, run.output
    assert f"  {default.home}/crdb-app  8 files: 8 created" in end
    assert "  node samples/node-postgres.cjs" in end
    assert [line for line in end if re.match(r"  check it again .*ansible-playbook crdb.onboard.check ", line)]
    again = default.playbook("crdb.onboard.dev_machine", shop, "-v")
    assert f"  ok  {default.home}/crdb-app/.env" in again.output.splitlines()
