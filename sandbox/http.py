# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small HTTPS server for the Cloud API, in the event loop of the fronts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Callable, Optional

_MAX_BODY = 1024 * 1024
_IDLE_LIMIT = 60.0


@dataclass(frozen=True)
class Request:
    """A request. Header names are in lower case; the target is unchanged."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """A response. `cut` closes the connection without an answer, after `hold` seconds of silence."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hold: float = 0.0

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Response:
        """A JSON response."""
        return cls(status, json.dumps(value).encode(), headers={k.replace("_", "-"): v for k, v in headers.items()})


Handler = Callable[[Request], Awaitable[Response]]


class BadRequestError(Exception):
    """What was sent is not a request of HTTP/1.1; `response` is sent before the connection is closed."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        # A code of google.rpc.Code, as in all errors of the API: INVALID_ARGUMENT.
        self.response = Response.of({"code": 3, "message": message, "details": []}, status, Connection="close")


async def _read_request(reader: asyncio.StreamReader) -> Optional[Request]:
    """The next request; None when the client closed or fell silent. Raises BadRequestError."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _IDLE_LIMIT)
    except (asyncio.IncompleteReadError, asyncio.TimeoutError):
        return None
    except asyncio.LimitOverrunError:
        raise BadRequestError("the header is too long", 431) from None
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequestError("the request line is not valid")
    pairs = [line.partition(":") for line in lines[1:] if line]
    headers = {name.strip().lower(): value.strip() for name, _colon, value in pairs}
    body = await asyncio.wait_for(_read_body(reader, headers), _IDLE_LIMIT)
    return Request(words[0], words[1], headers, body)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise BadRequestError("Content-Length and Transfer-Encoding exclude each other")
        if coding.lower() != "chunked":
            raise BadRequestError(f"the Transfer-Encoding {coding} is not supported", 501)
        return await _read_chunks(reader)
    if not re.fullmatch("[0-9]+", length or "0", re.ASCII):
        raise BadRequestError("the Content-Length is not a number")
    size = int((length or "0")[:20])
    if size > _MAX_BODY:
        raise BadRequestError("the body is too large", 413)
    return await reader.readexactly(size)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = (await _read_line(reader)).partition(";")[0].strip()
        if not re.fullmatch("[0-9A-Fa-f]{1,8}", size):
            raise BadRequestError("the size of a chunk is not a number")
        if len(body) + int(size, 16) > _MAX_BODY:
            raise BadRequestError("the body is too large", 413)
        if int(size, 16) == 0:
            break
        body += await reader.readexactly(int(size, 16))
        if await reader.readexactly(2) != b"\r\n":
            raise BadRequestError("a chunk is longer than its size")
    while await _read_line(reader):
        pass  # the trailer, which nothing here needs
    return bytes(body)


async def _read_line(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n"))[:-2].decode("latin-1")
    except asyncio.LimitOverrunError:
        raise BadRequestError("a line of the body is too long") from None


def _encode(response: Response) -> bytes:
    reason = HTTPStatus(response.status).phrase
    headers = {"Content-Type": response.content_type, "Content-Length": str(len(response.body)), **response.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {response.status} {reason}\r\n{head}\r\n".encode("latin-1") + response.body


class HttpsServer:
    """Serves a handler on bound sockets.

    Args:
        handler: returns the response to a request.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, sockets: Sequence[socket.socket], certificate: Path, key: Path) -> None:
        """Start serving. `key` is the private key of `certificate`, both PEM files."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        for sock in sockets:
            self._servers.append(await asyncio.start_server(self._serve, sock=sock, ssl=context))

    async def close(self) -> None:
        """Stop listening, and cut all connections."""
        for server in self._servers:
            server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            while (request := await _read_request(reader)) is not None:
                response = await self._handler(request)
                if response.hold:
                    # Until the client or this server gives up.
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(reader.read(1), response.hold)
                if response.cut:
                    writer.transport.abort()
                    return
                writer.write(_encode(response))
                await writer.drain()
        except BadRequestError as error:
            with contextlib.suppress(OSError, ssl.SSLError):
                writer.write(_encode(error.response))
                await writer.drain()
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.TimeoutError, asyncio.CancelledError):
            pass  # the client left, or the sandbox is stopping
        finally:
            writer.close()
