# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the project in an app's folder is, as far as the catalogue's choices depend on it.

A host's answer is input from outside: what is not a plain name, path or version is left out.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages

_PATH = r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*"
_VERSION = re.compile(r"v?\d[\w.+-]{0,60}")
_LONGEST = 200


@dataclass(frozen=True)
class Project:
    """The project of one language; without `found`, its folder holds none, or it was not looked at.

    `facts` has every name that the language declares. `versions` is by package, `sources` says which file each version
    comes from.
    """

    facts: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    found: bool = field(default=False, compare=False)


NOTHING_FOUND = Project()


def none(language: str) -> Project:
    """What is assumed of a folder without a project."""
    return Project(facts=dict.fromkeys(languages.of(language).facts, ""))


def _plain(value: Any, pattern: str) -> str:
    """The value, if it is text of the pattern; else nothing."""
    text = value if isinstance(value, str) and len(value) <= _LONGEST else ""
    return text if re.fullmatch(pattern, text, re.ASCII) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def read(language: str, answer: Any) -> Project:
    """The project of a language, from what a host answered for it."""
    facts = _mapping(_mapping(answer).get("facts"))
    versions = {
        str(name): _plain(version, _VERSION.pattern)
        for name, version in _mapping(_mapping(answer).get("versions")).items()
    }
    sources = {
        str(name): _plain(file, _PATH.replace("[A-Za-z0-9_]", "[A-Za-z0-9_.]"))
        for name, file in _mapping(_mapping(answer).get("sources")).items()
    }
    return Project(
        facts={name: _plain(facts.get(name), pattern) for name, pattern in languages.of(language).facts.items()},
        versions={name: version for name, version in versions.items() if version},
        sources=sources,
        found=True,
    )


def read_all(answer: Any) -> dict[str, Project]:
    """The projects of an app by language, from what a host answered."""
    return {
        language: read(language, found) for language, found in _mapping(answer).items() if language in languages.load()
    }
