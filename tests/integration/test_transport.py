# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How modules reach a host: by Ansible's own call, without pipelining, and by a become method that has none."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport.call import ALLOW_SECRETS_IN_FILES, TRANSPORT

from tests.conftest import new_state
from tests.integration.conftest import files_below

# pylint: disable-next=unused-import
from tests.integration.test_onboarding import (  # noqa: F401 - pytest collects them here too, for the other transport
    TestAdHocCheck,
    flat,
    test_secret_files_are_private_and_hold_the_only_password,
    test_two_apps_are_onboarded_and_the_second_run_changes_nothing,
    test_what_is_not_ours_is_refused_all_at_once_and_nothing_is_written,
    two_apps,
    url_of,
)

USER = "nobody"


@pytest.fixture(autouse=True)
def ansibles_own_call(monkeypatch):
    """All tests here use Ansible's own call, unless they remove the variable."""
    monkeypatch.setenv(TRANSPORT, "ansible")


def test_no_program_is_sent(controller, sandbox):
    run = controller.playbook("app_servers", two_apps(sandbox), "-vvv")
    assert run.status == 0, run.output
    assert "as a program of" not in run.output


@pytest.fixture
def su(controller):
    """The controller's home belongs to another user, and its options run as that user by su, without pipelining."""
    if os.geteuid() != 0:
        pytest.skip("su asks everybody but root for a password")
    controller.home = new_state()
    temporary = controller.home / "tmp"
    temporary.mkdir()
    for folder in (controller.home, temporary):
        shutil.chown(folder, USER)
    become = {
        # -m keeps HOME, where Ansible's own folder would be root's; the user has no login shell.
        "ansible_become_flags": "-m -s /bin/sh",
        "ansible_remote_tmp": str(temporary),
        # The checkout, and the Python in it, may be root's alone.
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    yield ["-b", "--become-method", "su", "--become-user", USER, "-e", json.dumps(become)]
    shutil.rmtree(controller.home)


def test_a_password_does_not_go_where_su_leaves_it_in_a_file(controller, sandbox, su, monkeypatch):
    monkeypatch.delenv(TRANSPORT)
    facts = {**two_apps(sandbox), "crdb_hosts": "localhost"}
    refused = controller.playbook("app_servers", facts, *su)
    assert refused.status != 0
    assert f"{ALLOW_SECRETS_IN_FILES}=true" in flat(refused.output), refused.output
    assert not [name for name in files_below(controller.home) if name.endswith(".env")]
    allowed = controller.playbook("app_servers", facts, *su, **{ALLOW_SECRETS_IN_FILES: "true"})
    assert allowed.status == 0, allowed.output
    assert "Passwords are written into temporary files" in flat(allowed.output)
    assert (controller.home / "one" / ".env").owner() == USER
    password = sandbox.connections["funky_skunk"]["password"].encode()
    files = [path for path in controller.home.rglob("*") if path.is_file() and password in path.read_bytes()]
    assert files == [controller.home / "one" / ".env"]
    absent = controller.playbook("offboard", facts, *su)
    assert absent.status == 0, absent.output
    assert not (controller.home / "one" / ".env").exists()


def test_a_check_without_a_password_goes_su(controller, sandbox, su, monkeypatch):
    monkeypatch.delenv(TRANSPORT)
    facts = sandbox.connections["brave_otter"]
    run = controller.run(
        "ansible", "localhost", *su, "-m", "crdb.onboard.check", "-a",
        f"url='{url_of(facts, password=False)}' ca_file={facts['ca_file']}",
    )  # fmt: skip
    assert "password_missing" in run.output, run.output
