# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import STORE
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.user import USER_ARGUMENTS, UserAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import api as _cloud_api
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import facts as _onboarding
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore, Rotation, generate
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import parse_url
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import Sessions
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_sql as _sql_user
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.by_api import NEW, Target, user_name

# By these two connections of different hosts are the same.
_SAME = ("cluster", "url", "host", "port", "routing_id", "user", "users")


@dataclass(frozen=True)
class _Place:
    """A connection whose credentials change: one user gets a new password, or two alternate."""

    facts: dict[str, Any]
    users: tuple[str, ...]
    cluster: str
    title: str
    database: str
    store: PasswordStore

    @property
    def what(self) -> str:
        return f"{self.title}: {' and '.join(self.users)}"

    def state(self) -> Rotation:
        return self.store.rotation(self.cluster, self.users)

    def keep(self, rotation: Rotation) -> None:
        self.store.set_rotation(self.cluster, self.title, self.users, rotation)


class ActionModule(UserAction):
    """Begin the change of a connection's credentials, or finish it when every host has the new ones; once a run."""

    ARGUMENTS = {
        **USER_ARGUMENTS,
        "state": {"type": "str", "choices": ["begun", "finished"], "required": True},
        "connections": {"type": "list", "elements": "str", "default": []},
        "single": {"type": "bool", "default": False},
        "grace": {"type": "float", "default": 0.0},
    }

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what was begun or finished."""
        variables = self.variables(task_vars)
        if arguments["password_store"]:
            variables[STORE] = arguments["password_store"]
        results = []
        for place in self._places(variables, arguments):
            if arguments["state"] == "begun":
                work = self._begin(place, variables, arguments)
            else:
                work = self._finish(place, variables, arguments, task_vars)
            wanted = [arguments["state"], bool(self._task.check_mode)]
            result = self.once(f"rotation {place.cluster} {place.users}", wanted, work)
            if result.get("repeated"):
                result["report"] = []
            results.append(result)
        return {
            "changed": any(result["changed"] for result in results),
            "finished": all(result["finished"] for result in results),
            "report": [line for result in results for line in result["report"]],
        }

    def _places(self, variables: dict[str, Any], arguments: dict[str, Any]) -> list[_Place]:
        """Those of the connections that the apps of this host use."""
        connections = _onboarding.connection_facts(variables)
        unknown = sorted(set(arguments["connections"]) - set(connections))
        if unknown:
            raise OnboardingError(f"crdb_rotation_connections: there is no connection {', '.join(unknown)}.")
        used = self._used(variables, connections)
        store = self.store(variables)
        found = []
        for name, facts in connections.items():
            _first, users = _onboarding.alternating(name, facts)
            if name not in used or (name not in arguments["connections"] if arguments["connections"] else not users):
                continue
            if store is None:
                raise OnboardingError(f"The new password of {name} has to be kept: name a file in {STORE}.")
            source = self.source(name, facts, variables)
            if not users:
                self._refuse_single(name, facts, source, allowed=arguments["single"])
                users = (source.connection.user.lower(),)
            elif arguments["admin"] and not arguments["role"]:
                raise OnboardingError(
                    f"crdb_connections.{name}: what one of {' and '.join(users)} makes is to be the other's as well:"
                    " name a role that owns it in crdb_sql_user_role."
                )
            cluster, title = self.server(facts, source, variables)
            names = tuple(user_name(user) for user in users)
            found.append(_Place(dict(facts), names, cluster, title, source.connection.database, store))
        return found

    @staticmethod
    def _refuse_single(name: str, facts: dict[str, Any], source: _onboarding.Source, *, allowed: bool) -> None:
        if source.connection.sslcert:
            raise OnboardingError(f"crdb_connections.{name}: logs in by a certificate, which is not rotated here.")
        if facts.get("password") or (facts.get("url") and parse_url(str(facts["url"])).password):
            raise OnboardingError(
                f"crdb_connections.{name}: gives a password, which would go on being used: leave it out, and it is"
                f" taken from {STORE}."
            )
        if not allowed:
            raise OnboardingError(
                f"crdb_connections.{name}: has one user, {source.connection.user}: from the moment that the password is"
                " changed until a host has the new one, its programs cannot log in anew. Give two in users, or say"
                " crdb_rotation_single: true."
            )

    @staticmethod
    def _used(variables: dict[str, Any], connections: dict[str, Any]) -> set[str]:
        """The names of the connections that the apps of a host use."""
        only = next(iter(connections)) if len(connections) == 1 else ""
        return {str(app.get("connection") or only) for app in _onboarding.app_facts(variables, connections)}

    def _hosts_of(self, place: _Place, task_vars: dict[str, Any]) -> set[str]:
        """All hosts of the inventory, and of the play, whose apps use the connection."""
        found = set()
        for host in {*task_vars["groups"]["all"], *self.hosts(task_vars)}:
            variables, _values = self.seen_by(host, {}, task_vars)
            try:
                connections = _onboarding.connection_facts(variables)
                used = self._used(variables, connections)
            except OnboardingError:
                continue  # none of the hosts that are rolled out to
            same = [
                name
                for name, facts in connections.items()
                if isinstance(facts, dict) and all(facts.get(key) == place.facts.get(key) for key in _SAME)
            ]
            if used & set(same):
                found.add(host)
        return found

    def _begin(
        self, place: _Place, variables: dict[str, Any], arguments: dict[str, Any]
    ) -> Callable[[], dict[str, Any]]:
        def work() -> dict[str, Any]:
            rotation = place.state()
            current = rotation.current or place.users[0]
            if rotation.following and rotation.ready:
                have = ", ".join(rotation.hosts) or "no host"
                line = f"{place.what}: the change to {rotation.following} goes on; {have} has finished it."
                return {"changed": False, "finished": False, "report": [line]}
            idle = next((user for user in place.users if user != current), current)
            following = rotation.following or idle
            if self._task.check_mode:
                line = f"{place.what}: {following} would get a new password, and be rolled out in place of {current}."
                return {"changed": True, "finished": False, "report": [line]}
            place.keep(Rotation(current, following))
            report = self._give_password(place, following, variables, arguments)
            place.keep(Rotation(current, following, ready=True, since=time.time()))
            line = f"{place.what}: {following} has a new password, and is rolled out in place of {current}."
            return {"changed": True, "finished": False, "report": [*report, line]}

        return work

    def _give_password(
        self, place: _Place, user: str, variables: dict[str, Any], arguments: dict[str, Any]
    ) -> list[str]:
        target = Target(place.cluster, place.title, user)
        options = {**arguments, "state": "present", "password": "", "update_password": NEW, "reassign_to": ""}
        if arguments["admin"]:
            source, key, _title = self.administrator(arguments["admin"], variables)
            self._require_same(key, place)
            result = self.user_by_sql(source, target, [place.database], place.store, options)
        elif place.facts.get("cluster"):
            result = self.user_by_api(self.settings(variables), target, place.store, options)
        else:
            raise OnboardingError(
                f"{place.what}: no way to change a password: name an administrator's connection in crdb_sql_user_admin,"
                " or give the connection as a cluster of the Cloud API."
            )
        return list(result["report"])

    @staticmethod
    def _require_same(key: str, place: _Place) -> None:
        if key != place.cluster:
            raise OnboardingError(
                f"{place.what}: the administrator of crdb_sql_user_admin is one of another cluster. Rotate the"
                " connections of one cluster a run: crdb_rotation_connections."
            )

    def _finish(
        self, place: _Place, variables: dict[str, Any], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> Callable[[], dict[str, Any]]:
        def work() -> dict[str, Any]:
            rotation = place.state()
            if not rotation.ready:
                return {"changed": False, "finished": True, "report": [f"{place.what}: no change is under way."]}
            using = self._hosts_of(place, task_vars)
            have = {*rotation.hosts, *(set(task_vars["ansible_play_hosts"]) & using)} & using
            missing = sorted(using - have)
            if self._task.check_mode:
                return {"changed": not missing, "finished": False, "report": [f"{place.what}: would be finished."]}
            place.keep(replace(rotation, hosts=tuple(sorted(have))))
            old = rotation.current
            if missing:
                line = (
                    f"{place.what}: {', '.join(missing)} has not the new credentials yet. Run this for it as well;"
                    f" until then {old} can log in too."
                    if old != rotation.following
                    else f"{place.what}: {', '.join(missing)} has not the new password yet, and cannot log in anew."
                )
                return {"changed": True, "finished": False, "report": [line]}
            took = time.time() - rotation.since
            if old == rotation.following:
                line = (
                    f"{place.what}: every host has the new password. The last one had it at most {took:.0f} s after it"
                    " was changed; until then its programs could not log in anew."
                )
            else:
                time.sleep(arguments["grace"])
                self._retire(place, old, variables, arguments)
                line = f"{place.what}: every host uses {rotation.following}; {old} can no longer log in."
            place.keep(Rotation(rotation.following))
            return {"changed": True, "finished": True, "report": [line]}

        return work

    def _retire(self, place: _Place, old: str, variables: dict[str, Any], arguments: dict[str, Any]) -> None:
        """Let nobody log in as the old user, which stays for the next time; what it made is the role's."""
        if arguments["admin"]:
            source, key, _title = self.administrator(arguments["admin"], variables)
            self._require_same(key, place)
            with Sessions(source) as sessions:
                statements = _sql_user.reassignment(sessions, old, user_name(arguments["role"]))
                sessions.run([*statements, _sql_user.retirement(sessions.database, old)], [])
        else:
            _cloud_api.CloudApi(self.settings(variables)).set_password(place.cluster, old, generate())
        place.store.remove(place.cluster, old)
