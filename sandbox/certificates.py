# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's certificate authorities, server certificates and client certificates."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.clusters import HOST, SNI_DOMAIN, FrontSpec
from sandbox.state import PRIVATE, PUBLIC, write_atomically

LIFETIME = datetime.timedelta(days=365)
RENEWED_BEFORE_END = datetime.timedelta(days=7)
_BACKDATED = datetime.timedelta(hours=1)

SERVER_NAMES: tuple[x509.GeneralName, ...] = (
    x509.DNSName(HOST),
    x509.DNSName(f"*.{SNI_DOMAIN}"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)
IMPOSTOR_NAMES: tuple[x509.GeneralName, ...] = (x509.DNSName("impostor.example.test"),)


@dataclass(frozen=True)
class Credential:
    """The PEM files of a certificate and its private key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class FrontCertificates:
    """The certificate files of a front.

    Args:
        ca: the certificate of the CA, which clients trust.
        server: the certificate that the front presents.
        impostor: a certificate of the same CA for another host.
        clients: client certificates by user; empty for a front that does not ask for them.
    """

    ca: Path
    server: Credential
    impostor: Credential
    clients: Mapping[str, Credential] = field(default_factory=dict)


@dataclass(frozen=True)
class _Issuer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class CertificateStore:
    """The folder of all certificates. Missing, damaged and soon expiring ones are replaced.

    Keys are EC P-256. Certificates are valid for a year, beginning an hour ago. They have the extensions that the
    strictest verifiers require (``VERIFY_X509_STRICT``, the default of Python 3.13).

    Args:
        folder: must exist.
        now: the current time, for tests of the renewal.
    """

    def __init__(self, folder: Path, now: Optional[datetime.datetime] = None) -> None:
        self._folder = folder
        self._now = now or datetime.datetime.now(datetime.timezone.utc)

    def front(self, spec: FrontSpec) -> FrontCertificates:
        """The certificates of a front, created or replaced if needed."""
        ca = self._credential(f"{spec.name}-ca")
        issuer = self._load(ca, issuer=None) or self._make_ca(ca, spec.authority)
        return FrontCertificates(
            ca=ca.certificate,
            server=self._server(f"{spec.name}-server", HOST, SERVER_NAMES, issuer),
            impostor=self._server(f"{spec.name}-impostor", "impostor.example.test", IMPOSTOR_NAMES, issuer),
            clients=self._clients(spec, ca, issuer) if spec.client_certificates else {},
        )

    def _clients(self, spec: FrontSpec, ca: Credential, issuer: _Issuer) -> dict[str, Credential]:
        """The client certificates, in a folder laid out as by ``cockroach cert``, with ``.key.pk8`` files for Java."""
        folder = self._folder / f"{spec.name}-client"
        folder.mkdir(mode=0o700, exist_ok=True)
        authority = ca.certificate.read_bytes()
        if not (folder / "ca.crt").exists() or (folder / "ca.crt").read_bytes() != authority:
            write_atomically(folder / "ca.crt", authority, PUBLIC)
        credentials = {}
        for user in (user for cluster in spec.clusters for user in cluster.users):
            credential = Credential(folder / f"client.{user}.crt", folder / f"client.{user}.key")
            pkcs8 = credential.key.with_name(f"{credential.key.name}.pk8")
            if self._load(credential, issuer) is None or not pkcs8.exists():
                key = ec.generate_private_key(ec.SECP256R1())
                encoded = key.private_bytes(
                    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                write_atomically(pkcs8, encoded, PRIVATE)
                self._store(credential, self._client_certificate(user, key, issuer), key)
            credentials[user] = credential
        return credentials

    def stranger(self) -> Path:
        """A CA that has not signed anything, and cannot, because its key is not stored."""
        path = self._folder / "stranger-ca.crt"
        if not self._is_fresh(_read_certificate(path)):
            key = ec.generate_private_key(ec.SECP256R1())
            write_atomically(path, _pem(self._ca_certificate("Sandbox Stranger CA", key)), PUBLIC)
        return path

    def _credential(self, name: str) -> Credential:
        return Credential(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    def _server(self, name: str, common_name: str, names: Iterable[x509.GeneralName], issuer: _Issuer) -> Credential:
        credential = self._credential(name)
        if self._load(credential, issuer) is None:
            key = ec.generate_private_key(ec.SECP256R1())
            self._store(credential, self._server_certificate(common_name, names, key, issuer), key)
        return credential

    def _load(self, credential: Credential, issuer: Optional[_Issuer]) -> Optional[_Issuer]:
        """The stored pair if it is complete, fresh and signed by the issuer (``None``: self-signed); else ``None``."""
        certificate = _read_certificate(credential.certificate)
        if certificate is None or not self._is_fresh(certificate):
            return None
        try:
            key = serialization.load_pem_private_key(credential.key.read_bytes(), password=None)
            certificate.verify_directly_issued_by(issuer.certificate if issuer else certificate)
        except (OSError, ValueError, TypeError, InvalidSignature):
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            return None
        return _Issuer(certificate, key)

    def _is_fresh(self, certificate: Optional[x509.Certificate]) -> bool:
        return (
            certificate is not None
            and certificate.not_valid_before_utc <= self._now
            and certificate.not_valid_after_utc - self._now >= RENEWED_BEFORE_END
        )

    def _make_ca(self, credential: Credential, common_name: str) -> _Issuer:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._ca_certificate(common_name, key)
        self._store(credential, certificate, key)
        return _Issuer(certificate, key)

    def _store(self, credential: Credential, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # The key comes first: a run that ends in between leaves a pair that does not match, which is replaced.
        write_atomically(credential.key, encoded, PRIVATE)
        write_atomically(credential.certificate, _pem(certificate), PUBLIC)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BACKDATED)
            .not_valid_after(self._now - _BACKDATED + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _ca_certificate(self, common_name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        name = _name(common_name)
        return (
            self._builder(name, name, key.public_key())
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )

    def _server_certificate(
        self, common_name: str, names: Iterable[x509.GeneralName], key: ec.EllipticCurvePrivateKey, issuer: _Issuer
    ) -> x509.Certificate:
        return (
            self._builder(_name(common_name), issuer.certificate.subject, key.public_key())
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(issuer.key, hashes.SHA256())
        )

    def _client_certificate(self, user: str, key: ec.EllipticCurvePrivateKey, issuer: _Issuer) -> x509.Certificate:
        return (
            self._builder(_name(user), issuer.certificate.subject, key.public_key())
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(issuer.key, hashes.SHA256())
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "crdb.onboard sandbox"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _read_certificate(path: Path) -> Optional[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None
