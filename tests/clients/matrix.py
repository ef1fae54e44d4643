# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The matrix: every choice of the catalogue, on every deployment and routing form, the password in either place."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import verify, write_trust_store
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App, with_certificate
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import probe

from sandbox import tokens
from tests.clients import languages
from tests.conftest import CHECKOUT, Sandbox
from tests.integration.conftest import Controller

ALL = "CRDB_CLIENTS_ALL"
RESULTS = CHECKOUT / "build" / "clients.json"
FORMS = (
    "serverless options",
    "serverless database",
    "serverless sni",
    "dedicated",
    "self_hosted cert",
    "self_hosted password",
    "serverless public_ca",
    "dedicated trust_store",
    "serverless token",
    "dedicated token_command",
)
"""Deployment, and how the cluster is named, the user proved, or the CA found: the sandbox's CA counted as public."""
TRIALS = ("inside", "stranger", "impostor", "outside")
CLUSTERS = {"serverless": "funky-skunk", "dedicated": "steady-heron", "self_hosted": "lone-badger"}


REFUSED = {
    "stranger": re.compile(
        r"certificate verify failed|unable to (verify|get)|self.signed certificate|unknown authority|PKIX path"
        r"|not standards compliant|SELF_SIGNED_CERT|UnknownIssuer",
        re.IGNORECASE,
    ),
    "impostor": re.compile(
        r"does not match (host name|certificate)|ALTNAME_INVALID|is valid for impostor|hostname mismatch"
        r"|could not be verified by hostnameverifier|hostname '[^']+' could not be verified|not valid for"
        r"|does not match",
        re.IGNORECASE,
    ),
    "outside serverless": re.compile(r"codeProxyRefusedConnection: connection refused"),
    "outside": re.compile(r"time(d )?out|no answer within|deadline exceeded|attempt failed", re.IGNORECASE),
}


@dataclass(frozen=True)
class Cell:
    """One app: a framework as it is listed, a deployment with its form, and what is tried on it."""

    framework: Framework
    form: str
    trial: str = "inside"

    @property
    def name(self) -> str:
        """A name for the test, the app and its folder."""
        era = self.framework.versions.replace(">=", "").partition(",")[0]
        parts = (self.framework.name, era, self.framework.variant, self.framework.place, *self.form.split(), self.trial)
        return "-".join(part for part in parts if part)

    @property
    def deployment(self) -> str:
        """The cluster's deployment."""
        return self.form.partition(" ")[0]

    @property
    def impossible(self) -> str:
        """Why the framework cannot do it; empty when it can."""
        how = self.form.partition(" ")[2]
        if how == "public_ca":
            return "does not find a CA by itself" if self.framework.public_ca == "none" else ""
        if how == "trust_store":
            return "" if self.framework.public_ca == "trust_store" else "reads no trust store"
        if how.startswith("token"):
            return "" if self.framework.token == "callback" else "cannot log in with a token"
        if self.deployment == "serverless" and how not in self.framework.routings:
            return f"cannot name the cluster by {how}"
        if how == "cert" and self.framework.client_certificate == "none":
            return "cannot present a client certificate"
        return ""

    @property
    def routing(self) -> str:
        """How the cluster is named where the form leaves it open: the guide's way where the framework can."""
        return "options" if "options" in self.framework.routings else "database"

    @property
    def is_issued(self) -> bool:
        """Whether the role issues the client certificate: in all cells, or in one where not all are run."""
        return bool(os.environ.get(ALL)) or self.framework.name == "psycopg2"

    def entry(self) -> dict[str, str]:
        """The framework as the inventory lists it: with the version that is tested."""
        facts = {
            "name": self.framework.name,
            "version": self.framework.packages[0].tested if self.framework.packages else "",
            "variant": self.framework.variant,
            "password_place": self.framework.place,
        }
        return {key: value for key, value in facts.items() if value}

    def connection(self, sandbox: Sandbox) -> dict[str, Any]:
        """The connection as the inventory has it."""
        cluster = sandbox.clusters[CLUSTERS[self.deployment]]
        facts = dict(sandbox.connections[cluster.name.replace("-", "_")])
        how = self.form.partition(" ")[2]
        if how == "public_ca":
            facts.update(routing=self.routing, ca_public=True)
        elif how in ("options", "database"):
            facts["routing"] = how
        elif how == "sni":
            facts.update(routing="sni", host=cluster.sni_host)
            del facts["routing_id"]
        elif how.startswith("token"):
            # One that the sandbox's own issuer signed, as `python -m sandbox token` prints it.
            del facts["password"]
            claims = tokens.claims_for(cluster.user, cluster.name)
            path = sandbox.state / f"token-{cluster.name}"
            path.write_text(tokens.mint((sandbox.state / "issuer.key").read_bytes(), claims) + "\n")
            facts["jwt_file" if how == "token" else "jwt_command"] = str(path) if how == "token" else f"/bin/cat {path}"
        elif how == "cert":
            del facts["password"]
            ca = cluster.ca_file.with_suffix("")
            issued = {"client_ca_file": f"{ca}.crt", "client_ca_key_file": f"{ca}.key"}
            facts.update(issued if self.is_issued else cluster.client_certificate or {})
        if self.trial == "stranger":
            facts["ca_file"] = str(sandbox.stranger_ca_file)
        elif self.trial != "inside":
            facts["port"] = cluster.ports[self.trial]
        return facts


