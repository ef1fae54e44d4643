# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every measurement stands on: hosts, stand-in clusters, a controller with a home of its own, three apps."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.bench.fleet import PYTHON, Fleet
from tests.bench.measure import BASE, Outcome, Sample, Way, run
from tests.conftest import CHECKOUT, Sandbox
from tests.integration.conftest import BIN

HERE = Path(__file__).parent
FORKS = 10  # as in ansible.cfg; the bare ways run as many at once
CONNECTIONS = "funky_skunk", "brave_otter", "steady_heron"
FRAMEWORKS = ("psycopg2", "sqlalchemy", "django", "node-postgres", "sequelize", "pgx", "pq", "gorm", "jdbc")
"""Each writes one file; with the environment file that makes ten files an app, thirty a host."""
FILES_A_HOST = 30
FOLDER = "srv"


def _programs(base: Path) -> Path:
    return base / ".venv" / "bin"


def lacks_of_base(base: Path) -> list[str]:
    """What a folder lacks to be a base, as paths in it."""
    needs = base / "ansible.cfg", base / "tests" / "bench" / "playbooks", _programs(base) / "ansible-playbook"
    return [str(path.relative_to(base)) for path in needs if not path.exists()]


class Scene:
    """The hosts, the clusters, and how to reach them."""

    def __init__(self, fleet: Fleet, sandbox: Sandbox, base: Path | None = None) -> None:
        self.fleet, self.sandbox, self.base = fleet, sandbox, base
        self.home = fleet.folder / "controller"
        self.home.mkdir()
        self.sockets = self.home / "sockets"
        self.sockets.mkdir(mode=0o700)
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_FORKS": str(FORKS),
            "ANSIBLE_SSH_COMMON_ARGS": f"-F {fleet.ssh_config}",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.sockets),
        }

    def variables(self, frameworks: Sequence[str] = FRAMEWORKS) -> dict[str, Any]:
        """The inventory's variables: three apps of three connections."""
        apps = [
            {"name": name, "connection": name, "folder": f"/{FOLDER}/{name}", "frameworks": list(frameworks)}
            for name in CONNECTIONS
        ]
        connections = {name: {**self.sandbox.connections[name], "ca_destination": "certs"} for name in CONNECTIONS}
        return {"crdb_connections": connections, "crdb_apps": apps}

    def inventory(self, names: Sequence[str], variables: Mapping[str, Any]) -> Path:
        """Write an inventory of these hosts, readable by its owner only."""
        path = self.home / "inventory.yml"
        path.touch(mode=0o600)
        hosts = {name: {} for name in names}
        path.write_text(
            yaml.safe_dump(
                {"all": {"hosts": hosts, "vars": {"ansible_python_interpreter": PYTHON, **variables}}}, sort_keys=False
            )
        )
        return path

    def playbook(self, path: str | Path, count: int, variables: Mapping[str, Any]) -> Outcome:
        """Run a playbook on the first `count` hosts over fresh connections, measured. Raises CommandError."""
        return self._run(CHECKOUT, BIN, path, count, variables)

    def _run(
        self, checkout: Path, programs: Path, path: str | Path, count: int, variables: Mapping[str, Any]
    ) -> Outcome:
        inventory = self.inventory(self.fleet.names(count), variables)
        environment = {**self.environment, "ANSIBLE_CONFIG": str(checkout / "ansible.cfg")}
        before = self.fleet.cpu_seconds(count), self.fleet.sessions(count)
        outcome = run([programs / "ansible-playbook", "-i", inventory, path], environment, checkout)
        self.hang_up()
        return self._with_targets(outcome, before, count)

    def bare(self, count: int, command: str, *arguments: str) -> Outcome:
        """Run a shell command with `$1` as the host's name (and `$2` ... as `arguments`) for all hosts, by xargs -P."""
        hosts = self.home / "hosts"
        hosts.write_text("".join(f"{name}\n" for name in self.fleet.names(count)))
        before = self.fleet.cpu_seconds(count), self.fleet.sessions(count)
        each = f'xargs -a "$0" -P {FORKS} -I @ sh -c \'{command}\' sh @ "$@"'
        outcome = run(["sh", "-c", each, hosts, *arguments], self.environment, self.home)
        return self._with_targets(outcome, before, count)

    def _with_targets(self, outcome: Outcome, before: tuple[float, int], count: int) -> Outcome:
        sample = outcome.sample
        self.fleet.settle()
        targets = self.fleet.cpu_seconds(count) - before[0]
        trips = self.fleet.sessions(count) - before[1]
        return Outcome(outcome.output, Sample(sample.wall, sample.cpu, targets, trips, sample.memory))

    def hang_up(self) -> None:
        """End the connections that Ansible keeps, so that the next run pays for its own."""
        for socket in self.sockets.iterdir():
            subprocess.run(
                ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"], capture_output=True, check=False
            )

    def empty(self, count: int) -> None:
        """Take away all that a run wrote on the first `count` hosts."""
        for host in self.fleet.hosts[:count]:
            host.empty(FOLDER)
            for left in (".local", ".ansible"):
                shutil.rmtree(host.folder / "root" / left, ignore_errors=True)

    def cold(self, name: str, count: int, work: Callable[[], Outcome], **more: Any) -> Way:
        """A way that is measured on hosts without a trace of an earlier run."""
        return Way(name, lambda: work().sample, lambda: self.empty(count), **more)

    def again(self, name: str, work: Callable[[], Outcome], **more: Any) -> Way:
        """A way that is measured right after the one before it. Raises ValueError when it changes something."""

        def unchanged() -> Sample:
            outcome = work()
            changed = [host for host, counters in outcome.recap().items() if counters["changed"]]
            if changed:
                raise ValueError(f"{name}: a second run changed something on {', '.join(changed)}")
            return outcome.sample

        return Way(name, unchanged, **more)

    def ways(
        self,
        path: Path,
        count: int,
        variables: Mapping[str, Any],
        *,
        again: str,
        cold: str = "",
        checked: Callable[[Callable[[], Outcome]], Callable[[], Outcome]] = lambda work: work,
    ) -> list[Way]:
        """Run a playbook of this checkout on empty hosts (the way `cold`, unless it is empty) and `again`.

        If there is a base, its own code does the same next. `checked` is put around this checkout's runs only: the
        base may write other bytes.
        """
        works = {"": checked(lambda: self.playbook(path, count, variables))}
        if base := self.base:
            there = base / path.relative_to(CHECKOUT)
            works[BASE] = lambda: self._run(base, _programs(base), there, count, variables)
        found = []
        for prefix, work in works.items():
            found += [self.cold(f"{prefix}{cold}", count, work)] if cold else []
            found += [self.again(f"{prefix}{again}", work, follows=bool(cold))]
        return found
