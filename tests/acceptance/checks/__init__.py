# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks, in the order in which they are made: what later ones need comes first, what removes it comes last."""

from __future__ import annotations

from tests.acceptance.checks import claims, questions, service, sql, ending  # isort: skip
from tests.acceptance.run import CHECKS, Check
from tests.acceptance.target import RefusedError

__all__ = ["chosen", "claims", "ending", "questions", "service", "sql"]


def chosen(only: str, kind: str) -> list[Check]:
    """The checks to make.

    Args:
        only: their names, with commas; what they need is added. All those for this kind of cluster if empty.
        kind: of the cluster.

    Raises RefusedError for a name that no check has.
    """
    names = {name.strip() for name in only.split(",") if name.strip()}
    asked = set(names)
    unknown = sorted(names - set(CHECKS))
    if unknown:
        raise RefusedError(f"unknown check: {', '.join(unknown)}. Valid checks: {', '.join(CHECKS)}")
    for item in reversed(CHECKS.values()):
        if item.name in names:
            names.update(item.after)
    return [
        item
        for item in CHECKS.values()
        if item.name in asked or (kind in item.kinds and (not asked or item.name in names))
    ]
