# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference of a decision, with passwords masked.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import MASK, mask_urls, split_pgpass
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import Decision, digest

_ASSIGNED_SECRET = re.compile(r"(?im)^(\s*(?:export\s+)?\w*(?:PASS|SECRET|TOKEN|KEY)\w*\s*=\s*).+$")


def masked(content: bytes, secrets: Sequence[str], format_: str = "whole") -> str:
    """A file's text for a diff: without the secrets, without passwords in URLs and what is assigned to secret names.

    Of a ``.pgpass`` no password is shown, whoever wrote it.
    """
    if format_ == "pgpass":
        segments = split_pgpass(content)
        content = b"".join(s.raw if s.key is None else f"{s.key}:{MASK}\n".encode("utf-8", "replace") for s in segments)
    if b"\0" in content:
        return f"(not text: SHA-256 {digest(content)})\n"
    text = content.decode("utf-8", "replace")
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _ASSIGNED_SECRET.sub(lambda m: m.group(1) + MASK, mask_urls(text))


def diff(decision: Decision, secrets: Sequence[str]) -> dict[str, str]:
    """The difference as Ansible shows it, passwords masked; for a drifted file, what force would do."""
    current = decision.current
    target = decision.ideal if decision.action == "drifted" else decision.after
    format_ = decision.entry.get("format", "whole")
    before = "" if current.content is None else masked(current.content, secrets, format_)
    after = "" if target is None else masked(target, secrets, format_)
    if before == after and current.content != target:
        after += "(a masked value differs)\n"
    if current.content is not None and target is not None and current.mode != decision.mode:
        before, after = f"mode: {current.mode:04o}\n{before}", f"mode: {decision.mode:04o}\n{after}"
    return {
        "before": before,
        "after": after,
        "before_header": f"{decision.path} (absent)" if current.content is None else decision.path,
        "after_header": f"{decision.path} (absent)" if target is None else decision.path,
    }
