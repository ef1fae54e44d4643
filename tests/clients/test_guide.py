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
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import framework_values, render

from tests.clients.guide import PRINTED, PUBLIC, filled
from tests.clients.matrix import Cell, _catalogue, go_caches, installed, run_all, toolchain
from tests.conftest import CHECKOUT

CHOICES = {
    (choice.name, choice.versions, choice.variant): choice
    for newest in _catalogue.load().values()
    for choice in newest.choices
}


@pytest.mark.parametrize(("which", "texts"), PUBLIC.items(), ids=lambda value: "-".join(value)[:40])
def test_a_public_ca_has_the_guides_text(which, texts):
    choice = _catalogue.replace(CHOICES[which], place="inline")
    facts = {
        "deployment": "serverless", "host": "free-tier.example.com", "user": "max", "password": "p4ss",
        "database": "bank", "routing_id": "funky-skunk-1", "ca_text": "unused", "ca_public": True,
    }  # fmt: skip
    app = App("shop", connections.source("db", facts), "/srv", "", "", (choice,), ".env")
    values = framework_values(app, choice, "/home/max/.postgresql/root.crt", "")
    written = "".join(render(choice, file, values).decode() for file in choice.files)
    known = {**facts, "port": 26257, "id": "funky-skunk-1"}
    assert [text for text in texts if filled(text, known) not in written] == [], written
    assert "root.crt" not in written

    private = App("shop", connections.source("db", {**facts, "ca_public": False}), "/srv", "", "", (choice,), ".env")
    values = framework_values(private, choice, "/srv/certs/ca.crt", "CA")
    named = "".join(render(choice, file, values).decode() for file in choice.files)
    assert "%2Fsrv%2Fcerts%2Fca.crt" in named or '"/srv/certs/ca.crt"' in named or '"CA"' in named


def test_every_framework_of_the_guide_has_its_text():
    named = {name for name, _versions, _variant in PUBLIC}
    assert len(named - {"typeorm"}) == 12
    assert named <= set(_catalogue.load())


@pytest.mark.thorough
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
        (app / name).write_text(filled(text, known))
    folder = Path(facts["folder"])
    if choice.language == "go":
        for name in ("go.mod", "go.sum"):
            (app / name).write_bytes((folder / name).read_bytes())
    params = toolchain(choice, folder)
    params["environment"].update(go_caches() if choice.language == "go" else {}, HOME=str(home))
    job = {
        "probe": {
            "app": "guide", "framework": choice.name, "interpreter": choice.probe.interpreter, "sources": [],
            "arguments": [],
            "program": filled(form.program, known), "environment_file": "", "folder": str(app), "user": "",
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
