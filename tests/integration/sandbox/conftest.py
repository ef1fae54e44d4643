# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the sandbox's own tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import new_state
from tests.integration.sandbox.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """An empty stage."""
    folder = new_state()
    stage = Stage(folder)
    yield stage
    stage.close()
    shutil.rmtree(folder)
