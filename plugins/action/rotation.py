# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.fleet import hosts_of_play
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.user import UserAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import api as _cloud_api
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import certificates
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import Source, alternating
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore, Rotation, generate
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import parse_url, pasted_url
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan as _orphan
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import Sessions
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_sql as _sql_user
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import removal as _removal
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.decision import NEW, Target, user_name

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


def _used(inventory: HostInventory) -> set[str]:
    """The names of the connections that the apps of a host use."""
    names = list(inventory.connections)
    only = names[0] if len(names) == 1 else ""
    return {str(entry.get("connection") or only) for entry in inventory.entries}


class ActionModule(UserAction):
    """Begin the change of a connection's credentials, or finish it when every host has the new ones; once a run."""

    OPTIONS = "rotation"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what was begun or finished."""
        inventory = self.inventory(arguments)
        results = []
        for place in self._places(inventory, arguments):
            if arguments["state"] == "begun":
                work = self._begin(place, inventory, arguments)
            else:
                work = self._finish(place, inventory, arguments, task_vars)
            inputs = [arguments["state"], bool(self._task.check_mode)]
            result = self.once(f"rotation {place.cluster} {place.users}", inputs, work)
            if result.get("repeated"):
                result["report"] = []
            results.append(result)
        return {
            "changed": any(result["changed"] for result in results),
            "finished": all(result["finished"] for result in results),
            "report": [*self._issued(inventory, arguments), *(line for result in results for line in result["report"])],
        }

    def _issued(self, inventory: HostInventory, arguments: dict[str, Any]) -> list[str]:
        """What becomes of the connections with client certificates: the rollout renews these."""
        issued = [name for name, facts in inventory.connections.items() if certificates.is_issued(facts)]
        named = [name for name in issued if name in arguments["names"] and name in _used(inventory)]
        if arguments["state"] != "begun" or not named:
            return []

        def work() -> dict[str, Any]:
            return {
                "changed": False,
                "report": [
                    f"{name}: the rollout renews its client certificates that end soon. To renew all of them now, set"
                    " renew (crdb_client_cert_renew): true."
                    for name in named
                ],
            }

        result = self.once(f"rotation of certificates {named}", [arguments["state"]], work)
        return [] if result.get("repeated") else list(result["report"])

    def _places(self, inventory: HostInventory, arguments: dict[str, Any]) -> list[_Place]:
        """Those of the connections that the apps of this host use."""
        names = arguments["names"]
        unknown = sorted(set(names) - set(inventory.connections))
        if unknown:
            raise OnboardingError(f"names: there is no connection {', '.join(unknown)}.")
        used = _used(inventory)
        places = []
        for name, facts in inventory.connections.items():
            _first, users = alternating(name, facts)
            if name in used and (name in names if names else users) and not certificates.is_issued(facts):
                places.append(self._place(name, facts, inventory, arguments))
        return places

    def _place(self, name: str, facts: dict[str, Any], inventory: HostInventory, arguments: dict[str, Any]) -> _Place:
        if inventory.store is None:
            raise OnboardingError(
                f"password_store (crdb_sql_user_password_store) is missing: the new password of {name} must be kept in"
                " a file."
            )
        _first, users = alternating(name, facts)
        source = inventory.source(name, facts)
        if not users:
            self._refuse_single(name, facts, source, allowed=arguments["single"])
            users = (source.connection.user.lower(),)
        elif arguments["admin"] and not arguments["role"]:
            raise OnboardingError(
                f"connections.{name}: what one of {' and '.join(users)} creates must belong to the other too: set role"
                " (crdb_sql_user_role) to a role that owns it."
            )
        cluster, title = inventory.server(facts, source)
        names = tuple(user_name(user) for user in users)
        return _Place(dict(facts), names, cluster, title, source.connection.database, inventory.store)

    @staticmethod
    def _refuse_single(name: str, facts: dict[str, Any], source: Source, *, allowed: bool) -> None:
        if source.token is not None:
            raise OnboardingError(
                f"connections.{name}: logs in with a token ({source.token.kind}), which its issuer renews. There is"
                " nothing to rotate: leave this connection out."
            )
        if source.connection.sslcert:
            raise OnboardingError(
                f"connections.{name}: logs in with the certificate in sslcert, which crdb.onboard did not issue. Set"
                " client_ca_file (crdb_connection_client_ca_file) to have certificates issued and renewed."
            )
        if facts.get("password") or (facts.get("url") and parse_url(pasted_url(str(facts["url"]))).password):
            raise OnboardingError(
                f"connections.{name}: has a password, which programs would go on using. Leave it out: password_store"
                " (crdb_sql_user_password_store) supplies it."
            )
        if not allowed:
            raise OnboardingError(
                f"connections.{name}: has one user, {source.connection.user}. Between the change of its password and"
                " the moment a host has the new one, programs of that host cannot log in. Set two users in users"
                " (crdb_connection_users), or set single: true (crdb_rotation_single) to accept that."
            )

    def _hosts_of(self, place: _Place, arguments: dict[str, Any], task_vars: dict[str, Any]) -> set[str]:
        """All hosts of the inventory, and of the play, whose apps use the connection."""
        using = set()
        fleet = self.fleet(arguments, task_vars)
        for host in {*task_vars["groups"]["all"], *hosts_of_play(task_vars)}:
            inventory = self.inventory(fleet.of(host, ("connections", "apps")))
            try:
                used = _used(inventory)
                same = {
                    name
                    for name, facts in inventory.connections.items()
                    if isinstance(facts, dict) and all(facts.get(key) == place.facts.get(key) for key in _SAME)
                }
            except OnboardingError:
                continue  # a host without connections
            if used & same:
                using.add(host)
        return using

    def _begin(
        self, place: _Place, inventory: HostInventory, arguments: dict[str, Any]
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
            report = self._give_password(place, following, inventory, arguments)
            place.keep(Rotation(current, following, ready=True, since=time.time()))
            line = f"{place.what}: {following} has a new password, and is rolled out in place of {current}."
            return {"changed": True, "finished": False, "report": [*report, line]}

        return work

    def _give_password(
        self, place: _Place, user: str, inventory: HostInventory, arguments: dict[str, Any]
    ) -> list[str]:
        target = Target(place.cluster, place.title, user)
        options = {**arguments, "state": "present", "password": "", "update_password": NEW, "reassign_to": ""}
        if arguments["admin"]:
            source, key, _title = self.administrator(arguments["admin"], inventory)
            self._require_same(key, place)
            result = self.user_by_sql(source, target, [place.database], place.store, options)
        elif place.facts.get("cluster"):
            result = self.user_by_api(inventory.settings(), target, place.store, options)
        else:
            raise OnboardingError(
                f"{place.what}: the password cannot be changed. Set admin (crdb_sql_user_admin) to an administrator's"
                " connection, or set cluster (crdb_connection_cluster) in the connection to use the Cloud API."
            )
        return list(result["report"])

    @staticmethod
    def _require_same(key: str, place: _Place) -> None:
        if key != place.cluster:
            raise OnboardingError(
                f"{place.what}: the administrator in admin belongs to another cluster. Rotate the connections of one"
                " cluster in a run: list them in names."
            )

    def _finish(
        self, place: _Place, inventory: HostInventory, arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> Callable[[], dict[str, Any]]:
        def work() -> dict[str, Any]:
            rotation = place.state()
            if not rotation.ready:
                return {"changed": False, "finished": True, "report": [f"{place.what}: no change is under way."]}
            using = self._hosts_of(place, arguments, task_vars)
            have = {*rotation.hosts, *(set(task_vars["ansible_play_hosts"]) & using)} & using
            missing = sorted(using - have)
            if self._task.check_mode:
                return {"changed": not missing, "finished": False, "report": [f"{place.what}: would be finished."]}
            place.keep(replace(rotation, hosts=tuple(sorted(have))))
            old = rotation.current
            if missing:
                hosts = ", ".join(missing)
                line = (
                    f"{place.what}: {hosts} does not have the new credentials yet. Run the playbook for it too. Until"
                    f" then {old} can log in too."
                    if old != rotation.following
                    else f"{place.what}: {hosts} does not have the new password yet, and its programs cannot log in."
                )
                return {"changed": True, "finished": False, "report": [line]}
            took = time.time() - rotation.since
            if old == rotation.following:
                line = (
                    f"{place.what}: every host has the new password. The last one had it at most {took:.0f} s after it"
                    " was changed. Until then its programs could not log in."
                )
            else:
                _orphan.pause(arguments["grace"])
                self._retire(place, old, inventory, arguments)
                line = f"{place.what}: every host uses {rotation.following}; {old} can no longer log in."
            place.keep(Rotation(rotation.following))
            return {"changed": True, "finished": True, "report": [line]}

        return work

    def _retire(self, place: _Place, old: str, inventory: HostInventory, arguments: dict[str, Any]) -> None:
        """Let nobody log in as the old user, which stays for the next time; what it made is the role's."""
        if arguments["admin"]:
            source, key, _title = self.administrator(arguments["admin"], inventory)
            self._require_same(key, place)
            with Sessions(source, self.statement_timeout(arguments)) as sessions:
                statements = _removal.reassignment(sessions, old, user_name(arguments["role"]))
                sessions.run([*statements, _sql_user.retirement(sessions.database, old)], [])
        else:
            _cloud_api.CloudApi(inventory.settings()).set_password(place.cluster, old, generate())
        place.store.remove(place.cluster, old)
