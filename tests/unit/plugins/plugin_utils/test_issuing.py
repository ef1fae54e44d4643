# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Client certificates: the fields of `cockroach cert`, the CA and its key, and certificates that others sign."""

from __future__ import annotations

import base64
import datetime
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.crdb.onboard.plugins.module_utils._key_pairs import request as _request
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import authority as _authority
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import outside
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.pairs import Issuer
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import CertificateSource
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

UTC = datetime.timezone.utc
NOW = datetime.datetime.now(UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ca")
    _authority.create(f"{folder}/ca.crt", f"{folder}/ca.key", 3660, None)
    return folder


@pytest.fixture(scope="module")
def authority(folder):
    return _authority.ClientAuthority.load(f"{folder}/ca.crt", f"{folder}/ca.key", None)


@pytest.fixture(scope="module")
def key():
    return _authority.new_key()


def certificate(issued):
    return x509.load_pem_x509_certificate(issued.pem)


def vault(password=b"canary of the vault"):
    return VaultLib([("default", VaultSecret(password))])


def test_the_fields_are_those_of_cockroach_cert_create_client(authority, key):
    """As pkg/security/x509.go (newTemplate, GenerateClientCert) and pkg/cli/cert.go have them; see docs/login.md."""
    made = certificate(authority.issue(key.public_key(), ["shop"], 5 * 366, scoped=True, now=NOW))
    assert made.version == x509.Version.v3
    assert made.subject.rfc4514_string() == "CN=shop,O=Cockroach"
    assert made.issuer == authority.certificate.subject
    assert made.not_valid_before_utc == NOW - DAY
    assert made.not_valid_after_utc == NOW + 1830 * DAY
    assert 0 < made.serial_number < 2**128
    extensions = {extension.oid._name: extension for extension in made.extensions}
    assert set(extensions) == {"keyUsage", "extendedKeyUsage", "authorityKeyIdentifier", "subjectAltName"}
    usage = extensions["keyUsage"].value
    assert extensions["keyUsage"].critical
    assert usage.digital_signature
    assert usage.key_encipherment
    others = ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    assert not any(getattr(usage, name) for name in others)
    assert list(extensions["extendedKeyUsage"].value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extensions["authorityKeyIdentifier"].value.key_identifier == authority.identifier
    (uri,) = extensions["subjectAltName"].value
    assert uri == x509.UniformResourceIdentifier("crdb://tenant/1/user/shop")
    made.verify_directly_issued_by(authority.certificate)


def test_the_ca_is_the_one_of_cockroach_cert_create_client_ca(folder):
    made = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    assert made.subject.rfc4514_string() == made.issuer.rfc4514_string() == "CN=Cockroach CA,O=Cockroach"
    assert made.not_valid_after_utc - made.not_valid_before_utc == 3661 * DAY
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=1)
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    names = ("digital_signature", "key_encipherment", "key_cert_sign", "content_commitment")
    assert all(getattr(usage, name) for name in names)
    assert made.public_key().key_size == 2048
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "ca.crt").stat().st_mode) == 0o644


def test_names_that_the_cluster_maps(authority, key):
    made = certificate(authority.issue(key.public_key(), ["shop.apps", "shop.example.com"], 1, scoped=False))
    assert made.subject.rfc4514_string() == "CN=shop.apps,O=Cockroach"
    (name,) = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name == x509.DNSName("shop.example.com")


def test_never_longer_than_the_ca(authority, key):
    issued = authority.issue(key.public_key(), ["shop"], 5000, scoped=False, now=NOW)
    assert issued.not_after == authority.certificate.not_valid_after_utc
    assert "together with its CA" in issued.note
    assert authority.issue(key.public_key(), ["shop"], 3000, scoped=False, now=NOW).note == ""


@pytest.mark.parametrize("weak", [1024], ids=str)
def test_a_weak_key_is_refused(authority, weak):
    public = rsa.generate_private_key(public_exponent=65537, key_size=weak).public_key()
    with pytest.raises(OnboardingError, match=f"has {weak} bits; it needs 2048"):
        authority.issue(public, ["shop"], 1, scoped=False)


