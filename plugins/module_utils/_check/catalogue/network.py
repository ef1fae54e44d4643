# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about reaching the host: name, addresses, TCP.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import SAME_NETWORK, Entry

ENTRIES: Mapping[str, Entry] = {
    "host_invalid": Entry(
        "'{host}' is not a name that can be looked up.",
        "Replace '{host}' in the connection of {name} with the host from the Connect dialog, without scheme, "
        "port or spaces.",
    ),
    "dns_not_found": Entry(
        "The name {host} does not exist for the DNS servers of this machine.",
        "Copy the host of {name} from the cluster's Connect dialog again; if {host} is right, the cluster is "
        "deleted, or its private DNS zone is not linked to this machine's network.",
        {
            "self_hosted": (
                "The name {host} does not exist for the DNS servers of this machine.",
                "Correct the host of {name}, or add {host} to the DNS zone or hosts file that this machine uses.",
            )
        },
        api_knows=("state",),
    ),
    "dns_timeout": Entry(
        "No DNS server answered this machine's question for {host} in time.",
        "Check this machine's DNS servers (/etc/resolv.conf) and that they can be reached on port 53, then ask "
        "for {host} again.",
    ),
    "dns_temporary": Entry(
        "The DNS servers of this machine could not answer for {host} now: {error}.",
        "Check this machine's DNS servers (/etc/resolv.conf) and its network, then look {host} up again.",
    ),
    "dns_failed": Entry(
        "Looking up {host} failed: {error}.",
        "Check this machine's name resolution (/etc/resolv.conf, /etc/nsswitch.conf) with `getent hosts {host}`.",
    ),
    "dns_filtered": Entry(
        "The name {host} leads to {error} on this machine, which is no server's address: a DNS filter answers so for "
        "names that it blocks.",
        "Let {host} through the DNS filter (Pi-hole, AdGuard, a company's resolver) or the hosts file of this machine; "
        "`getent hosts {host}` shows what it answers.",
    ),
    "no_ipv4_address": Entry(
        "{host} has IPv6 addresses only (tried {address}), and this machine has no route to them.",
        "Give {host} an IPv4 address that this machine can reach, or give this machine an IPv6 route.",
    ),
    "tcp_refused": Entry(
        "{address} port {port} ({host}) refuses TCP connections: nothing listens there, or a firewall rejects them.",
        "Check that the node of {host} runs, and that port {port} is the one of its --listen-addr or --sql-addr.",
        {
            "serverless": (
                "{address} port {port} ({host}) refuses TCP connections; this is not the IP allowlist, which "
                "answers later and over TLS.",
                "Compare host {host} and port {port} with the Connect dialog, then " + SAME_NETWORK + ".",
            ),
            "dedicated": (
                "{address} port {port} ({host}) refuses TCP connections; this is not the IP allowlist, which "
                "gives no answer at all.",
                "Compare host {host} and port {port} with the Connect dialog, and try again after a minute if "
                "the cluster is restarting.",
            ),
        },
        api_knows=("state",),
    ),
    "tcp_timeout": Entry(
        "{address} port {port} ({host}) gives no answer: a firewall drops the packets, or no machine has that address.",
        "Check that the node of {host} is up, and let this machine's address through its firewall to port {port}.",
        {
            "serverless": (
                "{address} port {port} ({host}) gives no answer although it is open to everyone: something "
                "between it and this machine drops the packets.",
                "Allow outgoing TCP from this machine to {host} port {port} in its firewall, security group or VPN.",
            ),
            "dedicated": (
                "{address} port {port} ({host}) gives no answer, which is what the IP allowlist of a dedicated "
                "cluster does to an address that is not in it.",
                "Add this machine's public IPv4 address to the IP allowlist of {host}; if it is in it, allow "
                "outgoing TCP to port {port} in this machine's firewall.",
            ),
        },
        api_knows=("allowlist", "state"),
    ),
    "tcp_unreachable": Entry(
        "This machine has no route to {address} port {port} ({host}): {error}.",
        "Check this machine's network, routes and VPN, or the firewall on the network path that rejects {host} port "
        "{port}.",
    ),
    "tcp_blocked_locally": Entry(
        "This machine itself forbids connecting to {address} port {port} ({host}): {error}.",
        "Allow outgoing TCP to {host} port {port} in this machine's own firewall or security policy (nftables, "
        "SELinux).",
    ),
    "tcp_failed": Entry(
        "Connecting to {address} port {port} ({host}) failed: {error}.",
        "Check host {host} and port {port}, then " + SAME_NETWORK + ".",
    ),
}
