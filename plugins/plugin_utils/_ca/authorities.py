# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read and verify certificate authorities on the controller, before they are written anywhere.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import shlex
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import split_pem
from ansible_collections.crdb.onboard.plugins.module_utils._http.client import HttpClient, tls_context
from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import HttpError, TooLargeError
from ansible_collections.crdb.onboard.plugins.module_utils._http.places import shown
from ansible_collections.crdb.onboard.plugins.module_utils._pem import BEGIN, CERTIFICATE, END, pem_blocks
from ansible_collections.crdb.onboard.plugins.module_utils._wire.ca_kinds import (
    KINDS,
    holds_private_key,
    unusable_kind,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.ca import PUBLIC_CA, CaSource

try:
    # The package requests brings it, and takes 70 ms to import.
    import certifi
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
    from cryptography.x509.oid import NameOID

    MISSING = ""
except ImportError as exc:
    MISSING = str(exc.name)

DOWNLOAD_TIMEOUT = 30
WARN_DAYS = 30
DOWNLOAD_LIMIT = 1024 * 1024
DOWNLOAD_REDIRECTS = 5
CLOUD_CA_ORGANIZATIONS = frozenset({"Internet Security Research Group", "ISRG"})
"""Who runs the public authority (Let's Encrypt) that signs the certificates of Serverless clusters."""


@dataclass(frozen=True)
class Authority:
    """A verified CA certificate.

    Args:
        subject: by RFC 4514.
        fingerprint: SHA-256, 64 lower-case hexadecimal digits.
        not_after: when it expires.
        pem: the certificate.
    """

    subject: str
    fingerprint: str
    not_after: datetime
    pem: bytes

    def expiry(self, now: datetime | None = None) -> str:
        """A sentence when it expires within 30 days, else an empty text."""
        days = (self.not_after - (now or datetime.now(timezone.utc))).days
        return (
            f"{self.subject} expires in {days} days; download the cluster's next CA before that."
            if days <= WARN_DAYS
            else ""
        )


class Authorities(tuple[Authority, ...]):
    """Verified authorities. `left_out`: a sentence for each that has expired."""

    left_out: tuple[str, ...]

    def __new__(cls, authorities: Iterable[Authority] = (), left_out: tuple[str, ...] = ()) -> Authorities:
        made = super().__new__(cls, authorities)
        made.left_out = left_out
        return made


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a subject"


def _authority(block: bytes, source: str, now: datetime) -> Authority:
    try:
        certificate = x509.load_pem_x509_certificate(block)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_ca = constraints.ca
    except x509.ExtensionNotFound:
        is_ca = False
    except ValueError as exc:
        raise OnboardingError(f"{source}: {KINDS['damaged'].text} ({exc}). Download or copy the file again.") from None
    if not is_ca:
        raise OnboardingError(
            f"{source}: {_name(certificate)} is not a certificate authority. Give the CA that signed it, not the"
            " certificate of the server or of a client."
        )
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and not usage.key_cert_sign:
        raise OnboardingError(
            f"{source}: {_name(certificate)} may not sign certificates, so it cannot be used as a CA."
        )
    if certificate.not_valid_before_utc > now:
        raise OnboardingError(
            f"{source}: {_name(certificate)} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}."
            " Check this machine's clock."
        )
    return Authority(
        subject=_name(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_after=certificate.not_valid_after_utc,
        pem=certificate.public_bytes(Encoding.PEM),
    )


def verify(content: bytes, source: str, *, path: str = "", now: datetime | None = None) -> Authorities:
    """The authorities in a PEM text, each once, in its order; those that have expired are left out.

    Args:
        content: the text.
        source: names the text in errors.
        path: of the file that the text comes from, for the commands that convert it.
        now: the time to verify for.

    Raises OnboardingError for a text that is not PEM (see ca_kinds), that holds a private key, or in which all
    authorities have expired; and for a certificate that is not a CA or not valid yet.
    """
    now = now or datetime.now(timezone.utc)
    blocks = list(pem_blocks(content))
    if holds_private_key(content) and any(block.label == CERTIFICATE for block in blocks):
        raise OnboardingError(
            f"{source}: holds a private key. A CA file must have certificates only; move the key to a file of its own."
        )
    certificates = [content[block.start : block.end] for block in blocks if block.label == CERTIFICATE]
    if not certificates or content.count(BEGIN) != len(blocks) or content.count(END) != len(blocks):
        kind, form = unusable_kind(content)
        words = KINDS[kind]
        where = path or "ca.crt"
        cure = f"{words.cure.format(path=where, file=shlex.quote(where), form=form)}."
        if not path:
            save = "Save it as ca.crt. " if "`" in cure else ""
            cure = f"{save}{cure} Then set ca_file (crdb_connection_ca_file) to the path of ca.crt."
        raise OnboardingError(f"{source}: {words.text}. {cure}")
    foreign = [block.label for block in blocks if block.label != CERTIFICATE]
    if foreign:
        raise OnboardingError(f"{source}: holds a {foreign[0]}. A CA file must have certificates only.")
    authorities, expired = {}, []
    for authority in (_authority(certificate, source, now) for certificate in certificates):
        if authority.not_after > now:
            authorities[authority.fingerprint] = authority
        else:
            expired.append(f"{authority.subject} expired on {authority.not_after:%Y-%m-%d}")
    if not authorities:
        raise OnboardingError(f"{source}: {expired[0]}. Download the cluster's current CA.")
    return Authorities(authorities.values(), tuple(f"{source}: {text}, so it is left out." for text in expired))


def public_bundle() -> str:
    """The file or folder of CAs that verifies public servers: the environment's, else the one of certifi."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()


@cache
def cloud_authorities() -> Authorities:
    """The public authorities that sign the certificates of CockroachDB Cloud's Serverless clusters.

    They are taken from the bundle of the package certifi, so nothing is trusted that public servers are not trusted
    with. Raises OnboardingError when the bundle has none of them.
    """
    chosen = []
    bundle_text = Path(certifi.where()).read_bytes()
    for block in pem_blocks(bundle_text):
        pem = bundle_text[block.start : block.end]
        # Reading all of the bundle would warn of old certificates in it.
        data = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
        if not any(name.encode("ascii") in data for name in CLOUD_CA_ORGANIZATIONS):
            continue
        try:
            names = x509.load_pem_x509_certificate(pem).subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        except ValueError:
            continue
        if CLOUD_CA_ORGANIZATIONS & {str(name.value) for name in names}:
            chosen.append(pem)
    if not chosen:
        raise OnboardingError(
            "The public authorities of the controller do not include the one of CockroachDB Cloud (Let's Encrypt). Set"
            " ca_cluster_id of the connection (crdb_connection_ca_cluster_id) to the id of the cluster, which the Cloud"
            " Console shows under Connect > Download CA: its CA is then downloaded."
        )
    return verify(b"\n".join(chosen), "the public authorities")


def download(url: str, label: str = "", ca_file: str = "") -> bytes:
    """The response of a CA's URL, at most 1 MiB, within 30 seconds for all of it.

    Args:
        url: over https, on each hop.
        label: names it in errors; by default the key ca_url and the URL.
        ca_file: verifies the server, instead of the public authorities.

    Raises OnboardingError for anything but the status 200.
    """
    label = label or f"ca_url {shown(url)}"
    if not url.startswith("https://"):
        raise OnboardingError(f"{label}: a CA is downloaded over https only.")
    try:
        client = HttpClient(DOWNLOAD_TIMEOUT, tls_context(ca_file or public_bundle()))
        with client.open(url, redirects=DOWNLOAD_REDIRECTS) as response:
            if response.status != 200:
                hint = " Check the id of the cluster." if label.startswith("ca_cluster_id") else ""
                raise OnboardingError(f"{label}: the server answered {response.status} {response.reason}.{hint}")
            return response.read(DOWNLOAD_LIMIT)
    except TooLargeError as exc:
        raise OnboardingError(f"{label}: {exc}, so it is not a CA. Check the URL.") from None
    except HttpError as exc:
        raise OnboardingError(f"{label}: cannot be downloaded: {exc}.") from None


def load(source: CaSource | None) -> Authorities:
    """The verified authorities of a source; none without a source. Raises OnboardingError that names the source."""
    if source is None:
        return Authorities()
    if MISSING:
        raise OnboardingError(
            f"The controller's Python does not have {MISSING}. Install the packages of requirements/controller.txt"
            " for it."
        )
    if source.kind == PUBLIC_CA:
        return cloud_authorities()
    content, label = _read(source)
    path = str(Path(source.value).expanduser()) if source.kind == "ca_file" else ""
    authorities = verify(content, label, path=path)
    if source.fingerprint and [authority.fingerprint for authority in authorities] != [source.fingerprint]:
        actual = ", ".join(f"{authority.subject} ({authority.fingerprint})" for authority in authorities)
        raise OnboardingError(f"{label}: ca_fingerprint expected one CA, {source.fingerprint}, but got {actual}.")
    return authorities


def _read(source: CaSource) -> tuple[bytes, str]:
    if source.kind in ("ca_url", "ca_cluster_id"):
        label = f"{source.kind} {shown(source.value)}"
        return download(source.value, label, source.download_ca), label
    if source.kind == "ca_text":
        return source.value.encode("utf-8"), "ca_text"
    path = Path(source.value).expanduser()
    try:
        return path.read_bytes(), f"ca_file {path}"
    except OSError as exc:
        raise OnboardingError(f"ca_file {path}: cannot be read on the controller: {exc.strerror}.") from None


def bundle(authorities: tuple[Authority, ...]) -> bytes:
    """The PEM text of the authorities."""
    return b"".join(authority.pem for authority in authorities)


# Java's default: a trust store holds no secret, but a JVM cannot read an encrypted one without its password.
TRUST_STORE_PASSWORD = "changeit"  # noqa: S105 - Java's default, and no secret


def write_trust_store(certificates: Mapping[str, bytes]) -> bytes:
    """A PKCS12 trust store of certificates, PEM by fingerprint; salted, so its bytes differ every time.

    Raises OnboardingError when the package cryptography is too old.
    """
    serialize = getattr(pkcs12, "serialize_java_truststore", None)
    if serialize is None:
        raise OnboardingError("A trust store needs the package cryptography 45 or newer in the controller's Python.")
    entries = [
        pkcs12.PKCS12Certificate(x509.load_pem_x509_certificate(pem), f"crdb-{fingerprint[:16]}".encode())
        for fingerprint, pem in certificates.items()
    ]
    content: bytes = serialize(entries, BestAvailableEncryption(TRUST_STORE_PASSWORD.encode()))
    return content


def read_trust_store(content: bytes) -> dict[str, bytes]:
    """The certificates of a PKCS12 trust store, PEM by fingerprint; none where it cannot be read as one."""
    try:
        store = pkcs12.load_pkcs12(content, TRUST_STORE_PASSWORD.encode())
    except ValueError:
        return {}
    entries = [store.cert, *store.additional_certs] if store.cert else store.additional_certs
    return {
        item.certificate.fingerprint(hashes.SHA256()).hex(): item.certificate.public_bytes(Encoding.PEM)
        for item in entries
    }


def trust_store(authorities: tuple[Authority, ...], current: bytes, *, keep_previous: bool = False) -> bytes:
    """The trust store for these authorities: the current one when it holds just them, whatever its salt.

    `keep_previous` keeps the certificates of the current one beside them. Raises OnboardingError.
    """
    previous = read_trust_store(current)
    certificates = {authority.fingerprint: authority.pem for authority in authorities}
    if keep_previous:
        certificates = {**previous, **certificates}
    unchanged = bool(previous) and set(previous) == set(certificates)
    return current if unchanged else write_trust_store(certificates)


def is_public(authorities: tuple[Authority, ...]) -> bool:
    """Whether all of these are among the public authorities that the package certifi comes with."""
    known = {segment.key for segment in split_pem(Path(certifi.where()).read_bytes())}
    return {authority.fingerprint for authority in authorities} <= known