def test_a_ca_with_an_elliptic_curve(tmp_path, folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "EC")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    # As after `cockroach cert create-ca --overwrite`: the newer CA first, and the older one, whose key it may be.
    text = made.public_bytes(Encoding.PEM) + (folder / "ca.crt").read_bytes()
    (tmp_path / "ca.crt").write_bytes(text)
    (tmp_path / "ca.key").write_bytes(_authority.key_pem(key))
    (tmp_path / "ca.key").chmod(0o600)
    for key_file, common_name in ((tmp_path / "ca.key", "CN=EC"), (folder / "ca.key", "CN=Cockroach CA,O=Cockroach")):
        loaded = _authority.ClientAuthority.load(f"{tmp_path}/ca.crt", str(key_file), None)
        issued = loaded.issue(key.public_key(), ["shop"], 1, scoped=False)
        assert certificate(issued).issuer.rfc4514_string() == common_name
        assert loaded.signed(issued.pem.decode())
    assert not _authority.ClientAuthority.load(f"{folder}/ca.crt", f"{folder}/ca.key", None).signed(
        (tmp_path / "ca.crt").read_text()
    )


class TestKeyOfTheCa:
    def test_encrypted_by_ansible_vault(self, tmp_path):
        _authority.create(f"{tmp_path}/ca.crt", f"{tmp_path}/ca.key", 10, vault())
        assert (tmp_path / "ca.key").read_bytes().startswith(b"$ANSIBLE_VAULT;")
        (tmp_path / "ca.key").chmod(0o644)
        loaded = _authority.ClientAuthority.load(f"{tmp_path}/ca.crt", f"{tmp_path}/ca.key", vault())
        assert "BEGIN" not in repr(loaded)
        for wrong, words in ((None, "the run has no vault secret"), (vault(b"wrong"), "cannot be decrypted")):
            with pytest.raises(OnboardingError, match=words) as caught:
                _authority.ClientAuthority.load(f"{tmp_path}/ca.crt", f"{tmp_path}/ca.key", wrong)
            assert "canary" not in str(caught.value)

    def test_readable_by_others(self, folder, tmp_path):
        copy = tmp_path / "ca.key"
        copy.write_bytes((folder / "ca.key").read_bytes())
        copy.chmod(0o640)
        with pytest.raises(OnboardingError, match=r"must not be readable by other users. Run: chmod 600 .*ca.key"):
            _authority.ClientAuthority.load(f"{folder}/ca.crt", str(copy), None)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"canary", "is not a private key in PEM"),
            (b"-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n", "is not a private key in PEM"),
            ("passphrase", "is encrypted with a passphrase"),
            ("another", r"is not the key of .*ca\.crt"),
        ],
        ids=["text", "damaged", "passphrase", "another"],
    )
    def test_another_file(self, folder, tmp_path, key, content, words):
        path = tmp_path / "ca.key"
        if content == "passphrase":
            encryption = BestAvailableEncryption(b"canary")
            content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        elif content == "another":
            content = _authority.key_pem(key)
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(OnboardingError, match=words) as caught:
            _authority.ClientAuthority.load(f"{folder}/ca.crt", str(path), None)
        assert "canary" not in str(caught.value)

    def test_no_file(self, folder, tmp_path):
        with pytest.raises(OnboardingError, match=r"client_ca_key_file .*: cannot be read on the controller: No such"):
            _authority.ClientAuthority.load(f"{folder}/ca.crt", f"{tmp_path}/none", None)

    def test_what_is_no_ca(self, folder, tmp_path, authority, key):
        leaf = authority.issue(key.public_key(), ["shop"], 1, scoped=False)
        (tmp_path / "ca.crt").write_bytes(leaf.pem)
        with pytest.raises(OnboardingError, match=r"^client_ca_file .*is not a certificate authority"):
            _authority.ClientAuthority.load(f"{tmp_path}/ca.crt", f"{folder}/ca.key", None)

    @pytest.mark.parametrize("there", ["ca.crt", "ca.key"])
    def test_nothing_is_replaced(self, tmp_path, there):
        (tmp_path / there).write_text("theirs")
        with pytest.raises(OnboardingError, match=f"{there}: is there already. A CA is never replaced"):
            _authority.create(f"{tmp_path}/ca.crt", f"{tmp_path}/ca.key", 10, None)
        assert [path.name for path in tmp_path.iterdir()] == [there]
        assert (tmp_path / there).read_text() == "theirs"

    @pytest.mark.parametrize("key_file", ["ca.pem", "./ca.pem", "../{name}/ca.pem"])
    def test_one_path_for_both_is_refused(self, tmp_path, key_file):
        """The certificate would replace the key."""
        key_file = f"{tmp_path}/{key_file.format(name=tmp_path.name)}"
        with pytest.raises(OnboardingError, match="must be two files"):
            _authority.create(f"{tmp_path}/ca.pem", key_file, 10, None)
        assert list(tmp_path.iterdir()) == []


