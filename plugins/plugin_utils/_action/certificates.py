# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Client certificates in one trip: the host says what it has and asks for what it needs, and the controller signs.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.pairs import Certificates, Issuer, places

if TYPE_CHECKING:
    from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction

WORKER = "key_pairs"
"""The module that examines certificates on a host, and makes keys."""


class HostCertificates:
    """The client certificates of the apps of one host, obtained once a task."""

    def __init__(self, action: OnboardingAction, *, renew: bool = False) -> None:
        self._action = action
        self._issuer = Issuer(action._loader._vault, renew=renew)
        self._obtained: dict[str, Certificates] = {}

    def obtain(self, apps: Sequence[App], task_vars: dict[str, Any]) -> Certificates:
        """What becomes of the certificates of these apps; `apps` have absolute paths. Raises OnboardingError."""
        apps = [app for app in apps if app.source.certificate is not None]
        if not apps:
            return Certificates()
        wanted = self._issuer.wanted(apps)
        key = json.dumps(wanted)
        if key not in self._obtained:
            answers = self._ask(wanted, task_vars)
            again = [
                number
                for number, (app, found) in enumerate(zip(apps, answers, strict=True))
                if self._issuer.of_another(app, found)
            ]
            if again:
                renewed = self._ask([{**wanted[number], "renew": True} for number in again], task_vars)
                for number, found in zip(again, renewed, strict=True):
                    answers[number] = {**found, "reason": "authority"}
            check = bool(self._action._task.check_mode)
            self._obtained[key] = self._issuer.certificates(apps, answers, check=check)
        return self._obtained[key]

    def read(self, apps: Sequence[App], task_vars: dict[str, Any]) -> list[dict[str, Any]]:
        """The certificates that these apps use now: `app`, `path`, `sql_user`, `not_after` and `certificate` (PEM)."""
        apps = [app for app in apps if app.source.certificate is not None]
        answers = self._ask(self._issuer.examined(apps), task_vars) if apps else []
        return [
            {
                "app": app.name,
                "path": places(app).certificate,
                "sql_user": app.source.connection.user,
                "not_after": str(found["not_after"]),
                "certificate": str(found["certificate"]),
            }
            for app, found in zip(apps, answers, strict=True)
            if found["certificate"]
        ]

    def _ask(self, pairs: list[dict[str, Any]], task_vars: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self._action.call({"pairs": pairs}, task_vars, module=WORKER, secret=False)
        if "pairs" not in answer or answer.get("failed"):
            raise OnboardingError(str(answer.get("msg") or f"The module {WORKER} gave no answer."))
        return list(answer["pairs"])
