# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SCRAM-SHA-256 as a client: the login and the verifier that a server stores. Pure, without I/O.

Imports nothing of ours, because the sandbox logs in to its PostgreSQL with it too. Sources: RFC 5802, RFC 7677.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stringprep
import time
import unicodedata

MAX_ITERATIONS = 1_000_000
# CockroachDB's own default (server.user_login.password_hashes.default_cost.scram_sha_256).
VERIFIER_ITERATIONS = 10_610
_PACE_SAMPLE = 2_000


class ScramMessageError(ValueError):
    """The server's message is malformed, or a client must not accept it.

    `kind`: 'signature', 'nonce', 'iterations' or 'content'.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def saslprep(password: str) -> str:
    """Normalize a password by RFC 4013. A password that the RFC forbids is returned unchanged.

    Libpq and the servers do the same, so a forbidden password still works. ASCII is never changed. Source of the
    behaviour: PostgreSQL's src/common/saslprep.c.
    """
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if stringprep.in_table_c12(char) or not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if not prepared or any(_prohibited(char) for char in prepared):
        return password
    if any(stringprep.in_table_d1(char) for char in prepared) and (
        any(stringprep.in_table_d2(char) for char in prepared)
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        return password
    return prepared


def _prohibited(char: str) -> bool:
    return (
        stringprep.in_table_a1(char)
        or stringprep.in_table_c12(char)
        or stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
    )


class ScramClient:
    """A single SCRAM-SHA-256 login without channel binding: call first(), then final(), then verify().

    The user name is empty by default, as in libpq: servers use the one in the StartupMessage.
    """

    def __init__(self, password: str, *, user: str = "", nonce: str | None = None) -> None:
        self._password = password
        self._nonce = nonce or base64.b64encode(os.urandom(18)).decode("ascii")
        escaped = user.replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={escaped},r={self._nonce}"
        self._server_signature: bytes | None = None

    def first(self) -> bytes:
        """The client-first-message."""
        return ("n,," + self._first_bare).encode("utf-8")

    def final(self, server_first: bytes, time_left: float) -> bytes:
        """The client-final-message, which proves knowledge of the password.

        Raises ScramMessageError if the server's message is malformed or answers another nonce. Also if it asks for more
        iterations than MAX_ITERATIONS, or than this machine can compute in `time_left` seconds.
        """
        text, salt, iterations, nonce = _server_first(server_first)
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ScramMessageError("nonce", "the server's nonce does not extend the client's")
        _refuse_long_work(iterations, time_left)
        client_key, server_key = _keys(self._password, salt, iterations)
        without_proof = "c=biws,r=" + nonce
        auth_message = ",".join((self._first_bare, text, without_proof)).encode("utf-8")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth_message, "sha256")
        proof = bytes(left ^ right for left, right in zip(client_key, signature))
        self._server_signature = hmac.digest(server_key, auth_message, "sha256")
        return (without_proof + ",p=" + base64.b64encode(proof).decode("ascii")).encode("utf-8")

    def verify(self, server_final: bytes) -> None:
        """Raise ScramMessageError unless the server-final-message proves that the server knows the password."""
        text = _scram_text(server_final)
        if text.startswith("e="):
            raise ScramMessageError(
                "content", "the server ended SCRAM with the error {}".format(text[2:].split(",", 1)[0])
            )
        value = text.split(",", 1)[0]
        if not value.startswith("v="):
            raise ScramMessageError("content", "the server's last SCRAM message does not contain a signature")
        expected = self._server_signature
        if expected is None or not hmac.compare_digest(_base64(value[2:]), expected):
            raise ScramMessageError("signature", "the server's signature does not match the password")


def _refuse_long_work(iterations: int, time_left: float) -> None:
    if not 1 <= iterations <= MAX_ITERATIONS:
        raise ScramMessageError("iterations", f"the server asks for {iterations} iterations")
    if iterations <= 10 * _PACE_SAMPLE:
        return
    # hashlib cannot be interrupted, so a sample predicts the duration before the work begins.
    began = time.monotonic()
    hashlib.pbkdf2_hmac("sha256", b"pace", b"pace", _PACE_SAMPLE)
    predicted = (time.monotonic() - began) * iterations / _PACE_SAMPLE
    if predicted > time_left:
        raise ScramMessageError(
            "iterations", f"the server asks for {iterations} iterations, which takes longer than the time left"
        )


def scram_verifier(password: str, *, salt: bytes | None = None, iterations: int = VERIFIER_ITERATIONS) -> str:
    """What a server stores instead of a password, as text that ALTER ROLE ... PASSWORD accepts.

    The password cannot be computed from it. Format: PostgreSQL documentation, "pg_authid", also for CockroachDB.
    """
    salt = salt or os.urandom(16)
    client_key, server_key = _keys(password, salt, iterations)
    stored_key = hashlib.sha256(client_key).digest()
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${iterations}:{salt_text}${stored_text}:{server_text}"


def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """The ClientKey and the ServerKey of RFC 5802."""
    prepared = saslprep(password).encode("utf-8", "surrogateescape")
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, iterations)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


def _scram_text(message: bytes) -> str:
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ScramMessageError("content", "a SCRAM message is not UTF-8") from exc


def _server_first(message: bytes) -> tuple[str, bytes, int, str]:
    """Split the server-first-message: its text, the salt, the iteration count, the nonce."""
    text = _scram_text(message)
    parts = text.split(",")
    if len(parts) < 3 or [part[:2] for part in parts[:3]] != ["r=", "s=", "i="]:
        raise ScramMessageError("content", "the server's first SCRAM message must have the form r=..,s=..,i=..")
    nonce, salt, count = (part[2:] for part in parts[:3])
    if not re.fullmatch(r"[\x21-\x2b\x2d-\x7e]+", nonce):
        raise ScramMessageError("nonce", "the server's nonce is empty or not printable ASCII")
    if not re.fullmatch(r"[0-9]{1,18}", count):
        raise ScramMessageError("iterations", "the server's iteration count is not a valid number")
    decoded = _base64(salt)
    if not decoded:
        raise ScramMessageError("content", "the server's salt is empty")
    return text, decoded, int(count), nonce


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as exc:
        raise ScramMessageError("content", "a SCRAM value is not valid base64") from exc
