# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a client accepts a certificate chain for a host: libpq, and the clients that are stricter than libpq. Pure.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from typing import Optional

from ansible_collections.crdb.onboard.plugins.module_utils._wire.x509 import (
    ALTERNATIVE_NAMES,
    BASIC_CONSTRAINTS,
    Certificate,
)

_STRICT = "Python's own TLS from 3.13 on (asyncpg, pg8000)"
_GO = "Go programs (pgx, lib/pq, cockroach)"
_OPENSSL_NAMES = "Python's own TLS (asyncpg, pg8000) and Node.js"
_ALL_OTHERS = "Go programs, Python's own TLS and Node.js"


def matches_host(certificate: Certificate, host: str) -> bool:
    """Whether libpq 15 or newer accepts the certificate for this host under verify-full.

    The common name counts only if there is no alternative name of the host's kind. A wildcard stands for exactly the
    first label. Source of the behaviour: pgtls_verify_peer_name_matches_certificate_guts.
    """
    address = _address(host)
    host_bytes = host.encode("utf-8", "surrogateescape")
    for name in certificate.dns_names:
        if b"\0" in name:
            return False
        if _same_name(name, host_bytes):
            return True
    if address is not None and any(address == raw for raw in certificate.addresses):
        return True
    if certificate.addresses if address is not None else certificate.dns_names:
        return False
    common = certificate.common_name
    return common is not None and b"\0" not in common and _same_name(common, host_bytes)


def _address(host: str) -> Optional[bytes]:
    try:
        # libpq accepts short forms too, such as 127.1.
        return socket.inet_aton(host)
    except (OSError, UnicodeError):
        pass
    try:
        return socket.inet_pton(socket.AF_INET6, host)
    except (OSError, UnicodeError):
        return None


def _same_name(pattern: bytes, host: bytes) -> bool:
    pattern, host = pattern.lower(), host.lower()
    if pattern == host:
        return bool(host)
    if len(pattern) < 3 or not pattern.startswith(b"*.") or len(pattern) > len(host):
        return False
    label = host[: len(host) - len(pattern) + 1]
    return host.endswith(pattern[1:]) and b"." not in label


def strict_faults(chain: Sequence[Certificate]) -> Iterator[str]:
    """What OpenSSL refuses under X509_STRICT, Python's default since 3.13.

    `chain`: from the server's certificate to the root. Source of the behaviour: OpenSSL 3, check_chain_extensions.
    """
    if len(chain) < 2:
        return
    for number, certificate in enumerate(chain):
        subject = certificate.subject or "a certificate without a subject"
        is_ca = bool(certificate.is_ca)
        if is_ca and BASIC_CONSTRAINTS not in certificate.critical:
            yield f"the basic constraints of {subject} are not critical"
        if is_ca and certificate.key_usage is None:
            yield f"{subject} is a CA without key usage"
        if not is_ca and "key_cert_sign" in (certificate.key_usage or ()):
            yield f"{subject} may sign certificates without being a CA"
        if not certificate.subject_name and (
            not certificate.has_alternative_names or ALTERNATIVE_NAMES not in certificate.critical
        ):
            yield "a certificate has neither a subject nor critical alternative names"
        if certificate.version < 3:
            if certificate.extensions:
                yield f"{subject} has extensions, which its version does not allow"
            continue
        if number + 1 < len(chain) and certificate.authority_key is None:
            yield f"{subject} has no authority key identifier"
        if is_ca and certificate.subject_key is None:
            yield f"{subject} is a CA without subject key identifier"


def stricter_clients(chain: Sequence[Certificate], host: str) -> list[tuple[str, str]]:
    """The clients that refuse a chain that libpq accepts for this host, as measured: (clients, reason)."""
    if not chain:
        return []
    refusals = []
    leaf = chain[0]
    host_bytes = host.encode("utf-8", "surrogateescape")
    address = _address(host)
    by_name = address is None and any(_same_name(name, host_bytes) for name in leaf.dns_names)
    by_address = address is not None and address in leaf.addresses
    if by_address and not _written_in_full(host):
        refusals.append((_ALL_OTHERS, "an address must be written in full"))
    elif address is not None and not by_address:
        refusals.append((_ALL_OTHERS, "an address must be one of its IP addresses, not one of its names"))
    elif not by_name and not by_address:
        refusals.append((_GO, "they accept only alternative names, not a common name"))
    elif by_name and not any(_openssl_accepts(name, host_bytes) for name in leaf.dns_names):
        refusals.append((_OPENSSL_NAMES, "they do not accept a wildcard for a name with two labels"))
    faults = list(dict.fromkeys(strict_faults(chain)))
    if faults:
        refusals.append((_STRICT, "; ".join(faults[:3])))
    return refusals


def _written_in_full(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _openssl_accepts(pattern: bytes, host: bytes) -> bool:
    return _same_name(pattern, host) and (not pattern.startswith(b"*.") or pattern.count(b".") > 1)
