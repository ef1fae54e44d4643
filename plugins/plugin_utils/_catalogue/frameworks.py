# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue of frameworks: one folder each, ``templates/<language>/<name>/framework.yml``.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages, parameters
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.project import NOTHING_FOUND, Project, none
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import ROUTINGS

try:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

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
# Whether the written file gets a new token for each connection, by a callback of the driver or where it connects.
TOKENS = ("callback", "none")
PLACES = ("env", "inline")
LOADERS = ("config", "process")
_NO_LANGUAGE = "output"

# libyaml, where available, takes a tenth of the time.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REQUIRED = {"title", "documentation", "versions", "packages", "files", "environment", "routings", "ca"}
_DEFAULTS: dict[str, Any] = {
    "parameters": "libpq",
    "refused": [],
    "public_ca": "none",
    "client_certificate": "pem",
    "token": "none",
    "token_reason": "",
    "places": list(PLACES),
    "loader": "config",
    "samples": [],
    "note": "",
    "known_as": [],
    "special": "",
    "legacy": False,
    "runtime": "",
    "probe": None,
    "mount": "",
}
_CHOICES = {"eras", "variants", "projects"}
_FILE_KEYS = ({"template", "destination"}, {"mode", "use", "where"})
FOLLOWS = ("major", "minor")
_NESTED = {
    "packages": ({"name", "tested"}, {"run", "alternatives", "follows", "options"}),
    "refused": ({"versions", "reason"}, set[str]()),
    "files": _FILE_KEYS,
    "samples": _FILE_KEYS,
    "probe": ({"program", "interpreter"}, set[str]()),
}
"""The keys of the entries of a key: those that each must have, and those that it may have."""


@dataclass(frozen=True)
class Package:
    """A package that the framework is installed from: its registry name and the version the tests run.

    `run`: false for one that the framework needs and that could not be run with it here. `alternatives`: packages that
    serve as well, where a project has one. `follows`: how much of its version is the framework's, ``minor`` or
    ``major``. `version`: the one that the project has, else the tested one, or the series that follows. `options`: for
    the package manager, such as ``--features postgres``.
    """

    name: str
    tested: str
    run: bool = True
    alternatives: tuple[str, ...] = ()
    follows: str = ""
    version: str = ""
    options: str = ""


@dataclass(frozen=True)
class CatalogueFile:
    """A file that a framework gets, relative to the folder of the app.

    `use`: the line that uses it. `where`: where that line belongs, such as ``at the end of shop/settings.py``.
    """

    template: str
    destination: str
    mode: int
    use: str
    where: str = ""


@dataclass(frozen=True)
class Probe:
    """The program that proves a connection with the framework itself, from the folder of the app."""

    program: str
    interpreter: str


@dataclass(frozen=True)
class Framework:
    """A framework as an app uses it: one folder of the catalogue, in one era of its versions and one variant.

    `environment` maps a variable name to a form of the connection. `ca` and `public_ca`: where the CA comes from in our
    form and in the guide's, which is written where the CA is public. `token`: whether it logs in with tokens, and takes
    a new one for each connection; `token_reason`: why not. `place`: where the password is, the environment file or the
    framework's own file. `loader`: who brings the environment file into the environment, the `config` that
    is written, or whoever starts the `process`. `choices`: all eras and variants of the folder, the newest first.
    `forms`: what is different in a project, by its facts; the first that fits counts. `parameters`: which of a URL's
    parameters its driver knows, a name of `_catalogue.parameters`. `refused`: versions that are known not to work, and
    why. `notes`: what a person should know about this choice. `known_as`: other names that people use; several
    frameworks may have the same. `special`: what is special about CockroachDB here. `legacy`: for old projects only.
    `runtime`: bounds of the version of the language that these versions need, such as ``>=3.12`` for Python; empty
    where any will do. `probe`: None for files that another program reads. `mount`: the CA's path where that program
    runs, such as a container; empty for one on the host.
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
    token: str
    token_reason: str
    places: tuple[str, ...]
    loader: str
    probe: Probe | None
    samples: tuple[CatalogueFile, ...]
    note: str
    place: str = "env"
    version: str = ""
    several_eras: bool = False
    choices: tuple[Framework, ...] = ()
    forms: tuple[tuple[Mapping[str, str], Framework], ...] = ()
    parameters: str = "libpq"
    refused: tuple[tuple[str, str], ...] = ()
    project: Project = NOTHING_FOUND
    notes: tuple[str, ...] = ()
    known_as: tuple[str, ...] = ()
    special: str = ""
    legacy: bool = False
    runtime: str = ""
    mount: str = ""

    @property
    def takes_tokens(self) -> bool:
        """Whether the written file gets a new token for each connection."""
        return self.token == TOKENS[0]

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the variants of this era; empty where there is one form only."""
        return tuple(f.variant for f in self.choices if f.versions == self.versions and f.variant)

    @property
    def label(self) -> str:
        """The name with what tells it from the folder's other choices."""
        kept = [self.name, f"({self.versions})" if self.several_eras else "", self.variant]
        return " ".join(part for part in kept if part)


def by_language(catalogue: Mapping[str, Framework]) -> Iterator[tuple[str, list[Framework]]]:
    """The choices of a catalogue under the titles of their languages; then the files for other programs, and what only
    old projects use.
    """
    choices = [choice for framework in catalogue.values() for choice in framework.choices]
    names = list(dict.fromkeys(choice.language for choice in choices))
    for language in sorted(names, key=lambda name: name == _NO_LANGUAGE):
        current = [choice for choice in choices if choice.language == language and not choice.legacy]
        if current:
            yield languages.of(language).title, current
    if legacy := [choice for choice in choices if choice.legacy]:
        yield "Legacy", legacy


