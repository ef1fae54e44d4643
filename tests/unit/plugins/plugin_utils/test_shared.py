# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of one run tell each other, over the processes that Ansible forks."""

from __future__ import annotations

import multiprocessing

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

FORK = multiprocessing.get_context("fork")


def test_the_newest_value_of_each_of_many_keys():
    """More keys than buckets, so that some share one."""
    for turn in range(2):
        for number in range(6000):
            _shared.put(f"many {number}", {"turn": turn, "number": number})
    assert all(_shared.get(f"many {number}") == {"turn": 1, "number": number} for number in range(6000))
    assert _shared.get("many") is None


def test_what_processes_put_at_once_is_all_there():
    def work(number):
        for turn in range(200):
            _shared.put(f"process {number}", turn)
            _shared.put(f"process {number} {turn}", "é" * turn)

    processes = [FORK.Process(target=work, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert [_shared.get(f"process {number}") for number in range(4)] == [199] * 4
    assert all(_shared.get(f"process {number} {turn}") == "é" * turn for number in range(4) for turn in range(200))


def test_too_much_is_refused_and_the_rest_stays(monkeypatch):
    _shared.put("small", 1)
    monkeypatch.setattr(_shared, "_SIZE", _shared._offset(0) + 100)
    with pytest.raises(OnboardingError, match="too much to remember for one run"):
        _shared.put("large", "x" * 200)
    assert _shared.get("large") is None
    assert _shared.get("small") == 1


def test_work_is_done_by_the_first_of_all_processes(tmp_path):
    def work(number):
        _shared.once("only once", lambda: (tmp_path / str(number)).write_text("done"))

    processes = [FORK.Process(target=work, args=(number,)) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(list(tmp_path.iterdir())) == 1
