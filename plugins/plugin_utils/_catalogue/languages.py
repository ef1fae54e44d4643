# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The languages of the catalogue: ``templates/<language>/language.yml``, which a folder without one does not need.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

CATALOGUE = Path(__file__).parents[3] / "templates"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NAME = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_PATH = r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*"
# What a pattern of a fact can be built from.
_PIECES = {"NAME": _NAME, "PATH": _PATH}
_KEYS = {
    "": {"title", "literal", "install", "facts", "project", "probe"},
    "literal": {"quote", "escapes", "other"},
    "install": {"begin", "each", "between"},
    "project": {"manifests", "versions", "facts"},
    "probe": {"files", "copies", "steps", "afterwards", "missing"},
}


@dataclass(frozen=True)
class Literal:
    """How a text is written in source code: in quotes, with escapes for some characters and one form for all others."""

    quote: str
    escapes: Mapping[str, str]
    other: str

    def __call__(self, value: str) -> str:
        """The literal of a text, of ASCII characters only."""
        inner = "".join(
            self.escapes.get(c) or (c if " " <= c <= "~" and c != "\\" else self.other % ord(c)) for c in value
        )
        return f"{self.quote}{inner}{self.quote}"


@dataclass(frozen=True)
class Language:
    """What all frameworks of a language share.

    `install`: the line that installs packages: how it begins, what stands for each, and between two. `facts`: what the
    values of a project's facts look like. `project`: how a host finds them, and the versions: the option `rules` of the
    modules that look at projects. `probe`: how a probe is run that no interpreter takes on its standard input: the
    files beside it, and the commands, as the option `probes` of driver_probe has them.
    """

    name: str
    title: str
    literal: Literal | None = None
    install: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    project: Mapping[str, Any] = field(default_factory=dict)
    probe: Mapping[str, Any] = field(default_factory=dict)


def _checked(path: Path, data: dict[str, Any]) -> Mapping[str, Any]:
    """The content of a language's file. Raises OnboardingError for a key that nobody knows."""
    for part, keys in _KEYS.items():
        found = data if not part else data.get(part, {})
        if not isinstance(found, dict):
            raise OnboardingError(f"{path}: {part or 'the file'} must be a mapping")
        if unknown := sorted(set(found) - keys):
            raise OnboardingError(f"{path}: unknown key: {', '.join(unknown)}. The keys are {', '.join(sorted(keys))}.")
    if "literal" in data and not {"quote", "other"} <= set(data["literal"]):
        raise OnboardingError(f"{path}: literal needs quote and other")
    for pattern in data.get("project", {}).get("versions", []):
        try:
            re.compile(pattern["pattern"])
        except (re.error, KeyError, TypeError) as exc:
            raise OnboardingError(f"{path}: project: versions: each entry needs a file and a pattern: {exc}") from None
    return data


def _pattern(text: str) -> str:
    for name, piece in _PIECES.items():
        text = text.replace(name, piece)
    return text


@cache
def load(folder: Path = CATALOGUE) -> Mapping[str, Language]:
    """The languages of a catalogue by the name of their folder. Raises OnboardingError for a file that is wrong."""
    found = {}
    for folder_of_one in sorted(path for path in folder.iterdir() if path.is_dir()):
        path = folder_of_one / "language.yml"
        text = path.read_text(encoding="utf-8") if path.is_file() else "{}"
        data = _checked(path, yaml.load(text, Loader=_LOADER))  # noqa: S506 - both are safe loaders
        literal = data.get("literal")
        found[folder_of_one.name] = Language(
            name=folder_of_one.name,
            title=data.get("title", folder_of_one.name.capitalize()),
            literal=Literal(literal["quote"], literal.get("escapes", {}), literal["other"]) if literal else None,
            install=data.get("install", {}),
            facts={name: _pattern(pattern) for name, pattern in data.get("facts", {}).items()},
            project=data.get("project", {}),
            probe=data.get("probe", {}),
        )
    return found


def of(name: str) -> Language:
    """A language by its folder's name; of one that has no folder, nothing is known but its name."""
    return load().get(name) or Language(name, name.capitalize())
