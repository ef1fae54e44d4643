# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scratch home, a stand-in for the vendor's server, and what the tests of the client share."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._client import builds
from ansible_collections.crdb.onboard.plugins.module_utils._client.install import install
from ansible_collections.crdb.onboard.plugins.module_utils._client.options import ClientOptions

from tests import vendor

TOP = Path(__file__).resolve().parents[5]
OLD, NEW = "v25.4.9", "v25.4.11"
BUILD = builds.this_build()
CRDB_SQL = Path(builds.__file__).with_name("crdb-sql")
ARCHIVE = builds.archive_name("cockroach", NEW, BUILD)
FOLDER = ARCHIVE[: -len(".tgz")]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A scratch home."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def server(tmp_path):
    """The stand-in for the vendor's server, with two versions."""
    vendor.publish(tmp_path / "archives", OLD, NEW)
    running = vendor.Server(tmp_path / "archives", tmp_path)
    yield running
    running.close()


@pytest.fixture
def options(home, server):
    """The newer version in the home."""
    return ClientOptions(
        prefix=str(home / ".local"),
        version=NEW,
        base_url=server.url,
        ca_file=str(server.ca_file),
        timeout=1.0,
        crdb_sql=CRDB_SQL.read_text(),
    )


def present(options, check_mode=False):
    """Install, and return the result."""
    return install(options, check_mode)


def version_of(link):
    """Return the version that the program at a link reports."""
    return subprocess.run([link, "version"], capture_output=True, text=True, check=True).stdout.split()[2]


def tree(folder):
    """Everything below a folder: kind, mode, content."""
    return {
        str(path.relative_to(folder)): (
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
            path.lstat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
    }


IN_A_PREFIX = """
import encodings.ascii, encodings.idna, encodings.latin_1, os, sys
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._client.install import install
from ansible_collections.crdb.onboard.plugins.module_utils._client.options import ClientOptions
user = {user}
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
try:
    install(ClientOptions(**{options!r}), False)
except ClientError as exc:
    sys.exit(str(exc))
"""


def in_a_process(options, *, user=0, before=""):
    """The same in a process of its own, with the id of another user or some lines before it."""
    program = before + IN_A_PREFIX.format(user=user, options=asdict(options))
    environment = {**os.environ, "PYTHONPATH": str(TOP / "collections"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
