#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_reload
short_description: Reload apps on a host; the worker of crdb.onboard.app_service
version_added: 1.0.0
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
      - The module writes no files; M(crdb.onboard.app_config) shows their differences.
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
        description: Name of the app.
        type: str
        required: true
      user:
        description: The user who owns the app's files; the default is the user that the module runs as.
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
        description: The command that makes the app read its configuration again; without it, the app is not reloaded.
        type: dict
        suboptions: &command
          argv:
            description: The program and its arguments; they are not passed through a shell.
            type: list
            elements: str
            required: true
          user:
            description: The user to run the command as; the default is the user that the module runs as.
            type: str
            default: ""
          timeout:
            description: Seconds that one attempt may take; then the program and its child processes are killed.
            type: float
            default: 60.0
          retries:
            description: How many times a failed command is tried again.
            type: int
            default: 0
          delay:
            description: Seconds between two attempts.
            type: float
            default: 1.0
      health:
        description: The command that exits with 0 if the app works; without it, the app is assumed to work.
        type: dict
        suboptions: *command
  units:
    description: The systemd units whose drop-ins may have been removed.
    type: list
    elements: str
    default: []
  run:
    description: The name of the run whose changes are confirmed; empty for the changes of every run.
    type: str
    default: ""
  secrets:
    description: Texts to mask in the output of the commands.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Reload one app and verify that it works
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
  description: The outcome of each unconfirmed app, by its name.
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
    """One user's record and the files kept for unconfirmed changes, locked from `open` to `close`."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._record: Optional[Record] = None

    def open(self) -> dict[str, Any]:
        """The unconfirmed changes: the run of each app, and the apps of each file; `refused` if unreadable."""
        try:
            if not Generation(self._state).apps:
                return {"apps": {}, "files": {}}
            self._record = Record(self._state)
        except FileRefusedError as exc:
            return {"refused": str(exc)}
        generation = self._record.generation
        return {"apps": generation.apps, "files": {path: kept["apps"] for path, kept in generation.files.items()}}

    def confirm(self, apps: list[str]) -> None:
        """Forget the files from before the change of these apps. Raises OSError."""
        if self._record is not None:
            self._record.generation.forget(apps)

    def restore(self, apps: list[str]) -> list[dict[str, str]]:
        """Restore the files from before the change of these apps. Raises OSError."""
        return [] if self._record is None else self._record.generation.restore(apps, self._record)

    def close(self) -> None:
        """Release the lock."""
        if self._record is not None:
            self._record.close()


def _systemctl(*words: str) -> str:
    """The output of systemctl. Raises CommandError."""
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments that is written here
            ["systemctl", *words],  # noqa: S607 - where the PATH of root has it
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_SYSTEMCTL_SECONDS,
        )  # fmt: skip
    except OSError as exc:
        raise CommandError(f"cannot be started: systemctl: {exc.strerror}") from None
    except subprocess.TimeoutExpired:
        raise CommandError(f"systemctl {words[0]} did not end within {_SYSTEMCTL_SECONDS:g} s") from None
    if done.returncode != 0:
        raise CommandError(f"systemctl {words[0]} ended with {done.returncode}: {done.stderr.strip()[-TAIL:]}")
    return done.stdout.strip()


class Reloads:
    """Reload and confirm the unconfirmed apps of a host, one after the other."""

    def __init__(self, params: dict[str, Any], keepers: dict[int, Any], uids: dict[str, int]) -> None:
        """`keepers` by user id; `uids` has the id of each app's user."""
        self._params, self._keepers, self._uids = params, keepers, uids
        self._waiting: dict[str, str] = {}
        self._drop_ins: set[str] = set()
        self.apps: dict[str, dict[str, Any]] = {}

    def open(self) -> list[str]:
        """Take the locks and read the unconfirmed changes; return one refusal for each user. Raises OSError."""
        refused = []
        for uid, keeper in self._keepers.items():
            unconfirmed = keeper.open()
            if "refused" in unconfirmed:
                refused.append(unconfirmed["refused"])
                continue
            # A user's own file says nothing about the apps of another user, nor about systemd: only root's does.
            self._waiting.update(
                {app: run for app, run in unconfirmed["apps"].items() if uid in (0, self._uids.get(app))}
            )
            if uid == 0:
                self._drop_ins.update(
                    app for path, apps in unconfirmed["files"].items() if path.startswith(_SYSTEMD) for app in apps
                )
        return refused

    def run(self) -> None:
        """Reload and verify each unconfirmed app, and stop at the first that does not work. Raises OSError."""
        run = self._params["run"]
        waiting = [app for app in self._params["apps"] if app["name"] in self._waiting]
        mine = [app for app in waiting if not run or self._waiting[app["name"]] == run]
        for app in waiting:
            if app not in mine:
                self._note(app, "overtaken", "another run changed its files meanwhile; that run will reload it.")
        for number, app in enumerate(mine):
            try:
                self._reload(app)
            except CommandError as exc:
                self._roll_back(app, mine[number + 1 :], str(exc))
                return
            for keeper in self._keepers.values():
                keeper.confirm([app["name"]])
            self._note(app, "updated", "reloaded, and its health command succeeded." if app["health"] else "reloaded.")

    def _note(self, app: dict[str, Any], outcome: str, detail: str, kept: Optional[list[str]] = None) -> None:
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

    def _roll_back(self, failed: dict[str, Any], after: list[dict[str, Any]], reason: str) -> None:
        names = [app["name"] for app in (failed, *after)]
        results = [result for keeper in reversed(list(self._keepers.values())) for result in keeper.restore(names)]
        kept = [result["path"] for result in results if result["action"] == "kept"]
        stays = f" Kept because they were edited meanwhile: {', '.join(kept)}." if kept else ""
        try:
            self._reload(failed)
        except CommandError as exc:
            self._note(failed, "stuck", f"{reason} Its old files are back, and {exc}{stays}", kept)
        else:
            again = "It works again with its old files." if failed["health"] else "Its old files are back."
            self._note(failed, "rolled_back", f"{reason} {again}{stays}", kept)
        for app in after:
            detail = f"not reloaded, because {failed['name']} failed first. Its old files are back.{stays}"
            self._note(app, "not_reached", detail, kept)


