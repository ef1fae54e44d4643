# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages say is there: commands, playbooks, variables, codes, links."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.module_utils._check.check import CATALOGUE
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import VARIABLES as CLOUD_VARIABLES
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.facts import (
    APP_SHORTHAND,
    SHORTHAND,
    SHORTHAND_KEYS,
)

TOP = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# A statement of CockroachDB, and a Python module.
NO_VARIABLES = {"crdb_version", "crdb_settings"}
PAGES = [
    TOP / "README.md",
    TOP / "CONTRIBUTING.md",
    TOP / "inventories" / "example" / "README.md",
    *sorted((TOP / "docs").glob("*.md")),
    *sorted((TOP / "roles").glob("*/README.md")),
]
# Inputs of the playbooks and of the data model, which no role's argument_specs have.
OF_NO_ROLE = {
    *("crdb_hosts", "crdb_offboard_apps"),
    *APP_SHORTHAND.values(),
    *(f"{SHORTHAND}{key}" for key in SHORTHAND_KEYS),
    *CLOUD_VARIABLES,
}


def _text(page):
    return page.read_text(encoding="utf-8")


def _blocks(page, *languages):
    found = re.findall(r"^```(\w*)\n(.*?)^```", _text(page), re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def _commands():
    """Every call of ansible-playbook in a code block or in a code span."""
    for page in PAGES:
        spans = re.findall(r"`([^`\n]*ansible-playbook [^`\n]+)`", _text(page))
        for body in _blocks(page, "sh", "yaml", ""):
            spans += [line for line in body.replace("\\\n", " ").splitlines() if "ansible-playbook " in line]
        for span in spans:
            command = re.sub(r"\s#.*|\s*\|\s.*", "", span[span.index("ansible-playbook ") :].replace("\\|", "|"))
            words = shlex.split(command)
            if any(word.startswith("playbooks/") for word in words):
                yield words


COMMANDS = sorted({tuple(words) for words in _commands()})


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A copy of the checkout's playbooks and inventories, with the example as inventories/mine."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("ansible.cfg", "collections", "playbooks", "plugins", "roles", "templates", "galaxy.yml", "meta"):
        (folder / name).symlink_to(TOP / name)
    shutil.copytree(TOP / "inventories", folder / "inventories")
    shutil.copytree(TOP / "inventories" / "example", folder / "inventories" / "mine")
    return folder


def test_there_are_commands():
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_ansible_takes_the_command(mine, words):
    """Options and playbook are what ansible-playbook knows; nothing is run."""
    words = [word.replace("HOST", "shop1.staging.example.com") for word in words if word != "--ask-vault-pass"]
    environment = {**os.environ, "HOME": str(mine), "ANSIBLE_CONFIG": str(TOP / "ansible.cfg")}
    done = subprocess.run(
        [BIN / words[0], *words[1:], "--syntax-check"], cwd=mine, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _known_variables():
    known = set(OF_NO_ROLE)
    for path in (TOP / "roles").glob("*/tasks/*.yml"):
        known |= set(re.findall(r"^ +register: (\w+)$", path.read_text(), re.MULTILINE))
    for path in (TOP / "roles").glob("*/meta/argument_specs.yml"):
        known |= set(yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"])
    for path in (TOP / "playbooks").glob("*.yml"):
        known |= set(re.findall(r"\bcrdb_\w+", path.read_text()))
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_variables_exist(page):
    known = _known_variables()
    named = set(re.findall(r"(?<![\w/.])(crdb_\w+[a-z])\b(?![*.]\w|\*)", _text(page)))
    roles = {path.name for path in (TOP / "roles").iterdir()}
    prefixes = {name for name in named if any(other.startswith(f"{name}_") for other in known)}
    assert named - known - roles - prefixes - NO_VARIABLES == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", _text(page))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", _text(page)))
    for body in _blocks(page, "sh"):
        named |= set(re.findall(r"^make ([a-z-]+)", body, re.MULTILINE))
    assert named - targets == set()


def test_the_codes_of_the_network_page_are_the_checks():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", _text(TOP / "docs" / "addresses.md"), re.MULTILINE)
    codes = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert len(codes) > 5
    assert codes - set(CATALOGUE) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_yaml_and_json_can_be_read(page):
    for body in _blocks(page, "yaml"):
        assert list(yaml.load_all(body, Loader=_Tolerant)) != []
    for body in _blocks(page, "json"):
        json.loads(body)


class _Tolerant(yaml.SafeLoader):
    """YAML with Ansible's own tags."""


_Tolerant.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))
