# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the module `client` agree wherever they are declared."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.crdb.onboard.plugins.modules import client as module
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import options
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema

ROLE = Path(__file__).resolve().parents[5] / "roles" / "crdb_client"


def test_the_spec_of_the_module_is_that_of_its_documentation():
    documented = dict(options.arguments("client"))
    suboptions = schema.argument_spec(options.documented("client")["internal"]["suboptions"])
    assert {**documented, "internal": {**documented["internal"], "options": suboptions}} == module.ARGUMENT_SPEC


def test_the_role_passes_every_option_with_the_modules_default():
    public = {name: spec["default"] for name, spec in module.ARGUMENT_SPEC.items() if name != "internal"}
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    assert defaults == {f"crdb_client_{name}": default for name, default in public.items()}
    task = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text())[0]
    assert set(task["crdb.onboard.client"]) == set(public)
