# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Read the JSON files in which one run tells the next: they lie in a user's home, so each value is verified first.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import binascii
import errno
import json
import os
import re
from typing import Any, Callable

from ansible_collections.crdb.onboard.plugins.module_utils._files import tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS

Test = Callable[[Any], bool]
_OCTAL = re.compile(r"[0-7]{4}")


def load(path: str, test: Test) -> Any:
    """The JSON of a file of this user that passes a test. Raises OSError, and ValueError with what is wrong with it."""
    found = tree.read_file(path)
    if found.status.st_uid != os.geteuid():
        raise OSError(errno.EPERM, "it belongs to another user", path)
    try:
        data = json.loads(found.content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not test(data):
        raise ValueError("it was not written by crdb.onboard, or was changed since")
    return data


def is_a(*types: type) -> Test:
    """Whether a value has one of these types."""
    return lambda value: isinstance(value, types)


def optional(test: Test) -> Test:
    """A test that None passes too."""
    return lambda value: value is None or test(value)


def list_of(test: Test) -> Test:
    """Whether a value is a list of values that pass a test."""
    return lambda value: isinstance(value, list) and all(map(test, value))


def map_of(key: Test, test: Test) -> Test:
    """Whether a value is a dict whose keys and values pass their tests."""
    return lambda value: isinstance(value, dict) and all(key(name) and test(item) for name, item in value.items())


def record_of(required: dict[str, Test], others: dict[str, Test]) -> Test:
    """Whether a value is a dict with these keys, each passing its test; keys of newer releases are left alone."""

    def test(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and required.keys() <= value.keys()
            and all(check(value[name]) for name, check in {**required, **others}.items() if name in value)
        )

    return test


def is_path(value: Any) -> bool:
    """Whether a value is an absolute path in its normal form."""
    return isinstance(value, str) and os.path.isabs(value) and "\0" not in value and os.path.normpath(value) == value


def is_mode(value: Any) -> bool:
    """Whether a value is a file mode as four octal digits."""
    return isinstance(value, str) and _OCTAL.fullmatch(value) is not None


def is_base64(value: Any) -> bool:
    """Whether a value is base64."""
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        return False
    return isinstance(value, str)


_TEXT, _TEXTS = is_a(str), list_of(is_a(str))
ENTRY = record_of(
    {
        "format": lambda value: isinstance(value, str) and value in FORMATS,
        "keys": map_of(
            _TEXT,
            record_of(
                {"apps": _TEXTS},
                {
                    "before": optional(is_base64),
                    "sha256": optional(_TEXT),
                    "next": optional(_TEXT),
                    "unended": is_a(bool),
                    "gone": is_a(bool),
                },
            ),
        ),
        "folders": list_of(is_path),
    },
    {
        "existed": is_a(bool),
        "mode": optional(is_mode),
        "purpose": _TEXT,
        "copy": optional(is_path),
        "private": is_a(bool),
    },
)
"""What the record says of one file."""
RECORD = record_of({"files": map_of(is_path, ENTRY), "folders": list_of(is_path)}, {})
"""The whole record."""
UNCONFIRMED = record_of(
    {
        "apps": map_of(_TEXT, _TEXT),
        "files": map_of(
            is_path,
            record_of(
                {
                    "before": optional(is_base64),
                    "target": is_path,
                    "mode": is_mode,
                    "gid": is_a(int),
                    "entry": optional(ENTRY),
                    "copy": optional(is_path),
                    "apps": _TEXTS,
                    "after": optional(_TEXT),
                },
                {"link": is_a(bool)},
            ),
        ),
    },
    {},
)
"""What changes replaced that are not confirmed yet."""
