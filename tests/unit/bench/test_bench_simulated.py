# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to hosts that are not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import program as _program

import tests.bench
from tests.bench.connection import simulated

FOLDER = Path(tests.bench.__file__).parent / "connection"
COSTS = {"connect": {"cpu": 0.02, "wait": 0.05}, "call": {"cpu": 0.01, "wait": 0.03}}


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    (tmp_path / "seen").mkdir()
    (tmp_path / "file").write_text(json.dumps({**COSTS, "answer": {"changed": True, "files": []}}))
    monkeypatch.setenv("CRDB_BENCH_SIMULATED", str(tmp_path / "file"))
    monkeypatch.setenv("CRDB_BENCH_SEEN", str(tmp_path / "seen"))
    connection_loader.add_directory(str(FOLDER))

    def made(host: str) -> Any:
        context = PlayContext()
        context.remote_addr = host
        connection = connection_loader.get("simulated", context)
        connection.set_options()
        return connection

    return made


@pytest.fixture
def spent(connect: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    costs: list[dict[str, float]] = []
    monkeypatch.setitem(type(connect("any")).exec_command.__globals__, "spend", costs.append)
    return costs


def test_a_host_costs_a_connection_once_and_a_call_each_time(connect: Callable[[str], Any], spent: list[Any]) -> None:
    for host in ("one", "one", "two"):
        connect(host).exec_command("true", in_data=b"a program")
    connect_cost, call = COSTS["connect"], COSTS["call"]
    assert spent == [connect_cost, call, call, connect_cost, call]


def test_a_program_is_given_the_recorded_answer(connect: Callable[[str], Any], spent: list[Any]) -> None:
    status, output, errors = connect("one").exec_command("python3", in_data=b"a program")
    answer = {"rc": status, "stdout": output.decode(), "stderr": errors.decode()}
    assert _program.result(answer) == {"changed": True, "files": []}


def test_time_is_spent_working_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((5.0, 5.1, 5.2, 5.31))
    waited: list[float] = []
    monkeypatch.setattr(simulated.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(simulated.time, "sleep", waited.append)
    simulated.spend({"cpu": 0.3, "wait": 0.7})
    assert (waited, list(clock)) == ([0.7], [])


def test_it_takes_no_files(connect: Callable[[str], Any]) -> None:
    with pytest.raises(AnsibleError, match="takes no file"):
        connect("one").put_file("/etc/motd", "/etc/motd")
