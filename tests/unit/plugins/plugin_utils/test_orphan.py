# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task whose playbook run is gone ends, wherever it waits."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import base
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.allowlist import Reconciler
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan, shared
from ansible_collections.crdb.onboard.plugins.plugin_utils._run.orphan import RunGoneError
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import Sessions, Statement

PLUGINS = Path(orphan.__file__).resolve().parents[2]
BOUND_SECONDS = 60
"""Far more than a task needs to notice; one that does not notice waits on and on."""


def forked(work):
    """Fork a process; its id. It never returns into the test."""
    identifier = os.fork()
    if identifier == 0:
        try:
            work()
        finally:
            os._exit(0)
    return identifier


def outcome_of_orphan(work):
    """Let a task begin some work, kill the run that it belongs to, and return how the task ended."""
    reader, writer = os.pipe()

    def task():
        os.write(writer, b"began ")
        try:
            work()
        except BaseException as exc:
            os.write(writer, type(exc).__name__.encode())
        else:
            os.write(writer, b"went on")

    def run():
        forked(task)
        time.sleep(10 * BOUND_SECONDS)

    main = forked(run)
    assert os.read(reader, 6) == b"began "
    os.kill(main, signal.SIGKILL)
    os.waitpid(main, 0)
    os.close(writer)
    assert select.select([reader], [], [], BOUND_SECONDS)[0], "the task waits on"
    outcome = os.read(reader, 100).decode()
    os.close(reader)
    return outcome


def test_a_pause_ends_when_the_run_is_gone():
    assert outcome_of_orphan(lambda: orphan.pause(10 * BOUND_SECONDS)) == "RunGoneError"


def test_a_task_that_waits_for_another_ends_while_the_lock_is_still_held():
    def waits():
        with shared.alone("held by the test"):
            pass

    with shared.alone("held by the test"):
        assert outcome_of_orphan(waits) == "RunGoneError"


def test_a_task_that_waits_for_the_password_store_ends_and_writes_nothing(tmp_path):
    store = PasswordStore(str(tmp_path / "store.json"))
    with store._locked():
        assert outcome_of_orphan(lambda: store.put("1", "shop", "ann", "p" * 16, pending=True)) == "RunGoneError"
    assert not (tmp_path / "store.json").exists()


def test_a_task_that_waits_for_its_turn_sends_no_request(monkeypatch):
    monkeypatch.setattr(shared, "_WINDOW_SECONDS", 10.0 * BOUND_SECONDS)

    def waits():
        for _number in range(2 * shared._BURST):
            shared.take_turn()

    try:
        assert outcome_of_orphan(waits) == "RunGoneError"
    finally:
        # The turns that were taken are far in the future, for every test of this run.
        os.ftruncate(shared._descriptor("rate"), 0)


def test_no_more_statements_are_run():
    class Slow(Sessions):
        def __init__(self):
            pass

        def on(self, database):
            return SimpleNamespace(run=lambda statement: time.sleep(0.1))

    sessions, statements = Slow(), (Statement("d", f"SELECT {number}") for number in range(20 * BOUND_SECONDS))
    assert outcome_of_orphan(lambda: sessions.run(statements, [])) == "RunGoneError"


@pytest.fixture
def gone(monkeypatch):
    """This process as a task whose run is gone."""
    monkeypatch.setattr(orphan._Processes, "parent", os.getpid())


@pytest.mark.usefixtures("gone")
def test_no_module_is_run_and_the_task_fails(monkeypatch):
    monkeypatch.setattr(base.transport, "call", lambda *_args, **_options: pytest.fail("a module was run"))
    monkeypatch.setattr(base.options, "arguments", lambda _name: {})
    monkeypatch.setattr(base.ActionBase, "run", lambda *_args: {})
    monkeypatch.setattr(base.options, "with_inputs", lambda _name, given: given)
    action = base.OnboardingAction.__new__(base.OnboardingAction)
    action._task = types.SimpleNamespace(args={}, name="", until=[], retries=None, failed_when=[])
    action.validate_argument_spec = lambda _specification: (None, {})
    action.work = lambda _arguments, task_vars: action.call({}, task_vars, module="files")
    with pytest.raises(base.screen.ShownOnceError) as caught:
        action.run()
    assert caught.value.result == {"changed": False, "failed": True, "msg": str(RunGoneError())}


@pytest.mark.usefixtures("gone")
def test_no_request_is_sent(monkeypatch):
    api = CloudApi(Settings("key", "https://api.example.com"))
    monkeypatch.setattr(api._http, "open", lambda *_args, **_options: pytest.fail("a request was sent"))
    for ask in (api.clusters, lambda: api.remove_user("1", "ann"), lambda: api.authorities("1")):
        with pytest.raises(RunGoneError):
            ask()


@pytest.mark.usefixtures("gone")
def test_no_more_steps_of_an_allowlist_are_made():
    reconciler = Reconciler(SimpleNamespace(), "1", "shop")
    with pytest.raises(RunGoneError):
        reconciler._run([("add", lambda: pytest.fail("a step was made"))])
    assert reconciler.done == []


def test_the_main_process_goes_on_when_its_shell_has_ended(tmp_path):
    """As with `nohup ansible-playbook ... &`."""
    target = tmp_path / "went on"
    code = (
        "import os, sys, time\n"
        "from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan\n"
        "shell = int(sys.argv[1])\n"
        "while os.getppid() == shell: time.sleep(0.05)\n"
        "orphan.pause(0.6)\n"
        "open(sys.argv[2], 'w').close()\n"
    )
    subprocess.run(
        ["sh", "-c", '"$0" -c "$1" $$ "$2" &', sys.executable, code, target],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    deadline = time.monotonic() + BOUND_SECONDS
    while not target.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_task_whose_run_is_there_waits_for_as_long_as_it_was_told():
    start = time.monotonic()
    orphan.pause(0.02)
    orphan.pause(-1)
    assert time.monotonic() - start >= 0.02
    with pytest.raises(RunGoneError, match="has ended, so the task ends without another change"):
        raise RunGoneError


def test_every_wait_on_the_controller_can_notice_that_the_run_is_gone():
    waits = re.compile(r"\btime\.sleep\b|\bfcntl\.(?:flock|lockf)\b|\bfrom time import\b.*\bsleep\b")
    places = {
        path.relative_to(PLUGINS).as_posix()
        for room in ("action", "filter", "lookup", "plugin_utils")
        for path in (PLUGINS / room).rglob("*.py")
        if waits.search(path.read_text(encoding="utf-8"))
    }
    assert places == {"plugin_utils/_run/orphan.py", "plugin_utils/_run/shared.py"}
