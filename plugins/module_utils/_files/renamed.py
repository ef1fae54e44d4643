# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app that has another name now keeps what was recorded under its former one, so that it can be taken away.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record

# Files that all apps of a user share: they do not tell which folder an app has.
_SHARED_FORMATS = ("pgpass", "service")
_SHARED_ENDS = ("/.postgresql/root.crt",)
_SYSTEM = "/etc/"


def rename_apps(record: Record, renamed: Sequence[dict[str, str]], planned: Sequence[PlannedFile]) -> bool:
    """Change the apps' names in a record that is in memory, and return whether there was anything to change.

    `renamed`: the former name (`old`), the name now (`new`) and the `folder` of each app. Other folders may have had
    an app of the same former name: then only what lies in the folder, and the keys that are `planned`, are this app's.
    """
    if not renamed:
        return False
    before = record.text()
    for entry in renamed:
        old, new = entry["old"], entry["new"]
        folder = os.path.normpath(os.path.expanduser(entry["folder"])) + os.sep
        recorded = {path: _apps(facts) for path, facts in record.files.items()}
        alone = not any(old in apps and not path.startswith(folder) and not _is_shared(path, record.files[path])
                        for path, apps in recorded.items())  # fmt: skip
        ours = _planned_keys(planned, new)
        for path, facts in record.files.items():
            for key, key_entry in facts["keys"].items():
                if alone or path.startswith(folder) or (path, key) in ours:
                    key_entry["apps"] = _renamed(key_entry["apps"], old, new)
        if alone:
            _rename_unconfirmed(record, old, new)
    return record.text() != before


def _apps(facts: dict[str, Any]) -> set[str]:
    return {app for key_entry in facts["keys"].values() for app in key_entry["apps"]}


def _is_shared(path: str, facts: dict[str, Any]) -> bool:
    return facts["format"] in _SHARED_FORMATS or path.endswith(_SHARED_ENDS) or path.startswith(_SYSTEM)


def _planned_keys(planned: Sequence[PlannedFile], app: str) -> set[tuple[str, str]]:
    files = [file for file in planned if app in file.apps]
    return {(file.path, s.key) for file in files for s in FORMATS[file.format](file.content) if s.key is not None}


def _renamed(apps: Sequence[str], old: str, new: str) -> list[str]:
    return sorted({new if app == old else app for app in apps})


def _rename_unconfirmed(record: Record, old: str, new: str) -> None:
    """What a killed run left unconfirmed under the former name."""
    generation = record.generation
    if old in generation.apps:
        generation.apps[new] = generation.apps.pop(old)
    for kept in generation.files.values():
        kept["apps"] = _renamed(kept["apps"], old, new)
