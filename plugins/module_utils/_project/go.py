# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Go module is: its path, and the versions that it requires.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Optional

from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.found import Found

_MODULE = re.compile(r'^\s*module\s+"?(?P<path>[^\s"]+)"?\s*(?://.*)?$', re.M)
_NOT_REQUIRED = re.compile(r"^\s*(?:exclude|replace|retract)\s*\(.*?^\s*\)", re.M | re.S)
_REQUIRED = re.compile(r'^\s*(?:require\s+)?"?(?P<name>[^\s"()]+/[^\s"()]+)"?\s+v(?P<version>[^\s/]+)', re.M)


def _version(package: str, modules: dict[str, str]) -> str:
    """The version of the module that a package is in; empty when it is not required."""
    name = package
    while name not in modules and "/" in name:
        name = name.rpartition("/")[0]
    return modules.get(name, "")


def look(folder: Folder, packages: Iterable[str]) -> Optional[Found]:
    """What the module that a folder belongs to is; None where there is none."""
    for above in folder.upwards():
        text = above.text("go.mod")
        match = _MODULE.search(text or "")
        if text is None or match is None:
            continue
        below = os.path.relpath(folder.path, above.path)
        facts = {"module": match["path"] if below == "." else f"{match['path']}/{below}", "folder": below.strip(".")}
        modules = {m["name"]: m["version"] for m in _REQUIRED.finditer(_NOT_REQUIRED.sub("", text))}
        found = {name: version for name in packages if (version := _version(name, modules))}
        return Found(facts, found, dict.fromkeys(found, "go.mod"))
    return None
