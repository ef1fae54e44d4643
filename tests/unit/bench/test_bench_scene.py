# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways of this checkout and of a base, each with its own code and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from tests.bench.fleet import Fleet
from tests.bench.scene import HERE, Scene, lacks_of_base
from tests.conftest import CHECKOUT, Sandbox

PLAYBOOK = HERE / "playbooks" / "files.yml"
RECAP = "bench-01 : ok=1 changed={changed} unreachable=0 failed=0"


class NoHosts:
    """A fleet without a host."""

    hosts: tuple[()] = ()

    def __init__(self, folder: Path) -> None:
        self.folder, self.ssh_config = folder, folder / "ssh_config"

    def names(self, count: int) -> list[str]:
        return []

    def cpu_seconds(self, count: int) -> float:
        return 0.0

    def sessions(self, count: int) -> int:
        return 0

    def settle(self) -> None:
        """Nobody is connected."""


def base(folder: Path, changed: int = 0) -> Path:
    """A checkout whose ansible-playbook writes down how it was called."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (folder / "ansible.cfg").touch()
    (folder / "tests" / "bench" / "playbooks").mkdir(parents=True)
    program = programs / "ansible-playbook"
    program.write_text(
        "#!/usr/bin/env python3\nimport json, os, sys\n"
        "seen = [os.getcwd(), os.environ['ANSIBLE_CONFIG'], *sys.argv[1:]]\n"
        f"open({str(folder / 'seen')!r}, 'w').write(json.dumps(seen))\n"
        f"print({RECAP.format(changed=changed)!r})\n"
    )
    program.chmod(0o755)
    return folder


def scene(tmp_path: Path, checkout: Path | None) -> Scene:
    return Scene(cast(Fleet, NoHosts(tmp_path)), cast(Sandbox, None), checkout)


def ways(tmp_path: Path, checkout: Path | None, **more: Any) -> dict[str, Any]:
    found = scene(tmp_path, checkout).ways(PLAYBOOK, 1, {}, again="second run", **more)
    return {way.name: way for way in found}


def test_without_a_base_only_this_checkout_runs(tmp_path: Path) -> None:
    assert list(ways(tmp_path, None, cold="ours")) == ["ours", "second run"]


def test_a_base_takes_its_turn_after_this_checkout(tmp_path: Path) -> None:
    names = ["ours", "second run", "base: ours", "base: second run"]
    assert list(ways(tmp_path, base(tmp_path / "base"), cold="ours")) == names


def test_a_way_without_a_cold_run_is_measured_again_only(tmp_path: Path) -> None:
    assert list(ways(tmp_path, base(tmp_path / "base"))) == ["second run", "base: second run"]


def test_the_base_runs_its_own_program_playbook_and_settings(tmp_path: Path) -> None:
    folder = base(tmp_path / "base")
    ways(tmp_path, folder, cold="ours")["base: ours"].work()
    seen = json.loads((folder / "seen").read_text())
    assert seen[:2] == [str(folder), str(folder / "ansible.cfg")]
    assert str(folder / PLAYBOOK.relative_to(CHECKOUT)) in seen


def test_a_second_run_of_the_base_that_changes_something_is_refused(tmp_path: Path) -> None:
    second = ways(tmp_path, base(tmp_path / "base", changed=1))["base: second run"]
    with pytest.raises(ValueError, match="base: second run: a second run changed something on bench-01"):
        second.work()


def test_only_this_checkout_is_compared_byte_by_byte(tmp_path: Path) -> None:
    def checked(work: Any) -> Any:
        def refuse() -> Any:
            raise ValueError("compared")

        return refuse

    found = ways(tmp_path, base(tmp_path / "base"), cold="ours", checked=checked)
    with pytest.raises(ValueError, match="compared"):
        found["ours"].work()
    found["base: ours"].work()


def test_a_folder_that_is_no_checkout_lacks_what_the_benchmark_runs(tmp_path: Path) -> None:
    assert lacks_of_base(tmp_path) == ["ansible.cfg", "tests/bench/playbooks", ".venv/bin/ansible-playbook"]
    assert lacks_of_base(base(tmp_path / "base")) == []
