# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates for the broken servers: right ones and wrong ones, made when a test run starts."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)

CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def name_of(common: str, organization: Optional[str] = None) -> x509.Name:
    """A name with these parts; an empty common name leaves that out."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, *([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])])


def pem_of(certificate: x509.Certificate) -> bytes:
    """A certificate's PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def pem_of_key(key: Any) -> bytes:
    """A key's PEM, not encrypted."""
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


class Authority:
    """A CA whose files lie in `folder`; signed by `parent`, or by itself."""

    def __init__(
        self,
        folder: Path,
        common: str,
        begins: datetime.datetime = NOW - DAY,
        days: int = 60,
        *,
        parent: Optional[Authority] = None,
        label: str = "",
        organization: Optional[str] = None,
        is_ca: bool = True,
        path_length: Optional[int] = None,
        critical: bool = True,
        usage: Optional[x509.KeyUsage] = CA_USAGE,
        key_identifiers: bool = True,
        permitted: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.parent = parent
        self.key_identifiers = key_identifiers
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name_of(common, organization)
        self.path = folder / f"{(label or common).replace(' ', '-')}.crt"
        signer = parent or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + days * DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=path_length), critical=critical)
        )
        if usage is not None:
            builder = builder.add_extension(usage, critical=True)
        if permitted:
            names = [x509.DNSName(name) for name in permitted]
            builder = builder.add_extension(x509.NameConstraints(names, None), critical=True)
        if key_identifiers:
            identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        if parent is not None and key_identifiers:
            builder = builder.add_extension(parent.identifier(), critical=False)
        self.certificate = builder.sign(signer.key, hashes.SHA256())
        self.path.write_bytes(pem_of(self.certificate))

    def identifier(self) -> x509.AuthorityKeyIdentifier:
        """How what it signs names its key."""
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())

    def issue(
        self,
        label: str,
        names: tuple[str, ...] = ("localhost",),
        addresses: tuple[str, ...] = ("127.0.0.1",),
        begins: datetime.datetime = NOW - DAY,
        days: int = 10,
        usage: Optional[x509.ObjectIdentifier] = ExtendedKeyUsageOID.SERVER_AUTH,
        *,
        common: Optional[str] = None,
        sans: bool = True,
        others: Sequence[x509.GeneralName] = (),
        chain: Sequence[Authority] = (),
        issuer_link: bool = False,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        weak: int = 0,
        key_identifiers: bool = True,
    ) -> Path:
        """One PEM file, mode 0600: the certificate, its key, and the CAs of `chain`. `weak`: bits of an RSA key."""
        key: Any = rsa.generate_private_key(65537, weak) if weak else ec.generate_private_key(ec.SECP256R1())
        alternative: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternative += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        alternative += others
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(label if common is None else common))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + days * DAY)
        )
        if sans:
            alternative = alternative or [x509.DNSName("unused.test")]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if self.key_identifiers and key_identifiers:
            builder = builder.add_extension(self.identifier(), critical=False)
        if issuer_link:
            where = x509.UniformResourceIdentifier("http://ca.test/ca.der")
            access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(self.key, hashes.SHA256())
        path = self.folder / f"{label}.pem"
        path.touch(mode=0o600)
        path.write_bytes(
            pem_of(certificate) + pem_of_key(key) + b"".join(pem_of(authority.certificate) for authority in chain)
        )
        return path


def self_signed(folder: Path, label: str, *, is_ca: Optional[bool] = None) -> Path:
    """One PEM file with a server's certificate that nobody else signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of("localhost"))
        .issuer_name(name_of("localhost"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 10 * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    path = folder / f"{label}.pem"
    path.touch(mode=0o600)
    path.write_bytes(pem_of(builder.sign(key, hashes.SHA256())) + pem_of_key(key))
    return path