def _reload_units(module: AnsibleModule) -> None:
    """Tell systemd about removed drop-ins; a host without systemd has none."""
    try:
        # NeedDaemonReload is not reliable: older releases use a cached list of the folders.
        needed = [
            unit
            for unit in module.params["units"]
            if not all(map(os.path.exists, _systemctl("show", "--property=DropInPaths", "--value", unit).split()))
        ]
        if needed and not module.check_mode:
            _systemctl("daemon-reload")
    except CommandError as exc:
        module.exit_json(changed=False, apps={}, report=[f"systemd was not told about removed drop-ins: {exc}"])
    module.exit_json(changed=False, apps={}, report=[f"{unit}: systemd has read its drop-ins again" for unit in needed])


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
    # Locks are taken in the order in which files are written, so two calls never wait for each other.
    keepers = {uid: owners[uid].does(Keeper(owners[uid].state)) for uid in sorted(owners)}
    reloads = Reloads(params, keepers, {app["name"]: Owner(app["user"]).uid for app in params["apps"]})
    try:
        refused = reloads.open()
        if not refused:
            reloads.run()
    except OSError as exc:
        module.fail_json(msg=f"{exc.filename or 'A file'}: cannot be restored: {exc.strerror}.", apps=reloads.apps)
    finally:
        for keeper in keepers.values():
            keeper.close()
    if refused:
        module.fail_json(msg=" ".join(refused))
    report = [f"{name}: {app['outcome'].replace('_', ' ')}: {app['detail']}" for name, app in reloads.apps.items()]
    failed = any(app["outcome"] != "updated" for app in reloads.apps.values())
    if failed:
        module.fail_json(msg="\n".join(report), changed=True, apps=reloads.apps, report=report)
    module.exit_json(changed=bool(reloads.apps), apps=reloads.apps, report=report)


if __name__ == "__main__":
    main()
