# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run's figures as tables, and as docs/performance.md: `python -m tests.bench.report`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.measure import BASE, ratio

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = CHECKOUT / "build" / "bench.json"
COMPARISON = CHECKOUT / "build" / "bench-base.json"
PAGE = CHECKOUT / "docs" / "performance.md"
NOTES = Path(__file__).parent / "performance.md"

Figures = Mapping[str, Any]
"""A Median as a dictionary."""


@dataclass(frozen=True)
class Target:
    """What was aimed at: a figure and its limit."""

    what: str
    limit: float
    found: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is within its limit."""
        return self.found <= self.limit

    def row(self) -> list[str]:
        """The cells of a table's row."""
        return [
            self.what,
            _number(self.limit) + self.unit,
            _number(self.found) + self.unit,
            "yes" if self.met else "**no**",
        ]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ways(found: Mapping[str, Figures], against: str, count: int) -> str:
    """One row a way: times, and each as a multiple of the way `against`."""
    base = found[against]
    rows = []
    for name, figures in found.items():
        work = figures["cpu"] + figures["targets_cpu"]
        rows.append(
            [
                name,
                f"{figures['wall']:.2f} ({figures['lowest']:.2f} to {figures['highest']:.2f})",
                f"{ratio(figures['wall'], base['wall']):.2f}",
                f"{ratio(work, base['cpu'] + base['targets_cpu']):.2f}",
                f"{figures['cpu'] / count:.3f}",
                f"{figures['targets_cpu'] / count:.3f}",
                f"{figures['trips'] / count:.1f}",
                str(figures["runs"]),
            ]
        )
    head = [
        "way", "wall s (lowest to highest)", "wall ratio", "processor ratio", "controller s a host", "target s a host",
        "trips a host", "runs",
    ]  # fmt: skip
    return table(head, rows)


def _growth_table(hosts: Mapping[str, Figures]) -> str:
    rows = [
        [
            count,
            f"{figures['wall']:.1f}",
            f"{1000 * figures['wall'] / int(count):.0f}",
            f"{figures['cpu']:.1f}",
            f"{1000 * figures['cpu'] / int(count):.0f}",
            f"{figures['memory'] / 1e6:.0f}",
        ]
        for count, figures in hosts.items()
    ]
    return table(["hosts", "wall s", "ms a host", "controller s", "ms a host", "memory MB"], rows)


def _slope(hosts: Mapping[str, Figures], low: str, high: str) -> float:
    return float(hosts[high]["wall"] - hosts[low]["wall"]) / (int(high) - int(low))


def targets(results: Mapping[str, Any]) -> list[Target]:
    """Every target that this run has figures for."""
    found: list[Target] = []
    for count, by_way in results.get("files", {}).items():
        bare, ours, again = by_way["bare ssh tar"], by_way["ours"], by_way["ours, second run"]
        if int(count) >= 10:
            found.append(
                Target(f"files alone, {_hosts(count)}, against bare ssh", 3.0, ratio(ours["wall"], bare["wall"]))
            )
        if int(count) >= 50:
            found.append(Target(f"controller's processor a host, {count} hosts", 0.22, ours["cpu"] / int(count), " s"))
        found.append(Target(f"second run against the first, {_hosts(count)}", 1.05, ratio(again["wall"], ours["wall"])))
    for count, by_way in results.get("onboarding", {}).items():
        whole, bare = by_way["whole onboarding"]["wall"], by_way["bare ssh tar"]["wall"]
        found.append(Target(f"whole onboarding, {count} hosts, against bare ssh", 6.0, ratio(whole, bare)))
        again = by_way["whole onboarding, second run"]["wall"]
        found.append(Target(f"second onboarding against the first, {count} hosts", 1.05, ratio(again, whole)))
    if "frameworks" in results:
        found.append(
            Target("one more framework, controller and target", 5.0, results["frameworks"]["milliseconds"], " ms")
        )
        found.append(Target("one more framework, trips to a host", 0.0, results["frameworks"]["trips"]))
    hosts = results.get("growth", {}).get("hosts", {})
    if {"50", "200", "1000"} <= set(hosts):
        slopes = _slope(hosts, "200", "1000"), _slope(hosts, "50", "200")
        found.append(Target("time of a host among 1,000 against one among 200", 1.1, ratio(*slopes)))
    if {"100", "1000"} <= set(hosts):
        memory = ratio(hosts["1000"]["memory"], hosts["100"]["memory"])
        found.append(Target("memory at 1,000 hosts against 100", 1.5, memory))
    for count, by_way in results.get("check", {}).items():
        ours, bare = by_way["ours"]["wall"], by_way["bare ssh psql loop"]["wall"]
        if int(count) == 50:
            found.append(Target(f"check, {count} hosts x 3 endpoints", 12.0, ours, " s"))
        found.append(Target(f"check, {count} hosts, against the bare loop", 2.2, ratio(ours, bare)))
    if "one_check" in results:
        one, psql = results["one_check"]["one check in process"]["wall"], results["one_check"]["one psql"]["wall"]
        found.append(Target("one check in process against one psql", 1.0, ratio(one, psql)))
    return found


