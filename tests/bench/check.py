# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three endpoints from every host: ours, `wait_for` and `psql` tasks, a bare loop of psql; one check and one psql."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable
from typing import Any

import yaml
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint

from tests.bench.measure import Median, Sample, Way, in_turn
from tests.bench.scene import CONNECTIONS, HERE, Scene
from tests.conftest import CHECKOUT, Sandbox, SandboxCluster

OURS, TASKS, BARE = "ours", "wait_for and psql tasks", "bare ssh psql loop"
IN_PROCESS, PSQL = "one check in process", "one psql"
CHECK = CHECKOUT / "playbooks" / "check.yml"
_QUERY = ("psql", "-XAtc", "SELECT 1")


def _clusters(sandbox: Sandbox) -> list[SandboxCluster]:
    return [sandbox.clusters[name.replace("_", "-")] for name in CONNECTIONS]


def _conninfo(cluster: SandboxCluster, ca_file: str) -> str:
    info = {k: v for k, v in cluster.conninfo(sslrootcert=ca_file).items() if k != "password"}
    return " ".join(f"{name}={value}" for name, value in info.items())


def _prepare(scene: Scene, count: int) -> tuple[dict[str, Any], str]:
    """Place the CAs, and the passwords where psql finds them; the variables, and the playbook of tasks."""
    # Neither of the other ways asks the drivers, whose files are not on these hosts.
    variables = {**scene.variables(), "crdb_check_drivers": False}
    scene.empty(count)
    scene.playbook(HERE / "playbooks" / "ca.yml", count, variables)
    clusters = _clusters(scene.sandbox)
    infos = [_conninfo(c, f"/srv/{n}/certs/ca.crt") for c, n in zip(clusters, CONNECTIONS)]
    passwords = "".join(f"{c.host}:{c.ports['inside']}:{c.databases[0]}:{c.user}:{c.password}\n" for c in clusters)
    loop = "".join(f"{shlex.join((*_QUERY, info))}\n" for info in infos)
    for host in scene.fleet.hosts[:count]:
        passfile = host.folder / "root" / ".pgpass"
        passfile.touch(mode=0o600)
        passfile.write_text(passwords)
        (host.folder / "root" / "check.sh").write_text(f"set -e\n{loop}")
    endpoints = [{"host": c.host, "port": c.ports["inside"], "conninfo": info} for c, info in zip(clusters, infos)]
    playbook = scene.home / "check_tasks.yml"
    tasks = [
        {
            "name": "Wait for the port",
            "ansible.builtin.wait_for": {"host": "{{ item.host }}", "port": "{{ item.port }}", "timeout": 15},
            "loop": endpoints,
        },
        {
            "name": "Ask",
            "ansible.builtin.command": {"argv": [*_QUERY, "{{ item.conninfo }}"]},
            "changed_when": False,
            "loop": endpoints,
        },
    ]
    play = {"name": "Check", "hosts": "all", "gather_facts": False, "tasks": tasks}
    playbook.write_text(yaml.safe_dump([play], sort_keys=False))
    return variables, str(playbook)


def measure(scene: Scene, count: int, rounds: int, say: Callable[[str], None]) -> dict[str, Median]:
    """By way, for `count` hosts and three endpoints each."""
    say(f"check, {count} hosts, {len(CONNECTIONS)} endpoints each")
    variables, tasks = _prepare(scene, count)
    bare = f"ssh -F {scene.fleet.ssh_config} $1 sh check.sh"
    ways = [
        Way(BARE, lambda: scene.bare(count, bare).sample),
        *scene.ways(CHECK, count, variables, again=OURS),
        scene.again(TASKS, lambda: scene.playbook(tasks, count, {}), rounds=1),
    ]
    return in_turn(ways, rounds, say)


def measure_one(sandbox: Sandbox, rounds: int, say: Callable[[str], None]) -> dict[str, Median]:
    """One full check in this process, against one psql."""
    say("one check")
    cluster = sandbox.clusters["funky-skunk"]
    endpoint = Endpoint.from_dict(
        {
            "name": "bench",
            "deployment": "serverless",
            "host": cluster.host,
            "port": cluster.ports["inside"],
            "database": cluster.databases[0],
            "options": f"--cluster={cluster.routing_id}",
            "user": cluster.user,
            "password": cluster.password,
            "ca_file": str(cluster.ca_file),
        }
    )
    info = _conninfo(cluster, str(cluster.ca_file))
    environment = {**os.environ, "PGPASSWORD": cluster.password}

    def timed(work: Callable[[], None]) -> Callable[[], Sample]:
        def once() -> Sample:
            start = time.perf_counter()
            work()
            return Sample(time.perf_counter() - start)

        return once

    def ours() -> None:
        report = check_endpoint(endpoint)
        if not report.ok:
            raise ValueError(f"the check found {report.diagnosis.code}")

    def psql() -> None:
        subprocess.run([*_QUERY, info], env=environment, check=True, capture_output=True)

    return in_turn([Way(IN_PROCESS, timed(ours)), Way(PSQL, timed(psql))], rounds)
