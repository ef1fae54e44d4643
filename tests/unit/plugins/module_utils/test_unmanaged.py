# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What left the inventory: which files it is, that they go as they do in offboarding, and come back in a rollback."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.plan import plan, plan_undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.transaction import Transaction
from ansible_collections.crdb.onboard.plugins.module_utils._files.unmanaged import Scope, planned_apps, unmanaged

PURPOSE = "app_config"


def env(path, app="shop", value="one"):
    content = f"DATABASE_URL='{value}'\n".encode()
    return PlannedFile(str(path), content, 0o600, "dotenv", secret=True, apps=(app,), purpose=PURPOSE)


def whole(path, app="shop"):
    return PlannedFile(str(path), b"ours\n", 0o644, apps=(app,), purpose=PURPOSE)


def service(path, app="shop"):
    content = f"[{app}]\nhost=db\n".encode()
    return PlannedFile(str(path), content, 0o600, "service", apps=(app,), purpose=PURPOSE)


@pytest.fixture
def run(tmp_path):
    """One run of the writer; what was not managed before it."""

    def run(files, *, apps=("shop",), complete=True, prune=False, confirm=()):
        record = Record(str(tmp_path / "state"))
        try:
            left = unmanaged(planned_apps(files), record, Scope(frozenset(apps), frozenset({PURPOSE}), complete))
            decisions, refusals = plan(files, record, False, left if prune else None)
            assert refusals == []
            transaction = Transaction(decisions, record, "run", confirm)
            transaction.stage()
            transaction.commit()
            transaction.finish()
            return left
        finally:
            record.close()

    return run


def test_a_framework_and_an_app_that_left(run, tmp_path):
    kept, gone, other, shared = (tmp_path / name for name in ("a/.env", "a/x.py", "b/.env", "service"))
    shared.write_text("[theirs]\nport=1\n")
    run([env(kept), whole(gone), env(other, "old"), service(shared), service(shared, "old")], apps=("shop", "old"))
    now = [env(kept), service(shared)]
    expected = {str(gone): ("shop",), str(other): ("old",), str(shared): ("old",)}
    assert run(now) == expected
    assert run(now, complete=False) == {str(gone): ("shop",)}
    assert gone.exists()
    assert run(now, prune=True) == expected
    assert not gone.exists()
    assert not other.parent.exists()
    assert kept.exists()
    assert shared.read_text() == "[theirs]\nport=1\n[shop]\nhost=db\n"
    assert run(now, prune=True) == {}


def test_what_somebody_changed_stays_and_is_forgotten(run, tmp_path):
    path = tmp_path / "a" / "x.py"
    run([env(tmp_path / "a/.env"), whole(path)])
    path.write_text("mine now\n")
    run([env(tmp_path / "a/.env")], prune=True)
    assert path.read_text() == "mine now\n"
    assert run([env(tmp_path / "a/.env")]) == {}


def test_what_somebody_removed_is_not_named(run, tmp_path):
    path = tmp_path / "a" / "x.py"
    run([env(tmp_path / "a/.env"), whole(path)])
    path.unlink()
    assert run([env(tmp_path / "a/.env")]) == {}


def test_what_was_pruned_comes_back_when_the_app_does_not_work_without_it(run, tmp_path):
    path = tmp_path / "a" / "config" / "x.py"
    run([env(tmp_path / "a/.env"), whole(path)])
    run([env(tmp_path / "a/.env", value="two")], prune=True, confirm=("shop",))
    assert not path.exists()
    record = Record(str(tmp_path / "state"))
    try:
        record.generation.restore(["shop"], record)
    finally:
        record.close()
    assert path.read_text() == "ours\n"
    assert "'one'" in (tmp_path / "a/.env").read_text()
    assert run([env(tmp_path / "a/.env")]) == {str(path): ("shop",)}


def test_of_an_app_without_a_name_only_its_folder_goes(run, tmp_path):
    """And what it has elsewhere with the last of its folders."""
    here, there, shared = tmp_path / "a/shop/.env", tmp_path / "b/shop/.env", tmp_path / "service"
    run([env(here), env(there), service(shared)])
    for folder, expected in ((here.parent, {str(here)}), (there.parent, {str(there), str(shared)})):
        record = Record(str(tmp_path / "state"))
        try:
            decisions, refusals = plan_undo(record, PURPOSE, ["shop"], False, {"shop": str(folder)})
            assert refusals == []
            assert {decision.path for decision in decisions} == expected
            transaction = Transaction(decisions, record)
            transaction.stage()
            transaction.commit()
            transaction.finish()
        finally:
            record.close()
    assert not shared.exists()
