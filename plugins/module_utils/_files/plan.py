# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide about all files of one user: the decisions, and every refusal.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files import ca_file, tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.current import (
    NotALinkError,
    ignored_by_git,
    read_as,
    refusal,
    writable,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.decide import decide, undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.merge import merge
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import (
    CurrentFile,
    Decision,
    FileRefusedError,
    PlannedFile,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record

_CA_CURE = (
    "Set ca_cluster_id (crdb_connection_ca_cluster_id) to the id of the cluster, which the Cloud Console shows under"
    " Connect > Download CA, or ca_file (crdb_connection_ca_file) to a CA file on the controller."
)


def plan(
    files: Sequence[PlannedFile], record: Record, force: bool, pruned: Optional[Mapping[str, Sequence[str]]] = None
) -> tuple[list[Decision], list[str]]:
    """Decide about all planned files of one user: the decisions, and every refusal there is.

    `pruned` are paths of the record with the apps for which they are taken away.
    """
    pruned = pruned or {}
    decisions: list[Decision] = []
    refusals: list[str] = []
    try:
        files = merge(files)
    except FileRefusedError as exc:
        return [], [str(exc)]
    for planned in files:
        try:
            _verify_named(planned)
            current = read_as(planned.format, planned.path)
            left = frozenset(pruned.get(planned.path, ()))
            entry = record.files.get(planned.path, {})
            decision = decide(planned, current, entry, force or planned.force, left)
            if decision.changed:
                writable(current)
                if planned.private:
                    # The folder of all pairs of a user: the one of this pair has another name each time.
                    ignored_by_git(current.target, os.path.dirname(os.path.dirname(current.target)), "a private key")
                elif planned.secret:
                    ignored_by_git(current.target)
            decisions.append(decision)
        except FileRefusedError as exc:
            refusals.append(str(exc))
    paths = {planned.path for planned in files}
    for path, apps in pruned.items():
        if path not in paths:
            try:
                decisions.append(_undone(path, record, apps, force))
            except FileRefusedError as exc:
                refusals.append(str(exc))
    return decisions, list(dict.fromkeys(refusals))


def _undone(path: str, record: Record, apps: Optional[Sequence[str]], force: bool) -> Decision:
    """The decision to take a file away for these apps. Raises FileRefusedError."""
    try:
        current = read_as(record.files[path]["format"], path)
        decision = undo(path, current, record.files[path], apps, force)
    except NotALinkError:
        # Our link is gone, and what is there is somebody's own: it stays, and is not ours any more.
        current = CurrentFile(path, None, 0)
        decision = undo(path, current, record.files[path], apps, force)._replace(action="kept")
    if decision.changed:
        writable(current)
    # What is taken away is given back with the rest when one of these apps does not work without it.
    return decision._replace(apps=tuple(apps or ()))


def _verify_named(planned: PlannedFile) -> None:
    """Raise FileRefusedError unless the files that a file names exist, and its CAs are usable."""
    for name, paths in (("", planned.requires), ("the CA ", planned.trusts)):
        for path in paths:
            if not os.path.isfile(path):
                # Without the name of the file: all files of an app lack the same CA, and one error is enough.
                raise FileRefusedError(
                    f"{path}: the CA does not exist. {_CA_CURE}"
                    if name
                    else f"{planned.path}: names {path}, which does not exist."
                )
            try:
                tree.resolve(path)
                problem = ca_file.authorities(path) if name else ""
            except OSError as exc:
                raise refusal(planned.path, exc) from None
            if isinstance(problem, str) and problem:
                # A problem with a command has its own cure.
                raise FileRefusedError(f"{path}: the CA {problem}." + ("" if "`" in problem else f" {_CA_CURE}"))


def plan_undo(
    record: Record,
    purpose: str,
    apps: Optional[Sequence[str]],
    force: bool,
    folders: Optional[Mapping[str, str]] = None,
) -> tuple[list[Decision], list[str]]:
    """Decide about all files that the record names for a purpose: the decisions, and every refusal there is.

    `folders` are those of apps that only their folder tells apart: see `_apps_here`.
    """
    decisions: list[Decision] = []
    refusals: list[str] = []
    for path, entry in sorted(record.files.items()):
        if entry.get("purpose") != purpose:
            continue
        here = _apps_here(path, record, apps, folders or {})
        if here is not None and not here:
            continue
        try:
            decisions.append(_undone(path, record, here, force))
        except FileRefusedError as exc:
            refusals.append(str(exc))
    return decisions, refusals


def _below(path: str, folder: str) -> bool:
    return path.startswith(os.path.normpath(folder).rstrip("/") + "/")


def _apps_here(
    path: str, record: Record, apps: Optional[Sequence[str]], folders: Mapping[str, str]
) -> Optional[list[str]]:
    """The apps for which a file is taken away.

    Of an app with a folder these are the files below it. A file elsewhere, such as ~/.pgpass, is taken away with the
    last folder of that app.
    """
    if apps is None or not folders:
        return None if apps is None else list(apps)
    # With the rights and the home of the user whose record it is.
    folders = {app: os.path.expanduser(folder) for app, folder in folders.items()}

    def is_here(app: str) -> bool:
        folder = folders.get(app)
        if folder is None or _below(path, folder):
            return True
        return all(_below(other, folder) for other in _in_folders(record, app))

    return [app for app in apps if is_here(app)]


def _in_folders(record: Record, app: str) -> list[str]:
    """The files of an app that lie in a folder of its own, not in the home's or the system's shared places."""
    return [
        path
        for path, entry in record.files.items()
        if entry["format"] in ("dotenv", "whole")
        and not path.startswith("/etc/")
        and any(app in key["apps"] for key in entry["keys"].values())
    ]
