# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A message whose cure is a setting names the variable that people type, not only the option of a module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[2]
SPECIFICATIONS = sorted((TOP / "roles").glob("*/meta/argument_specs.yml"))
VARIABLES = {
    name
    for path in SPECIFICATIONS
    for entry in yaml.safe_load(path.read_text())["argument_specs"].values()
    for name in entry["options"]
}  # fmt: skip
PREFIXES = {f"{path.parent.parent.name}_" for path in SPECIFICATIONS} | {
    "crdb_connection_",
    "crdb_app_",
    "crdb_cloud_",
}
OPTIONS = {name.removeprefix(prefix) for name in VARIABLES for prefix in PREFIXES if name.startswith(prefix)}
# "set force", "set `force: true`", "set ca_file and ..."
SETTING = re.compile(r"\b[Ss]et (?:the option )?`?(\w+)\b(?!'s)")
# Words of English, and settings of other programs, that are the name of an option too.
NOT_SETTINGS = {"host", "user", "name", "users", "password", "version", "wait", "database", "port", "options"}
# No role passes the options of this module, so that it has no variables.
WITHOUT_ROLE = {Path("action/database.py")}


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a file that are no documentation, with an `X` for each value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            skipped.add(id(body[0].value))
        if isinstance(node, ast.Assign) and {getattr(t, "id", "") for t in node.targets} & {
            "DOCUMENTATION", "EXAMPLES", "RETURN",
        }:  # fmt: skip
            skipped.update(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            skipped.update(map(id, ast.walk(node)))
            yield node.lineno, "".join(_piece(value) for value in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _piece(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    # A value that is a text of ours, such as a helper that names the variable.
    source = ast.unparse(node)
    return "crdb_X" if re.search(r"setting|FORCE|_GIVE_CA|_CA_CURE", source) else "X"


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((TOP / "plugins").rglob("*.py")) if path.relative_to(TOP / "plugins") not in WITHOUT_ROLE],
    ids=lambda path: str(path.relative_to(TOP / "plugins")),
)
def test_a_cure_names_the_variable(path):
    unnamed = []
    for line, text in literals(path):
        for match in SETTING.finditer(text):
            word = match.group(1)
            if word in OPTIONS - NOT_SETTINGS and not re.search(r"crdb_\w", text):
                unnamed.append(f"{path.relative_to(TOP)}:{line}: {text}")
    assert unnamed == []


def test_every_variable_that_a_message_names_is_declared():
    undeclared = []
    for path in sorted((TOP / "plugins").rglob("*.py")):
        for line, text in literals(path):
            if " " not in text:
                continue
            for name in re.findall(r"\bcrdb_[a-z_]+[a-z]\b", text):
                known = any(variable == name or variable.startswith(f"{name}_") for variable in VARIABLES)
                if not known and name not in ("crdb_database", "crdb_settings", "crdb_internal", "crdb_onboard"):
                    undeclared.append(f"{path.relative_to(TOP)}:{line}: {name}")
    assert undeclared == []
