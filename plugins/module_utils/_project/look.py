# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the folders of a host's apps, each with the rights of its user: what did the controller assume wrong?

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner
from ansible_collections.crdb.onboard.plugins.module_utils._project import declared
from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.found import Found

_Look = Callable[[Folder, list[str]], Optional[Found]]
_SIGNS = {
    "go": ("go.mod",),
    "java": ("pom.xml", "build.gradle", "build.gradle.kts"),
    "javascript": ("package.json",),
    "python": ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "manage.py"),
    "ruby": ("Gemfile", "config/application.rb"),
}
"""The files of which every project of a language has one."""

# Documented in doc_fragments/projects.py.
PROJECTS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "app": {"type": "str", "required": True},
        "folder": {"type": "path", "required": True},
        "user": {"type": "str", "default": ""},
        "packages": {"type": "dict", "required": True},
        "rules": {"type": "dict", "default": {}},
        "assumed": {"type": "dict", "default": {}},
    },
}


def _reader(language: str) -> _Look:
    """What reads a project of a language. Only that is imported: it takes longer than to see that there is none."""
    if language == "go":
        from ansible_collections.crdb.onboard.plugins.module_utils._project import go

        return go.look
    if language == "java":
        from ansible_collections.crdb.onboard.plugins.module_utils._project import java

        return java.look
    if language == "javascript":
        from ansible_collections.crdb.onboard.plugins.module_utils._project import javascript

        return javascript.look
    if language == "python":
        from ansible_collections.crdb.onboard.plugins.module_utils._project import python

        return python.look
    from ansible_collections.crdb.onboard.plugins.module_utils._project import ruby

    return ruby.look


def _is_signed(language: str, folder: Folder) -> bool:
    # A Go module may begin above the folder.
    folders = folder.upwards() if language == "go" else (folder,)
    return any(each.has(sign) for each in folders for sign in _SIGNS[language])


def project(language: str, folder: Folder, packages: list[str]) -> Optional[Found]:
    """What the project of a language in a folder is; None where there is none. A Go module may begin above it."""
    return _reader(language)(folder, packages) if _is_signed(language, folder) else None


class _Looker:
    """Looks at folders with the rights of the process that it is in."""

    def signed(self, folder: str, languages: list[str]) -> list[str]:
        """The languages that a project in a folder may be in, by the files that are there."""
        here = Folder(folder)
        return [language for language in languages if language in _SIGNS and _is_signed(language, here)]

    def look(
        self, folder: str, packages: dict[str, list[str]], rules: dict[str, Any], signed: list[str]
    ) -> dict[str, dict[str, dict[str, str]]]:
        """What the project in a folder is, by language: `facts`, `versions` and `sources`."""
        here = Folder(folder)
        found = {
            language: declared.look(here, names, rules[language])
            if language in rules
            else _reader(language)(here, names)
            for language, names in packages.items()
            if language in rules or language in signed
        }
        return {language: result._asdict() for language, result in found.items() if result is not None}

    def close(self) -> None:
        """Do nothing: nothing is held."""


def _read_by_us(project: dict[str, Any]) -> list[str]:
    return [language for language in project["packages"] if language not in (project.get("rules") or {})]


def _each(owner: Owner, step: str, calls: list[list[Any]]) -> list[Any]:
    looker = owner.does(_Looker())
    try:
        return [getattr(looker, step)(*arguments) for arguments in calls]
    finally:
        looker.close()


def differing(projects: list[dict[str, Any]]) -> dict[str, Any]:
    """What each app's project is, by the app's name; empty when all are as the controller assumed.

    `projects`: the option of that name. Raises UnknownOwnerError, and OSError when a user's process does not answer.
    """
    found: dict[str, Any] = {}
    by_user: dict[str, list[dict[str, Any]]] = {}
    for project in projects:
        by_user.setdefault(project["user"], []).append(project)
    for user, theirs in by_user.items():
        owner = Owner(user)
        signed = _each(owner, "signed", [[project["folder"], _read_by_us(project)] for project in theirs])
        # Imported before the user's process begins: the user may not be able to read this program.
        for language in {language for languages in signed for language in languages}:
            _reader(language)
        calls = [
            [project["folder"], project["packages"], project.get("rules") or {}, languages]
            for project, languages in zip(theirs, signed)
        ]
        found.update(zip((project["app"] for project in theirs), _each(owner, "look", calls)))
    same = all(found[project["app"]] == project["assumed"] for project in projects)
    return {} if same else found
