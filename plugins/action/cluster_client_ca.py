# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.cloud import CloudAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.fleet import hosts_of_fleet
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import load
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import client_ca as _client_ca
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections as _connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.ca import CaSource

_OF_HOST = ("connections", "clusters", "ca_files", "state", "certificates")
"""The options that each host of a fleet sets for itself."""


class ActionModule(CloudAction):
    """Set or remove the client CA of each Advanced cluster that the host means, once a run for all hosts."""

    OPTIONS = "cluster_client_ca"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each cluster's client CA."""
        inventory = self.inventory(arguments)
        names = self.clusters_of(arguments)
        if not names:
            return {"changed": False, "clusters": [], "report": ["No connection of this host names a cluster."]}
        settings = inventory.settings()
        results = [self._of_cluster(settings, name, arguments, task_vars) for name in names]
        outcome: dict[str, Any] = {
            "changed": any(result["changed"] for result in results),
            "clusters": results,
            "report": [line for result in results for line in result["report"]],
        }
        if self._task.diff:
            outcome["diff"] = [result["diff"] for result in results if result["changed"]]
        return outcome

    def _of_cluster(
        self, settings: Settings, name: str, arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        cluster = _cluster.lookup(settings, name)
        if _cluster.deployment(cluster) != "dedicated":
            raise OnboardingError(
                f"{cluster['name']} is a Basic or Standard cluster, which accepts no client certificate. Only Advanced"
                " clusters have a client CA."
            )
        files, held = self._of_fleet(settings, cluster, arguments, task_vars)
        named = _client_ca.members(b"".join(authority.pem for path in files for authority in self._loaded(path)))
        if not named and arguments["state"] == "present":
            raise OnboardingError(
                f"The client CA of {cluster['name']} is not named: set ca_files (crdb_client_cert_cluster_ca_files), or"
                " client_ca_file (crdb_connection_client_ca_file) of the connection."
            )
        check = bool(self._task.check_mode)

        def work() -> dict[str, Any]:
            return self._reconcile(settings, cluster, named, held, arguments, check=check)

        facts = [[member.pem.decode() for member in named], held, arguments["state"], check]
        result = self.once(f"client CA {settings.url} {cluster['id']}", facts, work)
        if result.get("repeated"):
            result["report"] = [f"{cluster['name']}: done already in this run."]
        return result

    @staticmethod
    def _loaded(path: str) -> Sequence[Any]:
        try:
            return load(CaSource("ca_file", path))
        except OnboardingError as exc:
            raise OnboardingError(f"client_{exc}") from None

    def _of_fleet(
        self, settings: Settings, cluster: Mapping[str, Any], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> tuple[list[str], dict[str, list[str] | None]]:
        """The files that the hosts of the play name for a cluster, and what every host of the inventory has."""
        fleet = self.fleet(arguments, task_vars)
        paths = self.controller_paths()
        files: dict[str, None] = {}
        held: dict[str, list[str] | None] = {}
        asked = hosts_of_fleet(task_vars)
        listed = [str(host) for host in (task_vars.get("groups") or {}).get("all") or ()]
        for host in dict.fromkeys([*asked, *listed]):
            options = fleet.of(host, _OF_HOST)
            clusters = {name: _cluster.lookup(settings, name)["id"] for name in self.clusters_of(options)}
            if cluster["id"] not in clusters.values():
                continue
            if host in asked and options["state"] != arguments["state"]:
                raise OnboardingError(
                    f"state must be the same for all hosts of {cluster['name']}, but it is {arguments['state']} and, on"
                    f" {host}, {options['state']}."
                )
            certificates = options["certificates"]
            held[host] = certificates and [str(pem) for pem in certificates]
            if host in asked:
                named = options["ca_files"] or (
                    self._of_connections(options, clusters, str(cluster["id"])) if options["state"] == "present" else []
                )
                files.update(dict.fromkeys(paths.find(str(path)) for path in named))
        return list(files), held

    @staticmethod
    def _of_connections(options: Mapping[str, Any], clusters: Mapping[str, str], identifier: str) -> list[str]:
        """The client CAs of the connections to a cluster."""
        by_connection = _connections.clusters(options["connections"])
        return [
            str(facts["client_ca_file"])
            for facts in by_connection.values()
            if facts.get("client_ca_file") and clusters.get(str(facts["cluster"]).strip()) == identifier
        ]

    def _reconcile(
        self,
        settings: Settings,
        cluster: Mapping[str, Any],
        named: Sequence[_client_ca.Member],
        held: Mapping[str, Sequence[str] | None],
        arguments: Mapping[str, Any],
        *,
        check: bool,
    ) -> dict[str, Any]:
        name = str(cluster["name"])
        reconciler = _client_ca.ClientCaReconciler(CloudApi(settings), str(cluster["id"]), name)
        status, before = reconciler.read(0.0 if check else arguments["wait"])
        changes = _client_ca.plan(before, named, arguments["state"])
        if status == _client_ca.FAILED and not before and not arguments["allow_used"]:
            raise OnboardingError(
                f"The client CA of {name}: its last change failed, and the service does not show which certificates are"
                " in effect. Name all that must be, and set allow_used: true (crdb_client_cert_cluster_allow_used)."
            )
        if not arguments["allow_used"]:
            _client_ca.refuse_used(name, changes, held)
        failed = status == _client_ca.FAILED
        changed = failed or not changes.empty
        if changed and not check:
            reconciler.carry_out(changes, arguments["wait"])
        steps = changes.steps() or (["set the client CA again, because its last change failed"] if failed else [])
        report = [f"{name}: {'would ' if check else ''}{step}." for step in steps] or [f"{name}: nothing to change."]
        if changed:
            report.append(f"{name}: a change of the client CA interrupts existing connections; apps connect again.")
        return {
            "cluster": name,
            "changed": changed,
            "status": status if check or not changed else (_client_ca.IS_SET if changes.after else _client_ca.NOT_SET),
            "certificates": [member.shown() for member in (before if check else changes.after)],
            "done": [] if check else steps,
            "report": report,
            "diff": _client_ca.differences(name, changes),
        }
