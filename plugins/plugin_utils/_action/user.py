# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the actions that make SQL users share: one user, by the Cloud API or by SQL, once a run.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._action.cloud import CloudAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.host_inventory import HostInventory
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as _cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import certificates, tokens
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import (
    Source,
    alternating,
    with_password,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import grants as _grants
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import session as _session
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_api as _users
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_sql as _sql_user
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import decision as _decision

_SAID = {"create": "created", "set": "has a new password", "": "is there", "remove": "removed", "gone": "is not there"}
_WOULD = {"create": "would be created", "set": "would get a new password", "remove": "would be removed"}
BY_SQL = ("grants", "revoke", "role", "reassign_to")
"""The options that make sense for users made by SQL only."""


def title_of(target: _decision.Target) -> str:
    return f"{target.cluster_name}: the SQL user {target.user}"


class UserAction(CloudAction):
    """An action on SQL users."""

    def administrator(self, name: str, inventory: HostInventory) -> tuple[Source, str, str]:
        """The connection of the administrator, the key of its cluster in the store, and a name of that for people."""
        facts_by_name = inventory.connections
        if name not in facts_by_name:
            raise OnboardingError(
                f"admin: there is no connection {name!r}. The connections are {', '.join(facts_by_name)}."
            )
        source = with_password(inventory.source(name, facts_by_name[name]))
        if source.certificate is not None:
            raise OnboardingError(
                f"admin: connections.{name} has {source.certificate.kind}, whose certificates are for hosts. Give the"
                " administrator a password, or set sslcert and sslkey (crdb_connection_sslcert,"
                " crdb_connection_sslkey) to files on the controller."
            )
        if source.token is not None and source.token.kind != "jwt":
            raise OnboardingError(
                f"admin: connections.{name} has {source.token.kind}, which hosts use. Give the administrator's token"
                " by a lookup of the controller in jwt (crdb_connection_jwt)."
            )
        return (source, *inventory.server(facts_by_name[name], source))

    def administrator_by_api(
        self, name: str, inventory: HostInventory, arguments: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Create the administrator by the Cloud API where its cluster has one and nothing gives its password.

        What became of it; None where it needs nothing. Raises OnboardingError.
        """
        facts = inventory.connections.get(name) or {}
        store = inventory.store
        other_way = certificates.is_given(facts) or tokens.is_given(facts)
        known = other_way or any(facts.get(key) for key in ("password", "users")) or os.environ.get("PGPASSWORD")
        if known or store is None or not facts.get("cluster") or not facts.get("user"):
            return None
        settings = inventory.settings()
        cluster = _cluster.lookup(settings, str(facts["cluster"]))
        target = _decision.Target(str(cluster["id"]), str(cluster["name"]), _decision.user_name(str(facts["user"])))
        password, pending = store.get(target.cluster, target.user)
        if password is not None and not pending:
            return None
        options = {**arguments, "state": "present", "update_password": _decision.ON_CREATE}
        if not password and _users.is_lost(CloudApi(settings), target, store):
            raise OnboardingError(
                f"admin: the SQL user {target.user} of {target.cluster_name} exists, but its password is not in the"
                f" store. Set password in connections.{name}, or set PGPASSWORD in the environment. If nobody knows it,"
                f" set a new one first, in a run without admin, with clusters: {target.cluster_name},"
                f" name: {target.user} and update_password: always."
            )
        return self.user_by_api(settings, target, store, options, generated=True)

    def user_in_use(self, name: str, facts: dict[str, Any], inventory: HostInventory) -> str:
        """The user of a connection that names a cluster of the Cloud API, as it is set or as it alternates."""
        first, users = alternating(name, facts)
        if not users or inventory.store is None:
            return str(first.get("user") or "")
        cluster = _cluster.lookup(inventory.settings(), str(facts["cluster"]))
        return inventory.store.rotation(str(cluster["id"]), users).in_use or users[0]

    def user_by_api(
        self,
        settings: Settings,
        target: _decision.Target,
        store: PasswordStore | None,
        arguments: dict[str, Any],
        *,
        generated: bool = False,
    ) -> dict[str, Any]:
        """What became of one user by the Cloud API; with `generated`, the given password is not meant for it."""
        check = bool(self._task.check_mode)
        password = None if generated else _decision.given_password(arguments["password"])
        what = title_of(target)

        def work() -> dict[str, Any]:
            api = CloudApi(settings)
            notes = []
            if arguments["state"] == "absent":
                did = "remove" if _users.remove(api, target, store, check=check) else "gone"
            else:
                update, length = arguments["update_password"], arguments["password_length"]
                if _decision.Passwords.of(password, store, target).differs(update):
                    notes.append(f"{what} {_decision.DIFFERS_NOTE}")
                did = _users.ensure(api, target, password, store, update, length, check=check)
                if did == "create":
                    notes += [f"{what} {_users.ADMIN_NOTE}", *_decision.name_notes(target.user)]
            return self._told(target, did, [], notes)

        wanted = [arguments["state"], arguments["update_password"], check]
        return self._once(f"user {settings.url}", target, wanted, work)

    def user_by_sql(
        self,
        source: Source,
        target: _decision.Target,
        databases: list[str],
        store: PasswordStore | None,
        arguments: dict[str, Any],
    ) -> dict[str, Any]:
        default = databases[0] if databases else source.connection.database
        grants, memberships = _grants.parse(arguments["grants"], default)
        check = bool(self._task.check_mode)
        timeout = self.statement_timeout(arguments)
        wanted = _sql_user.DesiredUser(
            user=target.user,
            databases=tuple(dict.fromkeys([*(databases or [default]), *(grant.database for grant in grants)])),
            grants=grants,
            memberships=memberships,
            role=_decision.user_name(arguments["role"]) if arguments["role"] else "",
            revoke=arguments["revoke"],
            reassign_to=_session.folded(arguments["reassign_to"]),
        )
        secret = _sql_user.Secret(
            _decision.given_password(arguments["password"]),
            store,
            arguments["update_password"],
            arguments["password_length"],
        )

        def work() -> dict[str, Any]:
            if arguments["state"] == "absent":
                outcome = _sql_user.remove(source, target, wanted, store, check=check, statement_timeout=timeout)
            else:
                outcome = _sql_user.ensure(source, target, wanted, secret, check=check, statement_timeout=timeout)
            notes = [f"{target.cluster_name}: {note}" for note in outcome.notes]
            notes += _decision.name_notes(target.user) if outcome.did == "create" else []
            if _decision.Passwords.of(secret.password, store, target).differs(secret.update):
                notes.append(f"{title_of(target)} {_decision.DIFFERS_NOTE}")
            return self._told(target, outcome.did, outcome.statements, notes)

        facts = [arguments[name] for name in ("state", "update_password", *BY_SQL)]
        return self._once("user by sql", target, [*facts, check], work)

    @staticmethod
    def statement_timeout(arguments: dict[str, Any]) -> float:
        """The seconds of the option. Raises OnboardingError."""
        seconds = float(arguments["statement_timeout"])
        if seconds < 1:
            raise OnboardingError(
                f"statement_timeout (crdb_sql_user_statement_timeout): must be at least 1 second, not {seconds:g}."
            )
        return seconds

    def _told(self, target: _decision.Target, did: str, statements: list[str], notes: list[str]) -> dict[str, Any]:
        check = bool(self._task.check_mode)
        what = title_of(target)
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

    def _once(
        self, key: str, target: _decision.Target, wanted: list[Any], work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        result = self.once(f"{key} {target.cluster} {target.user}", wanted, work)
        if result.get("repeated"):
            result["report"] = [f"{title_of(target)}: done already in this run."]
        return result
