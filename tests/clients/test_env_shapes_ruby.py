# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files in every shape, as the gem dotenv reads them."""

from __future__ import annotations

import json
import subprocess

from tests.clients.env_shapes import NAME, REFUSED, SHAPES

PROGRAM = """
require "dotenv"
require "json"
puts JSON.parse($stdin.read).map { |text| Dotenv::Parser.call(text).fetch(ARGV[0], "") }.to_json
"""


def test_every_shape_is_read_as_it_is_meant():
    shapes = [shape for shape in SHAPES if shape.value != REFUSED]
    done = subprocess.run(
        ["ruby", "-e", PROGRAM, NAME], input=json.dumps([shape.content.decode() for shape in shapes]),
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found = {shape.title: value for shape, value in zip(shapes, json.loads(done.stdout), strict=True)}
    assert found == {shape.title: shape.loaders.get("dotenv-ruby", shape.value) for shape in shapes}
