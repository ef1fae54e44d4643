# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Cloud API knows of a failed check: the allowlist, the users, the cluster's state. It only reads.

Whatever goes wrong here becomes a note of the check, and its verdict stays.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.check import (
    Facts,
    cluster_sent,
    describe,
    note,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.pgwire import WireError
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import (
    KEY_VARIABLE,
    CloudApi,
    Settings,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

# The API is asked for a reason why, not waited for.
_TIMEOUT = 10.0
_ATTEMPTS = 2
# A playbook may change an allowlist and check again: what was read is used by hosts at the same time only.
_FRESH_SECONDS = 10.0
_SHOWN = 5

ALLOWLIST_CODES = ("not_in_allowlist", "proxy_refused", "tcp_timeout")
USER_CODES = ("password_rejected", "login_refused")
STATE_CODES = (
    *("dns_not_found", "tcp_refused", "tcp_timeout", "closed_without_a_word", "tls_handshake_refused"),
    *("server_hang_sslrequest", "server_hang_handshake", "server_hang_startup", "server_hang_auth"),
    *("server_hang_login", "server_hang_query", "unknown_cluster", "backend_unreachable", "server_unavailable"),
    *("proxy_internal_error", "proxy_unexplained", "server_starting", "server_stopping", "too_many_connections"),
)
_STATES = {
    "CREATING": "cluster_creating",
    "LOCKED": "cluster_locked",
    "CREATION_FAILED": "cluster_failed",
    "DELETED": "cluster_deleted",
}


def key_given(cloud: Mapping[str, Any]) -> bool:
    """Whether there is an API key, in the option `cloud` or in the environment."""
    return bool(cloud.get("api_key") or cloud.get("api_key_file") or os.environ.get(KEY_VARIABLE, "").strip())


def concerns(check: Mapping[str, Any]) -> bool:
    """Whether the API may know more about this verdict."""
    return not check["ok"] and check["code"] in (*ALLOWLIST_CODES, *USER_CODES, *STATE_CODES)


def confirm(
    check: dict[str, Any],
    endpoint: Mapping[str, Any],
    settings_of_run: Callable[[], Settings],
    public_address: Callable[[], str],
) -> dict[str, Any]:
    """The same check, with what the API says of it.

    `settings_of_run` says how the API is reached, and `public_address` finds the address by which the host reaches the
    internet. Both raise OnboardingError.
    """
    if endpoint.get("deployment") == "self_hosted":
        return check
    try:
        settings = settings_of_run()
        settings = replace(settings, timeout=min(settings.timeout, _TIMEOUT))
        cluster = _cluster_of(settings, endpoint)
        if cluster is None:
            text = note(
                "cloud_no_cluster", host=endpoint["host"], cluster=cluster_sent(facts_of(endpoint, check["address"]))
            )
            return {**check, "notes": [*check["notes"], text]}
        return _refined(check, endpoint, settings, cluster, public_address)
    except OnboardingError as exc:
        return {**check, "notes": [*check["notes"], note("cloud_api_silent", host=endpoint["host"], reason=exc)]}


def _recent(key: str, work: Callable[[], Any]) -> Any:
    """What one task of the run read a moment ago, an error too. Raises OnboardingError."""
    with _shared.alone(key):
        known = _shared.get(key)
        if known is None or time.time() - known["at"] > _FRESH_SECONDS:
            known = {"at": time.time()}
            try:
                known["value"] = work()
            except OnboardingError as exc:
                known["error"] = str(exc)
            known["at"] = time.time()
            _shared.put(key, known)
    if "error" in known:
        raise OnboardingError(known["error"])
    return known["value"]


def _cluster_of(settings: Settings, endpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """The cluster that an endpoint leads to: by its name or id, its routing id, or its host, when only one fits."""

    def work() -> list[dict[str, Any]]:
        keys = ("id", "name", "state", "operation_status", "config", "regions", "sql_dns", "plan")
        found = CloudApi(settings, attempts=_ATTEMPTS).clusters()
        return [{key: cluster.get(key) for key in keys} for cluster in found]

    clusters = _recent(f"confirm clusters {settings.url}", work)
    sent = cluster_sent(facts_of(endpoint))
    tests: Sequence[Callable[[dict[str, Any]], bool]] = (
        lambda cluster: endpoint.get("cluster") in (cluster["id"], cluster["name"]),
        lambda cluster: _routing_id(cluster) == (endpoint.get("routing_id") or sent),
        lambda cluster: str(endpoint["host"]).lower() in _hosts(cluster),
    )
    for test in tests:
        found = [cluster for cluster in clusters if test(cluster)]
        if len(found) == 1:
            chosen: dict[str, Any] = found[0]
            return chosen
    return None


def _routing_id(cluster: Mapping[str, Any]) -> str:
    return str(((cluster["config"] or {}).get("serverless") or {}).get("routing_id") or "")


def _hosts(cluster: Mapping[str, Any]) -> set[str]:
    hosts = {cluster["sql_dns"]}
    for region in cluster["regions"] or []:
        hosts.update(region.get(key) for key in ("sql_dns", "internal_dns", "private_endpoint_dns"))
    return {str(host).lower() for host in hosts if host}


def facts_of(endpoint: Mapping[str, Any], address: str | None = None) -> Facts:
    """What the sentences about an endpoint may name."""
    return Facts(
        name=str(endpoint.get("name") or endpoint["host"]),
        deployment=str(endpoint.get("deployment") or "serverless"),
        host=str(endpoint["host"]),
        port=int(endpoint.get("port") or 26257),
        user=str(endpoint["user"]),
        database=str(endpoint["database"]),
        routing_id=endpoint.get("routing_id") or None,
        options=endpoint.get("options") or None,
        address=address,
    )


def _refined(
    check: dict[str, Any],
    endpoint: Mapping[str, Any],
    settings: Settings,
    cluster: Mapping[str, Any],
    public_address: Callable[[], str],
) -> dict[str, Any]:
    seen: dict[str, Any] = {"cluster": cluster["name"], "state": cluster["state"]}
    words: dict[str, str] = {"cluster": str(cluster["name"])}
    notes: list[dict[str, str]] = []
    code = check["code"]
    if code in STATE_CODES and cluster["state"] in _STATES:
        code = _STATES[cluster["state"]]
    elif code in USER_CODES:
        users = _recent(
            f"confirm users {settings.url} {cluster['id']}",
            lambda: CloudApi(settings, attempts=_ATTEMPTS).users(cluster["id"]),
        )
        # Names fold to lower case.
        seen["user_exists"] = str(endpoint["user"]).lower() in {user.lower() for user in users}
        if code == "password_rejected":
            code = "password_wrong" if seen["user_exists"] else "user_unknown"
        elif not seen["user_exists"]:
            code = "user_unknown"
    elif code in ALLOWLIST_CODES and (code != "tcp_timeout" or endpoint.get("deployment") == "dedicated"):
        code, notes = _judged(code, endpoint, settings, cluster, public_address, seen, words)
    elif cluster["operation_status"] not in (None, "", "UNSPECIFIED"):
        notes = [
            note("cluster_busy", host=endpoint["host"], cluster=cluster["name"], state=cluster["operation_status"])
        ]
    result = {**check, "evidence": {**check["evidence"], "cloud_api": seen}, "notes": [*check["notes"], *notes]}
    if code == check["code"] and "allowlist" not in words:
        return result
    step = str(check["evidence"].get("step") or "startup")
    found = describe(code, step, WireError(""), facts_of(endpoint, check["address"]), **words)
    return {**result, "code": code, "cause": found.cause, "cure": found.cure}


def _judged(
    code: str,
    endpoint: Mapping[str, Any],
    settings: Settings,
    cluster: Mapping[str, Any],
    public_address: Callable[[], str],
    seen: dict[str, Any],
    words: dict[str, str],
) -> tuple[str, list[dict[str, str]]]:
    """The code that the allowlist and the host's public address give; `seen` and `words` are added to."""
    entries, propagating = _recent(
        f"confirm allowlist {settings.url} {cluster['id']}",
        lambda: CloudApi(settings, attempts=_ATTEMPTS).allowlist(cluster["id"]),
    )
    networks = [f"{entry.get('cidr_ip')}/{entry.get('cidr_mask')}" for entry in entries]
    seen.update(allowlist=networks[:50], propagating=propagating)
    shown = ", ".join(networks[:_SHOWN]) + (", ..." if len(networks) > _SHOWN else "")
    words["allowlist"] = f"the IP allowlist of cluster {cluster['name']} ({shown or 'empty'})"
    try:
        public = ipaddress.IPv4Address(public_address())
    except (OnboardingError, ValueError) as exc:
        return code, [note("public_address_unknown", host=endpoint["host"], reason=exc, allowlist=words["allowlist"])]
    seen["public_address"] = str(public)
    words.update(public=str(public), public_entry=f"{public}/32")
    holding = [entry for entry, network in zip(entries, networks, strict=True) if _holds(network, public)]
    if not holding:
        seen["missing_entry"] = f"{public}/32"
        return "allowlist_drops_address" if code == "tcp_timeout" else "not_in_allowlist", []
    if not any(entry.get("sql") for entry in holding):
        return "allowlist_without_sql", []
    return "allowlist_propagating" if propagating else "allowlist_holds_address", []


def _holds(network: str, address: ipaddress.IPv4Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
