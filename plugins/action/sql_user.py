# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils import _cloud_api, _cluster, _onboarding, _users
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import STORE
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud_action import CloudAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._passwords import PasswordStore

_SAID = {"create": "created", "set": "has a new password", "": "is there", "remove": "removed", "gone": "is not there"}
_WOULD = {"create": "would be created", "set": "would get a new password", "remove": "would be removed"}


class ActionModule(CloudAction):
    """Create, change or remove the SQL user of each cluster that the host means, each once a run."""

    ARGUMENTS = {
        "clusters": {"type": "list", "elements": "str", "default": []},
        "name": {"type": "str", "default": ""},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "password": {"type": "str", "default": "", "no_log": True},
        "password_store": {"type": "str", "default": "", "no_log": False},
        "password_length": {"type": "int", "default": 32, "no_log": False},
        "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what became of each user."""
        variables = self.variables(task_vars)
        settings = self.settings(variables)
        if arguments["password_store"]:
            variables[STORE] = arguments["password_store"]
        store = self.store(variables)
        results = []
        for cluster_name, user in self._named(variables, arguments):
            cluster = _cluster.lookup(settings, cluster_name)
            target = _users.Target(str(cluster["id"]), str(cluster["name"]), user)
            results.append(self._user(settings, target, store, arguments))
        if not results:
            raise OnboardingError(
                "No SQL user was named: set crdb_sql_user_name and crdb_sql_user_clusters, or a connection with"
                " cluster and user."
            )
        found: dict[str, Any] = {
            "changed": any(result["changed"] for result in results),
            "users": [{key: result[key] for key in ("cluster", "user", "changed")} for result in results],
            "report": [line for result in results for line in result["report"]],
        }
        if self._task.diff:
            found["diff"] = [result["diff"] for result in results if result["changed"]]
        return found

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
        password = arguments["password"] or None
        what = f"{target.cluster_name}: the SQL user {target.user}"

        def work() -> dict[str, Any]:
            api = _cloud_api.CloudApi(settings)
            if arguments["state"] == "absent":
                did = "remove" if _users.remove(api, target, store, check=check) else "gone"
            else:
                update, length = arguments["update_password"], arguments["password_length"]
                did = _users.ensure(api, target, password, store, update, length, check=check)
            changed = did in _WOULD
            report = [f"{what} {(_WOULD if check and changed else _SAID)[did]}."]
            if did == "create":
                report.append(f"{what} {_users.ADMIN_NOTE}")
            before = "absent" if did in ("create", "gone") else "present"
            after = (
                "absent" if did in ("remove", "gone") else "present, with a new password" if did == "set" else "present"
            )
            diff = {
                "before_header": what,
                "after_header": what,
                "before": f"{before}\n",
                "after": f"{after}\n",
            }
            return {
                "cluster": target.cluster_name,
                "user": target.user,
                "changed": changed,
                "report": report,
                "diff": diff,
            }

        wanted = [arguments["state"], arguments["update_password"], check]
        result = self.once(f"user {settings.url} {target.cluster} {target.user}", wanted, work)
        if result.get("repeated"):
            result["report"] = [f"{what}: done already in this run."]
        return result
