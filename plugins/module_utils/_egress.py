# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The public IPv4 address that this machine goes out by, as echo services see it; never guessed from an interface.

They are asked directly, past any HTTP proxy: SQL does not go through one either.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Optional
from urllib.parse import urlsplit

SERVICES = ("https://checkip.amazonaws.com", "https://api.ipify.org")
_LIMIT = 4096


class EgressError(Exception):
    """The address cannot be told; the message has every answer that came."""


class _Connection(http.client.HTTPConnection):
    """HTTP over IPv4 only."""

    def __init__(self, host: str, port: int, timeout: float, context: Optional[ssl.SSLContext]) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = context

    def connect(self) -> None:
        found = socket.getaddrinfo(self.host, self.port, socket.AF_INET, socket.SOCK_STREAM)
        plain = socket.create_connection(found[0][4][:2], self.timeout)  # type: ignore[arg-type]
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host) if self._context else plain


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ask(url: str, timeout: float, ca_file: Optional[str]) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        raise EgressError("is no https URL")
    context = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    connection = _Connection(host, port, timeout, context)
    try:
        connection.request("GET", parts.path or "/", headers={"User-Agent": "crdb.onboard"})
        response = connection.getresponse()
        body = response.read(_LIMIT).decode("utf-8", "replace").strip()
    except ssl.SSLCertVerificationError as exc:
        raise EgressError(f"its certificate cannot be verified: {exc.verify_message}") from None
    except (OSError, http.client.HTTPException) as exc:
        raise EgressError(str(getattr(exc, "strerror", None) or exc) or type(exc).__name__) from None
    finally:
        connection.close()
    if response.status != 200:
        raise EgressError(f"answered {response.status}")
    return _address(body)


def _address(body: str) -> str:
    text: Any = body
    if body.startswith("{"):
        try:
            facts = json.loads(body)
        except ValueError:
            facts = {}
        text = next((facts[key] for key in ("ip", "address", "origin", "ip_addr") if facts.get(key)), "")
    try:
        return str(ipaddress.IPv4Address(str(text)))
    except ValueError:
        raise EgressError("did not answer with an IPv4 address") from None


def ask(services: Sequence[str], timeout: float = 10.0, ca_file: Optional[str] = None) -> str:
    """The address that all services agree on.

    Raises EgressError when one does not answer, or when they differ, as behind a NAT pool.
    """
    if not services:
        raise EgressError("there is no echo service to ask: set crdb_network_echo")
    answers = []
    for url in services:
        try:
            answers.append((url, _ask(url, timeout, ca_file)))
        except EgressError as exc:
            raise EgressError(f"the echo service {url} {exc}; other services: crdb_network_echo") from None
    found = {address for _url, address in answers}
    if len(found) > 1:
        shown = ", ".join(f"{url} says {address}" for url, address in answers)
        raise EgressError(
            f"the echo services see different addresses ({shown}): the network goes out by a pool of them. Ask whoever"
            " runs it for the pool's network, and give that in crdb_network_entries."
        )
    return found.pop()
