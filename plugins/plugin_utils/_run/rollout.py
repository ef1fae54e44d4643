# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a play has come on each of its hosts: noted by the tasks of one run, read by its report.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime
import os
import secrets
from collections.abc import Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

# The outcomes of a host, the best first; what each means is in docs/app-servers.md.
OUTCOMES = ("updated", "unchanged", "rolled_back", "refused", "failed", "lost", "untouched")
_NAMES_SHOWN = 20


def run_name() -> str:
    """The name of this run, the same in all of its tasks: when it began, and what no other run has."""

    def name() -> str:
        return f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}-{os.getpid()}-{secrets.token_hex(4)}"

    return str(_shared.once("run name", name)[0])


class Rollout:
    """What was noted of the hosts in one play."""

    def __init__(self, task: Any) -> None:
        """The play of this task, however many batches it has; the same play imported again is another one."""
        self._play = str(task._parent._play._uuid)

    def _key(self, host: str) -> str:
        return f"rollout {self._play} {host}"

    def begin(self, task_vars: Mapping[str, Any]) -> None:
        """Note that the host of a task is begun, and nothing else."""
        _shared.put(self._key(str(task_vars["inventory_hostname"])), {})

    def note(self, task_vars: Mapping[str, Any], **facts: Any) -> None:
        """Note facts about the host of a task, beside what is noted already."""
        key = self._key(str(task_vars["inventory_hostname"]))
        _shared.put(key, {**(_shared.get(key) or {}), **facts})

    def noted(self, host: str) -> dict[str, Any] | None:
        """What was noted of a host; None when nothing was begun there."""
        found: dict[str, Any] | None = _shared.get(self._key(host))
        return found


def outcome(facts: dict[str, Any] | None) -> tuple[str, str]:
    """The outcome of a host from what was noted of it, and a sentence where one is needed."""
    if facts is None:
        return "untouched", ""
    if "refused" in facts:
        return "refused", facts["refused"]
    if "changed" not in facts:
        return "lost", "no answer came while its files were written: the next run finds out, and completes it"
    apps = facts.get("service", {})
    back = [f"{name}: {app['detail']}" for name, app in apps.items() if app["outcome"] in ("rolled_back", "stuck")]
    if back:
        return "rolled_back", " ".join(back)
    left = [f"{name}: {app['detail']}" for name, app in apps.items() if app["outcome"] == "overtaken"]
    if left:
        return "failed", " ".join(left)
    if "service" not in facts and facts.get("unconfirmed"):
        return "lost", "no answer came while its apps were reloaded: the next run finds out, and completes it"
    if facts.get("check"):
        # What was left as somebody had changed it before is not meant.
        meanwhile = [name for name in facts.get("replaced", ()) if name not in facts.get("drifted", ())]
        theirs = f"another run changed the files of {', '.join(meanwhile)} meanwhile: " if meanwhile else ""
        return "failed", f"{theirs}the check does not pass: {facts['check']}"
    touched = facts["changed"] or any(app["outcome"] == "updated" for app in apps.values())
    return ("updated" if touched else "unchanged"), ", ".join(facts["changed"])


def report(hosts: Mapping[str, tuple[str, str]], *, check: bool) -> list[str]:
    """The lines of the report: hosts by outcome, with the reason of each that is not as it should be."""
    lines = []
    for name in OUTCOMES:
        there = [(host, text) for host, (found, text) in hosts.items() if found == name]
        if not there:
            continue
        said = "would be updated" if check and name == "updated" else name.replace("_", " ")
        title = f"{said} ({len(there)})"
        if name in ("updated", "unchanged", "untouched"):
            shown = [f"{host} [{text}]" if text else host for host, text in there[:_NAMES_SHOWN]]
            rest = len(there) - len(shown)
            lines.append(f"{title}: {', '.join(shown)}{f' and {rest} more' if rest else ''}")
        else:
            lines += [f"{title}:", *(f"  {host}: {text}" for host, text in there)]
    return lines
