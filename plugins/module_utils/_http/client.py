# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests over https, by one set of rules for everything that is downloaded and every service that is asked.

Every hop is https. The whole exchange has a deadline: connecting, sending, the header and the body, with all redirects.
A response is read up to a limit, and a compressed or truncated one is refused. Nothing of ~/.netrc is sent, and the
user part of a URL goes to its own host only.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._http.channel import (
    Channel,
    Deadline,
    HttpSocket,
    TcpChannel,
    TlsChannel,
)
from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import (
    ConnectError,
    EncodingError,
    RedirectError,
    TooLargeError,
    TruncatedError,
    UrlError,
    typed_errors,
)
from ansible_collections.crdb.onboard.plugins.module_utils._http.places import (
    Place,
    follow,
    place_of,
    proxy_for,
    shown,
    target_of,
)
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean

USER_AGENT = "crdb.onboard"
_BLOCK = 256 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)


def tls_context(ca_file: Optional[str] = None) -> ssl.SSLContext:
    """A context that verifies servers by a PEM file or folder, or else by the system's CAs. Raises UrlError."""
    folder = ca_file if ca_file and Path(ca_file).is_dir() else None
    try:
        context = ssl.create_default_context(cafile=None if folder else ca_file or None, capath=folder)
    except (OSError, ValueError) as exc:
        raise UrlError(f"ca_file {ca_file} cannot be read as a PEM file: {clean(str(exc))}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Response:
    """A response whose header has come.

    Args:
        url: that answered, after redirects.
        raw: of http.client.
        channel: that the body comes through.
    """

    def __init__(self, url: str, raw: http.client.HTTPResponse, channel: Channel) -> None:
        self.url = url
        self.status = raw.status
        self.reason = clean(raw.reason or "no reason given")
        self.complete = False
        self._raw = raw
        self._channel = channel
        # http.client knows no length when the body is chunked, or ends with the connection.
        self.length = raw.length

    @property
    def location(self) -> str:
        """Where the response redirects to, as it was sent; empty for any other response."""
        return str(self._raw.headers.get("Location") or "") if self.status in _REDIRECTS else ""

    def header(self, name: str) -> str:
        """A header's value, shortened for an error; empty where there is none."""
        return clean(str(self._raw.headers.get(name) or ""))

    def refuse_encoding(self) -> None:
        """Raise EncodingError when the body is compressed: it could be any size once unpacked."""
        encoding = self.header("Content-Encoding").lower()
        if encoding not in ("", "identity"):
            raise EncodingError(f"the response has the encoding {clean(encoding, 40)}, which was not asked for")

    def blocks(self, limit: int) -> Iterator[bytes]:
        """The body as it was sent, in blocks. Raises HttpError; never yields more than `limit` bytes."""
        total = 0
        if (self.length or 0) > limit:
            raise TooLargeError(f"the response has {self.length} bytes; at most {limit} are allowed")
        while self.length is None or total < self.length:
            with typed_errors():
                block = self._raw.read1(_BLOCK)
            if not block:
                break
            if self.length is not None:
                # Some versions of http.client read on, into what is no longer the body.
                block = block[: self.length - total]
            total += len(block)
            if total > limit:
                raise TooLargeError(f"the response has more than the {limit} bytes that are allowed")
            yield block
        if total < (self.length or 0):
            raise TruncatedError(f"the connection ended after {total} of {self.length} bytes")
        if self.length is None and self._channel.ragged:
            raise TruncatedError(f"the connection was cut after {total} bytes")
        self.complete = True

    def read(self, limit: int) -> bytes:
        """The whole body, which must not be compressed. Raises HttpError."""
        self.refuse_encoding()
        body = bytearray()
        for block in self.blocks(limit):
            body += block
        return bytes(body)


class HttpClient:
    """Sends requests, one after the other.

    Args:
        timeout: seconds for each exchange as a whole.
        context: verifies servers; `tls_context` makes one.
        proxy: a URL; empty for the environment's, None for a direct connection whatever the environment says.
        loopback_http: allow http to this machine.
        family: socket.AF_INET for IPv4 only.
        keep: leave the last connection open for the next request to its server, until `close`.
    """

    def __init__(
        self,
        timeout: float,
        context: ssl.SSLContext,
        *,
        proxy: Optional[str] = "",
        loopback_http: bool = False,
        family: int = socket.AF_UNSPEC,
        keep: bool = False,
    ) -> None:
        self.deadline = Deadline(timeout)
        self._context = context
        self._proxy = proxy
        self._loopback_http = loopback_http
        self._family = family
        self._keep = keep
        self._kept: Optional[tuple[tuple[str, str, int], Channel]] = None

    @contextlib.contextmanager
    def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[bytes] = None,
        redirects: int = 0,
    ) -> Iterator[Response]:
        """Send a request; its response, whatever its status is. Redirects are followed up to a number.

        Raises HttpError. No header and no body goes to the server that a redirect names.
        """
        self.deadline.renew()
        place = first = place_of(url, loopback_http=self._loopback_http)
        for hop in range(redirects + 1):
            same = place.origin == first.origin
            credentials = {"Authorization": first.credentials} if first.credentials and same else {}
            sent = {**credentials, **(headers or {})} if hop == 0 else credentials
            with self._exchange(method, url, place, sent, body if hop == 0 else None) as response:
                if not redirects or not response.location:
                    yield response
                    return
                location = response.location
            url = follow(url, location)
            try:
                place = place_of(url)
            except UrlError:
                raise RedirectError(
                    f"the server redirects to {shown(url)}; redirects are followed over https only"
                ) from None
        raise RedirectError(f"the server redirects more than {redirects} times")

    @contextlib.contextmanager
    def _exchange(
        self, method: str, url: str, place: Place, headers: Mapping[str, str], body: Optional[bytes]
    ) -> Iterator[Response]:
        channel = self._take(place)
        try:
            with typed_errors():
                if channel is None:
                    channel = self._connect(place)
                more = headers if self._keep else {"Connection": "close", **headers}
                raw = _send(channel, place, method, target_of(url), more, body)
            response = Response(url, raw, channel)
            try:
                yield response
            finally:
                raw.close()
            if self._keep and response.complete and not raw.will_close:
                self._kept, channel = (place.origin, channel), None
        finally:
            if channel is not None:
                channel.close()

    def _take(self, place: Place) -> Optional[Channel]:
        """The connection that was kept, if it leads there and is still open."""
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        origin, channel = kept
        if origin == place.origin and channel.is_idle():
            return channel
        channel.close()
        return None

    def _connect(self, place: Place) -> Channel:
        proxy = None if self._proxy is None else proxy_for(place, self._proxy)
        if proxy is None:
            channel: Channel = TcpChannel(place.host, place.port, self.deadline, self._family)
        else:
            channel = self._connect_to_proxy(proxy)
        try:
            if proxy is not None:
                _open_tunnel(channel, proxy, place)
            if place.scheme == "https":
                channel = TlsChannel(channel, self._context, place.host)
        except BaseException:
            channel.close()
            raise
        return channel

    def _connect_to_proxy(self, proxy: Place) -> Channel:
        try:
            with typed_errors():
                channel: Channel = TcpChannel(proxy.host, proxy.port, self.deadline)
                return TlsChannel(channel, self._context, proxy.host) if proxy.scheme == "https" else channel
        except ConnectError as exc:
            raise ConnectError(f"the proxy {proxy.authority} cannot be reached: {exc}") from None

    def close(self) -> None:
        """Close the connection that was kept."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[1].close()


def _send(
    channel: Channel, place: Place, method: str, target: str, headers: Mapping[str, str], body: Optional[bytes]
) -> http.client.HTTPResponse:
    """Send a request; the response, whose header has come."""
    # http.client refuses a line break in what it sends.
    connection = http.client.HTTPConnection(place.host, place.port)
    sock: Any = HttpSocket(channel)
    connection.sock = sock
    # The response of a compressed body could be any size.
    defaults = {"Host": place.authority, "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
    connection.request(method, target, body=body, headers={**defaults, **headers})
    response = connection.getresponse()
    sock.header_is_read()
    return response


def _open_tunnel(channel: Channel, proxy: Place, place: Place) -> None:
    """Ask a proxy for a connection to a place. Raises ConnectError when it refuses."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    credentials = {"Proxy-Authorization": proxy.credentials} if proxy.credentials else {}
    request = [f"CONNECT {host}:{place.port} HTTP/1.1", f"Host: {host}:{place.port}", f"User-Agent: {USER_AGENT}"]
    request += [f"{name}: {value}" for name, value in credentials.items()]
    channel.send("".join(f"{line}\r\n" for line in [*request, ""]).encode("ascii"))
    sock: Any = HttpSocket(channel)
    response = http.client.HTTPResponse(sock, method="CONNECT")
    response.begin()
    response.close()
    if not 200 <= response.status < 300:
        raise ConnectError(f"the proxy {proxy.authority} answered {response.status} {clean(response.reason, 80)}")
