# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What unconfirmed changes replaced, so that it can be given back.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files.current import read_current, read_link, refusal
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError, digest
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import (
    make_folder,
    put_in_place,
    remove,
    remove_folders,
    stage,
    stage_link,
    sweep,
    sync_folder,
    write,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.state import UNCONFIRMED, load
from ansible_collections.crdb.onboard.plugins.module_utils._files.tree import UntrustedPathError

if TYPE_CHECKING:
    from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record


class Generation:
    """What changes replaced that are not confirmed yet: kept beside the record, mode 0600, until they are.

    A change is confirmed once its app works with it. Until then `files` has what each file of the app was before the
    first unconfirmed change, so that it can be given back, by this run or by the next one when a controller was killed.
    `apps` names the run whose change it is: only that run confirms it or takes it back.
    """

    def __init__(self, folder: str) -> None:
        """Raises FileRefusedError when what is kept cannot be read."""
        self.path = os.path.join(folder, "unconfirmed.json")
        self.apps: dict[str, str] = {}
        self.files: dict[str, dict[str, Any]] = {}
        try:
            data = load(self.path, UNCONFIRMED)
            self.apps, self.files = data["apps"], data["files"]
        except FileNotFoundError:
            pass
        except UntrustedPathError as exc:
            raise refusal(folder, exc) from None
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise FileRefusedError(
                f"{self.path}: what was replaced and not confirmed cannot be read: {reason}."
            ) from None

    def state(self) -> dict[str, Any]:
        """What is kept, as a copy."""
        copy: dict[str, Any] = json.loads(json.dumps({"apps": self.apps, "files": self.files}))
        return copy

    def set(self, state: dict[str, Any]) -> None:
        """Keep this and nothing else. Raises OSError."""
        before = self.state()
        self.apps, self.files = state["apps"], state["files"]
        if not self.apps:
            with contextlib.suppress(FileNotFoundError):
                remove(self.path)
        elif state != before:
            write(self.path, (json.dumps(state, indent=1) + "\n").encode(), 0o600)

    def forget(self, apps: Optional[Collection[str]]) -> None:
        """Let go what is kept for these apps (None: for all), since it is confirmed or was taken away."""
        state = self.state()
        state["apps"] = {} if apps is None else {app: run for app, run in self.apps.items() if app not in apps}
        state["files"] = {path: kept for path, kept in self.files.items() if set(kept["apps"]) & set(state["apps"])}
        for path, kept in self.files.items():
            if path not in state["files"]:
                sweep(os.path.dirname(kept["target"]))
        self.set(state)

    def restore(self, apps: Collection[str], record: Record) -> list[dict[str, str]]:
        """Give back what was there before the unconfirmed changes of these apps; what became of each file.

        A file that another app needs as it is now stays, and so does one that somebody changed since (``kept``).
        Raises OSError; what was given back till then is known to the record.
        """
        mine = {path: kept for path, kept in self.files.items() if set(kept["apps"]) <= set(apps)}
        for path, kept in mine.items():
            record.files[path] = _either(record.files.get(path), kept["entry"])
        if mine:
            record.save()
        results = []
        # The configs before the CA that they name.
        for path, kept in reversed(list(mine.items())):
            action = _give_back(path, kept)
            if action != "kept" and kept["entry"] is None:
                gone = record.files.pop(path)
                remove_folders(gone.get("folders", []))
            elif action != "kept":
                record.files[path] = kept["entry"]
            results.append({"path": path, "action": action})
        if mine:
            record.save()
        self.forget(apps)
        return results


def _either(now: Optional[dict[str, Any]], before: Optional[dict[str, Any]]) -> dict[str, Any]:
    """The entry of a file that is on its way back: both contents are known to be ours, wherever it is interrupted."""
    entry: dict[str, Any] = json.loads(json.dumps(now or before or {}))
    for key, key_entry in (before or {}).get("keys", {}).items():
        there = entry["keys"].setdefault(key, json.loads(json.dumps(key_entry)))
        if there.get("sha256") != key_entry.get("sha256"):
            there["next"] = key_entry.get("sha256")
    return entry


def _give_back(path: str, kept: dict[str, Any]) -> str:
    before = None if kept["before"] is None else base64.b64decode(kept["before"])
    is_link = kept.get("link", False)
    try:
        current = read_link(path) if is_link else read_current(path)
    except FileRefusedError:
        return "kept"
    now = None if current.content is None else digest(current.content)
    if current.target != kept["target"] or now not in (kept["after"], None if before is None else digest(before)):
        return "kept"
    if before is None:
        with contextlib.suppress(FileNotFoundError):
            remove(current.target)
        action = "removed"
    else:
        mode = int(kept["mode"], 8)
        make_folder(os.path.dirname(current.target))
        staged = (
            stage_link(current.target, before)
            if is_link
            else stage(current.target, before, mode, kept["gid"], attributes=current.attributes)
        )
        put_in_place(staged, current.target)
        action = "restored"
    sync_folder(os.path.dirname(current.target))
    if kept["copy"]:
        with contextlib.suppress(OSError):
            remove(kept["copy"])
    return action