def _files(data: list[dict[str, Any]]) -> tuple[CatalogueFile, ...]:
    return tuple(
        CatalogueFile(
            f["template"], f["destination"], int(f.get("mode", "0644"), 8), f.get("use", ""), f.get("where", "")
        )
        for f in data
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
        entries = data.get(key) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(entry, Mapping):
                raise OnboardingError(f"{path}: {key}: {entry!r} must be a mapping")
            if problems := _key_problems(entry, required, optional):
                raise OnboardingError(f"{path}: {key}: {problems}")


def _check_values(data: Mapping[str, Any], wrong: Callable[[str], OnboardingError]) -> None:
    """Raise what `wrong` makes of a value that is not allowed."""
    routings, places = tuple(data["routings"]), tuple(data["places"])
    if not routings or not set(routings) <= set(ROUTINGS) - {"auto"}:
        raise wrong(f"routings {list(routings)}: must be some of {', '.join(ROUTINGS)}")
    if not places or not set(places) <= set(PLACES):
        raise wrong(f"places {list(places)}: must be some of {', '.join(PLACES)}")
    for key, allowed in (
        ("ca", CA_SOURCES),
        ("public_ca", PUBLIC_CA_SOURCES),
        ("client_certificate", CLIENT_CERTIFICATES),
        ("token", TOKENS),
        ("loader", LOADERS),
        ("parameters", tuple(parameters.KNOWN)),
    ):
        if data[key] not in allowed:
            raise wrong(f"{key} {data[key]!r}: must be one of {', '.join(allowed)}")
    for variable, form in data["environment"].items():
        if form not in ENVIRONMENT_FORMS:
            raise wrong(f"environment {variable}: {form!r}: must be one of {', '.join(ENVIRONMENT_FORMS)}")
    for bounds in (data["versions"], data["runtime"], *(entry["versions"] for entry in data["refused"])):
        try:
            SpecifierSet(bounds)
        except InvalidSpecifier:
            raise wrong(f"versions must be bounds such as '>=6.10,<7', not {bounds!r}") from None
    for package in data["packages"]:
        if package.get("follows", "minor") not in FOLLOWS:
            raise wrong(f"packages: follows {package['follows']!r}: must be one of {', '.join(FOLLOWS)}")


def _framework(path: Path, data: Mapping[str, Any], variant: str) -> Framework:
    def wrong(what: str) -> OnboardingError:
        return OnboardingError(f"{path}: {what}")

    _check_keys(path, data)
    data = {**_DEFAULTS, **data}
    _check_values(data, wrong)
    files, samples = _files(data["files"]), _files(data["samples"])
    probe = Probe(data["probe"]["program"], data["probe"]["interpreter"]) if data["probe"] else None
    for name in [f.template for f in (*files, *samples)] + ([probe.program] if probe else []):
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
        packages=tuple(
            Package(
                p["name"],
                str(p["tested"]),
                bool(p.get("run", True)),
                tuple(p.get("alternatives", ())),
                p.get("follows", ""),
                options=p.get("options", ""),
            )
            for p in data["packages"]
        ),
        files=files,
        environment=dict(data["environment"]),
        routings=tuple(data["routings"]),
        ca=data["ca"],
        public_ca=data["public_ca"],
        client_certificate=data["client_certificate"],
        token=data["token"],
        token_reason=data["token_reason"],
        places=tuple(data["places"]),
        loader=data["loader"],
        probe=probe,
        samples=samples,
        note=data["note"],
        place=data["places"][0],
        parameters=data["parameters"],
        known_as=tuple(data["known_as"]),
        special=data["special"],
        legacy=bool(data["legacy"]),
        runtime=data["runtime"],
        mount=data["mount"],
        refused=tuple((entry["versions"], entry["reason"]) for entry in data["refused"]),
        project=none(path.parent.parent.name),
    )


def _forms(path: Path, data: Mapping[str, Any], variant: str) -> tuple[tuple[Mapping[str, str], Framework], ...]:
    """The forms of a choice in projects, with the facts that they are for."""
    forms = []
    for entry in data.get("projects", []):
        changes = dict(entry)
        when = changes.pop("when", None)
        if not isinstance(when, Mapping) or not when:
            raise OnboardingError(f"{path}: projects: each entry needs when, the facts of the project that it is for")
        unknown = sorted(set(when) - set(none(path.parent.parent.name).facts))
        if unknown:
            raise OnboardingError(f"{path}: projects: there is no fact {', '.join(unknown)} of this language")
        forms.append(({str(k): str(v) for k, v in when.items()}, _framework(path, {**data, **changes}, variant)))
    return tuple(forms)


def _read(path: Path) -> Framework:
    data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - both are safe loaders
    if not isinstance(data, dict):
        raise OnboardingError(f"{path}: must be a mapping")
    top = {key: value for key, value in data.items() if key != "eras"}
    choices: list[Framework] = []
    for era in data.get("eras", [{}]):
        merged = {**top, **era}
        variants = merged.pop("variants", None) or {"": {}}
        for name, changes in variants.items():
            data_of_choice = {**merged, **changes}
            base = _framework(path, data_of_choice, name)
            choices.append(replace(base, forms=_forms(path, data_of_choice, name)))
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
