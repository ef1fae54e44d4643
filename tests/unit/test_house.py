# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layout holds: facade, artifact, roles' interfaces, pins."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import re
import runpy
import subprocess
import sys
import tarfile
from difflib import SequenceMatcher
from pathlib import Path

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import options
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema

from tests.clients import languages
from tests.clients.guide import PUBLIC

GUIDE = {name for name, _versions, _variant in PUBLIC}
TOP = Path(__file__).resolve().parents[2]
FACADE = TOP / "collections" / "ansible_collections" / "crdb" / "onboard"
# crdb_inputs has no tasks: it is a table of what the others share.
ROLES = sorted(path for path in (TOP / "roles").iterdir() if path.is_dir() and path.name != "crdb_inputs")
SHARED_INPUTS = {
    *("crdb_connections", "crdb_apps", "crdb_frameworks"),
    *(f"crdb_connection_{key}" for key in schema.keys("connections")),
    *(f"crdb_app_{key}" for key in schema.keys("apps") if key != "frameworks"),
    *(f"crdb_cloud_{key}" for key in schema.keys("cloud")),
}
BIN = Path(sys.executable).parent


def test_every_entry_of_the_facade_is_a_link_to_its_room():
    entries = sorted(FACADE.iterdir())
    assert entries
    for entry in entries:
        assert entry.is_symlink(), f"{entry.name} is not a link: was a collection installed into ./collections?"
        assert entry.resolve() == TOP / entry.name


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifact")
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", folder],
        cwd=TOP,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("crdb-onboard-*.tar.gz"))


def test_the_artifact_holds_what_the_facade_links(artifact):
    with tarfile.open(artifact) as tar:
        names = tar.getnames()
    rooms = {name.split("/")[0] for name in names} - {"MANIFEST.json", "FILES.json"}
    assert rooms == {entry.name for entry in FACADE.iterdir()} - {"galaxy.yml"}
    assert [name for name in names if "__pycache__" in name or name.endswith((".pyc", "demo.yml", "sandbox.yml"))] == []


def _specification(role):
    (entry,) = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"].values()
    return entry["options"]


def _defaults(role):
    return yaml.safe_load((role / "defaults" / "main.yml").read_text()) or {}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
class TestRole:
    def test_argument_specs_and_defaults_have_the_same_keys_and_values(self, role):
        specification = _specification(role)
        assert {name: option.get("default") for name, option in specification.items()} == _defaults(role)

    def test_every_variable_carries_the_name_of_the_role(self, role):
        assert [name for name in _defaults(role) if not name.startswith(f"{role.name}_")] == []

    def test_the_readme_has_the_table(self, role):
        readme = (role / "README.md").read_text()
        rows = re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE)
        assert rows == list(_specification(role))
        assert "(../../docs/variables.md)" in readme

    def test_the_readmes_example_is_ansible_docs(self, role):
        specification = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]
        assert f"```yaml\n{specification['examples']}```\n" in (role / "README.md").read_text()
        shown = subprocess.run(
            [BIN / "ansible-doc", "--type", "role", f"crdb.onboard.{role.name}"],
            cwd=TOP, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert "EXAMPLES:" in shown
        assert specification["examples"].splitlines()[0] in shown

    def test_what_all_roles_share_is_declared_once(self, role):
        assert set(_specification(TOP / "roles" / "crdb_inputs")) == SHARED_INPUTS
        assert SHARED_INPUTS & set(_specification(role)) == set()
        dependencies = yaml.safe_load((role / "meta" / "main.yml").read_text())["dependencies"]
        assert {"role": "crdb.onboard.crdb_inputs"} in dependencies or role.name == "crdb_client"

    def test_the_table_of_contents_is_short(self, role):
        assert len((role / "tasks" / "main.yml").read_text().splitlines()) < 60


def test_readmes_are_up_to_date():
    subprocess.run([sys.executable, TOP / "scripts" / "docs.py", "--check"], check=True)


def _pins():
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (TOP / "requirements" / "drivers.in").read_text(), re.MULTILINE))
    pins.update(json.loads((TOP / "requirements" / "javascript" / "package.json").read_text())["dependencies"])
    return pins


