# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a project is, by the rules that its language declares in the catalogue.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.found import Found


def _fact(folder: Folder, rule: Mapping[str, Any]) -> str:
    """The value of a fact: `true` where a file exists, else what a pattern finds in a file; empty where nothing is."""
    if "exists" in rule:
        return "true" if folder.has(str(rule["exists"])) else ""
    match = re.search(str(rule["pattern"]), folder.text(str(rule["file"])) or "", re.M)
    return match["value"] if match else ""


def look(folder: Folder, packages: Iterable[str], rules: Mapping[str, Any]) -> Optional[Found]:
    """What the project in a folder is; None where none of the rules' manifests is there or above it.

    Versions come from the first rule that has them; a workspace keeps its lock above the folder of the app.
    """
    above = list(folder.upwards())
    if not any(each.has(name) for each in above for name in rules.get("manifests", [])):
        return None
    wanted = set(packages)
    versions: dict[str, str] = {}
    sources: dict[str, str] = {}
    for rule in rules.get("versions", []):
        for each in above:
            for match in re.finditer(rule["pattern"], each.text(rule["file"]) or "", re.M):
                name = match["name"]
                if name in wanted and name not in versions:
                    versions[name], sources[name] = match["version"], rule["file"]
    found = {name: _fact(folder, rule) for name, rule in rules.get("facts", {}).items()}
    return Found({name: value for name, value in found.items() if value}, versions, sources)
