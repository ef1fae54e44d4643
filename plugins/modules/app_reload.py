#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_reload
short_description: Reload apps on a host; the worker of crdb.onboard.app_service
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Runs on the host for M(crdb.onboard.app_service), which prepares its options on the controller. Use that module in
    playbooks.
extends_documentation_fragment:
  - crdb.onboard.attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is run in check mode.
  diff_mode:
    support: none
    details:
      - There is nothing to differ; M(crdb.onboard.app_config) shows the files.
  idempotent:
    support: full
options:
  apps:
    description:
      - The apps with their commands.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The app.
        type: str
        required: true
      user:
        description: The user whose files the app's are; the default is the user that the module runs as.
        type: str
        default: ""
      folder:
        description: Where the commands run.
        type: path
        required: true
      unit:
        description: The app's systemd unit, if it has one.
        type: str
        default: ""
      reload:
        description: What makes the app read its configuration again; nothing when it is not given.
        type: dict
        suboptions: &command
          argv:
            description: The program and its arguments; no shell reads them.
            type: list
            elements: str
            required: true
          user:
            description: The user with whose rights it runs; the default is the user that the module runs as.
            type: str
            default: ""
          timeout:
            description: Seconds that one attempt may take; the program and what it started are ended then.
            type: float
            default: 60.0
          retries:
            description: How often it is tried again.
            type: int
            default: 0
          delay:
            description: Seconds between two attempts.
            type: float
            default: 1.0
      health:
        description: What ends with 0 when the app is well; the app is taken to be well when it is not given.
        type: dict
        suboptions: *command
  units:
    description: The systemd units whose drop-ins may have been taken away.
    type: list
    elements: str
    default: []
  run:
    description: The name of the run whose changes these are; every run's when it is empty.
    type: str
    default: ""
  secrets:
    description: Texts that are masked in what the commands print.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Reload one app, and ask whether it works
  crdb.onboard.app_reload:
    apps:
      - name: shop
        folder: /srv/shop
        reload:
          argv: [systemctl, reload, shop.service]
        health:
          argv: [/srv/shop/bin/healthy]
"""

RETURN = r"""
apps:
  description: What became of each app that waited, by its name.
  returned: when the commands were run
  type: dict
  sample:
    shop:
      outcome: rolled_back
      detail: "its health command ended with 1: connection refused. It works again with its old configuration."
      kept: []
report:
  description: The same as lines of text.
  returned: when the commands were run
  type: list
  elements: str
"""

import os
import subprocess
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._files.command import TAIL, CommandError, run_command
from ansible_collections.crdb.onboard.plugins.module_utils._files.generation import Generation
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner, UnknownOwnerError
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record

_SYSTEMD = "/etc/systemd/"
_SYSTEMCTL_SECONDS = 60.0


class Keeper:
    """One user's record and what is kept of unconfirmed changes, locked from `open` to `close`."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._record: Optional[Record] = None

    def open(self) -> dict[str, Any]:
        """What is not confirmed: the run of each app, and the files; `refused` when it cannot be told."""
        try:
            if not Generation(self._state).apps:
                return {"apps": {}, "files": {}}
            self._record = Record(self._state)
        except FileRefusedError as exc:
            return {"refused": str(exc)}
        generation = self._record.generation
        return {"apps": generation.apps, "files": {path: kept["apps"] for path, kept in generation.files.items()}}

    def confirm(self, apps: list[str]) -> None:
        """Let go what was there before the change of these apps. Raises OSError."""
        if self._record is not None:
            self._record.generation.forget(apps)

    def restore(self, apps: list[str]) -> list[dict[str, str]]:
        """Give back what was there before the change of these apps. Raises OSError."""
        return [] if self._record is None else self._record.generation.restore(apps, self._record)

    def close(self) -> None:
        """Let the lock go."""
        if self._record is not None:
            self._record.close()


