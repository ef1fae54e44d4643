# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files in every shape, as a written Go package reads them by godotenv."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.env_shapes import ABSENT, REFUSED, SHAPES, URL, Shape
from tests.clients.matrix import Cell, installed
from tests.clients.rendered import rendered, with_tabs

LOADER = "godotenv"
# In the package itself, whose function is its own affair.
READER = """package crdbpgx

import (
    "encoding/json"
    "os"
    "strings"
    "testing"
)

func TestRead(t *testing.T) {
    found := []string{}
    for _, folder := range strings.Split(os.Getenv("FOLDERS"), ":") {
        if err := os.Chdir(folder); err != nil {
            t.Fatal(err)
        }
        value, err := databaseURL()
        if err != nil {
            value = "error: " + err.Error()
        }
        found = append(found, value)
    }
    text, _ := json.Marshal(found)
    _ = os.WriteFile(os.Getenv("FOUND"), text, 0o600)
}
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the package finds for each shape, by its title; an error's text after `error: `."""
    top = tmp_path_factory.mktemp("go")
    framework, texts = rendered("pgx", {"module": "example.com/shop"})
    facts = installed([Cell(framework, "dedicated")])[framework.name, framework.versions, framework.variant]
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine (make system-deps installs it)")
    for name in ("go.mod", "go.sum"):
        shutil.copy(Path(facts["folder"]) / name, top / name)
    (top / "crdbpgx").mkdir()
    (top / "crdbpgx" / "crdbpgx.go").write_text(texts["crdbpgx/crdbpgx.go"])
    (top / "crdbpgx" / "read_test.go").write_text(with_tabs(READER))
    folders = []
    for number, shape in enumerate(SHAPES):
        folder = top / "shapes" / str(number)
        folder.mkdir(parents=True)
        (folder / ".env").write_bytes(shape.content)
        # Nothing above it counts.
        (folder / "go.mod").touch()
        folders.append(str(folder))
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        ["go", "test", "-mod=readonly", "./crdbpgx"], cwd=top, capture_output=True, text=True, check=False,
        env={**environment, "FOLDERS": ":".join(folders), "FOUND": str(top / "found.json"), "DATABASE_URL": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((top / "found.json").read_text())
    return {shape.title: text for shape, text in zip(SHAPES, found, strict=True)}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.title)
def test_godotenv_reads(shape: Shape, read: dict[str, str]):
    value = read[shape.title]
    expected = shape.loaders.get(LOADER, shape.value)
    if value.startswith("error: "):
        # No error quotes the file, in which the password is.
        assert "ann:" not in value
        assert "p%40ss" not in value
        assert expected in (ABSENT, REFUSED)
    else:
        # What is refused is never written; a person's own file may still be read.
        assert value == expected or (expected == REFUSED and value == URL)
