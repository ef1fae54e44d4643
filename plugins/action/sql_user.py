# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import STORE
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.user import BY_SQL, USER_ARGUMENTS, UserAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import facts as _onboarding
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_api as _users

_NOTHING = (
    "No connection of this host has a user that the Cloud API, or crdb_sql_user_admin, could make: nothing to do."
)


class ActionModule(UserAction):
    """Create, change or remove the SQL user of each cluster that the host means, each once a run.

    By the Cloud API or, with `admin`, by SQL through that connection.
    """

    ARGUMENTS = {
        **USER_ARGUMENTS,
        "clusters": {"type": "list", "elements": "str", "default": []},
        "name": {"type": "str", "default": ""},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "password": {"type": "str", "default": "", "no_log": True},
        "update_password": {"type": "str", "choices": list(_users.UPDATES), "default": "on_create", "no_log": False},
        "reassign_to": {"type": "str", "default": ""},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each user."""
        variables = self.variables(task_vars)
        if arguments["password_store"]:
            variables[STORE] = arguments["password_store"]
        results = self._by_sql(variables, arguments) if arguments["admin"] else self._by_api(variables, arguments)
        if not results and (arguments["name"] or arguments["clusters"]):
            raise OnboardingError(
                "No SQL user was named: set crdb_sql_user_name and crdb_sql_user_clusters (or crdb_sql_user_admin), or"
                " a connection with cluster and user."
            )
        found: dict[str, Any] = {
            "changed": any(result["changed"] for result in results),
            "users": [{key: result[key] for key in ("cluster", "user", "changed")} for result in results],
            "report": [line for result in results for line in result["report"]] or [_NOTHING],
        }
        if self._task.diff:
            found["diff"] = [result["diff"] for result in results if result["changed"]]
        return found

    def _by_api(self, variables: dict[str, Any], arguments: dict[str, Any]) -> list[dict[str, Any]]:
        only_sql = [f"crdb_sql_user_{name}" for name in BY_SQL if arguments[name]]
        if only_sql:
            raise OnboardingError(
                f"{' and '.join(only_sql)}: the Cloud API makes administrators only. Name the connection of one in"
                " crdb_sql_user_admin, and the user is made by SQL."
            )
        named = self._named(variables, arguments)
        if not named:
            # A fleet of self-hosted clusters has no key.
            return []
        settings = self.settings(variables)
        store = self.store(variables)
        results = []
        for cluster_name, user in named:
            cluster = _cluster.lookup(settings, cluster_name)
            target = _users.Target(str(cluster["id"]), str(cluster["name"]), user)
            results.append(self.user_by_api(settings, target, store, arguments))
        return results

    def _named(self, variables: dict[str, Any], arguments: dict[str, Any]) -> list[tuple[str, str]]:
        given = arguments["name"].strip()
        if given:
            found = [(cluster, given) for cluster in self.clusters_of(variables, arguments["clusters"])]
            if not found:
                raise OnboardingError(f"No cluster was named for the SQL user {given}: set crdb_sql_user_clusters.")
        else:
            connections = [
                {**facts, "user": self.user_in_use(name, facts, variables)}
                for name, facts in _onboarding.clusters(variables).items()
            ]
            found = [
                (str(facts["cluster"]), str(facts["user"]))
                for facts in connections
                if facts.get("user")
                and not facts.get("sslcert")
                and str(facts["cluster"]) in self.clusters_of({}, arguments["clusters"] or [str(facts["cluster"])])
            ]
        return list(dict.fromkeys((cluster, _users.user_name(user)) for cluster, user in found))

    def _by_sql(self, variables: dict[str, Any], arguments: dict[str, Any]) -> list[dict[str, Any]]:
        name = arguments["admin"]
        source, key, title = self.administrator(name, variables)
        connections = _onboarding.connection_facts(variables)
        store = self.store(variables)
        return [
            self.user_by_sql(source, _users.Target(key, title, user), databases, store, arguments)
            for user, databases in self._named_by_sql(name, key, connections, variables, arguments).items()
        ]

    def _named_by_sql(
        self,
        admin: str,
        key: str,
        connections: dict[str, dict[str, Any]],
        variables: dict[str, Any],
        arguments: dict[str, Any],
    ) -> dict[str, list[str]]:
        """The users of the administrator's cluster, each with the databases of its connections."""
        given = _users.user_name(arguments["name"].strip()) if arguments["name"].strip() else ""
        found: dict[str, list[str]] = {given: []} if given else {}
        for name, facts in connections.items():
            if name == admin:
                continue
            source = self.source(name, facts, variables)
            user = source.connection.user.lower()
            if self.server(facts, source, variables)[0] != key or source.connection.sslcert:
                continue
            if not given:
                user = _users.user_name(user)
            if not given or user == given:
                found.setdefault(user, []).append(source.connection.database)
        return found
