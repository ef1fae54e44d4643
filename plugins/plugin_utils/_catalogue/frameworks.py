# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue of frameworks: one folder each, ``templates/<language>/<name>/framework.yml``.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import ROUTINGS

try:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import Version

    MISSING = ""
except ImportError as exc:
    MISSING = str(exc.name)

CATALOGUE = Path(__file__).parents[3] / "templates"

# Ways in which the environment of an app names a connection: forms that Connection writes, or the CA's path.
ENVIRONMENT_FORMS = ("url", "cockroachdb_url", "jdbc_url", "ca_path")
CA_SOURCES = ("url", "libpq_default", "pem_text", "trust_store", "environment")
# How a client finds a public CA by itself, as the guide's forms want it: libpq's file (~/.postgresql/root.crt), roots
# of its own (the runtime's or the system's), the JVM's trust store; none where the guide's form does not work.
PUBLIC_CA_SOURCES = ("libpq_default", "own_roots", "trust_store", "none")
CLIENT_CERTIFICATES = ("pem", "pkcs8", "none")
PLACES = ("env", "inline")
LOADERS = ("config", "process")

# libyaml, where available, takes a tenth of the time.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:[.+-].*)?")
_WIDTH = 6
_REQUIRED = {"title", "documentation", "versions", "packages", "files", "environment", "routings", "ca", "probe"}
_DEFAULTS: dict[str, Any] = {
    "public_ca": "none",
    "client_certificate": "pem",
    "places": list(PLACES),
    "loader": "config",
    "samples": [],
    "note": "",
}
_CHOICES = {"eras", "variants"}
_FILE_KEYS = ({"template", "destination"}, {"mode", "use"})
_NESTED = {
    "packages": ({"name", "tested"}, {"run"}),
    "files": _FILE_KEYS,
    "samples": _FILE_KEYS,
    "probe": ({"program", "interpreter"}, set[str]()),
}
"""The keys of the entries of a key: those that each must have, and those that it may have."""


@dataclass(frozen=True)
class Package:
    """A package that the framework is installed from: its registry name and the version the tests run.

    `run`: false for one that the framework needs and that could not be run with it here.
    """

    name: str
    tested: str
    run: bool = True


@dataclass(frozen=True)
class CatalogueFile:
    """A file that a framework gets, relative to the folder of the app."""

    template: str
    destination: str
    mode: int
    use: str


@dataclass(frozen=True)
class Probe:
    """The program that proves a connection with the framework itself, from the folder of the app."""

    program: str
    interpreter: str


@dataclass(frozen=True)
class Framework:
    """A framework as an app uses it: one folder of the catalogue, in one era of its versions and one variant.

    `environment` maps a variable name to a form of the connection. `ca` and `public_ca`: where the CA comes from in our
    form and in the guide's, which is written where the CA is public. `place`: where the password is, the environment
    file or the framework's own file. `loader`: who brings the environment file into the environment, the `config` that
    is written, or whoever starts the `process`. `choices`: all eras and variants of the folder, the newest first.
    """

    name: str
    title: str
    language: str
    documentation: str
    folder: Path
    versions: str
    variant: str
    packages: tuple[Package, ...]
    files: tuple[CatalogueFile, ...]
    environment: dict[str, str]
    routings: tuple[str, ...]
    ca: str
    public_ca: str
    client_certificate: str
    places: tuple[str, ...]
    loader: str
    probe: Probe
    samples: tuple[CatalogueFile, ...]
    note: str
    place: str = "env"
    version: str = ""
    several_eras: bool = False
    choices: tuple[Framework, ...] = ()

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the variants of this era; empty where there is one form only."""
        return tuple(f.variant for f in self.choices if f.versions == self.versions and f.variant)

    @property
    def label(self) -> str:
        """The name with what tells it from the folder's other choices."""
        kept = [self.name, f"({self.versions})" if self.several_eras else "", self.variant]
        return " ".join(part for part in kept if part)


