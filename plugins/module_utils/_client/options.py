# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the client's installation, and its result.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._client.builds import BUILDS, VENDOR_URL


@dataclass(frozen=True)
class ClientOptions:
    """The options of one installation below the absolute path `prefix`.

    `version` is exact, such as ``v25.4.11``. `archives` maps an archive's name to its path on this machine; such an
    archive is not downloaded. `sha256` maps an archive's name to the operator's own digest. With `download` false
    nothing is downloaded, and the result names the missing archives. `timeout` is in seconds. `keep` counts the
    versions that are kept besides the current one. `crdb_sql` is the text of the script crdb-sql; empty for none.
    """

    prefix: str
    version: str
    products: tuple[str, ...] = ("cockroach",)
    builds: tuple[str, ...] = tuple(BUILDS)
    base_url: str = VENDOR_URL
    checksum_url: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    archives: dict[str, str] = field(default_factory=dict)
    download: bool = True
    ca_file: str = ""
    proxy: str = ""
    timeout: float = 60.0
    keep: int = 1
    force: bool = False
    completion: bool = True
    profile: bool = False
    crdb_sql: str = ""


@dataclass
class ClientResult:
    """What was, or in check mode would be, done.

    `products` has one entry a program (see the module's RETURN). `missing_archives` are the names of archives that have
    to be copied to this machine first. `other_paths` are changed paths besides the programs.
    """

    products: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing_archives: list[str] = field(default_factory=list)
    other_paths: list[str] = field(default_factory=list)
    path_line: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything was, or in check mode would be, changed."""
        return bool(self.other_paths) or any(product["action"] != "ok" for product in self.products)
