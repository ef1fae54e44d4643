# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The matrix of the last whole run: `python -m tests.clients.report` prints it, `--write` writes docs/frameworks.md."""

from __future__ import annotations

import json
import sys
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework

from tests.clients.guide import PRINTED
from tests.clients.matrix import FORMS, RESULTS, TRIALS, Cell, listed
from tests.conftest import CHECKOUT

NOT_RUN = {"verdict": "not_proved", "message": "not in the last run", "facts": {}}
PAGE = CHECKOUT / "docs" / "frameworks.md"
TOP = """# The frameworks

Written by `make docs-frameworks` from a run of `make test-clients`, which gives every configuration, as the role wrote
it, to the framework itself, against the sandbox. Change the catalogue or the tests, not this page.

List a framework by its name, or say more where its form depends on it:

```yaml
frameworks:
  - django
  - {name: sequelize, version: "6.9.0"}                 # quoted: 6.10 is no number
  - {name: typeorm, version: "0.2.45", variant: yml}
  - {name: sqlalchemy, variant: asyncpg, password_place: inline}
```

Without a version the newest range is taken, without a variant the first one. `playbooks/frameworks.yml` lists them,
and shows what an app would get. *env*: the password is in the environment file, from which the written configuration
reads it (or whoever starts the process does, where it is said below); *inline*: it is in the framework's own file,
mode 0600.

Nothing loads an environment file by itself in Python, Go, Java or Ruby: the written files read it. Shells, systemd and
the loaders of the languages read the same from it (`tests/clients/test_escaping.py`), but for dotenv-java, which keeps
the quotes around a value.

## What was proved

A framework is proved by a round trip over verified TLS as the right user, the cluster named in that form and no other;
and by its refusal of a stranger's CA and of another host's certificate, and the cluster's refusal of an address outside
its allowlist, on one form of every deployment.

`serverless public_ca`: the CA counts as public, so the files have the guide's form and name no path; the sandbox's CA
was put where each client finds the public ones (`~/.postgresql/root.crt`, `NODE_EXTRA_CA_CERTS`, Go's `SSL_CERT_FILE`,
the JVM's trust store). `dedicated trust_store`: Java's guide form with the trust store that `trust_store: true` writes.

"""


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
    """The whole page."""
    cells = listed(everything=True)
    lines = [TOP + "| framework | run | " + " | ".join(FORMS) + " | refused |", "| --- " * (len(FORMS) + 3) + "|"]
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
    lines += ["", *notes] if notes else []
    lines += [
        "",
        "## Where the guide's form fails as printed",
        "",
        "With a CA that is not public, in `~/.postgresql/root.crt`. `tests/clients/test_guide.py` runs both.",
        "",
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
    lines += [
        "",
        "To all other forms of the guide the CA's path is added (`sslrootcert`): as printed they want the CA in",
        "`~/.postgresql/root.crt` of the account that runs them.",
        "",
        "Where the CA is public, the guide's form is written word for word (`test_a_public_ca_has_the_guides_text`),",
        "but for what fails with any CA: the JSON's last comma, createConnection, the dialect, the scheme of",
        "ActiveRecord's URL, and asyncpg's query.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the page, or write it."""
    if not RESULTS.exists():
        sys.exit(f"{RESULTS} is not there: run make test-clients first")
    text = page(json.loads(RESULTS.read_text()))
    if "--write" in sys.argv:
        PAGE.write_text(text)
    else:
        print(text)


main()
