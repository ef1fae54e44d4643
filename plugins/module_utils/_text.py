# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of a server or a program, made safe to show in an error, a report or a terminal.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from typing import Any


def _kept(character: str) -> bool:
    return character.isprintable() or character.isspace()


def clean(text: object, limit: int = 300) -> str:
    """Return the text on one line, without characters that change how a terminal shows it.

    Removes control, format (direction marks, zero-width characters), surrogate and private characters, joins whitespace
    to single spaces, and shortens the text with three dots to at most `limit` characters.
    """
    # What is cut off is not looked at: a server may send megabytes.
    start = str(text)[: 4 * limit]
    kept = start if start.isprintable() else "".join(filter(_kept, start))
    joined = " ".join(kept.split())
    return joined if len(joined) <= limit else joined[: max(0, limit - 3)].rstrip() + "..."[:limit]


def escaped(value: Any) -> Any:
    """Return a result with such characters of its texts as escapes (``\\x1b``); line ends and tabs stay."""
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(
            character
            if character.isprintable() or character in "\n\t\u00a0"
            else character.encode("unicode_escape").decode("ascii")
            for character in value
        )
    if isinstance(value, dict):
        return {escaped(key): escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return value
