# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Fleet as one HTML page, which needs nothing else.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import STAGES
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.fleet import (
    NOT_CHECKED,
    PROVED,
    REACHED,
    STATUSES,
    UNREACHABLE,
    Cause,
    Fleet,
    Stage,
    count,
    on_scale,
)
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

# The statuses of hosts that have nothing to mend: they come last.
_FINE = (PROVED, REACHED)
_EVIDENCE_SHOWN = 20
_BAR_WIDTH = 48
# A host name up to this length is not broken on a wide screen.
_NAME_WIDTH = 60
_SUBJECTS = {
    UNREACHABLE: "Ansible cannot reach the host",
    "check_failed": "The check itself failed",
    "driver_failed": "A framework's own driver cannot connect",
    "driver_not_proved": "A framework's own driver has not connected",
}

Pairs = tuple[tuple[str, str], ...]


class Evidence(NamedTuple):
    """The evidence of one cause. `common`: what all its members have; `rest`: what else, and who has it."""

    common: Pairs
    rest: tuple[tuple[tuple[str, ...], Pairs], ...]


def evidence(cause: Cause) -> Evidence:
    """The evidence of a cause, each text once."""
    known = [(f"{host}, {name}" if name else host, pairs) for host, name, pairs in cause.members if pairs]
    shared = set(known[0][1]).intersection(*(pairs for _who, pairs in known[1:])) if known else set()
    rest: dict[Pairs, list[str]] = {}
    for who, pairs in known:
        rest.setdefault(tuple(pair for pair in pairs if pair not in shared), []).append(who)
    common = tuple(pair for pair in known[0][1] if pair in shared) if known else ()
    return Evidence(common, tuple((tuple(who), pairs) for pairs, who in rest.items() if pairs))


def headline(fleet: Fleet) -> str:
    """The result of the run in one sentence, without a full stop."""
    total = len(fleet.hosts)
    reached = sum(fleet.counts[status] for status in _FINE)
    if total and fleet.counts[NOT_CHECKED] == total:
        return "No host was checked"
    if total == 1:
        return f"{fleet.hosts[0].name} {'can' if reached else 'cannot'} reach its database"
    if reached == total:
        return f"All {total} hosts can reach their databases" if total else "There is no host to check"
    return f"{reached or 'None'} of {total} hosts can reach their databases"


def heading(cause: Cause) -> str:
    """The cause as a sentence: what a driver, Ansible or a module says may be a word only."""
    if cause.code in _SUBJECTS:
        return f"{_SUBJECTS[cause.code]}: {cause.cause}" if cause.cause else f"{_SUBJECTS[cause.code]}."
    return cause.cause or "The check failed and gave no cause."


def _breakable(name: str) -> Markup:
    """A host name that a narrow column breaks after its dots."""
    text = Markup(".<wbr>").join(escape(part) for part in name.split("."))
    return Markup('<b class="n">{}</b>').format(text) if len(name) <= _NAME_WIDTH else text


@functools.lru_cache(maxsize=1)
def _page() -> tuple[Template, str, str]:
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    style = (folder / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template("report.html.j2"), style, f"sha256-{digest}"


def _bar(stage: Stage) -> int:
    return round(on_scale(stage.milliseconds) * _BAR_WIDTH)


def as_html(fleet: Fleet) -> bytes:
    """One page that needs nothing else, no script either: `report.html.j2` is its text, `report.css` its look."""
    template, style, digest = _page()
    numbers = {(m[0], m[1]): n for n, cause in enumerate(fleet.causes, 1) for m in cause.members}
    page: str = template.render(
        fleet=fleet,
        headline=headline(fleet),
        heading=heading,
        statuses=STATUSES,
        stages=STAGES,
        style=style,
        digest=digest,
        bar=_bar,
        numbers=numbers,
        evidence=evidence,
        evidence_shown=_EVIDENCE_SHOWN,
        count=count,
        rows=sorted(fleet.hosts, key=lambda host: list(STATUSES).index(host.status) if host.status in _FINE else -1),
        fine=_FINE,
    )
    return page.encode("utf-8", "replace")
