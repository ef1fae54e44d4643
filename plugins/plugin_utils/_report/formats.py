# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Fleet as people and programs read it: lines for a terminal, JSON, JUnit XML; `page` has the HTML.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from xml.etree import ElementTree

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import STAGES
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.fleet import (
    FAILED,
    NOT_CHECKED,
    PROVED,
    VALUES_SHOWN,
    VERDICTS,
    Check,
    Fleet,
    Host,
    Probe,
    and_more,
    count,
    read_host,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.page import as_html

GENERATOR = "crdb.onboard check"
JSON_VERSION = 2

_ROWS_SHOWN = 12


def of_host(name: str, result: object) -> list[str]:
    """The lines on one host, by the result of the module `check`, with that of its drivers."""
    drivers = result.get("drivers") if isinstance(result, Mapping) else None
    return text(Fleet((read_host(name, result, drivers),), ""))


def text(fleet: Fleet) -> list[str]:
    """The lines for a terminal: a table of the endpoints where there are few, else of the stages; then the causes."""
    rows = [(host, check) for host in fleet.hosts for check in host.checks]
    one = len(fleet.hosts) == 1
    lines = [] if one else [fleet.summary, ""]
    if len(rows) <= _ROWS_SHOWN:
        lines += _few(rows, one)
    else:
        lines += _many(fleet)
    if one:
        lines += [_driver(probe) for probe in fleet.hosts[0].probes]
    else:
        lines += _drivers(fleet)
    for groups, first, second in ((fleet.causes, "cause", "cure"), (fleet.notes, "note", "")):
        for cause in groups:
            if one and cause.code == "driver_not_proved":
                # The driver's own line has said why.
                continue
            title = (
                cause.title if not one else " ".join(filter(None, (cause.code, cause.where and f"at {cause.where}")))
            )
            names = sorted({name for _host, name, _evidence in cause.members if name})
            lines += ["", f"{title} ({and_more(names, VALUES_SHOWN)})" if names else title]
            lines.append(f"  {first + ':':<6} {cause.cause}")
            if second and cause.cure:
                lines.append(f"  {second + ':':<6} {cause.cure}")
            if not one:
                lines.append(f"  hosts: {cause.named_hosts}")
    return lines


def _table(head: Sequence[str], body: Sequence[Sequence[str]], left: int) -> list[str]:
    widths = [max(len(row[n]) for row in (head, *body)) for n in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if n < left or n == len(head) - 1 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *body)
    ]


def _few(rows: Sequence[tuple[Host, Check]], one: bool) -> list[str]:
    if not rows:
        return []
    body = []
    for host, check in rows:
        reached = [check.stages.get(stage) for stage in STAGES]
        cells = ["-" if stage is None else stage.text if stage.ok else "FAILED" for stage in reached]
        verdict = host.verdict(check) + (f" ({count(len(check.notes), 'note')})" if check.notes else "")
        body.append([*([] if one else [host.name]), check.name, *cells, verdict])
    return _table([*([] if one else ["host"]), "endpoint", *STAGES, "verdict"], body, 1 if one else 2)


def _many(fleet: Fleet) -> list[str]:
    if not fleet.spreads:
        return []
    totals = Counter(check.name for host in fleet.hosts for check in host.checks)
    reached = Counter(check.name for host in fleet.hosts for check in host.checks if check.ok)
    proved = Counter(check.name for host in fleet.hosts for check in host.checks if host.is_proved(check))
    body = []
    for name, spread in fleet.spreads.items():
        for time in ("median", "slowest"):
            first = time == "median"
            cells = [str(getattr(spread[stage], time)) if stage in spread else "-" for stage in STAGES]
            also = f", {proved[name]} proved" if proved[name] else ""
            verdict = f"{reached[name]} of {totals[name]} reached{also}" if first else ""
            body.append([name if first else "", time, *cells, verdict])
    lines = _table(["endpoint", "time", *STAGES, "verdict"], body, 2)
    if len(totals) > len(fleet.spreads):
        lines.append(f"and {len(totals) - len(fleet.spreads)} more endpoints")
    return lines


def _driver(probe: Probe) -> str:
    known = {key: probe.facts.get(key, "?") for key in ("version", "user", "database", "tls")}
    if probe.verdict == PROVED:
        return "{} {version}: connected as {user} to {database}, {tls}".format(probe.name, **known)
    verdict = "FAILED" if probe.verdict == "failed" else probe.verdict.replace("_", " ")
    return f"{probe.name}: {verdict}: {probe.message}"


