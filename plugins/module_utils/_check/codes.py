# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The catalogue of the check: every code with its sentences and properties.

To add a diagnosis, add its entry to the file of its stage in the folder `catalogue`, and the line that recognises it to
`classify`. Every text is a str.format template; the values are never used as templates.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue import (
    app,
    ca_file,
    login,
    network,
    pooler,
    protocol,
    route,
    tls,
    tls_setup,
    token,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Entry
from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.notes import NOTES
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean

STAGES = ("dns", "tcp", "tls", "route", "auth", "sql")
OK = "ok"

# The stage of each step, and the words for it in a sentence.
STEPS: Mapping[str, tuple[str, str]] = {
    "resolve": ("dns", "while the name was looked up"),
    "connect": ("tcp", "while connecting"),
    "prepare": ("tls", "before the TLS handshake"),
    "sslrequest": ("tls", "after the request for TLS"),
    "handshake": ("tls", "in the TLS handshake"),
    "startup": ("route", "after the start-up message"),
    # Before all others in time: nothing is sent for a login that cannot succeed.
    "token": ("auth", "before the connection was opened"),
    "auth": ("auth", "during the login"),
    "login": ("sql", "after the login"),
    "query": ("sql", "in the query"),
}

CATALOGUE: Mapping[str, Entry] = {
    **network.ENTRIES,
    **tls_setup.ENTRIES,
    **ca_file.ENTRIES,
    **tls.ENTRIES,
    **protocol.ENTRIES,
    **route.ENTRIES,
    **pooler.ENTRIES,
    **login.ENTRIES,
    **token.ENTRIES,
    **app.ENTRIES,
}
# SQLSTATEs of a server that says nothing about the credentials: insufficient resources, operator intervention, system
# error, connection failure. 08P01 is not among them: poolers use it for a refused password.
_NOT_CREDENTIALS = ("53", "57", "58", "08000", "08001", "08003", "08006")
# Reasons of another kind that a pooler gives with the SQLSTATE that it has for everything.
_OTHER_REASONS = ("pooler_server_down", "pooler_full", "pooler_database_unknown", "database_missing")
REFUSED_LOGINS = tuple(code for code, entry in CATALOGUE.items() if entry.refuses_login)


def is_no_refusal(code: str, sqlstate: str) -> bool:
    """Whether the server gave a reason for a failed login that says nothing about the credentials."""
    return sqlstate.startswith(_NOT_CREDENTIALS) or code in _OTHER_REASONS


def codes_known_to_api(subject: str) -> tuple[str, ...]:
    """The codes that the Cloud API can explain further: ``allowlist``, ``user`` or ``state``."""
    return tuple(code for code, entry in CATALOGUE.items() if subject in entry.api_knows)


def withholds_drivers(code: str) -> bool:
    """Whether the drivers of an app must not log in after this verdict."""
    return code in CATALOGUE and (CATALOGUE[code].withholds_drivers or CATALOGUE[code].refuses_login)


def files_differ(code: str) -> bool:
    """Whether a verdict or a note means that an app's files differ from what this run writes."""
    entry = CATALOGUE.get(code) or NOTES.get(code)
    return entry is not None and entry.files_differ


def stops_libpq(code: str) -> bool:
    """Whether a note says that clients built on libpq would not connect."""
    return code in NOTES and NOTES[code].stops_libpq


def note(code: str, **words: object) -> dict[str, str]:
    """One note: {code, text}. Raises KeyError for a code that is not in NOTES."""
    return {"code": code, "text": NOTES[code].text.format(**{key: clean(value) for key, value in words.items()})}
