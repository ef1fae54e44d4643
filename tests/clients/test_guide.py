# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guide prints fails as it says; what is written instead is proved by the matrix."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.guide import PRINTED
from tests.clients.matrix import Cell, _catalogue, installed, run_all, toolchain
from tests.conftest import CHECKOUT

CHOICES = {
    (choice.name, choice.versions, choice.variant): choice
    for newest in _catalogue.load().values()
    for choice in newest.choices
}


def go_caches():
    """Where Go keeps things, which a scratch home must not change."""
    done = subprocess.run(["go", "env", "-json", "GOCACHE", "GOMODCACHE"], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {}


@pytest.mark.parametrize("form", PRINTED, ids=lambda form: form.name)
def test_the_printed_form_fails_and_ours_connects(sandbox, tmp_path, form):
    choice = CHOICES[form.framework, form.versions, form.variant]
    how = "options" if "options" in choice.routings else "database"
    ours = Cell(choice, f"serverless {how}")
    facts = installed([ours])[form.framework, form.versions, form.variant]
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine (make system-deps installs it)")
    home, app = tmp_path / "home", tmp_path / "home" / "guide"
    (home / ".postgresql").mkdir(parents=True)
    app.mkdir()
    cluster = sandbox.clusters["funky-skunk"]
    (home / ".postgresql" / "root.crt").write_bytes(cluster.ca_file.read_bytes())
    known = {
        "user": cluster.user, "password": cluster.password, "host": cluster.host, "port": cluster.ports["inside"],
        "database": "defaultdb", "id": cluster.routing_id, "ca": cluster.ca_file,
    }  # fmt: skip
    for name, text in form.files:
        (app / name).write_text(form.filled(text, known))
    folder = Path(facts["folder"])
    if choice.language == "go":
        for name in ("go.mod", "go.sum"):
            (app / name).write_bytes((folder / name).read_bytes())
    params = toolchain(choice, folder)
    params["environment"].update(go_caches() if choice.language == "go" else {}, HOME=str(home))
    job = {
        "probe": {
            "app": "guide", "framework": choice.name, "interpreter": choice.probe.interpreter, "sources": [],
            "program": form.filled(form.program, known), "environment_file": "", "folder": str(app), "user": "",
        },
        "params": params,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.clients.runner"], input=json.dumps([job]), capture_output=True, text=True,
        cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": f"{CHECKOUT}/collections"}, check=True,
    )  # fmt: skip
    (report,) = json.loads(done.stdout)
    assert report["verdict"] == "failed", report
    assert re.search(form.error, report["message"]), report["message"]

    proof = run_all([ours], sandbox, home)[ours.name]
    assert proof["verdict"] == "proved", proof