class TestFromOutside:
    @pytest.fixture
    def source(self, tmp_path, authority, key):
        """The files of another authority."""
        (tmp_path / "client.crt").write_bytes(authority.issue(key.public_key(), ["shop"], 9, scoped=False).pem)
        (tmp_path / "client.key").write_bytes(_authority.key_pem(key))
        (tmp_path / "client.key").chmod(0o600)
        files = {"certificate": f"{tmp_path}/client.crt", "key": f"{tmp_path}/client.key"}
        return CertificateSource("client_cert_file", **files, names=("shop",))

    def test_files(self, source, key, tmp_path, folder):
        # With the authority between it and the root.
        with (tmp_path / "client.crt").open("ab") as file:
            file.write((folder / "ca.crt").read_bytes())
        issued, own = outside.from_files(source, None)
        assert own.private_numbers() == key.private_numbers()
        assert issued.pem.count(b"BEGIN CERTIFICATE") == 2

    def test_another_name(self, source, authority, key):
        other = authority.issue(key.public_key(), ["root"], 9, scoped=False)
        Path(source.certificate).write_bytes(other.pem)
        with pytest.raises(OnboardingError, match="the certificate is for root, not for shop"):
            outside.from_files(source, None)

    def test_another_key(self, source):
        Path(source.key).write_bytes(_authority.key_pem(_authority.new_key()))
        with pytest.raises(OnboardingError, match="the certificate belongs to another key"):
            outside.from_files(source, None)

    @pytest.mark.parametrize(
        ("began", "words"), [(-20, "expired on"), (20, "is not valid before .* Check this machine")]
    )
    def test_not_in_its_dates(self, source, authority, key, began, words):
        issued = authority.issue(key.public_key(), ["shop"], 9, scoped=False, now=NOW + began * DAY)
        Path(source.certificate).write_bytes(issued.pem)
        with pytest.raises(OnboardingError, match=words):
            outside.from_files(source, None)

    def test_the_certificate_of_a_server(self, source, authority, key):
        made = certificate(authority.issue(key.public_key(), ["shop"], 9, scoped=False))
        builder = x509.CertificateBuilder(
            made.issuer, made.subject, key.public_key(), 1, NOW - DAY, NOW + DAY, []
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        Path(source.certificate).write_bytes(builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        with pytest.raises(OnboardingError, match="is not for clients"):
            outside.from_files(source, None)

    @pytest.mark.parametrize(
        "content", [b"", b"canary", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    )
    def test_no_certificate(self, source, content):
        Path(source.certificate).write_bytes(content)
        with pytest.raises(OnboardingError, match="has no client certificate in PEM"):
            outside.from_files(source, None)


SIGNER = """
import sys, os
sys.path[:0] = {path!r}
from cryptography import x509
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import authority
request = x509.load_pem_x509_csr(sys.stdin.buffer.read())
ca = authority.ClientAuthority.load({ca!r}, {key!r}, None)
days = int(os.environ["CRDB_ONBOARD_DAYS"])
sys.stdout.buffer.write(ca.issue(request.public_key(), [os.environ["CRDB_ONBOARD_USER"]], days, scoped=False).pem)
"""


class TestFromACommand:
    def source(self, *command):
        return CertificateSource("client_cert_command", command=command, names=("shop",), lifetime=9)

    @pytest.fixture
    def request_of(self, key):
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def test_it_signs_a_request(self, tmp_path, folder, key, request_of):
        script = tmp_path / "sign.py"
        script.write_text(SIGNER.format(path=sys.path, ca=f"{folder}/ca.crt", key=f"{folder}/ca.key"))
        issued = outside.from_command(self.source(sys.executable, str(script)), "shop", request_of, key.public_key())
        assert certificate(issued).subject.rfc4514_string() == "CN=shop,O=Cockroach"
        assert (issued.not_after - NOW).days in (8, 9)

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            ("cat >/dev/null; echo 'no right to sign' >&2; exit 7", "ended with 7: no right to sign"),
            ("cat >/dev/null; exit 1", "ended with 1: it gave no message"),
            ("cat", "has no client certificate in PEM"),
        ],
    )
    def test_it_does_not(self, key, request_of, script, words):
        with pytest.raises(OnboardingError, match=f"client_cert_command /bin/sh: {words}"):
            outside.from_command(self.source("/bin/sh", "-c", script), "shop", request_of, key.public_key())

    def test_there_is_no_such_program(self, key, request_of):
        with pytest.raises(OnboardingError, match="client_cert_command /none: cannot be started: No such file"):
            outside.from_command(self.source("/none"), "shop", request_of, key.public_key())

    @pytest.mark.parametrize(
        ("alternative", "shown"),
        [
            (x509.DNSName("root"), "root"),
            (x509.UniformResourceIdentifier("crdb://tenant/1/user/root"), "crdb://tenant/1/user/root"),
        ],
    )
    def test_a_name_that_nobody_asked_for_is_refused(self, tmp_path, authority, key, request_of, alternative, shown):
        """CockroachDB lets a certificate log in as its DNS names too, and some programs copy those of a request."""
        template = certificate(authority.issue(key.public_key(), ["shop"], 9, scoped=False))
        builder = x509.CertificateBuilder(
            template.issuer, template.subject, key.public_key(), 7, NOW - DAY, NOW + DAY, []
        ).add_extension(x509.SubjectAlternativeName([x509.DNSName("shop"), alternative]), critical=False)
        signed = tmp_path / "signed.crt"
        signed.write_bytes(builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        with pytest.raises(OnboardingError, match=f"the certificate is for {shown} too, which nobody asked for"):
            outside.from_command(self.source("/bin/cat", str(signed)), "shop", request_of, key.public_key())

    def test_cockroachdb_reads_the_last_of_two_common_names(self, tmp_path, authority, key, request_of):
        names = [x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name) for name in ("shop", "root")]
        builder = x509.CertificateBuilder(
            authority.certificate.subject, x509.Name(names), key.public_key(), 7, NOW - DAY, NOW + DAY, []
        )
        signed = tmp_path / "signed.crt"
        signed.write_bytes(builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        with pytest.raises(OnboardingError, match="the certificate is for root too"):
            outside.from_command(self.source("/bin/cat", str(signed)), "shop", request_of, key.public_key())

    def test_a_name_that_was_asked_for_and_is_missing_is_named(self, tmp_path, authority, key, request_of):
        signed = tmp_path / "signed.crt"
        signed.write_bytes(authority.issue(key.public_key(), ["shop"], 9, scoped=True).pem)
        source = CertificateSource(
            "client_cert_command", command=("/bin/cat", str(signed)), names=("shop", "b.example.com"), lifetime=9
        )
        with pytest.raises(OnboardingError, match=r"the certificate lacks the name b\.example\.com"):
            outside.from_command(source, "shop", request_of, key.public_key())


@pytest.mark.parametrize("asked", ["name", "two names", "extension", "password"])
def test_a_host_s_request_may_ask_for_nothing_else(key, asked):
    """The host chose it, and the program that signs it may do as it says."""
    app = SimpleNamespace(
        name="shop", source=SimpleNamespace(name="shop", certificate=CertificateSource("", names=("shop",)))
    )
    subject = _authority.name_of("root" if asked == "name" else "shop")
    if asked == "two names":
        subject = x509.Name([*subject, x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "root")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if asked == "extension":
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("root")]), critical=False)
    if asked == "password":
        builder = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"any")
    request = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    with pytest.raises(OnboardingError, match="the host's signing request is not valid"):
        Issuer._request(app, request)


@pytest.mark.parametrize("name", ["shop", "a/b", "ü", "a+b=c"])
def test_the_request_that_a_host_makes_is_taken(tmp_path, name):
    app = SimpleNamespace(
        name="shop", source=SimpleNamespace(name="shop", certificate=CertificateSource("", names=(name,)))
    )
    made = _request.make(str(tmp_path), [name], pkcs8=False)
    assert Issuer._request(app, made["request"]).is_signature_valid


def test_a_certificate_of_no_known_version_was_not_signed_here(authority, key):
    """It lies in a folder of another account, who may write anything there."""
    der = certificate(authority.issue(key.public_key(), ["shop"], 9, scoped=False)).public_bytes(Encoding.DER)
    version = bytes.fromhex("a003020102")
    assert der.count(version) == 1
    changed = der.replace(version, bytes.fromhex("a003020174"))
    lines = base64.encodebytes(changed).decode()
    assert not authority.signed(f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