def _release(text: str) -> Version:
    """The release of a full or partial version, without a suffix such as `-beta.1`. Raises ValueError."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return Version(match[1])


def _latest(release: Version) -> Version:
    """The latest version that a partial version can stand for: 6.10 stands for all of 6.10.x."""
    return Version(f"{release}{'.999999999' * (_WIDTH - len(release.release))}")


def _files(data: list[dict[str, Any]]) -> tuple[CatalogueFile, ...]:
    return tuple(
        CatalogueFile(f["template"], f["destination"], int(f.get("mode", "0644"), 8), f.get("use", "")) for f in data
    )


def _key_problems(found: Mapping[str, Any], required: set[str], optional: set[str]) -> str:
    """What is wrong with the keys of a mapping; empty when nothing is."""
    problems = (("missing keys", required - set(found)), ("unknown keys", set(found) - required - optional))
    text = "; ".join(f"{problem}: {', '.join(sorted(keys))}" for problem, keys in problems if keys)
    return text and f"{text}. The keys are {', '.join([*sorted(required), *sorted(optional)])}"


def _check_keys(path: Path, data: Mapping[str, Any]) -> None:
    """Raise OnboardingError for a key that is missing or unknown, at the top or in an entry."""
    if problems := _key_problems(data, _REQUIRED, set(_DEFAULTS) | _CHOICES):
        raise OnboardingError(f"{path}: {problems}")
    for key, (required, optional) in _NESTED.items():
        entries = data.get(key, [])
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(entry, Mapping):
                raise OnboardingError(f"{path}: {key}: {entry!r} must be a mapping")
            if problems := _key_problems(entry, required, optional):
                raise OnboardingError(f"{path}: {key}: {problems}")


def _framework(path: Path, data: Mapping[str, Any], variant: str) -> Framework:
    def wrong(what: str) -> OnboardingError:
        return OnboardingError(f"{path}: {what}")

    _check_keys(path, data)
    data = {**_DEFAULTS, **data}
    routings, places = tuple(data["routings"]), tuple(data["places"])
    if not routings or not set(routings) <= set(ROUTINGS) - {"auto"}:
        raise wrong(f"routings {list(routings)}: must be some of {', '.join(ROUTINGS)}")
    if not places or not set(places) <= set(PLACES):
        raise wrong(f"places {list(places)}: must be some of {', '.join(PLACES)}")
    for key, allowed in (
        ("ca", CA_SOURCES),
        ("public_ca", PUBLIC_CA_SOURCES),
        ("client_certificate", CLIENT_CERTIFICATES),
        ("loader", LOADERS),
    ):
        if data[key] not in allowed:
            raise wrong(f"{key} {data[key]!r}: must be one of {', '.join(allowed)}")
    for variable, form in data["environment"].items():
        if form not in ENVIRONMENT_FORMS:
            raise wrong(f"environment {variable}: {form!r}: must be one of {', '.join(ENVIRONMENT_FORMS)}")
    try:
        SpecifierSet(data["versions"])
    except InvalidSpecifier:
        raise wrong(f"versions must be bounds such as '>=6.10,<7', not {data['versions']!r}") from None
    files, samples = _files(data["files"]), _files(data["samples"])
    for name in [f.template for f in (*files, *samples)] + [data["probe"]["program"]]:
        if not (path.parent / name).is_file():
            raise wrong(f"file {name} is missing from this folder")
    return Framework(
        name=path.parent.name,
        title=data["title"],
        language=path.parent.parent.name,
        documentation=data["documentation"],
        folder=path.parent,
        versions=data["versions"],
        variant=variant,
        packages=tuple(Package(p["name"], str(p["tested"]), bool(p.get("run", True))) for p in data["packages"]),
        files=files,
        environment=dict(data["environment"]),
        routings=routings,
        ca=data["ca"],
        public_ca=data["public_ca"],
        client_certificate=data["client_certificate"],
        places=places,
        loader=data["loader"],
        probe=Probe(data["probe"]["program"], data["probe"]["interpreter"]),
        samples=samples,
        note=data["note"],
        place=places[0],
    )


def _read(path: Path) -> Framework:
    data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - both are safe loaders
    if not isinstance(data, dict):
        raise OnboardingError(f"{path}: must be a mapping")
    top = {key: value for key, value in data.items() if key != "eras"}
    choices: list[Framework] = []
    for era in data.get("eras", [{}]):
        merged = {**top, **era}
        variants = merged.pop("variants", None) or {"": {}}
        choices += [_framework(path, {**merged, **changes}, name) for name, changes in variants.items()]
    several = len({framework.versions for framework in choices}) > 1
    choices = [replace(framework, several_eras=several) for framework in choices]
    return replace(choices[0], choices=tuple(choices))


@cache
def load(folder: Path = CATALOGUE) -> Mapping[str, Framework]:
    """The whole catalogue, by name: of each folder the newest era's first variant, with all others in `choices`.

    It is read once. Raises OnboardingError when a folder's framework.yml is incomplete or two folders have one name.
    """
    if MISSING:
        raise OnboardingError(
            f"The controller's Python does not have {MISSING}. Install the packages of requirements/controller.txt for"
            " it."
        )
    catalogue: dict[str, Framework] = {}
    for path in sorted(folder.glob("*/*/framework.yml")):
        framework = _read(path)
        if framework.name in catalogue:
            raise OnboardingError(f"two folders of the catalogue are named {framework.name}: rename {path.parent}")
        catalogue[framework.name] = framework
    return catalogue


def find(entry: Any, catalogue: Mapping[str, Framework], place: str | None = None) -> Framework:
    """The framework that a name stands for, or a mapping with a name, and a version, a variant, a password_place.

    `place` is the app's own choice of password_place. Raises OnboardingError that names the choices.
    """
    facts = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    unknown = sorted(set(facts) - {"name", "version", "variant", "password_place"})
    if unknown:
        raise OnboardingError(
            f"frameworks: unknown key: {', '.join(map(str, unknown))}."
            " The keys of an entry are name, version, variant and password_place."
        )
    name = facts.get("name")
    if not isinstance(name, str) or name not in catalogue:
        near = get_close_matches(str(name).lower(), catalogue, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise OnboardingError(
            f"There is no framework {name!r} in the catalogue.{hint} The frameworks are {', '.join(catalogue)}."
        )
    version = "" if facts.get("version") is None else facts["version"]
    if not isinstance(version, str):
        raise OnboardingError(f"{name}: version {version!r} must be quoted: as numbers, 6.10 and 6.1 are the same.")
    era = _era(catalogue[name].choices, version)
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
    return replace(framework, version=version, place=where, choices=catalogue[name].choices)


def _era(choices: tuple[Framework, ...], version: str) -> list[Framework]:
    """The choices of the one era that a declared version is in; the newest without one."""
    ranges = list(dict.fromkeys(f.versions for f in choices))
    if version:
        try:
            release = _release(version)
        except ValueError:
            raise OnboardingError(
                f"{choices[0].name}: version must be a full version such as 6.10.0, not {version!r}."
            ) from None
        lowest = [r for r in ranges if release in SpecifierSet(r)]
        highest = [r for r in ranges if _latest(release) in SpecifierSet(r)]
        if not lowest and not highest:
            raise OnboardingError(
                f"{choices[0].title} {version} is outside the supported ranges: {' and '.join(ranges)}."
            )
        if lowest != highest:
            raise OnboardingError(
                f"{choices[0].title} {version} could be in more than one range ({' and '.join(ranges)}):"
                " give the full version, such as 6.10.0."
            )
        ranges = lowest
    return [f for f in choices if f.versions == ranges[0]]
