# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write all decisions of one user, or none.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Collection, Sequence

from ansible_collections.crdb.onboard.plugins.module_utils._files.model import Decision, digest
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import (
    backup,
    make_folder,
    missing_folders,
    put_in_place,
    remove,
    remove_folders,
    set_mode,
    stage,
    stage_link,
    sweep,
    sync_folder,
    write,
)


class Transaction:
    """All decisions of one user as one step: staged beside their places, then put there, or nothing of it.

    With a `run`, what is replaced is kept for the apps named in `unconfirmed` until their change is confirmed.
    """

    def __init__(
        self, decisions: Sequence[Decision], record: Record, run: str = "", unconfirmed: Collection[str] = ()
    ) -> None:
        self.decisions, self.record = decisions, record
        self.run, self.unconfirmed = run, unconfirmed
        self._kept = record.generation.state()
        self.copies: dict[str, str] = {}
        self._saved = json.loads(json.dumps(record.files))
        self._staged: dict[str, str] = {}
        self._made: list[str] = []
        self._done: list[Decision] = []

    def stage(self) -> None:
        """Note in the record what is about to happen, then write everything beside its place. Raises OSError."""
        changing = [decision for decision in self.decisions if decision.changed]
        for decision in changing:
            if decision.after is not None:
                missing = missing_folders(os.path.dirname(decision.current.target))
                decision.entry["folders"] = sorted({*decision.entry.get("folders", []), *missing})
        self._note(done=False)
        for decision in changing:
            current = decision.current
            if decision.copy and current.content is not None:
                self.copies[decision.path] = copy = backup(current.target, current.content, current.mode)
                if decision.path not in self._saved:
                    decision.entry["copy"] = copy
            if decision.action == "mode" or decision.after is None:
                continue
            folder = os.path.dirname(current.target)
            self._made += make_folder(folder)
            sweep(folder, keep=set(self._staged.values()))
            if decision.is_link:
                self._staged[decision.path] = stage_link(current.target, decision.after)
                continue
            gid = decision.gid if decision.gid != -1 else current.gid if current.gid != os.getegid() else -1
            self._staged[decision.path] = stage(
                current.target, decision.after, decision.mode, gid, attributes=current.attributes
            )
        if self.copies:
            self._note(done=False)
        self._keep(changing)

    def _keep(self, changing: Sequence[Decision]) -> None:
        """Keep what is about to be replaced, for the apps whose change waits to be confirmed."""
        state = self.record.generation.state()
        for decision in changing:
            current, after = decision.current, decision.after
            if decision.path not in state["files"] and not set(decision.apps) & set(self.unconfirmed):
                continue
            # A private key that goes is not needed again.
            if decision.current.content is not None and decision.is_private:
                continue
            kept = state["files"].setdefault(
                decision.path,
                {
                    "before": None if current.content is None else base64.b64encode(current.content).decode("ascii"),
                    "target": current.target,
                    "mode": f"{current.mode:04o}",
                    "gid": current.gid,
                    "entry": self._saved.get(decision.path),
                    "copy": self.copies.get(decision.path),
                    "apps": [],
                    "link": decision.is_link,
                },
            )
            kept["apps"] = sorted({*kept["apps"], *decision.apps})
            kept["after"] = None if after is None else digest(after)
            state["apps"].update({app: self.run for app in decision.apps if app in self.unconfirmed})
        # What a run that was killed left unconfirmed is this run's now.
        if self.run:
            state["apps"] = {app: self.run if app in self.unconfirmed else run for app, run in state["apps"].items()}
        self.record.generation.set(state)

    def _note(self, done: bool) -> None:
        before = self.record.text() if self.record.files else b""
        for decision in self.decisions:
            entry = json.loads(json.dumps(decision.entry))
            taken = decision.action in ("removed", "restored", "kept") or (
                decision.action == "ok" and not entry["keys"]
            )
            if taken and not done:
                continue
            if not entry["keys"]:
                self.record.files.pop(decision.path, None)
                continue
            if done:
                entry["keys"] = {
                    key: key_entry for key, key_entry in entry["keys"].items() if not key_entry.pop("gone", False)
                }
                for key_entry in entry["keys"].values():
                    key_entry["sha256"] = key_entry.pop("next", key_entry.get("sha256"))
            self.record.files[decision.path] = entry
        if self.record.files and self.record.text() != before:
            self.record.save()

    def commit(self) -> None:
        """Put everything in its place, and note it. Raises OSError; `rollback` then gives back what was there."""
        folders: set[str] = set()
        for decision in self.decisions:
            if not decision.changed:
                continue
            target = decision.current.target
            if decision.is_link:
                # What a link leads to must last before the link does.
                for folder in folders:
                    sync_folder(folder)
                folders.clear()
            self._done.append(decision)
            try:
                if decision.path in self._staged:
                    put_in_place(self._staged[decision.path], target)
                    del self._staged[decision.path]
                elif decision.after is None:
                    remove(target)
                else:
                    set_mode(target, decision.mode)
            except OSError as exc:
                self._done.pop()
                raise OSError(exc.errno, exc.strerror, decision.path) from None
            folders.add(os.path.dirname(target))
        for folder in folders:
            sync_folder(folder)

    def staged_at(self, path: str) -> str:
        """Where a file lies that is staged and not in its place yet; its own path otherwise."""
        return self._staged.get(path, path)

    def finish(self) -> None:
        """Note that everything is in its place, and take away what is no longer needed. Raises OSError."""
        gone = [decision for decision in self.decisions if not decision.entry["keys"]]
        for decision in gone:
            copy = decision.entry.get("copy")
            if copy and decision.action == "restored":
                with contextlib.suppress(FileNotFoundError):
                    remove(copy)
        folders = [folder for decision in gone for folder in decision.entry.get("folders", [])]
        for folder in folders:
            # What a run that was killed left there. The record names these folders until they are empty.
            sweep(folder)
        remove_folders(folders)
        self._note(done=True)
        self._hand_over([folder for folder in folders if os.path.isdir(folder)])

    def _hand_over(self, folders: Sequence[str]) -> None:
        """Note folders of ours that still hold files of ours with those files: the last one takes them away."""
        heirs = [
            (entry, folder)
            for folder in folders
            for path, entry in self.record.files.items()
            if path.startswith(folder + os.sep) and folder not in entry["folders"]
        ]
        for entry, folder in heirs:
            entry["folders"] = sorted({*entry["folders"], folder})
        if heirs:
            self.record.save()

    def rollback(self) -> list[str]:
        """Give back what was there; the paths of which that is not possible."""
        left = []
        for temporary in self._staged.values():
            with contextlib.suppress(OSError):
                remove(temporary)
        for decision in reversed(self._done):
            current = decision.current
            try:
                if current.content is None:
                    remove(current.target)
                elif decision.is_link:
                    put_in_place(stage_link(current.target, current.content), current.target)
                    sync_folder(os.path.dirname(current.target))
                else:
                    write(current.target, current.content, current.mode, current.gid, attributes=current.attributes)
            except FileNotFoundError:
                pass
            except OSError:
                left.append(decision.path)
        for path, copy in self.copies.items():
            if path not in left:
                with contextlib.suppress(OSError):
                    remove(copy)
        with contextlib.suppress(OSError):
            self.record.generation.set(self._kept)
        self.record.files = {**self._saved, **{d.path: d.entry for d in self._done if d.path in left}}
        if self.record.files:
            with contextlib.suppress(OSError):
                self.record.save()
        remove_folders(self._made)
        return left
