# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""What libpq takes from the user's home and environment, where a connection says nothing.

Source: PostgreSQL's documentation of libpq, "Environment Variables" and "SSL Support".
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._wire.tls import Revocations, libpq_file

# By the key of an endpoint that takes their place; these change the connection whatever it says otherwise.
_VARIABLES = {
    "PGSSLROOTCERT": "ca_file",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGOPTIONS": "options",
    "PGSSLCRL": "sslcrl",
    "PGSSLCRLDIR": "sslcrldir",
    **dict.fromkeys(("PGSERVICE", "PGHOSTADDR", "PGCHANNELBINDING", "PGREQUIREAUTH", "PGREQUIREPEER"), ""),
    **dict.fromkeys(
        ("PGGSSENCMODE", "PGSSLNEGOTIATION", "PGSSLSNI", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION"), ""
    ),
    **dict.fromkeys(("PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGSSLCERTMODE"), ""),
}


def default_ca_file() -> str:
    """The CA file that libpq takes for a connection that names none; empty if the home is unknown."""
    named = os.environ.get("PGSSLROOTCERT", "")
    if named and named != "system":
        return named
    return libpq_file("root.crt")


def with_default_ca(endpoint: Endpoint) -> Endpoint:
    """The endpoint with libpq's own CA file, where it names no CA and that file exists."""
    if endpoint.ca_file or endpoint.ca_text or endpoint.public_roots:
        return endpoint
    path = default_ca_file()
    return endpoint._replace(ca_file=path) if path and Path(path).is_file() else endpoint


def revocations(endpoint: Endpoint) -> Revocations:
    """Where libpq looks for revoked certificates: what the connection or the environment names, else root.crl."""
    file = endpoint.sslcrl or os.environ.get("PGSSLCRL", "")
    folder = endpoint.sslcrldir or os.environ.get("PGSSLCRLDIR", "")
    return Revocations(file or ("" if folder else libpq_file("root.crl")), folder)


def variables_taken(endpoint: Endpoint) -> list[str]:
    """The names of the variables of this environment that libpq takes for an endpoint."""
    return [
        name
        for name, key in _VARIABLES.items()
        if os.environ.get(name) and not (key and (getattr(endpoint, key) or (key == "ca_file" and endpoint.ca_text)))
    ]
