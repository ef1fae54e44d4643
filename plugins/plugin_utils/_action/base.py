# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action plugins share: the inventory's data model, one trip to the host, errors.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ansible import constants
from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import authorities as _ca
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import api as _cloud_api
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import facts as _onboarding
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.facts import App, Source
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import InvalidConnection
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import reports as _reports
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import workers as _workers
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import program as _program

# The main process imports this before it forks one process a host.
_workers.keep_lean()

STORE = "crdb_sql_user_password_store"
_VARIABLES = ("crdb_connections", "crdb_apps", "crdb_frameworks", STORE, *_cloud_api.VARIABLES)
_PREFIXES = ("crdb_connection_", "crdb_app_")

display = Display()

# The main process imports this before it forks one process a host and task: what is read here is read once a run.
with contextlib.suppress(OnboardingError):
    _catalogue.load()


def prompt(question: str) -> str:
    """Ask at the terminal without echo; an empty text where there is no terminal.

    Raises OnboardingError when the person interrupts.
    """
    try:
        answer: bytes = display.prompt_until(f"{question}: ", private=True)
    except AnsiblePromptNoninteractive:
        return ""
    except AnsiblePromptInterrupt:
        raise OnboardingError("interrupted at the prompt") from None
    return answer.decode("utf-8", "surrogateescape").strip()


