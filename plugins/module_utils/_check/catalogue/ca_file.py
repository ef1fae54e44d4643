# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about the CA file and the list of revoked certificates.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Entry
from ansible_collections.crdb.onboard.plugins.module_utils._wire.ca_kinds import KINDS

ENTRIES: Mapping[str, Entry] = {
    "ca_missing": Entry(
        "The CA file {path} for {host} does not exist on this machine.",
        "Put the CA certificate of {host} at {path}, for example with the role crdb_ca.",
    ),
    "ca_unreadable": Entry(
        "The CA file {path} for {host} cannot be read by this user: {error}.",
        "Make {path} a regular file that the user who connects to {host} may read (mode 0644).",
    ),
    **{
        f"ca_{kind}": Entry(
            f"The CA file {{path}} for {{host}} {words.text}.", f"{words.cure}; then check {{host}} again."
        )
        for kind, words in KINDS.items()
    },
    "ca_leaf": Entry(
        "The certificate of {host} ({address}) is signed by {issuer}, but {ca} holds no CA: only the certificate of a "
        "server or of a client.",
        "Put the certificate of the CA {issuer} in place of {ca}, then check {host} again: a node of CockroachDB has "
        "it as ca.crt in its folder of certificates.",
        dict.fromkeys(
            ("serverless", "dedicated"),
            (
                "The certificate of {host} ({address}) is signed by {issuer}, but {ca} holds no CA: only the "
                "certificate of a server or of a client.",
                "Download the CA certificate of {host} (Connect > Download CA in the Cloud Console), and put it in "
                "place of {ca}.",
            ),
        ),
    ),
    "tls_revoked": Entry(
        "The certificate of {host} ({address}), or a CA above it, is revoked by the list {revocations}, which libpq "
        "reads.",
        "Renew the certificate of {host} on the server, or, if the list is out of date, replace {revocations} with "
        "the current list of the CA {issuer}.",
    ),
    "revocations_unusable": Entry(
        "The list of revoked certificates {revocations}, which libpq reads, does not serve for {host} ({address}): "
        "{error}.",
        "Replace {revocations} with current lists of every CA above the certificate of {host}, or move the file away "
        "if nobody keeps it up to date.",
    ),
}
