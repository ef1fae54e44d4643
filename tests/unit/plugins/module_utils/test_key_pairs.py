# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's side of a client certificate: what is wrong with the one in use, and a key with a signing request."""

from __future__ import annotations

import datetime
import shutil
import stat
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files import keys
from ansible_collections.crdb.onboard.plugins.module_utils._key_pairs import pair as _pair
from ansible_collections.crdb.onboard.plugins.module_utils._key_pairs import request as _request
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import authority as _authority
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ca")
    _authority.create(f"{folder}/ca.crt", f"{folder}/ca.key", 3660, None)
    return _authority.ClientAuthority.load(f"{folder}/ca.crt", f"{folder}/ca.key", None)


@pytest.fixture(scope="module")
def key():
    return _authority.new_key()


@pytest.fixture
def place(tmp_path, authority, key):
    """Put a certificate in its place."""
    places = _pair.Places(str(tmp_path / "certs"), "shop")

    def place(names=("shop",), lifetime=365, now=NOW, mode=0o600, with_key=None, pkcs8=False):
        issued = authority.issue(key.public_key(), names, lifetime, scoped=False, now=now)
        folder = Path(places.store, "0123456789abcdef")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "client.shop.crt").write_bytes(issued.pem)
        (folder / "client.shop.key").write_bytes(_authority.key_pem(with_key or key))
        (folder / "client.shop.key").chmod(mode)
        if pkcs8:
            (folder / "client.shop.key.pk8").write_bytes(_authority.key_pkcs8(key))
        Path(places.current).symlink_to("0123456789abcdef")
        for path, target in places.links().items():
            Path(path).symlink_to(target)
        return places

    return place


def reason(places, authority, now=NOW, **wanted):
    facts = {"names": ["shop"], "authority_keys": [authority.identifier.hex()], "renew_days": None, "pkcs8": False}
    return _pair.examined(places, {**facts, **wanted}, now)["reason"]


def test_a_certificate_that_is_as_it_should_be(place, authority):
    places = place()
    assert reason(places, authority) == ""
    assert _pair.foreign(places) == ""
    assert _pair.pairs(places) == ["0123456789abcdef"]


def test_there_is_none(tmp_path, authority):
    assert reason(_pair.Places(str(tmp_path), "shop"), authority) == "missing"


@pytest.mark.parametrize(
    ("made", "wanted", "expected"),
    [
        ({"mode": 0o640}, {}, "exposed"),
        ({}, {"names": ["roach"]}, "name"),
        ({"names": ("shop", "shop.example.com")}, {}, "name"),
        ({"names": ("shop", "shop.example.com")}, {"names": ["shop", "shop.example.com"]}, ""),
        # Many authorities repeat the common name among the DNS names.
        ({"names": ("shop", "shop")}, {}, ""),
        ({"names": ("shop", "b", "a")}, {"names": ["shop", "a", "b"]}, ""),
        ({"names": ("a", "shop")}, {"names": ["shop", "a"]}, "name"),
        ({}, {"authority_keys": ["00" * 20]}, "authority"),
        ({}, {"authority_keys": []}, ""),
        ({}, {"pkcs8": True}, "pkcs8"),
        ({"pkcs8": True}, {"pkcs8": True}, ""),
        ({"now": NOW + datetime.timedelta(days=3)}, {}, "not_yet_valid"),
        # 366 days in all, so a third is 122, and 30 is less.
        ({"now": NOW - datetime.timedelta(days=334)}, {}, ""),
        ({"now": NOW - datetime.timedelta(days=336)}, {}, "due"),
        ({"now": NOW - datetime.timedelta(days=400)}, {}, "due"),
        # 10 days in all: a third of them.
        ({"lifetime": 9, "now": NOW - datetime.timedelta(days=5)}, {}, ""),
        ({"lifetime": 9, "now": NOW - datetime.timedelta(days=6)}, {}, "due"),
        ({"now": NOW - datetime.timedelta(days=336)}, {"renew_days": 7}, ""),
        ({}, {"renew_days": 364}, ""),
        ({}, {"renew_days": 365}, "due"),
    ],
)
def test_why_it_must_be_replaced(place, authority, made, wanted, expected):
    assert reason(place(**made), authority, **wanted) == expected


def test_the_key_of_another_certificate(place, authority):
    assert reason(place(with_key=_authority.new_key()), authority) == "mismatch"


