# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script crdb-sql on a machine: which program it runs, and its file and link.

The script's text is the file ``crdb-sql`` beside this one. The controller sends it: a host gets Python files only.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
import shlex

from ansible_collections.crdb.onboard.plugins.module_utils._client.installation import Installation, relink
from ansible_collections.crdb.onboard.plugins.module_utils._client.options import ClientOptions
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import write

SCRIPT = "crdb-sql"
# An older cockroach-sql ignores COCKROACH_URL and would connect to localhost as root.
_COCKROACH_SQL_SINCE = (24, 3)


class SqlShell:
    """The script crdb-sql of an installation."""

    def __init__(self, installation: Installation, options: ClientOptions) -> None:
        self._installation, self._options = installation, options
        self.link = installation.link(SCRIPT)
        self._path = os.path.join(installation.base, SCRIPT)
        # The client would take certificates in ~/.cockroach-certs for this cluster's; this folder stays empty.
        self._certs = os.path.join(installation.base, "no-certs")

    def product(self) -> str:
        """Return the product that the script runs; empty when no product reads its connection from the environment."""
        if "cockroach" in self._options.products or self._installation.current("cockroach"):
            return "cockroach"
        numbers = tuple(int(part) for part in self._options.version.lstrip("v").split("."))
        return "cockroach-sql" if numbers >= _COCKROACH_SQL_SINCE else ""

    def _text(self) -> bytes:
        paths = {"@CERTS@": self._certs, "@PROGRAM@": self._installation.link(self.product())}
        text = re.sub("@CERTS@|@PROGRAM@", lambda match: shlex.quote(paths[match.group()]), self._options.crdb_sql)
        return text.encode("utf-8")

    def is_pending(self) -> bool:
        """Return whether the script is missing or outdated. A foreign program of its name is left alone."""
        foreign = os.path.lexists(self.link) and not self._installation.owns_link(self.link)
        if not self._options.crdb_sql or not self.product() or foreign:
            return False
        try:
            with open(self._path, "rb") as stream:
                return stream.read() != self._text() or not os.path.lexists(self.link)
        except OSError:
            return True

    def write(self) -> None:
        """Write the script and its link. Raises OSError."""
        self._installation.make_folder(self._certs)
        write(self._path, self._text(), 0o755)
        relink(self.link, self._path)
