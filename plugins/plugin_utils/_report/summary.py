# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an onboarding did to one machine, on part of a screen: what was written, who is proved, what to type next.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._report.fleet import PROVED, Host, Probe, and_more, count

_ROWS_SHOWN = 6
_NAMES_SHOWN = 6
_WORDS: Mapping[str, str] = {
    "created": "created",
    "changed": "changed",
    "mode": "changed",
    "ok": "as before",
    "removed": "removed",
    "drifted": "left as you changed it",
}


def text(
    results: Sequence[Mapping[str, Any]],
    host: Host,
    *,
    next_steps: Sequence[tuple[str, str]] = (),
    all_files: bool = False,
    check_mode: bool = False,
) -> list[str]:
    """The lines of the summary.

    Args:
        results: what the tasks that write files returned.
        host: what the check found.
        next_steps: what a person may do next, each with its command.
        all_files: list every file, not only the folders.
        check_mode: say what would be written.
    """
    files = [file for result in results for file in result.get("files") or ()]
    usage = [row for result in results for row in result.get("usage") or ()]
    samples = [row for result in results for row in result.get("samples") or ()]
    return [
        *_written(files, _app_folders(results), all_files=all_files, check_mode=check_mode),
        *_proved(host),
        *_usage(usage),
        *_samples(samples),
        *(["Next:"] if next_steps else []),
        *_columns(next_steps),
    ]


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    pairs = list(rows)
    width = max((len(first) for first, _second in pairs), default=0)
    return [f"  {first:<{width}}  {second}" for first, second in pairs]


def _few(lines: list[str]) -> list[str]:
    more = len(lines) - _ROWS_SHOWN
    return lines if more <= 0 else [*lines[:_ROWS_SHOWN], f"  and {more} more"]


def _app_folders(results: Sequence[Mapping[str, Any]]) -> set[PurePosixPath]:
    environment_files = [path for result in results for path in result.get("environment_files") or ()]
    samples = [row["folder"] for result in results for row in result.get("samples") or ()]
    return {PurePosixPath(path).parent for path in environment_files} | {PurePosixPath(path) for path in samples}


def _written(
    files: Sequence[Mapping[str, Any]], apps: Set[PurePosixPath], *, all_files: bool, check_mode: bool
) -> list[str]:
    title = "Would be written" if check_mode else "Written"
    if all_files:
        return [f"{title}:", *_columns((str(file["action"]), str(file["path"])) for file in files)]
    if files and all(file["action"] == "ok" for file in files):
        return [f"{title}: nothing, all {count(len(files), 'file')} are as they should be"]
    actions: dict[str, Counter[str]] = {}
    for file in files:
        parents = PurePosixPath(file["path"]).parents
        # The subfolders of an app are not listed.
        folder = next((parent for parent in parents if parent in apps), parents[0])
        words = actions.setdefault(str(folder), Counter())
        words[_WORDS.get(str(file["action"]), str(file["action"]))] += 1
    rows = [
        (folder, f"{count(sum(words.values()), 'file')}: {', '.join(f'{n} {word}' for word, n in words.items())}")
        for folder, words in actions.items()
    ]
    return [f"{title} (-v lists every file):", *_few(_columns(rows))] if rows else []


def _proved(host: Host) -> list[str]:
    reached = [check.name for check in host.checks if check.ok]
    proved = [probe for probe in host.probes if probe.verdict == PROVED]
    missing = [probe for probe in host.probes if probe.verdict != PROVED]
    # What was asked of a driver was reached first, so its own line says both.
    all_reached = bool(missing) and not proved and len(reached) == len(host.checks)
    lines = [f"Reached by the check: {and_more(reached, _NAMES_SHOWN)}"] if reached and not all_reached else []
    if proved:
        lines.append(f"Proved by their own drivers: {_by_app(proved)}")
    if missing:
        messages = {probe.message for probe in missing}
        why = f": {messages.pop()}" if len(messages) == 1 else ", for the reasons in the report above"
        lines.append(f"{'Reached, not' if all_reached else 'Not'} proved: {_by_app(missing)}{why}")
    return lines


def _by_app(probes: Sequence[Probe]) -> str:
    frameworks: dict[str, list[str]] = {}
    for probe in probes:
        frameworks.setdefault(probe.app, []).append(probe.framework)
    return and_more([f"{app} ({', '.join(names)})" for app, names in frameworks.items()], _NAMES_SHOWN)


def _usage(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    uses = dict.fromkeys((str(row["framework"]), row.get("where", ""), str(row["use"])) for row in rows if row["use"])
    pairs: list[tuple[str, str]] = []
    for framework, where, use in list(uses)[:_ROWS_SHOWN]:
        lines = [*([f"{where}:"] if where else []), *use.split("\n")]
        pairs += [(framework if number == 0 else "", line) for number, line in enumerate(lines)]
    more = [f"  and {len(uses) - _ROWS_SHOWN} more"] if len(uses) > _ROWS_SHOWN else []
    return ["Put into your program:", *_columns(pairs), *more] if pairs else []


def _samples(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The commands of the samples by folder; the same ones in several folders once."""
    by_folder: dict[str, list[str]] = {}
    for row in rows:
        by_folder.setdefault(str(row["folder"]), []).append(str(row["use"] or f"see the first lines of {row['file']}"))
    folders: dict[tuple[str, ...], list[str]] = {}
    for folder, uses in by_folder.items():
        folders.setdefault(tuple(uses), []).append(folder)
    lines = []
    for commands, names in folders.items():
        lines += [f"Run a sample, with the driver installed, in {' or '.join(names[:3])}:"]
        lines += [f"  {command}" for command in commands]
    return _few(lines)
