# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the checks of all hosts found, by cause; `_report_formats` renders it.

read_host() turns what a host answered into a Host, whatever it answered; Fleet groups the hosts' failures. Both are
pure. What comes from a host is not trusted: it is cleaned and capped here, and escaped where it is rendered.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import functools
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import OK, STAGES
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean

PROVED = "proved"
REACHED = "reached"
FAILED = "failed"
UNREACHABLE = "unreachable"
LOST = "failed_before"
NOT_CHECKED = "not_checked"
# The codes of endpoints that were left out because their login failed elsewhere.
_NOT_TRIED = ("not_tried", "canary_refused", "canary_failed")
# The words for each status in a summary, the same in singular and plural.
STATUSES: Mapping[str, str] = {
    PROVED: "proved",
    REACHED: "reached, not proved",
    FAILED: "failed",
    UNREACHABLE: "unreachable",
    LOST: "failed or unreachable before the check",
    NOT_CHECKED: "not checked",
}

VERDICTS = (PROVED, FAILED, "not_proved")

_TEXT_CAP = 1000
_ENTRIES_CAP = 200
_LIST_CAP = 50
_EVIDENCE_CAP = 40
_DEPTH_CAP = 4
_NAMES_SHOWN = 10
# Of why a driver is not proved, in a table; the whole reason stands below it.
_REASON_CAP = 60
VALUES_SHOWN = 5
_CONNECTIONS_SHOWN = 50
# Sentences of one code that differ in more words than this are not merged into one.
_WORDS_APART = 4
_VARIANTS = 20
# A number, or a date and time: they neither split a group nor lengthen its sentences.
_MEASURED = re.compile(r"\d+(\.\d+)?|\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:?\d\d)?")
# Times are drawn on a logarithmic scale, in milliseconds.
_SHORTEST_MS = 0.1
_LONGEST_MS = 30_000.0
_BINS = 16

_UNREACHABLE_CURE = "Run `ansible HOST -m ansible.builtin.ping` to see why, then check the host again with `-l HOST`."
_EARLIER_CAUSE = "The check did not run on this host, because an earlier task failed or could not reach it."
_EARLIER_CURE = "Find the host's error in the output above the recap, then check it again with `-l HOST`."
_NO_ANSWER_CURE = "Fix the error in the message, then check again."
_PROBE_CURE = (
    "Run the check with -v for the driver's full output. If all stages pass, the error is in the framework's files or"
    " in the driver."
)


def line(text: object, cap: int = _TEXT_CAP) -> str:
    """A text of unknown origin on one line, its length capped."""
    return clean(text, cap)


@dataclass(frozen=True)
class Stage:
    """One stage that was reached. `milliseconds` is 0 where the host gave no usable number."""

    stage: str
    ok: bool
    milliseconds: float

    @property
    def text(self) -> str:
        return duration(self.milliseconds)


@dataclass(frozen=True)
class Check:
    """One endpoint's check, as the module `check` returns it, cleaned. `notes`: code and text. `raw`: all of it."""

    name: str
    host: str
    port: str
    ok: bool
    code: str
    cause: str
    cure: str
    evidence: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...]
    stages: Mapping[str, Stage]
    raw: Any

    @property
    def where(self) -> str:
        return f"{self.host} port {self.port}" if self.host else ""

    @property
    def tried(self) -> bool:
        """Whether the endpoint was tried: after a refused login, others with the same login are skipped."""
        return self.code not in _NOT_TRIED


@dataclass(frozen=True)
class Probe:
    """The result of a framework's own driver. `verdict`: proved, failed, or not_proved (no driver is installed)."""

    app: str
    framework: str
    verdict: str
    message: str
    facts: Mapping[str, str]
    raw: Any

    @property
    def name(self) -> str:
        return f"{self.app}: {self.framework}"


