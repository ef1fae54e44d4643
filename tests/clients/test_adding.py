# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A framework is one folder: with it alone it is listed, validated, written, tested and documented."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.clients.matrix import ALL
from tests.conftest import CHECKOUT, REUSED
from tests.integration.conftest import Controller


def test_a_framework_is_added_by_one_folder(sandbox, tmp_path):
    copy, home = tmp_path / "checkout", tmp_path / "home"
    home.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_symlink() or (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name, follow_symlinks=False)
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

    environment = {**os.environ, ALL: "1", REUSED: str(sandbox.state), "PYTHONPATH": "collections"}
    words = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/clients/test_matrix.py",
        "-k",
        "elephant and serverless-options",
    ]
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "5 passed" in done.stdout
    words = ["-m", "tests.clients.report"]
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, check=True
    )
    assert "| `elephant` >=2.8,<3 | psycopg2 2.9.13, python-dotenv 1.2.4 | env, inline |" in done.stdout
