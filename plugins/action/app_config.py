# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action import proof
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import (
    OnboardingAction,
    failed_files,
    file_changes,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.certificates import WORKER, HostCertificates
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.projects import Projects
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import places as _ca_files
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import load
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import (
    SERVICE_FILE,
    TRUST_STORE,
    TRUST_STORE_ARGUMENTS,
    App,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.pairs import PURPOSE as CERTIFICATE_PURPOSE
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.pairs import Certificates
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import InvalidConnectionError
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import templates
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.app_files import app_files
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.files import RenderedFile
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import rollout as _rollout
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import call as transport

_PURPOSES = {"ca": _ca_files.PURPOSE, "client_certs": CERTIFICATE_PURPOSE}
_DROP_IN = re.compile(r"/etc/systemd/system/(?P<unit>[^/]+)\.d/[^/]+")

# The main process imports this before it forks one process a host.
templates.prepare()
transport.prepare(WORKER)


def _trust(app: App, folder: str, ca_path: str) -> list[dict[str, str]]:
    held_by_file = "; ".join(f"{a.subject}, until {a.not_after:%Y-%m-%d}" for a in load(app.source.ca))
    rows = []
    for framework in app.frameworks:
        way = app.ca_found_by(framework)
        elsewhere = way == "own_roots" or (way == "trust_store" and not app.trust_store)
        path = str(PurePosixPath(folder, TRUST_STORE)) if way == "trust_store" else ca_path
        where = "the JVM's trust store" if way == "trust_store" else "its own roots"
        rows.append(
            {
                "app": app.name,
                "framework": framework.title,
                "ca": where if elsewhere else path,
                "authorities": "the public ones" if elsewhere else held_by_file or "what that file holds",
            }
        )
    return rows


def _usage(app: App, folder: str) -> list[dict[str, str]]:
    files = [(f.name, file.destination, file.use, file.where) for f in app.frameworks for file in f.files]
    if app.trust_store:
        files.append(("trust store", TRUST_STORE_ARGUMENTS, f"java @{TRUST_STORE_ARGUMENTS}", ""))
    return [
        {"app": app.name, "framework": name, "file": str(PurePosixPath(folder, path)), "use": use, "where": where}
        for name, path, use, where in files
    ]


def _samples(app: App, folder: str) -> list[dict[str, str]]:
    return [
        {"app": app.name, "framework": f.name, "folder": folder, "file": sample.destination, "use": sample.use}
        for f in app.frameworks
        for sample in (f.samples if app.samples else ())
    ]


def _entry(app: App, file: RenderedFile, group: str) -> dict[str, Any]:
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


def unmanaged_line(entry: dict[str, Any]) -> str:
    """What a person reads about a file that is no longer managed."""
    return (
        f"{entry['path']}: is no longer managed: it was written for {', '.join(entry['apps'])}, and no app or framework"
        " of the inventory needs it. To remove it, set prune: true (crdb_app_config_prune)."
    )


def _with_cluster(endpoint: dict[str, Any], apps: Iterable[App], inventory: HostInventory) -> dict[str, Any]:
    """An endpoint with the cluster that its connection names in the Cloud API."""
    names = {app.name: app.source.name for app in apps}
    return {**endpoint, "cluster": (inventory.clusters.get(names[endpoint["for_app"]]) or {}).get("cluster")}


class _Plan:
    """What one call writes for all apps of a host, and what people are told about it."""

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []
        self.endpoints: list[dict[str, Any]] = []
        self.secrets: set[str] = set()
        self.usage: list[dict[str, str]] = []
        self.samples: list[dict[str, str]] = []
        self.trust: list[dict[str, str]] = []
        self.certificates = Certificates()

    def add(self, app: App, folder: str, home: str) -> str:
        """Add the files of an app, and return the path of its CA. Raises OnboardingError."""
        ca_path = app.ca_path(folder, home)
        rendered = app_files(app, folder, home, ca_path)
        self.secrets.update(rendered.secrets)
        self.trust += _trust(app, folder, ca_path)
        self.files += [_entry(app, file, app.group) for file in rendered.folder_files]
        self.usage += _usage(app, folder)
        self.samples += _samples(app, folder)
        if app.psql_service:
            if not home:
                raise OnboardingError(
                    f"apps entry {app.name!r}: psql_service needs a home folder, but {app.user} has none of its own."
                )
            # The home's files have the group of their user, whatever the app's is.
            self.files += [_entry(app, file, "") for file in rendered.home_files]
            path, use = str(PurePosixPath(home, SERVICE_FILE)), f"psql service={app.psql_service}"
            self.usage.append({"app": app.name, "framework": "psql", "file": path, "use": use, "where": ""})
        return ca_path

    def report(self) -> list[str]:
        """The lines that a person reads: how each file is used, and which CA each framework trusts."""
        lines = []
        for row in self.usage:
            first, *more = row["use"].split("\n")
            lines.append(f"{row['file']}: {row['where'] + ': ' if row['where'] else ''}{first}")
            lines += [f"  {line}" for line in more]
        return lines + [
            f"{row['app']}: {row['framework']} trusts {row['ca']} ({row['authorities']})" for row in self.trust
        ]


class ActionModule(OnboardingAction):
    """Render every framework of every app on the controller, and write all of a host's files in one call."""

    MODULE = "files"
    OPTIONS = "app_config"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the host's files became, the line that uses each, and what each framework trusts."""
        inventory = self.inventory(arguments)
        common = {"purpose": "app_config", "force": arguments["force"]}
        if arguments["state"] == "absent":
            owned = {
                "apps": inventory.app_names,
                "users": inventory.users,
                "folders": inventory.unnamed_folders,
                "renamed": inventory.renamed,
            }
            result = self.call({**common, "state": "absent", **owned}, task_vars)
            stay = [f"stays, of {', '.join(e['apps'])}: {e['path']}" for e in result.get("unmanaged", ())]
            empty: dict[str, Any] = {"usage": [], "samples": [], "trust": [], "report": stay}
            empty["environment_files"] = []
            return {**result, **empty, "changes": file_changes(result)}
        rollout = _rollout.Rollout(self._task)
        rollout.begin(task_vars)
        try:
            result = self._present(arguments, inventory, common, task_vars)
        except (OnboardingError, InvalidConnectionError) as exc:
            rollout.note(task_vars, refused=str(exc))
            raise
        if result.get("failed"):
            rollout.note(task_vars, refused=str(result.get("msg", "")))
            return proof.shown(result, str(task_vars["inventory_hostname"]))
        else:
            drifted = {name for file in result["files"] if file["action"] == "drifted" for name in file["apps"]}
            rollout.note(task_vars, changed=result["apps"], unconfirmed=result["unconfirmed"], drifted=sorted(drifted))
        return result

    def _issued(self, certificates: Certificates) -> list[str]:
        """The certificates that would be issued: in check mode, there are no files of theirs."""
        return certificates.changes() if self._task.check_mode else []

    def _forget_drop_ins(self, result: dict[str, Any], task_vars: dict[str, Any]) -> None:
        """Tell systemd about the drop-ins that were removed with what is no longer managed."""
        removed = [_DROP_IN.fullmatch(file["path"]) for file in result["files"] if file["action"] == "removed"]
        units = [found["unit"] for found in removed if found]
        if units and not self._task.check_mode:
            self.call({"units": units}, task_vars, module="app_reload")

    def _present(
        self, arguments: dict[str, Any], inventory: HostInventory, common: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        projects = Projects(self, inventory, task_vars)
        host = HostCertificates(self, renew=arguments["renew"])
        plan = _Plan()

        def write(looked_at: list[dict[str, Any]]) -> dict[str, Any]:
            nonlocal plan
            plan = _Plan()
            if arguments["client_certs"]:
                plan.certificates = host.obtain(self.placed(inventory)[0], task_vars)
            return self._write(plan, arguments, inventory, {**common, "projects": looked_at}, task_vars)

        result = projects.call(write)
        if result.get("failed"):
            return failed_files(result)
        report = plan.report() + (result.get("notes", []) if arguments["ca"] else []) + plan.certificates.notes
        report += [note for app in inventory.apps for note in app.notes]
        report += [unmanaged_line(entry) for entry in result.get("unmanaged", ())]
        self.reports("app_config", report, task_vars)
        return {
            **result,
            "changes": [*self._issued(plan.certificates), *file_changes(result)],
            "certificates": plan.certificates.entries,
            "usage": plan.usage,
            "samples": plan.samples,
            "trust": plan.trust,
            "report": report,
            "environment_files": [file["path"] for file in plan.files if file["format"] == "dotenv"],
        }

    def _write(
        self,
        plan: _Plan,
        arguments: dict[str, Any],
        inventory: HostInventory,
        common: dict[str, Any],
        task_vars: dict[str, Any],
    ) -> dict[str, Any]:
        """The module's result, with what became of each app."""
        apps, homes = self.placed(inventory)
        folders = {app.name: self.folder(app, homes) for app in apps}
        # Before what names them: files are put in place in this order, and taken back in the opposite one.
        places = _ca_files.places(apps, folders, homes) if arguments["ca"] else []
        if arguments["ca"]:
            ca_files = _ca_files.files(places, apps, folders, self.read, keep_previous=arguments["keep_previous"])
            plan.files += [{**file, "force": arguments["ca_force"]} for file in ca_files]
        plan.files += plan.certificates.files
        for app in apps:
            ca_path = plan.add(app, folders[app.name], homes.get(app.user, ""))
            if arguments["prove"]:
                paths = plan.certificates.paths.get(app.name, {})
                plan.endpoints.append({**self.endpoint(app, {"ca_file": ca_path}), **paths})
        confirmed = {app.name for app in apps if app.confirmed_later} if arguments["confirm"] else set()
        options = {
            "files": plan.files,
            "secrets": sorted(plan.secrets),
            "endpoints": plan.endpoints,
            "timeout": arguments["timeout"],
            "renamed": inventory.renamed,
            "run": _rollout.run_name() if arguments["confirm"] else "",
            "unconfirmed": sorted(confirmed),
            # What cannot be reloaded later is not begun.
            "users": sorted({user for app in apps if app.name in confirmed for user in app.users()}),
        }
        options.update(
            managed=[app.name for app in apps],
            purposes=["app_config", *(purpose for option, purpose in _PURPOSES.items() if arguments[option])],
            kept=plan.certificates.kept,
            retired=plan.certificates.retired,
            complete=arguments["complete"],
            prune=arguments["prune"],
        )
        result = proof.write(self, {**common, **options}, task_vars)
        if result.get("projects"):
            return result
        proof.confirm(result, [_with_cluster(entry, apps, inventory) for entry in plan.endpoints], inventory)
        if not result.get("failed"):
            self._forget_drop_ins(result, task_vars)
            due = {entry["app"] for entry in plan.certificates.due}
            result["changed"] = bool(result["changed"] or due)
            changed = sorted({*proof.changed_apps(result), *due})
            if not arguments["prove"]:
                proof.not_proved(result, changed, check_mode=self._task.check_mode)
            waiting = changed if self._task.check_mode else result["unconfirmed"]
            result["apps"] = changed
            result["unconfirmed"] = sorted(confirmed & set(waiting))
            result["notes"] = [*result["notes"], *_ca_files.notes(places, result["files"])]
        return result
