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
from collections import Counter
from pathlib import Path

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import CATALOGUE
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks

from tests.acceptance.checks import CHECKS

TOP = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# A statement of CockroachDB, and a Python module.
NO_VARIABLES = {"crdb_version", "crdb_internal"}
PAGES = [
    *sorted(TOP.glob("*.md")),
    *sorted((TOP / "inventories").rglob("*.md")),
    *sorted((TOP / "docs").glob("*.md")),
    *sorted((TOP / "roles").glob("*/README.md")),
]
# What the example is copied to, and the sandbox's.
INVENTORIES = {"inventories/mine/staging", "inventories/mine/production", "inventories/sandbox"}
# Inputs of the playbooks, which no role's argument_specs have.
OF_NO_ROLE = {"crdb_hosts", "crdb_offboard_apps"}


def _text(page):
    return page.read_text(encoding="utf-8")


def _blocks(page, *languages):
    found = re.findall(r"^```(\w*)\n(.*?)^```", _text(page), re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def test_each_promise_names_tests_that_exist():
    held = _text(TOP / "docs" / "security.md").partition("## What no test holds")[0]
    rows = [line for line in held.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith(("| promise", "| ---"))]
    assert promises
    for row in promises:
        tests = re.findall(r"`(tests/[\w/.]+)`", row.rsplit("|", 2)[-2])
        assert tests, row
        assert [path for path in tests if not (TOP / path).exists()] == []


def test_each_assumption_names_acceptance_checks_that_exist():
    section = (
        _text(TOP / "docs" / "support-matrix.md").partition("## Assumed and not confirmed")[2].partition("\n## ")[0]
    )
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    named = {row: re.findall(r"`([a-z-]+)`", row.rsplit("|", 2)[-2]) for row in rows}
    assert len(rows) > 20
    assert [row for row, checks in named.items() if not checks] == []
    used = {name for checks in named.values() for name in checks}
    # Every check that answers a question, or holds what the sandbox copies, is there for an assumption of the list.
    assert used - set(CHECKS) == set()
    assert set(CHECKS) - used == set()


def _commands():
    """Every call of ansible-playbook in a code block or in a code span."""
    for page in PAGES:
        spans = re.findall(r"`([^`\n]*ansible-playbook [^`\n]+)`", _text(page))
        for body in _blocks(page, "sh", "yaml", ""):
            spans += [line for line in body.replace("\\\n", " ").splitlines() if "ansible-playbook " in line]
        for span in spans:
            command = re.sub(r"\s#.*|\s*\|\s.*|\s>.*", "", span[span.index("ansible-playbook ") :].replace("\\|", "|"))
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
    known |= set(yaml.safe_load((TOP / "roles" / "crdb_inputs" / "vars" / "main" / "inputs.yml").read_text()))
    for path in (TOP / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            known |= set(entry["options"])
    for path in (TOP / "playbooks").glob("*.yml"):
        known |= set(re.findall(r"\bcrdb_\w+", path.read_text()))
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_variables_exist(page):
    known = _known_variables()
    named = set(re.findall(r"(?<![\w/.])(crdb_\w+[a-z])\b(?![*.]\w|\*)", _text(page)))
    roles = {path.name for path in (TOP / "roles").iterdir()}
    prefixes = {name for name in named if any(other.startswith(f"{name}_") for other in known)}
    # Modules that the catalogue writes are named as they are imported.
    choices = [choice for framework in frameworks.load().values() for choice in framework.choices]
    modules = {Path(file.destination).name.split(".")[0] for choice in choices for file in choice.files}
    assert named - known - roles - prefixes - modules - NO_VARIABLES == set()


def _without_code(page):
    text = re.sub(r"^```.*?^```", "", _text(page), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def _links(page):
    """Every link that leads to a file or a heading of the checkout, as its path and its anchor."""
    targets = re.findall(r"\]\(([^)\s]+)\)", _without_code(page))
    for target in targets:
        if "://" not in target and not target.startswith("mailto:"):
            path, _hash, anchor = target.partition("#")
            yield target, (page.parent / path).resolve() if path else page, anchor


def _anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", _text(page), flags=re.MULTILINE | re.DOTALL)
    count = Counter()
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        yield f"{anchor}-{count[anchor]}" if count[anchor] else anchor
        count[anchor] += 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_to_files_and_headings(page):
    broken = [
        target
        for target, path, anchor in _links(page)
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in set(_anchors(path)))
    ]
    assert broken == []


def test_a_heading_has_the_anchor_that_github_gives_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# The `.env` file, and *more*\n\n## What's new?\n\n```sh\n# no heading\n```\n\n## What's new?\n")
    assert list(_anchors(page)) == ["the-env-file-and-more", "whats-new", "whats-new-1"]


def test_the_index_names_every_page():
    named = {path for _target, path, _anchor in _links(TOP / "docs" / "index.md")}
    assert set((TOP / "docs").glob("*.md")) - named == {TOP / "docs" / "index.md"}


def _glossary():
    rows = re.findall(r"^\| (?!word |---)([^|]+) \|", _text(TOP / "docs" / "glossary.md"), re.MULTILINE)
    return {word.strip("` ") for row in rows for word in row.split(", ")}


def test_the_glossary_has_the_words_of_our_own():
    expected = {
        *(
            "connection",
            "app",
            "deployment",
            "routing id",
            "routing",
            "framework",
            "entry",
            "sandbox",
            "check",
            "reached",
        ),
        *("proved", "skeleton", "the guide's form", "rollout", "canary", "catalogue", "staged", "drift", "record"),
    }
    assert expected - _glossary() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_commands_can_be_copied(page):
    """A placeholder is a word in capitals, and an inventory is one that the reader has."""
    for body in _blocks(page, "sh"):
        for line in body.replace("\\\n", " ").splitlines():
            assert not re.search(r"<\w[\w -]*>", line), "write a placeholder in capitals"
            inventory = re.search(r"-i (\S+)", line)
            assert inventory is None or inventory[1] in INVENTORIES, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z0-9-]+)", _text(page)))
    for body in _blocks(page, "sh"):
        named |= set(re.findall(r"^make ([a-z0-9-]+)", body, re.MULTILINE))
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


