# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of one user, step by step, with that user's rights.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files import ca_file, keys
from ansible_collections.crdb.onboard.plugins.module_utils._files.diff import diff
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import label
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import Decision, FileRefusedError, PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.plan import plan, plan_undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.renamed import rename_apps
from ansible_collections.crdb.onboard.plugins.module_utils._files.transaction import Transaction
from ansible_collections.crdb.onboard.plugins.module_utils._files.unmanaged import (
    Scope,
    listed,
    planned_apps,
    remaining,
    unmanaged,
)


def scope_of(params: dict[str, Any]) -> Optional[Scope]:
    """What a call answers for, by the module's options; None where it looks for no file that is not managed."""
    if params["managed"] is None:
        return None
    return Scope(frozenset(params["managed"]), frozenset(params["purposes"]), params["complete"])


def _with_places(report: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    """A report in which files have the paths that they will have."""

    def named(value: Any) -> Any:
        if isinstance(value, str):
            for staged, path in places.items():
                value = value.replace(staged, path)
            return value
        if isinstance(value, dict):
            return {key: named(item) for key, item in value.items()}
        return [named(item) for item in value] if isinstance(value, list) else value

    return dict(named(report))


class Writer:
    """One user's files, step by step: `plan`, `stage`, `prove` and `commit` write, `rollback` undoes."""

    def __init__(
        self, state: str, planned: list[PlannedFile], endpoints: list[dict[str, Any]], params: dict[str, Any]
    ) -> None:
        self._state, self._planned, self._endpoints, self._params = state, planned, endpoints, params
        self._record: Optional[Record] = None
        self._renamed = False
        self._unmanaged: dict[str, tuple[str, ...]] = {}

    def plan(self) -> list[str]:
        """Decide about all files, and return the refusals."""
        params = self._params
        try:
            self._record = Record(self._state, write=not params["check_mode"])
            self._renamed = rename_apps(self._record, params["renamed"], self._planned)
            if params["state"] == "present":
                self._planned = [keys.with_content(file, self._state) for file in self._planned]
                scope = scope_of(params)
                self._unmanaged = unmanaged(planned_apps(self._planned), self._record, scope) if scope else {}
                self._unmanaged = {p: apps for p, apps in self._unmanaged.items() if not self._is_kept(p)}
                pruned = {**(self._unmanaged if params["prune"] else {}), **self._retired()}
                decisions, refusals = plan(self._planned, self._record, params["force"], pruned)
                decisions = self._without_needed_keys(decisions)
            else:
                decisions, refusals = plan_undo(
                    self._record, params["purpose"], params["apps"], params["force"], params["folders"]
                )
                self._unmanaged = remaining(self._record, params["purpose"], {d.path for d in decisions})
            self._transaction = Transaction(decisions, self._record, params["run"], params["unconfirmed"])
        except FileRefusedError as exc:
            refusals = [str(exc)]
        return refusals

    def _is_kept(self, path: str) -> bool:
        return any(path == kept or path.startswith(kept + "/") for kept in self._params["kept"])

    def _retired(self) -> dict[str, tuple[str, ...]]:
        """The files that an earlier run wrote, and that go with this one, with their apps.

        Those of an app whose change waits to be confirmed stay: it may get its old files back, which need them.
        """
        if self._record is None:
            return {}
        files = {path: entry for path, entry in self._record.files.items() if path in self._params["retired"]}
        apps_of = {
            path: {app for key in entry["keys"].values() for app in key["apps"]} for path, entry in files.items()
        }
        waiting = self._record.generation.apps.keys()
        return {path: tuple(sorted(apps)) for path, apps in apps_of.items() if not apps & waiting}

    def _without_needed_keys(self, decisions: list[Decision]) -> list[Decision]:
        """The decisions but for unmanaged private keys of apps that may get their other files back.

        No copy of a key is kept to give back, so it goes with the next run, when the app works without it.
        """
        changing = {app for d in decisions if d.changed and not d.is_private for app in d.apps}
        waiting = changing & set(self._params["unconfirmed"])
        needed = {d.path for d in decisions if d.is_private and waiting & set(d.apps)} & self._unmanaged.keys()
        return [decision for decision in decisions if decision.path not in needed]

    def stage(self) -> None:
        """Write everything beside its place. Raises OSError."""
        self._transaction.stage()

    def unproved(self) -> list[dict[str, Any]]:
        """The endpoints of the apps whose files change."""
        apps = {app for decision in self._transaction.decisions if decision.changed for app in decision.apps}
        return [entry for entry in self._endpoints if entry["for_app"] in apps]

    def prove(self) -> list[dict[str, Any]]:
        """Check the endpoints of the apps whose files change, with the CAs that were staged: a report each."""
        changing = [d for d in self._transaction.decisions if d.changed]
        staged = {d.path: d.after.decode("ascii", "replace") for d in changing if d.after is not None}
        facts = self.unproved()
        if not facts:
            return []
        from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
        from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoints

        places: dict[str, str] = {}
        for entry in facts:
            entry["ca_text"] = staged.get(os.path.normpath(entry["ca_file"] or "")) or entry["ca_text"]
            for name in ("sslcert", "sslkey"):
                path = entry[name]
                if path:
                    entry[name] = self._transaction.staged_at(os.path.normpath(path))
                    places[entry[name]] = path
        reports = check_endpoints([Endpoint.from_dict(entry) for entry in facts], self._params["timeout"])
        return [_with_places(report.as_dict(), places) for report in reports]

    def commit(self) -> None:
        """Put everything in its place. Raises OSError."""
        self._transaction.commit()

    def finish(self) -> None:
        """Note that everything is in its place, and what need not be given back any more. Raises OSError."""
        self._transaction.finish()
        if self._renamed and self._transaction.record.files:
            self._transaction.record.save()
        self.discard()
        generation = self._transaction.record.generation
        if self._params["state"] == "absent":
            if self._params["purpose"] == "client_cert":
                keys.clear(self._state)
            generation.forget(self._params["apps"])
        elif self._params["run"]:
            written = {app for file in self._planned for app in file.apps}
            generation.forget(written - set(self._params["unconfirmed"]))

    def rollback(self) -> list[str]:
        """Restore the earlier files; the paths of which that is not possible."""
        self.discard()
        return self._transaction.rollback()

    def discard(self) -> None:
        """Remove the keys that were made for files that are not written."""
        keys.remove(self._state, [file.pending for file in self._planned if file.pending])

    def unconfirmed(self) -> list[str]:
        """The apps whose change waits to be confirmed."""
        return sorted(self._transaction.record.generation.apps)

    def report(self) -> list[dict[str, Any]]:
        """The outcome of each file."""
        shown = self._params["diff"]
        required = sorted({path for file in self._planned for path in file.trusts})
        notes = [note for note in map(ca_file.expiry, required) if note is not None]
        return [
            {
                "path": d.path,
                "action": d.action,
                "mode": f"{d.mode:04o}",
                "backup": self._transaction.copies.get(d.path),
                "apps": list(d.apps),
                "removes": [label(d.entry["format"], key) for key in d.removes],
                "diff": diff(d, self._params["secrets"]) if shown and (d.changed or d.action == "drifted") else None,
                "notes": notes if number == 0 else [],
            }
            for number, d in enumerate(self._transaction.decisions)
        ]

    def unmanaged(self) -> list[dict[str, Any]]:
        """What is no longer managed, and stays."""
        return [] if self._params["prune"] else listed(self._unmanaged)

    def close(self) -> None:
        """Release the lock."""
        if self._record is not None:
            self._record.close()
