# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of a server or a program, made safe to show in an error, a report or a terminal.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import unicodedata

# Control, format (bidi marks, zero-width characters), surrogate and private characters.
_REMOVED = ("Cc", "Cf", "Cs", "Co")


def clean(text: str, limit: int = 300) -> str:
    """Return the text on one line, without characters that change how a terminal shows it.

    Removes control, format, surrogate and private characters, joins whitespace to single spaces, and shortens the text
    with an ellipsis to at most `limit` characters.
    """
    kept = (
        " " if character.isspace() else "" if unicodedata.category(character) in _REMOVED else character
        for character in text
    )
    joined = " ".join("".join(kept).split())
    if len(joined) <= limit:
        return joined
    return joined[: limit - 1].rstrip() + "…" if limit > 0 else ""
