# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._files import replace
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import options
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.fleet import FleetOptions, goes_host_by_host
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import fleet as _report
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import formats as _report_formats
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import origin as _origin
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import reports as run_reports
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

_OURS = b"crdb.onboard"
_HEAD = 600


def _write(path: Path, content: bytes) -> None:
    """Write a report atomically. Raises OnboardingError instead of replacing a file that is not a report."""
    try:
        if path.exists():
            with path.open("rb") as stream:
                if _OURS not in stream.read(_HEAD):
                    raise OnboardingError(
                        f"{path} exists and is not a report of this collection, so it is not overwritten. Set"
                        " another folder or name, or move it away."
                    )
        path.parent.mkdir(parents=True, exist_ok=True)
        # The default mode of a new file: CI may publish reports as another user.
        umask = os.umask(0o022)
        os.umask(umask)
        replace.write(str(path.absolute()), content, 0o666 & ~umask, prefix=f".{path.name}.")
    except OSError as exc:
        raise OnboardingError(f"The report {path} cannot be written: {exc.strerror}.") from exc


class ActionModule(OnboardingAction):
    """Gather the registered results of all hosts and render them. No host is contacted."""

    _requires_connection = False

    OPTIONS = "check_report"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the report's lines, and the files that were written."""
        name, folder = arguments["name"], arguments["folder"]
        if not name or name.startswith(".") or "/" in name or "\0" in name:
            raise OnboardingError(f"name {name!r} is not a valid file name.")
        key = f"report {Path(folder).expanduser().absolute() / name}" if folder else "report"
        documented = options.documented(self.OPTIONS)
        fleet_options = FleetOptions(self._task, self._templar, arguments, task_vars, documented)
        with _shared.alone(key):
            hosts = self._hosts(key, task_vars)
            written = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            results = tuple(self._host(host, fleet_options, task_vars) for host in hosts)
            fleet = _report.Fleet(results, written, _origin.origin(task_vars.get("ansible_inventory_sources") or ()))
            files = self._files(key, fleet, arguments) if folder else []
        return {
            "changed": False,
            "ok": fleet.ok,
            "hosts_by_status": fleet.counts,
            "files": files,
            "report": self._report(fleet, files, task_vars),
        }

    def _report(self, fleet: _report.Fleet, files: list[str], task_vars: Mapping[str, Any]) -> list[str]:
        """The lines on all hosts. Where each goes at its own pace, those on this host until the last is checked."""
        checked = [host for host in fleet.hosts if host.status != _report.NOT_CHECKED]
        if goes_host_by_host(self._task) and len(checked) < len(fleet.hosts):
            count = f"{len(checked)} of {len(fleet.hosts)} hosts are checked"
            host = next(host for host in fleet.hosts if host.name == _report.line(task_vars["inventory_hostname"]))
            if host.status in (_report.PROVED, _report.REACHED):
                return [f"{host.name}: {host.status} ({count})"]
            return run_reports.under(f"{host.name} ({count})", _report_formats.text(_report.Fleet((host,), "")))
        return [*_report_formats.text(fleet), *([""] if files else []), *(f"report: {path}" for path in files)]

    @staticmethod
    def _hosts(key: str, task_vars: Mapping[str, Any]) -> list[str]:
        """The hosts of this play, whatever `serial` makes of them, after those of earlier plays of the run."""
        play = task_vars.get("ansible_play_hosts_all") or [task_vars["inventory_hostname"]]
        hosts = list(dict.fromkeys([*(_shared.get(key) or []), *map(str, play)]))
        _shared.put(key, hosts)
        return hosts

    @staticmethod
    def _host(host: str, fleet: FleetOptions, task_vars: Mapping[str, Any]) -> _report.Host:
        check = fleet.of(host, ("check",))["check"] or None
        alive = task_vars.get("ansible_play_hosts") or []
        return _report.read_host(host, check, (check or {}).get("drivers"), lost=host not in alive)

    def _files(self, key: str, fleet: _report.Fleet, arguments: dict[str, Any]) -> list[str]:
        files = []
        checked = sum(host.status != _report.NOT_CHECKED for host in fleet.hosts)
        writes = not self._task.check_mode and not run_reports.is_overtaken(key, checked)
        for chosen in dict.fromkeys(arguments["formats"]):
            suffix, render = _report_formats.FORMATS[chosen]
            path = Path(arguments["folder"]).expanduser().absolute() / f"{arguments['name']}.{suffix}"
            content = render(fleet)
            if writes:
                _write(path, content)
            files.append(str(path))
        return files
