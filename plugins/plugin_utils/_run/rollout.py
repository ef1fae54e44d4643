# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The progress of a play on each of its hosts. The tasks of a run note it, and the report of the rollout shows it.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime
import os
import secrets
from collections.abc import Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared

# The outcomes of a host, the best first; docs/app-servers.md explains each.
OUTCOMES = ("updated", "unchanged", "rolled_back", "refused", "failed", "lost", "untouched")
_NAMES_SHOWN = 20


def run_name() -> str:
    """The name of this run, the same in all of its tasks: the time it began, and a random part."""

    def name() -> str:
        return f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}-{os.getpid()}-{secrets.token_hex(4)}"

    return str(shared.once("run name", name)[0])


class Rollout:
    """The facts that tasks noted about the hosts of one play."""

    def __init__(self, task: Any) -> None:
        """`task` is a task of the play. All batches of a play are one; a play that is imported again is another."""
        self._play = str(task._parent._play._uuid)

    def _key(self, host: str) -> str:
        return f"rollout {self._play} {host}"

    def begin(self, task_vars: Mapping[str, Any]) -> None:
        """Note that the play began on the host of a task, and forget earlier facts."""
        shared.put(self._key(str(task_vars["inventory_hostname"])), {})

    def note(self, task_vars: Mapping[str, Any], **facts: Any) -> None:
        """Add facts about the host of a task to those noted before."""
        key = self._key(str(task_vars["inventory_hostname"]))
        shared.put(key, {**(shared.get(key) or {}), **facts})

    def noted(self, host: str) -> dict[str, Any] | None:
        """The facts about a host; None when the play did not begin there."""
        facts: dict[str, Any] | None = shared.get(self._key(host))
        return facts


def outcome(facts: dict[str, Any] | None) -> tuple[str, str]:
    """The outcome of a host by the facts about it, and a sentence that explains it, or an empty text."""
    if facts is None:
        return "untouched", ""
    if "refused" in facts:
        return "refused", facts["refused"]
    if "changed" not in facts:
        return "lost", (
            "the host stopped answering while its files were written. "
            "Run the playbook again: it finds out how far it got, and finishes"
        )
    apps = facts.get("service", {})
    rolled_back = [
        f"{name}: {app['detail']}" for name, app in apps.items() if app["outcome"] in ("rolled_back", "stuck")
    ]
    if rolled_back:
        return "rolled_back", " ".join(rolled_back)
    overtaken = [f"{name}: {app['detail']}" for name, app in apps.items() if app["outcome"] == "overtaken"]
    if overtaken:
        return "failed", " ".join(overtaken)
    if "service" not in facts and facts.get("unconfirmed"):
        return "lost", (
            "the host stopped answering while its apps were being reloaded. "
            "Run the playbook again: it finds out how far it got, and finishes"
        )
    if facts.get("check"):
        # Files that somebody had changed before the run were left alone; these are others.
        replaced = [name for name in facts.get("replaced", ()) if name not in facts.get("drifted", ())]
        cause = f"another run changed the files of {', '.join(replaced)} meanwhile: " if replaced else ""
        return "failed", f"{cause}the check does not pass: {facts['check']}"
    touched = facts["changed"] or any(app["outcome"] == "updated" for app in apps.values())
    return ("updated" if touched else "unchanged"), ", ".join(facts["changed"])


def is_done(facts: dict[str, Any] | None) -> bool:
    """Whether the facts about a host are all that its rollout will note."""
    return facts is not None and ("refused" in facts or "check" in facts)


def report(hosts: Mapping[str, tuple[str, str]], *, check: bool) -> list[str]:
    """The lines of the report: the hosts by outcome, with the reason for each host that needs attention."""
    lines = []
    for name in OUTCOMES:
        members = [(host, text) for host, (host_outcome, text) in hosts.items() if host_outcome == name]
        if not members:
            continue
        label = "would be updated" if check and name == "updated" else name.replace("_", " ")
        title = f"{label} ({len(members)})"
        if name in ("updated", "unchanged", "untouched"):
            shown = [f"{host} [{text}]" if text else host for host, text in members[:_NAMES_SHOWN]]
            rest = len(members) - len(shown)
            lines.append(f"{title}: {', '.join(shown)}{f' and {rest} more' if rest else ''}")
        else:
            lines += [f"{title}:", *(f"  {host}: {text}" for host, text in members)]
    return lines
