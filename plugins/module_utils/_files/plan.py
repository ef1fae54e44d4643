# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide about all files of one user: the decisions, and every refusal.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files import ca_file, tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.current import (
    ignored_by_git,
    read_current,
    refusal,
    writable,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.decide import decide, undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.merge import merge
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import Decision, FileRefusedError, PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record


def plan(files: Sequence[PlannedFile], record: Record, force: bool) -> tuple[list[Decision], list[str]]:
    """Decide about all planned files of one user: the decisions, and every refusal there is."""
    decisions: list[Decision] = []
    refusals: list[str] = []
    try:
        files = merge(files)
    except FileRefusedError as exc:
        return [], [str(exc)]
    for planned in files:
        try:
            _verify_named(planned)
            current = read_current(planned.path)
            decision = decide(planned, current, record.files.get(planned.path, {}), force or planned.force)
            if decision.changed:
                writable(current)
                if planned.secret:
                    ignored_by_git(current.target)
            decisions.append(decision)
        except FileRefusedError as exc:
            refusals.append(str(exc))
    return decisions, refusals


def _verify_named(planned: PlannedFile) -> None:
    """Raise FileRefusedError unless the files that a file names exist, and its CAs are usable."""
    for name, paths in (("", planned.requires), ("the CA ", planned.trusts)):
        for path in paths:
            if not os.path.isfile(path):
                raise FileRefusedError(f"{planned.path}: names {name}{path}, which does not exist.")
            try:
                tree.resolve(path)
                problem = ca_file.authorities(path) if name else ""
            except OSError as exc:
                raise refusal(planned.path, exc) from None
            if isinstance(problem, str) and problem:
                raise FileRefusedError(f"{planned.path}: names the CA {path}, which {problem}.")


def plan_undo(
    record: Record, purpose: str, apps: Optional[Sequence[str]], force: bool
) -> tuple[list[Decision], list[str]]:
    """Decide about all files that the record names for a purpose: the decisions, and every refusal there is."""
    decisions: list[Decision] = []
    refusals: list[str] = []
    for path, entry in sorted(record.files.items()):
        if entry.get("purpose") != purpose:
            continue
        try:
            current = read_current(path)
            decision = undo(path, current, entry, apps, force)
            if decision.changed:
                writable(current)
            decisions.append(decision)
        except FileRefusedError as exc:
            refusals.append(str(exc))
    return decisions, refusals
