# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the last runs proved: `python -m tests.clients.report` prints the page, `--write` writes docs/frameworks.md.

`--projects` writes only the part about projects, for which `make test-projects` is enough. A choice of the catalogue of
which no cell was run keeps its row, as long as the row is about the same packages.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework

from tests.clients.guide import PRINTED
from tests.clients.matrix import FORMS, RESULTS, TRIALS, Cell, is_refused, listed
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
    """How many of the trials that have to fail did, each for its own reason."""
    tried = [cell for cell in cells if cell.trial in TRIALS[1:] and _same(cell.framework, choice)]
    refused = [cell for cell in tried if is_refused(cell, reports.get(cell.name, NOT_RUN))]
    return f"{len(refused)} of {len(tried)}"


def _same(one: Framework, other: Framework) -> bool:
    return (one.name, one.versions, one.variant) == (other.name, other.versions, other.variant)


def page(reports: dict[str, dict[str, Any]]) -> str:
    """The whole page: what people wrote, around what the run proved."""
    text = TEMPLATE.read_text()
    parts = {"proved": proved(reports), "guide": guide(), "projects": projects(), "frameworks": sections()}
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _kept(begin: str, end: str) -> dict[str, str]:
    """The rows of a table that the page has, by their first two fields: what, and what it was run with."""
    text = PAGE.read_text() if PAGE.exists() else ""
    lines = [line for line in text.partition(begin)[2].partition(end)[0].splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


def projects() -> str:
    """The table of the projects, and what their own commands did with the written files in them."""
    found = json.loads(project.RESULTS.read_text()) if project.RESULTS.exists() else {}
    head = ["| project | its own commands | passed |", "| --- | --- | --- |"]
    rows = {name: line for name, line in _kept(_BEGIN, _END).items() if line not in head}
    for name, commands in found.items():
        failed = [command for command, passed in commands.items() if not passed]
        passed = f"{len(commands) - len(failed)} of {len(commands)}"
        named = ", ".join(f"`{command}`" for command in commands)
        rows[name] = f"| {name} | {named} | {passed}{'; not: ' + ', '.join(failed) if failed else ''} |"
    return "\n".join([_BEGIN, *head, *(rows[name] for name in sorted(rows)), _END])


def sections() -> str:
    """One short section for each framework: what to type, what is written, how it is used, what is special."""
    lines: list[str] = []
    for heading, choices in _catalogue.by_language(_catalogue.load()):
        lines += [f"### {heading}", ""]
        for name in dict.fromkeys(choice.name for choice in choices):
            lines += _section([choice for choice in choices if choice.name == name])
    return "\n".join(lines[:-1])


def _section(choices: list[Framework]) -> list[str]:
    first = choices[0]
    ranges = list(dict.fromkeys(choice.versions for choice in choices))
    variants = list(dict.fromkeys(choice.variant for choice in choices if choice.variant))
    destinations = list(dict.fromkeys(f"`{file.destination}`" for choice in choices for file in choice.files))
    uses = [file for file in first.files if file.use]
    lines = [f"#### {first.title}{' ' + ' and '.join(ranges) if first.legacy else ''}", ""]
    typed = f"`{first.name}`"
    if first.known_as:
        typed += f"; also known as {', '.join(f'`{word}`' for word in first.known_as)}"
    needs = {
        choice.versions: f" ({languages.of(choice.language).title} `{choice.runtime}`)"
        for choice in choices
        if choice.runtime
    }
    versions = ", ".join(f"`{bounds}`" + needs.get(bounds, "") for bounds in ranges if bounds)
    lines += [f"- Type {typed}.{f' Versions: {versions}.' if versions else ''}"]
    if variants:
        lines += [f"- Variants: {', '.join(f'`{variant}`' for variant in variants)}."]
    names = ", ".join(f"`{name}`" for name in first.environment)
    written = ", ".join(destinations) or "no file of its own"
    lines += [f"- Written: {written}{f', and {names} in the environment file' if names else ''}."]
    lines += [f"- Used by: {_used(file.use, file.where)}" for file in uses]
    if first.special and not first.legacy:
        lines += [f"- {first.special}"]
    return [*lines, f"- Documentation: <{first.documentation}>", ""]


def _used(use: str, where: str) -> str:
    lines = " and ".join(f"`{line}`" if "`" not in line else f"`` {line} ``" for line in use.splitlines())
    return f"{lines}{', ' + where if where else ''}."


def proved(reports: dict[str, dict[str, Any]]) -> str:
    """A table for each language of what each framework was proved with, and notes."""
    cells = listed(everything=True)
    head = ["| framework | run | " + " | ".join(FORMS) + " | refused |", "| --- " * (len(FORMS) + 3) + "|"]
    lines, notes = [], []
    kept = _kept("## What was proved", "## Where the guide's form fails")
    for heading, choices in _catalogue.by_language(_catalogue.load()):
        probed = [choice for choice in choices if choice.probe]
        if not probed:
            continue
        lines += [f"### {heading}: proved", "", *head]
        for choice in probed:
            row = [f"`{choice.name}` {choice.versions} {choice.variant}".rstrip()]
            row.append(", ".join(f"{package.name} {package.tested}" for package in choice.packages if package.run))
            line = kept.get(row[0], "")
            run = any(cell.name in reports for cell in cells if _same(cell.framework, choice))
            if run or not line.startswith("| " + " | ".join(row) + " |"):
                for form in FORMS:
                    here = [cell for cell in cells if _same(cell.framework, choice) and cell.form == form]
                    row.append(cell_text([cell for cell in here if cell.trial == "inside"], reports))
                row.append(refusals(choice, reports, cells))
                line = "| " + " | ".join(row) + " |"
            lines.append(line)
            if choice.note:
                notes.append(f"- {choice.title}: {choice.note}.")
            if choice.loader == "process":
                notes.append(f"- {choice.label}: start the process with the variables of the environment file.")
        lines.append("")
    return "\n".join([*lines, *dict.fromkeys(notes)] if notes else lines[:-1])


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
