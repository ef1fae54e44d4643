# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files in every shape, as a written PHP class reads them, and a written Rust module."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.env_shapes import ABSENT, REFUSED, SHAPES, URL, Shape
from tests.clients.languages import rust
from tests.clients.matrix import loaders
from tests.clients.rendered import rendered

PHP = """<?php
require $argv[1];
$method = new ReflectionMethod('CrdbDatabase', 'url');
$method->setAccessible(true);
$found = [];
foreach (array_slice($argv, 2) as $folder) {
    chdir($folder);
    try {
        $found[] = $method->invoke(null);
    } catch (Throwable $error) {
        $found[] = 'error: ' . $error->getMessage();
    }
}
echo json_encode($found);
"""
RUST = """use std::env;
use std::path::{Path, PathBuf};

fn main() {
    for folder in env::args().skip(1) {
        env::set_current_dir(folder).unwrap();
        match database_url() {
            Ok(url) => println!("{url}"),
            Err(error) => println!("error: {error}"),
        }
    }
}

"""


def folders(top: Path) -> list[str]:
    """A folder for each shape."""
    made = []
    for number, shape in enumerate(SHAPES):
        folder = top / "shapes" / str(number)
        folder.mkdir(parents=True)
        (folder / ".env").write_bytes(shape.content)
        made.append(str(folder))
    return made


def read_by_php(top: Path) -> list[str]:
    """What the class finds for each shape; an error's text after `error: `."""
    if not shutil.which("php"):
        pytest.skip("there is no php on this machine (make system-deps installs it)")
    _framework, texts = rendered("pdo")
    (top / "app").mkdir()
    (top / "app" / "CrdbDatabase.php").write_text(texts["CrdbDatabase.php"])
    (top / "read.php").write_text(PHP)
    words = ["php", str(top / "read.php"), str(top / "app" / "CrdbDatabase.php"), *folders(top)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "DATABASE_URL": ""})
    return json.loads(done.stdout)


def read_by_rust(top: Path) -> list[str]:
    """The same of the module, without its driver."""
    facts = loaders("rust")
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine (https://rustup.rs installs it)")
    _framework, texts = rendered("sqlx-rust")
    text = texts["src/crdb_sqlx.rs"]
    (top / "app" / "src").mkdir(parents=True)
    rust.prepare(Path(facts["folder"]), top / "app")
    (top / "app" / "src" / "main.rs").write_text(RUST + text[text.index("/// Why the connection string") :])
    done = subprocess.run(
        ["cargo", "run", "--quiet", "--offline", "--", *folders(top)], cwd=top / "app", capture_output=True, text=True,
        check=True, env={**os.environ, **rust.environment(Path(facts["folder"])), "DATABASE_URL": ""},
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture(scope="module", params=["phpdotenv", "dotenvy"])
def read(request, tmp_path_factory):
    """The loader's name, and what it finds for each shape, by its title."""
    top = tmp_path_factory.mktemp("shapes")
    found = read_by_php(top) if request.param == "phpdotenv" else read_by_rust(top)
    return request.param, {shape.title: text for shape, text in zip(SHAPES, found, strict=True)}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.title)
def test_the_loader_reads(shape: Shape, read: tuple[str, dict[str, str]]):
    loader, found = read
    value = found[shape.title]
    expected = shape.loaders.get(loader, shape.value)
    if value.startswith("error: "):
        # No error quotes the file, in which the password is.
        assert "ann:" not in value
        assert "p%40ss" not in value
        assert expected in (ABSENT, REFUSED)
    else:
        # What is refused is never written; a person's own file may still be read.
        assert value == expected or (expected == REFUSED and value == URL)
