# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the generated tables: `make docs`.

The variables in the roles' READMEs, from their argument_specs; the codes in docs/check.md, from the check's catalogue.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "collections"))

from ansible_collections.crdb.onboard.plugins.module_utils._check.check import CATALOGUE, NOTES  # noqa: E402

BEGIN = "<!-- variables: written by make docs -->"
END = "<!-- end of the variables -->"


def _text(description: Any) -> str:
    text = " ".join(description) if isinstance(description, list) else str(description)
    return re.sub(r"[COVM]\(([^)]*)\)", r"`\1`", " ".join(text.split())).replace("|", "\\|")


def table(role: Path) -> str:
    """The Markdown table of a role's variables."""
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}
    rows = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, option in spec["argument_specs"]["main"]["options"].items():
        default = f"`{json.dumps(defaults[name])}`" if name in defaults else ""
        rows.append(f"| `{name}` | {option['type']} | {default} | {_text(option['description'])} |")
    return "\n".join(rows)


def readme(role: Path) -> str:
    """The role's README with its table as the argument_specs have it."""
    before, rest = (role / "README.md").read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table(role)}\n{END}{after}"


def _sentence(text: str) -> str:
    words = re.sub(r"\{(\w+)\}", lambda found: found[1].replace("_", " ").upper(), text)
    return words.replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


def codes() -> str:
    """The Markdown table of the check's codes."""
    rows = ["| code | cause | cure |", "| --- | --- | --- |"]
    for code, entry in sorted(CATALOGUE.items()):
        forms: dict[tuple[str, str], list[str]] = {(entry.cause, entry.cure): []}
        for deployment, sentences in entry.per_deployment.items():
            forms.setdefault(sentences, []).append(deployment)
        columns = []
        for part in (0, 1):
            told: dict[str, list[str]] = {}
            for sentences, deployments in forms.items():
                told.setdefault(_sentence(sentences[part]), []).extend(deployments)
            columns.append(
                "<br>".join(
                    f"*{', '.join(deployments)}:* {text}" if deployments and number else text
                    for number, (text, deployments) in enumerate(told.items())
                )
            )
        rows.append(f"| `{code}` | {columns[0]} | {columns[1]} |")
    return "\n".join(rows)


def notes() -> str:
    """The Markdown table of the check's notes."""
    rows = ["| code | says |", "| --- | --- |"]
    return "\n".join([*rows, *(f"| `{code}` | {_sentence(text)} |" for code, text in sorted(NOTES.items()))])


def check_page() -> str:
    """docs/check.md with its tables as the catalogue has them."""
    text = (TOP / "docs" / "check.md").read_text(encoding="utf-8")
    for what, table_text in (("codes", codes()), ("notes", notes())):
        begin, end = f"<!-- {what}: written by make docs -->", f"<!-- end of the {what} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{table_text}\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    """Write all of them; with --check only say which are out of date."""
    stale = []
    pages = {role / "README.md": readme(role) for role in sorted((TOP / "roles").iterdir())}
    pages[TOP / "docs" / "check.md"] = check_page()
    for path, wanted in pages.items():
        if path.read_text(encoding="utf-8") != wanted:
            stale.append(str(path.relative_to(TOP)))
            if "--check" not in sys.argv:
                path.write_text(wanted, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"out of date, run make docs: {', '.join(stale)}")


if __name__ == "__main__":
    main()
