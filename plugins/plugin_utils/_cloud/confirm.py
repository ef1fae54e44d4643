# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask the Cloud API why a check failed: the allowlist, the SQL users, the state of the cluster. It only reads.

An error of the API becomes a note of the check; the verdict of the check stays.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import codes_known_to_api, note
from ansible_collections.crdb.onboard.plugins.module_utils._check.diagnosis import describe
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts, cluster_sent
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import WireError
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

# A reason is worth asking for, not waiting for.
_TIMEOUT = 10.0
_ATTEMPTS = 2
# A playbook may change an allowlist and check again, so a response is reused only by hosts that ask at the same time.
_FRESH_SECONDS = 10.0
_SHOWN = 5
_LISTED = 50

ALLOWLIST_CODES = codes_known_to_api("allowlist")
USER_CODES = codes_known_to_api("user")
STATE_CODES = codes_known_to_api("state")
_STATES = {
    "CREATING": "cluster_creating",
    "LOCKED": "cluster_locked",
    "CREATION_FAILED": "cluster_failed",
    "DELETED": "cluster_deleted",
}


@dataclass(frozen=True)
class Finding:
    """What the API adds to a check.

    Args:
        code: the check's own code, or a more exact one.
        evidence: goes into the check's evidence as `cloud_api`.
        words: values for the sentences of the code.
        notes: more notes of the check.
    """

    code: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[dict[str, str], ...] = ()


def concerns(check: Mapping[str, Any]) -> bool:
    """Whether the API may know more about this verdict."""
    return not check["ok"] and check["code"] in (*ALLOWLIST_CODES, *USER_CODES, *STATE_CODES)


def confirm(
    check: dict[str, Any],
    endpoint: Mapping[str, Any],
    read_settings: Callable[[], Settings],
    public_address: Callable[[], str],
) -> dict[str, Any]:
    """The same check, with what the API knows about it.

    Args:
        check: of one endpoint, failed.
        endpoint: which was checked.
        read_settings: returns the settings of the API; raises OnboardingError.
        public_address: finds the host's public IPv4 address; raises OnboardingError.
    """
    if endpoint.get("deployment") == "self_hosted":
        return check
    try:
        settings = read_settings()
        settings = replace(settings, timeout=min(settings.timeout, _TIMEOUT))
        cluster = matching_cluster(_clusters(settings), endpoint)
        if cluster is None:
            text = note(
                "cloud_no_cluster", host=endpoint["host"], cluster=cluster_sent(facts_of(endpoint, check["address"]))
            )
            return {**check, "notes": [*check["notes"], text]}
        return _with_finding(check, endpoint, cluster, _ask(check["code"], endpoint, settings, cluster, public_address))
    except OnboardingError as exc:
        return {**check, "notes": [*check["notes"], note("cloud_api_silent", host=endpoint["host"], reason=exc)]}


def _recent(key: str, work: Callable[[], Any]) -> Any:
    """The result or the error of `work`, or what another task of the run got a moment ago. Raises OnboardingError."""
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


def _clusters(settings: Settings) -> list[dict[str, Any]]:
    def work() -> list[dict[str, Any]]:
        keys = ("id", "name", "state", "operation_status", "config", "regions", "sql_dns", "plan")
        clusters = CloudApi(settings, attempts=_ATTEMPTS).clusters()
        return [{key: cluster.get(key) for key in keys} for cluster in clusters]

    clusters: list[dict[str, Any]] = _recent(f"confirm clusters {settings.url}", work)
    return clusters


