# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Client certificates that HashiCorp Vault signs: what is asked, what is taken, and every refusal with its cure."""

from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import source as connection_source
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import authority as _authority
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import hashicorp
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import CertificateSource, VaultRole
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.certificates import CertificateStore
from sandbox.clusters import FrontSpec
from tests.vault import ROLE, TOKEN, Vault


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vault")
    _authority.create(f"{folder}/ca.crt", f"{folder}/ca.key", 365, None)
    ca = _authority.ClientAuthority.load(f"{folder}/ca.crt", f"{folder}/ca.key", None)
    return ca, CertificateStore(folder).front(FrontSpec("vault", "Vault's TLS CA", (), routed=True))


@pytest.fixture
def vault(files):
    ca, tls = files
    server = Vault((ca.certificate, ca.key), (tls.server.certificate, tls.server.key))
    yield server
    server.close()


@pytest.fixture(scope="module")
def key():
    return _authority.new_key()


def ask(vault, files, key, names=("shop",), lifetime=30, **facts):
    role = VaultRole(**{
        "url": vault.url, "mount": "pki", "role": ROLE, "token": TOKEN, "ca_file": str(files[1].ca), **facts
    })  # fmt: skip
    source = CertificateSource("client_cert_vault", names=names, lifetime=lifetime, vault=role)
    builder = x509.CertificateSigningRequestBuilder().subject_name(_authority.name_of(names[0]))
    request = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return hashicorp.sign(source, "shop", request, key.public_key())


def test_it_signs_the_host_s_request(vault, files, key):
    issued = ask(vault, files, key)
    certificate = x509.load_pem_x509_certificate(issued.pem)
    certificate.verify_directly_issued_by(files[0].certificate)
    assert certificate.public_key() == key.public_key()
    assert issued.note == ""
    # The root is on the cluster.
    assert issued.pem.count(b"BEGIN CERTIFICATE") == 1
    ((path, headers, body),) = vault.requests
    assert path == "/v1/pki/sign/client"
    assert headers["X-Vault-Token"] == TOKEN
    assert "X-Vault-Namespace" not in headers
    assert body["common_name"] == "shop"
    assert body["ttl"] == "720h"
    assert "PRIVATE" not in json.dumps(body)


def test_what_lies_between_it_and_the_root_comes_with_it(vault, files, key):
    vault.use_intermediate()
    vault.namespace = "admin/team"
    issued = ask(vault, files, key, namespace="admin/team")
    leaf, between = x509.load_pem_x509_certificates(issued.pem)
    leaf.verify_directly_issued_by(between)
    between.verify_directly_issued_by(files[0].certificate)


def test_a_shorter_lifetime_is_said(vault, files, key):
    vault.max_ttl = 2 * 86400
    issued = ask(vault, files, key)
    assert (issued.not_after - datetime.datetime.now(datetime.timezone.utc)).days in (1, 2)
    assert "before the 30 days that client_cert_lifetime asks for: max_ttl of the role" in issued.note


def test_the_token_of_the_environment(vault, files, key, monkeypatch):
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    with pytest.raises(OnboardingError, match=r"there is no token\. Set VAULT_TOKEN in the environment"):
        ask(vault, files, key, token="")
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    ask(vault, files, key, token="")
    for wrong in (f"{TOKEN}\n{TOKEN}", f"{TOKEN}\u2026", f"{TOKEN} {TOKEN}"):
        monkeypatch.setenv("VAULT_TOKEN", wrong)
        with pytest.raises(OnboardingError, match="VAULT_TOKEN in the environment has a character") as caught:
            ask(vault, files, key, token="")
        assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"token": "hvs.other"},
            r"answered 403: 1 error occurred:.*policy lacks the capability update on pki/sign/client",
        ),
        ({"namespace": "other"}, r"answered 403.*update on pki/sign/client in the namespace other"),
        ({"mount": "pki_int"}, r"answered 404.*There is no PKI secrets engine at pki_int: set client_cert_vault_mount"),
        ({"role": "nobody"}, r"answered 400: unknown role: nobody\. Create the role nobody in pki"),
        ({"names": ("eve",)}, r"answered 400: common name eve not allowed by this role\. Let the role client sign"),
        ({"ca_file": ""}, r"its certificate cannot be verified: .*Set client_cert_vault_ca_file"),
        ({"url": "https://localhost:1"}, r"https://localhost:1: .*Check the URL, the network and HTTPS_PROXY"),
    ],
)
def test_refusals_have_a_cause_and_a_cure(vault, files, key, facts, words):
    with pytest.raises(OnboardingError, match=words) as caught:
        ask(vault, files, key, **facts)
    assert TOKEN not in str(caught.value)
    assert str(caught.value).startswith("client_cert_vault https://localhost:")


