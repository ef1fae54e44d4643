# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import commands as _commands
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.commands import Command
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.literals import secret_forms
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import rollout as _rollout


class ActionModule(OnboardingAction):
    """Reload the apps whose change is not confirmed, in one call, which confirms it or takes it back."""

    MODULE = "app_reload"
    OPTIONS = "app_service"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each app."""
        inventory = self.inventory(arguments)
        if arguments["state"] == "absent":
            services = [_commands.unit(name, "apps") for name in inventory.services]
            return self.call({"units": services}, task_vars) if services else self._nothing()
        rollout = _rollout.Rollout(self._task)
        noted = rollout.noted(str(task_vars["inventory_hostname"]))
        waiting = None if noted is None else set(noted.get("unconfirmed", ()))
        if waiting is not None and not waiting:
            rollout.note(task_vars, service={})
            return self._nothing()
        apps = [app for app in inventory.apps if app.confirmed_later]
        if self._task.check_mode:
            # What would be unconfirmed is not on the host yet.
            would = [app.name for app in apps if waiting is None or app.name in waiting]
            rollout.note(task_vars, service={})
            return {"changed": bool(would), "apps": {}, "report": [f"{name}: would be reloaded" for name in would]}
        homes = self.homes(tuple(apps))
        result = self.call(
            {
                "apps": [_arguments(app, self.folder(app, homes)) for app in apps],
                "run": "" if waiting is None else _rollout.run_name(),
                "secrets": sorted({form for app in apps for form in secret_forms(app.source.connection)}),
            },
            task_vars,
        )
        if "apps" in result:
            rollout.note(task_vars, service=result["apps"])
        return result

    @staticmethod
    def _nothing() -> dict[str, Any]:
        return {"changed": False, "apps": {}, "report": []}


def _arguments(app: App, folder: str) -> dict[str, Any]:
    return {
        "name": app.name,
        "user": app.user,
        "folder": folder,
        "unit": app.service,
        "reload": _command(app.reload, app),
        "health": _command(app.health, app),
    }


def _command(command: Command | None, app: App) -> dict[str, Any] | None:
    if command is None:
        return None
    return {
        "argv": list(command.argv),
        "user": "root" if command.run_as == "root" else app.user,
        "timeout": command.timeout,
        "retries": command.retries,
        "delay": command.delay,
    }
