# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The chain of certificates from a server's own up to a trusted CA.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509


def links(chain: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The certificates that issued each other, from the server's own up, in whatever order the server sent them."""
    links = [chain[0]]
    while not links[-1].self_issued:
        issuer = next((cert for cert in chain if cert not in links and cert.may_have_issued(links[-1])), None)
        if issuer is None:
            break
        links.append(issuer)
    return links


def trust_path(facts: Facts) -> list[x509.Certificate]:
    """The chain from the server's certificate up, through the certificates it sent to the configured CA."""
    return links([*facts.chain, *facts.authorities]) if facts.chain else []


def failing_certificate(facts: Facts) -> x509.Certificate | None:
    """The first certificate, from the server's own up, that is expired or not yet valid."""
    return next((cert for cert in trust_path(facts) if facts.now and not cert.valid_at(facts.now)), None)
