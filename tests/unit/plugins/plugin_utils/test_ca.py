# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused as a CA, and what is not."""

from __future__ import annotations

import gzip
import re
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import certifi
import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._wire.ca_kinds import KINDS, unusable_kind
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca import authorities
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import (
    bundle,
    download,
    is_public,
    load,
    read_trust_store,
    trust_store,
    verify,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.places import Place, notes
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.ca import CaSource
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.hostile import HostileServer, answer, drip, redirect

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def certificate(name="Test CA", *, ca=True, start=NOW - DAY, end=NOW + 99 * DAY, sign=True, constraints=True):
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if constraints:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign",
             "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        builder = builder.add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=ca and sign, **usage), critical=True
        )
    return builder.sign(key, hashes.SHA256()), key


def pem(**options):
    return certificate(**options)[0].public_bytes(Encoding.PEM)


def test_authorities_are_read_once_each_and_in_order():
    first, second = pem(name="one"), pem(name="two")
    found = verify(b"a comment\n" + first + second + first, "here", now=NOW)
    assert [authority.subject for authority in found] == ["CN=one", "CN=two"]
    assert bundle(found) == first + second


def test_carriage_returns_and_a_byte_order_mark_are_read():
    text = pem()
    assert bundle(verify(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"), "here", now=NOW)) == text


def key_file():
    certificate_, key = certificate()
    return certificate_.public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "is empty"),
        (lambda: b" \n", "is empty"),
        (lambda: b"<!DOCTYPE html><html>Not found</html>", "is a web page"),
        (lambda: b"\n<html>", "is a web page"),
        (lambda: b"hello", "does not contain a PEM certificate"),
        (
            lambda: certificate()[0].public_bytes(Encoding.DER),
            "in DER form and must be PEM. Save it as ca.crt. Convert it: `openssl x509 -inform der -in ca.crt",
        ),
        (key_file, "holds a private key"),
        (lambda: pem()[:-30], "is cut off in the middle"),
        (lambda: pem() + pem()[:200], "is cut off in the middle"),
        (lambda: pem()[:100] + pem()[300:], "cannot be decoded"),
        (lambda: pem(name="localhost", ca=False), "CN=localhost is not a certificate authority"),
        (lambda: pem(name="old", constraints=False), "CN=old is not a certificate authority"),
        (lambda: pem(sign=False), "may not sign certificates"),
        (lambda: pem(start=NOW - 9 * DAY, end=NOW - DAY), "expired on 2026-05-31"),
        (lambda: pem(start=NOW + DAY), "is not valid before 2026-06-02"),
        (lambda: pem() + pem(ca=False), "is not a certificate authority"),
        (lambda: pem().replace(b"CERTIFICATE", b"CERTIFICATE REQUEST"), "holds a certificate request"),
    ],
)
def test_refused(content, message):
    with pytest.raises(OnboardingError, match=r"^ca_file x: ") as caught:
        verify(content(), "ca_file x", now=NOW)
    assert message in str(caught.value)


def test_the_cure_names_the_file_and_works_as_it_is_written(tmp_path):
    path = tmp_path / "its ca.crt"
    now = datetime.now(timezone.utc)
    text = pem(start=now - DAY, end=now + 99 * DAY)
    path.write_bytes(b'"' + text.strip() + b'"\n')
    with pytest.raises(OnboardingError, match="has quotes") as caught:
        load(CaSource("ca_file", str(path)))
    (command,) = re.findall("`([^`]+)`", str(caught.value))
    subprocess.run(["sh", "-c", command], check=True)
    assert bundle(load(CaSource("ca_file", str(path)))) == text


def test_the_cure_of_what_is_no_file_yet_leads_to_one(tmp_path):
    now = datetime.now(timezone.utc)
    text = pem(start=now - DAY, end=now + 99 * DAY)
    quoted = b'"' + text.strip() + b'"\n'
    with pytest.raises(OnboardingError, match=r"^ca_text: has quotes") as caught:
        load(CaSource("ca_text", quoted.decode()))
    assert str(caught.value).endswith("Then set ca_file (crdb_connection_ca_file) to the path of ca.crt.")
    (command,) = re.findall("`([^`]+)`", str(caught.value))
    (tmp_path / "ca.crt").write_bytes(quoted)
    subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path)
    assert bundle(load(CaSource("ca_file", str(tmp_path / "ca.crt")))) == text


def test_what_the_check_refuses_is_refused_in_the_same_words():
    quoted_behind_another = pem() + b'"' + pem()
    for content in (pem().replace(b"\n", b"\\n"), pem().decode().encode("utf-16"), quoted_behind_another):
        kind, _form = unusable_kind(content)
        with pytest.raises(OnboardingError) as caught:
            verify(content, "ca_text", now=NOW)
        assert str(caught.value).startswith(f"ca_text: {KINDS[kind].text}. ")
    assert kind == "quoted"


def test_an_expired_member_is_left_out_and_reported_while_a_valid_one_remains():
    old, valid = pem(name="old", start=NOW - 9 * DAY, end=NOW - DAY), pem(name="new")
    for content in (old + valid, valid + old):
        found = verify(content, "ca_file x", now=NOW)
        assert bundle(found) == valid
        assert found.left_out == ("ca_file x: CN=old expired on 2026-05-31, so it is left out.",)
    place = Place("/home/shop/certs/ca.crt", "shop", "shop", False, "shop", found)
    assert notes([place, place], [])[0] == found.left_out[0]
    assert notes([place, place], []).count(found.left_out[0]) == 1


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OnboardingError, match=r"ca\.crt: cannot be read on the controller: No such file"):
        load(CaSource("ca_file", str(tmp_path / "ca.crt")))


