# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import (
    CATALOGUE,
    files_differ,
    note,
    stops_libpq,
    withholds_drivers,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.report import failure_text, refused_input
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import drivers
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import held as _held
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import printed as _printed
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction, display
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.projects import Projects
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import bundle, load
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import confirm as _confirm
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import key_is_set
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import given_url
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import tokens as _tokens
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import written as _written
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import endpoint_facts
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.origin import DEFAULT_NAME
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.errors import (
    InvalidConnectionError,
    sentences_of,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import templates
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.app_files import app_files, sample_paths
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import formats as _report_formats
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import canary as _canary
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import rollout as _rollout

# A password in a connection string that was typed, and not one that is looked up.
_TYPED_PASSWORD = re.compile(
    r"\b[a-z+]+://[^:/@\s{]*:(?!\{\{)[^@\s{]+@"
    r"|password[\"']?\s*[=:]\s*[\"']?(?!\{\{|[\"'\s]|(true|false|yes|no|always|on_create)\b)",
    re.IGNORECASE,
)
# What an endpoint has here and the module does not take.
_OWN_KEYS = ("cluster", "app", "given")
# What a driver would log in with, by the app's files, was refused or is another password than the one that was tried.
_ECHO_TIMEOUT = 5.0
_PROBE_TIMEOUT = 60.0

# The main process imports this before it forks one process a host.
templates.prepare()


class _CheckFailedError(Exception):
    """The module gave no reports; its result is what the task ends with."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("the module gave no reports")
        self.result = result


class _InputRefusedError(OnboardingError):
    """What was given to be checked cannot be used."""


class ActionModule(OnboardingAction):
    """Split what was given into endpoints on the controller, and check all of a host's in one call.

    A login that no host has tried yet is tried by one host, while the others wait.
    """

    MODULE = "endpoint_check"
    OPTIONS = "check"
    _app_names: Sequence[str] = ()
    _samples: ClassVar[dict[str, list[str]]] = {}
    _looked_at: Sequence[dict[str, Any]] = ()

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result, with a readable `report`."""
        _warn_of_typed_passwords()
        return _printed.run(self._task, lambda: self._judged(arguments, task_vars), task_vars)

    def _judged(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._checked(arguments, task_vars)
        except (_InputRefusedError, InvalidConnectionError) as exc:
            return self._input_refused(exc, arguments, task_vars)

    def _checked(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        apps: tuple[App, ...] = ()
        homes: dict[str, str] = {}
        inventory, as_written = None, False
        endpoints: list[dict[str, Any]] = []
        if arguments["url"] is not None:
            endpoints = [self._given(arguments["url"], arguments["ca_file"])]
        elif arguments["endpoints"] is not None:
            default = arguments["ca_file"]
            endpoints = [{**entry, "ca_file": entry["ca_file"] or default} for entry in arguments["endpoints"]]
        else:
            with _refusing_input():
                inventory, as_written = self._inventory(arguments)
        checks: list[dict[str, Any]] = []

        def check(looked_at: list[dict[str, Any]]) -> dict[str, Any]:
            nonlocal apps, homes, endpoints, checks
            if inventory is not None:
                with _refusing_input():
                    apps, homes, endpoints = self._app_endpoints(inventory, as_written=as_written)
            self._looked_at = looked_at
            try:
                checks = self._check(endpoints, arguments, task_vars)
            except _CheckFailedError as exc:
                return exc.result
            return {"checks": checks}

        known = Projects(self, inventory, task_vars) if inventory is not None else None
        answered = check([]) if known is None else known.call(check)
        if "checks" not in answered or answered.get("failed"):
            return answered
        for check_of, facts in zip(checks, endpoints, strict=True):
            check_of["notes"] = [*facts.get("given", ()), *check_of["notes"]]
            _judge_for_libpq(check_of, self._libpq_clients(facts, apps, arguments))
        if arguments["confirm"]:
            checks = self._confirmed(checks, endpoints, arguments, task_vars)
        result = self._result(checks, endpoints, task_vars)
        if any(app.frameworks for app in apps) and _asks_drivers(arguments["drivers"]):
            options = {**arguments, "probe_timeout": _PROBE_TIMEOUT}
            proofs = drivers.prove(self, apps, homes, options, result["withheld"], task_vars)
            if "probes" not in proofs:
                return proofs
            result.update(ok=result["ok"] and proofs["ok"], drivers=proofs)
        result["report"] = _report_formats.of_host(str(task_vars["inventory_hostname"]), result)
        if arguments["fail"] and not result["ok"]:
            failures = [failure_text(checks)] if not all(check["ok"] for check in checks) else []
            failures += [line for line in result.get("drivers", {}).get("report", ()) if not failures]
            result.update(failed=True, msg=" ".join(failures))
        return result

    def _input_refused(
        self, error: _InputRefusedError | InvalidConnectionError, arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """The result of a check of which nothing was tried, because its input is refused."""
        name = "url" if arguments["url"] is not None else "connection"
        check = refused_input(name, *sentences_of(str(error))).as_dict()
        result = self._result([check], [{}], task_vars)
        result["report"] = _report_formats.of_host(str(task_vars["inventory_hostname"]), result)
        if arguments["fail"]:
            result.update(failed=True, msg=str(error))
        return result

    def _libpq_clients(
        self, endpoint: Mapping[str, Any], apps: Sequence[App], arguments: Mapping[str, Any]
    ) -> list[str]:
        """The frameworks built on libpq that connect to an endpoint; for a connection string, those of all apps."""
        if arguments["url"] is None:
            used = [f for app in apps if app.name == endpoint.get("for_app") for f in app.frameworks]
        else:
            wanted = [wish for entry in arguments["apps"] or () for wish in entry.get("frameworks") or ()]
            names = {wish.get("name") if isinstance(wish, Mapping) else wish for wish in wanted}
            used = [framework for name, framework in frameworks.load().items() if name in names]
        return [framework.title for framework in used if framework.parameters == "libpq"]

    def _app_endpoints(
        self, inventory: HostInventory, *, as_written: bool
    ) -> tuple[tuple[App, ...], dict[str, str], list[dict[str, Any]]]:
        """The apps of the host, the homes that they name, and the connection of each app."""
        apps, homes = self.placed(inventory)
        self._app_names = [app.name for app in apps]
        # Whether an app has samples is an option of app_config, which the check does not have.
        self._samples = {app.name: sample_paths(app, self.folder(app, homes)) for app in apps}
        return apps, homes, [self._app_endpoint(app, homes, inventory, as_written=as_written) for app in apps]

    def _inventory(self, arguments: dict[str, Any]) -> tuple[HostInventory, bool]:
        """The connections and apps, and whether they are those that were written: these need no comparison.

        On this machine, what was written before is checked when nothing gives a connection.
        """
        inventory = self.inventory(arguments, ask=arguments["ask"])
        if self._connection.transport != "local" or self._connection.become:
            return inventory, False
        if inventory.has_connection:
            if inventory.url_label:
                display.display(f"Checking the connection from {inventory.place(DEFAULT_NAME)}")
            return inventory, False
        home = Path.home()
        entries = inventory.entries if arguments["apps"] else []
        folders = [
            str(home / entry["folder"].removeprefix("~").lstrip("/"))
            if entry["folder"].startswith("~")
            else entry["folder"]
            for entry in entries
        ]
        written = _written.find(str(home), folders)
        if not written:
            return inventory, False
        display.display(f"Checking the connection in {', '.join(app.path for app in written)}")
        options = _written.options(written)
        compared = len(written) == 1 and any(entry.get("frameworks") for entry in entries)
        if compared:
            options["apps"] = arguments["apps"]
        return self.inventory({**arguments, **options}), not compared

    def _result(
        self, checks: list[dict[str, Any]], endpoints: list[dict[str, Any]], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        app_names = {number: str(entry["app"]["name"]) for number, entry in enumerate(endpoints) if entry.get("app")}
        if app_names:
            self._note(checks, app_names, task_vars)
        return {
            "changed": False,
            "ok": all(check["ok"] for check in checks),
            "checks": checks,
            "withheld": {
                name: checks[number]["code"]
                for number, name in app_names.items()
                if withholds_drivers(checks[number]["code"])
            },
        }

    def _note(self, checks: list[dict[str, Any]], apps: dict[int, str], task_vars: dict[str, Any]) -> None:
        failed = [number for number, check in enumerate(checks) if not check["ok"]]
        failures = ", ".join(f"{checks[number]['name']}: {checks[number]['code']}" for number in failed)
        # In check mode the files are not written.
        written = [number for number in failed if number in apps and not self._task.check_mode]
        replaced = [apps[number] for number in written if any(map(files_differ, _codes(checks[number])))]
        _rollout.Rollout(self._task).note(task_vars, check=failures, replaced=replaced)

    def _check(
        self, endpoints: list[dict[str, Any]], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The reports, in the order of the endpoints. Raises _CheckFailedError."""
        host, task = str(task_vars.get("inventory_hostname", "")), str(self._task._uuid)
        logins = [_canary.login_of(endpoint) for endpoint in endpoints]
        marks = {login: _canary.mark_of(endpoint) for login, endpoint in zip(logins, endpoints, strict=True) if login}
        reports: dict[int, dict[str, Any]] = {}
        checked_early: set[int] = set()
        start = time.monotonic()
        while len(reports) < len(endpoints):
            rest = [number for number in range(len(endpoints)) if number not in reports]
            mine = {login: marks[login] for number in rest if (login := logins[number])}
            turn = _canary.take_turn(mine, host, task, arguments["timeout"] * len(rest))
            for number in rest:
                if held := turn.held.get(logins[number] or ""):
                    reports[number] = _held.check(held, _confirm.facts_of(endpoints[number]), host)
            if turn.busy:
                early = [n for n in rest if n not in reports and logins[n] in turn.early and n not in checked_early]
                if early:
                    checked_early.update(early)
                    held = [{**endpoints[number], "hold_password": True} for number in early]
                    for number, check in zip(early, self._module(held, arguments, task_vars), strict=True):
                        if check["code"] != "password_held":
                            reports[number] = check
                else:
                    _canary.pause(start)
                continue
            pending = [number for number in rest if number not in reports]
            outcomes = dict.fromkeys(turn.tried, _canary.Outcome(_canary.OPEN))
            try:
                if pending:
                    checks = self._module([endpoints[number] for number in pending], arguments, task_vars)
                    reports.update(zip(pending, checks, strict=True))
                    for login in turn.tried | turn.free:
                        own = [reports[number] for number in pending if logins[number] == login]
                        outcome = _held.outcome(own)
                        if login in turn.tried or outcome.kind == _canary.REFUSED:
                            outcomes[login] = outcome
            finally:
                _canary.settle(outcomes, marks, host, task)
        return [reports[number] for number in range(len(endpoints))]

    def _module(
        self, endpoints: list[dict[str, Any]], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """One call on the host. Raises _CheckFailedError."""
        sent = [{key: value for key, value in endpoint.items() if key not in _OWN_KEYS} for endpoint in endpoints]
        apps = [
            {key: value for key, value in endpoint["app"].items() if key != "name"}
            for endpoint in endpoints
            if endpoint.get("app")
        ]
        common: dict[str, Any] = {"timeout": arguments["timeout"], "controller_time": time.time()}
        common["projects"] = list(self._looked_at)
        named = [endpoint["app"] for endpoint in endpoints if endpoint.get("app")]
        if self._app_names and len(named) == len(self._app_names):
            planned: dict[str, list[str]] = {}
            for app in named:
                for path in (*(file["path"] for file in app["files"]), *self._samples[app["name"]]):
                    planned.setdefault(path, []).append(app["name"])
            common.update(planned=planned, managed=self._app_names, complete=arguments["complete"])
        # The digests of an app's files are worth hiding only where they could confirm a guess of its password.
        secret = any(endpoint.get(key) for endpoint in sent for key in ("password", "jwt"))
        result = self.call({"endpoints": sent, "apps": apps, **common}, task_vars, secret=secret)
        if "checks" not in result or result.get("projects"):
            raise _CheckFailedError(result)
        checks: list[dict[str, Any]] = result["checks"]
        self._name_unmanaged(result.get("unmanaged", ()), checks, endpoints)
        return checks

    @staticmethod
    def _name_unmanaged(
        files: Sequence[Mapping[str, Any]], checks: list[dict[str, Any]], endpoints: list[dict[str, Any]]
    ) -> None:
        """Note each file that is no longer managed with an app that it was written for, else with the first one."""
        for file in files:
            mine = [n for n, entry in enumerate(endpoints) if (entry.get("app") or {}).get("name") in file["apps"]]
            words = {"path": file["path"], "apps": ", ".join(file["apps"])}
            checks[mine[0] if mine else 0]["notes"].append(note("app_file_unmanaged", **words))

    def _confirmed(
        self,
        checks: list[dict[str, Any]],
        endpoints: list[dict[str, Any]],
        arguments: dict[str, Any],
        task_vars: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """The reports with what the Cloud API knows, where a key is given."""
        if not key_is_set(arguments["cloud"]):
            return checks
        settings = self.inventory(arguments).settings
        addresses: list[str] = []

        def public_address() -> str:
            if not addresses:
                addresses.append(self._public_address(arguments, task_vars))
            return addresses[0]

        return [
            _confirm.confirm(check, endpoint, settings, public_address) if _confirm.concerns(check) else check
            for check, endpoint in zip(checks, endpoints, strict=True)
        ]

    def _public_address(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> str:
        """The address by which the host reaches the internet. Raises OnboardingError."""
        result = self._execute_module(
            module_name="crdb.onboard.egress",
            module_args={
                "services": arguments["echo"],
                "ca_file": arguments["echo_ca_file"] or None,
                "timeout": _ECHO_TIMEOUT,
            },
            task_vars=task_vars,
        )
        if not result.get("address"):
            raise OnboardingError(str(result.get("msg") or "the host did not report its address"))
        return str(result["address"])

    def _given(self, url: str, ca_file: str | None) -> dict[str, Any]:
        if not url.strip():
            raise _InputRefusedError("the option url is empty: set the variable that it comes from.")
        connection, notes = given_url.read(url)
        connection, token = _tokens.taken_out(connection)
        facts = endpoint_facts("url", connection, {"ca_file": ca_file or connection.sslrootcert}, token)
        return {**facts, "given": notes}

    def _app_endpoint(
        self, app: App, homes: Mapping[str, str], inventory: HostInventory, *, as_written: bool
    ) -> dict[str, Any]:
        """The connection of an app, with what its files should hold unless it was read from these."""
        source, folder, home = app.source, self.folder(app, homes), homes.get(app.user, "")
        ca_path = app.ca_path(folder, home)
        if self._task.check_mode and source.ca is not None:
            # The CA may not be on the host yet.
            ca = {"ca_text": bundle(load(source.ca)).decode("ascii")}
        else:
            ca = {"ca_file": ca_path}
        endpoint = self.endpoint(app, ca)
        if as_written:
            return endpoint
        expected = app_files(app, folder, home, ca_path).expected()
        endpoint["cluster"] = (inventory.clusters.get(source.name) or {}).get("cluster")
        endpoint["app"] = {"name": app.name, "endpoint": endpoint["name"], **expected}
        return endpoint


@contextlib.contextmanager
def _refusing_input() -> Iterator[None]:
    """What is wrong with the connections and apps is a verdict, as what is wrong with a connection string is."""
    try:
        yield
    except OnboardingError as exc:
        raise _InputRefusedError(str(exc)) from None


def _judge_for_libpq(check: dict[str, Any], clients: Sequence[str]) -> None:
    """Make the first note on what stops libpq the verdict of a check that passed, where such a client is used."""
    found = next((entry for entry in check["notes"] if stops_libpq(entry["code"])), None)
    if not (clients and check["ok"] and found):
        return
    entry = CATALOGUE["libpq_would_fail"]
    words = {"reason": found["text"].rstrip("."), "clients": ", ".join(clients), "host": check["host"]}
    check["notes"].remove(found)
    check.update(ok=False, code="libpq_would_fail", cause=entry.cause.format(**words), cure=entry.cure.format(**words))
    check["evidence"] = {"step": "query"}


def _asks_drivers(option: Any) -> bool:
    """Whether the drivers are asked. Raises OnboardingError for what is neither `auto` nor a truth value."""
    if str(option).lower() == "auto":
        return True
    try:
        return bool(boolean(option))
    except TypeError:
        raise OnboardingError(f"drivers {option!r} must be auto, true or false (crdb_check_drivers).") from None


def _codes(check: dict[str, Any]) -> set[str]:
    """The codes of a report: its verdict's and its notes'."""
    return {check["code"], *(note["code"] for note in check["notes"])}


def _warn_of_typed_passwords() -> None:
    """A password in the arguments of `ansible` or `ansible-playbook` is in the shell's history and in `ps`."""
    typed = context.CLIARGS.get("module_args"), *(context.CLIARGS.get("extra_vars") or ())
    if any(isinstance(text, str) and _TYPED_PASSWORD.search(text) for text in typed):
        display.warning(
            "The command line holds a password: the shell's history keeps it, and every user of this machine can see it"
            " in the list of processes. Write -a \"url={{ lookup('env', 'DATABASE_URL') }}\" instead."
        )
