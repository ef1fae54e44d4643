# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Python project is: its packages' versions, Django's settings, its layout.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.found import Found

_ENVIRONMENTS = (".venv", "venv", "env")
_TOML_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
_DIST_INFO = re.compile(r"(?P<name>.+)-(?P<version>[0-9][^-]*)\.dist-info")
_TOML_PACKAGE = re.compile(
    r'^\[\[package\]\]\s*\nname = "(?P<name>[^"\n]+)"\s*\nversion = "(?P<version>[^"\n]+)"', re.M
)
_PIPFILE_PACKAGE = re.compile(r'"(?P<name>[A-Za-z0-9._-]+)": \{[^{}]*?"version": "==(?P<version>[^"]+)"', re.S)
_PINNED = re.compile(r"^\s*(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*={2,3}\s*(?P<version>[0-9][^\s;#\\,]*)", re.M)
# PEP 508 in a list of strings, and Poetry's tables: `Django = "^5.2"`.
_LEAST = re.compile(
    r"""^\s*['"]?(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?['"]?\s*(?:=\s*['"]|(?=[~=]))\s*[~^=]*\s*(?P<version>[0-9][0-9.]*)""",
    re.M,
)
_SETTINGS = re.compile(r"""['"]DJANGO_SETTINGS_MODULE['"]\s*(?:,|\]\s*=)\s*['"](?P<name>[A-Za-z_][\w.]*)['"]""")


def _name(package: str) -> str:
    """The name of a package as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _installed(folder: Folder) -> Iterator[tuple[str, str, str]]:
    for environment in _ENVIRONMENTS:
        for version in folder.names(f"{environment}/lib"):
            if version.startswith("python"):
                place = f"{environment}/lib/{version}/site-packages"
                for entry in folder.names(place):
                    match = _DIST_INFO.fullmatch(entry)
                    if match:
                        yield match["name"], match["version"], environment


def _locked(folder: Folder) -> Iterator[tuple[str, str, str]]:
    locks = [(name, _TOML_PACKAGE) for name in _TOML_LOCKS] + [("Pipfile.lock", _PIPFILE_PACKAGE)]
    for above in folder.upwards():
        for name, pattern in locks:
            for match in pattern.finditer(above.text(name) or ""):
                yield match["name"], match["version"], name


def _declared(folder: Folder) -> Iterator[tuple[str, str, str]]:
    names = [name for name in folder.names() if re.fullmatch(r"requirements.*\.(txt|in)", name)]
    names += [f"requirements/{name}" for name in folder.names("requirements") if name.endswith(".txt")]
    for name in names:
        for match in _PINNED.finditer(folder.text(name) or ""):
            yield match["name"], match["version"], name
    for match in _LEAST.finditer(folder.text("pyproject.toml") or ""):
        yield match["name"], match["version"], "pyproject.toml"


def _layout(folder: Folder) -> dict[str, str]:
    """The one package below `src`, if there is one."""
    packages = [name for name in folder.names("src") if folder.has(f"src/{name}/__init__.py")]
    return {"package": packages[0], "source": f"src/{packages[0]}"} if len(packages) == 1 else {}


def _settings(folder: Folder) -> dict[str, str]:
    """Django's settings as manage.py names them: a module, or a package of modules."""
    match = _SETTINGS.search(folder.text("manage.py") or "")
    if match is None:
        return {}
    path = match["name"].replace(".", "/")
    package = f"{path}/__init__.py"
    return {"settings": match["name"], "settings_file": package if folder.has(package) else f"{path}.py"}


def look(folder: Folder, packages: Iterable[str]) -> Found:
    """What the project in a folder is."""
    wanted = {_name(package): package for package in packages}
    versions: dict[str, str] = {}
    sources: dict[str, str] = {}
    for way in (_installed, _locked, _declared):
        for name, version, source in way(folder):
            package = wanted.get(_name(name))
            if package is not None and package not in versions:
                versions[package], sources[package] = version, source
    return Found({**_layout(folder), **_settings(folder)}, versions, sources)
