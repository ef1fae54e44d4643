# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes that wait to be confirmed: confirmed, taken back, overtaken, and killed at every point."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files.generation import Generation
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError, PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.plan import plan, plan_undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.transaction import Transaction

from tests.killed import ends_before
from tests.unit.plugins.module_utils.test_files import tree


def wanted(home, value, apps=("shop",)):
    """The files of an app, and a CA file that all apps share."""
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(value.encode()).decode()}\n-----END CERTIFICATE-----\n"
    files = [PlannedFile(f"{home}/root.crt", pem.encode(), 0o644, "pem", apps=tuple(apps), purpose="ca")]
    for app in apps:
        content = f"DATABASE_URL='{value}'\n".encode()
        files += [
            PlannedFile(f"{home}/{app}/.env", content, 0o600, "dotenv", secret=True, apps=(app,), purpose="config"),
            PlannedFile(f"{home}/{app}/sub/config", value.encode() * 50, 0o644, apps=(app,), purpose="config"),
        ]
    return files


def write(home, value, run, apps=("shop",), unconfirmed=None):
    """One run: write, and keep what was there; the actions, or the refusals."""
    record = Record(f"{home}/state")
    try:
        decisions, refusals = plan(wanted(home, value, apps), record, False)
        if refusals:
            return refusals
        transaction = Transaction(decisions, record, run, apps if unconfirmed is None else unconfirmed)
        transaction.stage()
        transaction.commit()
        transaction.finish()
        return {decision.action for decision in decisions}
    finally:
        record.close()


def waiting(home):
    """The apps that wait, with the run whose change it is."""
    return Generation(f"{home}/state").apps


def confirm(home, apps=("shop",)):
    """Confirm the change of these apps."""
    record = Record(f"{home}/state")
    record.generation.forget(apps)
    record.close()


def restore(home, apps=("shop",)):
    """Take the change of these apps back: what became of each file, by its name."""
    record = Record(f"{home}/state")
    try:
        return {Path(r["path"]).name: r["action"] for r in record.generation.restore(apps, record)}
    finally:
        record.close()


def confirmed(home, value, apps=("shop",)):
    """Write and confirm."""
    write(home, value, "first", apps)
    confirm(home, apps)
    assert waiting(home) == {}
    return tree(Path(home))


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path):
    write(tmp_path, "one", "", unconfirmed=())
    assert not (tmp_path / "state" / "unconfirmed.json").exists()


def test_confirmed_and_nothing_of_the_old_is_left(tmp_path):
    confirmed(tmp_path, "one")
    write(tmp_path, "two", "run")
    kept = tmp_path / "state" / "unconfirmed.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert waiting(tmp_path) == {"shop": "run"}
    confirm(tmp_path)
    assert not kept.exists()
    assert restore(tmp_path) == {}
    assert (tmp_path / "shop/.env").read_text() == "DATABASE_URL='two'\n"


@pytest.mark.parametrize("first", [False, True], ids=["nothing there", "a version there"])
def test_taken_back_byte_for_byte_with_the_record(tmp_path, first):
    if first:
        before = confirmed(tmp_path, "one")
    else:
        (tmp_path / "shop").mkdir()
        (tmp_path / "shop" / ".env").write_bytes(b"A=1\r\nlast=without")
        (tmp_path / "shop" / ".env").chmod(0o640)
        before = tree(tmp_path)
    write(tmp_path, "two", "run")
    assert tree(tmp_path) != before
    actions = restore(tmp_path)
    assert set(actions.values()) == ({"restored"} if first else {"restored", "removed"})
    # What is taken back last is what the others name.
    assert list(actions)[-1] == "root.crt"
    assert tree(tmp_path) == before
    assert write(tmp_path, "two", "again") <= {"changed", "created"}


def test_a_mode_is_taken_back(tmp_path):
    confirmed(tmp_path, "one")
    config = tmp_path / "shop/sub/config"
    config.chmod(0o600)
    assert write(tmp_path, "one", "run") == {"ok", "mode"}
    restore(tmp_path)
    assert config.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_run_left_is_taken_over_and_goes_back_to_the_last_confirmed(tmp_path):
    before = confirmed(tmp_path, "one")
    write(tmp_path, "two", "killed")
    assert write(tmp_path, "two", "next") == {"ok"}
    assert waiting(tmp_path) == {"shop": "next"}
    write(tmp_path, "three", "last")
    assert waiting(tmp_path) == {"shop": "last"}
    restore(tmp_path)
    assert tree(tmp_path) == before


