# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs in to the engine in place of a client that has proved itself by a certificate.

The engine asks everybody for a password, and the front has it. The SCRAM client is the collection's own: PostgreSQL is
the server here, so sharing the client does not weaken any test.
"""

from __future__ import annotations

import asyncio
import struct

from plugins.module_utils._wire.scram import ScramClient, ScramMessageError
from sandbox import messages

_HEADER = struct.Struct("!ci")
_INT32 = struct.Struct("!i")
_SASL, _CONTINUE, _FINAL = 10, 11, 12
_MECHANISM = b"SCRAM-SHA-256"
_TIME_LIMIT = 10.0


async def log_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: str) -> bytes:
    """Log in to a server that has already received its startup message.

    Returns:
        The message that ends the login, for the client: AuthenticationOk or an error.

    Raises:
        ConnectionError: the server's SCRAM messages are not acceptable.
    """
    client = ScramClient(password)
    while True:
        kind, length = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        payload = await reader.readexactly(length - _INT32.size)
        (code,) = _INT32.unpack(payload[: _INT32.size]) if kind == b"R" else (None,)
        try:
            if code == _SASL:
                first = client.first()
                writer.write(messages.message(b"p", _MECHANISM + b"\0" + _INT32.pack(len(first)) + first))
            elif code == _CONTINUE:
                writer.write(messages.message(b"p", client.final(payload[_INT32.size :], _TIME_LIMIT)))
            elif code == _FINAL:
                client.verify(payload[_INT32.size :])
            else:
                return messages.message(kind, payload)
        except ScramMessageError as error:
            raise ConnectionError(f"the engine's SCRAM message is not acceptable: {error}") from error
        await writer.drain()
