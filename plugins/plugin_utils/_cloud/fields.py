# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The JSON of the Cloud API, checked before anything relies on it: whatever answers may send anything.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

DEPTH_LIMIT = 32


class Line(str):
    """Marks a text that is shown as it is, so that every character of it must be printable."""


_TITLES = {
    Line: "printable text",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}

Kinds = Mapping[str, tuple[type, ...]]
"""The types that the value of a key may have."""


class FieldError(ValueError):
    """The JSON is not what the API documents. The message is a clause about it."""


def _refuse(text: str) -> Any:
    raise FieldError(f"{text} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise FieldError("it has an infinite number")
    return number


def parse(content: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else; FieldError, if there is more to say than that."""
    try:
        value = json.loads(content, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise FieldError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    level: list[Any] = [value]
    for _depth in range(DEPTH_LIMIT):
        values = (item for node in level for item in (node.values() if isinstance(node, dict) else node))
        level = [item for item in values if isinstance(item, (dict, list))]
        if not level:
            return value
    # Python can read this, but what prints it or walks through it later might not.
    raise FieldError("it is nested too deeply")


def check(item: Any, required: Kinds, optional: Kinds | None = None) -> dict[str, Any]:
    """The item itself, an object with these keys; optional ones may be missing or null. Raises FieldError."""
    if not isinstance(item, dict):
        raise FieldError(f"expected an object but got {_title(item)}")
    for key, kinds in required.items():
        if item.get(key) is None:
            raise FieldError(f"{key!r} is missing")
        _check_kind(key, item[key], kinds)
    for key, kinds in (optional or {}).items():
        if item.get(key) is not None:
            _check_kind(key, item[key], kinds)
    return item


def _check_kind(key: str, value: Any, kinds: tuple[type, ...]) -> None:
    # To Python, true and false are whole numbers.
    if type(value) not in kinds and not (Line in kinds and isinstance(value, str) and value.isprintable()):
        expected = " or ".join(_TITLES[kind] for kind in kinds)
        raise FieldError(f"{key!r} must be {expected}, but it is {_title(value)}")


def _title(value: Any) -> str:
    return _TITLES.get(type(value), "something else")
