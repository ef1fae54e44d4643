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
TOP = """# Frameworks

List every framework of the catalogue, or show what an app would get:

```sh
.venv/bin/ansible-playbook playbooks/frameworks.yml
.venv/bin/ansible-playbook playbooks/frameworks.yml -e crdb_frameworks=typeorm,hibernate
```

In an app, give a framework by its name, or give its version, variant and the place of the password:

```yaml
frameworks:
  - django
  - {name: sequelize, version: "6.9.0"}                 # in quotes: YAML reads 6.10 as the number 6.1
  - {name: typeorm, version: "0.2.45", variant: yml}
  - {name: sqlalchemy, variant: asyncpg, password_place: inline}
```

| key | meaning | default |
| --- | --- | --- |
| `version` | the version of the framework that the app uses | the newest range in the table |
| `variant` | one of several ways to configure the same version | the first one in the table |
| `password_place` | `env`: the environment file, which the written configuration reads; `inline`: the framework's own file, mode 0600 | `env` where the framework can read it |

In Python, Go, Java and Ruby nothing loads an environment file by itself, so the written files read it. A note under the table
names the frameworks whose process must be started with the variables instead. Shells, systemd and the loaders of the languages
read the same values from the file (`tests/clients/test_escaping.py`). The exception is dotenv-java, which keeps the quotes
around a value.

## What was proved

This page is written by `make docs-frameworks` from a run of `make test-clients`. To change it, change the catalogue or the
tests. The run gives every configuration, as the role wrote it, to the framework itself, against the sandbox.

A framework is proved when all of this happens:

- It makes a round trip over verified TLS as the right user, and names the cluster in that form only.
- It refuses the certificate of another CA and the certificate of another host.
- The cluster refuses it from an address outside the allowlist.

The two refusals are tested on one form of every deployment.

| column | meaning |
| --- | --- |
| `serverless public_ca` | The CA counts as public, so the files have the guide's form and name no path. The sandbox's CA was put where each client finds the public ones: `~/.postgresql/root.crt`, `NODE_EXTRA_CA_CERTS`, Go's `SSL_CERT_FILE`, the JVM's trust store. |
| `dedicated trust_store` | Java's form of the guide, with the trust store that `trust_store: true` writes. |
| refused | How many of the connections that must fail did fail. |

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
        "This table is about a private CA in `~/.postgresql/root.crt`. `tests/clients/test_guide.py` runs both forms.",
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
        "The CA's path (`sslrootcert`) is added to all other forms of the guide. As printed, they expect the CA in",
        "`~/.postgresql/root.crt` of the account that runs them.",
        "",
        "Where the CA is public, the guide's form is written word for word (`test_a_public_ca_has_the_guides_text`). The",
        "exceptions fail with any CA: the JSON's last comma, createConnection, the dialect, the scheme of ActiveRecord's URL,",
        "and asyncpg's query.",
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
