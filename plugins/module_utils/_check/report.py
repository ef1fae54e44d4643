# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The result of checking one endpoint, and the failure text for several.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._check.app_files import Finding
from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.notes import NOTES
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import OK, note
from ansible_collections.crdb.onboard.plugins.module_utils._check.diagnosis import Diagnosis, describe
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts
from ansible_collections.crdb.onboard.plugins.module_utils._check.masking import shown_values
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEFAULT_TIMEOUT
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import WireError


class Report(NamedTuple):
    """The result of one endpoint's check.

    `stages`: the stages that were reached, each {stage, ok, milliseconds}.
    `notes`: remarks that do not change the verdict, each {code, text}.
    """

    name: str
    host: str
    port: int
    address: str | None
    diagnosis: Diagnosis
    stages: list[dict[str, Any]]
    server: dict[str, Any]
    password_sent: bool
    notes: list[dict[str, str]]

    @property
    def ok(self) -> bool:
        return self.diagnosis.code == OK

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "host": self.host,
            "port": self.port,
            "address": self.address,
            "ok": self.ok,
            "code": self.diagnosis.code,
            "cause": self.diagnosis.cause,
            "cure": self.diagnosis.cure,
            "evidence": self.diagnosis.evidence,
            "stages": self.stages,
            "server": self.server,
            "password_sent": self.password_sent,
            "notes": self.notes,
        }


def skipped(code: str, facts: Facts, other: str, **words: str) -> Report:
    """The report of an endpoint that was not tried, because the login of `other` failed: an endpoint or a host."""
    error = WireError(f"not tried after the login of {clean(other)} failed")
    diagnosis = describe(code, "auth", error, facts, other=other, **words)
    return Report(facts.name, facts.host, facts.port, None, diagnosis, [], {}, False, [])


def refused_input(name: str, cause: str, cure: str) -> Report:
    """The report of an endpoint that could not be tried, because what was given for it is refused."""
    diagnosis = Diagnosis("input_refused", clean(cause, 1000), clean(cure, 1000), {"step": "input"})
    return Report(name, "", 0, None, diagnosis, [], {}, False, [])


def with_findings(report: Report, endpoint: Endpoint, findings: Sequence[Finding], user: str, *, only: bool) -> Report:
    """The report with the findings about the app's own files.

    If the report is ok so far, the first fault becomes its verdict; all others become notes. `only`: make notes of all
    of them, as in check mode, where the files are not written yet.
    """
    facts = Facts.of(endpoint, DEFAULT_TIMEOUT)
    common = {"name": facts.name, "host": facts.host, "app_user": user or "this user"}
    faults = []
    for code, found in findings:
        # A file may hold the password where another part of a connection string belongs.
        words = shown_values(found, endpoint.password or "")
        if code in NOTES:
            report.notes.append(note(code, **{**common, **words}))
        else:
            faults.append(describe(code, "prepare", WireError("read back"), facts, **{**common, **words}))
    if faults and report.ok and not only:
        first = faults.pop(0)
        report = report._replace(diagnosis=Diagnosis(first.code, first.cause, first.cure, {"step": "files"}))
    report.notes.extend({"code": fault.code, "text": fault.cause} for fault in faults)
    return report


def failure_text(checks: Sequence[Mapping[str, Any]]) -> str:
    """One line for a task's failure: each failing endpoint with code, cause and cure."""
    failed = [check for check in checks if not check["ok"]]
    parts = [f"{len(failed)} of {len(checks)} endpoints did not pass the check."]
    parts += [f"{check['name']}: {check['code']}. Cause: {check['cause']} Cure: {check['cure']}" for check in failed]
    return " ".join(parts)