@dataclass(frozen=True)
class Host:
    """One host's results. `message`: why there are no checks, if there are none.

    `status`: `proved` where the drivers of all its apps connected, `reached` where only the check's own client did.
    """

    name: str
    status: str
    message: str = ""
    checks: tuple[Check, ...] = ()
    probes: tuple[Probe, ...] = ()

    def probes_of(self, check: Check) -> list[Probe]:
        """The drivers of the app whose connection an endpoint is."""
        return [probe for probe in self.probes if check.name.startswith(f"{probe.app}: ")]

    def is_proved(self, check: Check) -> bool:
        """Whether all drivers of the endpoint's app connected, and there are any."""
        probes = self.probes_of(check)
        return check.ok and bool(probes) and all(probe.verdict == PROVED for probe in probes)

    def verdict(self, check: Check) -> str:
        """What an endpoint is called in a table: its code where it failed, else how far it is proved."""
        if not check.ok:
            return check.code
        if self.is_proved(check):
            return PROVED
        if any(probe.verdict == FAILED for probe in self.probes_of(check)):
            return f"{REACHED}, a driver FAILED"
        missing = [probe.message for probe in self.probes_of(check) if probe.verdict == "not_proved"]
        return f"{STATUSES[REACHED]}: {clean(missing[0], _REASON_CAP)}" if missing else REACHED


@dataclass(frozen=True)
class Cause:
    """One cause of failure and the hosts that have it. `members`: (host, endpoint or driver, evidence).

    `waited`: how many of the hosts did not try, because this cause kept others of them from logging in.
    """

    code: str
    where: str
    cause: str
    cure: str
    members: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]
    waited: int = 0

    @functools.cached_property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(host for host, _name, _evidence in self.members))

    @property
    def title(self) -> str:
        where = f" at {self.where}" if self.where else ""
        waited = f": {len(self.hosts) - self.waited} tried, {self.waited} waited" if self.waited else ""
        return f"{count(len(self.hosts), 'host')}: {self.code}{where}{waited}"

    @property
    def named_hosts(self) -> str:
        return and_more(self.hosts, _NAMES_SHOWN)


@dataclass(frozen=True)
class Spread:
    """A stage's times for one connection over the hosts where it passed. `bins`: hosts by time, logarithmic."""

    count: int
    median: str
    slowest: str
    slowest_host: str
    bins: tuple[int, ...]


@dataclass(frozen=True)
class Fleet:
    """All hosts of a run. `written`: when, ISO 8601 in UTC. `origin`: names and values about the run itself."""

    hosts: tuple[Host, ...]
    written: str
    origin: tuple[tuple[str, str], ...] = ()
    causes: tuple[Cause, ...] = field(init=False)
    notes: tuple[Cause, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "causes", _causes(self.hosts))
        object.__setattr__(self, "notes", _notes(self.hosts))

    @property
    def ok(self) -> bool:
        """Whether every connection of every host works as far as it was tried: no driver failed."""
        return all(host.status in (PROVED, REACHED) for host in self.hosts)

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """The number of hosts with each status, also where it is 0."""
        hosts_by_status = Counter(host.status for host in self.hosts)
        return {status: hosts_by_status[status] for status in STATUSES}

    @property
    def summary(self) -> str:
        parts = [f"{number} {STATUSES[status]}" for status, number in self.counts.items() if number]
        return f"{count(len(self.hosts), 'host')}: {', '.join(parts) or 'none'}"

    @functools.cached_property
    def spreads(self) -> dict[str, dict[str, Spread]]:
        """Stage times by connection and stage, the connections that most hosts have first."""
        times: dict[str, dict[str, list[tuple[float, str]]]] = {}
        for host in self.hosts:
            for check in host.checks:
                for stage in check.stages.values():
                    if stage.ok:
                        by_stage = times.setdefault(check.name, {})
                        by_stage.setdefault(stage.stage, []).append((stage.milliseconds, host.name))
        order = sorted(times, key=lambda name: (-max(map(len, times[name].values())), name))
        return {
            name: {stage: _spread(pairs) for stage, pairs in times[name].items()} for name in order[:_CONNECTIONS_SHOWN]
        }

    @functools.cached_property
    def drivers(self) -> dict[str, Counter[str]]:
        """The number of hosts with each of VERDICTS, by app and framework."""
        hosts_by_verdict: dict[str, Counter[str]] = {}
        for host in self.hosts:
            for probe in host.probes:
                hosts_by_verdict.setdefault(probe.name, Counter())[probe.verdict] += 1
        return dict(sorted(hosts_by_verdict.items()))


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def and_more(values: Sequence[str], shown: int) -> str:
    return ", ".join(values[:shown]) + (f" and {len(values) - shown} more" if len(values) > shown else "")