class OnboardingAction(ActionBase):  # type: ignore[misc]
    """An action plugin of the collection: `work` does it, and raises OnboardingError to fail the task.

    `MODULE` is the module that `call` runs on the host.
    """

    MODULE: ClassVar[str] = ""
    ARGUMENTS: ClassVar[dict[str, Any]] = {}
    _supports_check_mode = True
    _supports_diff = True

    def __init_subclass__(cls) -> None:
        """Read the module, once a run: see above."""
        if cls.MODULE:
            _program.prepared(cls.MODULE)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task; see ActionBase."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(self.ARGUMENTS)
        try:
            result.update(self.work(arguments, task_vars or {}))
        except (OnboardingError, InvalidConnection) as exc:
            result.update(failed=True, msg=str(exc))
        return result

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the task and return its result."""
        raise OnboardingError(f"{type(self).__module__} does nothing")

    def reports(self, subject: str, lines: Sequence[str], task_vars: Mapping[str, Any]) -> None:
        """Note the lines that the lookup `distinct_reports` shows of this host."""
        _reports.note(subject, str(self._task._uuid), str(task_vars["inventory_hostname"]), lines)

    def variables(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """The inventory's variables of the data model, evaluated."""
        names = [name for name in task_vars if name in _VARIABLES or name.startswith(_PREFIXES)]
        return {name: self._templar.template(task_vars[name]) for name in names}

    def sources(self, variables: Mapping[str, Any], *, ask: bool = False) -> dict[str, Source]:
        """All connections that were given, validated; `ask` at the terminal when there is none."""
        asker = prompt if ask else None
        return {
            name: _onboarding.with_password(self.source(name, facts, variables), prompt=asker)
            for name, facts in _onboarding.connection_facts(variables, prompt=asker).items()
        }

    def store(self, variables: Mapping[str, Any]) -> PasswordStore | None:
        """The store of generated passwords, where one is named."""
        path = variables.get(STORE)
        return PasswordStore(str(path), self._loader._vault) if path else None

    def source(self, name: str, facts: Any, variables: Mapping[str, Any]) -> Source:
        """One connection, validated, its cluster looked up, with the password that was stored for its user if any."""
        facts, users = _onboarding.alternating(name, facts)
        found = _onboarding.source(
            name,
            _cluster.expand(name, facts, variables),
            allow_weaker_tls=bool(variables.get("crdb_connection_allow_weaker_tls")),
        )
        store = self.store(variables)
        if users:
            if store is None:
                raise OnboardingError(f"crdb_connections.{name}: users alternate by what is kept in {STORE}: set it.")
            in_use = store.rotation(self.server(facts, found, variables)[0], users).in_use
            found = replace(found, connection=found.connection.replace(user=in_use or users[0]))
        if store is None or found.connection.password is not None or found.connection.sslcert is not None:
            return found
        key, _title = self.server(facts, found, variables)
        password, _pending = store.get(key, found.connection.user.lower())
        return found if password is None else replace(found, connection=found.connection.replace(password=password))

    @staticmethod
    def server(facts: Mapping[str, Any], source: Source, variables: Mapping[str, Any]) -> tuple[str, str]:
        """What the password store knows the cluster of a connection by, and a name for people."""
        if isinstance(facts, Mapping) and facts.get("cluster"):
            cluster = _cluster.lookup(_cloud_api.Settings.of(variables), str(facts["cluster"]))
            return str(cluster["id"]), str(cluster["name"])
        connection = source.connection
        where = f"{connection.host}:{connection.port}"
        return f"{where}/{connection.routing_id}" if connection.routing_id else where, connection.routing_id or where

    def apps(self, variables: Mapping[str, Any], sources: Mapping[str, Source]) -> tuple[App, ...]:
        """All apps of this host, validated."""
        return _onboarding.apps(_onboarding.app_facts(variables, sources), sources, _catalogue.load())

    def names(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The names of this host's apps and of their users: what taking away needs, without any connection."""
        given = _onboarding.app_facts(variables, {})
        named = [facts for facts in given if isinstance(facts, Mapping)]
        return {
            "apps": sorted({str(facts.get("name") or _onboarding.DEFAULT_APP_NAME) for facts in named}),
            # The drop-in of a service is root's.
            "users": sorted(
                {str(facts.get("user") or "") for facts in named} | {"root" for facts in named if facts.get("service")}
            ),
        }

    def services(self, variables: Mapping[str, Any]) -> list[str]:
        """The systemd services that this host's apps name: what taking away needs, without any connection."""
        given = _onboarding.app_facts(variables, {})
        return [str(facts["service"]) for facts in given if isinstance(facts, Mapping) and facts.get("service")]

    def placed(self, variables: Mapping[str, Any]) -> tuple[tuple[App, ...], dict[str, str]]:
        """All apps of this host, with the CA where the host has a place for it, and the homes that paths name."""
        apps = self.apps(variables, self.sources(variables))
        homes = self.homes(apps)
        return tuple(_onboarding.placed(app, homes.get(app.user)) for app in apps), homes

    def homes(self, apps: tuple[App, ...]) -> dict[str, str]:
        """The home on the host of every user whose home a path names, by user; empty where it has none of its own."""
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
                    else f"The home folder on this host cannot be told: {answer.get('stderr') or 'HOME is not set'}"
                )
        return homes

    @staticmethod
    def folder(app: App, homes: Mapping[str, str]) -> str:
        """The absolute folder of an app on the host. Raises OnboardingError for somebody else's `~name`."""
        if not app.folder.startswith("~"):
            return app.folder
        if app.folder != "~" and not app.folder.startswith("~/"):
            raise OnboardingError(f"crdb_apps entry {app.name!r}: folder {app.folder!r}: write ~/ or an absolute path.")
        if not homes[app.user]:
            raise OnboardingError(
                f"crdb_apps entry {app.name!r}: {app.user} has no home folder of its own on this host: give an absolute"
                " folder."
            )
        return homes[app.user] + app.folder[1:]

    @staticmethod
    def endpoint(app: App, ca: Mapping[str, Any]) -> dict[str, Any]:
        """The connection of an app as the modules that check take it: checked with the rights of the app's user."""
        source = app.source
        facts = _onboarding.endpoint_facts(f"{app.name}: {source.name}", source.connection, ca)
        return {**facts, "for_app": app.name, "run_as": app.user}

    def read(self, path: str) -> bytes:
        """A small regular file of the host; empty when there is none."""
        quoted = shlex.quote(path)
        command = f"if test -f {quoted}; then head -c {_ca.DOWNLOAD_LIMIT} {quoted} | base64; fi"
        answer = self._low_level_execute_command(command, sudoable=True)
        try:
            return base64.b64decode("".join(str(answer["stdout"]).split()), validate=True)
        except (binascii.Error, ValueError):
            return b""

    def call(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run the module on the host, with secrets among its arguments.

        Pipelining is turned on for it: otherwise the arguments lie in a file on the host, and stay there when the run
        is killed. Raises OnboardingError where that cannot be.
        """
        if self._task.async_val:
            raise OnboardingError("async leaves a task's arguments in a file, and these hold a password: leave it out.")
        if "pipelining" in self._connection._options:
            self._connection.set_option("pipelining", True)
        if not self._connection.is_pipelining_enabled():
            raise OnboardingError(
                "This task passes a password to the host, which is safe with pipelining only, and something turns that"
                " off: ANSIBLE_KEEP_REMOTE_FILES, a become method such as su, or the connection plugin."
            )
        log = not self._task.no_log and not self._setting("DEFAULT_NO_TARGET_SYSLOG", task_vars)
        program = _program.program(
            self.MODULE,
            arguments,
            check_mode=self._task.check_mode,
            diff=self._task.diff,
            log=str(self._setting("DEFAULT_SYSLOG_FACILITY", task_vars)) if log else "",
        )
        command = _program.command(self._interpreters(task_vars), self._compute_environment_string())
        display.vvv(f"crdb.onboard.{self.MODULE} as a program of {len(program)} bytes")
        return _program.result(self._low_level_execute_command(command, sudoable=True, in_data=program))

    @staticmethod
    def _setting(name: str, variables: Mapping[str, Any]) -> Any:
        return constants.config.get_config_value(name, variables=variables)

    def _interpreters(self, task_vars: Mapping[str, Any]) -> list[str]:
        """The host's Python: the one that was set or discovered for it, else those that Ansible would look for."""
        delegated = self._task.delegate_to
        variables = task_vars["ansible_delegated_vars"][delegated] if delegated else task_vars
        interpreter = str(self._templar.template(self._setting("INTERPRETER_PYTHON", variables)) or "auto")
        if interpreter.startswith("auto"):
            interpreter = variables.get("ansible_facts", {}).get("discovered_interpreter_python")
        return [interpreter] if interpreter else list(self._setting("INTERPRETER_PYTHON_FALLBACK", variables))