def test_a_certificate_that_ended_in_the_first_year():
    ended = datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc)
    assert _pair.renewal(ended, ended, 30) == ended


def test_what_is_no_certificate(place, authority):
    places = place()
    Path(places.certificate).write_text("not PEM")
    assert reason(places, authority) == "unreadable"


def test_a_file_of_others_is_named(place, authority, tmp_path):
    places = place()
    Path(places.key).unlink()
    Path(places.key).write_text("theirs")
    assert _pair.foreign(places) == places.key
    (tmp_path / "other").mkdir()
    own = _pair.Places(str(tmp_path / "other"), "shop")
    Path(own.pkcs8).write_text("theirs")
    assert _pair.foreign(own) == own.pkcs8


@pytest.mark.parametrize(("made", "kept"), [({}, True), ({"mode": 0o640}, False), ({"with_key": "other"}, False)])
def test_a_key_that_is_lost_or_known_is_not_kept(place, authority, made, kept):
    made = {**made, **({"with_key": _authority.new_key()} if "with_key" in made else {})}
    places = place(now=NOW - datetime.timedelta(days=400), **made)
    why = reason(places, authority)
    assert why == "due" if kept else why in ("exposed", "mismatch")
    assert bool(_pair.key_to_keep(places, why)) == kept
    assert _pair.key_to_keep(places, "") == b""


def test_a_key_in_another_form_needs_openssl(key):
    assert _request.in_der(_authority.key_pem(key)) == _authority.key_pkcs8(key)
    old = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert _request.in_der(old) == b""
    assert _request.in_der(b"") == b""


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl, which apt-get install openssl installs")
class TestRequest:
    def test_the_key_stays_and_the_request_is_for_it(self, tmp_path):
        made = _request.make(str(tmp_path), ["shop"], pkcs8=True)
        folder = Path(keys.folder_of(str(tmp_path)))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert files == {made["pending"]: 0o600, f"{made['pending']}.pk8": 0o600}
        key = load_pem_private_key((folder / made["pending"]).read_bytes(), None)
        pkcs8 = load_der_private_key((folder / f"{made['pending']}.pk8").read_bytes(), None)
        request = x509.load_pem_x509_csr(made["request"].encode())
        assert request.is_signature_valid
        assert request.public_key() == key.public_key() == pkcs8.public_key()
        assert key.key_size == 2048
        assert request.subject.rfc4514_string() == "CN=shop,O=Cockroach"
        assert "PRIVATE" not in made["request"]

    @pytest.mark.parametrize("name", ["a/b", "a=b", "a+b", "a\\b", "ü", "a/CN=root", "-x", "$(id)"])
    def test_a_name_with_characters_that_separate(self, tmp_path, name):
        made = _request.make(str(tmp_path), [name], pkcs8=False)
        (common,) = x509.load_pem_x509_csr(made["request"].encode()).subject.get_attributes_for_oid(
            x509.NameOID.COMMON_NAME
        )
        assert common.value == name

    def test_a_key_that_nobody_waits_for_goes(self, tmp_path, monkeypatch):
        first = _request.make(str(tmp_path), ["shop"], pkcs8=False)["pending"]
        monkeypatch.setattr(keys.time, "time", lambda: datetime.datetime.now().timestamp() + 3700)
        keys.forget(str(tmp_path))
        second = _request.make(str(tmp_path), ["shop"], pkcs8=False)["pending"]
        assert [path.name for path in Path(keys.folder_of(str(tmp_path))).iterdir()] == [second]
        assert first != second

    def test_a_failure_leaves_nothing(self, tmp_path, monkeypatch):
        program = tmp_path / "openssl"
        program.write_text("#!/bin/sh\necho no entropy >&2\nexit 3\n")
        program.chmod(0o755)
        monkeypatch.setattr(_request, "openssl", lambda: str(program))
        with pytest.raises(_request.OpensslError, match="genpkey ended with 3: no entropy"):
            _request.make(str(tmp_path / "state"), ["shop"], pkcs8=False)
        assert list((tmp_path / "state").rglob("*")) == []

    def test_without_the_program(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_request, "openssl", lambda: "")
        with pytest.raises(_request.OpensslError, match="there is no openssl on this host"):
            _request.make(str(tmp_path), ["shop"], pkcs8=False)