def test_the_demo_runs_the_versions_that_the_catalogue_names_as_tested():
    tested = {
        (name, package.tested)
        for framework in _catalogue.load().values()
        for choice in framework.choices
        for package in choice.packages
        for name in (package.name, *package.alternatives)
    }
    assert set(_pins().items()) <= tested


def _imported_roles(node):
    """The role imports below a node of a playbook: the keywords of each."""
    if isinstance(node, list):
        for entry in node:
            yield from _imported_roles(entry)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
                yield value
            yield from _imported_roles(value)


@pytest.mark.parametrize(
    "path",
    [f"playbooks/{name}.yml" for name in ("dev_machine", "check", "offboard")] + ["roles/crdb_rollout/tasks/main.yml"],
)
def test_options_that_modules_validate_take_no_task_of_their_own(path):
    # Ansible's "Validating arguments" costs a process for each role and host.
    by_modules = {"connection", "ca", "app_config", "app_service", "check"}
    imported = list(_imported_roles(yaml.safe_load((TOP / path).read_text())))
    mine = [role for role in imported if role["name"].removeprefix("crdb.onboard.crdb_") in by_modules]
    assert mine
    assert [role["name"] for role in mine if role.get("rolespec_validate") is not False] == []


def test_lock_files_name_no_registry():
    locks = [path for path in (TOP / "requirements").rglob("*") if path.suffix in (".txt", ".json", ".sum", ".sha256")]
    assert len(locks) > 20
    for path in locks:
        assert "://" not in path.read_text(), path.name


def test_every_choice_of_the_guides_frameworks_has_a_lock_of_its_own():
    script = runpy.run_path(str(TOP / "scripts" / "install-clients"))
    expected = set()
    for names, packages in script["sets"]():
        suffixes = {"python": ["txt"], "javascript": ["json"], "go": ["mod", "sum"], "java": ["sha256"], "ruby": []}
        for suffix in suffixes.get(packages.language, getattr(languages.find(packages.language), "LOCKS", ())):
            path = packages.lock(suffix)
            expected.add(path)
            # One that was just added is installed by its versions alone.
            if names["framework"] in GUIDE or names["framework"] == "loaders":
                assert path.exists(), f"{names}: scripts/install-clients --lock writes {path.name}"
    assert set(script["LOCKS"].glob("*/*")) <= expected


def _documents(kind):
    """What ansible-doc tells about every plugin of a kind, by the plugin's name."""
    folder = {"module": "modules"}.get(kind, kind)
    names = [f"crdb.onboard.{path.stem}" for path in (TOP / "plugins" / folder).glob("*.py")]
    shown = subprocess.run(
        [BIN / "ansible-doc", "-t", kind, "--json", *names], cwd=TOP, check=True, capture_output=True, text=True
    ).stdout
    return {name.rpartition(".")[2]: document for name, document in json.loads(shown).items()}


@pytest.fixture(scope="module")
def modules():
    return _documents("module")


@pytest.mark.parametrize("name", sorted(path.stem for path in (TOP / "plugins" / "action").glob("*.py")))
def test_every_action_takes_the_options_that_its_page_documents(name, modules):
    action = importlib.import_module(f"ansible_collections.crdb.onboard.plugins.action.{name}").ActionModule
    assert name == action.OPTIONS
    taken, documented = options.arguments(name), modules[name]["doc"].get("options", {})
    assert set(taken) == set(documented)
    for option, argument in taken.items():
        assert documented[option].get("default") == argument.get("default"), option
        assert documented[option]["type"] == argument["type"], option


@pytest.mark.parametrize("name", ["app_config", "ca", "connection", "check", "probe", "app_service"])
def test_ansible_doc_shows_the_keys_of_connections_and_apps(name, modules):
    for option in ("connections", "apps", "cloud"):
        assert set(modules[name]["doc"]["options"][option]["suboptions"]) == set(schema.keys(option))


