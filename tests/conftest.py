# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for all tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
REUSED = "CRDB_SANDBOX_STATE"
# One worker runs a file. Of these, each takes minutes: begun last, it would keep the other workers waiting.
LONG = (
    "test_rotation.py",
    "test_client_cert.py",
    "test_app_servers.py",
    "test_secrets.py",
    "test_proved.py",
    "test_onboarding.py",
    "test_transport.py",
    "test_operator_project.py",
    "test_matrix.py",
    "test_network.py",
    "test_seen.py",
    "test_check_reports.py",
    "test_cures_of_clusters.py",
    "test_offboard.py",
    "test_coming_in.py",
    "test_client_role.py",
    "test_sandbox_lifecycle.py",
    "test_samples.py",
    "test_acceptance.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@dataclass(frozen=True)
class SandboxCluster:
    """One cluster of the running sandbox, as ``sandbox.json`` and ``connections.json`` tell of it."""

    name: str
    deployment: str
    routing_id: Optional[str]
    host: str
    sni_host: str
    databases: tuple[str, ...]
    user: str
    password: str
    ca_file: Path
    ports: dict[str, int]
    """By listener: ``inside``, ``outside``, ``impostor``."""
    client_certificate: Optional[dict[str, str]] = None
    """``sslcert`` and ``sslkey``, where the cluster asks for them."""

    def conninfo(self, listener: str = "inside", **overrides: Any) -> dict[str, Any]:
        """Arguments of ``psycopg.connect`` for a verified connection; ``None`` as an override leaves one out."""
        arguments = {
            "host": self.host,
            "port": self.ports[listener],
            "dbname": self.databases[0],
            "user": self.user,
            "password": self.password,
            "sslmode": "verify-full",
            "sslrootcert": str(self.ca_file),
            "options": f"--cluster={self.routing_id}" if self.routing_id else None,
            **overrides,
        }
        return {name: value for name, value in arguments.items() if value is not None}


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox."""

    state: Path
    clusters: dict[str, SandboxCluster]
    connections: dict[str, dict[str, Any]]
    """The content of ``connections.json``: a value for ``crdb_connections``."""
    stranger_ca_file: Path
    """A CA that signed nothing that is in use."""
    cloud: dict[str, str]
    """What the playbooks need to reach its Cloud API."""

    @classmethod
    def read(cls, state: Path) -> Sandbox:
        """What the files in a state folder tell."""
        described = json.loads((state / "sandbox.json").read_text())
        connections = json.loads((state / "connections.json").read_text())

        def cluster(name: str, facts: dict[str, Any]) -> SandboxCluster:
            return SandboxCluster(
                name=name,
                deployment=facts["deployment"],
                routing_id=facts["routing_id"],
                host=facts["host"],
                sni_host=facts["sni_host"],
                databases=tuple(facts["databases"]),
                user=facts["user"],
                password=connections[name.replace("-", "_")]["password"],
                ca_file=Path(facts["ca_file"]),
                ports={listener: where["port"] for listener, where in facts["listeners"].items()},
                client_certificate=facts["client_certificate"],
            )

        return cls(
            state=state,
            clusters={name: cluster(name, facts) for name, facts in described["clusters"].items()},
            connections=connections,
            stranger_ca_file=Path(described["stranger_ca_file"]),
            cloud={
                "crdb_cloud_url": described["cloud"]["url"],
                "crdb_cloud_ca_file": described["cloud"]["ca_file"],
                "crdb_cloud_api_key_file": described["cloud"]["api_key_file"],
            },
        )


def run_sandbox(*words: str, status: int = 0) -> str:
    """Run ``python -m sandbox`` from the checkout; what it printed, once its exit status is the one expected."""
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def new_state() -> Path:
    """A fresh folder whose path is short enough for sockets, and that every account can get to."""
    return Path(tempfile.mkdtemp(prefix="crdb-", dir="/var/tmp"))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox for the whole session; the one of ``$CRDB_SANDBOX_STATE`` if that is set, which is left running."""
    reused = os.environ.get(REUSED)
    if reused:
        run_sandbox("status", "--state", reused)
        yield Sandbox.read(Path(reused))
        return
    state = new_state()
    try:
        # A session that is killed cannot stop it.
        run_sandbox("up", "--state", str(state), "--port", "0", "--lifetime", "7200", "--throttle", "0")
        yield Sandbox.read(state)
    finally:
        run_sandbox("down", "--state", str(state))
        shutil.rmtree(state)
