# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operators' pages print, run as printed: the drift gate, ansible-pull."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from tests.integration.conftest import BIN, CHECKOUT

HOST = "{ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'}"


def inventory_of(folder, facts, homes):
    """inventories/mine/staging of a checkout, with the hosts whose apps lie in `homes`, by name."""
    staging = folder / "inventories" / "mine" / "staging"
    (staging / "group_vars").mkdir(parents=True)
    (staging / "host_vars").mkdir()
    names = "".join(f"    {name}: {HOST}\n" for name in homes)
    (staging / "hosts.yml").write_text(f"all:\n  hosts:\n{names}")
    password = "{{ lookup('ansible.builtin.env', 'SHOP_PASSWORD') }}"
    everywhere = {"crdb_connections": {"shop": {**facts, "password": password}}}
    (staging / "group_vars" / "all.json").write_text(json.dumps(everywhere))
    for name, home in homes.items():
        apps = [{"name": "shop", "folder": str(home), "frameworks": ["django"]}]
        (staging / "host_vars" / f"{name}.json").write_text(json.dumps({"crdb_apps": apps}))


@pytest.fixture
def facts(sandbox):
    return sandbox.connections["funky_skunk"]


class TestTheDriftGate:
    @pytest.fixture
    def gate(self, controller, facts, tmp_path):
        """Runs the commands of the page in a checkout whose ten hosts are as the inventory says."""
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        for name in ("ansible.cfg", "collections", "playbooks", "plugins", "roles", "templates", "galaxy.yml", "meta"):
            (checkout / name).symlink_to(CHECKOUT / name)
        (checkout / ".venv").symlink_to(BIN.parent)
        self.homes = {f"app{number}": tmp_path / f"app{number}" for number in range(10)}
        inventory_of(checkout, facts, self.homes)
        controller.cwd = checkout
        secret = {"SHOP_PASSWORD": facts["password"]}
        words = ("ansible-playbook", "-i", "inventories/mine/staging", "playbooks/app_servers.yml")
        done = controller.run(*words, **secret)
        assert done.status == 0, done.output
        page = (CHECKOUT / "docs" / "pipeline.md").read_text()
        commands = re.search(r"^## Find drift\n.*?^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL).group(1)

        def run():
            environment = {**controller._environment(secret), "PATH": f"{BIN}:{controller._environment({})['PATH']}"}
            found = subprocess.run(
                ["bash", "-c", commands], cwd=checkout, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )  # fmt: skip
            assert facts["password"] not in found.stdout
            return found

        return run

    @pytest.mark.thorough
    def test_it_passes_finds_what_drifted_and_changes_nothing(self, gate):
        assert gate().returncode == 0
        config, environment, authority = (
            self.homes["app3"] / "crdb_settings.py",
            self.homes["app4"] / ".env",
            self.homes["app5"] / "certs" / "ca.crt",
        )
        config.write_text(config.read_text() + "# edited by hand\n")
        environment.chmod(0o644)
        authority.unlink()
        found = gate()
        assert found.returncode == 1
        assert found.stdout.endswith("The hosts are not as the inventory says.\n")
        changed = {line.split()[0] for line in found.stdout.splitlines() if re.search(r"changed=[1-9]", line)}
        assert changed == {"app3", "app4", "app5"}
        assert config.read_text().endswith("# edited by hand\n")
        assert environment.stat().st_mode & 0o777 == 0o644
        assert not authority.exists()


@pytest.mark.thorough
def test_ansible_pull(controller, facts, tmp_path):
    """A host onboards itself from a repository that has its inventory, and touches no other."""
    repository = tmp_path / "repository"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=CHECKOUT, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source = CHECKOUT / name
        if source.is_symlink() or source.is_file():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, repository / name, follow_symlinks=False)
    inventory_of(repository, facts, {"localhost": tmp_path / "app", "other": tmp_path / "other"})
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], cwd=repository, check=True, capture_output=True)
    page = (CHECKOUT / "docs" / "automation-platform.md").read_text()
    printed = re.search(r"^(ansible-pull .*)$", page, re.MULTILINE).group(1).split()
    url = next(word for word in printed if word.startswith("https://"))
    command = [word if word != url else f"file://{repository}" for word in printed]
    environment = {k: v for k, v in controller._environment({}).items() if k != "ANSIBLE_CONFIG"}
    environment.update(SHOP_PASSWORD=facts["password"], PATH=f"{BIN}:{environment['PATH']}")
    done = subprocess.run(
        command, cwd=controller.home, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert facts["password"] not in done.stdout
    assert (tmp_path / "app" / ".env").exists()
    assert not (tmp_path / "other").exists()
    assert re.search(r"endpoint .* verdict\n.*  (proved|reached)", done.stdout, re.MULTILINE)
