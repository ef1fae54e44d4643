# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action plugins share: their options, the homes on the host, one trip to it, errors.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import importlib
import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from ansible.errors import AnsibleConnectionFailure, AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader
from ansible.utils.display import Display
from ansible_collections.crdb.onboard.plugins.module_utils._text import escaped
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import options
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.controller_paths import ControllerPaths
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import authorities
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App, placed, with_certificate
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import endpoint_facts
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import InvalidConnectionError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import reports as run_reports
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import screen
from ansible_collections.crdb.onboard.plugins.plugin_utils._run.orphan import RunGoneError, still_wanted
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import call as transport

display = Display()

# The main process imports this before it forks one process a host and task: what is read here is read once a run.
with contextlib.suppress(OnboardingError):
    frameworks.load()
# The roles name these in every task of every host.
importlib.import_module("ansible_collections.crdb.onboard.plugins.lookup.inputs")
filter_loader.get("ansible.builtin.default")


def prompt(question: str) -> str:
    """Ask at the terminal without echo; an empty text where there is no terminal.

    Raises OnboardingError when the person interrupts.
    """
    try:
        with screen.at_prompt():
            answer: bytes = display.prompt_until(f"{question}: ", private=True)
    except AnsiblePromptNoninteractive:
        return ""
    except AnsiblePromptInterrupt:
        raise OnboardingError("interrupted at the prompt") from None
    return answer.decode("utf-8", "surrogateescape").strip()


