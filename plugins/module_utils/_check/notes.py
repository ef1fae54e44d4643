# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Notes beside a verdict: slow stages, and certificates that expire soon.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.chain import trust_path
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import note
from ansible_collections.crdb.onboard.plugins.module_utils._check.diagnosis import ca_label
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts
from ansible_collections.crdb.onboard.plugins.module_utils._check.text import timestamp
from ansible_collections.crdb.onboard.plugins.module_utils._wire import chain_rules

# Support of what is older ended before 2025 (cockroachdb/docs, versions.csv).
_OLDEST = (23, 1)
_CA_DAYS = 30
_CLIENT_LEFT = datetime.timedelta(days=30)
# Servers renew their own certificates, in the last month at most.
_LEAF_DAYS = 7


# A file with more is a bundle of public roots, whose expiry the reader cannot change.
MAX_OWN_AUTHORITIES = 20


# The normal time of a stage: milliseconds, plus a number of round trips, each as long as 'tcp' took. A note names a
# stage that takes longer. A serverless cluster that sleeps wakes up in 'route'.
NORMAL: Mapping[str, tuple[float, float]] = {
    "dns": (250.0, 0.0),
    "tcp": (300.0, 0.0),
    "tls": (300.0, 4.0),
    "route": (500.0, 3.0),
    "auth": (500.0, 4.0),
    "sql": (300.0, 4.0),
}


def slow_stages(stages: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, int]]:
    """The passed stages that took longer than normal: (stage, milliseconds, highest normal milliseconds). Pure."""
    trip = next((stage["milliseconds"] for stage in stages if stage["stage"] == "tcp" and stage["ok"]), 0.0)
    limits = {stage: round(base + trips * min(trip, NORMAL["tcp"][0])) for stage, (base, trips) in NORMAL.items()}
    return [
        (stage["stage"], stage["milliseconds"], limits[stage["stage"]])
        for stage in stages
        if stage["ok"] and stage["milliseconds"] > limits[stage["stage"]]
    ]


def session_notes(facts: Facts, server: Mapping[str, Any]) -> list[dict[str, str]]:
    """Notes on a session that was opened: another kind of server, user or database than expected. Pure.

    `server`: ``version``, ``user`` and ``database`` as the server names them; empty before there is a session.
    """
    if "version" not in server:
        return []
    notes = []
    version = str(server["version"])
    release = re.match(r"CockroachDB .*?v(\d+)\.(\d+)", version)
    if not version.startswith("CockroachDB"):
        notes.append(note("not_cockroachdb", host=facts.host, version=version[:60]))
    elif release and (int(release.group(1)), int(release.group(2))) < _OLDEST:
        notes.append(note("old_cockroachdb", host=facts.host, version=version[: release.end()]))
    if server["user"].casefold() != facts.user.casefold():
        notes.append(note("other_user", host=facts.host, session_user=server["user"], user=facts.user))
    asked = facts.database.rpartition(".")[2] if facts.deployment == "serverless" else facts.database
    if server["database"] != asked:
        notes.append(note("other_database", host=facts.host, session_database=server["database"], database=asked))
    return notes


def certificate_notes(facts: Facts) -> list[dict[str, str]]:
    """Notes on a verified chain: clients that refuse it, and certificates that expire soon. Pure."""
    chain = trust_path(facts)
    notes = [
        note("stricter_clients", host=facts.host, clients=clients, why=why)
        for clients, why in chain_rules.stricter_clients(chain, facts.host)
    ]
    if facts.now is None:
        return notes
    own = facts.client
    # Sooner is normal for a certificate that lives shorter.
    if own is not None and own.not_after - facts.now < min(_CLIENT_LEFT, (own.not_after - own.not_before) / 3):
        words = {"not_after": timestamp(own.not_after), "days": (own.not_after - facts.now).days}
        notes.append(note("client_cert_expires", host=facts.host, client_cert=facts.client_cert or "", **words))
    for number, certificate in enumerate(chain):
        days = (certificate.not_after - facts.now).days
        if number == 0 and days < _LEAF_DAYS:
            notes.append(
                note("certificate_expires", host=facts.host, not_after=timestamp(certificate.not_after), days=days)
            )
        elif certificate in facts.authorities and days < _CA_DAYS:
            words = {"failing": certificate.subject, "failing_after": timestamp(certificate.not_after), "days": days}
            notes.append(note("ca_expires", host=facts.host, ca=ca_label(facts), **words))
    return notes
