# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the CA of a connection comes from.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

CA_SOURCE_KEYS = ("ca_file", "ca_url", "ca_text", "ca_cluster_id")
"""The keys of a connection that give its CA, of which it may have one."""
PUBLIC_CA = "public"
"""The kind of the CA of CockroachDB Cloud's Serverless clusters, which is one of the public authorities."""


@dataclass(frozen=True)
class CaSource:
    """Where the CA of a connection comes from, as the controller sees it.

    Args:
        kind: one of CA_SOURCE_KEYS, or PUBLIC_CA.
        value: the path, URL or PEM text; for ca_cluster_id the URL of that cluster's CA.
        fingerprint: SHA-256, 64 lower-case hexadecimal digits. If set, the CA must be this one certificate.
        download_ca: the CA file that a download is verified with, instead of the public authorities.
    """

    kind: str
    value: str
    fingerprint: str = ""
    download_ca: str = ""
