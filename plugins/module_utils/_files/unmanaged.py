# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the record holds and the inventory no longer lists: files of an app, or of a framework of an app, that left.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError, PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import (
    HOME_STATE,
    SYSTEM_STATE,
    Owner,
    UnknownOwnerError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record

OF_APPS = ("app_config", "ca", "client_cert")
"""The purposes of files that belong to apps."""
_LOOK_SECONDS = 5.0


class Scope(NamedTuple):
    """What a call answers for: the files of `apps` for `purposes`; with `complete` those of all other apps too."""

    apps: frozenset[str]
    purposes: frozenset[str]
    complete: bool = False

    def covers(self, purpose: str, app: str) -> bool:
        """Whether a file of this purpose and app is not managed when the call does not plan it."""
        return purpose in self.purposes if app in self.apps else self.complete and purpose in OF_APPS


def planned_apps(files: Sequence[PlannedFile]) -> dict[str, set[str]]:
    """The apps of planned files, by path."""
    apps: dict[str, set[str]] = {}
    for file in files:
        apps.setdefault(file.path, set()).update(file.apps)
    return apps


def unmanaged(planned: Mapping[str, Collection[str]], record: Record, scope: Scope) -> dict[str, tuple[str, ...]]:
    """The paths of the record with the apps for which nothing plans them any more; `planned` has apps by path."""
    left = {}
    for path, entry in sorted(record.files.items()):
        apps = {app for key in entry["keys"].values() for app in key["apps"]} - set(planned.get(path, ()))
        covered = tuple(sorted(app for app in apps if scope.covers(entry.get("purpose", ""), app)))
        # What somebody removed by hand is nobody's concern.
        if covered and os.path.lexists(path):
            left[path] = covered
    return left


def remaining(record: Record, purpose: str, removed: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The paths of the record for a purpose that are not removed, with their apps."""
    return {
        path: tuple(sorted({app for key in entry["keys"].values() for app in key["apps"]}))
        for path, entry in sorted(record.files.items())
        if entry.get("purpose") == purpose and path not in removed
    }


def listed(left: dict[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    """The same as results have it."""
    return [{"path": path, "apps": list(apps)} for path, apps in left.items()]


class Look:
    """Reads the record of a user without a lock."""

    def __init__(self, state: str, scope: Scope, planned: Mapping[str, Collection[str]]) -> None:
        self._state, self._scope, self._planned = state, scope, planned

    def unmanaged(self) -> list[dict[str, Any]]:
        """What is not managed of this user's; nothing where the record cannot be read."""
        try:
            record = Record(self._state, write=False)
        except FileRefusedError:
            return []
        try:
            return listed(unmanaged(self._planned, record, self._scope))
        finally:
            record.close()

    def close(self) -> None:
        """Nothing is held."""


def other_users(known: Collection[int]) -> list[str]:
    """The users of this host who have a record, but those with known ids; nobody unless this process is root."""
    if os.geteuid() != 0:
        return []
    return sorted(
        entry.pw_name
        for entry in pwd.getpwall()
        if entry.pw_uid not in known
        and (
            os.path.lexists(os.path.join(SYSTEM_STATE, entry.pw_name))
            or os.path.lexists(os.path.join(entry.pw_dir, HOME_STATE, "files.json"))
        )
    )


def of_users(
    names: Collection[str], scope: Scope, planned: Optional[Mapping[str, Collection[str]]] = None
) -> list[dict[str, Any]]:
    """What is not managed of these users, such as those whom no app has any more. What they put there fails nothing."""
    found: list[dict[str, Any]] = []
    for name in names:
        try:
            owner = Owner(name)
            look = owner.does(Look(owner.state, scope, planned or {}), _LOOK_SECONDS)
        except (UnknownOwnerError, OSError):
            continue
        try:
            found += look.unmanaged()
        except OSError:
            continue
        finally:
            look.close()
    return found
