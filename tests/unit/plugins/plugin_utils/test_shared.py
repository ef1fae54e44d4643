# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of one run tell each other, over the processes that Ansible forks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared
from ansible_collections.crdb.onboard.plugins.plugin_utils._run.memory import Memory

FORK = multiprocessing.get_context("fork")


def test_the_newest_value_of_each_of_many_keys():
    """So many keys that some share a bucket."""
    for turn in range(2):
        for number in range(6000):
            shared.put(f"many {number}", {"turn": turn, "number": number})
    assert all(shared.get(f"many {number}") == {"turn": 1, "number": number} for number in range(6000))
    assert shared.get("many") is None


def test_what_processes_put_at_once_is_all_there():
    def work(number):
        for turn in range(200):
            shared.put(f"process {number}", turn)
            shared.put(f"process {number} {turn}", "é" * turn)

    processes = [FORK.Process(target=work, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert [shared.get(f"process {number}") for number in range(4)] == [199] * 4
    assert all(shared.get(f"process {number} {turn}") == "é" * turn for number in range(4) for turn in range(200))


def test_too_much_is_refused_and_the_rest_stays(monkeypatch):
    shared.put("small", 1)
    monkeypatch.setattr(shared, "_SIZE_LIMIT", (shared.folder() / "values").stat().st_size + 100)
    with pytest.raises(OnboardingError, match="too much to remember for one run"):
        shared.put("large", "x" * 200)
    assert shared.get("large") is None
    assert shared.get("small") == 1


def test_work_is_done_by_the_first_of_all_processes(tmp_path):
    def work(number):
        shared.once("only once", lambda: (tmp_path / str(number)).write_text("done"))

    processes = [FORK.Process(target=work, args=(number,)) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(list(tmp_path.iterdir())) == 1


def test_long_values_and_keys_that_share_a_bucket(monkeypatch):
    monkeypatch.setattr(shared.zlib, "crc32", lambda _data: 7)
    for number in range(20):
        shared.put(f"bucket {number}", "x" * (number * 500))
    assert [len(shared.get(f"bucket {number}")) for number in range(20)] == [number * 500 for number in range(20)]
    assert shared.get("bucket 20") is None


def killed_while(holds):
    """Fork a process that takes a lock, and kill it while it holds the lock."""
    taken = FORK.Event()
    process = FORK.Process(target=holds, args=(taken,))
    process.start()
    assert taken.wait(10)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def wait_for(target):
    """The time in seconds that another process needs for something, at most ten."""
    start = time.monotonic()
    process = FORK.Process(target=target)
    process.start()
    process.join(10)
    assert process.exitcode == 0, "it still waits for a process that is dead"
    return time.monotonic() - start


def test_a_killed_task_releases_what_it_held():
    memory = Memory("killed", 4096)

    def holds(taken):
        shared._lock(shared._descriptor("values"))
        shared._lock(shared._descriptor("rate"))
        with shared.alone("killed"), shared.alone(memory._lock_name):
            taken.set()
            time.sleep(60)

    def needs():
        with shared.alone("killed"):
            shared.put("after the kill", 1)
        shared.take_turn()
        memory.once("after the kill", lambda: "text")

    killed_while(holds)
    wait_for(needs)
    assert shared.get("after the kill") == 1
    assert memory.get("after the kill") == "text"


def test_others_wait_for_the_one_that_is_alone():
    def holds(taken):
        with shared.alone("slow"), shared.alone("slow"):
            taken.set()
            time.sleep(0.5)

    taken = FORK.Event()
    process = FORK.Process(target=holds, args=(taken,))
    process.start()
    assert taken.wait(10)
    with shared.alone("another name"):
        pass
    start = time.monotonic()
    with shared.alone("slow"):
        assert time.monotonic() - start > 0.2
    process.join()
    assert process.exitcode == 0


def test_the_rate_holds_for_all_processes_together():
    def work():
        for _turn in range(4):
            shared.take_turn()

    start = time.monotonic()
    processes = [FORK.Process(target=work) for _number in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert time.monotonic() - start > 1.0, "twenty turns, of which each second has nine"


def test_a_digest_is_the_same_in_all_tasks_and_hides_the_text():
    def work(queue):
        queue.put(shared.mark("text"))

    queue = FORK.SimpleQueue()
    process = FORK.Process(target=work, args=(queue,))
    process.start()
    process.join()
    assert queue.get() == shared.mark("text") != shared.mark("other")
    assert shared.mark("text") != shared.hashlib.sha256(b"text").hexdigest()


def run(code, limit=""):
    """Run Python in a process of its own, with a limit of `ulimit`."""
    done = subprocess.run(
        ["sh", "-c", f'{limit}exec "$0" -c "$1"', sys.executable, code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ROOM = "ansible_collections.crdb.onboard.plugins.plugin_utils"


def test_little_address_space_is_mapped():
    """256 MiB, which were mapped once, do not fit into this limit beside Python and Ansible."""
    base = int(
        run(
            "import ansible.constants, cryptography.x509, requests\n"
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmPeak')))"
        )
    )
    code = (
        f"import cryptography.x509, requests\nfrom {ROOM}._run import canary, reports, rollout, shared\n"
        f"from {ROOM}._inventory import answers\nshared.put('a', 1)\nprint(shared.get('a'))"
    )
    assert run(code, f"ulimit -v {base + 48 * 1024}; ") == "1"


def test_nothing_is_left_after_a_run():
    code = (
        f"from {ROOM}._run import shared\nshared.put('a', 1)\nshared.take_turn()\n"
        "with shared.alone('b'): print(shared.folder())"
    )
    folder = Path(run(code))
    assert folder.name == "crdb-onboard-run"
    assert not folder.parent.exists()


def test_only_the_user_can_read_the_files():
    shared.put("mode", 1)
    assert shared.folder().stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in shared.folder().iterdir())
