# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find a cluster in the Cloud API, and the facts of a connection to it; each cluster is asked for once a run.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import bundle, is_public
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import NotFoundError
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.ca import CA_SOURCE_KEYS
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import DEFAULT_DATABASE
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

CLUSTER_KEYS = ("cluster", "region", "endpoint")
"""The keys of a connection that name a cluster and one of its host names."""
ENDPOINTS = ("public", "private")
"""The values of `endpoint`."""
READY_STATES = ("CREATED", "LOCKED", None)
_DEFAULTS = (("ca_public", False), ("ca_destination", "auto"))
_REPLACED_KEYS = ("url", "host", "port", "routing_id", "deployment")


def choose(clusters: Iterable[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """The cluster with this id or, failing that, this name, among those that the API lists; deleted ones do not count.

    Raises OnboardingError when there is none or more than one, with the names or ids to choose from.
    """
    alive = [dict(cluster) for cluster in clusters if cluster.get("state") != "DELETED"]
    matches = [c for c in alive if c.get("id") == name] or [c for c in alive if c.get("name") == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        identifiers = clean(", ".join(f"{c.get('id')} ({c.get('cloud_provider')})" for c in matches), 1000)
        raise OnboardingError(f"There are {len(matches)} clusters named {name!r}: give the id, one of {identifiers}.")
    names = clean(", ".join(sorted(str(cluster.get("name")) for cluster in alive)), 1000) or "none"
    raise OnboardingError(f"There is no cluster {name!r}, or the key may not see it; it sees: {names}.")


def deployment(cluster: Mapping[str, Any]) -> str:
    """`serverless` or `dedicated`, whether the API uses today's names of the plans or the former ones."""
    plan = str(cluster.get("plan") or "").upper()
    return "dedicated" if plan in ("ADVANCED", "DEDICATED") else "serverless"


def entry_limit(cluster: Mapping[str, Any]) -> int:
    """How many entries the allowlist of the cluster may have."""
    if deployment(cluster) == "serverless":
        return 50
    return 20 if cluster.get("cloud_provider") == "AWS" else 200


def host_of(cluster: Mapping[str, Any], region: str, endpoint: str, public_host: str) -> str:
    """The host name of an endpoint in a region.

    Args:
        cluster: as the API describes it.
        region: its name; empty for the primary or only region.
        endpoint: one of ENDPOINTS.
        public_host: the host name that serves all regions.

    Raises OnboardingError when the cluster has no such region or endpoint.
    """
    if not region and endpoint == "public":
        return public_host
    regions = [r for r in cluster.get("regions") or [] if isinstance(r, Mapping)]
    names = clean(", ".join(str(r.get("name")) for r in regions), 1000)
    if region:
        chosen = next((r for r in regions if r.get("name") == region), None)
    else:
        chosen = next((r for r in regions if r.get("primary")), regions[0] if len(regions) == 1 else None)
    if chosen is None:
        reason = (
            f"has no region {region!r}"
            if region
            else "has several regions: choose one with region (crdb_connection_region)"
        )
        raise OnboardingError(f"The cluster {cluster.get('name')} {reason}; it has {names}.")
    keys = ("sql_dns",) if endpoint == "public" else ("private_endpoint_dns", "internal_dns")
    host = next((str(chosen[key]) for key in keys if chosen.get(key)), "")
    if not host:
        raise OnboardingError(f"The cluster {cluster.get('name')} has no {endpoint} endpoint in {chosen.get('name')}.")
    return host


def lookup(settings: Settings, name: str) -> dict[str, Any]:
    """The cluster of this name or id, as the API describes it.

    Raises OnboardingError, the same one for every task of the run.
    """
    cluster: dict[str, Any] = _ask_once(
        f"cluster {settings.url} {name}", lambda: choose(CloudApi(settings).clusters(), name)
    )
    return cluster


def public_endpoint(settings: Settings, cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The cluster's public endpoint: `host`, `port`, `ca_text` (verified PEM) and `ca_public`, asked for once a run.

    Raises OnboardingError.
    """
    name = cluster.get("name")

    def read() -> dict[str, Any]:
        api = CloudApi(settings)
        identifier = str(cluster["id"])
        try:
            # Host and port are the same for every user and database.
            parameters = api.connection_string(identifier, "", DEFAULT_DATABASE)["params"]
            authorities = api.authorities(identifier)
            host, port = parameters["Host"], str(parameters["Port"])
            if not isinstance(host, str) or not re.fullmatch("[0-9]{1,5}", port):
                raise ValueError
            return {
                "host": host,
                "port": int(port),
                "ca_text": bundle(authorities).decode("ascii"),
                "ca_public": is_public(authorities),
            }
        except NotFoundError as exc:
            raise OnboardingError(f"{exc} Is the cluster still being created?") from None
        except (KeyError, TypeError, ValueError):
            raise OnboardingError(f"The Cloud API's connection string of {name} has no host or port.") from None

    endpoint: dict[str, Any] = _ask_once(f"end point {settings.url} {cluster['id']}", read)
    return endpoint


def _ask_once(key: str, work: Callable[[], Any]) -> Any:
    """The result or the OnboardingError of `work`, which is done once a run."""

    def outcome() -> dict[str, Any]:
        try:
            return {"value": work()}
        except OnboardingError as exc:
            return {"error": str(exc)}

    known, _first = _shared.once(key, outcome)
    if "error" in known:
        raise OnboardingError(known["error"])
    return known["value"]


def facts_of(settings: Settings, name: str, region: str = "", endpoint: str = "public") -> dict[str, Any]:
    """The facts of a connection to a cluster, without user, password and database. Raises OnboardingError."""
    if endpoint not in ENDPOINTS:
        raise OnboardingError(f"endpoint must be one of {', '.join(ENDPOINTS)}, not {endpoint!r}.")
    cluster = lookup(settings, name)
    state = cluster.get("state")
    if state not in READY_STATES:
        raise OnboardingError(f"The cluster {name} is in the state {clean(str(state), 60)}. Wait until it is CREATED.")
    public = public_endpoint(settings, cluster)
    return connection_facts(cluster, public, host_of(cluster, region, endpoint, public["host"]))


def connection_facts(cluster: Mapping[str, Any], public: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The facts of a connection to a host name of a cluster; `public` is its `public_endpoint`."""
    facts = {"deployment": deployment(cluster), "host": host, "port": public["port"], "ca_text": public["ca_text"]}
    if facts["deployment"] == "serverless":
        facts.update(ca_destination="root_crt", ca_public=public["ca_public"])
        routing_id = ((cluster.get("config") or {}).get("serverless") or {}).get("routing_id")
        if routing_id:
            facts["routing_id"] = routing_id
    return facts


def expand(label: str, facts: Any, settings: Callable[[], Settings]) -> Any:
    """A connection with its `cluster` replaced by the facts of that cluster; any other connection as it is.

    Args:
        label: names the connection in errors.
        facts: of one connection.
        settings: returns the settings, and raises OnboardingError where there is no key; called only for a cluster.

    Raises OnboardingError that begins with the label.
    """
    if not isinstance(facts, Mapping) or not facts.get("cluster"):
        return facts
    own = {key: value for key, value in facts.items() if value not in (None, "")}
    replaced = [key for key in _REPLACED_KEYS if key in own]
    if replaced:
        raise OnboardingError(
            f"{label} has cluster and {' and '.join(replaced)}, which the Cloud API gives. Remove"
            f" {' and '.join(replaced)}, or cluster."
        )
    if not own.get("user"):
        raise OnboardingError(
            f"{label} has cluster, but user is missing. Set it (crdb_connection_user) to the SQL user."
        )
    try:
        of_cluster = facts_of(
            settings(),
            *(str(own.get(key) or default) for key, default in zip(CLUSTER_KEYS, ("", "", "public"), strict=True)),
        )
    except OnboardingError as exc:
        raise OnboardingError(f"{label}: {exc}") from None
    if any(own.get(key) for key in CA_SOURCE_KEYS):
        of_cluster.pop("ca_text")
    # A default of the caller's must not replace what the cluster says.
    own = {key: value for key, value in own.items() if key not in CLUSTER_KEYS and (key, value) not in _DEFAULTS}
    return {**of_cluster, **own}