def duration(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"


def _spread(times_by_host: list[tuple[float, str]]) -> Spread:
    times = [milliseconds for milliseconds, _host in times_by_host]
    bins = Counter(min(_BINS - 1, int(on_scale(milliseconds) * _BINS)) for milliseconds in times)
    slowest, host = max(times_by_host)
    return Spread(
        len(times), duration(statistics.median(times)), duration(slowest), host, tuple(bins[n] for n in range(_BINS))
    )


def on_scale(milliseconds: float) -> float:
    """The position of a time on the logarithmic scale, from 0 to 1."""
    bounded = min(max(milliseconds, _SHORTEST_MS), _LONGEST_MS)
    return math.log(bounded / _SHORTEST_MS) / math.log(_LONGEST_MS / _SHORTEST_MS)


# Reading a host's results


def read_host(name: str, checks: object, probes: object = None, *, lost: bool = False) -> Host:
    """A host by the results that were registered for it.

    Args:
        name: in the inventory.
        checks: the result of the module `check`; None where it never ran.
        probes: the result of the module `probe`, or None.
        lost: whether the host is out of the play, having failed or been unreachable.
    """
    name = line(name)
    result = checks if isinstance(checks, Mapping) else {}
    message = line(result.get("msg", ""))
    if result.get("unreachable"):
        return Host(name, UNREACHABLE, message or "Ansible could not reach the host.")
    endpoint_checks = tuple(_check(facts) for facts in _dicts(result.get("checks")))
    probe_result = probes if isinstance(probes, Mapping) else {}
    drivers = tuple(_probe(facts) for facts in _dicts(probe_result.get("probes")))
    if endpoint_checks:
        failed = any(not check.ok for check in endpoint_checks) or any(probe.verdict == "failed" for probe in drivers)
        host = Host(name, FAILED, "", endpoint_checks, drivers)
        if failed:
            return host
        return replace(host, status=PROVED if all(map(host.is_proved, endpoint_checks)) else REACHED)
    if result.get("failed"):
        return Host(name, FAILED, message or "The check failed without a message.", (), drivers)
    if lost:
        return Host(name, LOST, _EARLIER_CAUSE)
    message = "The host has no connection to check." if result else "The check has not run on this host."
    return Host(name, NOT_CHECKED, message)


def _dicts(value: object) -> list[Mapping[Any, Any]]:
    entries = value[:_ENTRIES_CAP] if isinstance(value, (list, tuple)) else ()
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _check(facts: Mapping[Any, Any]) -> Check:
    ok = facts.get("ok") is True
    code = line(facts.get("code") or "", 80)
    notes = facts.get("notes")
    stages = {}
    for entry in _dicts(facts.get("stages")):
        if entry.get("stage") in STAGES:
            stage = str(entry["stage"])
            stages[stage] = Stage(stage, entry.get("ok") is True, _milliseconds(entry.get("milliseconds")))
    return Check(
        name=line(facts.get("name") or facts.get("host") or "endpoint", 200),
        host=line(facts.get("host") or "", 255),
        port=line(facts.get("port") or "", 20),
        ok=ok,
        code=OK if ok else code or "unknown",
        cause="" if ok else line(facts.get("cause") or ""),
        cure="" if ok else line(facts.get("cure") or ""),
        evidence=() if ok else tuple(_flat(facts.get("evidence")))[:_EVIDENCE_CAP],
        notes=tuple(_note(note) for note in notes[:_LIST_CAP]) if isinstance(notes, (list, tuple)) else (),
        stages=stages,
        raw=_plain(facts),
    )


def _note(note: object) -> tuple[str, str]:
    if isinstance(note, Mapping):
        return line(note.get("code") or "note", 80), line(note.get("text") or "")
    return "note", line(note)


def _probe(facts: Mapping[Any, Any]) -> Probe:
    known = facts.get("facts")
    return Probe(
        app=line(facts.get("app") or "", 200),
        framework=line(facts.get("framework") or "", 200),
        verdict=line(facts.get("verdict") or "", 40),
        message=line(facts.get("message") or ""),
        facts={line(k, 80): line(v) for k, v in known.items()} if isinstance(known, Mapping) else {},
        raw=_plain(facts),
    )


def _milliseconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    number = float(min(max(value, 0), 10**9))
    return number if math.isfinite(number) else 0.0


def _flat(value: object, path: str = "", depth: int = 0) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and depth < _DEPTH_CAP:
        for key, item in list(value.items())[:_LIST_CAP]:
            yield from _flat(item, f"{path}.{line(key, 80)}" if path else line(key, 80), depth + 1)
    elif isinstance(value, (list, tuple)) and depth < _DEPTH_CAP and any(isinstance(v, Mapping) for v in value):
        for number, item in enumerate(value[:_LIST_CAP], 1):
            yield from _flat(item, f"{path} {number}", depth + 1)
    elif isinstance(value, (list, tuple)):
        yield path, line(", ".join(line(item) for item in value[:_LIST_CAP]))
    elif value is not None:
        yield path or "evidence", line(value)


def _plain(value: object, depth: int = 0) -> Any:
    """A copy for JSON: without Ansible's tags and infinite numbers, limited in depth and length."""
    if isinstance(value, Mapping):
        entries = list(value.items())[:_LIST_CAP] if depth < 2 * _DEPTH_CAP else []
        return {line(key): _plain(item, depth + 1) for key, item in entries}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value[:_LIST_CAP]] if depth < 2 * _DEPTH_CAP else []
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) and abs(value) < 10**15 else line(value, 80)
    return line(value)


