# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates and their keys change together: by one link, whenever the run is killed, and back again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files import keys
from ansible_collections.crdb.onboard.plugins.module_utils._files.diff import diff
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError, PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.plan import plan, plan_undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.transaction import Transaction

from tests.killed import ends_before
from tests.unit.plugins.module_utils.test_files import tree

MARK = "PRIVATE-KEY-"


def pair(home, name):
    """The files of a pair, and the links to it, in the order in which they are put in place."""
    certs = f"{home}/certs"
    common = {"apps": ("shop",), "purpose": "client_cert"}
    files = [
        PlannedFile(f"{certs}/.client.shop/{name}/client.shop.crt", name.encode(), 0o644, **common),
        PlannedFile(
            f"{certs}/.client.shop/{name}/client.shop.key",
            f"{MARK}{name}".encode(),
            0o600,
            secret=True,
            private=True,
            **common,
        ),
        PlannedFile(f"{certs}/.client.shop/current", name.encode(), 0o600, "link", **common),
    ]
    for end in ("crt", "key"):
        target = f".client.shop/current/client.shop.{end}".encode()
        files.append(PlannedFile(f"{certs}/client.shop.{end}", target, 0o600, "link", **common))
    return files


def issue(home, name, run="", pruned=None):
    """Put a pair in place, as one run does: the actions by path, or the refusals."""
    record = Record(f"{home}/state")
    try:
        decisions, refusals = plan(pair(home, name), record, False, pruned)
        if refusals:
            return refusals
        transaction = Transaction(decisions, record, run, ["shop"] if run else ())
        transaction.stage()
        transaction.commit()
        transaction.finish()
        return {decision.path.rpartition("certs/")[2]: decision.action for decision in decisions}
    finally:
        record.close()


def in_use(home):
    """The pair that programs meet: what they read as certificate and as key."""
    folder = Path(home, "certs")
    return (folder / "client.shop.crt").read_text(), (folder / "client.shop.key").read_text()


def test_a_renewal_changes_one_link(tmp_path):
    assert set(issue(tmp_path, "one").values()) == {"created"}
    assert in_use(tmp_path) == ("one", f"{MARK}one")
    assert (tmp_path / "certs/client.shop.key").is_symlink()
    actions = issue(tmp_path, "two")
    assert {path: action for path, action in actions.items() if action != "created"} == {
        ".client.shop/current": "changed",
        "client.shop.crt": "ok",
        "client.shop.key": "ok",
    }
    assert in_use(tmp_path) == ("two", f"{MARK}two")
    # The earlier pair is still whole, for a program that is between its two files.
    assert (tmp_path / "certs/.client.shop/one/client.shop.key").read_text() == f"{MARK}one"


def test_the_same_again_changes_nothing(tmp_path):
    issue(tmp_path, "one")
    before = tree(tmp_path)
    assert set(issue(tmp_path, "one").values()) == {"ok"}
    assert tree(tmp_path) == before


def test_what_others_put_in_the_place_of_a_link_is_refused(tmp_path):
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/client.shop.key").write_text("theirs")
    before = tree(tmp_path / "certs")
    (refusal,) = issue(tmp_path, "one")
    assert "certs/client.shop.key: something that crdb.onboard did not write is in the place" in refusal
    assert tree(tmp_path / "certs") == before
    (tmp_path / "certs/client.shop.key").unlink()
    (tmp_path / "certs/client.shop.key").symlink_to("elsewhere")
    (refusal,) = issue(tmp_path, "one")
    assert "was not written by crdb.onboard" in refusal


def test_taken_back_when_the_app_does_not_work_with_it(tmp_path):
    issue(tmp_path, "one")
    issue(tmp_path, "two", run="run")
    kept = (tmp_path / "state/unconfirmed.json").read_text()
    record = Record(f"{tmp_path}/state")
    actions = {Path(r["path"]).name: r["action"] for r in record.generation.restore(["shop"], record)}
    record.close()
    assert actions == {"current": "restored", "client.shop.key": "removed", "client.shop.crt": "removed"}
    assert in_use(tmp_path) == ("one", f"{MARK}one")
    assert sorted(path.name for path in (tmp_path / "certs/.client.shop").iterdir()) == ["current", "one"]
    assert MARK not in kept


def test_a_retired_key_is_nowhere_else(tmp_path):
    issue(tmp_path, "one")
    old = {f"{tmp_path}/certs/.client.shop/one/client.shop.{end}": ("shop",) for end in ("crt", "key")}
    issue(tmp_path, "two", run="run", pruned=old)
    assert not (tmp_path / "certs/.client.shop/one").exists()
    state = "".join(path.read_text() for path in (tmp_path / "state").iterdir())
    assert '"apps"' in state
    assert MARK not in state
    # base64 of the mark, wherever it begins
    assert not any(text in state for text in ("UFJJVkFURS1LRVkt", "BSSVZBVEUtS0VZL", "QUklWQVRFLUtFWS"))


