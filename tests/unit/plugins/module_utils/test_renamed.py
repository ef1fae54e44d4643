# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apps that have another name now, and what goes from a file that others share."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.plan import plan, plan_undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.renamed import rename_apps
from ansible_collections.crdb.onboard.plugins.module_utils._files.transaction import Transaction


def files(home, folder, app, service):
    """The files of an app in a folder, and its section of the shared file."""
    section = f"[{service}]\nhost=db.example.com\n".encode()
    return [
        PlannedFile(f"{home}/{folder}/.env", b"DATABASE_URL='x'\n", 0o600, "dotenv", apps=(app,), purpose="config"),
        PlannedFile(f"{home}/.pg_service.conf", section, 0o600, "service", apps=(app,), purpose="config"),
    ]


def write(home, planned, renamed=()):
    """One run of the writer: the decisions by the end of the path."""
    record = Record(f"{home}/state")
    try:
        changed = rename_apps(record, renamed, planned)
        decisions, refusals = plan(planned, record, force=False)
        assert refusals == []
        transaction = Transaction(decisions, record)
        transaction.stage()
        transaction.commit()
        transaction.finish()
        if changed:
            record.save()
        return {decision.path.rsplit("/", 1)[1]: decision for decision in decisions}
    finally:
        record.close()


def undo(home, app, renamed=()):
    """Take away what is recorded for an app: the paths that change."""
    record = Record(f"{home}/state")
    try:
        rename_apps(record, renamed, [])
        decisions, _refusals = plan_undo(record, "config", [app], force=False)
        return {decision.path.removeprefix(f"{home}/") for decision in decisions if decision.changed}
    finally:
        record.close()


@pytest.fixture
def home(tmp_path):
    for name in ("shop", "reports"):
        (tmp_path / name).mkdir()
    return str(tmp_path)


def former(home, name):
    return [{"old": "app", "new": name, "folder": f"{home}/{name}"}]


def test_the_only_folder_of_the_former_name_takes_all_of_it(home):
    write(home, files(home, "shop", "app", "shop"))
    assert undo(home, "shop") == set()
    assert undo(home, "shop", former(home, "shop")) == {"shop/.env", ".pg_service.conf"}


def test_another_folder_of_the_former_name_keeps_its_own(home):
    write(home, files(home, "shop", "app", "shop"))
    write(home, files(home, "reports", "app", "reports"))
    # The second run had dropped the section of the first, as earlier releases did.
    assert undo(home, "shop", former(home, "shop")) == {"shop/.env"}
    decisions = write(home, files(home, "shop", "shop", "shop"), former(home, "shop"))
    assert decisions[".pg_service.conf"].removes == ()
    assert undo(home, "shop", former(home, "shop")) == {"shop/.env", ".pg_service.conf"}
    assert undo(home, "reports", former(home, "reports")) == {"reports/.env", ".pg_service.conf"}


def test_a_key_that_is_planned_is_taken_over_from_the_former_name(home):
    write(home, files(home, "reports", "app", "reports"))
    write(home, files(home, "shop", "app", "shop"))
    decisions = write(home, files(home, "shop", "shop", "shop"), former(home, "shop"))
    assert (decisions[".env"].removes, decisions[".pg_service.conf"].removes) == ((), ())
    assert undo(home, "shop") == {"shop/.env", ".pg_service.conf"}
    assert undo(home, "app") == {"reports/.env"}


def test_what_is_no_longer_planned_is_named(home):
    write(home, files(home, "shop", "shop", "first"))
    decisions = write(home, files(home, "shop", "shop", "second"))
    assert decisions[".pg_service.conf"].removes == ("first",)
    assert decisions[".env"].removes == ()
