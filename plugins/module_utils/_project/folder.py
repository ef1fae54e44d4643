# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the small files that say what a project is, as input from outside: regular, limited, never waited for.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files import tree

# The lock file of a large Node.js project has some megabytes.
_LIMIT = 16 * 1024 * 1024
_MOST_ENTRIES = 2000
_DEEPEST = 8
_HIGHEST = 4
_SKIPPED = {"node_modules", "target", "build", "dist", "out", "vendor", "tmp"}


def _same_owner(path: str, other: str) -> bool:
    try:
        return os.stat(path).st_uid == os.stat(other).st_uid
    except OSError:
        return False


class Folder:
    """A folder of a project. Nothing that is missing, too large or not readable raises: it counts as not there."""

    def __init__(self, path: str) -> None:
        self.path = path

    def text(self, name: str) -> Optional[str]:
        """The text of a file below it, without a byte order mark; None when there is none to read."""
        try:
            content = tree.read_file(os.path.join(self.path, name), _LIMIT).content
        except OSError:
            return None
        return content.decode("utf-8-sig", "replace")

    def has(self, name: str) -> bool:
        """Whether a file or folder of this name is there."""
        return os.path.exists(os.path.join(self.path, name))

    def names(self, name: str = "") -> list[str]:
        """The names in a folder below it, sorted; of an enormous one, the first that the system lists."""
        found = []
        try:
            with os.scandir(os.path.join(self.path, name)) as entries:
                for entry in entries:
                    found.append(entry.name)
                    if len(found) >= _MOST_ENTRIES:
                        break
        except OSError:
            return []
        return sorted(found)

    def upwards(self) -> Iterator[Folder]:
        """This folder and those of the same account above it, up to the one with a `.git`.

        A workspace keeps its locks at its top.
        """
        folder = self
        for _level in range(_HIGHEST):
            yield folder
            above = os.path.dirname(folder.path)
            if folder.has(".git") or above == folder.path or not _same_owner(folder.path, above):
                return
            folder = Folder(above)

    def files(self, name: str, suffix: str) -> Iterator[str]:
        """The paths, relative to this folder, of the files with a suffix below one of its folders."""
        pending = [(name, 0)]
        seen = 0
        while pending:
            here, depth = pending.pop()
            for entry in self.names(here):
                seen += 1
                if seen > _MOST_ENTRIES:
                    return
                path = f"{here}/{entry}" if here else entry
                if os.path.isdir(os.path.join(self.path, path)):
                    if depth < _DEEPEST and entry not in _SKIPPED and not entry.startswith("."):
                        pending.append((path, depth + 1))
                elif entry.endswith(suffix):
                    yield path