def test_an_app_that_lost_its_commands_waits_for_nothing(tmp_path):
    confirmed(tmp_path, "one")
    write(tmp_path, "two", "killed")
    record = Record(f"{tmp_path}/state")
    record.generation.forget({"shop"})
    record.close()
    assert waiting(tmp_path) == {}


def test_a_file_that_somebody_changed_meanwhile_stays(tmp_path):
    confirmed(tmp_path, "one")
    write(tmp_path, "two", "run")
    (tmp_path / "shop/sub/config").write_text("by hand")
    assert restore(tmp_path)["config"] == "kept"
    assert (tmp_path / "shop/sub/config").read_text() == "by hand"
    assert (tmp_path / "shop/.env").read_text() == "DATABASE_URL='one'\n"


def test_a_file_that_another_app_needs_stays(tmp_path):
    both = ("shop", "reports")
    confirmed(tmp_path, "one", both)
    new_ca = wanted(tmp_path, "two", both)[0].content
    write(tmp_path, "two", "run", both)
    confirm(tmp_path, ["shop"])
    assert set(restore(tmp_path, ["reports"])) == {".env", "config"}
    assert (tmp_path / "shop/.env").read_text() == "DATABASE_URL='two'\n"
    assert (tmp_path / "reports/.env").read_text() == "DATABASE_URL='one'\n"
    assert (tmp_path / "root.crt").read_bytes() == new_ca
    assert waiting(tmp_path) == {}
    assert not (tmp_path / "state" / "unconfirmed.json").exists()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "real").write_text("A=1\n")
    (tmp_path / "shop" / ".env").symlink_to("../real")
    before = tree(tmp_path)
    write(tmp_path, "two", "run")
    restore(tmp_path)
    assert tree(tmp_path) == before


def test_taking_away_lets_go_what_was_kept(tmp_path):
    confirmed(tmp_path, "one")
    write(tmp_path, "two", "killed")
    record = Record(f"{tmp_path}/state")
    for purpose in ("config", "ca"):
        decisions, refusals = plan_undo(record, purpose, None, False)
        assert refusals == []
        transaction = Transaction(decisions, record)
        transaction.stage()
        transaction.commit()
        transaction.finish()
    record.generation.forget(None)
    record.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_and_cannot_be_read_is_named(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "unconfirmed.json").write_text("[]")
    with pytest.raises(FileRefusedError, match=r"unconfirmed\.json: what was replaced"):
        Record(f"{tmp_path}/state")


def test_a_failed_write_keeps_what_was_kept(tmp_path, monkeypatch):
    confirmed(tmp_path, "one")
    write(tmp_path, "two", "killed")
    kept = (tmp_path / "state" / "unconfirmed.json").read_bytes()
    record = Record(f"{tmp_path}/state")
    decisions, _refusals = plan(wanted(tmp_path, "three"), record, False)
    transaction = Transaction(decisions, record, "next", ("shop",))
    transaction.stage()
    transaction.rollback()
    record.close()
    assert json.loads((tmp_path / "state" / "unconfirmed.json").read_text()) == json.loads(kept)


STEPS = {
    "written": "write({home!r}, 'two', 'killed')",
    "taken back": "restore({home!r})",
    "confirmed": "confirm({home!r})",
}


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_point(tmp_path, step):
    """Whole files only; what is taken back (at every other point) is whole, and a plain run converges."""
    home = str(tmp_path)
    versions = {Path(w.path): [] for w in wanted(home, "one")}
    for value in ("one", "two"):
        for w in wanted(home, value):
            versions[Path(w.path)].append(w.content)
    point, ended = 1, False
    while not ended:
        before = confirmed(home, "one")
        if step != "written":
            write(home, "two", "run")
        ended = ends_before(point, "tests.unit.plugins.module_utils.test_generation", STEPS[step].format(home=home))
        assert all(path.read_bytes() in contents for path, contents in versions.items())
        if point % 2 and waiting(home):
            restore(home)
            assert tree(tmp_path) == before
        result = write(home, "two", "plain")
        assert isinstance(result, set), result
        confirm(home)
        assert {path.read_bytes() for path in versions} == {contents[1] for contents in versions.values()}
        assert write(home, "two", "again") == {"ok"}
        assert waiting(home) == {}
        assert [p for p in tmp_path.rglob("*") if p.name.startswith(".crdb") or p.name == "unconfirmed.json"] == []
        point += 1
    assert point > 2


def test_the_counted_calls_are_the_ones_that_change_the_file_system():
    assert all(
        hasattr(os, name) for name in ("replace", "fsync", "mkdir", "chmod", "fchmod", "unlink", "rmdir", "open")
    )
