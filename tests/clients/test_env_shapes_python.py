# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files in every shape, as the written Python reads them: with python-dotenv, from any folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.choose import find
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import load
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import framework_values, render

from tests.clients.env_shapes import ABSENT, NAME, REFUSED, SHAPES, URL
from tests.clients.matrix import _installed

LOADER = "python-dotenv"
READ = [shape for shape in SHAPES if shape.value != REFUSED]
FACTS = {"deployment": "dedicated", "host": "h", "user": "u", "password": "p", "database": "d", "ca_text": "x"}
PROGRAM = """
import json, os, sys
found = []
for path, kept in json.load(sys.stdin):
    names = {"__file__": path, "__name__": "crdb_database"}
    os.environ.update(kept)
    exec(compile(open(path).read(), path, "exec"), names)
    try:
        found.append(names["database_url"]())
    except RuntimeError as exc:
        found.append(f"RuntimeError: {exc}")
    for name in kept:
        del os.environ[name]
print(json.dumps(found))
"""


def written() -> bytes:
    """The file of psycopg2 without a project."""
    framework = find("psycopg2", load())
    app = App("shop", connections.source("db", FACTS), "/srv", "", "", (framework,), ".env")
    return render(framework, framework.files[0], framework_values(app, framework, "/srv/certs/ca.crt", ""))


def read(folders: list[Path], kept: dict[str, str]) -> list[str]:
    """What the written file in each folder returns, or raises; all by one interpreter, started elsewhere."""
    python = Path(_installed("psycopg2")["psycopg2", ">=2.8,<3", ""]["folder"]) / "venv" / "bin" / "python"
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "crdb_database.py").write_bytes(written())
    done = subprocess.run(
        [str(python), "-c", PROGRAM], cwd="/", capture_output=True, text=True, check=False,
        input=json.dumps([(str(folder / "crdb_database.py"), kept) for folder in folders]),
        env={key: value for key, value in os.environ.items() if key != NAME},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: list[str] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is read of every shape, by its title."""
    top = tmp_path_factory.mktemp("shapes")
    folders = [top / str(number) for number in range(len(READ))]
    for folder, shape in zip(folders, READ, strict=True):
        folder.mkdir()
        (folder / ".env").write_bytes(shape.content)
    return dict(zip((shape.title for shape in READ), read(folders, {}), strict=True))


@pytest.mark.parametrize("shape", READ, ids=lambda shape: shape.title)
def test_python_reads(shape: Any, values: dict[str, str]) -> None:
    expected = shape.loaders.get(LOADER, shape.value)
    found = values[shape.title]
    if expected == ABSENT:
        assert found.startswith("RuntimeError: DATABASE_URL is neither set nor in /")
    else:
        assert found == expected


def test_the_process_counts_first_and_an_empty_value_is_none(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'{NAME}="{URL}"\n')
    deep = tmp_path / "src" / "shop"
    assert read([deep], {NAME: "postgresql://other"}) == ["postgresql://other"]
    assert read([deep], {NAME: ""}) == [URL]
    assert read([deep], {}) == [URL]


def test_what_is_missing_is_said_before_a_driver_connects(tmp_path: Path) -> None:
    assert read([tmp_path], {NAME: ""}) == ["RuntimeError: DATABASE_URL is not set, and there is no .env"]
    (tmp_path / ".env").write_text(f'{NAME}=""\n')
    assert read([tmp_path], {}) == [f"RuntimeError: DATABASE_URL is neither set nor in {tmp_path}/.env"]


def test_without_the_loader_the_error_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'{NAME}="{URL}"\n')
    blocked = tmp_path / "blocked"
    (blocked / "dotenv").mkdir(parents=True)
    (blocked / "dotenv" / "__init__.py").write_text("raise ImportError('not here')\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(blocked)
    try:
        (found,) = read([tmp_path], {})
        assert "pip install python-dotenv" in found
        assert read([tmp_path], {NAME: "postgresql://other"}) == ["postgresql://other"]
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
