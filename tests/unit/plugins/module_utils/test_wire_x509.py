# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate reader agrees with `cryptography`, and accepts any bytes."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._wire import chain_rules
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509 as our_x509
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
from ansible_collections.crdb.onboard.plugins.module_utils._wire.der import DerError
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import WrongNameError
from ansible_collections.crdb.onboard.plugins.module_utils._wire.session import Wire
from ansible_collections.crdb.onboard.plugins.module_utils._wire.tls import certificates_in_clear
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Ed25519 signatures are deterministic, as Hypothesis requires.
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UTC = datetime.timezone.utc
# cryptography accepts names of at most 64 bytes.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(
    lambda text: len(text.encode()) <= 64
)
OIDS = st.sampled_from(
    [NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.LOCALITY_NAME, NameOID.USER_ID, NameOID.GIVEN_NAME]
)
ATTRIBUTES = st.builds(x509.NameAttribute, OIDS, TEXT) | st.builds(
    x509.NameAttribute, st.just(NameOID.COUNTRY_NAME), st.sampled_from(["DE", "US"])
)
NAMES = st.builds(x509.Name, st.lists(ATTRIBUTES, max_size=5))
MOMENTS = st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2199, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
ALTERNATIVES = st.lists(
    st.builds(x509.DNSName, st.from_regex(r"\A[a-z0-9*_-]{1,20}(\.[a-z0-9-]{1,20}){0,3}\Z"))
    | st.builds(x509.IPAddress, st.ip_addresses())
    | st.builds(x509.RFC822Name, st.just("root@shop.test"))
    | st.builds(x509.UniformResourceIdentifier, st.just("https://shop.test/")),
    min_size=1,
    max_size=8,
)
USAGES = st.lists(st.booleans(), min_size=7, max_size=7).map(lambda flags: x509.KeyUsage(*flags, False, False))
EXTENDED = st.lists(
    st.sampled_from([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), min_size=1, unique=True
)
USAGE_NAMES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign"),
)


