# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection given as `cluster: NAME`, resolved through the Cloud API; each cluster is asked for once a run.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import bundle, is_public
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import (
    CloudApi,
    NotFoundError,
    Settings,
    deployment,
    find,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import DEFAULT_DATABASE
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

KEYS = ("cluster", "region", "endpoint")
ENDPOINTS = ("public", "private")
_UNSAID = (("ca_public", False), ("ca_destination", "auto"))
_REPLACED = ("url", "host", "port", "routing_id", "deployment")


def lookup(settings: Settings, name: str) -> dict[str, Any]:
    """The cluster as the API describes it. Raises OnboardingError, the same one for every task of the run."""

    def work() -> dict[str, Any]:
        try:
            return {"cluster": find(CloudApi(settings), name)}
        except OnboardingError as exc:
            return {"error": str(exc)}

    found, _first = _shared.once(f"cluster {settings.url} {name}", work)
    if "error" in found:
        raise OnboardingError(found["error"])
    cluster: dict[str, Any] = found["cluster"]
    return cluster


def end_point(settings: Settings, cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Host and port as the API's own connection string has them, and the CA, verified; once a run."""

    def work() -> dict[str, Any]:
        api = CloudApi(settings)
        identifier = str(cluster["id"])
        try:
            # The user and the database of a connection change nothing of this.
            parameters = api.connection_string(identifier, "", DEFAULT_DATABASE)["params"]
            authorities = api.authorities(identifier)
            return {
                "host": str(parameters["Host"]),
                "port": int(parameters["Port"]),
                "ca_text": bundle(authorities).decode("ascii"),
                "ca_public": is_public(authorities),
            }
        except NotFoundError as exc:
            return {"error": f"{exc} Is the cluster still being created?"}
        except OnboardingError as exc:
            return {"error": str(exc)}
        except (KeyError, TypeError, ValueError):
            return {"error": f"The Cloud API's connection string of {cluster.get('name')} has no host or port."}

    found, _first = _shared.once(f"end point {settings.url} {cluster['id']}", work)
    if "error" in found:
        raise OnboardingError(found["error"])
    end: dict[str, Any] = found
    return end


def host_of(cluster: Mapping[str, Any], region: str, endpoint: str, public: str) -> str:
    """The host name for a region (empty: the cluster's own) and an end point. Raises OnboardingError."""
    if not region and endpoint == "public":
        return public
    regions = [r for r in cluster.get("regions") or [] if isinstance(r, Mapping)]
    names = ", ".join(str(r.get("name")) for r in regions)
    if region:
        chosen = next((r for r in regions if r.get("name") == region), None)
    else:
        chosen = next((r for r in regions if r.get("primary")), regions[0] if len(regions) == 1 else None)
    if chosen is None:
        reason = f"has no region {region!r}" if region else "has several regions: say which in region"
        raise OnboardingError(f"The cluster {cluster.get('name')} {reason}; it has {names}.")
    keys = ("sql_dns",) if endpoint == "public" else ("private_endpoint_dns", "internal_dns")
    host = next((str(chosen[key]) for key in keys if chosen.get(key)), "")
    if not host:
        raise OnboardingError(f"The cluster {cluster.get('name')} has no {endpoint} end point in {chosen.get('name')}.")
    return host


def facts_of(settings: Settings, name: str, region: str = "", endpoint: str = "public") -> dict[str, Any]:
    """The facts of a connection to a cluster, without user, password and database. Raises OnboardingError."""
    if endpoint not in ENDPOINTS:
        raise OnboardingError(f"endpoint: {endpoint!r} is none of {', '.join(ENDPOINTS)}.")
    cluster = lookup(settings, name)
    state = cluster.get("state")
    if state not in ("CREATED", "LOCKED", None):
        raise OnboardingError(f"The cluster {name} is in the state {state}: wait until it is CREATED.")
    end = end_point(settings, cluster)
    facts = {
        "deployment": deployment(cluster),
        "host": host_of(cluster, region, endpoint, end["host"]),
        "port": end["port"],
        "ca_text": end["ca_text"],
    }
    if facts["deployment"] == "serverless":
        facts.update(ca_destination="root_crt", ca_public=end["ca_public"])
        routing_id = ((cluster.get("config") or {}).get("serverless") or {}).get("routing_id")
        if routing_id:
            facts["routing_id"] = routing_id
    return facts


def expand(name: str, facts: Any, settings: Callable[[], Settings]) -> Any:
    """The facts of a connection with `cluster` looked up; others unchanged. Raises OnboardingError.

    `settings` says how the API is reached, and raises OnboardingError without a key.
    """
    if not isinstance(facts, Mapping) or not facts.get("cluster"):
        return facts
    given = {key: value for key, value in facts.items() if value not in (None, "")}
    both = [key for key in _REPLACED if key in given]
    if both:
        raise OnboardingError(
            f"connections.{name}: has cluster, which supplies {' and '.join(both)}: leave one of them out."
        )
    if not given.get("user"):
        raise OnboardingError(f"connections.{name}: has cluster, but no SQL user: set user.")
    try:
        found = facts_of(
            settings(), str(given["cluster"]), str(given.get("region") or ""), str(given.get("endpoint") or "public")
        )
    except OnboardingError as exc:
        raise OnboardingError(f"connections.{name}: {exc}") from None
    own = {key: value for key, value in given.items() if key not in KEYS}
    if any(own.get(key) for key in ("ca_file", "ca_url", "ca_text")):
        found.pop("ca_text")
    # The role's defaults say nothing.
    own = {key: value for key, value in own.items() if (key, value) not in _UNSAID}
    return {**found, **own}
