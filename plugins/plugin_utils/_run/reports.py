# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks report for people, noted a host, each text once: shown once for all hosts that report alike.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

_NAMES_SHOWN = 5


def note(subject: str, task: str, host: str, lines: Sequence[str]) -> None:
    """Note what a task reports of a subject for its host."""
    digest = hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()
    _shared.once(f"report {digest}", lambda: list(lines))
    if _shared.get(f"reported last {subject}") != task:
        _shared.put(f"reported last {subject}", task)
    _shared.put(f"reported {subject} {host}", [task, digest])


def _title(hosts: Sequence[str]) -> str:
    rest = len(hosts) - _NAMES_SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return f"{', '.join(hosts[:_NAMES_SHOWN])}{more}:"


def distinct(subject: str, hosts: Sequence[str]) -> list[str]:
    """The lines that the last task which reports of this subject noted for these hosts; those of several alike once."""
    last = _shared.get(f"reported last {subject}")
    by_digest: dict[str, list[str]] = {}
    for host in hosts:
        task, digest = _shared.get(f"reported {subject} {host}") or (None, "")
        if last is not None and task == last:
            by_digest.setdefault(digest, []).append(host)
    texts = [(_shared.get(f"report {digest}")["value"], names) for digest, names in by_digest.items()]
    if len(hosts) == 1:
        return [line for lines, _names in texts for line in lines]
    return [
        text
        for lines, names in texts
        for text in (_title(names), *(f"  {line}" if line else "" for line in lines))
        if lines
    ]
