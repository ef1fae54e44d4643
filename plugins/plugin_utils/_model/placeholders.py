# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Placeholders such as documentation prints: `<password>`, `{host}`, `$USER`.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re

from ansible_collections.crdb.onboard.plugins.plugin_utils._model.errors import refuse

_PLACEHOLDER = re.compile(
    r"\{\{(?P<template>.*?)\}\}|<(?P<angle>[^<>]+)>|\$?\{(?P<curly>[^{}]+)\}|(?P<dollar>\$[A-Z_][A-Z0-9_]*)"
)
_PLACEHOLDER_PARTS = {
    "password": "p pass passwd password pgpassword pw pwd secret",
    "sslrootcert": "ca cc cert certificate certs ck",
    "routing_id": "cluster clusterid rid routing routingid tenant",
    "host": "address h host hostname pghost",
    "port": "pgport port",
    "url": "connectionstring string uri url",
    "user": "pguser sqluser u user userid username",
    "database": "database databasename db dbname pgdatabase",
    "": "a balancer cloud cockroach connection crdb dir directory enter file folder global id insert jdbc key load my "
    "name of path pg placeholder region replace root sql the var variable vault with your",
}
_PLACEHOLDER_WORDS = {word: part for part, words in _PLACEHOLDER_PARTS.items() for word in words.split()}


def _documented_part(match: re.Match[str]) -> str | None:
    """The part that a placeholder stands for; None if it has words that documentation does not use.

    A placeholder of documentation's words only can be printed, because it reveals nothing.
    """
    words = [word for word in re.split("[^a-z0-9]+", match.group().lower()) if word]
    if not words or not all(word in _PLACEHOLDER_WORDS for word in words):
        return None
    parts = {_PLACEHOLDER_WORDS[word] for word in words}
    return next((part for part in _PLACEHOLDER_PARTS if part and part in parts), "url")


def is_password_placeholder(value: str) -> bool:
    """Whether a value is what documentation prints in place of a password, such as the Console's."""
    match = _PLACEHOLDER.fullmatch(value)
    return match is not None and match.group("template") is None and _documented_part(match) == "password"


def refuse_placeholder(part: str, value: str) -> None:
    """Raise InvalidConnectionError if the whole value is a placeholder."""
    match = _PLACEHOLDER.fullmatch(value)
    if match and match.group("template") is not None:
        refuse(part, f"{part} is a template expression in {{{{ }}}} that was never evaluated: give the value itself")
    if match and _documented_part(match):
        refuse(part, f"{part} is still the placeholder {value}: replace it with the real value")


def refuse_placeholders_in_url(text: str) -> None:
    """Raise InvalidConnectionError if a URL still contains placeholders."""
    known = [(match.group(), _documented_part(match)) for match in _PLACEHOLDER.finditer(text)]
    shown = [(name, part) for name, part in known if part and (name[0] != "$" or _stands_alone(name, text))]
    if shown:
        names = ", ".join(dict.fromkeys(name for name, _part in shown))
        refuse(str(shown[0][1]), f"the URL still contains placeholders: {names}. Replace them with the real values")
    for match in _PLACEHOLDER.finditer(text):
        if match.group("template") is not None:
            refuse(
                "url", "the URL contains a template expression in {{ }} that was never evaluated: give the value itself"
            )
        if match.group("curly") and re.fullmatch(r"\$\{[A-Za-z_]\w*\}", match.group()):
            refuse("url", "the URL contains a shell variable in ${ } that was never expanded: give the value itself")


def _stands_alone(name: str, text: str) -> bool:
    # $HOME/... is how the Console writes a CA's folder, and $ may stand raw in a password: only a whole part counts.
    return re.search(rf"(?:^|[/:@=]){re.escape(name)}(?:[/:@?&]|$)", text) is not None