def _drivers(fleet: Fleet) -> list[str]:
    if not fleet.drivers:
        return []
    body = [[name, *(str(counts[verdict]) for verdict in VERDICTS)] for name, counts in fleet.drivers.items()]
    return [
        "",
        *_table(["driver", *(verdict.replace("_", " ") for verdict in VERDICTS), ""], [[*b, ""] for b in body], 1),
    ]


def as_json(fleet: Fleet) -> bytes:
    """The report for programs; `docs/check-reports.md` names its keys."""
    content = {
        "generator": GENERATOR,
        "version": JSON_VERSION,
        "written": fleet.written,
        "ok": fleet.ok,
        "hosts_by_status": fleet.counts,
        "causes": [
            {"code": c.code, "endpoint": c.where, "cause": c.cause, "cure": c.cure, "hosts": c.hosts}
            for c in fleet.causes
        ],
        "hosts": [
            {
                "name": host.name,
                "status": host.status,
                "message": host.message,
                "checks": [check.raw for check in host.checks],
                "probes": [probe.raw for probe in host.probes],
            }
            for host in fleet.hosts
        ],
    }
    return (json.dumps(content, indent=1) + "\n").encode("ascii")


def as_junit(fleet: Fleet) -> bytes:
    """JUnit XML: a suite a host, a case an endpoint and a driver; what was not tried is skipped."""
    top = ElementTree.Element("testsuites", name=GENERATOR)
    totals: Counter[str] = Counter()
    for host in fleet.hosts:
        suite = ElementTree.SubElement(top, "testsuite", name=host.name, timestamp=fleet.written.rstrip("Z"))
        suite.set("hostname", host.name)
        counts: Counter[str] = Counter()
        seconds = 0.0
        for case, took in _cases(host):
            case.set("classname", f"{GENERATOR}.{host.name}".replace(" ", "."))
            case.set("time", f"{took:.3f}")
            suite.append(case)
            seconds += took
            counts.update(["tests", *(child.tag for child in case if child.tag != "system-out")])
        _set_counts(suite, counts, seconds)
        totals.update(counts)
    longest = max((float(suite.get("time", "0")) for suite in top), default=0.0)
    _set_counts(top, totals, longest)
    ElementTree.indent(top, " ")
    data: bytes = ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _set_counts(element: ElementTree.Element, counts: Counter[str], seconds: float) -> None:
    for attribute, tag in (("tests", "tests"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(counts[tag]))
    element.set("time", f"{seconds:.3f}")


def _cases(host: Host) -> Iterable[tuple[ElementTree.Element, float]]:
    if not host.checks:
        case = ElementTree.Element("testcase", name="check")
        tag = {NOT_CHECKED: "skipped", FAILED: "failure"}.get(host.status, "error")
        verdict = ElementTree.SubElement(case, tag, message=_xml(host.message))
        if tag != "skipped":
            verdict.set("type", host.status)
        yield case, 0.0
    for check in host.checks:
        case = ElementTree.Element("testcase", name=_xml(check.name))
        if not check.tried:
            ElementTree.SubElement(case, "skipped", message=_xml(f"{check.code}: {check.cause}"))
        elif not check.ok:
            verdict = ElementTree.SubElement(case, "failure", message=_xml(f"{check.code}: {check.cause}"))
            verdict.set("type", _xml(check.code))
            evidence = [f"{key}: {value}" for key, value in check.evidence]
            verdict.text = _xml("\n".join([f"cause: {check.cause}", f"cure: {check.cure}", *evidence]))
        if check.notes:
            ElementTree.SubElement(case, "system-out").text = _xml(
                "\n".join(f"{code}: {note}" for code, note in check.notes)
            )
        yield case, sum(stage.milliseconds for stage in check.stages.values()) / 1000
    for probe in host.probes:
        case = ElementTree.Element("testcase", name=_xml(f"driver {probe.name}"))
        if probe.verdict == "failed":
            ElementTree.SubElement(case, "failure", message=_xml(probe.message)).set("type", "driver_failed")
        elif probe.verdict != PROVED:
            ElementTree.SubElement(case, "skipped", message=_xml(probe.message))
        yield case, 0.0


def _xml(value: str) -> str:
    """Without the few printable characters that XML 1.0 cannot hold; line() has taken the others out."""
    return re.sub("[\ufffe\uffff\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", "\ufffd", value)


FORMATS: Mapping[str, tuple[str, Callable[[Fleet], bytes]]] = {
    "html": ("html", as_html),
    "json": ("json", as_json),
    "junit": ("xml", as_junit),
    "text": ("txt", lambda fleet: "\n".join([f"{GENERATOR}, {fleet.written}", "", *text(fleet), ""]).encode("utf-8")),
}
