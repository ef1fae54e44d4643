# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests on real sockets."""

from __future__ import annotations

import os

import pytest

from tests.faults import table
from tests.faults.table import Files


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return table.prepare(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def bare_user(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's public roots are a stranger's, and its user has neither files nor variables."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files.stranger.path))
    monkeypatch.setenv("SSL_CERT_DIR", str(files.folder / "no-such-folder"))
    monkeypatch.setenv("HOME", str(files.folder))
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
