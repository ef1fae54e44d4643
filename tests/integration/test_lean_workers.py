# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's workers leave the memory that they are forked with alone: asked in a worker, by a lookup."""

from __future__ import annotations

import re

import pytest

LOOKUP = """
import gc
from ansible.plugins.lookup import LookupBase

class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        return ["frozen" if gc.get_freeze_count() else "none"]
"""
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - debug: {msg: "first {{ lookup('frozen') }}"}
    - crdb.onboard.frameworks:
    - debug: {msg: "then {{ lookup('frozen') }}"}
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_all_workers_are_lean_when_the_callback_is_enabled_and_none_otherwise(controller, tmp_path, enabled):
    (tmp_path / "lookup_plugins").mkdir()
    (tmp_path / "lookup_plugins/frozen.py").write_text(LOOKUP)
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    settings = controller.config.read_text()
    assert settings.count("\ncallbacks_enabled = crdb.onboard.lean_workers, ") == 1
    if not enabled:
        controller.config = tmp_path / "ansible.cfg"
        controller.config.write_text(re.sub("callbacks_enabled.*", "", settings))
        controller.environment["ANSIBLE_COLLECTIONS_PATH"] = str(controller.cwd / "collections")
    run = controller.playbook(str(tmp_path / "play.yml"), {}, "-i", "localhost,", "-c", "local")
    assert run.status == 0, run.output
    found = re.findall(r"msg: (first|then) (\w+)", run.output)
    state = "frozen" if enabled else "none"
    assert found == [("first", state), ("then", state)]
    assert "WARNING" not in run.output
