# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Ruby project is: Rails or not, its gems' versions.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.found import Found

_DATABASE = "config/database.yml"
# What the first line of a file of ours says.
_OURS = "Written by crdb.onboard"
_LOCKED = re.compile(r"^ {4}(?P<name>[\w.-]+) \((?P<version>\d[^)-]*)(?:-[^)]*)?\)$", re.M)
_LISTED = re.compile(
    r"""^\s*gem\s+['"](?P<name>[\w.-]+)['"]\s*,\s*['"](?:~>|=|>=)?\s*(?P<version>\d[\w.]*)['"]""", re.M
)


def look(folder: Folder, packages: Iterable[str]) -> Found:
    """What the project in a folder is."""
    rails = folder.has("config/application.rb")
    wanted = set(packages)
    versions: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name, pattern in (("Gemfile.lock", _LOCKED), ("Gemfile", _LISTED)):
        for match in pattern.finditer(folder.text(name) or ""):
            if match["name"] in wanted and match["name"] not in versions:
                versions[match["name"]], sources[match["name"]] = match["version"], name
    facts = {"rails": "true"} if rails else {}
    database = folder.text(_DATABASE)
    if rails and database is not None and _OURS not in database:
        facts["database_yml"] = "theirs"
    return Found(facts, versions, sources)
