# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue of frameworks: one folder each, ``templates/<language>/<name>/framework.yml``.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.crdb.onboard.plugins.module_utils._connection import ROUTINGS
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

CATALOGUE = Path(__file__).parents[2] / "templates"

# Ways in which the environment of an app names a connection: the forms that Connection writes.
ENVIRONMENT_FORMS = ("url", "jdbc_url")
CA_SOURCES = ("url", "libpq_default", "pem_text", "trust_store", "environment")


@dataclass(frozen=True)
class Package:
    """A package that the framework is installed from: its registry name and the version the tests run."""

    name: str
    tested: str


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
    """One folder of the catalogue. `environment` maps a variable name to a form of the connection."""

    name: str
    title: str
    language: str
    documentation: str
    folder: Path
    packages: tuple[Package, ...]
    files: tuple[CatalogueFile, ...]
    environment: dict[str, str]
    routings: tuple[str, ...]
    ca: str
    probe: Probe


def _read(path: Path) -> Framework:
    def wrong(what: str) -> OnboardingError:
        return OnboardingError(f"{path}: {what}")

    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {"title", "documentation", "packages", "files", "environment", "routings", "ca", "probe"}
    if not isinstance(data, dict) or set(data) != known:
        raise wrong(f"has the keys {', '.join(sorted(data or {}))}, wants {', '.join(sorted(known))}")
    routings = tuple(data["routings"])
    if not routings or not set(routings) <= set(ROUTINGS) - {"auto"}:
        raise wrong(f"routings {list(routings)}: wants some of {', '.join(ROUTINGS)}")
    if data["ca"] not in CA_SOURCES:
        raise wrong(f"ca {data['ca']!r}: wants one of {', '.join(CA_SOURCES)}")
    for variable, form in data["environment"].items():
        if form not in ENVIRONMENT_FORMS:
            raise wrong(f"environment {variable}: {form!r}: wants one of {', '.join(ENVIRONMENT_FORMS)}")
    files = tuple(
        CatalogueFile(f["template"], f["destination"], int(f.get("mode", "0644"), 8), f["use"]) for f in data["files"]
    )
    for name in [f.template for f in files] + [data["probe"]["program"]]:
        if not (path.parent / name).is_file():
            raise wrong(f"names {name}, which is not in its folder")
    return Framework(
        name=path.parent.name,
        title=data["title"],
        language=path.parent.parent.name,
        documentation=data["documentation"],
        folder=path.parent,
        packages=tuple(Package(p["name"], str(p["tested"])) for p in data["packages"]),
        files=files,
        environment=dict(data["environment"]),
        routings=routings,
        ca=data["ca"],
        probe=Probe(data["probe"]["program"], data["probe"]["interpreter"]),
    )


def load(folder: Path = CATALOGUE) -> dict[str, Framework]:
    """Read the whole catalogue, by name.

    Raises OnboardingError when a folder's framework.yml is incomplete or two folders have one name.
    """
    found: dict[str, Framework] = {}
    for path in sorted(folder.glob("*/*/framework.yml")):
        framework = _read(path)
        if framework.name in found:
            raise OnboardingError(f"two folders of the catalogue are named {framework.name}: {path.parent} is one")
        found[framework.name] = framework
    return found


def find(name: Any, catalogue: Mapping[str, Framework]) -> Framework:
    """The framework of that name. Raises OnboardingError that names the choices."""
    if isinstance(name, str) and name in catalogue:
        return catalogue[name]
    near = get_close_matches(str(name).lower(), catalogue, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise OnboardingError(f"There is no framework {name!r} in the catalogue.{hint} It has: {', '.join(catalogue)}.")
