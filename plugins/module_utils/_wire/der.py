# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values in DER, the encoding of certificates (X.690). Any bytes give values or raise DerError, in linear time.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple, Optional


class DerError(ValueError):
    """The bytes are not a valid certificate."""


class Value(NamedTuple):
    """The tag of a value, and where its content begins and ends."""

    tag: int
    start: int
    stop: int


def _value(data: bytes, at: int, stop: int) -> Value:
    if at + 2 > stop:
        raise DerError("a value is cut off")
    tag, length = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:
        raise DerError("a tag has several bytes")
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or at + count > stop:
            raise DerError("a length is indefinite or cut off")
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + length > stop:
        raise DerError("a value is longer than the value that contains it")
    return Value(tag, at, at + length)


class Reader:
    """Reads the values inside a constructed value, one after the other. True while there is one left."""

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self._data, self._at, self._stop = data, start, stop

    def __bool__(self) -> bool:
        return self._at < self._stop

    def any(self) -> Value:
        """The next value, whatever its tag."""
        value = _value(self._data, self._at, self._stop)
        self._at = value.stop
        return value

    def take(self, tag: int) -> Value:
        """The next value, which must have this tag."""
        value = self.any()
        if value.tag != tag:
            raise DerError(f"expected tag {tag:#x} but got {value.tag:#x}")
        return value

    def optional(self, tag: int) -> Optional[Value]:
        """The next value if it has this tag, else None."""
        return self.any() if self and self._data[self._at] == tag else None

    def raw(self, tag: int) -> bytes:
        """The bytes of the next value, including its tag and length."""
        start = self._at
        return self._data[start : self.take(tag).stop]

    def octets(self, tag: int) -> bytes:
        """The content of the next value, which must have this tag."""
        return self.content(self.take(tag))

    def inside(self, tag: int) -> Reader:
        """A reader of the values inside the next value, which must have this tag."""
        value = self.take(tag)
        return Reader(self._data, value.start, value.stop)

    def content(self, value: Value) -> bytes:
        """The content of a value."""
        return self._data[value.start : value.stop]


def reader_of(data: bytes) -> Reader:
    """A reader of all values in these bytes."""
    return Reader(data, 0, len(data))


def object_identifier(content: bytes) -> str:
    """The dotted form of an object identifier."""
    if not content or content[-1] & 0x80 or len(content) > 64:
        raise DerError("an object identifier is cut off or too long")
    numbers: list[int] = []
    number = 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def time(reader: Reader) -> datetime.datetime:
    """The next value as a moment in UTC: a UTCTime or a GeneralizedTime."""
    value = reader.any()
    text = reader.content(value).decode("latin-1")
    digits = {0x17: 12, 0x18: 14}.get(value.tag, 0)
    if not re.fullmatch(f"[0-9]{{{digits}}}Z", text, re.ASCII):
        raise DerError("a date is malformed")
    if value.tag == 0x17:
        text = ("20" if text < "50" else "19") + text
    try:
        return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise DerError("a date does not exist in the calendar") from None


def boolean(content: bytes) -> bool:
    """The content of a BOOLEAN."""
    if len(content) != 1:
        raise DerError("a BOOLEAN must have exactly one byte")
    return content != b"\0"