# Grouping by cause


@dataclass
class _Variant:
    """Sentences that differ only in some values."""

    words: list[str]
    other: dict[int, dict[str, None]] = field(default_factory=dict)
    members: list[tuple[str, str, tuple[tuple[str, str], ...]]] = field(default_factory=list)

    def absorb(self, words: list[str]) -> bool:
        if len(words) != len(self.words):
            return False
        different = {n for n, pair in enumerate(zip(words, self.words, strict=True)) if pair[0] != pair[1]}
        apart = [n for n in different | set(self.other) if not _differs_by_nature(self.words[n])]
        if len(apart) > _WORDS_APART:
            return False
        for n in different:
            self.other.setdefault(n, {self.words[n]: None})[words[n]] = None
        return True

    def text(self) -> str:
        return " ".join(_listed(list(self.other[n])) if n in self.other else w for n, w in enumerate(self.words))


def _listed(words: list[str]) -> str:
    """The words for one place of a sentence as a list, with the punctuation around it once."""
    before = re.match(r"[('\"`]*", words[0])
    after = re.search(r"[)'\"`.,:;]*$", words[0])
    head, tail = before.group() if before else "", after.group() if after else ""
    if not all(w.startswith(head) and w.endswith(tail) and len(w) >= len(head) + len(tail) for w in words):
        head = tail = ""
    return head + and_more(_span([word[len(head) : len(word) - len(tail)] for word in words]), VALUES_SHOWN) + tail


def _core(word: str) -> str:
    """A word without the punctuation around it."""
    return word.strip("()'\"`.,:;")


def _differs_by_nature(word: str) -> bool:
    """Whether a word is a number or a reading of a clock, which two hosts rarely share."""
    return _MEASURED.fullmatch(_core(word)) is not None


def _span(words: list[str]) -> list[str]:
    """The lowest and the highest of measured values as one; other words as they are."""
    if not all(map(_differs_by_nature, words)):
        return words
    numbers = all("T" not in word for word in words)
    ordered = sorted(words, key=float if numbers else str)
    return [f"{ordered[0]} to {ordered[-1]}"]


# Separates cause and cure, which are merged as one text.
_SPLIT = "\x1f"


