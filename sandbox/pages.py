# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lists of the sandbox's Cloud API: their order, their pages and the parameters that choose them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sandbox.switches import ApiError

_INT32 = re.compile(r"[+-]?[0-9]{1,10}")
_TOKEN = re.compile(r"p[0-9]{1,6}")
ASCENDING, DESCENDING = "ASC", "DESC"


def chosen(query: Mapping[str, str], name: str, values: Sequence[str]) -> str:
    """The value of an enumerated parameter; the first one where it is missing. Raises ApiError for any other."""
    value = query.get(name) or values[0]
    if value not in values:
        raise ApiError(3, f"invalid value for {name}: it must be one of {', '.join(values)}")
    return value


def boolean(query: Mapping[str, str], name: str) -> bool:
    """The value of a parameter that is true or false; false where it is missing. Raises ApiError."""
    return chosen(query, name, ("false", "true")) == "true"


def page(
    key: str, items: Sequence[dict[str, Any]], query: Mapping[str, str], limit: int, default_order: str = ASCENDING
) -> dict[str, Any]:
    """A page of a list, with the tokens of the pages beside it.

    Args:
        key: of the list in the response.
        items: all of it, in ascending order.
        query: the parameters of the request.
        limit: the most items that a page may have.
        default_order: where the request names none.

    Raises ApiError for a parameter that is not valid.
    """
    _check_moment(query)
    size = min(_size(query) or limit, limit)
    token = query.get("pagination.page") or "p0"
    if not _TOKEN.fullmatch(token):
        raise ApiError(3, "invalid page token")
    start = int(token[1:])
    orders = sorted((ASCENDING, DESCENDING), key=default_order.__ne__)
    if chosen(query, "pagination.sort_order", orders) == DESCENDING:
        items = items[::-1]
    pagination = {}
    if start + size < len(items):
        pagination["next_page"] = f"p{start + size}"
    if start:
        pagination["previous_page"] = f"p{max(start - size, 0)}"
    return {key: list(items[start : start + size]), "pagination": pagination}


def _size(query: Mapping[str, str]) -> int:
    text = query.get("pagination.limit") or "0"
    if not _INT32.fullmatch(text) or not 0 <= int(text) < 2**31:
        raise ApiError(3, "invalid value for pagination.limit: it must be a positive 32-bit number")
    return int(text)


def _check_moment(query: Mapping[str, str]) -> None:
    text = query.get("pagination.as_of_time")
    if not text:
        return
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ApiError(3, "invalid value for pagination.as_of_time: it must be a date and time of RFC 3339")
