# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide what becomes of one file, from what is there and what the record says. Writes nothing.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection, Sequence
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files import tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.diff import may_be_shown
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import (
    FORMATS,
    HEADER,
    WHOLE,
    FormatError,
    Segment,
    find,
    join,
    line_end,
    normal,
    put,
    take,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import (
    LINK_MODE,
    CurrentFile,
    Decision,
    FileRefusedError,
    PlannedFile,
    digest,
)

FORCE = "set force (crdb_app_config_force, for a CA crdb_ca_force)"
"""What a person sets to replace a file that is not ours, or that was changed."""


def _known_digests(entry: dict[str, Any], key: str) -> set[str]:
    key_entry = entry.get("keys", {}).get(key, {})
    return {key_entry[name] for name in ("sha256", "next") if key_entry.get(name)}


def _key_digest(format_: str, raw: bytes) -> str:
    return digest(raw if format_ in ("link", "whole") else normal(raw))


def _foreign_error(path: str, key: str) -> FileRefusedError:
    subject = f"the existing {key}" if key else "the existing file"
    return FileRefusedError(
        f"{path}: {subject} was not written by crdb.onboard. Move it away, choose another folder, or {FORCE}: it is"
        " then replaced, and restored when you remove crdb.onboard."
    )


def _mode(planned: PlannedFile, current: CurrentFile, entry: dict[str, Any]) -> int:
    """Permission bits: a file that others made keeps its own, but that nobody else may read a password."""
    if planned.format == "link":
        return LINK_MODE
    theirs = current.content is not None and entry.get("existed", True) and planned.format != "whole"
    if not theirs:
        return planned.mode
    return current.mode & ~0o077 if planned.secret else current.mode


def _stale(planned: PlannedFile, entry: dict[str, Any], ours: Sequence[Segment], left: Collection[str]) -> list[str]:
    if planned.keep_previous:
        return []
    mine = {segment.key for segment in ours}
    key_entry = entry.get("keys", {})
    apps = {*planned.apps, *left}
    return [key for key in key_entry if key not in mine and set(key_entry[key].get("apps", ())) <= apps]


class _Segments:
    """A file while it is decided about: `after` with what will be written, `ideal` with what force would write."""

    def __init__(self, segments: list[Segment], end: bytes) -> None:
        self.after = list(segments)
        self.ideal = list(segments)
        self.end = end
        self.drifted = False
        self.copy = False


def decide(
    planned: PlannedFile, current: CurrentFile, entry: dict[str, Any], force: bool, left: Collection[str] = ()
) -> Decision:
    """What becomes of a planned file, from what is there and what the record says of it.

    A key that somebody changed after us is left alone as long as ours stays the same (``drifted``), and replaced, a
    copy kept, when ours moved on: the rule of dpkg for configuration files. A key that is not ours is refused. `force`
    replaces both. The keys of apps that `left` go. Raises FileRefusedError.
    """
    earlier = _known_digests(entry, WHOLE)
    entry = _entry(planned, current, entry)
    try:
        segments = FORMATS[planned.format](current.content) if current.content is not None else []
        ours = [s for s in FORMATS[planned.format](planned.content) if s.key is not None and s.key != HEADER]
        present = {segment.key: find(segments, segment.key or WHOLE) for segment in ours}
    except FormatError as exc:
        raise FileRefusedError(f"{planned.path}: cannot be split into keys: {exc}.") from None
    if planned.exclusive:
        segments = _without_foreign(planned, segments, set(present), entry, force)
    file = _Segments(segments, line_end(current.content or b""))
    for segment in ours:
        _decide_key(planned, file, segment, present[segment.key], entry, force)
    removes = _remove_stale(planned, file, segments, ours, entry, left)
    if current.content is None:
        content = ideal = planned.content
    else:
        content, ideal = join(file.after), join(file.ideal)
    mode = _mode(planned, current, entry)
    if current.content is None:
        action = "created"
    elif content != current.content:
        action = "changed"
    elif mode != current.mode:
        action = "mode"
    else:
        action = "drifted" if file.drifted else "ok"
    ours_now = current.content is not None and digest(current.content) in earlier
    shown = planned.format == "whole" and may_be_shown(current, secret=planned.secret, ours=ours_now)
    return Decision(
        planned.path, current, action, content, mode, entry, planned.secret, planned.gid, ideal,
        file.copy and action == "changed", planned.apps, shown, removes,
    )  # fmt: skip


def _entry(planned: PlannedFile, current: CurrentFile, entry: dict[str, Any]) -> dict[str, Any]:
    """A copy of the record's entry of a file, or a new one."""
    copy: dict[str, Any] = json.loads(json.dumps(entry)) or {"format": planned.format, "keys": {}, "folders": []}
    copy.setdefault("existed", current.content is not None)
    copy.setdefault("mode", f"{current.mode:04o}" if current.content is not None else None)
    copy["purpose"] = planned.purpose
    if planned.private:
        copy["private"] = True
    return copy


def _without_foreign(
    planned: PlannedFile, segments: list[Segment], ours: set[Optional[str]], entry: dict[str, Any], force: bool
) -> list[Segment]:
    """The segments of an exclusive file without keys of others. Raises FileRefusedError unless `force`."""
    foreign = {
        s.key for s in segments if s.raw.strip() and s.key not in ours and not _known_digests(entry, s.key or WHOLE)
    }
    if foreign and not force:
        raise _foreign_error(planned.path, "")
    return [segment for segment in segments if segment.key not in foreign]


def _decide_key(
    planned: PlannedFile, file: _Segments, segment: Segment, present: Optional[Segment], entry: dict[str, Any],
    force: bool,
) -> None:  # fmt: skip
    """Set one of our keys in `file`, and note it in `entry`. Raises FileRefusedError for a key of others."""
    key = segment.key or WHOLE
    known = _known_digests(entry, key)
    new = _key_digest(planned.format, segment.raw)
    old = None if present is None else _key_digest(planned.format, present.raw)
    key_entry = entry["keys"].setdefault(key, {"before": None, "apps": []})
    others = set(key_entry.get("apps", ())) - set(planned.apps)
    key_entry["apps"] = sorted(others | set(planned.apps_of(key)))
    key_entry.pop("gone", None)
    if old == new:
        if not known:
            key_entry["before"] = _before(planned, present)
        key_entry["sha256"] = new
        key_entry.pop("next", None)
        return
    if sum(other.key == segment.key for other in file.after) > 1:
        # Setting one of them would leave the other's value, and which one counts differs by loader.
        raise FileRefusedError(f"{planned.path}: has {key} more than once. Keep one of its lines, then run this again.")
    foreign = present is not None and not known
    if foreign and not force:
        raise _foreign_error(planned.path, key)
    hand_edited = old is not None and bool(known) and old not in known
    file.ideal, _unended = _set(planned, file.ideal, segment, file.end)
    if hand_edited and new == key_entry.get("sha256") and not force:
        file.drifted = True
        key_entry.pop("next", None)
        return
    if planned.format != "link":
        file.copy = file.copy or hand_edited or (foreign and planned.format == "whole")
    if foreign:
        key_entry["before"] = _before(planned, present)
    file.after, unended = _set(planned, file.after, segment, file.end)
    key_entry.update(next=new, **({"unended": True} if unended else {}))


def _remove_stale(
    planned: PlannedFile, file: _Segments, segments: list[Segment], ours: Sequence[Segment], entry: dict[str, Any],
    left: Collection[str],
) -> tuple[str, ...]:  # fmt: skip
    """Remove keys that we wrote before and no longer plan, unless somebody changed them. Return those removed."""
    removed = []
    for key in _stale(planned, entry, ours, left):
        present = find(segments, key)
        if present is None or _key_digest(planned.format, present.raw) in _known_digests(entry, key):
            file.after, file.ideal = (_take(planned.format, side, key, entry) for side in (file.after, file.ideal))
            # Known until the file is in its place: a run that is killed before leaves it there.
            entry["keys"][key]["gone"] = True
            if present is not None:
                removed.append(key)
        elif set(entry["keys"][key].get("apps", ())) & set(left):
            # Changed by somebody: it stays, and is not ours any more.
            entry["keys"][key]["gone"] = True
    for key_entry in entry["keys"].values():
        if not key_entry.get("gone"):
            key_entry["apps"] = sorted(set(key_entry.get("apps", ())) - set(left))
    return tuple(removed)


def _before(planned: PlannedFile, present: Optional[Segment]) -> Optional[str]:
    """What is given back later; a whole file is kept as a copy beside it instead, when it is replaced."""
    if present is None or planned.private or (planned.format == "whole" and present.raw != planned.content):
        return None
    return base64.b64encode(present.raw).decode("ascii")


def _set(planned: PlannedFile, segments: list[Segment], ours: Segment, end: bytes) -> tuple[list[Segment], bool]:
    if planned.format in ("link", "whole"):
        return [ours], False
    return put(segments, ours, end, first=planned.format == "pgpass")


def _take(format_: str, segments: list[Segment], key: str, entry: dict[str, Any]) -> list[Segment]:
    key_entry = entry["keys"][key]
    before = key_entry.get("before")
    if key_entry.get("unended") and before is None:
        # What stands behind ours now stands behind the line that we had to end.
        follows = [after.key for segment, after in zip(segments, segments[1:]) if segment.key == key]
        if follows and follows[0] in entry["keys"]:
            entry["keys"][follows[0]]["unended"] = True
    return take(segments, key, base64.b64decode(before) if before else None, bool(key_entry.get("unended")))


def _read_copy(path: str, copy: str) -> bytes:
    """The content of the copy of a file that was replaced. Raises FileRefusedError."""
    try:
        return tree.read_file(copy).content
    except OSError as exc:
        raise FileRefusedError(f"{path}: its copy {copy} cannot be read: {exc.strerror}.") from None


def undo(
    path: str, current: CurrentFile, entry: dict[str, Any], apps: Optional[Sequence[str]], force: bool
) -> Decision:
    """What becomes of a file when what we wrote for `apps` (None: for all) is taken away.

    What somebody changed after us is not what we wrote: it stays (``kept``), unless `force`. Raises FileRefusedError.
    """
    entry = json.loads(json.dumps(entry))
    keys = entry["keys"]
    gone = []
    for key, key_entry in list(keys.items()):
        left = [] if apps is None else sorted(set(key_entry["apps"]) - set(apps))
        if key_entry["apps"] and left == key_entry["apps"]:
            continue
        key_entry["apps"] = left
        if not left:
            gone.append(key)
    nothing = Decision(path, current, "ok", current.content, current.mode, entry=entry)
    if current.content is None:
        for key in gone:
            del keys[key]
        return nothing
    try:
        segments = FORMATS[entry["format"]](current.content)
        kept = False
        places = {segment.key or WHOLE: number for number, segment in enumerate(segments) if segment.key is not None}
        # The last one first: only behind it can be the end of the file.
        for key in sorted(gone, key=lambda name: places.get(name, -1), reverse=True):
            present = find(segments, key)
            drifted = present is not None and _key_digest(entry["format"], present.raw) not in _known_digests(
                entry, key
            )
            kept = kept or (drifted and not force)
            if not drifted or force:
                segments = _take(entry["format"], segments, key, entry)
            del keys[key]
    except FormatError as exc:
        raise FileRefusedError(f"{path}: cannot be split into keys: {exc}.") from None
    if not keys and not entry["existed"]:
        segments = [segment for segment in segments if segment.key != HEADER]
    content: Optional[bytes] = join(segments)
    mode = current.mode
    copy = entry.get("copy")
    if not keys and not kept:
        if copy and os.path.lexists(copy):
            content = _read_copy(path, copy)
        elif not entry["existed"] and not (content or b"").strip():
            content = None
        mode = int(entry["mode"], 8) if entry.get("mode") else mode
    if content is None:
        action = "removed"
    elif content != current.content or mode != current.mode:
        action = "restored"
    else:
        action = "kept" if kept else "ok"
    return Decision(path, current, action, content, mode, entry=entry)