def test_no_plugin_knows_a_variable_of_a_role():
    """Roles pass their variables to options; for other hosts a task's own expressions are evaluated again.

    Sentences name variables, because people set these (test_messages.py). `origin.py` makes such names for people.
    """
    registers = runpy.run_path(str(TOP / "scripts" / "docs.py"))["registers"]
    names = {name for role in ROLES for name in [*_specification(role), *_defaults(role), *registers(role)]}
    prefixes = tuple(f"{role.name}_" for role in ROLES)
    roles = {role.name for role in ROLES}
    for path in sorted((TOP / "plugins").rglob("*.py")):
        if path.name == "origin.py":
            continue
        tree = ast.parse(path.read_text())
        values = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        texts = [text for text in values if isinstance(text, str) and " " not in text]
        code = [getattr(node, "id", "") or getattr(node, "attr", "") for node in ast.walk(tree)]
        words = set(re.findall(r"\bcrdb_\w+", "\n".join([*texts, *code]))) - roles
        assert {word for word in words if word in names or word.startswith(prefixes)} == set(), path.name


@pytest.mark.parametrize("kind", ["module", "lookup"])
def test_every_plugin_is_documented_with_examples(kind):
    documents = _documents(kind)
    assert documents
    assert [name for name, document in documents.items() if not document["examples"].strip()] == []
    folder = {"module": "modules"}.get(kind, kind)
    assert set(documents) == {path.stem for path in (TOP / "plugins" / folder).glob("*.py")}


PLUGINS = sorted((TOP / "plugins").rglob("*.py"))
ROOM_FOLDERS = sorted({path.parent for path in PLUGINS if path.parent.parent != TOP})


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(TOP / "plugins")))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    length = len(text.splitlines())
    assert length <= 600
    functions = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}


def near(one, other):
    """Whether two names of rooms are easily taken for each other."""
    one, other = (name.strip("_").removesuffix("s") for name in (one, other))
    return one == other or SequenceMatcher(None, one, other).ratio() > 0.8


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("_user", "_users", True),
        ("_report", "_reports", True),
        ("_render", "_renders", True),
        ("_check", "_checks", True),
        ("_program", "_programs", True),
        ("_catalog", "_catalogue", True),
        ("_run", "_render", False),
        ("_cloud", "_client", False),
    ],
)
def test_near_names_are_recognized(one, other, same):
    assert near(one, other) is same


def test_no_two_rooms_have_near_names():
    names = [path.name for path in ROOM_FOLDERS if path.name.startswith("_")]
    names += [path.stem for path in PLUGINS if path.parent.parent == TOP / "plugins" and path.stem.startswith("_")]
    assert len(names) > 10
    pairs = itertools.combinations(names, 2)
    assert [pair for pair in pairs if near(*pair)] == []


def test_rooms_import_each_other_in_one_direction():
    assert runpy.run_path(str(TOP / "scripts" / "layers.py"))["problems"]() == []


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("module_utils/_files/x.py", "import {}plugin_utils._model.connection", "module_utils must not import"),
        ("modules/x.py", "def f():\n    from {}plugin_utils import _run", "modules must not import plugin_utils"),
        ("plugin_utils/_model/x.py", "from {}plugin_utils._run import shared", "may import only"),
        ("plugin_utils/_model/x.py", "from .._run import shared", "may import only"),
        ("plugin_utils/_run/x.py", "from {}plugin_utils._inventory.facts import App", "may import only"),
        ("plugin_utils/_transport/x.py", "from {}module_utils._files import files", "may import only"),
        ("plugin_utils/_cloud/x.py", "from {}plugin_utils._users import by_api", "is a layer above"),
        ("plugin_utils/_render/x.py", "from {}plugin_utils._new.y import z", "has no place in LAYERS"),
        ("plugin_utils/_report/x.py", "from {}action import check", "plugin_utils must not import action"),
        ("plugin_utils/_action/x.py", "from {}plugin_utils._users import by_api", None),
        ("plugin_utils/_users/x.py", "import os\nfrom {}plugin_utils._model.connection import y", None),
    ],
)
def test_an_import_in_the_wrong_direction_is_reported(path, source, problem, tmp_path):
    layers = runpy.run_path(str(TOP / "scripts" / "layers.py"))
    file = tmp_path / "plugins" / path
    file.parent.mkdir(parents=True)
    file.write_text(source.format(layers["PREFIX"]))
    layers["EXCEPTIONS"].clear()
    lines = layers["problems"](tmp_path / "plugins")
    assert len(lines) == bool(problem)
    if problem:
        assert lines[0].startswith(f"plugins/{path}:{source.count(chr(10)) + 1}: ")
        assert problem in lines[0]