def listed(everything: bool, catalogue: Path = _catalogue.CATALOGUE) -> list[Cell]:
    """The cells that are rendered and run, and those that cannot be.

    Not `everything`: the newest version of each framework, on one cell of each deployment. On Dedicated, which needs
    neither a routing id nor a client certificate, one framework of a language stands for all.
    """
    cells: list[Cell] = []
    for newest in _catalogue.load(catalogue).values():
        if newest.probe is None:
            continue
        for framework in newest.choices if everything else newest.choices[:1]:
            for place in framework.places if everything else framework.places[:1]:
                placed = _catalogue.replace(framework, place=place)
                able = [Cell(placed, form) for form in FORMS if everything or not Cell(placed, form).impossible]
                if not everything:
                    able = list({cell.deployment: cell for cell in reversed(able)}.values())
                    if framework.language in {cell.framework.language for cell in cells}:
                        able = [cell for cell in able if cell.deployment != "dedicated"]
                    by_token = Cell(placed, "serverless token")
                    able += [by_token] if not by_token.impossible else []
                cells += able
                if everything and place == framework.places[0]:
                    refused = {cell.deployment: cell for cell in reversed(able) if not cell.impossible}
                    cells += [Cell(placed, cell.form, trial) for cell in refused.values() for trial in TRIALS[1:]]
    return cells


def is_refused(cell: Cell, report: Mapping[str, Any]) -> bool:
    """Whether a trial that has to fail failed for its own reason, and not because a driver was slow or is missing."""
    words = REFUSED.get(f"{cell.trial} {cell.deployment}", REFUSED.get(cell.trial))
    return report["verdict"] == "failed" and words is not None and bool(words.search(report["message"]))


def installed(cells: list[Cell]) -> dict[tuple[str, ...], dict[str, str]]:
    """What install-clients says of each choice: its folder, or what is missing."""
    return _installed(*sorted({f"{cell.framework.name} {cell.framework.versions}" for cell in cells}))


