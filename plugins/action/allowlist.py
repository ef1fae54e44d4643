# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import getpass
import socket
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils import _egress
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.cloud import CloudAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import allowlist as _allowlist
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import api as _cloud_api
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import facts as _onboarding
from ansible_collections.crdb.onboard.plugins.plugin_utils._model import networks as _cidr
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

# What may differ from host to host, by the variables of the role crdb_network.
_OF_HOST = {
    "crdb_network_clusters": "clusters",
    "crdb_network_entries": "entries",
    "crdb_network_current": "current",
    "crdb_network_name": "name",
    "crdb_network_state": "state",
}
_EGRESS = "crdb_network_egress_result"


def _default_name() -> str:
    return f"{getpass.getuser()}@{socket.gethostname().split('.')[0]}"


def _refuse_invalid(verdicts: list[_cidr.Verdict]) -> None:
    wrong = [verdict.error for verdict in verdicts if not verdict.valid]
    if wrong:
        raise OnboardingError(
            f"{len(wrong)} of {len(verdicts)} entries may not go into an allowlist; nothing was changed:\n- "
            + "\n- ".join(wrong)
        )


class ActionModule(CloudAction):
    """Reconcile the allowlist of each cluster that the host means, once a run for all hosts of the play."""

    ARGUMENTS = {
        "clusters": {"type": "list", "elements": "str", "default": []},
        "entries": {"type": "list", "elements": "raw", "default": []},
        "state": {"type": "str", "choices": ["present", "absent", "exact"], "default": "present"},
        "current": {"type": "str", "choices": ["none", "controller", "hosts"], "default": "none"},
        "name": {"type": "str", "default": ""},
        "expires": {"type": "str", "default": ""},
        "replace": {"type": "bool", "default": False},
        "prefix": {"type": "str", "default": "crdb.onboard "},
        "remove_any": {"type": "bool", "default": False},
        "allow_any": {"type": "bool", "default": False},
        "allow_private": {"type": "bool", "default": False},
        "allow_lockout": {"type": "bool", "default": False},
        "echo": {"type": "list", "elements": "str", "default": list(_egress.SERVICES)},
        "echo_ca_file": {"type": "str", "default": ""},
        "wait": {"type": "float", "default": 120.0},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each cluster's allowlist."""
        if not arguments["prefix"].strip():
            raise OnboardingError("crdb_network_prefix is empty: without one, no entry could be told to be ours.")
        variables = self.variables(task_vars)
        names = self.clusters_of(variables, arguments["clusters"])
        skipped = [
            f"{facts['cluster']} is reached by a private end point, which no allowlist concerns: nothing to do."
            for facts in _onboarding.clusters(variables).values()
            if facts.get("endpoint") == "private" and not arguments["clusters"]
        ]
        self._validate(arguments)
        if not names:
            return {
                "changed": False,
                "allowlists": [],
                "report": skipped or ["No connection of this host names a cluster."],
            }
        settings = self.settings(variables)
        results = [self._cluster(settings, name, arguments, task_vars) for name in names]
        report = [line for result in results for line in result["report"]] + skipped
        found: dict[str, Any] = {
            "changed": any(result["changed"] for result in results),
            "allowlists": results,
            "report": report,
        }
        if self._task.diff:
            found["diff"] = [result["diff"] for result in results if result["changed"]]
        return found

    @staticmethod
    def _validate(arguments: dict[str, Any], dedicated: bool | None = None) -> list[_cidr.Verdict]:
        absent = arguments["state"] == "absent"
        verdicts = _cidr.validate(
            arguments["entries"],
            # To take something away, it may be anything.
            allow_any=arguments["allow_any"] or absent,
            allow_private=arguments["allow_private"] or absent,
            prefix=arguments["prefix"],
            dedicated=None if absent else dedicated,
            today=None if absent else datetime.date.today(),
        )
        _refuse_invalid(verdicts)
        return verdicts

    def _cluster(
        self, settings: _cloud_api.Settings, name: str, arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        cluster = _cluster.lookup(settings, name)
        wanted, known = self._wanted(settings, cluster, arguments, task_vars)
        check = bool(self._task.check_mode)
        facts = [
            [[e.cidr, e.name, e.sql, e.ui, str(e.expires)] for e in wanted.entries],
            [wanted.state, wanted.prefix, wanted.names, wanted.remove_any, check],
        ]

        def work() -> dict[str, Any]:
            return self._reconcile(settings, cluster, wanted, known, arguments, check=check)

        result = self.once(f"allowlist {settings.url} {cluster['id']}", facts, work)
        if result.get("repeated"):
            result["report"] = [f"{name}: done already in this run."]
        return result

    def _wanted(
        self,
        settings: _cloud_api.Settings,
        cluster: dict[str, Any],
        arguments: dict[str, Any],
        task_vars: dict[str, Any],
    ) -> tuple[_allowlist.Wanted, list[str]]:
        """What all hosts of the play want of this cluster, and the addresses that are known to be theirs."""
        given: list[Any] = []
        current: dict[str, str] = {}
        known: list[str] = []
        removed: list[str] = []
        names = {variable: arguments[option] for variable, option in _OF_HOST.items()}
        for host in sorted(self.hosts(task_vars)):
            variables, values = self.seen_by(host, names, task_vars)
            meant = [
                _cluster.lookup(settings, n)["id"] for n in self.clusters_of(variables, values["crdb_network_clusters"])
            ]
            if cluster["id"] not in meant:
                continue
            if values["crdb_network_state"] != arguments["state"]:
                raise OnboardingError(
                    f"The hosts of the play want different states of the allowlist of {cluster['name']}:"
                    f" {arguments['state']} and, for {host}, {values['crdb_network_state']}."
                )
            given += [entry for entry in values["crdb_network_entries"] or [] if entry not in given]
            name = str(values["crdb_network_name"] or "")
            if arguments["state"] == "absent" and name and name not in removed:
                removed.append(name)
            elif values["crdb_network_current"] == "controller":
                address = self._controller(arguments)
                current.setdefault(address, name or _default_name())
            elif values["crdb_network_current"] == "hosts":
                found = self._of_host(host, task_vars)
                if found:
                    current.setdefault(found, name or host)
                    known.append(found)
        if (
            arguments["state"] == "exact"
            and arguments["current"] == "hosts"
            and len(known) < len(self.hosts(task_vars))
        ):
            raise OnboardingError(
                "state exact with current hosts would remove the entries of hosts that were not asked yet: run it"
                " without serial, and with every host reachable."
            )
        dedicated = _cloud_api.deployment(cluster) == "dedicated"
        entries = _cidr.unique(self._validate({**arguments, "entries": given}, dedicated))
        there = {entry.network for entry in entries}
        for address, name in current.items():
            facts = {"cidr": address, "name": name, "expires": arguments["expires"]}
            (entry,) = _cidr.unique(self._validate({**arguments, "entries": [facts]}, dedicated))
            if entry.network not in there:
                entries.append(entry)
        if arguments["replace"]:
            removed += sorted(set(current.values()))
        return (
            _allowlist.Wanted(
                arguments["state"], arguments["prefix"], tuple(entries), tuple(removed), arguments["remove_any"]
            ),
            known,
        )

    @staticmethod
    def _controller(arguments: dict[str, Any]) -> str:
        def work() -> str:
            try:
                return _egress.ask(arguments["echo"], ca_file=arguments["echo_ca_file"] or None)
            except _egress.EgressError as exc:
                raise OnboardingError(f"The public address of the controller cannot be told: {exc}") from None

        address, _first = _shared.once(f"egress {arguments['echo']}", work)
        return str(address)

    def _of_host(self, host: str, task_vars: dict[str, Any]) -> str:
        found = self._templar.template(task_vars["hostvars"][host].get(_EGRESS) or {})
        return str(found.get("address") or "")

    def _reconcile(
        self,
        settings: _cloud_api.Settings,
        cluster: dict[str, Any],
        wanted: _allowlist.Wanted,
        known: list[str],
        arguments: dict[str, Any],
        *,
        check: bool,
    ) -> dict[str, Any]:
        name = str(cluster["name"])
        api = _cloud_api.CloudApi(settings)
        items, propagating = api.allowlist(cluster["id"])
        todo = _allowlist.plan(_allowlist.read(items), wanted)
        _allowlist.refuse_too_many(todo, _cloud_api.entry_limit(cluster), name)
        if (todo.remove or todo.narrow) and not arguments["allow_lockout"]:
            out = _allowlist.locked_out(todo, [*known, self._controller(arguments)])
            if out:
                raise OnboardingError(
                    f"The allowlist of {name}: this would lock out {', '.join(out)}, by which the controller or a"
                    " managed host connects. Nothing was changed. Give an entry that keeps it in, or set"
                    " crdb_network_allow_lockout: true."
                )
        reconciler = _allowlist.Reconciler(api, cluster["id"], name)
        if not check:
            if not todo.empty:
                reconciler.carry_out(todo, arguments["wait"])
            elif propagating:
                reconciler.wait(arguments["wait"])
        before, after = ([entry.shown() for entry in entries] for entries in (todo.before, todo.after))
        done = [f"{name}: {line}" for line in reconciler.done]
        notes = [f"{name}: {note}" for note in (*todo.notes, *self._warnings(wanted))]
        return {
            "cluster": name,
            "changed": not todo.empty,
            "entries": after,
            "done": reconciler.done,
            "report": [*(done or [f"{name}: {'would change' if not todo.empty else 'nothing to change'}."]), *notes],
            "diff": {
                "before_header": f"allowlist of {name}",
                "after_header": f"allowlist of {name}",
                "before": "".join(f"{line}\n" for line in before),
                "after": "".join(f"{line}\n" for line in after),
            },
        }

    @staticmethod
    def _warnings(wanted: _allowlist.Wanted) -> list[str]:
        if wanted.state == "absent":
            return []
        return [
            f"{entry.cidr} {warning}"
            for entry in wanted.entries
            for warning in _cidr.warnings_of(entry, wanted.entries)
        ]