def test_the_page_about_the_catalogue_has_every_key():
    page = (TOP / "docs" / "catalogue.md").read_text()
    table = page.split("<!-- keys of framework.yml -->")[1].split("<!-- end of the keys -->")[0]
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (yes|no) \|", table, re.MULTILINE))
    keys = dict.fromkeys(frameworks._REQUIRED, "yes")
    keys.update(dict.fromkeys({*frameworks._DEFAULTS, *frameworks._CHOICES}, "no"))
    for key, (required, optional) in frameworks._NESTED.items():
        keys.update({f"{key}.{name}": "yes" for name in required} | {f"{key}.{name}": "no" for name in optional})
    assert rows == keys


TEXTS = [
    *PAGES,
    *(
        path
        for folder in ("playbooks", "inventories", "roles", "plugins", "extensions", "automation", "changelogs")
        for path in sorted((TOP / folder).rglob("*"))
        if path.suffix in (".yml", ".yaml", ".py", ".md") and path.is_file()
    ),
]


def test_no_printed_command_reaches_two_environments():
    """The example has an inventory for each environment; their parent would be both."""
    printed = {
        (path.relative_to(TOP), inventory)
        for path in TEXTS
        for inventory in re.findall(
            r"(?:-i|--inventory|ANSIBLE_INVENTORY|inventories:|INVENTORIES)[ =]+[\"']?(inventories/[\w/.-]*\w)",
            _text(path),
        )
    }
    assert len(printed) > 10
    assert {(path, inventory) for path, inventory in printed if inventory not in INVENTORIES} == set()


def test_the_environments_of_the_example_share_no_host(mine):
    hosts = {}
    for environment in ("staging", "production"):
        inventory = mine / "inventories" / "mine" / environment
        assert str(inventory.relative_to(mine)) in INVENTORIES
        content = yaml.safe_load((inventory / "hosts.yml").read_text())
        groups = content["all"]["children"].values()
        hosts[environment] = {host for group in groups for host in group["hosts"]}
    assert hosts["staging"]
    assert hosts["staging"] & hosts["production"] == set()
