# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Take a password out of the words of a server that received it.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from ansible_collections.crdb.onboard.plugins.module_utils._text import clean

NOT_SHOWN = "(not shown)"
_MASK = "********"
# What is shorter, or one plain word, may stand in any text, and a mask in its place would give it away.
_SHORT = 8
_LONG = 20


def shown(text: str, secret: str) -> str:
    """A server's text without the password: masked, or left out where a mask would let a reader guess it."""
    if not secret:
        return text
    forms = [form for form in dict.fromkeys(_forms(secret)) if form and form in text]
    if not forms:
        return text
    if len(secret) < _SHORT or secret.isalpha():
        return NOT_SHOWN
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _MASK)
    return text


def shown_values(value: Any, secret: str) -> Any:
    """The same for all texts in dicts and lists."""
    if isinstance(value, dict):
        return {key: shown_values(item, secret) for key, item in value.items()}
    if isinstance(value, list):
        return [shown_values(item, secret) for item in value]
    return shown(value, secret) if isinstance(value, str) else value


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield clean(secret)
    yield quote(secret, safe="", errors="surrogateescape")
    yield quote_plus(secret, errors="surrogateescape")
    if len(secret) >= _SHORT:
        yield base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode("ascii")
    # Of a token, a server may repeat a part.
    if secret.count(".") == 2:
        yield from (part for part in secret.split(".") if len(part) >= _LONG)
