# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the tests run the frameworks of a language: one file for each, named like its folder in the catalogue.

Python, JavaScript, Go, Java and Ruby are older than these files: their code is where it is used. A file has what
`Language` says, of which only `PROGRAM`, `install` and `right` are needed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Language(Protocol):
    """A language's file."""

    PROGRAM: str
    """The toolchain that has to be on the machine."""
    LOCKS: Sequence[str]
    """The suffixes of the lock of a set of packages; none by default."""
    WITHOUT: str
    """A character that its clients cannot take in a database's name or a path, and that is refused."""

    def is_slow(self, packages: Any) -> bool:
        """Whether a set of packages is compiled for minutes, for which `make test` does not wait; by default not."""

    def install(self, packages: Any, folder: Path, lock: bool, run: Callable[..., None]) -> None:
        """Install a set of packages of scripts/install-clients into a folder, or only write its lock."""

    def environment(self, folder: Path) -> Mapping[str, str]:
        """The variables with which a program uses the packages in a folder."""

    def prepare(self, folder: Path, app: Path) -> None:
        """What an app's folder needs of the folder with its packages."""

    def sample(self, program: str, app: Path, environment: Mapping[str, str]) -> list[str]:
        """The command that runs a sample of an app; it may build it first."""

    def right(self, choice: Any, made: Sequence[Any], scratch: Path, ask: Callable[..., str]) -> list[bool]:
        """Of each set of hostile values, whether the language's own parser reads the files as they were meant."""

    def loaded(self, path: Path, folder: Path, ask: Callable[..., str]) -> Mapping[str, str]:
        """An environment file, as the language's loader reads it."""


def find(language: str) -> Any:
    """The file of a language; None for one that is older than these files."""
    if importlib.util.find_spec(f"{__name__}.{language}") is None:
        return None
    return importlib.import_module(f"{__name__}.{language}")


def call(language: str, function: str, *arguments: Any, default: Any = None) -> Any:
    """What a function of a language's file returns; the default where there is no such file or function."""
    found = getattr(find(language), function, None)
    return default if found is None else found(*arguments)


def names() -> list[str]:
    """The languages that have a file."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
