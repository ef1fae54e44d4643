# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure side by side, in one run, and print ratios: `make bench`."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.crdb.onboard.plugins.module_utils._check import Endpoint, check_endpoint

from tests.conftest import Sandbox, new_state, run_sandbox
from tests.integration.conftest import BIN, CHECKOUT

ROUNDS = 15


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def side_by_side(title: str, ours: Callable[[], None], other: Callable[[], None], rounds: int = ROUNDS) -> None:
    """Print the median of both, taken in turn, and the median of the ratios pair by pair."""
    for work in (ours, other):
        work()
    pairs = [(_seconds(ours), _seconds(other)) for number in range(rounds)]
    first, second = (statistics.median(times) for times in zip(*pairs))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"| {title} | {1000 * first:.0f} | {1000 * second:.0f} | {ratio:.2f} |")


def _check_against_psql(sandbox: Sandbox) -> None:
    cluster = sandbox.clusters["funky-skunk"]
    endpoint = Endpoint.from_dict(
        {
            "name": "bench",
            "deployment": "serverless",
            "host": cluster.host,
            "port": cluster.ports["inside"],
            "database": "defaultdb",
            "options": f"--cluster={cluster.routing_id}",
            "user": cluster.user,
            "password": cluster.password,
            "ca_file": str(cluster.ca_file),
        }
    )
    info = cluster.conninfo()
    environment = {
        **os.environ,
        "PGHOST": info["host"], "PGPORT": str(info["port"]), "PGDATABASE": info["dbname"], "PGUSER": info["user"],
        "PGPASSWORD": info["password"], "PGSSLMODE": "verify-full", "PGSSLROOTCERT": info["sslrootcert"],
        "PGOPTIONS": info["options"],
    }  # fmt: skip

    def ours() -> None:
        assert check_endpoint(endpoint).ok

    def psql() -> None:
        subprocess.run(
            ["psql", "-XAtc", "SELECT 1"],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    side_by_side("one check in process / one `psql -c 'SELECT 1'`", ours, psql)


def _second_run_against_first(sandbox: Sandbox) -> None:
    home = Path(tempfile.mkdtemp(prefix="crdb-bench-"))
    variables = home / "variables.json"
    names = "skunk", "otter", "heron"
    apps = [
        {"name": n, "connection": c, "folder": f"{home}/{n}", "frameworks": ["psycopg2", "django", "node-postgres"]}
        for n, c in zip(names, ("funky_skunk", "brave_otter", "steady_heron"))
    ]
    variables.write_text(json.dumps({"crdb_connections": sandbox.connections, "crdb_apps": apps}))
    variables.chmod(0o600)
    words = [BIN / "ansible-playbook", "playbooks/dev_machine.yml", "-e", f"@{variables}"]
    environment = {**os.environ, "HOME": str(home), "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}

    def onboard() -> None:
        subprocess.run(
            words, cwd=CHECKOUT, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def fresh() -> None:
        for path in (*(home / n for n in names), home / ".local"):
            shutil.rmtree(path, ignore_errors=True)
        onboard()

    onboard()
    side_by_side("dev_machine.yml again / on an empty home (3 apps, 9 frameworks)", onboard, fresh, rounds=3)
    shutil.rmtree(home)


def main() -> None:
    """Bring a sandbox up, measure on it, and take it down."""
    if shutil.which("psql") is None:
        sys.exit("psql is needed to compare with: make system-deps installs it")
    state = new_state()
    try:
        run_sandbox("up", "--state", str(state), "--port", "0", "--lifetime", "1800", "--throttle", "0")
        sandbox = Sandbox.read(state)
        print(f"Medians in ms, {os.cpu_count()} processors; the ratio is the median of the pairs' ratios.\n")
        print("| what / against what | ours | other | ratio |\n| --- | --- | --- | --- |")
        _check_against_psql(sandbox)
        _second_run_against_first(sandbox)
    finally:
        run_sandbox("down", "--state", str(state))
        shutil.rmtree(state)


if __name__ == "__main__":
    main()