def test_all_is_taken_away_byte_for_byte(tmp_path):
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/ca.crt").write_text("theirs")
    before = tree(tmp_path)
    issue(tmp_path, "one")
    issue(tmp_path, "two")
    record = Record(f"{tmp_path}/state")
    decisions, refusals = plan_undo(record, "client_cert", ["shop"], False)
    assert refusals == []
    transaction = Transaction(decisions, record)
    for step in (transaction.stage, transaction.commit, transaction.finish, record.close):
        step()
    assert tree(tmp_path) == before


def test_a_file_of_others_in_place_of_a_link_stays_and_the_rest_goes(tmp_path):
    issue(tmp_path, "one")
    theirs = tmp_path / "certs/client.shop.crt"
    theirs.unlink()
    theirs.write_text("theirs")
    record = Record(f"{tmp_path}/state")
    decisions, refusals = plan_undo(record, "client_cert", ["shop"], False)
    assert refusals == []
    assert [decision.path for decision in decisions if decision.action == "kept"] == [str(theirs)]
    transaction = Transaction(decisions, record)
    for step in (transaction.stage, transaction.commit, transaction.finish, record.close):
        step()
    left = [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))]
    assert left == ["certs", "certs/client.shop.crt"]
    assert theirs.read_text() == "theirs"


def test_a_difference_says_where_a_link_leads_and_shows_no_key(tmp_path):
    issue(tmp_path, "one")
    record = Record(f"{tmp_path}/state", write=False)
    decisions, _refusals = plan(pair(tmp_path, "two"), record, False)
    shown = [diff(decision, []) for decision in decisions if decision.changed]
    assert MARK not in json.dumps(shown)
    assert ("leads to one\n", "leads to two\n") in [(each["before"], each["after"]) for each in shown]


@pytest.mark.parametrize("first", [False, True], ids=["first", "renewal"])
def test_killed_at_any_point_a_key_and_its_certificate_match(tmp_path, first):
    """The pair is the old one or the new one, whole, and the next run finishes."""
    statement = "issue({home!r}, 'two')"
    seen = set()
    for point in range(1, 200):
        home = tmp_path / str(point)
        home.mkdir()
        if first:
            issue(home, "one")
        ended = ends_before(point, "tests.unit.plugins.module_utils.test_links", statement.format(home=str(home)))
        links = [(home / "certs" / f"client.shop.{end}").exists() for end in ("crt", "key")]
        if first:
            assert all(links), point
        if all(links):
            certificate, key = in_use(home)
            assert key == f"{MARK}{certificate}", point
            seen.add(certificate)
        issue(home, "two")
        assert in_use(home) == ("two", f"{MARK}two"), point
        assert list((home / "certs").rglob(".crdb*")) == []
        if ended:
            break
    assert ended
    assert point > 10
    assert seen == ({"one", "two"} if first else {"two"})


def retire(home, name):
    """The run after one that was killed: what that one began is taken away."""
    paths = [f"{home}/certs/.client.shop/{name}/client.shop.{end}" for end in ("crt", "key")]
    record = Record(f"{home}/state")
    decisions, refusals = plan([], record, False, {path: ("shop",) for path in paths if path in record.files})
    assert refusals == []
    transaction = Transaction(decisions, record)
    for step in (transaction.stage, transaction.commit, transaction.finish, record.close):
        step()


def test_what_a_killed_run_began_goes_whenever_the_next_one_is_killed(tmp_path):
    for point in range(1, 100):
        home = tmp_path / str(point)
        home.mkdir()
        issue(home, "one")
        # Once both files of the new pair are staged, and none of them is in its place.
        ends_before(14, "tests.unit.plugins.module_utils.test_links", f"issue({str(home)!r}, 'two')")
        assert list((home / "certs/.client.shop/two").glob(".crdb-onboard*"))
        ended = ends_before(point, "tests.unit.plugins.module_utils.test_links", f"retire({str(home)!r}, 'two')")
        retire(home, "two")
        assert not (home / "certs/.client.shop/two").exists(), point
        assert in_use(home) == ("one", f"{MARK}one")
        if ended:
            break
    assert ended
    assert point > 3


def test_a_key_that_waits_is_used_once(tmp_path):
    folder = tmp_path / "state" / "keys"
    folder.mkdir(parents=True, mode=0o700)
    name = "0" * 32
    (folder / name).write_bytes(b"key")
    (folder / name).chmod(0o600)
    file = PlannedFile(f"{tmp_path}/client.shop.key", b"", 0o600, private=True, pending=name)
    assert keys.with_content(file, f"{tmp_path}/state").content == b"key"
    (folder / name).chmod(0o640)
    with pytest.raises(FileRefusedError, match="is gone"):
        keys.with_content(file, f"{tmp_path}/state")
    keys.remove(f"{tmp_path}/state", [name])
    assert not folder.exists()


@pytest.mark.parametrize("name", ["../files.json", "0" * 31, "0" * 32 + ".txt", "/etc/shadow"])
def test_no_other_file_is_taken_for_a_key(tmp_path, name):
    with pytest.raises(FileRefusedError, match="is gone"):
        keys.with_content(PlannedFile("/x.key", b"", 0o600, pending=name), str(tmp_path))
