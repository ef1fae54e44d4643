# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a difference shows, keys that stand twice, what a file has beside its bytes, and what is left at the end."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files import transaction as _transaction
from ansible_collections.crdb.onboard.plugins.module_utils._files.diff import diff
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.plan import plan, plan_undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.transaction import Transaction

from tests.unit.plugins.module_utils.test_files import env, remove, run, tree, whole


def shown(home, files, *, force=False):
    """The difference of the only planned file."""
    record = Record(f"{home}/state")
    try:
        decisions, refusals = plan(files, record, force)
        assert refusals == []
        return diff(decisions[0], [])
    finally:
        record.close()


class TestDifference:
    def test_ours_without_a_secret_is_shown(self, tmp_path):
        run(tmp_path, [whole(tmp_path / "x.py", "one\n")])
        found = shown(tmp_path, [whole(tmp_path / "x.py", "two\n")])
        assert (found["before"], found["after"]) == ("one\n", "two\n")

    def test_of_a_secret_file_nothing_is_shown(self, tmp_path):
        wanted = whole(tmp_path / "x.py", "PASSWORD = 'new'\n")._replace(mode=0o600, secret=True)
        found = shown(tmp_path, [wanted])
        assert found["before"] == ""
        assert found["after"] == "(1 line, 17 bytes; not shown, may hold a secret)\n"

    def test_what_held_a_secret_before_is_not_shown_either(self, tmp_path):
        before = whole(tmp_path / "x.py", "a\nPASSWORD = 'e4rlier'\n")._replace(mode=0o600, secret=True)
        run(tmp_path, [before])
        found = shown(tmp_path, [whole(tmp_path / "x.py", "a\nno password\n")])
        assert "e4rlier" not in found["before"] + found["after"]
        assert "(changes: line 2)" in found["after"]

    def test_of_a_file_of_others_nothing_is_shown(self, tmp_path):
        (tmp_path / "x.py").write_text("theirs\n")
        found = shown(tmp_path, [whole(tmp_path / "x.py", "ours\n")], force=True)
        assert "theirs" not in found["before"] + found["after"]
        assert "not shown" in found["before"]

    def test_a_hand_edit_is_named_by_its_lines(self, tmp_path):
        run(tmp_path, [whole(tmp_path / "x.py", "a\nb\nc\n")])
        (tmp_path / "x.py").write_text("a\ntyped\nc\nd\n")
        found = shown(tmp_path, [whole(tmp_path / "x.py", "a\nb\nc\n")])
        assert "typed" not in found["before"] + found["after"]
        assert "(changes: line 2, line 4)" in found["after"]

    def test_keys_that_change_are_named(self, tmp_path):
        (tmp_path / ".env").write_text("OTHERS=theirs\n")
        run(tmp_path, [env(tmp_path / ".env", "one")])
        found = shown(tmp_path, [env(tmp_path / ".env", "two")])
        assert found["before"] == "DATABASE_URL=********\n"
        assert found["after"] == "DATABASE_URL=******** (new value)\n"

    def test_what_is_taken_away_is_not_shown(self, tmp_path):
        run(tmp_path, [env(tmp_path / ".env", "one"), whole(tmp_path / "x.py", "one\n")])
        record = Record(f"{tmp_path}/state")
        decisions, _refusals = plan_undo(record, "config", None, False)
        record.close()
        for decision in decisions:
            found = diff(decision, [])
            assert "one" not in found["before"] + found["after"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("other", ["DATABASE_URL=theirs\n", "DATABASE_URL=second\n", "export DATABASE_URL=theirs\n"])
def test_a_key_that_stands_twice_is_refused_before_the_first_write(tmp_path, force, other):
    path = tmp_path / ".env"
    path.write_text(f"DATABASE_URL=theirs\n{other}")
    before = tree(tmp_path)
    (refusal,) = run(tmp_path, [env(path, "one")], force=force)
    assert "DATABASE_URL more than once" in refusal
    assert tree(tmp_path) == before


def test_a_line_of_a_pgpass_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / ".pgpass"
    path.write_text("h:1:d:u:a\nh:1:d:u:a\n")
    wanted = PlannedFile(str(path), b"h:1:d:u:ours\n", 0o600, "pgpass", secret=True, apps=("one",), purpose="config")
    (refusal,) = run(tmp_path, [wanted], force=True)
    assert "h:1:d:u more than once" in refusal


def test_ours_that_somebody_doubled_is_taken_away_whole(tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    run(tmp_path, [env(path, "one")])
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[-1])
    assert remove(tmp_path) == {".env": "restored"}
    assert path.read_text() == "A=1\n"


def test_a_hard_link_is_refused(tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    os.link(path, tmp_path / "second")
    (refusal,) = run(tmp_path, [env(path, "one")])
    assert "has 2 names (hard links)" in refusal
    assert path.read_text() == "A=1\n"


@pytest.fixture
def attributed(tmp_path):
    """A file of a person with an extended attribute, on a file system that has them."""
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    try:
        os.setxattr(path, "user.origin", b"theirs")
    except (OSError, AttributeError):
        pytest.skip("this file system has no extended attributes: run the tests on ext4, xfs or a newer tmpfs")
    return path


def test_extended_attributes_survive(attributed, tmp_path):
    run(tmp_path, [env(attributed, "one")])
    assert os.getxattr(attributed, "user.origin") == b"theirs"
    assert remove(tmp_path) == {".env": "restored"}
    assert os.getxattr(attributed, "user.origin") == b"theirs"


def test_an_access_control_list_survives_but_lets_nobody_read_a_secret(attributed, tmp_path):
    if not shutil.which("setfacl"):
        pytest.skip("setfacl is missing: apt-get install acl")
    if subprocess.run(["setfacl", "-m", "u:65534:r", attributed], check=False).returncode != 0:
        pytest.skip("this file system has no access control lists: run the tests on ext4 or xfs")
    before = os.getxattr(attributed, "system.posix_acl_access")
    plain = PlannedFile(str(attributed), b"B='2'\n", 0o600, "dotenv", apps=("app",), purpose="config")
    run(tmp_path, [plain])
    assert os.getxattr(attributed, "system.posix_acl_access") == before
    run(tmp_path, [env(attributed, "one")])
    listed = subprocess.run(["getfacl", "-c", attributed], capture_output=True, text=True, check=True).stdout
    assert "mask::---" in listed
    assert "#effective:---" in listed


def test_an_attribute_that_cannot_be_kept_refuses_the_write(attributed, tmp_path, monkeypatch):
    def refused(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setxattr", refused)
    before = tree(tmp_path)
    with pytest.raises(OSError, match=r"attribute user\.origin cannot be kept"):
        run(tmp_path, [env(attributed, "one")])
    assert {name: found for name, found in tree(tmp_path).items() if not name.startswith("state")} == before


def test_the_last_of_two_apps_takes_the_folders_away(tmp_path):
    folder = tmp_path / "srv" / "shared"
    run(tmp_path, [whole(folder / "one.py", "1")._replace(apps=("one",))])
    run(tmp_path, [whole(folder / "two.py", "2")._replace(apps=("two",))])
    remove(tmp_path, apps=["one"])
    assert folder.exists()
    remove(tmp_path, apps=["two"])
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_restored_is_named_and_its_copy_kept(tmp_path, monkeypatch):
    path = tmp_path / "x.py"
    path.write_text("theirs")
    record = Record(f"{tmp_path}/state")
    decisions, _refusals = plan([whole(path, "ours"), whole(tmp_path / "y.py", "ours")], record, True)
    transaction = Transaction(decisions, record)
    transaction.stage()
    (tmp_path / "y.py").mkdir()
    with pytest.raises(OSError, match=r"y\.py"):
        transaction.commit()

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_transaction, "write", full)
    assert transaction.rollback() == [str(path)]
    record.close()
    (copy,) = tmp_path.glob("x.py.*.bak")
    assert copy.read_text() == "theirs"
