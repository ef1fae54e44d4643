# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the tables of variables in the roles' READMEs from their argument_specs: `make docs`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[1]
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


def main() -> None:
    """Write all READMEs; with --check only say which are out of date."""
    stale = []
    for role in sorted((TOP / "roles").iterdir()):
        wanted = readme(role)
        path = role / "README.md"
        if path.read_text(encoding="utf-8") != wanted:
            stale.append(str(path.relative_to(TOP)))
            if "--check" not in sys.argv:
                path.write_text(wanted, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"out of date, run make docs: {', '.join(stale)}")


if __name__ == "__main__":
    main()
