# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client CA, whose key stays on the controller: make one, and sign client certificates with the fields of
`cockroach cert create-client`.

Sources of the fields: pkg/security/x509.go and pkg/cli/cert.go of CockroachDB, and its page `cockroach cert`.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._files import replace
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import authorities
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.ca import CaSource

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    # `authorities.load` names what is missing.
    pass

ORGANIZATION = "Cockroach"
CA_NAME = "Cockroach CA"
CA_LIFETIME = 10 * 366
"""Days that a CA of `cockroach cert create-ca` is valid by default."""
KEY_BITS = 2048
BACKDATED = timedelta(days=1)
"""Certificates begin a day ago, because clocks differ."""
SYSTEM_TENANT = 1
_VAULT = b"$ANSIBLE_VAULT;"
_LIMIT = 1024 * 1024


def read_secret(path: str, what: str, vault: Any) -> bytes:
    """The bytes of a key file of the controller, decrypted where ansible-vault encrypted it.

    Raises OnboardingError for a file that others can read, and for one that cannot be decrypted.
    """
    place = Path(path)
    try:
        mode = stat.S_IMODE(place.stat().st_mode)
        with place.open("rb") as stream:
            content = stream.read(_LIMIT)
    except OSError as exc:
        raise OnboardingError(f"{what} {path}: cannot be read on the controller: {exc.strerror}.") from None
    if not content.startswith(_VAULT):
        if mode & 0o077:
            raise OnboardingError(f"{what} {path}: must not be readable by other users. Run: chmod 600 {path}")
        return content
    if vault is None or not vault.secrets:
        raise OnboardingError(
            f"{what} {path}: is encrypted, but the run has no vault secret. Add --vault-password-file or"
            " --ask-vault-pass."
        )
    try:
        return bytes(vault.decrypt(content))
    except Exception:
        # The exception may quote decrypted text.
        raise OnboardingError(f"{what} {path}: cannot be decrypted with the run's vault secrets.") from None