def test_a_sealed_vault(vault, files, key):
    vault.sealed = True
    with pytest.raises(
        OnboardingError, match=r"answered 503: Vault is sealed\. Vault is sealed or starting: unseal it"
    ):
        ask(vault, files, key)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((307, b"", {"Location": "https://evil.example/v1"}), "It names another server, to which the token"),
        ((200, b"<html>Sign in</html>", {}), r"answered 200\. Check client_cert_vault and its role"),
        ((200, b'{"data": {}}', {}), "the answer has no certificate"),
        ((200, b'{"data": {"certificate": "no PEM"}}', {}), "has no client certificate in PEM"),
        ((502, b"bad gateway", {}), "This is an error of Vault or of a proxy before it"),
        (
            (400, b'{"errors": ["cannot satisfy request, as TTL would result in notAfter that is beyond the expiration'
             b' of the CA certificate"]}', {}),
            "The lifetime ends after Vault's CA: renew that CA, or set client_cert_lifetime",
        ),
        ((400, b'{"errors": ["echo ' + TOKEN.encode() + b'"]}', {}), r"answered 400: echo \*{8}"),
    ],
)  # fmt: skip
def test_other_answers(vault, files, key, answer, words):
    vault.answer = answer
    with pytest.raises(OnboardingError, match=words) as caught:
        ask(vault, files, key)
    assert TOKEN not in str(caught.value)


def test_a_certificate_of_another_key_or_name_is_refused(vault, files, key):
    vault.answer = vault.respond("/v1/pki/sign/client", {"X-Vault-Token": TOKEN}, {
        "csr": x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        .sign(_authority.new_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
        "common_name": "shop", "alt_names": "", "ttl": "24h", "exclude_cn_from_sans": True,
    })  # fmt: skip
    with pytest.raises(OnboardingError, match="the certificate belongs to another key"):
        ask(vault, files, key)


SERVER = {"host": "db.example.com", "user": "shop", "ca_file": "/ca.crt"}
OF_VAULT = {"client_cert_vault": "https://vault.example.com:8200", "client_cert_vault_role": "client"}


def test_the_keys_of_a_connection():
    read = connection_source("shop", {**SERVER, **OF_VAULT, "client_cert_vault_token": TOKEN}).certificate
    assert read.vault == VaultRole("https://vault.example.com:8200", "pki", "client", token=TOKEN)
    assert TOKEN not in repr(read)
    assert connection_source("shop", {**SERVER, **OF_VAULT, "client_cert_vault": "http://127.0.0.1:8200/"})


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"client_cert_vault": "http://vault.example.com:8200"}, r"client_cert_vault: .*https"),
        ({"client_cert_vault": "https://vault.example.com/v1/pki"}, "must be the URL of Vault alone"),
        ({"client_cert_vault": "https://me:canary@vault.example.com"}, "must be the URL of Vault alone"),
        ({"client_cert_vault_role": ""}, "client_cert_vault_role is missing: it names the role that signs"),
        ({"client_cert_vault_role": "../sys"}, r"client_cert_vault_role: '\.\./sys' is not a path of Vault"),
        ({"client_cert_vault_mount": "pki?x"}, r"client_cert_vault_mount: 'pki\?x' is not a path of Vault"),
        ({"client_cert_vault_token": "canary\nx"}, "client_cert_vault_token has a character that no token has"),
        ({"client_ca_file": "/c", "client_ca_key_file": "/k"}, "has client_ca_file and client_cert_vault, but"),
        ({"client_cert_vault": "", "password": "x"}, "client_cert_vault_role has no use without"),
        (
            {"client_cert_vault": "", "client_cert_command": "x"},
            "client_cert_vault_role has no use with client_cert_command",
        ),
    ],
)
def test_what_is_refused(facts, words):
    with pytest.raises(OnboardingError, match=words) as caught:
        connection_source("shop", {**SERVER, **OF_VAULT, **facts})
    assert "canary" not in str(caught.value)
