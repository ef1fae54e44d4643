# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of a framework in the catalogue, what an app uses: the era of its version, the variant, the form of its project.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import (
    FOLLOWS,
    PLACES,
    CatalogueFile,
    Framework,
    Package,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.names import find_name
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.project import Project
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from jinja2 import Environment, StrictUndefined, TemplateError

with contextlib.suppress(ImportError):
    # `frameworks.load` says that it is missing.
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

_ANY = "*"
"""As the value of a fact in `when`: whatever it is, but not nothing."""
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:[.+-].*)?")
_WIDTH = 6


def _release(text: str) -> Version:
    """The release of a full or partial version, without a suffix such as `-beta.1`. Raises ValueError."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return Version(match[1])


def _latest(release: Version) -> Version:
    """The latest version that a partial version can stand for: 6.10 stands for all of 6.10.x."""
    return Version(f"{release}{'.999999999' * (_WIDTH - len(release.release))}")


def _fits(when: Mapping[str, str], facts: Mapping[str, str]) -> bool:
    return all(bool(facts.get(name)) if value == _ANY else facts.get(name) == value for name, value in when.items())


def find(
    entry: Any,
    catalogue: Mapping[str, Framework],
    place: str | None = None,
    projects: Mapping[str, Project] | None = None,
) -> Framework:
    """The framework that a name stands for, or a mapping with a name, and a version, a variant, a password_place.

    The name may be any that people use for it, also with a version as in `sequelize@6`. `place` is the app's own choice
    of password_place; `projects` are those of its folder, by language. A version that is declared counts before the one
    that the project has. Raises OnboardingError that names the choices.
    """
    facts = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    unknown = sorted(set(facts) - {"name", "version", "variant", "password_place"})
    if unknown:
        raise OnboardingError(
            f"frameworks: unknown key: {', '.join(map(str, unknown))}."
            " The keys of an entry are name, version, variant and password_place."
        )
    name, behind = find_name(facts.get("name"), catalogue)
    version = "" if facts.get("version") is None else facts["version"]
    if not isinstance(version, str):
        raise OnboardingError(f"{name}: version {version!r} must be quoted: as numbers, 6.10 and 6.1 are the same.")
    if behind and version:
        raise OnboardingError(f"{name}: there are two versions, {behind} and {version}: give one of them.")
    project = (projects or {}).get(catalogue[name].language, catalogue[name].project)
    era, version, notes = _era(catalogue[name].choices, version or behind, project, partial=bool(behind))
    variant = facts.get("variant") or era[0].variant
    framework = next((f for f in era if f.variant == variant), None)
    if framework is None:
        choices = ", ".join(f.variant for f in era if f.variant) or "none"
        raise OnboardingError(
            f"{name}: there is no variant {variant!r} for {era[0].versions}. The variants are: {choices}."
        )
    own_place = facts.get("password_place")
    where = own_place or place or framework.places[0]
    if where not in PLACES:
        raise OnboardingError(f"{name}: password_place {where!r} must be one of {', '.join(PLACES)}.")
    if where not in framework.places:
        if own_place:
            choices = ", ".join(framework.places)
            raise OnboardingError(f"{framework.label}: password_place cannot be {own_place}. Use {choices}.")
        where = framework.places[0]
    chosen = next((form for when, form in framework.forms if _fits(when, project.facts)), framework)
    return _in_project(
        replace(
            chosen,
            version=version,
            place=where,
            choices=catalogue[name].choices,
            several_eras=framework.several_eras,
            project=project,
            notes=tuple(notes),
        )
    )


@cache
def _text(source: str) -> Any:
    return Environment(undefined=StrictUndefined, autoescape=False).from_string(source)  # noqa: S701 - no HTML


def _in_project(framework: Framework) -> Framework:
    """The framework with its paths, lines and package versions as its project has them."""

    def filled(text: str) -> str:
        if "{" not in text:
            return text
        try:
            return str(_text(text).render(framework.project.facts))
        except TemplateError as exc:
            raise OnboardingError(f"{framework.name}: {text}: {exc}") from None

    def in_place(file: CatalogueFile) -> CatalogueFile:
        return replace(file, destination=filled(file.destination), use=filled(file.use), where=filled(file.where))

    return replace(
        framework,
        files=tuple(map(in_place, framework.files)),
        samples=tuple(map(in_place, framework.samples)),
        packages=tuple(_package(framework, number, package) for number, package in enumerate(framework.packages)),
    )


def _package(framework: Framework, number: int, package: Package) -> Package:
    """A package under the name and with the version that the project has, or that fits the framework's version."""
    versions = framework.project.versions
    name = next((n for n in (package.name, *package.alternatives) if n in versions), package.name)
    if number == 0:
        return replace(package, name=name, version=framework.version or package.tested)
    version = versions.get(name, package.tested)
    if package.follows and framework.version:
        parts = _release(framework.version).release
        series = ".".join(str(part) for part in (*parts, 0)[: 1 + FOLLOWS.index(package.follows)])
        # The project can have the release that goes with another version than the declared one.
        if not version.startswith(f"{series}."):
            version = f"{series}.*"
    return replace(package, name=name, version=version)


