# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/check.yml on a small fleet: one report a run, whatever becomes of the hosts."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

LOCAL = "ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'"


def url_of(cluster, listener):
    """A connection string that names the CA on the host, so that nothing has to be placed before."""
    return (
        f"postgresql://{cluster.user}:{cluster.password}@{cluster.host}:{cluster.ports[listener]}/defaultdb"
        f"?sslmode=verify-full&sslrootcert={cluster.ca_file}&options=--cluster%3D{cluster.routing_id}"
    )


@pytest.fixture
def fleet(controller, sandbox, tmp_path):
    """An inventory: two hosts that are let in, one that is not, one that no ssh reaches; and where the reports go."""
    cluster = sandbox.clusters["funky-skunk"]
    inside, outside = (url_of(cluster, listener) for listener in ("inside", "outside"))
    folder = tmp_path / "inventory"
    (folder / "host_vars").mkdir(parents=True)
    (folder / "group_vars").mkdir()
    (folder / "hosts.yml").write_text(
        "all:\n  hosts:\n"
        f"    app1: {{{LOCAL}}}\n    app2: {{{LOCAL}}}\n    app3: {{{LOCAL}}}\n"
        "    dead: {ansible_host: 127.0.0.1, ansible_port: 1}\n"
    )
    apps = [{"name": "shop", "folder": "~/shop"}]
    (folder / "group_vars" / "all.json").write_text(
        json.dumps({"crdb_connections": {"db": {"url": inside}}, "crdb_apps": apps})
    )
    (folder / "host_vars" / "app3.json").write_text(json.dumps({"crdb_connections": {"db": {"url": outside}}}))
    for path in folder.rglob("*.json"):
        path.chmod(0o600)
    return folder


def check(controller, fleet, *words, playbook="check", **variables):
    """Run a check that writes reports; where, and what became of it."""
    reports = controller.home / "reports"
    return reports, controller.playbook(
        playbook, {"crdb_check_report_folder": str(reports), **variables}, "-i", fleet, *words
    )


def statuses(reports):
    content = json.loads((reports / "crdb-check.json").read_text())
    return {host["name"]: host["status"] for host in content["hosts"]}


EXPECTED = {"app1": "reached", "app2": "reached", "app3": "failed", "dead": "unreachable"}


