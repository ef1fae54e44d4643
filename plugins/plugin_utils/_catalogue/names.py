# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names that people type, and the framework of the catalogue that each stands for.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages as _languages
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

# As package managers write a version behind a name: sequelize@6, django==5.2. The @ of @prisma/client begins a scope.
_WITH_VERSION = re.compile(r"(?P<name>.[^@=]*?)(?:\[[^\]]*\])?\s*(?:(?:@|={1,3})\s*(?P<version>[^@=]+))?")
_NO_VERSION = ("latest", "next", "")


def split(word: str) -> tuple[str, str]:
    """A name, and the version that was written behind it; an empty text where there is none."""
    match = _WITH_VERSION.fullmatch(word.strip())
    if match is None:
        return word, ""
    version = (match["version"] or "").strip().lstrip("^~=v ")
    return match["name"], "" if version in _NO_VERSION else version


def _folded(word: str) -> str:
    """A name without what people write differently: its case, and what separates its words."""
    return re.sub(r"[\s._-]+", "", word.lower())


def _words(framework: Framework) -> Iterator[str]:
    """What a framework is called: its name and title, the names that it declares, the package of each choice."""
    yield from (framework.name, framework.title, *framework.known_as)
    for choice in framework.choices:
        for package in choice.packages[:1]:
            yield from (package.name, package.name.rpartition(":")[2], *package.alternatives)


def _candidates(name: str, catalogue: Mapping[str, Framework]) -> list[Framework]:
    wanted = _folded(name)
    return [f for f in catalogue.values() if wanted and wanted in map(_folded, _words(f))]


def question(name: str, candidates: list[Framework]) -> OnboardingError:
    """The error for a name that stands for several frameworks: it asks which one is meant."""
    languages: dict[str, list[str]] = {}
    for framework in candidates:
        languages.setdefault(_languages.of(framework.language).title, []).append(framework.name)
    choices = "; ".join(f"{language}: {' or '.join(names)}" for language, names in languages.items())
    return OnboardingError(f"{name} can be one of several frameworks. Which one do you use? {choices}.")


def unknown(name: Any, catalogue: Mapping[str, Framework]) -> OnboardingError:
    """The error for a framework that the catalogue does not have."""
    by_word = {word.lower(): f.name for f in catalogue.values() for word in _words(f)}
    near = get_close_matches(str(name).lower(), by_word, n=1)
    hint = f" Did you mean {by_word[near[0]]}?" if near else ""
    known = f"The frameworks are {', '.join(catalogue)}."
    return OnboardingError(f"There is no framework {name!r} in the catalogue.{hint} {known}")


def find_name(word: Any, catalogue: Mapping[str, Framework]) -> tuple[str, str]:
    """The catalogue's name of the framework that a word stands for, and the version in the word, if any.

    Raises OnboardingError: for a word that stands for several frameworks, with a question; for one that stands for
    none, with the nearest name.
    """
    if not isinstance(word, str):
        raise unknown(word, catalogue)
    if word in catalogue:
        return word, ""
    # A package's name can hold what looks like a version, such as a path.
    for name, version in ((word, ""), split(word)):
        candidates = _candidates(name, catalogue)
        if len(candidates) == 1:
            return candidates[0].name, version
        if candidates:
            raise question(name, candidates)
    raise unknown(word, catalogue)