def test_a_url_without_tls_is_refused():
    with pytest.raises(OnboardingError, match="over https only"):
        load(CaSource("ca_url", "http://cockroachlabs.cloud/clusters/1/cert"))


def test_a_url_that_does_not_answer_is_named():
    with pytest.raises(OnboardingError, match=r"https://localhost:1/cert: cannot be downloaded"):
        load(CaSource("ca_url", "https://localhost:1/cert"))


class TestDownload:
    """A hostile server: whoever chooses the CA reads everything that the connections send."""

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch, tmp_path):
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        # Servers that end by themselves, so that a client that waits for them ends as well.
        monkeypatch.setattr(authorities, "DOWNLOAD_TIMEOUT", 0.5)
        netrc = tmp_path / "netrc"
        netrc.write_text("default login ann password of-netrc\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))

    @pytest.fixture
    def serve(self, monkeypatch, tmp_path):
        servers = []

        def start(script, *, tls=True):
            servers.append(HostileServer(tmp_path if tls else None, script))
            if tls:
                monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(servers[-1].ca_file))
            return servers[-1]

        yield start
        for server in servers:
            server.close()

    def test_a_ca_is_downloaded_without_any_credentials(self, serve):
        content = pem()
        other = serve(lambda path, number: answer(content))
        server = serve(lambda path, number: redirect(other.url.replace("127.0.0.1", "localhost") + "/ca.crt"))
        assert download(f"{server.url}/cert?x=y") == content
        for each in (server, other):
            ((_request, headers),) = each.requests
            assert "Authorization" not in headers

    def test_a_hop_over_http_is_not_made(self, serve):
        plain = serve(lambda path, number: redirect(f"{server.url}/last"), tls=False)
        server = serve(lambda path, number: answer(pem()) if path == "/last" else redirect(f"{plain.url}/hop"))
        with pytest.raises(OnboardingError, match=rf"redirects to {plain.url}/hop; .* over https only"):
            download(f"{server.url}/cert")
        assert plain.requests == []

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            (drip(b"HTTP/1.1 200 OK and so on" * 2), "cannot be downloaded: no complete response within 0.5 s"),
            (
                [*answer(b"", "200 OK", "Content-Length: 40"), *drip(b"x" * 40)],
                "cannot be downloaded: no complete response within 0.5 s",
            ),
            (answer(b"x", "200 OK", "Content-Length: 9"), "cannot be downloaded: the connection ended after 1 of 9"),
            (
                answer(gzip.compress(bytes(2 * 1024 * 1024)), "200 OK", "Content-Encoding: gzip"),
                "cannot be downloaded: the response has the encoding gzip",
            ),
            (answer(b"not gzip", "200 OK", "Content-Encoding: gzip"), "the response has the encoding gzip"),
            (answer(b"", "200 OK", "Content-Length: 2000000"), "at most 1048576 are allowed, so it is not a CA"),
            ([b"HTTP/1.1 200 OK\r\n\r\n", bytes(1024 * 1024 + 1)], "that are allowed, so it is not a CA"),
            ([b"\x1b[31mno http\r\n\r\n"], "cannot be downloaded: the response is not valid HTTP"),
            (answer(b"", "404 Not\x1b[31m here"), "the server answered 404 Not[31m here."),
        ],
        ids=["dripped header", "dripped body", "truncated", "bomb", "no gzip", "large", "endless", "no http", "404"],
    )
    def test_a_hostile_response_is_refused(self, serve, parts, message):
        server = serve(lambda path, number: parts)
        with pytest.raises(OnboardingError) as caught:
            download(f"{server.url}/cert?token=secret")
        assert message in str(caught.value)
        assert f"ca_url {server.url}/cert: " in str(caught.value)
        assert str(caught.value).isprintable()


class TestTrustStore:
    one, two = (verify(pem(name=name), "x", now=NOW) for name in ("one", "two"))

    def held(self, content):
        return {authority.fingerprint for authority in (*self.one, *self.two)} & set(read_trust_store(content))

    def test_the_same_certificates_are_no_change_whatever_their_salt(self):
        first, second = trust_store(self.one, b""), trust_store(self.one, b"")
        assert first != second
        assert trust_store(self.one, second) == second
        assert self.held(second) == {self.one[0].fingerprint}

    @pytest.mark.parametrize("there", [b"", b"no store", b"\x30\x03\x02\x01\x03"])
    def test_what_is_no_store_is_replaced(self, there):
        assert self.held(trust_store(self.one, there)) == {self.one[0].fingerprint}

    def test_other_certificates_are_replaced_or_kept(self):
        there = trust_store(self.one, b"")
        assert self.held(trust_store(self.two, there)) == {self.two[0].fingerprint}
        both = trust_store(self.two, there, keep_previous=True)
        assert self.held(both) == {self.one[0].fingerprint, self.two[0].fingerprint}
        assert trust_store(self.two, both, keep_previous=True) == both


def test_a_public_authority_is_known():
    public_bundle = Path(certifi.where()).read_bytes()
    block = public_bundle[public_bundle.index(b"-----BEGIN") :].split(b"-----END CERTIFICATE-----")[0]
    assert is_public(verify(block + b"-----END CERTIFICATE-----\n", "x", now=NOW))
    assert not is_public(verify(pem(), "x", now=NOW))
