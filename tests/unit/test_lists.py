# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option and variable that is a list takes one name, or names with commas: `-e NAME=VALUE` gives text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import options
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections, schema

TOP = Path(__file__).resolve().parents[2]
ACTIONS = sorted(path.stem for path in (TOP / "plugins" / "action").glob("*.py"))


def lists(specification):
    """The names of options that are lists, but for lists of dictionaries."""
    return [
        name for name, facts in specification.items() if facts["type"] == "list" and facts.get("elements") != "dict"
    ]


OF_MODULES = [(module, name) for module in ACTIONS for name in lists(options.documented(module))]
OF_ENTRIES = [(option, name) for option in ("connections", "apps", "cloud") for name in lists(schema.keys(option))]


def test_there_are_lists():
    assert len(OF_MODULES) > 5
    assert ("connections", "users") in OF_ENTRIES


@pytest.mark.parametrize(("module", "option"), OF_MODULES, ids="-".join)
def test_an_option_of_an_action(module, option):
    for text, names in (("shop", ["shop"]), ("shop, reports", ["shop", "reports"]), ("", [])):
        assert options.with_inputs(module, {option: text})[option] == names


@pytest.mark.parametrize(("option", "key"), OF_ENTRIES, ids="-".join)
def test_a_key_of_an_entry(option, key):
    assert schema.validated(option, {key: "shop_a, shop_b"}, option)[key] == ["shop_a", "shop_b"]


def test_two_users_that_alternate():
    assert connections.alternating("shop", {"users": "shop_a, shop_b"})[1] == ("shop_a", "shop_b")


def _of_roles():
    for role in sorted((TOP / "roles").iterdir()):
        specification = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
        tasks = (
            "".join(path.read_text() for path in sorted((role / "tasks").glob("*.yml")))
            if role.name != "crdb_inputs"
            else ""
        )
        for entry_point in specification.values():
            for name in lists(entry_point["options"]):
                if name.startswith(f"{role.name}_"):
                    yield name, tasks


@pytest.mark.parametrize(
    ("name", "tasks"), list(_of_roles()), ids=lambda value: value if value.startswith("crdb_") else ""
)
def test_a_variable_of_a_role(name, tasks):
    """Each use of it is an option of an action, or goes through a filter that reads text."""
    uses = re.findall(rf"^.*\b{name}\b.*$", tasks, re.MULTILINE)
    assert uses
    safe = rf"^ +(\w+: \"\{{\{{ {name} \}}\}}\"|.*{name} \| (crdb\.onboard\.\w+|length)\b.*)$"
    assert [use for use in uses if not re.match(safe, use)] == []
