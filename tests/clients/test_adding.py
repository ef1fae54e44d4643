# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A framework is one folder, a language a folder and a file: no more is needed to list, write, test and document it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import psycopg
import pytest
import yaml

from tests.clients.matrix import ALL
from tests.conftest import CHECKOUT, REUSED
from tests.integration.conftest import Controller


@pytest.fixture
def checkout(tmp_path):
    """A copy of the checkout, with what is not committed yet, and a home beside it."""
    copy = tmp_path / "checkout"
    (tmp_path / "home").mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_symlink() or (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name, follow_symlinks=False)
    return copy


def run_pytest(checkout, sandbox, *words):
    """What pytest prints in the copy, with every choice."""
    environment = {**os.environ, ALL: "1", REUSED: str(sandbox.state), "PYTHONPATH": "collections"}
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def report_of(checkout):
    """The page about the frameworks, as the copy's last run makes it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.clients.report"], cwd=checkout, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": "collections"},
    )  # fmt: skip
    return done.stdout


@pytest.mark.thorough
def test_a_framework_is_added_by_one_folder(sandbox, checkout):
    copy, home = checkout, checkout.parent / "home"
    folder = copy / "templates" / "python" / "elephant"
    shutil.copytree(copy / "templates" / "python" / "psycopg2", folder)
    described = (folder / "framework.yml").read_text().replace("title: psycopg2", "title: Elephant")
    (folder / "framework.yml").write_text(described)

    controller = Controller(home, cwd=copy, config=copy / "ansible.cfg")
    run = controller.playbook("frameworks")
    assert run.status == 0, run.output
    assert "elephant: crdb_database.py" in run.output

    facts = {"crdb_connections": {"skunk": sandbox.connections["funky_skunk"]}}
    run = controller.playbook("dev_machine", {**facts, "crdb_frameworks": "elephunt"})
    assert run.status == 2, run.output
    assert "Did you mean elephant?" in run.output
    run = controller.playbook("dev_machine", {**facts, "crdb_frameworks": [{"name": "elephant", "version": "2.9"}]})
    assert run.status == 0, run.output
    assert (home / "crdb-app" / "crdb_database.py").exists()

    printed = run_pytest(copy, sandbox, "tests/clients/test_matrix.py", "-k", "elephant and serverless-options")
    assert "5 passed" in printed
    assert "| `elephant` >=2.8,<3 | psycopg2 2.9.13, python-dotenv 1.2.4 | env, inline |" in report_of(copy)


LANGUAGE = {
    "title": "Frog",
    "literal": {"quote": '"', "escapes": {'"': '\\"', "\\": "\\\\"}, "other": "\\U%08x"},
    "install": {"begin": "frog add ", "each": "{name}@{version}", "between": " "},
    "facts": {"pond": "PATH"},
    "project": {
        "manifests": ["frog.toml"],
        "versions": [{"file": "frog.toml", "pattern": '^(?P<name>[a-z]+) = "(?P<version>[0-9.]+)"'}],
        "facts": {"pond": {"file": "frog.toml", "pattern": '^pond = "(?P<value>[a-z]+)"'}},
    },
    "probe": {"files": {"probe.frog": ""}, "steps": [["@INTERPRETER@", "@SCRATCH@/probe.frog"]]},
}
FRAMEWORK = {
    "title": "Pad",
    "documentation": "https://example.com",
    "special": "It is made up.",
    "versions": ">=3,<4",
    "packages": [{"name": "psycopg", "tested": psycopg.__version__}],
    "environment": {},
    "places": ["inline"],
    "files": [{"template": "pad.frog.j2", "destination": "pad.frog", "use": "leap pad"}],
    "projects": [
        {
            "when": {"pond": "*"},
            "files": [{"template": "pad.frog.j2", "destination": "{{ pond }}/pad.frog", "use": "leap {{ pond }}/pad"}],
        }
    ],
    "routings": ["options", "database", "sni"],
    "ca": "url",
    "probe": {"program": "probe.frog", "interpreter": sys.executable},
}
PROBE = """import json, psycopg
names = {}
exec(open("pad.frog").read(), names)
with psycopg.connect(names["url"]) as connection:
    row = connection.execute("SELECT current_user, current_database(), %s::INT + 1", [41]).fetchone()
    tls = "TLS" if connection.pgconn.ssl_in_use else ""
print(json.dumps(dict(version=psycopg.__version__, user=row[0], database=row[1], answer=row[2], tls=tls)))
"""
# How the tests run it, and how its own parser reads what hostile values were written as.
TESTS = """import ast

PROGRAM = "git"


def install(packages, folder, lock, run):
    run("git", "--version", cwd=folder)


def right(choice, made, scratch, ask):
    trees = [ast.parse(one.texts["pad.frog"]).body for one in made]
    return [len(tree) == 1 and tree[0].value.value == one.connection.url() for tree, one in zip(trees, made)]
"""


@pytest.mark.thorough
def test_a_language_is_added_by_one_folder_and_one_file(sandbox, checkout):
    home, folder = checkout.parent / "home", checkout / "templates" / "frog"
    (folder / "pad").mkdir(parents=True)
    (folder / "language.yml").write_text(yaml.safe_dump(LANGUAGE))
    (folder / "pad" / "framework.yml").write_text(yaml.safe_dump(FRAMEWORK))
    (folder / "pad" / "pad.frog.j2").write_text("url = {{ connection.url() | frog }}\n")
    (folder / "pad" / "probe.frog").write_text(PROBE)
    (checkout / "tests" / "clients" / "languages" / "frog.py").write_text(TESTS)

    controller = Controller(home, cwd=checkout, config=checkout / "ansible.cfg")
    run = controller.playbook("frameworks")
    assert run.status == 0, run.output
    assert "Frog:" in run.output
    assert f"frog add psycopg@{psycopg.__version__}" in run.output

    # In a project, whose facts and versions its own rules find: the probe proves what was written.
    app = home / "crdb-app"
    app.mkdir()
    facts = {"crdb_connections": {"skunk": sandbox.connections["funky_skunk"]}, "crdb_frameworks": "pad"}
    (app / "frog.toml").write_text('psycopg = "2.0"\n')
    run = controller.playbook("dev_machine", facts)
    assert run.status == 2, run.output
    assert "2.0 of frog.toml is outside the supported ranges" in " ".join(run.output.split())
    (app / "frog.toml").write_text('psycopg = "3.1"\n')
    run = controller.playbook("dev_machine", facts)
    assert run.status == 0, run.output
    assert f"pad {psycopg.__version__}: connected as maxroach" in " ".join(run.output.split())
    (app / "frog.toml").write_text('pond = "lake"\n')
    run = controller.playbook("frameworks", facts)
    assert run.status == 0, run.output

    printed = run_pytest(checkout, sandbox, "tests/clients/test_matrix.py", "-k", "pad and serverless-options")
    assert "4 passed" in printed
    printed = run_pytest(checkout, sandbox, "tests/clients/test_escaping.py", "-k", "pad")
    assert "1 passed" in printed
    assert f"| `pad` >=3,<4 | psycopg {psycopg.__version__} | inline |" in report_of(checkout)
