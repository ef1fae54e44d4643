# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules used by themselves: functions of their options, without any role or variable of ours."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import files_below

PLAY = """
- hosts: localhost
  gather_facts: false
  {defaults}
  tasks:
    - crdb.onboard.connection: {options}
    - crdb.onboard.app_config: {writing}
    - crdb.onboard.check: {options}
"""


@pytest.fixture
def onboarding(sandbox):
    """The options of a whole onboarding: a connection, and an app that uses it."""
    app = {"name": "shop", "folder": "~/shop", "frameworks": ["psycopg2", "django"]}
    return {"connections": {"db": sandbox.connections["steady_heron"]}, "apps": [app]}


def play(folder, options, defaults=None):
    """The path of a play with three tasks, and no variable that begins with crdb_."""
    writing = {**options, "ca": True, "prove": True}
    text = PLAY.format(
        options=json.dumps(options),
        writing=json.dumps(writing),
        defaults=f"module_defaults: {json.dumps(defaults)}" if defaults else "",
    )
    assert "crdb_" not in text
    path = folder / "play.yml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("by_defaults", [False, True], ids=["options", "module_defaults"])
def test_three_tasks_are_a_whole_onboarding(controller, sandbox, onboarding, tmp_path, by_defaults):
    if by_defaults:
        written = play(tmp_path, {}, {"group/crdb.onboard.onboard": onboarding})
    else:
        written = play(tmp_path, onboarding)
    first = controller.playbook(written)
    assert first.status == 0, first.output
    names = {".env", "certs/ca.crt", "crdb_database.py", "crdb_settings.py"}
    assert {f"shop/{name}" for name in names} <= set(files_below(controller.home))
    assert sandbox.connections["steady_heron"]["password"] not in first.output
    second = controller.playbook(written)
    assert second.recap()["changed"] == 0


def test_a_loop_over_connections(controller, sandbox, tmp_path):
    connections = {name: sandbox.connections[name] for name in ("funky_skunk", "steady_heron")}
    options = {"connections": {"one": "{{ item.value }}"}, "apps": []}
    task = {"crdb.onboard.connection": options, "loop": "{{ connections | dict2items }}", "register": "result"}
    shown = {
        "ansible.builtin.debug": {"msg": "{{ result.results | map(attribute='connections.one.deployment') | list }}"}
    }
    path = tmp_path / "play.yml"
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task, shown]}]))
    run = controller.playbook(str(path), {"connections": connections})
    assert run.status == 0, run.output
    assert "- serverless" in run.output
    assert "- dedicated" in run.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connections": {"db": {"databse": "shop"}}}, "connections.db: unknown key: databse. Did you mean database?"),
        ({"apps": [{"fodler": "/srv"}]}, "apps entry 1: unknown key: fodler. Did you mean folder?"),
        (
            {"cloud": {"apikey": "x"}, "connections": {"db": {"cluster": "c", "user": "u"}}},
            "cloud: unknown key: apikey.",
        ),
        ({"aps": []}, "aps. Supported parameters include:"),
    ],
)
def test_a_mistyped_option_is_refused(controller, onboarding, tmp_path, options, message):
    run = controller.playbook(play(tmp_path, {**onboarding, **options}))
    assert run.status == 2
    assert message in " ".join(run.output.split())


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("crdb_connection_databse", "crdb_connection_database"),
        ("crdb_app_fodler", "crdb_app_folder"),
        ("crdb_cloud_apikey", "crdb_cloud_api_key"),
        ("crdb_check_driver", "crdb_check_drivers"),
    ],
)
def test_a_mistyped_variable_of_the_roles_is_refused(controller, sandbox, name, nearest):
    variables = {"crdb_connections": {"db": sandbox.connections["steady_heron"]}, name: "shop"}
    run = controller.playbook("connection", {**variables, "crdb_hosts": "localhost"})
    assert run.status == 2
    assert f"There is no variable {name}. Did you mean {nearest}?" in " ".join(run.output.split())