def _hosts(count: str) -> str:
    return "1 host" if count == "1" else f"{count} hosts"


def tables(results: Mapping[str, Any]) -> str:
    """All tables of a run, each with its title."""
    parts = []
    if results.get("files"):
        parts.append("## Thirty files on every host")
        for count, by_way in results["files"].items():
            parts += [f"### {_hosts(count)}", ways(by_way, "bare ssh tar", int(count))]
    if "frameworks" in results:
        found = results["frameworks"]
        sentence = (
            f"One more framework costs {found['milliseconds']:.1f} ms of processor time a host, controller and target"
            f" together, and {found['trips']:.1f} trips: {found['low']} against {found['high']}, three apps,"
            f" {found['hosts']} hosts."
        )
        parts += ["## One more framework", sentence]
    if results.get("onboarding"):
        parts.append("## Whole onboarding: connection, CA, files, check")
        for count, by_way in results["onboarding"].items():
            parts += [f"### {_hosts(count)}", ways(by_way, "bare ssh tar", int(count))]
    if results.get("growth"):
        calibration = results["growth"]["calibration"]
        costs = "; ".join(
            f"{name} {1000 * cost['cpu']:.0f} ms of processor time and {1000 * cost['wait']:.0f} ms of waiting"
            for name, cost in calibration.items()
        )
        parts += [
            "## Growth",
            f"A connection plugin simulates these hosts. It takes as long as a host took in this run: {costs}.",
            _growth_table(results["growth"]["hosts"]),
        ]
    for count, by_way in results.get("check", {}).items():
        parts += [
            f"## Check: {_hosts(count)}, three endpoints each",
            ways(by_way, "bare ssh psql loop", int(count)),
        ]
    if "one_check" in results:
        rows = [
            [name, f"{1000 * f['wall']:.1f}", f"{1000 * f['lowest']:.1f} to {1000 * f['highest']:.1f}", str(f["runs"])]
            for name, f in results["one_check"].items()
        ]
        parts += ["## One check", table(["way", "median ms", "lowest to highest", "runs"], rows)]
    return "\n\n".join(parts)


def comparison(results: Mapping[str, Any]) -> str:
    """Every way that the base ran too: both medians, and by how much this checkout's is longer."""
    rows = []
    for part in ("files", "onboarding", "check"):
        for count, by_way in results.get(part, {}).items():
            for name, base in by_way.items():
                if name.startswith(BASE):
                    way = name.removeprefix(BASE)
                    ours = by_way[way]
                    walls = [f"{wall:.2f}" for wall in (base["wall"], ours["wall"])]
                    change = f"{100 * (ratio(ours['wall'], base['wall']) - 1):+.1f} %"
                    work = [found["cpu"] + found["targets_cpu"] for found in (base, ours)]
                    more_work = f"{100 * (ratio(work[1], work[0]) - 1):+.1f} %"
                    rows.append([part, _hosts(count), way, *walls, change, more_work, str(ours["runs"])])
    return table(["part", "hosts", "way", "base s", "now s", "wall", "processor", "runs"], rows)


def target_table(results: Mapping[str, Any]) -> str:
    """The targets, and whether each is met."""
    return table(["what", "at most", "found", "met"], [target.row() for target in targets(results)])


def machine(results: Mapping[str, Any]) -> str:
    """Where it was measured."""
    return "\n".join(f"- {name}: {value}" for name, value in results["machine"].items())


def page(results: Mapping[str, Any], notes: str) -> str:
    """The whole of docs/performance.md: what people wrote, around what a run measured."""
    for name, text in (("machine", machine), ("targets", target_table), ("tables", tables)):
        notes = notes.replace(f"@{name}@", text(results))
    return notes


def main() -> None:
    """Write docs/performance.md from the figures of the last whole run."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS)
    results = json.loads(parser.parse_args().results.read_text())
    PAGE.write_text(page(results, NOTES.read_text()))
    print(f"wrote {PAGE.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