def _era(
    choices: tuple[Framework, ...], declared: str, project: Project, *, partial: bool
) -> tuple[list[Framework], str, list[str]]:
    """The choices of the one era that the version is in, the version, and notes on it; without one, the newest.

    `partial`: the declared version means the newest that begins so, as package managers take it.
    """
    ranges = list(dict.fromkeys(f.versions for f in choices))
    version, package = declared, ""
    if not version:
        # Some eras have packages of other names.
        names = [name for f in choices for p in f.packages[:1] for name in (p.name, *p.alternatives)]
        package = next((name for name in names if name in project.versions), "")
        version = project.versions.get(package, "")
        ranges = _of_package(choices, package) or ranges
    if not version:
        return [f for f in choices if f.versions == ranges[0]], "", []
    where = f" of {project.sources.get(package, 'the project')}" if package else ""
    try:
        release = _release(version)
    except ValueError:
        raise OnboardingError(
            f"{choices[0].name}: version must be a full version such as 6.10.0, not {version!r}."
        ) from None
    for bounds, reason in choices[0].refused:
        if release in SpecifierSet(bounds):
            raise OnboardingError(f"{choices[0].title} {version}{where} does not work: {reason}.")
    lowest = [r for r in ranges if release in SpecifierSet(r)]
    highest = [r for r in ranges if _latest(release) in SpecifierSet(r)]
    notes = []
    if not lowest and not highest:
        # The first range is the one to choose today, which need not be the newest.
        highest_range = max(ranges, key=_upper)
        newest = next(f for f in choices if f.versions == highest_range)
        if release < _upper(highest_range):
            raise OnboardingError(
                f"{choices[0].title} {version}{where} is outside the supported ranges: {' and '.join(ranges)}."
            )
        tested = newest.packages[0].tested if newest.packages else ranges[0]
        notes.append(
            f"{choices[0].title} {version}{where}: not tested with this version. The newest tested is {tested}."
        )
        lowest = [highest_range]
    elif lowest != highest:
        if declared and not partial:
            raise OnboardingError(
                f"{choices[0].title} {version} could be in more than one range ({' and '.join(ranges)}):"
                " give the full version, such as 6.10.0."
            )
        # A manifest says at least 6: what gets installed is the newest.
        lowest = highest or lowest
    era = [f for f in choices if f.versions == lowest[0]]
    if era[0].runtime and declared:
        notes.append(f"{era[0].title} {version} needs {languages.of(era[0].language).title} {era[0].runtime}.")
    return era, version, notes


def _of_package(choices: tuple[Framework, ...], package: str) -> list[str]:
    """The ranges of the eras that have a package, the newest first."""
    named = [f for f in choices if f.packages and package in (f.packages[0].name, *f.packages[0].alternatives)]
    return list(dict.fromkeys(f.versions for f in named))


def _upper(bounds: str) -> Version:
    """The version from which on a range allows none."""
    return min(
        (Version(part.version) for part in SpecifierSet(bounds) if part.operator in ("<", "<=")), default=Version("0")
    )
