# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an acceptance run found, as text and as JSON, without secrets and without names of the cluster."""

from __future__ import annotations

import datetime
import json
import platform
import re
import textwrap
from typing import Any

from tests.acceptance.run import CHECKOUT, FAILED, OUTCOMES, Result, Run

_MARKS = {"passed": "ok  ", "failed": "FAIL", "answered": "said", "skipped": "skip"}
_WIDTH = 118


def line(result: Result, run: Run, *, show_names: bool = False) -> str:
    """A check in the text, with its answer or the sentence about what is wrong below it."""
    first = f"{_MARKS[result.outcome]}  {result.check.name}: {result.check.title} ({result.seconds:.1f} s)"
    if not result.text:
        return first
    text = run.redact(result.text, show_names=show_names)
    indent = " " * 6
    return f"{first}\n{textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)}"


def value(run: Run, seconds: float, left: list[str], *, show_names: bool = False) -> dict[str, Any]:
    """The report as JSON."""
    results = run.results
    return {
        "kind": "crdb.onboard acceptance",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "collection": _collection(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cluster": {
            "sandbox": run.target.is_sandbox,
            "plan": run.target.plan,
            "provider": run.target.cluster.get("cloud_provider"),
            "release": run.facts.get("release", "unknown"),
            **({"name": run.target.name} if show_names else {}),
        },
        "run": run.names.run,
        "checks": len([result for result in results if result.outcome != "skipped"]),
        "outcomes": {outcome: len([r for r in results if r.outcome == outcome]) for outcome in OUTCOMES},
        "seconds": round(seconds, 1),
        "requests": run.requests,
        "left_over": [run.redact(item, show_names=show_names) for item in left],
        "results": [
            {
                "name": result.check.name,
                "title": result.check.title,
                "group": result.check.group,
                "outcome": result.outcome,
                "text": run.redact(result.text, show_names=show_names),
                "seconds": round(result.seconds, 1),
            }
            for result in results
        ],
    }


def summary(report: dict[str, Any]) -> str:
    """The last lines of the text."""
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report["outcomes"].items())
    lines = [f"{report['checks']} checks ({outcomes}), {report['seconds']:.0f} s, {report['requests']} API requests"]
    lines += [f"wrong: {item['name']}: {item['text']}" for item in report["results"] if item["outcome"] == FAILED]
    if report["left_over"]:
        lines += ["Left over, remove it with `make acceptance-sweep`:", *(f"  {item}" for item in report["left_over"])]
    else:
        lines.append("Nothing was left over.")
    return "\n".join([*lines, "", "A line for docs/support-matrix.md:", matrix_line(report)])


def matrix_line(report: dict[str, Any]) -> str:
    """The row of the table in docs/support-matrix.md."""
    cluster, outcomes = report["cluster"], report["outcomes"]
    what = "the sandbox" if cluster["sandbox"] else f"CockroachDB {cluster['release']}"
    plan = " ".join(part for part in (cluster["plan"], cluster["provider"]) if part)
    wrong = [item["name"] for item in report["results"] if item["outcome"] == FAILED]
    counts = f"{outcomes['passed'] + outcomes['answered']} of {report['checks']} checks passed"
    return f"| {report['date']} | {what} | {plan} | {counts}{': not ' + ', '.join(wrong) if wrong else ''} |"


def as_json(report: dict[str, Any]) -> str:
    """The file."""
    return json.dumps(report, indent=2) + "\n"


def _collection() -> str:
    match = re.search(r"^version: *(\S+)", (CHECKOUT / "galaxy.yml").read_text(), re.MULTILINE)
    return match[1] if match else "unknown"
