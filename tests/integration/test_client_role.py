# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client by its playbooks, from a stand-in for the vendor's server: archives of the real layout, made here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from tests import vendor
from tests.integration.conftest import files_below

OLD, NEW = "v25.4.9", "v25.4.11"
PLAY = "./tests/integration/playbooks/install_client.yml"


@pytest.fixture
def server(tmp_path):
    """The stand-in for the vendor's server."""
    vendor.publish(tmp_path / "archives", OLD, NEW)
    running = vendor.Server(tmp_path / "archives", tmp_path)
    yield running
    running.close()


@pytest.fixture
def variables(server, tmp_path):
    """The client of a series below a scratch prefix."""
    return {
        "crdb_hosts": "localhost",
        "crdb_client_base_url": server.url,
        "crdb_client_ca_file": str(server.ca_file),
        "crdb_client_prefix": str(tmp_path / "prefix"),
    }


def said(prefix):
    """What the client below a prefix says that it is."""
    done = subprocess.run([prefix / "bin" / "cockroach", "version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[2]


def test_check_mode_then_install_then_nothing(controller, server, variables, tmp_path):
    check = controller.playbook(PLAY, variables, "--check", "--diff")
    assert check.status == 0, check.output
    assert check.recap()["changed"] == 1
    assert "+cockroach: v25.4.11" in check.output
    assert server.requests == []
    first = controller.playbook(PLAY, variables)
    assert first.status == 0, first.output
    assert said(tmp_path / "prefix") == NEW
    second = controller.playbook(PLAY, variables)
    assert second.recap()["changed"] == 0, second.output
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"crdb_client_version": "v21.2"}, "the vendor removed the binaries"),
        ({"crdb_client_version": "v25.4.6"}, "runs in the vendor's cloud only"),
    ],
)
def test_what_the_vendor_lacks_is_refused_before_a_host_is_asked(controller, more, message):
    run = controller.playbook(PLAY, {"crdb_hosts": "localhost", **more})
    assert run.status == 2
    assert message in " ".join(run.output.split())


def test_http_and_a_bad_archive_are_refused_and_the_old_version_stays(controller, server, variables, tmp_path):
    assert controller.playbook(PLAY, {**variables, "crdb_client_version": OLD}).status == 0
    before = files_below(tmp_path / "prefix")
    run = controller.playbook(PLAY, {**variables, "crdb_client_base_url": "http://127.0.0.1:1"})
    assert run.status == 2
    assert "over https only" in run.output
    for path in server.folder.glob("*.tgz"):
        path.write_bytes(b"replaced on its way")
    run = controller.playbook(PLAY, variables)
    assert run.status == 2
    assert "Nothing was unpacked" in " ".join(run.output.split())
    assert files_below(tmp_path / "prefix") == before
    assert said(tmp_path / "prefix") == OLD


@pytest.mark.parametrize("source", ["download", pytest.param("folder", marks=pytest.mark.thorough)])
def test_one_download_for_a_fleet(controller, server, variables, tmp_path, source):
    hosts = {
        f"host{number}": {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "crdb_client_prefix": str(tmp_path / f"prefix{number}"),
        }
        for number in range(3)
    }
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    del variables["crdb_client_prefix"]
    variables.update(crdb_hosts="all", crdb_client_source="controller")
    if source == "folder":
        variables.update(crdb_client_archive_folder=str(server.folder), crdb_client_base_url="https://127.0.0.1:1")
    check = controller.playbook(PLAY, variables, "-i", inventory, "--check")
    assert check.status == 0, check.output
    run = controller.playbook(PLAY, variables, "-i", inventory)
    assert run.status == 0, run.output
    assert [said(tmp_path / f"prefix{number}") for number in range(3)] == [NEW] * 3
    assert len(server.requests) == (2 if source == "download" else 0)
    again = controller.playbook(PLAY, variables, "-i", inventory)
    assert [again.recap(host)["changed"] for host in hosts] == [0, 0, 0]
    # What was brought is not left on the hosts or on the controller.
    assert not [name for name in files_below(tmp_path / "home") if name.endswith(".tgz")]
    assert not list((tmp_path / "home").rglob("*.tgz"))


def test_a_proxy_of_the_environment_is_used_and_its_password_is_not_shown(controller, server, variables):
    run = controller.playbook(PLAY, {**variables, "crdb_client_proxy": "http://u:s3cr3t-canary@127.0.0.1:1"}, "-vvv")
    assert run.status == 2
    assert "cannot be downloaded" in run.output
    assert "s3cr3t-canary" not in run.output


def test_dev_machine_installs_it_on_request_and_lists_it_first(controller, sandbox, variables, tmp_path):
    facts = {
        **variables,
        "crdb_client_install": True,
        "crdb_connections": {"skunk": sandbox.connections["funky_skunk"]},
        "crdb_apps": [{"name": "one", "connection": "skunk", "folder": "~/one", "frameworks": ["psycopg2"]}],
    }
    check = controller.playbook("dev_machine", facts, "--check")
    assert check.status == 0, check.output
    assert not (tmp_path / "prefix").exists()
    first = controller.playbook("dev_machine", facts)
    assert first.status == 0, first.output
    assert first.output.index(f"installed {tmp_path}/prefix/bin/cockroach") < first.output.rindex("Install the client")
    assert said(tmp_path / "prefix") == NEW
    second = controller.playbook("dev_machine", facts)
    assert second.recap()["changed"] == 0, second.output
    assert "Nothing: every file is as it should be." in second.output


def test_the_role_takes_it_away(controller, variables, tmp_path):
    foreign = tmp_path / "prefix" / "bin" / "other"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("theirs")
    before = files_below(tmp_path / "prefix")
    assert controller.playbook(PLAY, variables).status == 0
    assert os.path.lexists(tmp_path / "prefix/bin/cockroach")
    run = controller.playbook(PLAY, {**variables, "crdb_client_state": "absent"})
    assert run.status == 0, run.output
    assert files_below(tmp_path / "prefix") == before
    assert sorted(p.name for p in (tmp_path / "prefix").iterdir()) == ["bin"]
    again = controller.playbook(PLAY, {**variables, "crdb_client_state": "absent"})
    assert again.recap()["changed"] == 0, again.output
