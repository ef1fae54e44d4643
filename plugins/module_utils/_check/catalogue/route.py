# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about the proxy and the cluster behind it.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Entry

ENTRIES: Mapping[str, Entry] = {
    "missing_cluster_identifier": Entry(
        "The proxy at {host} ({address}) cannot tell which cluster is meant: the host name carries no routing id "
        "and neither does the database nor the options.",
        "Use the cluster's own host name from the Connect dialog in place of {host}, or add the option "
        "--cluster={cluster_hint}.",
    ),
    "invalid_cluster_identifier": Entry(
        "The proxy at {host} refuses {cluster_sent} as a routing id.",
        "Use the routing id as the Connect dialog shows it, <cluster-name>-<number>, for {host}; it is not the "
        "cluster's UUID.",
    ),
    "unknown_cluster": Entry(
        "The proxy at {host} knows no cluster {cluster}.",
        "Copy host {host} and the routing id from the Connect dialog again: the cluster was deleted or renamed, "
        "or lives at another host.",
        api_knows=("state",),
    ),
    "conflicting_cluster_identifiers": Entry(
        "Database {database} and options {options} name two different clusters to the proxy at {host}.",
        "Name the cluster of {host} once only: take the routing id out of the database or out of the options.",
    ),
    "multiple_cluster_flags": Entry(
        "The options {options} name a cluster more than once to the proxy at {host}.",
        "Leave one --cluster=<routing id> in the options for {host}.",
    ),
    "invalid_cluster_flag": Entry(
        "The options {options} name an empty cluster to the proxy at {host}.",
        "Write the routing id after --cluster= in the options for {host}, or take the option out.",
    ),
    "invalid_database_name": Entry(
        "The proxy at {host} cannot read database {database}: at most one dot may stand in it, between the "
        "routing id and the name.",
        "Use a database without a dot in its name at {host}; a serverless cluster cannot be reached with another.",
    ),
    "routing_failed": Entry(
        "The proxy at {host} could not find the cluster that is meant by database {database}, options {options} "
        "and the host name.",
        "Copy host {host} and the routing id of {name} from the Connect dialog again.",
        quotes_server=True,
    ),
    "not_in_allowlist": Entry(
        "The proxy at {host} ({address}) refuses {public}: it is not in {allowlist}.",
        "Add {public_entry} to the IP allowlist of cluster {cluster}, wait 30 s and check {host} again.",
        dict.fromkeys(
            ("dedicated", "self_hosted"),
            (
                "A proxy at {host} ({address}) refuses this machine's address, as the allowlist of a serverless "
                "cluster does.",
                "Add this machine's public IPv4 address to the IP allowlist of the cluster at {host}, and check "
                "that {name} is not a serverless cluster.",
            ),
        ),
        api_knows=("allowlist",),
    ),
    "allowlist_drops_address": Entry(
        "{address} port {port} ({host}) gives no answer: {public} is not in {allowlist}, and the cluster drops "
        "what comes from elsewhere.",
        "Add {public_entry} to the IP allowlist of cluster {cluster}, wait a minute and check {host} again.",
    ),
    "allowlist_propagating": Entry(
        "{host} ({address}) does not let this machine in yet: {public} is in {allowlist}, and a change of it has "
        "not taken effect everywhere.",
        "Wait 30 s and check {host} again.",
    ),
    "allowlist_without_sql": Entry(
        "{host} ({address}) does not let this machine in: {public} is in {allowlist}, with an entry that is not "
        "for SQL.",
        "Turn SQL on for the entry of {public} in the IP allowlist of cluster {cluster}, and check {host} again.",
    ),
    "allowlist_holds_address": Entry(
        "The proxy at {host} ({address}) refuses this machine although {public}, its address at the echo "
        "services, is in {allowlist}: SQL goes out by another address.",
        "Find the address that this machine reaches {host} by (NAT pool, VPN, private link), and add that to the "
        "IP allowlist of cluster {cluster}.",
        {
            "dedicated": (
                "{address} port {port} ({host}) gives no answer although {public} is in {allowlist}: something "
                "between it and this machine drops the packets, or SQL goes out by another address.",
                "Allow outgoing TCP from this machine to {host} port {port} in its firewall, security group or VPN.",
            )
        },
    ),
    "throttled": Entry(
        "The proxy at {host} ({address}) refuses this machine's address for now, after too many failed logins to "
        "cluster {cluster}.",
        "Stop whatever logs in to {host} with a wrong password from this network, wait up to an hour, and then "
        "try the right password once.",
        refuses_login=True,
    ),
    "proxy_refused": Entry(
        "The proxy at {host} ({address}) refuses the connection for a reason that this check does not know.",
        "Follow what the proxy says, and look at the IP allowlist of cluster {cluster} at {host}.",
        quotes_server=True,
        api_knows=("allowlist",),
    ),
    "backend_unreachable": Entry(
        "The proxy at {host} cannot reach the SQL servers of cluster {cluster}.",
        "Wait a minute and check {host} again; if it stays so, look at the cluster's state in the Console.",
        quotes_server=True,
        api_knows=("state",),
    ),
    "cluster_at_limit": Entry(
        "The proxy at {host} says that cluster {cluster} is disabled, having reached a limit of its plan.",
        "Raise the limits of cluster {cluster} ({host}) in the Console, or wait until the next billing period.",
        quotes_server=True,
    ),
    "cluster_paused": Entry(
        "The proxy at {host} says that cluster {cluster} is paused.",
        "Resume cluster {cluster} ({host}) in the Console, and check again after a minute.",
    ),
    "cluster_creating": Entry(
        "The Cloud API reports that cluster {cluster}, which {host} leads to, is still being created.",
        "Wait until cluster {cluster} is created, and check {host} again.",
    ),
    "cluster_locked": Entry(
        "The Cloud API reports that cluster {cluster}, which {host} leads to, is locked by an operation on it.",
        "Wait until the operation on cluster {cluster} ends (Console, cloud API), and check {host} again.",
    ),
    "cluster_failed": Entry(
        "The Cloud API reports that cluster {cluster}, which {host} leads to, could not be created.",
        "Create cluster {cluster} again, and take the host from its Connect dialog in place of {host}.",
    ),
    "cluster_deleted": Entry(
        "The Cloud API reports that cluster {cluster}, which {host} leads to, is deleted.",
        "Connect {name} to another cluster than the one of {host}, or restore cluster {cluster} from a backup.",
    ),
    "server_unavailable": Entry(
        "The proxy at {host} says that cluster {cluster} is not available.",
        "Look at the state and the limits of cluster {cluster} ({host}) in the Console, and raise or resume it: it may "
        "be paused, disabled or at a limit of its plan.",
        quotes_server=True,
        api_knows=("state",),
    ),
    "proxy_internal_error": Entry(
        "The proxy at {host} ({address}) reports an internal error.",
        "Wait a minute and check {host} again; if it stays so, tell the provider's support.",
        api_knows=("state",),
    ),
    "proxy_unexplained": Entry(
        "The proxy at {host} ({address}) ended the connection {when} with an error that gives no reason.",
        "Check {host} again; if it stays so, compare the host, database and options of {name} with the Connect dialog.",
        api_knows=("state",),
    ),
    "tenant_unavailable": Entry(
        "The server at {host} ({address}) runs no virtual cluster of the name that the options {options} or database "
        "{database} give.",
        "Correct the name in -ccluster= or before the slash of the database ('cluster:NAME/') for {host}, or start "
        "that virtual cluster (`SHOW VIRTUAL CLUSTERS` on the system one lists them).",
        quotes_server=True,
    ),
    "startup_cluster_refused": Entry(
        "The server at {host} ({address}) does not know the start-up option --cluster, which only the proxy of "
        "serverless clusters reads.",
        "Take --cluster out of the options of {name}; if the cluster is serverless, use the host from its Connect "
        "dialog in place of {host}.",
        quotes_server=True,
    ),
    "startup_option_refused": Entry(
        "The server at {host} ({address}) refuses the start-up option {parameter}.",
        "Correct {parameter} in the options of {name} ({options}), or take it out, and check {host} again.",
        quotes_server=True,
    ),
}