class _Groups:
    def __init__(self) -> None:
        self._variants: dict[tuple[str, str, int], list[_Variant]] = {}

    def add(
        self,
        code: str,
        where: str,
        sentences: tuple[str, str],
        host: str,
        name: str,
        evidence: tuple[tuple[str, str], ...] = (),
    ) -> None:
        words = f"{sentences[0]} {_SPLIT} {sentences[1]}".split(" ")
        variants = self._variants.setdefault((code, where, len(words)), [])
        for variant in variants[:_VARIANTS]:
            if variant.absorb(words):
                break
        else:
            variant = _Variant(words)
            variants.append(variant)
        variant.members.append((host, name, evidence))

    def causes(self) -> tuple[Cause, ...]:
        causes = []
        for (code, where, _length), variants in self._variants.items():
            for variant in variants:
                cause, _split, cure = variant.text().partition(_SPLIT)
                causes.append(Cause(code, where, cause.strip(), cure.strip(), tuple(variant.members)))
        return _by_hosts(causes)


def _causes(hosts: Sequence[Host]) -> tuple[Cause, ...]:
    groups = _Groups()
    cures = {UNREACHABLE: _UNREACHABLE_CURE, LOST: _EARLIER_CURE, FAILED: _NO_ANSWER_CURE}
    for host in hosts:
        if not host.checks and host.status in cures:
            code = "check_failed" if host.status == FAILED else host.status
            groups.add(code, "", (host.message, cures[host.status]), host.name, "")
        for check in host.checks:
            if check.tried and not check.ok:
                sentences = (check.cause, check.cure)
                groups.add(check.code, check.where, sentences, host.name, check.name, check.evidence)
        for probe in host.probes:
            if probe.verdict == "failed":
                groups.add(
                    "driver_failed", "", (f"{probe.framework}: {probe.message}", _PROBE_CURE), host.name, probe.name
                )
    return _folded(groups.causes(), [(h, c) for h in hosts for c in h.checks if not c.ok and not c.tried])


def _folded(causes: Sequence[Cause], followers: Sequence[tuple[Host, Check]]) -> tuple[Cause, ...]:
    """The causes, each with the endpoints that were not tried because of it; these alone, where it is not here."""
    leaders: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for number, cause in enumerate(causes):
        for name in cause.hosts:
            leaders.setdefault((name, cause.where), []).append((cause.code, number))
    waiting: dict[int, list[tuple[Host, Check]]] = {}
    alone = _Groups()
    for host, check in followers:
        evidence = check.raw.get("evidence")
        evidence = evidence if isinstance(evidence, Mapping) else {}
        verdict, tried_by = evidence.get("verdict"), evidence.get("tried_by")
        # An endpoint of the same host, where another one's login was refused, has no such evidence.
        names = map(str, tried_by) if isinstance(tried_by, list) else [host.name]
        found = [n for name in names for code, n in leaders.get((name, check.where), ()) if verdict in (None, code)]
        if found:
            waiting.setdefault(found[0], []).append((host, check))
        else:
            alone.add(check.code, check.where, (check.cause, check.cure), host.name, check.name, check.evidence)
    folded = []
    for number, cause in enumerate(causes):
        mine = waiting.get(number, [])
        waited = {host.name for host, _check in mine}.difference(cause.hosts)
        members = (*cause.members, *((host.name, check.name, ()) for host, check in mine))
        folded.append(replace(cause, members=members, waited=len(waited)))
    return _by_hosts([*folded, *alone.causes()])


def _by_hosts(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    return tuple(sorted(causes, key=lambda cause: -len(cause.hosts)))


def _notes(hosts: Sequence[Host]) -> tuple[Cause, ...]:
    """The notes; one that is about several endpoints once."""
    places: dict[str, set[str]] = {}
    for host in hosts:
        for check in host.checks:
            for code, _text in check.notes:
                places.setdefault(code, set()).add(check.where)
    groups = _Groups()
    for host in hosts:
        for check in host.checks:
            for code, text in check.notes:
                where = check.where if len(places[code]) == 1 else ""
                groups.add(code, where, (text, ""), host.name, check.name)
        for probe in host.probes:
            if probe.verdict == "not_proved":
                groups.add("driver_not_proved", "", (f"{probe.framework}: {probe.message}", ""), host.name, probe.name)
    return groups.causes()
