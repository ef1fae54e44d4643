# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure side by side, in one run, and print ratios: `make bench`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench import check, files, growth, onboarding, report
from tests.bench.fleet import PYTHON, fleet, missing
from tests.bench.measure import Median
from tests.bench.scene import CONNECTIONS, FORKS, FRAMEWORKS, Scene, lacks_of_base
from tests.conftest import Sandbox, new_state, run_sandbox
from tests.integration.conftest import BIN

PARTS = ("files", "onboarding", "check", "one", "frameworks", "growth")
SIZES = (1, 10, 50)
GROWTH = (50, 100, 200, 1000)
ROUNDS = 3
_ONE_ROUNDS = 15
_FRAMEWORK_HOSTS = 10
_LIFETIME = 3 * 3600


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _version(*words: Any) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True)
    return (done.stdout or done.stderr).splitlines()[0].strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}, {memory} GiB"


def _machine(scene: Scene) -> dict[str, str]:
    system = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line.count("=") == 1
    )
    ansible = _version(BIN / "ansible-playbook", "--version")
    return {
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processors": _processor(),
        "system": f"{system['PRETTY_NAME'].strip(chr(34))}, Linux {platform.release()}",
        "controller": f"Python {platform.python_version()}, {ansible}, {FORKS} forks",
        "hosts": f"{_version(PYTHON, '--version')}, on the same processors as the controller",
        "ssh": f"{_version('ssh', '-V')}, key exchange {scene.fleet.key_exchange()} (the default)",
        "psql": _version("psql", "--version"),
    }


def _dicts(found: dict[str, Any]) -> dict[str, Any]:
    return {k: asdict(v) if isinstance(v, Median) else _dicts(v) for k, v in found.items()}


def _frameworks(scene: Scene, rounds: int) -> dict[str, Any]:
    count = min(_FRAMEWORK_HOSTS, len(scene.fleet.hosts))
    found = files.measure_frameworks(scene, count, rounds, _say)
    low, high = found[files.ONE], found[files.ALL]
    more = (len(FRAMEWORKS) - 1) * len(CONNECTIONS) * count
    seconds = (high.cpu + high.targets_cpu) - (low.cpu + low.targets_cpu)
    trips = (high.trips - low.trips) / more
    words = {"low": files.ONE, "high": files.ALL, "hosts": count}
    return {"milliseconds": 1000 * seconds / more, "trips": trips, **words, "ways": _dicts(found)}


def _measure(scene: Scene, parts: list[str], sizes: list[int], rounds: int) -> dict[str, Any]:
    several = [size for size in sizes if size > 1] or sizes
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "files": lambda: {"files": _dicts(files.measure(scene, sizes, rounds, _say))},
        "frameworks": lambda: {"frameworks": _frameworks(scene, rounds)},
        "onboarding": lambda: {"onboarding": _dicts(onboarding.measure(scene, several, rounds, _say))},
        "growth": lambda: {"growth": growth.measure(scene, GROWTH, _say)},
        "check": lambda: {"check": {str(max(sizes)): _dicts(check.measure(scene, max(sizes), rounds, _say))}},
        "one": lambda: {"one_check": _dicts(check.measure_one(scene.sandbox, _ONE_ROUNDS, _say))},
    }
    found: dict[str, Any] = {"machine": _machine(scene)}
    loads = []
    for part in parts:
        loads.append(os.getloadavg()[0])
        found.update(work[part]())
        # The benchmark itself makes a load of a few; much more is somebody else's.
        found["machine"]["load average before each part"] = ", ".join(f"{value:.0f}" for value in loads)
        if scene.base:
            _keep(found, report.COMPARISON, whole=True)
        else:
            _keep(found, report.RESULTS, whole=set(parts) == set(PARTS))
    return found


def _keep(found: dict[str, Any], path: Path, *, whole: bool) -> None:
    """Write what there is so far; beside what an earlier run found, when this one is not about everything."""
    path.parent.mkdir(exist_ok=True)
    earlier = json.loads(path.read_text()) if path.exists() and not whole else {}
    path.write_text(json.dumps({**earlier, **found}, indent=2) + "\n")


def _numbers(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def _folder(text: str) -> Path:
    return Path(text).resolve()


def main() -> None:
    """Bring hosts and a sandbox up, measure, print the tables, write build/bench.json, take all down."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=main.__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--sizes", type=_numbers, default=list(SIZES), help="numbers of ssh hosts, such as 1,10,50")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each way; the median counts")
    parser.add_argument("--base", type=_folder, help="a checkout of another commit, measured in turn with this one")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"unknown parts: {', '.join(unknown)}; valid parts: {', '.join(PARTS)}")
    if given.base and (lacks := lacks_of_base(given.base)):
        parser.error(
            f"{given.base} lacks {', '.join(lacks)}. It must be a checkout of another commit. "
            f"To install its packages: make -C {given.base} .venv/development.installed"
        )
    if lacks := missing():
        sys.exit(f"To measure, this machine lacks {', '.join(lacks)}: make system-deps installs the programs.")
    state = new_state()
    try:
        run_sandbox("up", "--state", str(state), "--port", "0", "--lifetime", str(_LIFETIME), "--throttle", "0")
        with fleet(max(given.sizes)) as hosts:
            results = _measure(Scene(hosts, Sandbox.read(state), given.base), parts, given.sizes, given.rounds)
    finally:
        run_sandbox("down", "--state", str(state))
        shutil.rmtree(state)
    print(f"{report.machine(results)}\n\n{report.target_table(results)}\n\n{report.tables(results)}")
    if given.base:
        print(f"\n## Against {given.base}\n\n{report.comparison(results)}")


if __name__ == "__main__":
    main()
