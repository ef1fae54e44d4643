# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection string as people paste it: in quotes, in a command, wrapped, with a placeholder for the password.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from ansible_collections.crdb.onboard.plugins.plugin_utils._model.errors import refuse
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.parts import is_masked
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.placeholders import is_password_placeholder

_START = re.compile(r"(?:jdbc:postgresql|(?:postgres(?:ql)?|cockroachdb)(?:\+\w+)?)://", re.IGNORECASE)
# Pasted along from web pages and chats. Nobody sees them, and no URL has them.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_BLANK = re.compile("[\t\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_LINE_BREAK = re.compile("[ ]*\\\\?(?:\r\n|[\r\n\u2028\u2029])[ ]*")
_CLOSING = {'"': '"', "'": "'", "`": "`", "<": ">", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}
_QUOTES = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
# What may stand in front: the prompt of a shell, then a variable or a client that takes the string as its argument.
# A client's other options (such as a folder of certificates) would be lost, so such a command is left to be refused.
_BEFORE = re.compile(
    r"(?:[$%>#] +)?"
    r"(?:(?:export +|set +|\$env:)?[A-Za-z_]\w*\s*[=:]\s*"
    r"|(?:cockroach +sql|cockroach-sql|crdb-sql|psql|pgcli|usql)(?: +(?:--url|--dbname|-d))?[ =]+)?"
    rf"[{_QUOTES}<]*",
    re.IGNORECASE,
)


def is_keyword_form(text: str) -> bool:
    """Whether a text is libpq's keyword form, such as ``host=db.example.com user=max``."""
    return re.match(r"\s*(?:host|hostaddr|user|dbname|port|sslmode|password|options)\s*=", text) is not None


def pasted_url(text: str) -> str:
    """The connection string in a pasted text, without a placeholder in place of its password.

    A text without a connection string, or with something unknown around it, is returned as it is, but for blanks and
    quotes at its ends: :func:`url_parts` says what is wrong with it. Raises InvalidConnectionError for two strings.
    """
    text = _INVISIBLE.sub("", text).strip()
    starts = [match.start() for match in _START.finditer(text)]
    if len(starts) > 1:
        refuse("url", "the text has two connection strings: give one of them")
    if not starts:
        return text if is_keyword_form(text) else text.strip(_QUOTES + " \r\n")
    before, url = text[: starts[0]], text[starts[0] :]
    before = _LINE_BREAK.sub(" ", _BLANK.sub(" ", before))
    if not _BEFORE.fullmatch(before):
        return text
    url = _LINE_BREAK.sub("", url).rstrip()
    closing = _CLOSING.get(before[-1:], "")
    if closing and closing in url:
        url, _mark, after = url.partition(closing)
        if after.strip(f" ;,{_QUOTES}"):
            return text
    return _without_placeholder(url.rstrip(f" {_QUOTES}"))


def _is_placeholder(raw: str) -> bool:
    value = unquote(raw)
    return is_masked(value) or is_password_placeholder(value)


def _without_placeholder(url: str) -> str:
    """The URL without a password that is a placeholder: then the password counts as missing, and is asked for."""
    scheme, mark, rest = url.partition("://")
    userinfo, at, after = rest.partition("@")
    user, colon, password = userinfo.partition(":")
    if at and colon and _is_placeholder(password):
        rest = f"{user}@{after}"
    place, question, query = rest.partition("?")
    kept = [
        pair
        for pair in query.split("&")
        if not (pair.startswith("password=") and _is_placeholder(pair[len("password=") :]))
    ]
    return f"{scheme}{mark}{place}" + (f"{question}{'&'.join(kept)}" if kept != [""] and kept else "")
