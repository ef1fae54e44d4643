# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import getpass
import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils import _egress
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.cloud import CloudAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.fleet import hosts_of_fleet, hosts_of_play
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import allowlist as _allowlist
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model import networks as _cidr
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

_OF_HOST = ("connections", "clusters", "entries", "current", "name", "state", "address")
"""The options that each host of a fleet sets for itself."""
_REQUESTED = ("entries", "current", "name", "address")


def _default_name() -> str:
    return f"{getpass.getuser()}@{socket.gethostname().split('.')[0]}"


def _refuse_invalid(verdicts: list[_cidr.Verdict]) -> None:
    wrong = [verdict.error for verdict in verdicts if not verdict.valid]
    if wrong:
        raise OnboardingError(
            f"{len(wrong)} of {len(verdicts)} entries may not go into an allowlist; nothing was changed. "
            + " ".join(wrong)
        )


def _distinct(lists: Iterable[Sequence[Any]]) -> list[Any]:
    """The entries of all lists, each once, in order."""
    entries: dict[str, Any] = {}
    previous: Sequence[Any] = []
    for entries_of_host in lists:
        # Most hosts of a fleet give the same list.
        if entries_of_host != previous:
            for entry in entries_of_host:
                entries.setdefault(json.dumps(entry, sort_keys=True, default=str), entry)
        previous = entries_of_host
    return list(entries.values())


