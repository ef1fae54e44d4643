# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of others, made safe to show."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Not Found", "Not Found"),
        ("größer als 日本語", "größer als 日本語"),
        ("a\x1b[31mred\x1b[0m", "a[31mred[0m"),
        ("bell\x07 null\x00 c1\x9b31m", "bell null c131m"),
        ("  one\r\n\ttwo\u2028three\xa0four\x85five ", "one two three four five"),
        ("abc\u202etxt.exe\u2066\u200b\ufeff\u200f", "abctxt.exe"),
        ("\ud800surrogate \ue000private \U000f0000plane", "surrogate private plane"),
    ],
    ids=["empty", "plain", "unicode", "escape", "control", "whitespace", "format", "surrogate-private"],
)
def test_only_printable_text_on_one_line_is_kept(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_long_text_is_shortened_with_an_ellipsis() -> None:
    assert clean("x" * 300) == "x" * 300
    assert clean("x" * 301) == "x" * 299 + "…"
    assert clean("one two three", limit=8) == "one two…"
    assert clean("one two three", limit=5) == "one…"


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_the_result_is_never_longer_than_the_limit(limit: int) -> None:
    assert len(clean("some text", limit)) <= limit
