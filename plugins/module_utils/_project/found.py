# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a look at a project found.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from typing import NamedTuple


class Found(NamedTuple):
    """The facts of a project in one language.

    `facts`: name to text, such as `modules: esm`. `versions`: package to version, of the packages that were asked
    for. `sources`: package to the file that its version comes from, such as `package-lock.json`.
    """

    facts: dict[str, str]
    versions: dict[str, str]
    sources: dict[str, str]