def _systemctl(*words: str) -> str:
    """What systemctl prints. Raises CommandError."""
    try:
        done = subprocess.run(
            ["systemctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_SYSTEMCTL_SECONDS,
        )  # fmt: skip
    except OSError as exc:
        raise CommandError(f"cannot be run: systemctl: {exc.strerror}") from None
    except subprocess.TimeoutExpired:
        raise CommandError(f"systemctl {words[0]} did not end within {_SYSTEMCTL_SECONDS:g} s") from None
    if done.returncode != 0:
        raise CommandError(f"systemctl {words[0]} ended with {done.returncode}: {done.stderr.strip()[-TAIL:]}")
    return done.stdout.strip()


class Roll:
    """The apps of a host that wait to be confirmed, one after the other."""

    def __init__(self, params: dict[str, Any], keepers: list[Any]) -> None:
        self._params, self._keepers = params, keepers
        self._waiting: dict[str, str] = {}
        self._drop_ins: set[str] = set()
        self.apps: dict[str, dict[str, Any]] = {}

    def open(self) -> list[str]:
        """Take the locks, and look what waits: why it cannot be told, one sentence a user. Raises OSError."""
        refused = []
        for keeper in self._keepers:
            found = keeper.open()
            if "refused" in found:
                refused.append(found["refused"])
                continue
            self._waiting.update(found["apps"])
            self._drop_ins.update(
                app for path, apps in found["files"].items() if path.startswith(_SYSTEMD) for app in apps
            )
        return refused

    def go(self) -> None:
        """Reload and ask each app that waits, and end with the first that does not work. Raises OSError."""
        run = self._params["run"]
        waiting = [app for app in self._params["apps"] if app["name"] in self._waiting]
        mine = [app for app in waiting if not run or self._waiting[app["name"]] == run]
        for app in waiting:
            if app not in mine:
                self._say(app, "overtaken", "another run changed its files meanwhile: it is left to that run.")
        for number, app in enumerate(mine):
            try:
                self._reload(app)
            except CommandError as exc:
                self._take_back(app, mine[number + 1 :], str(exc))
                return
            for keeper in self._keepers:
                keeper.confirm([app["name"]])
            self._say(app, "updated", "reloaded, and well." if app["health"] else "reloaded.")

    def _say(self, app: dict[str, Any], outcome: str, detail: str, kept: Optional[list[str]] = None) -> None:
        self.apps[app["name"]] = {"outcome": outcome, "detail": detail, "kept": kept or []}

    def _reload(self, app: dict[str, Any]) -> None:
        secrets = self._params["secrets"]
        for what in ("reload", "health"):
            try:
                if what == "reload" and app["unit"] and app["name"] in self._drop_ins:
                    _systemctl("daemon-reload")
                run_command(app[what], app["folder"], secrets)
            except CommandError as exc:
                raise CommandError(f"its {what} command {exc}.") from None

    def _take_back(self, failed: dict[str, Any], after: list[dict[str, Any]], reason: str) -> None:
        names = [app["name"] for app in (failed, *after)]
        results = [result for keeper in reversed(self._keepers) for result in keeper.restore(names)]
        kept = [result["path"] for result in results if result["action"] == "kept"]
        stays = f" {', '.join(kept)} was changed by somebody meanwhile, and stays." if kept else ""
        try:
            self._reload(failed)
        except CommandError as exc:
            self._say(failed, "stuck", f"{reason} Its old files are back, and {exc}{stays}", kept)
        else:
            again = "It works again with its old files." if failed["health"] else "Its old files are back."
            self._say(failed, "rolled_back", f"{reason} {again}{stays}", kept)
        for app in after:
            detail = f"not reloaded, since {failed['name']} failed before it; its old files are back.{stays}"
            self._say(app, "not_reached", detail, kept)


def _reload_units(module: AnsibleModule) -> None:
    """Tell systemd of drop-ins that are gone; a host without systemd has none."""
    try:
        # NeedDaemonReload does not tell: older releases look into what they remember of the folders.
        needed = [
            unit
            for unit in module.params["units"]
            if not all(map(os.path.exists, _systemctl("show", "--property=DropInPaths", "--value", unit).split()))
        ]
        if needed and not module.check_mode:
            _systemctl("daemon-reload")
    except CommandError as exc:
        module.exit_json(changed=False, apps={}, report=[f"systemd was not told of drop-ins: {exc}"])
    module.exit_json(changed=False, apps={}, report=[f"{unit}: systemd knows its drop-ins again" for unit in needed])


_COMMAND: dict[str, Any] = {
    "type": "dict",
    "options": {
        "argv": {"type": "list", "elements": "str", "required": True},
        "user": {"type": "str", "default": ""},
        "timeout": {"type": "float", "default": 60.0},
        "retries": {"type": "int", "default": 0},
        "delay": {"type": "float", "default": 1.0},
    },
}
_ARGUMENT_SPEC: dict[str, Any] = {
    "apps": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "user": {"type": "str", "default": ""},
            "folder": {"type": "path", "required": True},
            "unit": {"type": "str", "default": ""},
            "reload": _COMMAND,
            "health": _COMMAND,
        },
    },
    "units": {"type": "list", "elements": "str", "default": []},
    "run": {"type": "str", "default": ""},
    "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=_ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    if params["units"]:
        _reload_units(module)
    if module.check_mode:
        module.exit_json(changed=False, apps={}, report=[])
    names = {app["user"] for app in params["apps"]} | {"root" for app in params["apps"] if app["unit"]}
    try:
        owners = {owner.uid: owner for owner in map(Owner, sorted(names))}
        for app in params["apps"]:
            for command in (app["reload"], app["health"]):
                Owner(command["user"] if command else "")
    except UnknownOwnerError as exc:
        module.fail_json(msg=str(exc))
    # In the order in which the files are written: two calls never wait for each other.
    keepers = [owners[uid].does(Keeper(owners[uid].state)) for uid in sorted(owners)]
    roll = Roll(params, keepers)
    try:
        refused = roll.open()
        if not refused:
            roll.go()
    except OSError as exc:
        module.fail_json(msg=f"{exc.filename or 'A file'}: cannot be given back: {exc.strerror}.", apps=roll.apps)
    finally:
        for keeper in keepers:
            keeper.close()
    if refused:
        module.fail_json(msg=" ".join(refused))
    report = [f"{name}: {app['outcome'].replace('_', ' ')}: {app['detail']}" for name, app in roll.apps.items()]
    failed = any(app["outcome"] != "updated" for app in roll.apps.values())
    if failed:
        module.fail_json(msg="\n".join(report), changed=True, apps=roll.apps, report=report)
    module.exit_json(changed=bool(roll.apps), apps=roll.apps, report=report)


if __name__ == "__main__":
    main()
