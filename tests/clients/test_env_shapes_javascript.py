# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files in every shape, as Node's own parser and the package dotenv read them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.env_shapes import NAME, REFUSED, SHAPES
from tests.clients.matrix import loaders

PROGRAM = """
const { parseEnv } = require('node:util');
const { parse } = require(process.argv[1]);
const shapes = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const read = (parser) => shapes.map((text) => parser(text)[process.argv[2]] ?? '');
console.log(JSON.stringify({ node: read(parseEnv), dotenv: read(parse) }));
"""


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str]]:
    """By reader, what each shape that is not refused says."""
    shapes = [shape for shape in SHAPES if shape.value != REFUSED]
    folder = Path(loaders("javascript")["folder"])
    done = subprocess.run(
        ["node", "-e", PROGRAM, str(folder / "node_modules" / "dotenv"), NAME],
        input=json.dumps([shape.content.decode() for shape in shapes]), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    titles = [shape.title for shape in shapes]
    return {reader: dict(zip(titles, values, strict=True)) for reader, values in json.loads(done.stdout).items()}


@pytest.mark.parametrize("reader", ["node", "dotenv"])
def test_every_shape_is_read_as_it_is_meant(found: dict[str, dict[str, str]], reader: str):
    expected = {s.title: s.loaders.get(reader, s.value) for s in SHAPES if s.value != REFUSED}
    assert found[reader] == expected