def read_key(path: str, what: str, vault: Any) -> Any:
    """The private key in a PEM file of the controller. Raises OnboardingError that never quotes the file."""
    try:
        return load_pem_private_key(read_secret(path, what, vault), password=None)
    except TypeError:
        raise OnboardingError(
            f"{what} {path}: is encrypted with a passphrase. Write it without one, and encrypt it with ansible-vault."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise OnboardingError(f"{what} {path}: is not a private key in PEM.") from None


def public_bytes(key: Any) -> bytes:
    """A public key in DER, by which two are compared."""
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def key_identifier(certificate: x509.Certificate) -> bytes:
    """The key identifier by which certificates name this CA."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


@dataclass(frozen=True)
class Issued:
    """A client certificate: PEM with the authorities between it and the CA, if any, and its fields for people."""

    pem: bytes
    not_after: datetime
    fingerprint: str
    serial: int
    note: str = ""


@dataclass(frozen=True)
class ClientAuthority:
    """A CA that signs client certificates. `certificates` are those in its file, of which the key belongs to the first.

    Raises OnboardingError when the file holds no CA that is valid now, or another key.
    """

    path: str
    certificate: x509.Certificate
    key: Any = field(repr=False)

    @classmethod
    def load(cls, certificate_file: str, key_file: str, vault: Any) -> ClientAuthority:
        """Read and verify both files of the controller."""
        source = CaSource("ca_file", certificate_file)
        try:
            held = authorities.load(source)
        except OnboardingError as exc:
            raise OnboardingError(f"client_{exc}") from None
        key = read_key(key_file, "client_ca_key_file", vault)
        certificates = [x509.load_pem_x509_certificate(authority.pem) for authority in held]
        own = public_bytes(key.public_key())
        # The file of a CA that was renewed holds the new certificate and the old one.
        for certificate in certificates:
            if public_bytes(certificate.public_key()) == own:
                return cls(certificate_file, certificate, key)
        raise OnboardingError(
            f"client_ca_key_file {key_file}: is not the key of {certificate_file}. Name the key that was made together"
            " with this certificate."
        )

    @property
    def identifier(self) -> bytes:
        """The key identifier in the certificates that it signs."""
        return key_identifier(self.certificate)

    def signed(self, pem: str) -> bool:
        """Whether it signed a certificate, which is not verified otherwise."""
        try:
            x509.load_pem_x509_certificate(pem.encode()).verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion):
            return False
        return True

    def issue(
        self, public_key: Any, names: Sequence[str], lifetime: int, *, scoped: bool, now: datetime | None = None
    ) -> Issued:
        """Sign a client certificate.

        Args:
            public_key: of the pair.
            names: the first is the common name, others become DNS names.
            lifetime: days from now, but at most those that the CA has left.
            scoped: whether the certificate names its user for the system tenant only, as `cockroach cert` does.
            now: the time to sign at.

        Raises OnboardingError for a key that is too weak.
        """
        _refuse_weak(public_key)
        now = (now or datetime.now(timezone.utc)).replace(microsecond=0)
        ends = now + timedelta(days=lifetime)
        last = self.certificate.not_valid_after_utc
        note = (
            f"the certificate of {names[0]} ends on {last:%Y-%m-%d}, together with its CA {self.path}: make a new"
            " client CA before that."
            if last < ends
            else ""
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(names[0]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(secrets.randbits(127) | 1)
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(ends, last))
            .add_extension(_key_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier(self.identifier, None, None), critical=False)
        )
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names[1:]]
        if scoped:
            alternatives.append(x509.UniformResourceIdentifier(f"crdb://tenant/{SYSTEM_TENANT}/user/{names[0]}"))
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return described(builder.sign(self.key, _hash(self.key)), note=note)


def described(certificate: x509.Certificate, chain: Sequence[x509.Certificate] = (), note: str = "") -> Issued:
    """A certificate as it is put on a host."""
    return Issued(
        pem=b"".join(each.public_bytes(Encoding.PEM) for each in (certificate, *chain)),
        not_after=certificate.not_valid_after_utc,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        serial=certificate.serial_number,
        note=note,
    )


def _refuse_weak(public_key: Any) -> None:
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size < KEY_BITS:
        raise OnboardingError(
            f"The key of a client certificate has {public_key.key_size} bits; it needs {KEY_BITS}. For a new key, set"
            " client_key_rotation: always (crdb_connection_client_key_rotation)."
        )
    if not isinstance(public_key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)):
        raise OnboardingError("The key of a client certificate must be RSA, of an elliptic curve, or Ed25519.")


def _hash(key: Any) -> Any:
    return None if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) else hashes.SHA256()


def name_of(common_name: str) -> x509.Name:
    """A subject as `cockroach cert` writes it."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=authority,
        content_commitment=authority,
        crl_sign=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def new_key() -> Any:
    """A private key as `cockroach cert` makes it by default."""
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def key_pem(key: Any) -> bytes:
    """A private key in PEM, not encrypted."""
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def key_pkcs8(key: Any) -> bytes:
    """A private key in PKCS#8 (DER), not encrypted, as Java reads it."""
    return bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def refuse_existing(certificate_file: str, key_file: str) -> None:
    """Raise OnboardingError when one of the files of a new CA is there already, or both have one path."""
    for path in (certificate_file, key_file):
        if Path(path).exists() or Path(path).is_symlink():
            raise OnboardingError(f"{path}: is there already. A CA is never replaced. Choose another path.")
    if Path(certificate_file).resolve() == Path(key_file).resolve():
        raise OnboardingError(
            f"{key_file}: the certificate and its key must be two files. Choose another path for one."
        )


def create(certificate_file: str, key_file: str, lifetime: int, vault: Any) -> Issued:
    """Make a client CA: both files are new, the key has mode 0600, and is encrypted where the run has a vault secret.

    `lifetime` is in days. Raises OnboardingError when one of the files is there already.
    """
    refuse_existing(certificate_file, key_file)
    now = datetime.now(timezone.utc).replace(microsecond=0)
    key = new_key()
    name = name_of(CA_NAME)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(secrets.randbits(127) | 1)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=lifetime))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    content = key_pem(key)
    if vault is not None and vault.secrets:
        content = vault.encrypt(content)
    try:
        for path in (key_file, certificate_file):
            Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace.write(key_file, content, 0o600, prefix=".client-ca.")
        replace.write(certificate_file, certificate.public_bytes(Encoding.PEM), 0o644, prefix=".client-ca.")
    except OSError as exc:
        raise OnboardingError(f"{exc.filename or key_file}: cannot be written: {exc.strerror}.") from None
    return described(certificate)
