# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Client certificates that another authority signs: files of the controller, or a program that takes requests.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._pem import CERTIFICATE, pem_blocks
from ansible_collections.crdb.onboard.plugins.module_utils._text import escaped
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.authority import (
    Issued,
    described,
    public_bytes,
    read_key,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import CertificateSource

try:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    pass

SECONDS = 120.0
"""How long a program may take to sign one request."""
_LIMIT = 1024 * 1024
_QUOTED = 300


def certificate_of(content: bytes, label: str, public_key: Any, names: Sequence[str]) -> Issued:
    """The client certificate in a PEM text, verified to fit this key and these names.

    `label` names the text in errors. Raises OnboardingError.
    """
    blocks = [content[block.start : block.end] for block in pem_blocks(content) if block.label == CERTIFICATE]
    try:
        certificate, *chain = [x509.load_pem_x509_certificate(block) for block in blocks]
    except ValueError:
        raise OnboardingError(f"{label}: has no client certificate in PEM.") from None
    if public_bytes(certificate.public_key()) != public_bytes(public_key):
        raise OnboardingError(f"{label}: the certificate belongs to another key.")
    common = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if common[:1] != list(names[:1]):
        raise OnboardingError(
            f"{label}: the certificate is for {escaped(common[0]) if common else 'nobody (it has no common name)'}, not"
            f" for {names[0]}. Where the cluster maps that name to the SQL user, set client_cert_names"
            " (crdb_connection_client_cert_names)."
        )
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise OnboardingError(f"{label}: the certificate is not for clients: its extended key usage lacks clientAuth.")
    now = datetime.now(timezone.utc)
    if certificate.not_valid_after_utc <= now:
        raise OnboardingError(f"{label}: the certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}.")
    if certificate.not_valid_before_utc > now:
        raise OnboardingError(
            f"{label}: the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC. Check"
            " this machine's clock."
        )
    return described(certificate, chain)


def refuse_other_names(issued: Issued, label: str, user: str, names: Sequence[str]) -> None:
    """Raise OnboardingError unless CockroachDB reads these names from a certificate, and no others.

    It takes the last common name and every DNS name for a user, or the users in URIs of its own (pkg/security/auth.go).
    """
    certificate = x509.load_pem_x509_certificate(issued.pem)
    found = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    scopes: list[str] = []
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        found += alternatives.get_values_for_type(x509.DNSName)
        uris = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
        scopes = [uri for uri in uris if uri.lower().startswith("crdb:")]
    own = re.compile(rf"crdb://tenant(-name)?/[^/]+/user/{re.escape(user)}")
    others = [name for name in found if name not in names] + [uri for uri in scopes if not own.fullmatch(uri)]
    if others:
        raise OnboardingError(f"{label}: the certificate is for {escaped(others[0])} too, which nobody asked for.")
    missing = [name for name in names if name not in found]
    if missing:
        raise OnboardingError(
            f"{label}: the certificate lacks the name {missing[0]} of client_cert_names"
            " (crdb_connection_client_cert_names)."
        )


def from_files(source: CertificateSource, vault: Any) -> tuple[Issued, Any]:
    """The certificate and its key, from files of the controller. Raises OnboardingError."""
    try:
        content = Path(source.certificate).read_bytes()[:_LIMIT]
    except OSError as exc:
        raise OnboardingError(
            f"client_cert_file {source.certificate}: cannot be read on the controller: {exc.strerror}."
        ) from None
    key = read_key(source.key, "client_cert_key_file", vault)
    return certificate_of(content, f"client_cert_file {source.certificate}", key.public_key(), source.names), key


def from_command(source: CertificateSource, user: str, request: bytes, public_key: Any) -> Issued:
    """The certificate that a program signs for a request (PEM). Raises OnboardingError."""
    program = source.command[0]
    label = f"client_cert_command {program}"
    environment = {**os.environ, "CRDB_ONBOARD_USER": user, "CRDB_ONBOARD_DAYS": str(source.lifetime)}
    try:
        done = subprocess.run(  # noqa: S603 - the program that the operator names
            list(source.command), input=request, capture_output=True, check=False, timeout=SECONDS, env=environment
        )
    except OSError as exc:
        raise OnboardingError(f"{label}: cannot be started: {exc.strerror}.") from None
    except subprocess.TimeoutExpired:
        raise OnboardingError(f"{label}: did not end within {SECONDS:g} s.") from None
    if done.returncode != 0:
        text = escaped(done.stderr.decode("utf-8", "replace").strip())[-_QUOTED:]
        raise OnboardingError(f"{label}: ended with {done.returncode}: {text or 'it gave no message'}.")
    issued = certificate_of(done.stdout[:_LIMIT], label, public_key, source.names)
    refuse_other_names(issued, label, user, source.names)
    return issued
