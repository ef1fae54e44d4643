# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the last runs proved: `python -m tests.clients.report` prints the page, `--write` writes docs/frameworks.md.

`--projects` writes only the part about projects, for which `make test-projects` is enough.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework

from tests.clients.guide import PRINTED
from tests.clients.matrix import FORMS, RESULTS, TRIALS, Cell, listed
from tests.clients.skeletons import project
from tests.conftest import CHECKOUT

NOT_RUN = {"verdict": "not_proved", "message": "not in the last run", "facts": {}}
PAGE = CHECKOUT / "docs" / "frameworks.md"
TEMPLATE = CHECKOUT / "tests" / "clients" / "frameworks.md"
_BEGIN, _END = "<!-- projects -->", "<!-- end of the projects -->"


def cell_text(cells: list[Cell], reports: dict[str, dict[str, Any]]) -> str:
    """What a field of the table says: the places of the password that were proved, or why none was."""
    found = [reports.get(cell.name, NOT_RUN) for cell in cells]
    proved = [cell.framework.place for cell, report in zip(cells, found, strict=True) if report["verdict"] == "proved"]
    if len(proved) == len(cells):
        return ", ".join(proved)
    other = next(report for report in found if report["verdict"] != "proved")
    word = {"impossible": "no", "not_proved": "not run", "failed": "FAILED"}[other["verdict"]]
    return "; ".join([*proved, f"{word}: {other['message']}".replace("|", "/")])


def refusals(choice: Framework, reports: dict[str, dict[str, Any]], cells: list[Cell]) -> str:
    """How many of the trials that have to fail did."""
    tried = [cell for cell in cells if cell.trial in TRIALS[1:] and _same(cell.framework, choice)]
    failed = [cell for cell in tried if reports.get(cell.name, NOT_RUN)["verdict"] == "failed"]
    return f"{len(failed)} of {len(tried)}"


def _same(one: Framework, other: Framework) -> bool:
    return (one.name, one.versions, one.variant) == (other.name, other.versions, other.variant)


def page(reports: dict[str, dict[str, Any]]) -> str:
    """The whole page: what people wrote, around what the run proved."""
    text = TEMPLATE.read_text()
    for name, part in (("proved", proved(reports)), ("guide", guide()), ("projects", projects())):
        text = text.replace(f"@{name}@", part)
    return text


def projects() -> str:
    """The table of the projects, and what their own commands did with the written files in them."""
    found = json.loads(project.RESULTS.read_text()) if project.RESULTS.exists() else {}
    lines = [_BEGIN, "| project | its own commands | passed |", "| --- | --- | --- |"]
    for name, commands in sorted(found.items()):
        failed = [command for command, passed in commands.items() if not passed]
        passed = f"{len(commands) - len(failed)} of {len(commands)}"
        named = ", ".join(f"`{command}`" for command in commands)
        lines.append(f"| {name} | {named} | {passed}{'; not: ' + ', '.join(failed) if failed else ''} |")
    return "\n".join([*lines, _END])


def proved(reports: dict[str, dict[str, Any]]) -> str:
    """The table of what each framework was proved with, and its notes."""
    cells = listed(everything=True)
    lines = ["| framework | run | " + " | ".join(FORMS) + " | refused |", "| --- " * (len(FORMS) + 3) + "|"]
    notes = []
    choices: dict[tuple[str, ...], Framework] = {
        (cell.framework.name, cell.framework.versions, cell.framework.variant): cell.framework for cell in cells
    }
    for choice in choices.values():
        row = [f"`{choice.name}` {choice.versions} {choice.variant}".rstrip()]
        row.append(", ".join(f"{package.name} {package.tested}" for package in choice.packages if package.run))
        for form in FORMS:
            here = [cell for cell in cells if _same(cell.framework, choice) and cell.form == form]
            row.append(cell_text([cell for cell in here if cell.trial == "inside"], reports))
        row.append(refusals(choice, reports, cells))
        lines.append("| " + " | ".join(row) + " |")
        if choice.note:
            notes.append(f"- {choice.title}: {choice.note}.")
        if choice.loader == "process":
            notes.append(f"- {choice.label}: start the process with the variables of the environment file.")
    return "\n".join([*lines, "", *notes] if notes else lines)


def guide() -> str:
    """The table of the guide's forms that fail as printed."""
    lines = [
        "| framework | the guide's form as printed | fails with | what we write | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    for form in PRINTED:
        fields = [
            f"`{form.framework}` {form.versions}",
            f"`{form.printed}`" if "`" not in form.printed else form.printed,
        ]
        fields += [f"`{form.error.split('|')[0]}`", form.ours, form.why]
        lines.append("| " + " | ".join(fields) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the page, or write it or its part about projects."""
    if "--projects" in sys.argv:
        text = re.sub(f"{_BEGIN}.*{_END}", lambda _match: projects(), PAGE.read_text(), flags=re.DOTALL)
        PAGE.write_text(text)
        return
    if not RESULTS.exists():
        sys.exit(f"{RESULTS} is not there: run make test-clients first")
    text = page(json.loads(RESULTS.read_text()))
    if "--write" in sys.argv:
        PAGE.write_text(text)
    else:
        print(text)


main()
