# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.fleet import hosts_of_fleet, hosts_of_play
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.user import BY_SQL, UserAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import certificates, tokens
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import decision as _users

_OF_HOST = ("connections", "clusters", "name", "password_store", "admin", "grants", "revoke", "role", "reassign_to")
"""The options that each host of a fleet sets for itself."""
_NOTHING = (
    "Nothing to do: no connection of this host has a user that the Cloud API, or the connection in admin, could create."
)


class ActionModule(UserAction):
    """Create, change or remove the SQL user of each cluster that the host means, each once a run.

    By the Cloud API or, with `admin`, by SQL through that connection.
    """

    OPTIONS = "sql_user"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each user."""
        results: list[dict[str, Any]] = []
        for options in self._of_fleet(arguments, task_vars):
            inventory = self.inventory(options)
            of_host = self._by_sql(inventory, options) if options["admin"] else self._by_api(inventory, options)
            known = {(result["cluster"], result["user"]) for result in results}
            results += [result for result in of_host if (result["cluster"], result["user"]) not in known]
        if not results and (arguments["name"] or arguments["clusters"]):
            raise OnboardingError(
                "There is no SQL user to work on: set name and clusters, or admin (crdb_sql_user_name,"
                " crdb_sql_user_clusters, crdb_sql_user_admin), or a connection with cluster and user."
            )
        outcome: dict[str, Any] = {
            "changed": any(result["changed"] for result in results),
            "users": [{key: result[key] for key in ("cluster", "user", "changed")} for result in results],
            "report": [line for result in results for line in result["report"]] or [_NOTHING],
        }
        if self._task.diff:
            outcome["diff"] = [result["diff"] for result in results if result["changed"]]
        return outcome

    def _of_fleet(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The options of this host, and where it stands for the whole inventory those of all its hosts."""
        others = [host for host in hosts_of_fleet(task_vars) if host not in hosts_of_play(task_vars)]
        if not others:
            yield arguments
        for host in others:
            yield {**arguments, **self.fleet(arguments, task_vars).of(host, _OF_HOST)}

    def _by_api(self, inventory: HostInventory, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        only_sql = [name for name in BY_SQL if arguments[name]]
        if only_sql:
            raise OnboardingError(
                f"{' and '.join(only_sql)}: the Cloud API creates administrators only. Set admin"
                " (crdb_sql_user_admin) to the connection of an administrator to create the user by SQL."
            )
        named = self._named(inventory, arguments)
        if not named:
            # A fleet of self-hosted clusters has no key.
            return []
        settings = inventory.settings()
        results = []
        for cluster_name, user in named:
            cluster = _cluster.lookup(settings, cluster_name)
            target = _users.Target(str(cluster["id"]), str(cluster["name"]), user)
            results.append(self.user_by_api(settings, target, inventory.store, arguments))
        return results

    def _named(self, inventory: HostInventory, arguments: dict[str, Any]) -> list[tuple[str, str]]:
        """The clusters and their users: the option's user, else those of the connections."""
        name = arguments["name"].strip()
        clusters = self.clusters_of(arguments)
        if name:
            pairs = [(cluster, name) for cluster in clusters]
            if not pairs:
                raise OnboardingError(
                    f"No cluster is known for the SQL user {name}: set clusters (crdb_sql_user_clusters)."
                )
        else:
            pairs = []
            for connection, facts in inventory.clusters.items():
                user = self.user_in_use(connection, facts, inventory)
                cluster = str(facts["cluster"])
                other_way = certificates.is_given(facts) or tokens.is_given(facts)
                if user and not other_way and (not arguments["clusters"] or cluster in clusters):
                    pairs.append((cluster, user))
        return list(dict.fromkeys((cluster, _users.user_name(user)) for cluster, user in pairs))

    def _by_sql(self, inventory: HostInventory, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        created = None
        if arguments["state"] == "present":
            created = self.administrator_by_api(arguments["admin"], inventory, arguments)
            if created and self._task.check_mode:
                # Nobody can log in as a user who would be created.
                created["report"].append("The SQL statements can be previewed once this user exists.")
                return [created]
        source, key, title = self.administrator(arguments["admin"], inventory)
        return [
            *([created] if created else []),
            *(
                self.user_by_sql(source, _users.Target(key, title, user), databases, inventory.store, arguments)
                for user, databases in self._named_by_sql(key, inventory, arguments).items()
            ),
        ]

    @staticmethod
    def _named_by_sql(key: str, inventory: HostInventory, arguments: dict[str, Any]) -> dict[str, list[str]]:
        """The users of the administrator's cluster, each with the databases of its connections."""
        name = _users.user_name(arguments["name"].strip()) if arguments["name"].strip() else ""
        databases: dict[str, list[str]] = {name: []} if name else {}
        for connection, facts in inventory.connections.items():
            if connection == arguments["admin"]:
                continue
            source = inventory.source(connection, facts)
            user = source.connection.user.lower()
            if inventory.server(facts, source)[0] != key or source.without_password:
                continue
            if not name:
                user = _users.user_name(user)
            if not name or user == name:
                databases.setdefault(user, []).append(source.connection.database)
        return databases