class ActionModule(CloudAction):
    """Reconcile the allowlist of each cluster that the host means, once a run for all hosts of the play."""

    OPTIONS = "allowlist"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each cluster's allowlist."""
        if not arguments["prefix"].strip():
            raise OnboardingError("prefix is empty: without one, our own entries cannot be told from others.")
        inventory = self.inventory(arguments)
        names = self._names(arguments, task_vars)
        skipped = [
            f"{facts['cluster']} is reached by a private endpoint, which has no allowlist: nothing to do."
            for facts in inventory.clusters.values()
            if facts.get("endpoint") == "private" and not arguments["clusters"]
        ]
        count = len(_cidr.unique(self._validate(arguments)))
        if not names:
            return {
                "changed": False,
                "allowlists": [],
                "report": skipped or ["Nothing to do: no connection of this host names a cluster."],
            }
        settings = inventory.settings()
        clusters = [_cluster.lookup(settings, name) for name in names]
        for cluster in clusters if arguments["state"] != "absent" else ():
            _allowlist.refuse_more_than(_cluster.entry_limit(cluster), count, str(cluster["name"]))
        results = [self._reconciled(settings, cluster, arguments, task_vars) for cluster in clusters]
        report = [line for result in results for line in result["report"]] + skipped
        outcome: dict[str, Any] = {
            "changed": any(result["changed"] for result in results),
            "allowlists": results,
            "report": report,
        }
        if self._task.diff:
            outcome["diff"] = [result["diff"] for result in results if result["changed"]]
        return outcome

    def _names(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> list[str]:
        """The clusters of this host, and where it stands for the whole inventory those of all its hosts."""
        here = str(task_vars["inventory_hostname"])
        names = self.clusters_of(arguments)
        for host in hosts_of_fleet(task_vars) if len(hosts_of_play(task_vars)) == 1 else ():
            if host != here:
                names += self.clusters_of(self.fleet(arguments, task_vars).of(host, ("connections", "clusters")))
        return list(dict.fromkeys(names))

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

    def _reconciled(
        self, settings: Settings, cluster: dict[str, Any], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        name = str(cluster["name"])
        desired, known = self._desired(settings, cluster, arguments, task_vars)
        check = bool(self._task.check_mode)
        facts = [
            [[e.cidr, e.name, e.sql, e.ui, str(e.expires)] for e in desired.entries],
            [desired.state, desired.prefix, desired.names, desired.remove_any, check],
        ]

        def work() -> dict[str, Any]:
            return self._reconcile(settings, cluster, desired, known, arguments, check=check)

        result = self.once(f"allowlist {settings.url} {cluster['id']}", facts, work)
        if result.get("repeated"):
            result["report"] = [f"{name}: done already in this run."]
        return result

    def _desired(
        self,
        settings: Settings,
        cluster: dict[str, Any],
        arguments: dict[str, Any],
        task_vars: dict[str, Any],
    ) -> tuple[_allowlist.DesiredAllowlist, list[str]]:
        """The allowlist that the hosts of the play request for this cluster, and their known addresses."""
        requests = self._requests_once(settings, cluster, arguments, task_vars)
        explicit = _distinct(options["entries"] or [] for _host, options in requests)
        named_addresses: dict[str, str] = {}
        known: list[str] = []
        removed: list[str] = []
        for host, options in requests:
            name = str(options["name"] or "")
            if arguments["state"] == "absent" and name:
                removed.append(name)
            elif options["current"] == "controller":
                named_addresses.setdefault(self._controller(arguments), name or _default_name())
            elif options["current"] == "hosts" and options["address"]:
                named_addresses.setdefault(str(options["address"]), name or host)
                known.append(str(options["address"]))
        asked_all = arguments["current"] != "hosts" or len(known) == len(hosts_of_play(task_vars))
        if arguments["state"] == "exact" and not asked_all:
            raise OnboardingError(
                "state exact with current hosts would remove the entries of hosts that were not read yet. Run it"
                " without serial, with every host reachable."
            )
        if arguments["replace"]:
            removed += sorted(set(named_addresses.values()))
        entries = self._entries(explicit, named_addresses, arguments, _cluster.deployment(cluster) == "dedicated")
        names = tuple(dict.fromkeys(removed))
        return (
            _allowlist.DesiredAllowlist(
                arguments["state"], arguments["prefix"], entries, names, arguments["remove_any"]
            ),
            known,
        )

    def _requests_once(
        self, settings: Settings, cluster: dict[str, Any], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> list[tuple[str, dict[str, Any]]]:
        """The same as `_requests`, which the first host does for all: it evaluates the variables of every host."""
        if arguments["current"] == "hosts":
            # The addresses of more hosts may be known by then.
            return list(self._requests(settings, cluster, arguments, task_vars))
        key = f"allowlist requests {self._task._uuid} {settings.url} {cluster['id']} {arguments['state']}"
        with _shared.alone(key):
            known = _shared.get(key)
            if known is None:
                requests = list(self._requests(settings, cluster, arguments, task_vars))
                known = json.loads(json.dumps(requests, default=str))
                if not any(options["current"] == "hosts" for _host, options in requests):
                    _shared.put(key, known)
        # JSON knows no tuples.
        return list(map(tuple, known))

    def _requests(
        self,
        settings: Settings,
        cluster: dict[str, Any],
        arguments: dict[str, Any],
        task_vars: dict[str, Any],
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The hosts that use this cluster, with their options. Raises OnboardingError when states differ."""
        fleet = self.fleet(arguments, task_vars)
        for host in sorted(hosts_of_fleet(task_vars)):
            options = fleet.of(host, _OF_HOST)
            identifiers = [_cluster.lookup(settings, name)["id"] for name in self.clusters_of(options)]
            if cluster["id"] not in identifiers:
                continue
            if options["state"] != arguments["state"]:
                raise OnboardingError(
                    f"state must be the same for all hosts of the allowlist of {cluster['name']}, but it is"
                    f" {arguments['state']} and, on {host}, {options['state']}."
                )
            # Without the connections, which may hold passwords: the rest is kept for the other hosts.
            yield host, {name: options[name] for name in _REQUESTED}

    def _entries(
        self, explicit: list[Any], named_addresses: dict[str, str], arguments: dict[str, Any], dedicated: bool
    ) -> tuple[_cidr.Entry, ...]:
        """The listed entries, and an entry for each address that is not among them."""
        entries = _cidr.unique(self._validate({**arguments, "entries": explicit}, dedicated))
        networks = {entry.network for entry in entries}
        for address, name in named_addresses.items():
            facts = {"cidr": address, "name": name, "expires": arguments["expires"]}
            (entry,) = _cidr.unique(self._validate({**arguments, "entries": [facts]}, dedicated))
            if entry.network not in networks:
                entries.append(entry)
        return tuple(entries)

    def _controller(self, arguments: dict[str, Any]) -> str:
        def work() -> str:
            ca_file = self.controller_paths().find(arguments["echo_ca_file"])
            try:
                return _egress.public_address(arguments["echo"], ca_file=ca_file or None)
            except _egress.EgressError as exc:
                raise OnboardingError(f"The public address of the controller cannot be found: {exc}.") from None

        address, _first = _shared.once(f"egress {arguments['echo']}", work)
        return str(address)

    def _reconcile(
        self,
        settings: Settings,
        cluster: dict[str, Any],
        desired: _allowlist.DesiredAllowlist,
        known: list[str],
        arguments: dict[str, Any],
        *,
        check: bool,
    ) -> dict[str, Any]:
        name = str(cluster["name"])
        limit = _cluster.entry_limit(cluster)
        if desired.state != "absent":
            _allowlist.refuse_more_than(limit, len(desired.entries), name)
        reconciler = _allowlist.Reconciler(CloudApi(settings), cluster["id"], name)
        todo, propagating = reconciler.plan(desired, limit, None if check else arguments["wait"])
        unverified = self._refuse_lockout(name, todo, known, arguments)
        if not check:
            if not todo.empty:
                reconciler.carry_out(todo, arguments["wait"])
            elif propagating:
                reconciler.wait(arguments["wait"])
        before, after = ([entry.shown() for entry in entries] for entries in (todo.before, todo.after))
        done = [f"{name}: {line}" for line in reconciler.done]
        notes = [f"{name}: {note}" for note in (*todo.notes, *unverified, *self._warnings(desired))]
        if check and propagating and todo.takes:
            notes.append(f"{name}: an earlier change is not in effect yet. A run waits for it before removing access.")
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

    def _refuse_lockout(
        self, name: str, todo: _allowlist.AllowlistPlan, known: list[str], arguments: dict[str, Any]
    ) -> list[str]:
        """Notes. Raises OnboardingError when the change would lock out the controller or a known host."""
        if not todo.takes or arguments["allow_lockout"]:
            return []
        notes = []
        try:
            known = [*known, self._controller(arguments)]
        except OnboardingError as exc:
            # Somebody's access must end also while no echo service answers; the API is reached from everywhere.
            if arguments["state"] != "absent":
                raise
            notes = [f"whether this machine keeps its access was not verified: its address is not known. {exc}"]
        out = _allowlist.locked_out(todo, known)
        if out:
            raise OnboardingError(
                f"The allowlist of {name}: this would lock out {', '.join(out)}, by which the controller or a"
                " managed host connects. Nothing was changed. Add an entry that keeps it in, or set"
                " allow_lockout: true (crdb_network_allow_lockout)."
            )
        return notes

    @staticmethod
    def _warnings(desired: _allowlist.DesiredAllowlist) -> list[str]:
        if desired.state == "absent":
            return []
        others = _cidr.coverage(desired.entries)
        return [f"{entry.cidr} {warning}" for entry in desired.entries for warning in _cidr.warnings_of(entry, others)]
