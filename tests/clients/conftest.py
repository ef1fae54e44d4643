# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the client tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Controller


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    """Ansible with an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    return Controller(home)
