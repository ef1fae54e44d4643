# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo, in one folder of the person's home: a checkout in small, the scratch home and the drivers."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from .arguments import PROGRAM
from .child import Child


def folder() -> Path:
    """Everything that the demo writes, but the state of the stand-in clusters, which `.sandbox` in it links to."""
    return Path.home() / ".crdb-onboard-demo"


def _needs() -> list[Requirement]:
    """What the package's extra `demo` installs, as its metadata says."""
    required = map(Requirement, importlib.metadata.requires(PROGRAM) or ())
    return [each for each in required if each.marker and each.marker.evaluate({"extra": "demo"})]


def _installed(name: str) -> bool:
    return any(importlib.metadata.distributions(name=name))


def problem() -> str:
    """Why the demo cannot run, with the command that helps; empty if it can."""
    needs = _needs()
    if all(_installed(each.name) for each in needs):
        return ""
    # Without the marker, as pip takes it.
    packages = [shlex.quote(str(each).partition(";")[0]) for each in needs]
    with_them = " ".join(f"--with {package}" for package in packages)
    return (
        "the demo runs a PostgreSQL, which the package does not bring by itself. Install it where this package is:\n"
        f"  pipx                 pipx inject {PROGRAM} {' '.join(packages)}\n"
        f"  uvx                  add {with_them} after uvx\n"
        f"  other environments   {sys.executable} -m pip install {' '.join(packages)}"
    )


def prepare(package: Path) -> tuple[list[str], dict[str, str]]:
    """Write the demo's folder; its playbook with its inventory, and what its environment has besides."""
    top, checkout = folder(), folder() / "checkout"
    top.mkdir(mode=0o700, exist_ok=True)
    # `.sandbox` in the checkout stays: it leads to clusters that may run.
    collection = package / "ansible_collections" / "crdb" / "onboard"
    # The stand-in clusters import parts of plugins/.
    for source in (collection / "playbooks", collection / "plugins", *(package / "demo_files").iterdir()):
        shutil.rmtree(checkout / source.name, ignore_errors=True)
        shutil.copytree(source, checkout / source.name)
    for name in ("home", "cache"):
        (top / name).mkdir(exist_ok=True)
    # An archive does not keep it everywhere.
    (checkout / "scripts" / "install-drivers").chmod(0o755)
    return ["-i", str(checkout / "inventories" / "sandbox"), str(checkout / "playbooks" / "demo.yml")], {
        "CRDB_DEMO": str(top),
        "CRDB_DEMO_COMMAND": "crdb-onboard",
        "CRDB_DEMO_REAL_HOME": str(Path.home()),
        "CRDB_PYTHON": sys.executable,
        "HOME": str(top / "home"),
        "PIP_CACHE_DIR": str(top / "cache"),
        "npm_config_cache": str(top / "cache"),
    }


def down(child: Child) -> int:
    """Stop the stand-in clusters, and remove everything that the demo wrote."""
    top, checkout = folder(), folder() / "checkout"
    if (checkout / "sandbox").is_dir():
        command = [sys.executable, "-m", "sandbox"]
        if status := child.run([*command, "down"], os.environ, folder=checkout):
            return status
        described = subprocess.run([*command, "status", "--json"], cwd=checkout, stdout=subprocess.PIPE, check=False)  # noqa: S603
        shutil.rmtree(json.loads(described.stdout)["state"], ignore_errors=True)
    if top.exists():
        shutil.rmtree(top)
        print(f"{top} was removed.")
    else:
        print("There is no demo to remove.")
    return 0
