# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the rooms of plugins/ import each other in one direction only: `scripts/layers.py [PLUGINS]`.

The tools for this (import-linter) import the packages that they check, and cannot find ours: the collection is a
namespace package made of links. So this reads the imports.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
PREFIX = "ansible_collections.crdb.onboard.plugins."

# Rooms of plugin_utils from the bottom to the top. A room may import rooms of the lines above its own, and of its line.
# One that stands in no line breaks the contract, so that a new room is given its place.
LAYERS = (
    {"_errors", "_cache"},
    {"_model", "_run", "_transport"},
    {"_ca", "_catalogue", "_releases"},
    {"_cloud"},
    {"_inventory"},
    {"_render", "_report", "_sql", "_issuing"},
    {"_users"},
    {"_action"},
)
# What a room may import of this collection, where the layers allow more. A room may always import itself.
ONLY = {
    "plugin_utils._model": {"plugin_utils._errors"},
    "plugin_utils._run": {"plugin_utils._errors", "module_utils._text"},
    "plugin_utils._transport": {"plugin_utils._errors", "plugin_utils._cache", "module_utils._program"},
}
# Imports that break the contract today: the importing room and the imported room. Remove an entry once it is resolved.
EXCEPTIONS = {
    ("plugin_utils._ca", "plugin_utils._inventory"),
    ("plugin_utils._ca", "plugin_utils._render"),
}
# The folders that each folder of plugins/ may import.
FOLDERS = {
    "module_utils": {"module_utils"},
    "modules": {"module_utils"},
    "doc_fragments": set(),
    "callback": {"plugin_utils"},
    "filter": {"plugin_utils", "module_utils"},
    "lookup": {"plugin_utils", "module_utils"},
    "plugin_utils": {"plugin_utils", "module_utils"},
    "action": {"plugin_utils", "module_utils"},
}


def imports(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """The line and the full name of everything that a file imports; `name` is the full name of the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")[: -node.level] if node.level else []
            module = ".".join([*parts, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def room(name: str) -> str:
    """The room of a full name: two parts below plugins/, such as `plugin_utils._model`."""
    return ".".join(name.removeprefix(PREFIX).split(".")[:2])


def layer(name: str) -> int | None:
    """The number of a room's layer, from the bottom; None for one that has no place yet."""
    short = name.partition(".")[2]
    return next((number for number, rooms in enumerate(LAYERS) if short in rooms), None)


def problem(importer: str, imported: str) -> str:
    """Why a room must not import another; empty when it may."""
    if importer == imported:
        return ""
    folder, other = importer.partition(".")[0], imported.partition(".")[0]
    if other not in FOLDERS.get(folder, set()):
        return f"{folder} must not import {other}"
    if importer in ONLY and imported not in ONLY[importer]:
        return f"{importer} may import only {', '.join(sorted(ONLY[importer]))}"
    if folder == other == "plugin_utils":
        own, theirs = layer(importer), layer(imported)
        if own is None or theirs is None:
            return f"{importer if own is None else imported} has no place in LAYERS of scripts/layers.py"
        if theirs > own:
            return f"{imported} is a layer above {importer}"
    return ""


def problems(plugins: Path = PLUGINS) -> list[str]:
    """One line for each import that breaks the contract, and for each exception that is not needed."""
    lines = []
    unused = set(EXCEPTIONS)
    for path in sorted(plugins.rglob("*.py")):
        name = PREFIX + ".".join(path.relative_to(plugins).with_suffix("").parts)
        for line, imported in imports(path, name):
            pair = (room(name), room(imported))
            if not imported.startswith(PREFIX) or not (text := problem(*pair)):
                continue
            if pair in EXCEPTIONS:
                unused.discard(pair)
            else:
                lines.append(f"{path.relative_to(plugins.parent)}:{line}: {text}")
    lines += [f"scripts/layers.py: remove the exception {pair}" for pair in unused]
    return sorted(set(lines))


if __name__ == "__main__":
    broken = problems(Path(sys.argv[1]) if len(sys.argv) > 1 else PLUGINS)
    if broken:
        sys.exit("\n".join(broken))