@st.composite
def certificates(draw: Any) -> x509.Certificate:
    begins, ends = sorted([draw(MOMENTS), draw(MOMENTS)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(draw(NAMES))
        .issuer_name(draw(NAMES))
        .public_key(KEY.public_key())
        .serial_number(draw(st.integers(1, 2**150)))
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    extensions: list[Any] = []
    if draw(st.booleans()):
        extensions.append(x509.SubjectAlternativeName(draw(ALTERNATIVES)))
    if draw(st.booleans()):
        is_ca = draw(st.booleans())
        length = draw(st.none() | st.integers(0, 300)) if is_ca else None
        extensions.append(x509.BasicConstraints(is_ca, length))
    if draw(st.booleans()):
        extensions.append(draw(USAGES))
    if draw(st.booleans()):
        extensions.append(x509.ExtendedKeyUsage(draw(EXTENDED)))
    if draw(st.booleans()):
        extensions.append(x509.SubjectKeyIdentifier(draw(st.binary(min_size=1, max_size=20))))
    if draw(st.booleans()):
        extensions.append(x509.AuthorityKeyIdentifier(draw(st.binary(min_size=1, max_size=20)), None, None))
    if draw(st.booleans()):
        where = x509.UniformResourceIdentifier("http://ca.test/")
        kind = draw(st.sampled_from([AuthorityInformationAccessOID.CA_ISSUERS, AuthorityInformationAccessOID.OCSP]))
        extensions.append(x509.AuthorityInformationAccess([x509.AccessDescription(kind, where)]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=draw(st.booleans()))
    return builder.sign(KEY, None)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _extension(certificate: x509.Certificate, kind: Any) -> Any:
    with contextlib.suppress(x509.ExtensionNotFound):
        return certificate.extensions.get_extension_for_class(kind).value
    return None


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(certificates())
def test_it_agrees_with_cryptography(theirs: x509.Certificate) -> None:
    ours = our_x509.read(_der(theirs))
    for name, parts in ((theirs.subject, ours.subject_name), (theirs.issuer, ours.issuer_name)):
        assert [(part.oid.dotted_string, part.value) for part in name] == [(part.oid, part.text) for part in parts]
    assert (ours.not_before, ours.not_after) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
    assert ours.serial == theirs.serial_number
    assert ours.version == 3
    assert ours.sha256 == theirs.fingerprint(hashes.SHA256()).hex()
    names = _extension(theirs, x509.SubjectAlternativeName)
    assert ours.has_alternative_names == (names is not None)
    assert list(ours.dns_names) == [n.encode() for n in (names.get_values_for_type(x509.DNSName) if names else ())]
    addresses = names.get_values_for_type(x509.IPAddress) if names else []
    assert [ipaddress.ip_address(raw) for raw in ours.addresses] == addresses
    constraints = _extension(theirs, x509.BasicConstraints)
    assert ours.is_ca == (None if constraints is None else constraints.ca)
    assert ours.path_length == (None if constraints is None else constraints.path_length)
    usage = _extension(theirs, x509.KeyUsage)
    assert ours.key_usage == (None if usage is None else {name for name in USAGE_NAMES if getattr(usage, name)})
    extended = _extension(theirs, x509.ExtendedKeyUsage)
    assert ours.extended_usage == (None if extended is None else tuple(oid.dotted_string for oid in extended))
    subject_key = _extension(theirs, x509.SubjectKeyIdentifier)
    assert ours.subject_key == (None if subject_key is None else subject_key.digest)
    authority_key = _extension(theirs, x509.AuthorityKeyIdentifier)
    assert ours.authority_key == (None if authority_key is None else authority_key.key_identifier)
    access = _extension(theirs, x509.AuthorityInformationAccess)
    links = [a.access_method == AuthorityInformationAccessOID.CA_ISSUERS for a in access or ()]
    assert ours.has_issuer_link == any(links)
    assert ours.critical == {e.oid.dotted_string for e in theirs.extensions if e.critical}
    assert ours.extensions == len(theirs.extensions)


def _read_or_refuse(data: bytes) -> None:
    try:
        found = our_x509.read(data)
    except DerError:
        return
    # Every certificate that was read can be printed, compared and matched.
    assert isinstance(found.subject + found.issuer + found.sha256 + "".join(found.names()), str)
    chain_rules.matches_host(found, "db.shop.test")
    chain_rules.matches_host(found, "127.0.0.1")
    assert isinstance(chain_rules.stricter_clients([found, found], "db.shop.test"), list)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(certificates(), st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=6), st.data())
def test_mutated_certificates_are_read_or_refused(
    certificate: x509.Certificate, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    der = bytearray(_der(certificate))
    for at, byte in changes:
        der[at % len(der)] = byte
    how = data.draw(st.sampled_from(["whole", "cut", "longer", "without"]))
    at = data.draw(st.integers(0, len(der) - 1))
    if how == "cut":
        del der[at:]
    elif how == "longer":
        der[at:at] = data.draw(st.binary(max_size=8))
    elif how == "without":
        del der[at : at + data.draw(st.integers(1, 8))]
    _read_or_refuse(bytes(der))


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    _read_or_refuse(data)
    assert all(isinstance(one, bytes) for one in certificates_in_clear(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x85\x00\x00\x00\x00\x01\x00",
        b"\x1f\x81\x00",
        b"\x30\x82\xff\xff" + b"\x30\x00" * 100_000,
        b"\x30\x84\x00\x03\x0d\x40" + b"\x30\x02" * 100_000,
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DerError):
        our_x509.read(data)


def test_the_roots_of_this_machine_are_read_as_openssl_reads_them() -> None:
    """Certificates of many makers, with the string types and dates of thirty years."""
    path = ssl.get_default_verify_paths().openssl_cafile
    bundles = [path, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]
    bundle = next((Path(one) for one in bundles if one and Path(one).is_file()), None)
    if bundle is None:
        pytest.skip("no bundle of public roots on this machine: install ca-certificates")
    text = bundle.read_text()
    found = our_x509.read_pem(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=text)
    assert len(found) == text.count("-----BEGIN CERTIFICATE-----")
    theirs = {
        ssl.cert_time_to_seconds(one["notAfter"]): [pair for part in one["subject"] for pair in part]
        for one in context.get_ca_certs()
    }
    for one in found:
        wanted = theirs[int(one.not_after.timestamp())]
        assert len(one.subject_name) == len(wanted)
    assert all(one.is_ca for one in found if one.version == 3)


def test_names_as_text() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Let's Encrypt"),
            x509.NameAttribute(NameOID.COMMON_NAME, "R11"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2060, 1, 1))
        .sign(KEY, None)
    )
    found = our_x509.read(_der(certificate))
    assert found.subject == "C=US, O=Let's Encrypt, CN=R11"
    assert found.self_issued
    assert found.not_after == datetime.datetime(2060, 1, 1, tzinfo=UTC)
    text = "comment é\n" + certificate.public_bytes(Encoding.PEM).decode()
    assert [one.sha256 for one in our_x509.read_pem(text + "-----BEGIN CERTIFICATE-----\n!!\n-----END ")] == [
        found.sha256
    ]


def test_a_block_that_was_cut_off_does_not_hide_the_next_one() -> None:
    text = ssl.DER_cert_to_PEM_cert(_named("db.shop.test"))
    cut_off = text[: len(text) // 2]
    (certificate,) = our_x509.read_pem(cut_off + "\n" + text)
    assert certificate.dns_names == (b"db.shop.test",)
    assert our_x509.read_pem(cut_off) == ()


def test_reading_pem_takes_linear_time() -> None:
    began = time.monotonic()
    assert our_x509.read_pem("-----BEGIN CERTIFICATE-----" * 100_000) == ()
    assert time.monotonic() - began < 5


def test_no_certificates_of_openssl_itself_are_misread(tmp_path: Path) -> None:
    """`openssl req` writes what `cryptography` never does: a PrintableString, a T61String, a negative serial."""
    key, out = tmp_path / "key", tmp_path / "out"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key)]
    words += ["-out", str(out), "-days", "30000", "-subj", "/C=DE/O=Caf\xe9/CN=db.test", "-set_serial", "-5"]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    (found,) = our_x509.read_pem(out.read_text())
    assert found.serial == -5
    assert found.common_name == b"db.test"
    assert found.not_after.year > 2050


class ForgedTls:
    """A TLS layer that verified one certificate, while another one was in the bytes beside it."""

    def __init__(self, own: bytes) -> None:
        self._own = own

    def do_handshake(self) -> None:
        pass

    def getpeercert(self, _binary: bool) -> bytes:
        return self._own


class VerifyingContext:
    """Just enough of an SSLContext."""

    verify_mode = ssl.CERT_REQUIRED

    def __init__(self, own: bytes) -> None:
        self._own = own

    def wrap_bio(self, *_bios: object, server_hostname: str) -> ForgedTls:
        assert server_hostname
        return ForgedTls(self._own)


def test_the_name_is_looked_for_in_the_certificate_that_was_verified() -> None:
    """Bytes that look like another Certificate message do not change whom the server is."""
    mine, forged = (_named(name) for name in ("evil.test", "db.shop.test"))
    listed = len(forged).to_bytes(3, "big") + forged
    body = len(listed).to_bytes(3, "big") + listed
    message = b"\x0b" + len(body).to_bytes(3, "big") + body
    record = b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message
    assert certificates_in_clear(record) == [forged]
    left, right = socket.socketpair()
    with left, right:
        wire = Wire(left, Deadline(5))
        wire._handshake += record
        with pytest.raises(WrongNameError):
            wire.start_tls(VerifyingContext(mine), "db.shop.test")  # type: ignore[arg-type]
        assert wire.peer_chain() == [mine]
        wire.start_tls(VerifyingContext(mine), "evil.test")  # type: ignore[arg-type]


def _named(name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2060, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(KEY, None)
    )
    return _der(certificate)
