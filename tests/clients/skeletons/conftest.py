# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the projects."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.skeletons.node import Node
from tests.conftest import Sandbox
from tests.integration.conftest import Controller


@pytest.fixture
def node(tmp_path: Path, controller: Controller, sandbox: Sandbox) -> Node:
    """Makes Node.js projects."""
    return Node(tmp_path, controller, sandbox)
