# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the checks found, as people and programs read it.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from typing import Any


def report(checks: list[dict[str, Any]]) -> list[str]:
    """The lines of a table, one row an endpoint, with cause and cure under each that failed."""
    stages = ("dns", "tcp", "tls", "route", "auth", "sql")
    width = max([len("endpoint"), *(len(check["name"]) for check in checks)])
    lines = [f"{'endpoint':<{width}}  " + "  ".join(f"{stage:>9}" for stage in stages) + "  verdict"]
    for check in checks:
        times = {stage["stage"]: stage for stage in check["stages"]}
        cells = []
        for name in stages:
            stage = times.get(name)
            cells.append(f"{'-' if stage is None else _cell(stage):>9}")
        lines.append(f"{check['name']:<{width}}  " + "  ".join(cells) + f"  {check['code']}")
        if not check["ok"]:
            lines += [f"{'':<{width}}  cause: {check['cause']}", f"{'':<{width}}  cure:  {check['cure']}"]
    return lines


def _cell(stage: dict[str, Any]) -> str:
    return f"{stage['milliseconds']:.1f} ms" if stage["ok"] else "FAILED"
