# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Percent-encoding, libpq's quoting, and their reverse, for one value at a time.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes

from ansible_collections.crdb.onboard.plugins.plugin_utils._model.errors import refuse

MASK = "********"
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NEVER_RAW = frozenset(' "<>[\\]^`{|}')


def percent_encode(text: str) -> str:
    """Percent-encode every byte outside RFC 3986's unreserved set; the mask stays readable."""
    # The mask stays readable, and cannot be confused: a password that reads like it is refused.
    return text if text == MASK else quote(text, safe="")


def query_text(pairs: Iterable[tuple[str, str]]) -> str:
    """The query of a URL, values percent-encoded."""
    return "&".join(f"{name}={percent_encode(value)}" for name, value in pairs)


def dsn_escape(value: str) -> str:
    """A value with libpq's backslashes, as it stands between single quotes."""
    return value.replace("\\", "\\\\").replace("'", "\\'")


def dsn_value(value: str) -> str:
    """A value of libpq's keyword form, in single quotes where it needs them."""
    escaped = dsn_escape(value)
    return escaped if re.fullmatch(r"[!-~]+", value) and escaped == value else f"'{escaped}'"


def refuse_unescaped(part: str, char: str, where: str = "") -> NoReturn:
    """Raise InvalidConnectionError for a character that a URL must percent-encode, or that does not belong there."""
    if char != " " and (char.isspace() or not char.isprintable()):
        name = unicodedata.name(char, repr(char)).lower()
        refuse(part, f"the {part} in the URL contains a character that was copied along ({name}): take it out")
    refuse(part, f"the {part} in the URL contains an unescaped {char!r}{where}: write it as {percent_encode(char)}")


def percent_decode(part: str, raw: str, plus: str = "literal") -> str:
    """Percent-decode one piece of a URL. ``plus``: what a bare plus is: 'literal', 'space' or 'refused'."""
    for char in raw:
        if char in _NEVER_RAW or not char.isprintable():
            refuse_unescaped(part, char)
    if plus == "refused" and "+" in raw:
        refuse(
            part, f"the {part} in the URL's query contains a bare '+', which drivers read differently: write %2B or %20"
        )
    if _PERCENT.search(raw):
        refuse_unescaped(part, "%", " (one without two hexadecimal digits after it)")
    data = unquote_to_bytes(raw.replace("+", " ") if plus == "space" else raw)
    text = data.decode("utf-8", "replace")
    if text.encode() != data:
        refuse(part, f"the {part} in the URL has percent-encoded bytes that are not UTF-8: encode it as UTF-8")
    return text
