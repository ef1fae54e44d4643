# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the folders of a host's apps are, without a trip of its own.

Files depend on the project that they go to, and are rendered here. So a call says what it assumes: what this run was
told before, of this host or of another one with the same app, else that there is no project. A module that finds
otherwise does nothing but say so, and is called once more.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import project as _project
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared

# A folder that changes all the time is not followed without end.
_MOST_CALLS = 3

Answer = Mapping[str, Any]


class Projects:
    """The projects of one host's apps, as the run knows them."""

    def __init__(self, action: OnboardingAction, inventory: HostInventory, task_vars: Mapping[str, Any]) -> None:
        self._action, self._inventory = action, inventory
        self._host = str(task_vars["inventory_hostname"])
        self._answers: dict[str, Answer] = {}

    def call(self, work: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> dict[str, Any]:
        """The result of `work`, which takes the option `projects` and returns a module's result.

        It is called again, with the inventory's apps in other projects, where the host finds these.
        """
        self._assume()
        result: dict[str, Any] = {}
        for _number in range(_MOST_CALLS):
            result = work(self._options())
            found = result.get("projects")
            if not isinstance(found, Mapping) or not found:
                return result
            self._learn(found)
        return {
            **result,
            "failed": True,
            "msg": "The projects in the folders of the apps change all the time: try again.",
        }

    def _key(self, app: App, host: str = "") -> str:
        return f"project {host} {app.name} {app.folder}"

    def _looked_at(self) -> list[App]:
        return [app for app in self._inventory.apps if app.frameworks]

    def _assume(self) -> None:
        for app in self._looked_at():
            known = shared.get(self._key(app, self._host))
            self._answers[app.name] = shared.get(self._key(app)) or {} if known is None else known
        self._apply()

    def _learn(self, found: Mapping[str, Any]) -> None:
        for app in self._looked_at():
            answer = found.get(app.name)
            self._answers[app.name] = dict(answer) if isinstance(answer, Mapping) else {}
            shared.put(self._key(app, self._host), self._answers[app.name])
            shared.put(self._key(app), self._answers[app.name])
        self._apply()

    def _apply(self) -> None:
        self._inventory.in_projects({name: _project.read_all(answer) for name, answer in self._answers.items()})

    def _options(self) -> list[dict[str, Any]]:
        apps = self._looked_at()
        homes = self._action.homes(self._inventory.apps) if apps else {}
        return [
            {
                "app": app.name,
                "folder": self._action.folder(app, homes),
                "user": app.user,
                "packages": _packages(app),
                "rules": _rules(app),
                "assumed": self._answers[app.name],
            }
            for app in apps
        ]


def _packages(app: App) -> dict[str, list[str]]:
    """The packages whose versions matter, by language: those of every version of the app's frameworks."""
    names: dict[str, list[str]] = {}
    for framework in app.frameworks:
        for choice in framework.choices:
            for package in choice.packages:
                names.setdefault(framework.language, []).extend((package.name, *package.alternatives))
    return {language: sorted(set(packages)) for language, packages in names.items()}


def _rules(app: App) -> dict[str, Any]:
    """How the projects of the app's languages are found, where the catalogue declares it."""
    rules = {framework.language: languages.of(framework.language).project for framework in app.frameworks}
    return {language: dict(rule) for language, rule in rules.items() if rule}