def matching_cluster(clusters: Sequence[dict[str, Any]], endpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """The only cluster with the endpoint's name or id, else its routing id, else its host; None where none is."""
    routing_id = endpoint.get("routing_id") or cluster_sent(facts_of(endpoint))
    tests: Sequence[Callable[[dict[str, Any]], bool]] = (
        lambda cluster: endpoint.get("cluster") in (cluster["id"], cluster["name"]),
        lambda cluster: _routing_id(cluster) == routing_id,
        lambda cluster: str(endpoint["host"]).lower() in _hosts(cluster),
    )
    for test in tests:
        matches = [cluster for cluster in clusters if test(cluster)]
        if len(matches) == 1:
            return matches[0]
    return None


def _routing_id(cluster: Mapping[str, Any]) -> str:
    return str(((cluster["config"] or {}).get("serverless") or {}).get("routing_id") or "")


def _hosts(cluster: Mapping[str, Any]) -> set[str]:
    hosts = {cluster["sql_dns"]}
    for region in cluster["regions"] or []:
        hosts.update(region.get(key) for key in ("sql_dns", "internal_dns", "private_endpoint_dns"))
    return {str(host).lower() for host in hosts if host}


def facts_of(endpoint: Mapping[str, Any], address: str | None = None) -> Facts:
    """The facts that the sentences about an endpoint may name."""
    facts = Facts(
        name=str(endpoint.get("name") or endpoint["host"]),
        deployment=str(endpoint.get("deployment") or "serverless"),
        host=str(endpoint["host"]),
        port=int(endpoint.get("port") or 26257),
        user=str(endpoint["user"]),
        database=str(endpoint["database"]),
    )
    facts.routing_id = endpoint.get("routing_id") or None
    facts.options = endpoint.get("options") or None
    facts.address = address
    return facts


def _ask(
    code: str,
    endpoint: Mapping[str, Any],
    settings: Settings,
    cluster: Mapping[str, Any],
    public_address: Callable[[], str],
) -> Finding:
    """Read what the code needs, and decide. Raises OnboardingError."""
    api = CloudApi(settings, attempts=_ATTEMPTS)
    if code in STATE_CODES and cluster["state"] in _STATES:
        return Finding(_STATES[cluster["state"]])
    if code in USER_CODES:
        users = _recent(f"confirm users {settings.url} {cluster['id']}", lambda: api.users(cluster["id"]))
        return judge_user(code, str(endpoint["user"]), users)
    if code in ALLOWLIST_CODES and (code != "tcp_timeout" or endpoint.get("deployment") == "dedicated"):
        entries, propagating = _recent(
            f"confirm allowlist {settings.url} {cluster['id']}", lambda: api.allowlist(cluster["id"])
        )
        listed = judge_allowlist(code, str(cluster["name"]), entries, propagating=propagating)
        try:
            public = ipaddress.IPv4Address(public_address())
        except (OnboardingError, ValueError) as exc:
            names = {"host": endpoint["host"], "reason": exc, "allowlist": listed.words["allowlist"]}
            return replace(listed, notes=(note("public_address_unknown", **names),))
        return judge_address(listed, entries, public)
    if cluster["operation_status"] not in (None, "", "UNSPECIFIED"):
        names = {"host": endpoint["host"], "cluster": cluster["name"], "state": cluster["operation_status"]}
        return Finding(code, notes=(note("cluster_busy", **names),))
    return Finding(code)


def _with_finding(
    check: dict[str, Any], endpoint: Mapping[str, Any], cluster: Mapping[str, Any], finding: Finding
) -> dict[str, Any]:
    evidence = {"cluster": cluster["name"], "state": cluster["state"], **finding.evidence}
    result = {
        **check,
        "evidence": {**check["evidence"], "cloud_api": evidence},
        "notes": [*check["notes"], *finding.notes],
    }
    if finding.code == check["code"] and "allowlist" not in finding.words:
        return result
    step = str(check["evidence"].get("step") or "startup")
    words = {"cluster": str(cluster["name"]), **finding.words}
    diagnosis = describe(finding.code, step, WireError(""), facts_of(endpoint, check["address"]), **words)
    return {**result, "code": finding.code, "cause": diagnosis.cause, "cure": diagnosis.cure}


def judge_user(code: str, user: str, users: Sequence[str]) -> Finding:
    """Why a login was refused: one of USER_CODES, or whether the user exists, whose name folds to lower case."""
    exists = user.lower() in {name.lower() for name in users}
    if not exists:
        code = "user_unknown"
    elif code == "password_rejected":
        code = "password_wrong"
    return Finding(code, {"user_exists": exists})


def judge_allowlist(code: str, cluster: str, entries: Sequence[Mapping[str, Any]], *, propagating: bool) -> Finding:
    """The allowlist as evidence and as words, while the public address of the host is not known."""
    networks = [_network(entry) for entry in entries]
    shown = ", ".join(networks[:_SHOWN]) + (", ..." if len(networks) > _SHOWN else "")
    words = {"allowlist": f"the IP allowlist of cluster {cluster} ({shown or 'empty'})"}
    return Finding(code, {"allowlist": networks[:_LISTED], "propagating": propagating}, words)


def judge_address(listed: Finding, entries: Sequence[Mapping[str, Any]], public: ipaddress.IPv4Address) -> Finding:
    """What an allowlist means for a host's public address; `listed` comes from `judge_allowlist`."""
    network = f"{public}/32"
    evidence = {**listed.evidence, "public_address": str(public)}
    admitting = [entry for entry in entries if _holds(_network(entry), public)]
    if not admitting:
        evidence["missing_entry"] = network
        code = "allowlist_drops_address" if listed.code == "tcp_timeout" else "not_in_allowlist"
    elif not any(entry.get("sql") for entry in admitting):
        code = "allowlist_without_sql"
    else:
        code = "allowlist_propagating" if evidence["propagating"] else "allowlist_holds_address"
    return Finding(code, evidence, {**listed.words, "public": str(public), "public_entry": network})


def _network(entry: Mapping[str, Any]) -> str:
    return clean(f"{entry.get('cidr_ip')}/{entry.get('cidr_mask')}", 60)


def _holds(network: str, address: ipaddress.IPv4Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
