# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file that several apps share becomes one planned file. Pure.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS, HEADER, join
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError, PlannedFile


def merge(files: Sequence[PlannedFile]) -> list[PlannedFile]:
    """The files with each path once: a shared file is given once an app, each time with that app's keys.

    Raises FileRefusedError when two apps want different content under one key.
    """
    merged: dict[str, PlannedFile] = {}
    for planned in files:
        first = merged.get(planned.path)
        if first is None:
            merged[planned.path] = planned
            continue
        names = ("mode", "format", "secret", "gid", "purpose", "exclusive", "keep_previous")
        differ = [name for name in names if getattr(first, name) != getattr(planned, name)]
        if differ:
            raise FileRefusedError(f"{planned.path}: is listed twice, with a different {differ[0]}.")
        split = FORMATS[planned.format]
        segments = {segment.key: segment for segment in split(first.content)}
        owners = {key: first.apps_of(key) for key in segments if key is not None}
        for segment in split(planned.content):
            if segments.setdefault(segment.key, segment).raw != segment.raw and segment.key not in (None, HEADER):
                both = " and ".join(dict.fromkeys((*first.apps, *planned.apps)))
                raise FileRefusedError(
                    f"{planned.path}: {both} need different values of {segment.key}: give them the same connection."
                )
            if segment.key is not None:
                owners[segment.key] = tuple(dict.fromkeys((*owners.get(segment.key, ()), *planned.apps)))
        merged[planned.path] = first._replace(
            content=join(list(segments.values())),
            requires=tuple(dict.fromkeys((*first.requires, *planned.requires))),
            trusts=tuple(dict.fromkeys((*first.trusts, *planned.trusts))),
            apps=tuple(dict.fromkeys((*first.apps, *planned.apps))),
            force=first.force or planned.force,
            owners=owners,
        )
    return list(merged.values())