class OnboardingAction(ActionBase):  # type: ignore[misc]
    """An action plugin of the collection: `work` does the task, and raises OnboardingError to fail it.

    `OPTIONS` is the module whose documentation declares the options, `MODULE` the one that `call` runs on the host.
    """

    MODULE: ClassVar[str] = ""
    OPTIONS: ClassVar[str] = ""
    _supports_check_mode = True
    _supports_diff = True
    _task_vars: Mapping[str, Any] = MappingProxyType({})
    _homes: dict[str, str]

    def __init_subclass__(cls) -> None:
        """Read the module and the options, once a run: see above."""
        if cls.MODULE:
            transport.prepare(cls.MODULE)
        if cls.OPTIONS:
            options.arguments(cls.OPTIONS)
            options.prepare()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task; see ActionBase."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        # A task that is tried again (`until`) runs a new plugin with the arguments that the last attempt took away.
        given = getattr(self._task, "_crdb_given", None) or self._task.args
        self._task._crdb_given = given
        self._task_vars = task_vars or {}
        self._homes = {}
        try:
            self._task.args = options.with_inputs(self.OPTIONS, given)
            _validation, arguments = self.validate_argument_spec(dict(options.arguments(self.OPTIONS)))
            with screen.progress(f"{(task_vars or {}).get('inventory_hostname')}: {self._task.name or self.OPTIONS}"):
                result.update(self.work(arguments, task_vars or {}))
        except (OnboardingError, InvalidConnectionError, RunGoneError) as exc:
            result.update(failed=True, msg=str(exc))
        except AnsibleConnectionFailure as exc:
            result.update(unreachable=True, msg=str(exc.message))
        finally:
            # Ansible hands the arguments of a task to all callbacks, and these hold passwords.
            self._task.args = {}
        # Names of clusters, answers of servers and files of hosts end at a terminal.
        return self._shown_once(escaped(result))

    def _shown_once(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result. Raises ShownOnceError with it when the task failed, so that Ansible prints the error once."""
        failed = result.get("failed") or result.get("unreachable")
        # With these, Ansible decides by the result. What broke unexpectedly, and -v, show all that there is.
        conditional = self._task.until or self._task.retries is not None or self._task.failed_when
        if not failed or conditional or "module_stderr" in result or display.verbosity:
            return result
        result.pop("exception", None)
        raise screen.ShownOnceError(str(result.get("msg", "")), result={"changed": False, **result})

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the task and return its result."""
        raise OnboardingError(f"{type(self).__module__} has no work to do")

    def reports(
        self, subject: str, lines: Sequence[str], task_vars: Mapping[str, Any], *, secret: bool = False
    ) -> None:
        """Note the lines that the action `show` shows for this host; lines with a secret stay in memory."""
        host = str(task_vars["inventory_hostname"])
        run_reports.note(subject, str(self._task._uuid), host, list(lines), secret=secret)

    def inventory(self, arguments: Mapping[str, Any], *, ask: bool = False) -> HostInventory:
        """The connections and apps of these options; `ask` at the terminal for what is missing."""
        options = self.controller_paths().options(arguments)
        return HostInventory(options, vault=self._loader._vault, prompt=prompt if ask else None)

    def controller_paths(self) -> ControllerPaths:
        """Where relative paths of the controller's files are looked up."""
        return ControllerPaths.of_task(self._task, self._task_vars)

    def placed(self, inventory: HostInventory) -> tuple[tuple[App, ...], dict[str, str]]:
        """All apps of this host, with the places of CAs and client certificates, and the homes that paths name."""
        homes = self.homes(inventory.apps)
        apps = (placed(app, homes.get(app.user)) for app in inventory.apps)
        return tuple(with_certificate(app, self.folder(app, homes)) for app in apps), homes

    def homes(self, apps: tuple[App, ...]) -> dict[str, str]:
        """The home on the host of every user whose home a path names, by user; empty where it has none of its own.

        The host is asked once a task.
        """
        needed = {
            app.user
            for app in apps
            if app.folder.startswith("~")
            or app.source.ca is None
            or "root_crt" in app.source.destinations
            or app.psql_service
        }
        if not needed:
            return {}
        if needed <= self._homes.keys():
            return self._homes
        users = sorted(needed)
        # As the module will see it: the module's own HOME for its own user, which become may have changed.
        look = '{ set -- $(ls -ldn "$h/."); [ "$3" = "$(id -u $u)" ] && echo "d$h" || echo "-$h"; } 2>/dev/null'
        command = "; ".join(f"h=~{user} u={user}; {look}" for user in users)
        answer = self._low_level_execute_command(command, sudoable=True)
        homes: dict[str, str] = {}
        for user, line in zip(users, str(answer["stdout"]).splitlines(), strict=False):
            if line[1:].startswith("/"):
                homes[user] = line[1:] if line.startswith("d") or not user else ""
        for user in users:
            if user not in homes:
                raise OnboardingError(
                    f"There is no user {user!r} on this host."
                    if user
                    else f"The home folder on this host is not known: {answer.get('stderr') or 'HOME is not set'}"
                )
        self._homes = homes
        return homes

    @staticmethod
    def folder(app: App, homes: Mapping[str, str]) -> str:
        """The absolute folder of an app on the host. Raises OnboardingError for somebody else's `~name`."""
        if not app.folder.startswith("~"):
            return app.folder
        if app.folder != "~" and not app.folder.startswith("~/"):
            raise OnboardingError(f"apps entry {app.name!r}: folder {app.folder!r}: must begin with ~/ or be absolute.")
        if not homes[app.user]:
            raise OnboardingError(
                f"apps entry {app.name!r}: {app.user} has no home folder of its own on this host: give an absolute"
                " folder (crdb_app_folder)."
            )
        return homes[app.user] + app.folder[1:]

    @staticmethod
    def endpoint(app: App, ca: Mapping[str, Any]) -> dict[str, Any]:
        """The connection of an app as the modules that check take it: checked with the rights of the app's user."""
        source = app.source
        facts = endpoint_facts(f"{app.name}: {source.name}", source.connection, ca, source.token)
        return {**facts, "for_app": app.name, "run_as": app.user}

    def read(self, path: str) -> bytes:
        """A small regular file of the host; empty when there is none."""
        quoted = shlex.quote(path)
        command = f"if test -f {quoted}; then head -c {authorities.DOWNLOAD_LIMIT} {quoted} | base64; fi"
        answer = self._low_level_execute_command(command, sudoable=True)
        try:
            return base64.b64decode("".join(str(answer["stdout"]).split()), validate=True)
        except (binascii.Error, ValueError):
            return b""

    def call(
        self, arguments: dict[str, Any], task_vars: dict[str, Any], *, module: str = "", secret: bool | None = None
    ) -> dict[str, Any]:
        """Run `MODULE`, or another module, on the host; see `call` of `_transport`. Raises RunGoneError."""
        still_wanted()
        return transport.call(self, module or self.MODULE, arguments, task_vars, secret=secret)


def file_changes(result: Mapping[str, Any]) -> list[str]:
    """The files that a result of the module `files` changed, or would change: a line each, such as ``created PATH``.

    Of a file that others share, the line says what of ours goes: ``changed PATH, removes [shop]``.
    """
    changed = [file for file in result.get("files", ()) if file["action"] != "ok"]
    return [
        f"{file['action']} {file['path']}" + (f", removes {', '.join(file['removes'])}" if file.get("removes") else "")
        for file in changed
    ]


def failed_files(result: Mapping[str, Any]) -> dict[str, Any]:
    """A failed result of the module `files`, without the parts that its message has as well."""
    return {key: value for key, value in result.items() if key != "refused" and value != []}
