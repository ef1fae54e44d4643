# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference of a decision, with passwords masked.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import (
    FORMATS,
    HEADER,
    MASK,
    FormatError,
    mask_urls,
    normal,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import CurrentFile, Decision

_SECRET_NAME = r"[\w.-]*(?:PASS|PWD|SECRET|TOKEN|KEY|AUTH|CREDENTIAL|DSN)[\w.-]*"  # noqa: S105 - the names of secrets
# `NAME=value`, `name: value`, `"name": "value"`, `name => value`, to the end of the line or of the quoted value.
_ASSIGNED_SECRET = re.compile(
    rf"(?im)((?<![\w.?&;-]){_SECRET_NAME}[\"']?\s*(?::|=>?)\s*)(\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|[^\n]+)"
)
_MAX_PLACES = 10


def masked(content: bytes, secrets: Sequence[str]) -> str:
    """A text without these secrets, without what URLs hold before their host, and what is assigned to secret names."""
    if b"\0" in content:
        return f"(not text: {len(content)} bytes)\n"
    text = content.decode("utf-8", "replace")
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _ASSIGNED_SECRET.sub(lambda match: match.group(1) + MASK, mask_urls(text))


def _described(content: bytes) -> str:
    lines = len(content.splitlines())
    return f"({lines} {'line' if lines == 1 else 'lines'}, {len(content)} bytes; not shown, may hold a secret)\n"


def _places(before: bytes, after: bytes) -> str:
    """The numbers of the lines of `before` that change, and how many come."""
    import difflib  # A run without `--diff` needs none.

    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    found = []
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind == "insert":
            found.append(f"{new_end - new_start} new after line {start}")
        elif kind != "equal":
            found.append(f"line {start + 1}" if end == start + 1 else f"lines {start + 1}-{end}")
    more = f" and {len(found) - _MAX_PLACES} more" if len(found) > _MAX_PLACES else ""
    return f"(changes: {', '.join(found[:_MAX_PLACES]) or 'line ends'}{more})\n"


def _whole(before: bytes, after: bytes) -> tuple[str, str]:
    """Both sides of a file whose content is not shown."""
    if not before or not after:
        return _described(before) if before else "", _described(after) if after else ""
    return _described(before), _described(after) + _places(before, after)


def _label(format_: str, key: str) -> str:
    labels = {"dotenv": f"{key}={MASK}", "pgpass": f"{key}:{MASK}", "service": f"[{key}] {MASK}"}
    return labels.get(format_, f"certificate {key}")


def _keys(format_: str, before: bytes, after: bytes) -> tuple[str, str]:
    """Both sides of a file of keys: the keys that change, never a value. Raises FormatError."""
    sides: list[dict[str, list[bytes]]] = [{}, {}]
    for side, content in zip(sides, (before, after)):
        for segment in FORMATS[format_](content):
            if segment.key not in (None, HEADER):
                side.setdefault(segment.key or "", []).append(normal(segment.raw))
    old, new = sides
    changed = [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
    if not changed:
        return "", "(comments, blank lines or line ends change)\n"
    texts = []
    for side, note in ((old, ""), (new, " (new value)")):
        lines = [_label(format_, key) + (note if key in old and key in new else "") for key in changed if key in side]
        texts.append("".join(f"{line}\n" for line in lines))
    return texts[0], texts[1]


def diff(decision: Decision, secrets: Sequence[str]) -> dict[str, str]:
    """The difference as Ansible shows it; for a drifted file, what `force` would do.

    Content is shown only of a file that is ours as a whole and holds no secret: who knows what others keep in theirs.
    Otherwise it says which keys or lines change.
    """
    current = decision.current
    target = decision.ideal if decision.action == "drifted" else decision.after
    before, after = _sides(decision, current.content or b"", target or b"", secrets)
    if current.content is not None and target is not None and current.mode != decision.mode:
        before, after = f"mode: {current.mode:04o}\n{before}", f"mode: {decision.mode:04o}\n{after}"
    return {
        "before": before,
        "after": after,
        "before_header": f"{decision.path} (absent)" if current.content is None else decision.path,
        "after_header": f"{decision.path} (absent)" if target is None else decision.path,
    }


def _leads_to(target: bytes) -> str:
    return f"leads to {os.fsdecode(target)}\n" if target else ""


def _sides(decision: Decision, before: bytes, after: bytes, secrets: Sequence[str]) -> tuple[str, str]:
    format_ = decision.entry.get("format", "whole")
    if before == after:
        return "", ""
    if decision.shown:
        return masked(before, secrets) if before else "", masked(after, secrets) if after else ""
    if format_ == "link":
        return _leads_to(before), _leads_to(after)
    if format_ != "whole":
        try:
            return _keys(format_, before, after)
        except FormatError:
            pass
    return _whole(before, after)


def may_be_shown(current: CurrentFile, *, secret: bool, ours: bool) -> bool:
    """Whether the contents of a file may be shown: it holds no secret, and what is there, if anything, is ours.

    A file that only its owner may read may hold one, whatever today's inventory says.
    """
    return not secret and (current.content is None or (ours and bool(current.mode & 0o077)))
