# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How time and memory grow with the fleet: hosts of a connection that takes as long as a measured host."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.files import PLAYBOOK, record
from tests.bench.measure import Median, Sample, Way, in_turn, run
from tests.bench.scene import HERE, Scene
from tests.conftest import CHECKOUT
from tests.integration.conftest import BIN

_ROUNDS = 5


def _cost(cpu: float, wall: float) -> dict[str, float]:
    return {"cpu": cpu, "wait": max(0.0, wall - cpu)}


def calibrate(scene: Scene, say: Callable[[str], None]) -> dict[str, Any]:
    """What one host costs, on this machine, now: `connect` and `call`, each `cpu` and `wait` in seconds; its `answer`.

    `connect` is `ssh HOST true`. `call` is the client of such a command over a connection that is open, and the
    processor time that a host needs for the module.
    """
    config = scene.fleet.ssh_config
    host = scene.fleet.hosts[0].name
    socket = scene.sockets / "calibration"
    master = ["ssh", "-F", config, "-o", f"ControlPath={socket}"]
    ways = [
        Way("connect", lambda: run(["ssh", "-F", config, host, "true"], scene.environment, scene.home).sample),
        Way("client", lambda: run([*master, host, "true"], scene.environment, scene.home).sample),
    ]
    subprocess.run([*master, "-o", "ControlMaster=yes", "-N", "-f", host], check=True)
    try:
        taken = in_turn(ways, _ROUNDS, say)
    finally:
        scene.hang_up()

    def write() -> Sample:
        return scene.playbook(PLAYBOOK, 1, scene.variables()).sample

    written = in_turn([Way("write", write, lambda: scene.empty(1))], _ROUNDS, say)["write"]
    client = taken["client"]
    return {
        "connect": _cost(taken["connect"].cpu, taken["connect"].wall),
        "call": _cost(client.cpu, client.cpu + written.targets_cpu),
        "answer": record(scene),
    }


def measure(scene: Scene, sizes: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """The calibration, and one run each by number of hosts, with its memory."""
    simulated = calibrate(scene, say)
    path = scene.home / "simulated.json"
    path.write_text(json.dumps(simulated))
    seen = scene.home / "seen"
    environment = {
        **scene.environment,
        "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection"),
        "CRDB_BENCH_SIMULATED": str(path),
        "CRDB_BENCH_SEEN": str(seen),
    }
    variables = {"ansible_connection": "simulated", **scene.variables()}
    found: dict[str, Any] = {}
    for count in sizes:
        say(f"growth, {count} simulated hosts")
        shutil.rmtree(seen, ignore_errors=True)
        seen.mkdir()
        inventory = scene.inventory([f"simulated-{number:04}" for number in range(count)], variables)
        outcome = run([BIN / "ansible-playbook", "-i", inventory, PLAYBOOK], environment, CHECKOUT, memory=True)
        sample = outcome.sample
        say(f"  {sample.wall:.1f} s, cpu {sample.cpu:.1f} s, {sample.memory / 1e6:.0f} MB")
        found[str(count)] = asdict(Median.of([sample]))
    return {"calibration": {name: simulated[name] for name in ("connect", "call")}, "hosts": found}
