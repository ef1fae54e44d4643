# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils import (
    _cloud_api,
    _cluster,
    _grants,
    _onboarding,
    _sql_user,
    _users,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import STORE
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud_action import CloudAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._passwords import PasswordStore

_SAID = {"create": "created", "set": "has a new password", "": "is there", "remove": "removed", "gone": "is not there"}
_WOULD = {"create": "would be created", "set": "would get a new password", "remove": "would be removed"}
# What makes sense for users made by SQL only.
_BY_SQL = ("grants", "revoke", "role", "reassign_to")


def _title(target: _users.Target) -> str:
    return f"{target.cluster_name}: the SQL user {target.user}"


class ActionModule(CloudAction):
    """Create, change or remove the SQL user of each cluster that the host means, each once a run.

    By the Cloud API or, with `admin`, by SQL through that connection.
    """

    ARGUMENTS = {
        "clusters": {"type": "list", "elements": "str", "default": []},
        "name": {"type": "str", "default": ""},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "password": {"type": "str", "default": "", "no_log": True},
        "password_store": {"type": "str", "default": "", "no_log": False},
        "password_length": {"type": "int", "default": 32, "no_log": False},
        "update_password": {"type": "str", "choices": list(_users.UPDATES), "default": "on_create", "no_log": False},
        "admin": {"type": "str", "default": ""},
        "grants": {"type": "list", "elements": "dict", "default": []},
        "revoke": {"type": "bool", "default": False},
        "role": {"type": "str", "default": ""},
        "reassign_to": {"type": "str", "default": ""},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each user."""
        variables = self.variables(task_vars)
        if arguments["password_store"]:
            variables[STORE] = arguments["password_store"]
        results = self._by_sql(variables, arguments) if arguments["admin"] else self._by_api(variables, arguments)
        if not results:
            raise OnboardingError(
                "No SQL user was named: set crdb_sql_user_name and crdb_sql_user_clusters (or crdb_sql_user_admin), or"
                " a connection with cluster and user."
            )
        found: dict[str, Any] = {
            "changed": any(result["changed"] for result in results),
            "users": [{key: result[key] for key in ("cluster", "user", "changed")} for result in results],
            "report": [line for result in results for line in result["report"]],
        }
        if self._task.diff:
            found["diff"] = [result["diff"] for result in results if result["changed"]]
        return found

    def _by_api(self, variables: dict[str, Any], arguments: dict[str, Any]) -> list[dict[str, Any]]:
        only_sql = [f"crdb_sql_user_{name}" for name in _BY_SQL if arguments[name]]
        if only_sql:
            raise OnboardingError(
                f"{' and '.join(only_sql)}: the Cloud API makes administrators only. Name the connection of one in"
                " crdb_sql_user_admin, and the user is made by SQL."
            )
        settings = self.settings(variables)
        store = self.store(variables)
        results = []
        for cluster_name, user in self._named(variables, arguments):
            cluster = _cluster.lookup(settings, cluster_name)
            target = _users.Target(str(cluster["id"]), str(cluster["name"]), user)
            results.append(self._user(settings, target, store, arguments))
        return results

    def _named(self, variables: dict[str, Any], arguments: dict[str, Any]) -> list[tuple[str, str]]:
        given = arguments["name"].strip()
        if given:
            found = [(cluster, given) for cluster in self.clusters_of(variables, arguments["clusters"])]
            if not found:
                raise OnboardingError(f"No cluster was named for the SQL user {given}: set crdb_sql_user_clusters.")
        else:
            connections = _onboarding.clusters(variables).values()
            found = [
                (str(facts["cluster"]), str(facts["user"]))
                for facts in connections
                if facts.get("user")
                and not facts.get("sslcert")
                and str(facts["cluster"]) in self.clusters_of({}, arguments["clusters"] or [str(facts["cluster"])])
            ]
        return list(dict.fromkeys((cluster, _users.user_name(user)) for cluster, user in found))

    def _user(
        self,
        settings: _cloud_api.Settings,
        target: _users.Target,
        store: PasswordStore | None,
        arguments: dict[str, Any],
    ) -> dict[str, Any]:
        check = bool(self._task.check_mode)
        password = _users.given_password(arguments["password"])

        what = _title(target)

        def work() -> dict[str, Any]:
            api = _cloud_api.CloudApi(settings)
            notes = []
            if arguments["state"] == "absent":
                did = "remove" if _users.remove(api, target, store, check=check) else "gone"
            else:
                update, length = arguments["update_password"], arguments["password_length"]
                if _users.differs(password, store, target, update):
                    notes.append(f"{what} {_users.DIFFERS_NOTE}")
                did = _users.ensure(api, target, password, store, update, length, check=check)
                if did == "create":
                    notes.append(f"{what} {_users.ADMIN_NOTE}")
            return self._told(target, did, [], notes)

        wanted = [arguments["state"], arguments["update_password"], check]
        return self._once(f"user {settings.url}", target, wanted, work)

    def _by_sql(self, variables: dict[str, Any], arguments: dict[str, Any]) -> list[dict[str, Any]]:
        name = arguments["admin"]
        connections = _onboarding.connection_facts(variables)
        if name not in connections:
            raise OnboardingError(
                f"crdb_sql_user_admin: there is no connection {name!r} in crdb_connections; there are:"
                f" {', '.join(connections)}."
            )
        source = _onboarding.with_password(self.source(name, connections[name], variables))
        key, title = self.server(connections[name], source, variables)
        store = self.store(variables)
        return [
            self._user_by_sql(source, _users.Target(key, title, user), databases, store, arguments)
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

    def _user_by_sql(
        self,
        source: _onboarding.Source,
        target: _users.Target,
        databases: list[str],
        store: PasswordStore | None,
        arguments: dict[str, Any],
    ) -> dict[str, Any]:
        default = databases[0] if databases else source.connection.database
        grants, memberships = _grants.parse(arguments["grants"], default)
        check = bool(self._task.check_mode)
        wanted = _sql_user.Wanted(
            user=target.user,
            databases=tuple(dict.fromkeys([*(databases or [default]), *(grant.database for grant in grants)])),
            grants=grants,
            memberships=memberships,
            role=_users.user_name(arguments["role"]) if arguments["role"] else "",
            revoke=arguments["revoke"],
            reassign_to=arguments["reassign_to"],
        )
        secret = _sql_user.Secret(
            _users.given_password(arguments["password"]),
            store,
            arguments["update_password"],
            arguments["password_length"],
        )

        def work() -> dict[str, Any]:
            if arguments["state"] == "absent":
                outcome = _sql_user.remove(source, target, wanted, store, check=check)
            else:
                outcome = _sql_user.ensure(source, target, wanted, secret, check=check)
            notes = [f"{target.cluster_name}: {note}" for note in outcome.notes]
            if _users.differs(secret.password, store, target, secret.update):
                notes.append(f"{_title(target)} {_users.DIFFERS_NOTE}")
            return self._told(target, outcome.did, outcome.statements, notes)

        facts = [arguments[name] for name in ("state", "update_password", *_BY_SQL)]
        return self._once("user by sql", target, [*facts, check], work)

    def _told(self, target: _users.Target, did: str, statements: list[str], notes: list[str]) -> dict[str, Any]:
        check = bool(self._task.check_mode)
        what = _title(target)
        before = "absent" if did in ("create", "gone") else "present"
        after = "absent" if did in ("remove", "gone") else "present, with a new password" if did == "set" else "present"
        said = (_WOULD if check and did in _WOULD else _SAID)[did]
        verb = "would run" if check else "ran"
        return {
            "cluster": target.cluster_name,
            "user": target.user,
            "changed": did in _WOULD or bool(statements),
            "report": [
                f"{what} {said}.",
                *(f"{target.cluster_name}: {verb} {statement}" for statement in statements),
                *notes,
            ],
            "diff": {
                "before_header": what,
                "after_header": what,
                "before": f"{before}\n",
                "after": "".join(f"{line}\n" for line in (after, *statements)),
            },
        }

    def _once(self, key: str, target: _users.Target, wanted: list[Any], work: Callable[[], dict[str, Any]]) -> Any:
        result = self.once(f"{key} {target.cluster} {target.user}", wanted, work)
        if result.get("repeated"):
            result["report"] = [f"{_title(target)}: done already in this run."]
        return result
