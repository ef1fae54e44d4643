# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an action's options say about its host: connections and apps, each read once a task.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.project import Project
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import cluster as cloud_cluster
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings, key_is_set
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections, origin, schema
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import (
    FORMER_NAME,
    App,
    app_entries,
    apps,
    refuse_unknown_frameworks,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import Source
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.questions import Prompt


class HostInventory:
    """The connections and apps of one host, from the options that the documentation fragments declare.

    Args:
        options: `connections`, `apps`, `cloud`, `password_store`, `samples`; each may be missing.
        vault: Ansible's VaultLib, for a password store that is encrypted.
        prompt: asks a person without echo; None takes only what was typed before in this run. What needs no answer is
            validated before the first question.

    Every attribute raises OnboardingError for options that are not valid, before anything has changed.
    """

    def __init__(self, options: Mapping[str, Any], *, vault: Any = None, prompt: Prompt | None = None) -> None:
        self._options = options
        self._vault = vault
        self._prompt = prompt
        self._projects: Mapping[str, Mapping[str, Project]] = {}

    @cached_property
    def connections(self) -> dict[str, dict[str, Any]]:
        """The facts of every connection by name, as they were set."""
        if self._prompt is not None:
            refuse_unknown_frameworks(self.entries, catalogue.load())
        return connections.connection_facts(self._options.get("connections"), prompt=self._prompt)

    @property
    def has_connection(self) -> bool:
        """Whether the options, the environment or an answer of this run give a connection; nobody is asked for one."""
        return connections.is_given(self._options.get("connections"))

    def place(self, name: str) -> str:
        """Where a connection came from, for people."""
        return origin.place(name, self.connections.get(name), self.url_label)

    @cached_property
    def url_label(self) -> str:
        """What people call the connection string where no variable holds it; empty where one does."""
        return connections.url_label(self._options.get("connections"))

    @property
    def clusters(self) -> dict[str, dict[str, Any]]:
        """Those of the connections that name a cluster of the Cloud API; nobody is asked for one."""
        return connections.clusters(self._options.get("connections"))

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Every connection by name, validated and with its password."""
        return {
            name: connections.with_password(self.source(name, facts), prompt=self._prompt)
            for name, facts in self.connections.items()
        }

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """The entries of `apps` with their defaults. Needs no connection."""
        return app_entries(self._options.get("apps"), samples=bool(self._options.get("samples")))

    @cached_property
    def apps(self) -> tuple[App, ...]:
        """Every app of the host, validated."""
        return self.apps_with(self.sources)

    def apps_with(self, sources: Mapping[str, Source]) -> tuple[App, ...]:
        """Every app of the host with these connections."""
        return apps(self.entries, sources, catalogue.load(), self.projects)

    @property
    def projects(self) -> Mapping[str, Mapping[str, Project]]:
        """The projects in the apps' folders, by app and language, as far as the host was asked."""
        return self._projects

    def in_projects(self, projects: Mapping[str, Mapping[str, Project]]) -> None:
        """From now on, the apps are in these projects. Apps that were validated in the same ones are kept."""
        projects = {app: by_language for app, by_language in projects.items() if by_language}
        if projects != self._projects:
            self._projects = projects
            self.__dict__.pop("apps", None)

    @property
    def app_names(self) -> list[str]:
        """The names of the apps. Needs no connection."""
        return sorted({entry["name"] for entry in self.entries})

    @property
    def unnamed_folders(self) -> dict[str, str]:
        """The folders of apps that have no name of their own, by the name that they got. Needs no connection."""
        apps = self._options.get("apps")
        given = [{}] if apps is None else apps
        return {
            entry["name"]: entry["folder"]
            for facts, entry in zip(given, self.entries, strict=True)
            if not (isinstance(facts, Mapping) and facts.get("name"))
        }

    @property
    def renamed(self) -> list[dict[str, str]]:
        """The apps that had another name in earlier releases, as the module `files` takes them."""
        return [
            {"old": FORMER_NAME, "new": entry["name"], "folder": entry["folder"], "user": entry["user"]}
            for entry in self.entries
            if entry["named_after_folder"] and entry["name"] != FORMER_NAME
        ]

    @property
    def users(self) -> list[str]:
        """The system users whose files the apps have; root owns a service's drop-in. Needs no connection."""
        return sorted({entry["user"] for entry in self.entries} | {"root" for e in self.entries if e["service"]})

    @property
    def services(self) -> list[str]:
        """The systemd services of the apps. Needs no connection."""
        return [entry["service"] for entry in self.entries if entry["service"]]

    @cached_property
    def store(self) -> PasswordStore | None:
        """The store of generated passwords, where there is one."""
        path = self._options.get("password_store")
        return PasswordStore(str(path), self._vault) if path else None

    @property
    def key_is_set(self) -> bool:
        """Whether there is a key for the Cloud API."""
        return key_is_set(self._options.get("cloud") or {})

    def settings(self) -> Settings:
        """How the Cloud API is reached. Raises OnboardingError without a key."""
        return Settings.from_options(schema.validated("cloud", self._options.get("cloud") or {}, "cloud"))

    def source(self, name: str, facts: Any) -> Source:
        """One connection: its cluster looked up, with the password that is stored for its user, if any."""
        if isinstance(facts, Mapping):
            # The API is asked for nothing before the whole entry is valid.
            facts = schema.validated("connections", facts, origin.label(name, {}))
        facts, users = connections.alternating(name, facts)
        source = connections.source(
            name,
            cloud_cluster.expand(origin.label(name, facts, "cluster"), facts, self.settings),
            url=self.url_label,
            cloud=self._options.get("cloud"),
            prompt=self._prompt,
        )
        if users:
            source = replace(source, connection=source.connection.replace(user=self._user_in_use(source, facts, users)))
        if self.store is None or source.has_login:
            return source
        key, _title = self.server(facts, source)
        password, _pending = self.store.get(key, source.connection.user.lower())
        return source if password is None else replace(source, connection=source.connection.replace(password=password))

    def _user_in_use(self, source: Source, facts: Mapping[str, Any], users: Sequence[str]) -> str:
        if self.store is None:
            raise OnboardingError(
                f"{origin.label(source.name, facts, 'users')}: two users alternate, and password_store keeps which one"
                " is in use: set crdb_sql_user_password_store."
            )
        return self.store.rotation(self.server(facts, source)[0], users).in_use or users[0]

    def server(self, facts: Mapping[str, Any], source: Source) -> tuple[str, str]:
        """The key of a connection's cluster in the password store, and a name for people."""
        if isinstance(facts, Mapping) and facts.get("cluster"):
            cluster = cloud_cluster.lookup(self.settings(), str(facts["cluster"]))
            return str(cluster["id"]), str(cluster["name"])
        connection = source.connection
        address = f"{connection.host}:{connection.port}"
        key = f"{address}/{connection.routing_id}" if connection.routing_id else address
        return key, connection.routing_id or address
