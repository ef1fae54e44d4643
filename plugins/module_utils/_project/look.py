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
    """What reads a project of a language. Only that is imported: importing takes longer than looking at a folder."""
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


def project(language: str, folder: Folder, packages: list[str]) -> Optional[Found]:
    """What the project of a language in a folder is; None without one. A Go module may begin above the folder."""
    folders = folder.upwards() if language == "go" else (folder,)
    if not any(each.has(sign) for each in folders for sign in _SIGNS.get(language, ())):
        return None
    return _reader(language)(folder, packages)


class _Looker:
    """Looks at folders with the rights of the process that it is in."""

    def look(
        self, folder: str, packages: dict[str, list[str]], rules: dict[str, Any]
    ) -> dict[str, dict[str, dict[str, str]]]:
        """What the project in a folder is, by language: `facts`, `versions` and `sources`."""
        here = Folder(folder)
        found = {
            language: declared.look(here, names, rules[language])
            if language in rules
            else project(language, here, names)
            for language, names in packages.items()
        }
        return {language: result._asdict() for language, result in found.items() if result is not None}

    def close(self) -> None:
        """Do nothing: nothing is held."""


def differing(projects: list[dict[str, Any]]) -> dict[str, Any]:
    """What each app's project is, by the app's name; empty when all are as the controller assumed.

    `projects`: the option of that name. Raises UnknownOwnerError, and OSError when a user's process does not answer.
    """
    found: dict[str, Any] = {}
    by_user: dict[str, list[dict[str, Any]]] = {}
    for each in projects:
        by_user.setdefault(each["user"], []).append(each)
    for user, theirs in by_user.items():
        owner = Owner(user)
        if owner.foreign:
            # Before the user's process begins: the user may not be able to read this program.
            for language in {language for each in theirs for language in each["packages"]} & set(_SIGNS):
                _reader(language)
        looker = owner.does(_Looker())
        try:
            for each in theirs:
                found[each["app"]] = looker.look(each["folder"], each["packages"], each.get("rules") or {})
        finally:
            looker.close()
    same = all(found[each["app"]] == each["assumed"] for each in projects)
    return {} if same else found
