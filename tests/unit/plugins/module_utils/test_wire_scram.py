# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._wire import scram as scram_module
from ansible_collections.crdb.onboard.plugins.module_utils._wire.scram import (
    MAX_ITERATIONS,
    ScramClient,
    ScramMessageError,
    saslprep,
    scram_verifier,
)
from hypothesis import given, settings
from hypothesis import strategies as st

AN_HOUR = 3600.0

# RFC 7677, section 3.
NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_vector_of_rfc_7677() -> None:
    scram = ScramClient("pencil", user="user", nonce=NONCE)
    assert scram.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert scram.final(SERVER_FIRST, AN_HOUR) == CLIENT_FINAL
    scram.verify(SERVER_FINAL)


def test_the_verifier_holds_what_proves_the_vector_of_rfc_7677_and_not_the_password() -> None:
    verifier = scram_verifier("pencil", salt=base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), iterations=4096)
    head, keys = verifier.rsplit("$", 1)
    assert head == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    stored_key, server_key = (base64.b64decode(part) for part in keys.split(":"))
    without_proof, _comma, proof = CLIENT_FINAL.rpartition(b",p=")
    signed = b",".join((b"n=user,r=" + NONCE.encode(), SERVER_FIRST, without_proof))
    signature = hmac.digest(stored_key, signed, "sha256")
    client_key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature))
    assert hashlib.sha256(client_key).digest() == stored_key
    assert b"v=" + base64.b64encode(hmac.digest(server_key, signed, "sha256")) == SERVER_FINAL


def test_each_verifier_has_a_salt_of_its_own_and_the_form_that_servers_know() -> None:
    form = r"SCRAM-SHA-256\$10610:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}="
    first, second = scram_verifier("pencil"), scram_verifier("pencil")
    assert re.fullmatch(form, first)
    assert first != second


def refusal(server_first: bytes, time_left: float = AN_HOUR) -> str:
    with pytest.raises(ScramMessageError) as caught:
        ScramClient("pencil", user="user", nonce=NONCE).final(server_first, time_left)
    return caught.value.kind


@pytest.mark.parametrize(
    ("server_first", "kind"),
    [
        (b"", "content"),
        (b"e=other-error", "content"),
        (b"r=x", "content"),
        (b"\xff\xfe", "content"),
        (b"m=ext,r=%sx,s=c2FsdA==,i=4096" % NONCE.encode(), "content"),
        (b"r=%sx,s=!!!!,i=4096" % NONCE.encode(), "content"),
        (b"r=%sx,s=,i=4096" % NONCE.encode(), "content"),
        (b"r=%s,s=c2FsdA==,i=4096" % NONCE.encode(), "nonce"),
        (b"r=another,s=c2FsdA==,i=4096", "nonce"),
        (b"r=,s=c2FsdA==,i=4096", "nonce"),
        (b"r=%sx,s=c2FsdA==,i=0" % NONCE.encode(), "iterations"),
        (b"r=%sx,s=c2FsdA==,i=-5" % NONCE.encode(), "iterations"),
        (b"r=%sx,s=c2FsdA==,i=1e3" % NONCE.encode(), "iterations"),
        ("r=%sx,s=c2FsdA==,i=٤٠٩٦".encode() % NONCE.encode(), "iterations"),
        (b"r=%sx,s=c2FsdA==,i=%d" % (NONCE.encode(), MAX_ITERATIONS + 1), "iterations"),
        (b"r=%sx,s=c2FsdA==,i=%s" % (NONCE.encode(), b"9" * 5000), "iterations"),
    ],
)
def test_first_messages_that_are_refused(server_first: bytes, kind: str) -> None:
    assert refusal(server_first) == kind


def test_work_that_takes_longer_than_the_time_left_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[int] = []
    real = hashlib.pbkdf2_hmac

    def counting(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
        began.append(iterations)
        return real(name, password, salt, min(iterations, 2000))

    monkeypatch.setattr(scram_module.hashlib, "pbkdf2_hmac", counting)
    assert refusal(b"r=%sx,s=c2FsdA==,i=1000000" % NONCE.encode(), 0.0) == "iterations"
    assert max(began) < 10_000


@pytest.mark.parametrize("iterations", [1, 4096, 119_680])
def test_iteration_counts_in_use(iterations: int) -> None:
    ScramClient("pencil", nonce=NONCE).final(b"r=%sx,s=c2FsdA==,i=%d" % (NONCE.encode(), iterations), AN_HOUR)


@pytest.mark.parametrize(
    ("server_final", "kind"),
    [
        (b"v=" + base64.b64encode(bytes(32)), "signature"),
        (b"v=", "signature"),
        (b"v=AAAA", "signature"),
        (b"v=?", "content"),
        (b"e=invalid-proof", "content"),
        (b"", "content"),
        (b"x=1", "content"),
    ],
)
def test_last_messages_that_are_refused(server_final: bytes, kind: str) -> None:
    scram = ScramClient("pencil", user="user", nonce=NONCE)
    scram.final(SERVER_FIRST, AN_HOUR)
    with pytest.raises(ScramMessageError) as caught:
        scram.verify(server_final)
    assert caught.value.kind == kind


def test_nothing_is_verified_before_the_proof() -> None:
    with pytest.raises(ScramMessageError):
        ScramClient("pencil", nonce=NONCE).verify(SERVER_FINAL)


def test_nonces_differ() -> None:
    assert ScramClient("x").first() != ScramClient("x").first()


@settings(max_examples=60, deadline=None)
@given(
    password=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
    salt=st.binary(min_size=1, max_size=32),
    iterations=st.integers(1, 50),
)
def test_a_separate_server_accepts_the_proof(password: str, salt: bytes, iterations: int) -> None:
    scram = ScramClient(password)
    bare = scram.first()[3:]
    first = b"r=%sSERVER,s=%s,i=%d" % (bare.split(b"r=", 1)[1], base64.b64encode(salt), iterations)
    without_proof, proof = scram.final(first, AN_HOUR).rsplit(b",p=", 1)
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    auth = b",".join((bare, first, without_proof))
    stored = hashlib.sha256(hmac.new(salted, b"Client Key", "sha256").digest()).digest()
    signature = hmac.new(stored, auth, "sha256").digest()
    key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature))
    assert hashlib.sha256(key).digest() == stored
    server_key = hmac.new(salted, b"Server Key", "sha256").digest()
    scram.verify(b"v=" + base64.b64encode(hmac.new(server_key, auth, "sha256").digest()))


@settings(max_examples=200, deadline=None)
@given(message=st.binary(max_size=80))
def test_any_message_of_a_server_is_refused_or_understood(message: bytes) -> None:
    scram = ScramClient("pencil", nonce=NONCE)
    with pytest.raises(ScramMessageError):
        scram.final(message, AN_HOUR)
    with pytest.raises(ScramMessageError):
        scram.verify(message)


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        # RFC 4013, section 3.
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # Forbidden ones stay as they are, as in libpq.
        ("é\u0007", "é\u0007"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("\u00ad", "\u00ad"),
        ("é\u0221", "é\u0221"),
        # ASCII is never touched, not even where the table forbids it.
        ("\u0007", "\u0007"),
        ("é\u00a0b", "é b"),
        ("e\u0301", "é"),
        ("é\u200bb", "é b"),
    ],
)
def test_saslprep(password: str, prepared: str) -> None:
    assert saslprep(password) == prepared


@given(st.text(max_size=30))
def test_saslprep_is_idempotent(password: str) -> None:
    once = saslprep(password)
    assert saslprep(once) == once
