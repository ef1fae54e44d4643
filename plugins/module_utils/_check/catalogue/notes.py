# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""What the check tells beside a verdict, by code.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Note

NOTES: Mapping[str, Note] = {
    "slow_dns": Note(
        "Looking up {host} took {took} ms, where up to {normal} is normal: look at this machine's DNS servers.",
    ),
    "slow_tcp": Note(
        "Connecting to {host} ({address}) took {took} ms, where up to {normal} is normal: the network path is "
        "long, or packets are lost on it.",
    ),
    "slow_tls": Note(
        "The TLS handshake with {host} took {took} ms, where up to {normal} is normal: the server is busy, or a "
        "proxy intercepts TLS.",
    ),
    "slow_route": Note(
        "The start-up message to {host} was answered after {took} ms, where up to {normal} is normal: a cluster "
        "that slept was woken up, or is busy.",
    ),
    "slow_auth": Note(
        "The login at {host} took {took} ms, where up to {normal} is normal: many SCRAM iterations, or a busy cluster.",
    ),
    "slow_sql": Note(
        "The query at {host} took {took} ms, where up to {normal} is normal: the cluster is busy, or the node is "
        "far from the data.",
    ),
    "clock_differs": Note(
        "This machine's clock says {now} and the controller's {controller_now}: TLS to {host} fails when this "
        "machine's time is outside a certificate's dates.",
    ),
    "app_not_configured": Note(
        "Not configured on this host yet: {name}, without {path}. The connection to {host} was checked with what the "
        "inventory says.",
        files_differ=True,
    ),
    "app_file_too_open": Note(
        "The file {path} of {name} holds a password for {host} and has mode {mode}: run `chmod 600 {path}`.",
    ),
    "app_file_changed": Note(
        "The file {path} of {name} for {host} differs from what the inventory would write.",
        files_differ=True,
    ),
    "env_value_overridden": Note(
        "{variable} is set in the environment of this session too, to another value, and programs that are started in "
        "it use that one for {host}, not the one in {path}. To use the file: `unset {variable}`.",
    ),
    "app_file_unmanaged": Note(
        "No app or framework of the inventory needs {path}, written for {apps}. To remove what is not needed, write "
        "the configuration with prune: true.",
    ),
    "app_ca_changed": Note(
        "The CA file {path} of {name} for {host} does not hold the CA of the inventory (SHA-256 {fingerprint}).",
        files_differ=True,
    ),
    "cloud_api_silent": Note(
        "The Cloud API was asked about {host} and gave no answer that can be used: {reason}",
    ),
    "cloud_no_cluster": Note(
        "The key of the Cloud API does not show exactly one cluster that {host} leads to ({cluster}).",
    ),
    "public_address_unknown": Note(
        "The public address of this machine could not be found, to compare it with {allowlist}, which {host} "
        "goes by: {reason}",
    ),
    "cluster_busy": Note(
        "The Cloud API says of cluster {cluster} ({host}): {state}.",
    ),
    "ca_holds_key": Note(
        "The CA file {path} for {host} holds a private key beside the certificate, and its mode {mode} lets others "
        "read the key: move the key to a file of its own with mode 0600.",
    ),
    "stricter_clients": Note(
        "{clients} would refuse the certificate of {host}: {why}.",
    ),
    "certificate_expires": Note(
        "The certificate of {host} expires at {not_after}, in {days} days.",
    ),
    "ca_expires": Note(
        "The CA certificate {failing} of {host} in {ca} expires at {failing_after}, in {days} days.",
    ),
}
