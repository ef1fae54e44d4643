# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logging in to the engine in a client's place: SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

Used for clients that have proved themselves by a certificate: the engine asks everybody for a password, and the front
has it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import struct

from sandbox import messages

_HEADER = struct.Struct("!ci")
_INT32 = struct.Struct("!i")
_SASL, _CONTINUE, _FINAL, _OK = 10, 11, 12, 0
_MECHANISM = b"SCRAM-SHA-256"


async def log_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: str) -> bytes:
    """Answer a server that was sent its startup message, until it has decided.

    Returns:
        Its last message, for the client: AuthenticationOk, or the error that it refused with.
    """
    nonce = base64.b64encode(secrets.token_bytes(18))
    first = b"n=,r=" + nonce
    expected = b""
    while True:
        kind, length = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        payload = await reader.readexactly(length - _INT32.size)
        (code,) = _INT32.unpack(payload[: _INT32.size]) if kind == b"R" else (None,)
        if code == _SASL:
            initial = b"n,," + first
            writer.write(messages.message(b"p", _MECHANISM + b"\0" + _INT32.pack(len(initial)) + initial))
        elif code == _CONTINUE:
            answer, expected = _prove(password, first, payload[_INT32.size :], nonce)
            writer.write(messages.message(b"p", answer))
        elif code == _FINAL:
            if not hmac.compare_digest(payload[_INT32.size :], expected):
                raise ConnectionError("the engine does not know the password")
        else:
            return messages.message(kind, payload)
        await writer.drain()


def _prove(password: str, first: bytes, challenge: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """The client's final message, and what the server's has to be."""
    fields = dict(part.split(b"=", 1) for part in challenge.split(b","))
    if not fields[b"r"].startswith(nonce):
        raise ConnectionError("the engine answered somebody else's nonce")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    without_proof = b"c=biws,r=" + fields[b"r"]
    signed = b",".join((first, challenge, without_proof))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    return without_proof + b",p=" + base64.b64encode(proof), b"v=" + base64.b64encode(server_signature)
