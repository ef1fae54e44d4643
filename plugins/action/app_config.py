# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import places as _ca_files
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.facts import (
    SERVICE_FILE,
    TRUST_STORE,
    TRUST_STORE_ARGUMENTS,
    App,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import InvalidConnection
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import render as _render
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import rollout as _rollout

# The main process imports this before it forks one process a host.
_render.compile_all()


def _trust(app: App, folder: str, ca_path: str) -> list[dict[str, str]]:
    held = "; ".join(f"{a.subject}, until {a.not_after:%Y-%m-%d}" for a in app.source.authorities())
    rows = []
    for framework in app.frameworks:
        found = app.ca_found_by(framework)
        elsewhere = found == "own_roots" or (found == "trust_store" and not app.trust_store)
        path = str(PurePosixPath(folder, TRUST_STORE)) if found == "trust_store" else ca_path
        where = "the JVM's trust store" if found == "trust_store" else "its own roots"
        rows.append(
            {
                "app": app.name,
                "framework": framework.title,
                "ca": where if elsewhere else path,
                "authorities": "the public ones" if elsewhere else held or "what that file holds",
            }
        )
    return rows


def _usage(app: App, folder: str) -> list[dict[str, str]]:
    files = [(f.name, file.destination, file.use) for f in app.frameworks for file in f.files]
    if app.trust_store:
        files.append(("trust store", TRUST_STORE_ARGUMENTS, f"java @{TRUST_STORE_ARGUMENTS}"))
    return [
        {"app": app.name, "framework": name, "file": str(PurePosixPath(folder, path)), "use": use}
        for name, path, use in files
    ]


def _report(usage: list[dict[str, str]], trust: list[dict[str, str]]) -> list[str]:
    return [f"{row['file']}: {row['use']}" for row in usage] + [
        f"{row['app']}: {row['framework']} trusts {row['ca']} ({row['authorities']})" for row in trust
    ]


def _entry(app: App, file: _render.RenderedFile, group: str) -> dict[str, Any]:
    return {
        "path": file.path,
        "content": base64.b64encode(file.content).decode("ascii"),
        "format": file.format,
        "mode": f"{file.mode:04o}",
        "user": app.user if file.user is None else file.user,
        "group": group if file.user is None else "",
        "secret": file.secret,
        "requires": list(file.requires),
        "trusts": list(file.trusts),
        "apps": [app.name],
    }


class ActionModule(OnboardingAction):
    """Render every framework of every app on the controller, and write all of a host's files in one call."""

    MODULE = "files"
    ARGUMENTS = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "ca": {"type": "bool", "default": False},
        "keep_previous": {"type": "bool", "default": False},
        "prove": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 15.0},
        "confirm": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "samples": {"type": "bool", "default": False},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, the line that uses each, and what each framework trusts."""
        variables = self.variables(task_vars)
        common = {"purpose": "app_config", "force": arguments["force"]}
        if arguments["state"] == "absent":
            result = self.call({**common, "state": "absent", **self.names(variables)}, task_vars)
            return {**result, "usage": [], "trust": [], "report": [], "environment_files": []}
        variables.setdefault("crdb_app_samples", arguments["samples"])
        rollout = _rollout.Rollout(self._task)
        rollout.begin(task_vars)
        try:
            result = self._present(arguments, variables, common, task_vars)
        except (OnboardingError, InvalidConnection) as exc:
            rollout.note(task_vars, refused=str(exc))
            raise
        if result.get("failed"):
            rollout.note(task_vars, refused=str(result.get("msg", "")))
        else:
            drifted = {name for file in result["files"] if file["action"] == "drifted" for name in file["apps"]}
            rollout.note(task_vars, changed=result["apps"], unconfirmed=result["unconfirmed"], drifted=sorted(drifted))
        return result

    def _present(
        self, arguments: dict[str, Any], variables: dict[str, Any], common: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        apps, homes = self.placed(variables)
        folders = {app.name: self.folder(app, homes) for app in apps}
        files: list[dict[str, Any]] = []
        usage: list[dict[str, str]] = []
        trust: list[dict[str, str]] = []
        secrets: set[str] = set()
        endpoints: list[dict[str, Any]] = []
        # Before what names them: files are put in place in this order, and taken back in the opposite one.
        places = _ca_files.places(apps, folders, homes) if arguments["ca"] else []
        if arguments["ca"]:
            files += _ca_files.files(places, apps, folders, self.read, keep_previous=arguments["keep_previous"])
        for app in apps:
            folder = folders[app.name]
            home = homes.get(app.user, "")
            ca_path = app.ca_path(folder, home)
            secrets.update(_render.secret_forms(app.source.connection))
            trust += _trust(app, folder, ca_path)
            files += [_entry(app, file, app.group) for file in _render.render_app(app, folder, ca_path)]
            usage += _usage(app, folder)
            if app.psql_service:
                if not home:
                    raise OnboardingError(
                        f"crdb_apps entry {app.name!r}: psql_service: {app.user} has no home of its own."
                    )
                # The home's files have the group of their user, whatever the app's is.
                files += [_entry(app, file, "") for file in _render.render_psql(app, home, ca_path)]
                path = str(PurePosixPath(home, SERVICE_FILE))
                usage.append(
                    {"app": app.name, "framework": "psql", "file": path, "use": f"psql service={app.psql_service}"}
                )
            if arguments["prove"]:
                endpoints.append(self.endpoint(app, {"ca_file": ca_path}))
        confirmed = {app.name for app in apps if app.confirmed_later} if arguments["confirm"] else set()
        result = self.call(
            {
                **common,
                "files": files,
                "secrets": sorted(secrets),
                "endpoints": endpoints,
                "timeout": arguments["timeout"],
                "run": _rollout.run_name() if arguments["confirm"] else "",
                "unconfirmed": sorted(confirmed),
                # What cannot be reloaded later is not begun.
                "users": sorted({user for app in apps if app.name in confirmed for user in app.users()}),
            },
            task_vars,
        )
        if not result.get("failed"):
            written = [file for file in result["files"] if file["action"] in ("created", "changed", "mode")]
            changed = sorted({name for file in written for name in file["apps"]})
            waiting = changed if self._task.check_mode else result["unconfirmed"]
            result["apps"] = changed
            result["unconfirmed"] = sorted(confirmed & set(waiting))
            result["notes"] = [*result["notes"], *_ca_files.notes(places, result["files"])]
        environment_files = [file["path"] for file in files if file["format"] == "dotenv"]
        report = _report(usage, trust) + (result.get("notes", []) if arguments["ca"] else [])
        self.reports("app_config", report, task_vars)
        return {**result, "usage": usage, "trust": trust, "report": report, "environment_files": environment_files}