def test_one_report_has_every_host(controller, fleet):
    reports, run = check(controller, fleet)
    assert run.status == 2, run.output
    assert run.output.count("4 hosts: 2 reached, not proved, 1 failed, 1 unreachable") == 1
    assert "1 host: not_in_allowlist at localhost port" in run.output
    assert "1 host: unreachable" in run.output
    assert statuses(reports) == EXPECTED
    assert sorted(path.name for path in reports.iterdir()) == ["crdb-check.html", "crdb-check.json", "crdb-check.xml"]
    suites = ElementTree.parse(reports / "crdb-check.xml").getroot()  # noqa: S314 written by this very run
    found = {name: suites.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert found == {"tests": "4", "failures": "1", "errors": "1", "skipped": "0"}
    assert [run.recap(host)["failed"] for host in EXPECTED] == [0, 0, 1, 1]
    assert [run.recap(host)["changed"] for host in EXPECTED] == [0, 0, 0, 0]


def test_the_report_is_the_last_that_one_sees(controller, fleet):
    _reports, run = check(controller, fleet, "-l", "app1,app3,dead")
    assert run.status == 2, run.output
    report = run.output.index("3 hosts: 1 reached, not proved, 1 failed, 1 unreachable")
    assert report > run.output.index("PLAY RECAP")
    assert run.output.count("cause: ") == 2
    assert "skipping: [app1]" not in run.output
    assert "Validating arguments" not in run.output


def test_with_another_configuration_it_comes_before_the_recap(controller, fleet, tmp_path):
    settings = controller.config.read_text()
    assert ", crdb.onboard.report_last\n" in settings
    controller.config = tmp_path / "ansible.cfg"
    controller.config.write_text(settings.replace(", crdb.onboard.report_last\n", "\n"))
    controller.environment["ANSIBLE_COLLECTIONS_PATH"] = str(controller.cwd / "collections")
    _reports, run = check(controller, fleet, "-l", "app1,app3")
    assert run.status == 2, run.output
    assert run.output.index("2 hosts: 1 reached, not proved, 1 failed") < run.output.index("PLAY RECAP")


def test_a_host_whose_connection_works_has_no_task_after_the_report(controller, fleet):
    _reports, run = check(controller, fleet, "-l", "app1,app2,app3")
    assert {name: run.recap("app2")[name] for name in ("ok", "skipped")} == {"ok": 1, "skipped": 0}
    assert run.recap("app3")["failed"] == 1


@pytest.mark.parametrize(
    ("variable", "value"), [("crdb_check_fail", "perhaps"), ("crdb_check_timeout", "long"), ("crdb_check_confirm", 7)]
)
def test_a_value_of_the_wrong_type_is_refused(controller, fleet, variable, value):
    _reports, run = check(controller, fleet, "-l", "app3", **{variable: value})
    assert run.status == 2, run.output
    assert "unable to convert" in run.output or "is not a valid boolean" in run.output


@pytest.mark.parametrize("serial", [2, 3])
def test_with_serial_the_last_batch_leaves_the_whole_report(controller, fleet, serial):
    reports, run = check(controller, fleet, playbook=play(controller, f"serial: {serial}"))
    assert run.status == 2, run.output
    assert statuses(reports) == EXPECTED


def test_a_roll_that_stops_leaves_the_others_as_not_checked(controller, fleet):
    first = play(controller, "serial: 1\n  order: reverse_sorted\n  max_fail_percentage: 0")
    reports, run = check(controller, fleet, playbook=first)
    assert run.status == 2, run.output
    assert statuses(reports) == {
        "dead": "unreachable", "app3": "not_checked", "app2": "not_checked", "app1": "not_checked"
    }  # fmt: skip


def test_with_a_limit_it_is_on_those_hosts(controller, fleet):
    reports, run = check(controller, fleet, "-l", "app1,dead")
    assert run.status == 2, run.output
    assert statuses(reports) == {"app1": "reached", "dead": "unreachable"}
    end = (reports / "crdb-check.html").read_text().split("<footer>")[1]
    assert "<dt>Inventory</dt><dd>/" in end
    assert "<dt>Command</dt><dd>ansible-playbook " in end
    assert " -l app1,dead" in end
    assert "<dt>Version</dt><dd>crdb.onboard 1." in end


def test_strategy_free(controller, fleet):
    reports, run = check(controller, fleet, playbook=play(controller, "strategy: free"))
    assert run.status == 2, run.output
    assert statuses(reports) == EXPECTED


def test_all_reached_is_exit_code_0_and_replaces_the_older_report(controller, fleet):
    reports, run = check(controller, fleet, "-l", "app1:app3")
    assert run.status == 2, run.output
    reports, run = check(controller, fleet, "-l", "app1")
    assert run.status == 0, run.output
    assert statuses(reports) == {"app1": "reached"}
    assert "endpoint" in run.output
    assert not (reports / "crdb-check.html").stat().st_mode & 0o111


def test_exit_codes(controller, fleet):
    """As docs/check-reports.md says."""
    assert check(controller, fleet, "-l", "app1")[1].status == 0
    assert check(controller, fleet, "-l", "app3")[1].status == 2
    assert check(controller, fleet, "-l", "dead")[1].status == 2
    assert check(controller, fleet, "-l", "app3,dead", crdb_check_fail=False)[1].status == 0
    ad_hoc = ("ansible", "app1,dead", "-i", fleet, "-m", "ansible.builtin.command", "-a", "false")
    assert controller.run(*ad_hoc).status == 4
    assert controller.run("ansible-playbook", "playbooks/nowhere.yml").status == 1
    assert controller.run("ansible-playbook", "--nonsense").status == 2


def test_a_host_that_failed_before_is_in_it(controller, fleet):
    before = (
        "pre_tasks:\n    - ansible.builtin.ping:\n    - ansible.builtin.fail:\n      when: inventory_hostname == 'app2'"
    )
    reports, run = check(controller, fleet, playbook=play(controller, before))
    assert run.status == 4, run.output
    assert statuses(reports) == {**EXPECTED, "app2": "failed_before", "dead": "failed_before"}


def test_a_check_that_fails_by_itself_is_in_it(controller, fleet):
    (fleet / "host_vars" / "app2.json").write_text(json.dumps({"crdb_apps": [{"connection": "nonsense"}]}))
    reports, run = check(controller, fleet)
    assert run.status == 2, run.output
    assert statuses(reports) == {**EXPECTED, "app2": "failed"}
    content = json.loads((reports / "crdb-check.json").read_text())
    assert any("there is no connection 'nonsense'" in cause["cause"] for cause in content["causes"])


def test_two_plays_of_a_run_make_one_report(controller, fleet):
    path = controller.home / "two.yml"
    path.write_text(
        "".join(
            f"- hosts: {hosts}\n  gather_facts: false\n  roles: [crdb.onboard.crdb_check]\n"
            for hosts in ("app1", "app2,app3")
        )
    )
    reports, run = check(controller, fleet, playbook=str(path))
    assert run.status == 2, run.output
    assert statuses(reports) == {name: EXPECTED[name] for name in ("app1", "app2", "app3")}


def test_check_mode_writes_no_file(controller, fleet):
    reports, run = check(controller, fleet, "--check", "-l", "app1")
    assert run.status == 0, run.output
    assert not reports.exists()


def test_a_file_that_is_no_report_is_left_alone(controller, fleet):
    reports = controller.home / "reports"
    reports.mkdir()
    (reports / "crdb-check.json").write_text("mine")
    _reports, run = check(controller, fleet, "-l", "app1")
    assert run.status == 2
    assert "is not a report of this collection" in run.output
    assert (reports / "crdb-check.json").read_text() == "mine"


def play(controller, extra):
    """A playbook of the role, with more keywords."""
    path = controller.home / "play.yml"
    path.write_text(f"- hosts: all\n  gather_facts: false\n  {extra}\n  roles: [crdb.onboard.crdb_check]\n")
    return str(path)
