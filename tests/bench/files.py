# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thirty files on every host: bare ssh, ours, one `template` task a file; and what one more framework costs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from tests.bench.measure import Median, Outcome, Way, in_turn
from tests.bench.scene import CONNECTIONS, FILES_A_HOST, FOLDER, FRAMEWORKS, HERE, Scene

BARE, OURS, AGAIN = "bare ssh tar", "ours", "ours, second run"
NO_OP = "a no-op module, `ping`"
TASKS, TASKS_AGAIN = "one template task a file", "one template task a file, second run"
ONE, ALL = "1 framework an app", f"{len(FRAMEWORKS)} frameworks an app"
PLAYBOOK = HERE / "playbooks" / "files.yml"
_PING = HERE / "playbooks" / "ping.yml"
_LARGEST_WITH_TASKS = 10


def _templated(text: str, variables: dict[str, str]) -> str:
    """A template that gives this text, with these values of variables where they stand in it."""
    parts = [text]
    for name, value in variables.items():
        parts = [piece for part in parts for piece in _split(part, value, f"{{{{ {name} }}}}")]
    return "".join(
        part if part.startswith("{{ bench_") else f"{{% raw %}}{part}{{% endraw %}}" for part in parts if part
    )


def _split(part: str, value: str, name: str) -> list[str]:
    if part.startswith("{{ bench_"):
        return [part]
    pieces = part.split(value)
    return [pieces[0], *(found for piece in pieces[1:] for found in (name, piece))]


class Files:
    """The same files by each way: what is rendered beforehand is taken from a run of ours."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.variables = scene.variables()
        scene.empty(1)
        scene.playbook(PLAYBOOK, 1, self.variables)
        self.source = scene.fleet.hosts[0].folder / FOLDER
        self.tree = scene.fleet.hosts[0].tree(FOLDER)
        if len(self.tree) != FILES_A_HOST:
            raise ValueError(f"ours wrote {len(self.tree)} files: {', '.join(self.tree)}")
        self.archive = scene.home / "files.tar"
        subprocess.run(["tar", "-C", self.source, "-cf", self.archive, "."], check=True)
        self.tasks = self._tasks()

    def _tasks(self) -> Path:
        folder = self.scene.home / "tasks"
        folder.mkdir(exist_ok=True)
        secret = {f"bench_{name}": self.variables["crdb_connections"][name]["password"] for name in CONNECTIONS}
        tasks = []
        folders = sorted({str(Path(name).parent) for name in self.tree})
        tasks += [
            {
                "name": f"Have the folder {name}",
                "ansible.builtin.file": {"path": f"/{FOLDER}/{name}", "state": "directory", "mode": "0755"},
            }
            for name in folders
        ]
        for number, name in enumerate(self.tree):
            path = self.source / name
            template = folder / f"{number}.j2"
            template.write_text(_templated(path.read_text(), secret))
            template.chmod(0o600)
            mode = f"{path.stat().st_mode & 0o7777:04o}"
            tasks.append(
                {
                    "name": f"Write {name}",
                    "ansible.builtin.template": {"src": str(template), "dest": f"/{FOLDER}/{name}", "mode": mode},
                }
            )
        playbook = self.scene.home / "tasks.yml"
        play = {"name": "Files", "hosts": "all", "gather_facts": False, "vars": secret, "tasks": tasks}
        playbook.touch(mode=0o600)
        playbook.write_text(yaml.safe_dump([play], sort_keys=False))
        return playbook

    def ways(self, count: int) -> list[Way]:
        """What is compared for so many hosts."""
        scene = self.scene
        config = scene.fleet.ssh_config
        command = f"ssh -F {config} $1 tar -x -C /{FOLDER} < $2"

        def playbook(path: Path) -> Callable[[], Outcome]:
            return lambda: scene.playbook(path, count, self.variables)

        ways = [
            scene.cold(BARE, count, self._the_same(lambda: scene.bare(count, command, str(self.archive)), count)),
            *scene.ways(
                PLAYBOOK,
                count,
                self.variables,
                cold=OURS,
                again=AGAIN,
                checked=lambda work: self._the_same(work, count),
            ),
            Way(NO_OP, lambda: playbook(_PING)().sample),
        ]
        if count <= _LARGEST_WITH_TASKS:
            ways += [
                scene.cold(TASKS, count, self._the_same(playbook(self.tasks), count), rounds=1),
                scene.again(TASKS_AGAIN, playbook(self.tasks), rounds=1, follows=True),
            ]
        return ways

    def _the_same(self, work: Callable[[], Outcome], count: int) -> Callable[[], Outcome]:
        """The work, after which every host has the files, byte for byte. Raises ValueError."""

        def checked() -> Outcome:
            outcome = work()
            for host in self.scene.fleet.hosts[:count]:
                found = host.tree(FOLDER)
                if found != self.tree:
                    wrong = sorted(set(found.items()) ^ set(self.tree.items()))
                    raise ValueError(f"{host.name} differs: {wrong[:4]}")
            return outcome

        return checked


def measure(
    scene: Scene, sizes: Sequence[int], rounds: int, say: Callable[[str], None]
) -> dict[str, dict[str, Median]]:
    """By number of hosts and way."""
    files = Files(scene)
    found = {}
    for count in sizes:
        say(f"files, {count} hosts")
        found[str(count)] = in_turn(files.ways(count), rounds, say)
    return found


def measure_frameworks(scene: Scene, count: int, rounds: int, say: Callable[[str], None]) -> dict[str, Median]:
    """Three apps a host with one framework, and with all."""
    say(f"frameworks, {count} hosts")
    ways = [
        scene.cold(
            name, count, lambda frameworks=frameworks: scene.playbook(PLAYBOOK, count, scene.variables(frameworks))
        )
        for name, frameworks in ((ONE, FRAMEWORKS[:1]), (ALL, FRAMEWORKS))
    ]
    return in_turn(ways, rounds, say)


def record(scene: Scene) -> dict[str, object]:
    """What the module answers on an empty host."""
    path = scene.home / "answer.json"
    scene.empty(1)
    scene.playbook(HERE / "playbooks" / "record.yml", 1, {**scene.variables(), "bench_answer": str(path)})
    answer: dict[str, object] = json.loads(path.read_text())
    return answer
