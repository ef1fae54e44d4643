# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files in every shape: what the writer and the check read in them, a shell, and crdb-sql."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check import app_files
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import (
    FORMATS,
    FormatError,
    dotenv_text,
    find,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.expected import variable
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.files import environment_file

from tests.clients.env_shapes import ABSENT, NAME, REFUSED, SHAPES, URL, Shape

SALT = "salt"
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.title)


def test_there_are_thirty_shapes_and_their_titles_differ():
    assert len(SHAPES) >= 30
    assert len({shape.title for shape in SHAPES}) == len(SHAPES)


def read(content: bytes) -> str:
    """DATABASE_URL as the writer finds it."""
    try:
        segment = find(FORMATS["dotenv"](content), NAME)
    except FormatError:
        return REFUSED
    return ABSENT if segment is None else dotenv_text(segment.raw)


@every_shape
def test_the_writer_reads(shape: Shape):
    assert read(shape.content) == shape.value


@every_shape
def test_the_check_reads(shape: Shape, tmp_path: Path):
    path = tmp_path / ".env"
    path.write_bytes(shape.content)
    path.chmod(0o600)
    facts = {
        "path": str(path),
        "format": "dotenv",
        "secret": True,
        "digest": "",
        "variables": [variable(NAME, URL, SALT)],
    }
    app = {"salt": SALT, "files": [facts], "ca_file": None, "ca_fingerprints": [], "sslcert": None, "sslkey": None}
    codes = [finding.code for finding in app_files.inspect(app)]
    if shape.value == URL:
        assert codes == []
    elif shape.value == REFUSED:
        assert codes in (["app_file_malformed"], ["env_value_twice"])
    else:
        assert codes in (["env_value_missing"], ["env_value_differs"])


@every_shape
def test_the_shell_reads(shape: Shape, tmp_path: Path):
    if shape.value == REFUSED:
        pytest.skip("is refused, so nothing is written for a shell to read")
    path = tmp_path / ".env"
    path.write_bytes(shape.content)
    done = subprocess.run(
        ["sh", "-c", f'set -a; . "{path}"; printf %s "${NAME}"'], env={"PATH": "/usr/bin:/bin"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    expected = shape.loaders.get("sh", shape.value)
    # What a shell reads otherwise, it reads wrongly in its own way.
    assert (done.stdout == expected) or ("sh" in shape.loaders and done.stdout != URL)


@every_shape
def test_the_shell_of_the_client_reads(shape: Shape, tmp_path: Path):
    source = Path(app_files.__file__).parents[1] / "_client" / "crdb-sql"
    program = tmp_path / "crdb-sql"
    text = source.read_text().replace("@CERTS@", str(tmp_path)).replace("@PROGRAM@", str(tmp_path / "client"))
    program.write_text(text)
    (tmp_path / "client").write_text('#!/bin/sh\nprintf %s "$COCKROACH_URL"\n')
    for path in (program, tmp_path / "client"):
        path.chmod(0o755)
    file = tmp_path / "app.env"
    file.write_bytes(shape.content)
    done = subprocess.run(
        [program, "-f", file], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    if shape.value == URL:
        assert (done.returncode, done.stdout) == (0, URL)
    elif shape.value == ABSENT:
        assert done.returncode == 2
        assert "DATABASE_URL with a postgresql:// URL is missing" in done.stderr


def test_what_is_written_is_a_shape_of_the_table():
    written = environment_file({NAME: URL}, title="Written by crdb.onboard for the app shop")
    assert written.endswith(SHAPES[0].content)
