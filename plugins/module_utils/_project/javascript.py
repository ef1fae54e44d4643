# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Node.js project is: its module system, TypeScript, its packages' versions.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.found import Found

_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
_MOST_EXTENDED = 5
_LEAST = re.compile(r"[\^~=v]*\s*(\d+(?:\.\d+){0,2})(?:[-+.\w]*)")
_TOKENS = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.S)
_YARN = re.compile(r'^"?(?P<name>@?[^@"\n]+)@[^\n]*:\n\s+version:? "?(?P<version>[^"\n]+)"?$', re.M)
_PNPM = re.compile(r"^ {2}'?/?(?P<name>@?[\w./-]+)[@/](?P<version>\d[^:('\n]*)(?:\([^\n]*\))?'?:\s*$", re.M)


def _parsed(text: Optional[str]) -> dict[str, Any]:
    """A mapping of JSON, in which comments and commas at the end are allowed, as TypeScript allows them."""
    if not text:
        return {}
    try:
        data = json.loads(_TOKENS.sub(lambda match: match[0] if match[0].startswith('"') else "", text))
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _version_of(folder: Folder, package: str) -> Iterator[tuple[str, str]]:
    """The version of a package and where it stands, the most certain one first."""
    for above in folder.upwards():
        installed = _parsed(above.text(f"node_modules/{package}/package.json"))
        if _text(installed.get("version")):
            yield installed["version"], "node_modules"
    for above in folder.upwards():
        locked = _parsed(above.text("package-lock.json"))
        for place in (locked.get("packages"), locked.get("dependencies")):
            for key in (f"node_modules/{package}", package):
                entry = place.get(key) if isinstance(place, dict) else None
                if isinstance(entry, dict) and _text(entry.get("version")):
                    yield entry["version"], "package-lock.json"
        for name, pattern in (("yarn.lock", _YARN), ("pnpm-lock.yaml", _PNPM)):
            for match in pattern.finditer(above.text(name) or ""):
                if match["name"] == package:
                    yield match["version"], name
    manifest = _parsed(folder.text("package.json"))
    for key in _DEPENDENCIES:
        listed = manifest.get(key)
        least = _LEAST.fullmatch(_text(listed.get(package))) if isinstance(listed, dict) else None
        if least:
            yield least[1], "package.json"


def _source(folder: Folder, options: dict[str, Any]) -> str:
    """The folder of the sources that TypeScript compiles, as a prefix of paths: empty, or `src/`."""
    root = _text(options.get("rootDir")).strip("./")
    if re.fullmatch(r"[\w-]+(?:/[\w-]+)*", root):
        return f"{root}/"
    return "src/" if any(name.endswith((".ts", ".mts")) for name in folder.names("src")) else ""


def _options(folder: Folder) -> dict[str, Any]:
    """The compiler's options of tsconfig.json, with those of the files that it extends."""
    options: dict[str, Any] = {}
    path = "tsconfig.json"
    for _level in range(_MOST_EXTENDED):
        config = _parsed(folder.text(path))
        own = config.get("compilerOptions")
        options = {**(own if isinstance(own, dict) else {}), **options}
        base = config.get("extends")
        # Of several, the last one counts most.
        base = _text(base[-1] if isinstance(base, list) and base else base)
        if not base or base.startswith("/"):
            break
        path = posixpath.join(posixpath.dirname(path), base) if base.startswith(".") else f"node_modules/{base}"
        if not path.endswith(".json"):
            path += "/tsconfig.json" if folder.has(f"{path}/tsconfig.json") else ".json"
    return options


def _output(options: dict[str, Any], modules: str) -> str:
    """The module system of what TypeScript writes; empty where only a bundler runs it."""
    kind = _text(options.get("module")).lower()
    if kind.startswith("node"):
        return modules
    if kind in ("es2015", "es6", ""):
        # Neither __dirname nor import.meta is certain.
        return ""
    return "commonjs" if kind in ("commonjs", "umd", "amd", "system") else "esm"


def look(folder: Folder, packages: Iterable[str]) -> Found:
    """What the project in a folder is."""
    manifest = _parsed(folder.text("package.json"))
    facts = {"modules": "esm" if manifest.get("type") == "module" else "commonjs"}
    if folder.has("tsconfig.json"):
        options = _options(folder)
        facts["typescript"] = "true"
        facts["source"] = _source(folder, options)
        facts["output"] = _output(options, facts["modules"])
    versions: dict[str, str] = {}
    sources: dict[str, str] = {}
    for package in packages:
        for version, source in _version_of(folder, package):
            versions[package], sources[package] = version, source
            break
    return Found(facts, versions, sources)