@cache
def _installed(*names: str) -> dict[tuple[str, ...], dict[str, str]]:
    words = [sys.executable, CHECKOUT / "scripts" / "install-clients", *([] if os.environ.get(ALL) else ["--quick"])]
    done = subprocess.run([*words, *names], capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    return {(facts["framework"], facts["versions"], facts["variant"]): facts for facts in found}


def loaders(language: str) -> dict[str, str]:
    """What install-clients says of a language's loader of environment files."""
    return _installed("loaders")["loaders", "", language]


def toolchain(framework: Framework, folder: Path) -> dict[str, Any]:
    """How a language's programs are run with the packages in a folder: parameters of the module probe."""
    environment = {
        "javascript": {"NODE_PATH": str(folder / "node_modules")},
        "go": {"GOFLAGS": "-mod=readonly"},
        "java": {"CLASSPATH": os.pathsep.join(map(str, sorted(folder.glob("jars/*.jar"))))},
    }.get(framework.language) or languages.call(framework.language, "environment", folder, default={})
    return {
        "interpreters": {"python": str(folder / "venv" / "bin" / "python")},
        "environment": {**environment, "PGCONNECT_TIMEOUT": "3"},
        "timeout": 120.0,
    }


def hosts(sandbox: Sandbox, folder: Path) -> list[str]:
    """A command's beginning that lets it see the sandbox's host names; empty where this user may not mount."""
    path = folder / "hosts"
    names = [cluster.sni_host for cluster in sandbox.clusters.values()]
    path.write_text(Path("/etc/hosts").read_text() + f"\n127.0.0.1 {' '.join(names)}\n")
    words = ["unshare", "--mount", "sh", "-c", f'mount --bind {path} /etc/hosts && exec "$@"', "sh"]
    if not shutil.which("unshare"):
        return []
    return words if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0 else []


def write(cells: list[Cell], sandbox: Sandbox, controller: Controller, samples: bool = False) -> None:
    """Let the collection write the files of every cell, one app each."""
    run = controller.playbook(
        "./tests/clients/playbooks/write.yml",
        {
            "crdb_connections": {
                cell.name.replace("-", "_").replace(".", "_"): cell.connection(sandbox) for cell in cells
            },
            "crdb_apps": [
                {
                    "name": cell.name[:60],
                    "connection": cell.name.replace("-", "_").replace(".", "_"),
                    "folder": f"~/{cell.name}",
                    "frameworks": [cell.entry()],
                    "samples": samples,
                    "trust_store": cell.form.endswith("trust_store"),
                }
                for cell in cells
            ],
        },
    )
    assert run.status == 0, run.output[-5000:]


@cache
def go_caches() -> dict[str, str]:
    """Where Go keeps things, which a scratch home must not change."""
    done = subprocess.run(["go", "env", "-json", "GOCACHE", "GOMODCACHE"], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def counted_as_public(framework: Framework, ca_file: Path, home: Path) -> dict[str, str]:
    """The environment in which a client finds a CA where it finds the public ones."""
    if framework.public_ca == "trust_store":
        store = home / "public.p12"
        store.write_bytes(write_trust_store({a.fingerprint: a.pem for a in verify(ca_file.read_bytes(), "CA")}))
        return {"JAVA_TOOL_OPTIONS": f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"}
    if framework.public_ca == "own_roots":
        return {"NODE_EXTRA_CA_CERTS" if framework.language == "javascript" else "SSL_CERT_FILE": str(ca_file)}
    # The role put it to ~/.postgresql/root.crt.
    return {"HOME": str(home), **(go_caches() if framework.language == "go" else {})}


def jobs(cells: list[Cell], folders: dict[str, Path], home: Path, sandbox: Sandbox) -> Iterator[dict[str, Any]]:
    """A probe of each cell, as the action plugin makes it, and the module's parameters."""
    for cell in cells:
        framework, folder = cell.framework, folders[cell.name]
        app = home / cell.name
        if framework.language == "go":
            for name in ("go.mod", "go.sum"):
                shutil.copy(folder / name, app / name)
        languages.call(framework.language, "prepare", folder, app)
        params = toolchain(framework, folder)
        if cell.trial == "outside" and cell.deployment != "serverless":
            # Nobody answers, as the proxy of a Serverless cluster does. A program that is compiled and starts a
            # framework needs some of this for itself.
            params["timeout"] = 30.0 if framework.language in ("go", "java") else 10.0
        if cell.form.endswith("public_ca"):
            ca_file = sandbox.clusters[CLUSTERS[cell.deployment]].ca_file
            params["environment"].update(counted_as_public(framework, ca_file, home))
        source = connections.source("cell", cell.connection(sandbox))
        stored = cell.form.endswith("trust_store")
        described = App(cell.name, source, "", "", "", (framework,), ".env", trust_store=stored)
        described = with_certificate(described, str(app))
        yield {"probe": {**probe(described, framework), "folder": str(app), "user": ""}, "params": params}


def run_all(cells: list[Cell], sandbox: Sandbox, home: Path) -> dict[str, dict[str, Any]]:
    """Write and run every cell; reports by the cell's name, impossible or not_proved where not run."""
    reports: dict[str, dict[str, Any]] = {}
    clients = installed(cells)
    prefix = hosts(sandbox, home)
    possible, folders = [], {}
    for cell in cells:
        facts = clients[cell.framework.name, cell.framework.versions, cell.framework.variant]
        reason = facts["error"] or (f"there is no {facts['missing']} on this machine" if facts["missing"] else "")
        if cell.form.endswith("sni") and not prefix:
            reason = reason or "this user may not mount a hosts file over /etc/hosts: run the tests as root"
        if cell.impossible or reason:
            verdict = "impossible" if cell.impossible else "not_proved"
            reports[cell.name] = {"verdict": verdict, "message": cell.impossible or reason, "facts": {}}
        else:
            possible.append(cell)
            folders[cell.name] = Path(facts["folder"])
    write(possible, sandbox, Controller(home))
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "tests.clients.runner"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}/collections"},
        input=json.dumps(list(jobs(possible, folders, home, sandbox))),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for cell, report in zip(possible, json.loads(done.stdout), strict=True):
        # Everything was installed: a driver that the probe does not find is a fault.
        verdict = "failed" if report["verdict"] == "not_proved" else report["verdict"]
        reports[cell.name] = {**report, "verdict": verdict}
    return reports
