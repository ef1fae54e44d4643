# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A home with files of others is onboarded and offboarded: it ends byte for byte as it was."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests import vendor


def tree(folder):
    """Everything below a folder but Ansible's own: kind, mode, content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
        if path.relative_to(folder).parts[0] not in (".ansible", "variables.json")
    }


@pytest.fixture
def variables(sandbox, tmp_path):
    """Two apps and the client, below the scratch home."""
    vendor.publish(tmp_path / "archives", "v25.4.11")
    return {
        "crdb_client_install": True,
        "crdb_client_archive_folder": str(tmp_path / "archives"),
        "crdb_client_prefix": "~/.local",
        "crdb_client_profile": True,
        "crdb_connections": {
            name: {**sandbox.connections[name], "ca_destination": "both"} for name in ("funky_skunk", "steady_heron")
        },
    }


APPS = [
    {"name": name, "connection": connection, "folder": f"~/{name}", "frameworks": frameworks, "psql_service": name}
    for name, connection, frameworks in (
        ("one", "funky_skunk", ["psycopg2", "django"]),
        ("two", "steady_heron", ["node-postgres"]),
    )
]


def furnish(home):
    """Files of others, in the folders that ours go to."""
    for name, content in (
        (".profile", b"umask 027"),
        ("one/settings.py", b"DEBUG = True\n"),
        (".local/bin/other", b"#!/bin/sh\n"),
        (".local/share/bash-completion/completions/other", b"complete\n"),
        (".cockroach-certs/ca.crt", b"theirs\n"),
        (".pgpass", b"*:*:*:*:theirs"),
        (".pg_service.conf", b"[theirs]\nport=1"),
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content)
    (home / "one" / "settings.py").chmod(0o640)
    (home / "link").symlink_to("one/settings.py")


@pytest.mark.parametrize(
    "furnished", [pytest.param(True, id="furnished"), pytest.param(False, id="empty", marks=pytest.mark.thorough)]
)
def test_a_home_is_byte_for_byte_as_it_was(controller, variables, furnished):
    if furnished:
        furnish(controller.home)
    before = tree(controller.home)
    facts = {**variables, "crdb_apps": APPS}
    onboarded = controller.playbook("dev_machine", facts)
    assert onboarded.status == 0, onboarded.output
    assert (controller.home / ".local/bin/cockroach").is_symlink()
    assert (controller.home / "two/.env").is_file()
    unnamed = controller.playbook("offboard", facts)
    assert unnamed.status == 2
    assert "-e crdb_hosts=localhost" in " ".join(unnamed.output.split())
    assert (controller.home / "two/.env").is_file()
    facts["crdb_hosts"] = "localhost"
    check = controller.playbook("offboard", facts, "--check")
    assert check.status == 0, check.output
    assert (controller.home / "two/.env").is_file()
    run = controller.playbook("offboard", facts)
    assert run.status == 0, run.output
    assert tree(controller.home) == before
    again = controller.playbook("offboard", facts)
    assert again.recap()["changed"] == 0, again.output
    assert tree(controller.home) == before


def test_one_app_of_two_is_taken_away(controller, sandbox, variables, tmp_path):
    inventory = tmp_path / "inventory.yml"
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "crdb_apps": APPS}
    inventory.write_text(json.dumps({"all": {"hosts": {"localhost": host}}}))
    words = ("-i", inventory)
    onboarded = controller.playbook("dev_machine", variables, *words)
    assert onboarded.status == 0, onboarded.output
    wrong = controller.playbook(
        "offboard", {**variables, "crdb_hosts": "localhost", "crdb_offboard_apps": ["three"]}, *words
    )
    assert wrong.status == 2
    assert "crdb_offboard_apps names three" in wrong.output
    run = controller.playbook("offboard", {**variables, "crdb_hosts": "localhost", "crdb_offboard_apps": "two"}, *words)
    assert run.status == 0, run.output
    assert not (controller.home / "two").exists()
    assert (controller.home / "one/.env").is_file()
    trusted = sandbox.clusters["funky-skunk"].ca_file.read_text().strip()
    assert (controller.home / ".postgresql/root.crt").read_text().strip() == trusted
    assert "[two]" not in (controller.home / ".pg_service.conf").read_text()
    assert sandbox.clusters["steady-heron"].password not in (controller.home / ".pgpass").read_text()
    assert (controller.home / ".local/bin/cockroach").is_symlink()
    still = controller.playbook("dev_machine", {**variables, "crdb_apps": APPS[:1]})
    assert still.recap()["changed"] == 0, still.output


def furnish_with_everything(home, authorities):
    """Dotfiles as links into a repository, and files in every format that ours join."""
    repository = home / "dotfiles"
    subprocess.run(["git", "init", "-q", repository], check=True)
    (repository / ".gitignore").write_text("/env\n")
    (repository / "env").write_bytes(b"# mine\r\nexport A='1'\r\nB=\"x\r\ny\"\r\nlast=without a newline")
    for name in ("one", "two", "three", ".postgresql"):
        (home / name).mkdir()
    (home / "one" / ".env").symlink_to("../dotfiles/env")
    (home / "two" / ".env").write_text("C=3\n")
    (home / "two" / ".env").chmod(0o644)
    (home / "three" / "database.yml").write_text("default: &default\n  adapter: x\ntest:\n  <<: *default\n")
    (home / ".postgresql" / "root.crt").write_bytes(b"# theirs\n" + b"".join(authorities))
    (home / ".pgpass").write_text("*:*:*:me:secret\n")
    (home / ".pgpass").chmod(0o600)


def test_among_files_of_every_format_a_password_changes_and_all_is_taken_back(controller, sandbox):
    otter = sandbox.clusters["brave-otter"]
    heron = sandbox.clusters["steady-heron"]
    furnish_with_everything(controller.home, [sandbox.stranger_ca_file.read_bytes(), heron.ca_file.read_bytes()])
    before = tree(controller.home)
    facts = {**sandbox.connections["brave_otter"], "ca_destination": "both"}
    apps = [{"name": n, "folder": f"~/{n}", "frameworks": ["psycopg2", "django"]} for n in ("one", "two", "three")]
    variables = {"crdb_hosts": "localhost", "crdb_apps": apps, "crdb_connections": {"otter": facts}}
    changes = []
    changed = {
        **variables,
        "crdb_connections": {"otter": {**facts, "password": "another one"}},
        "crdb_app_config_prove": False,
        "crdb_check_fail": False,
    }
    for given in (variables, variables, changed):
        run = controller.playbook("app_servers", given)
        assert run.status == 0, run.output
        changes.append(run.recap()["changed"])
    assert changes == [1, 0, 1]
    assert (controller.home / "one" / ".env").is_symlink()
    assert (controller.home / "dotfiles" / "env").read_bytes().startswith(before["dotfiles/env"][1])
    assert otter.ca_file.read_bytes().strip() in (controller.home / ".postgresql" / "root.crt").read_bytes()
    run = controller.playbook("offboard", changed)
    assert run.status == 0, run.output
    assert tree(controller.home) == before
