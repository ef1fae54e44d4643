# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The public IPv4 address of this machine, as echo services see it; never guessed from an interface.

The requests bypass any HTTP proxy, because SQL connections do too.

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

DEFAULT_SERVICES = ("https://checkip.amazonaws.com", "https://api.ipify.org")
_MAX_BODY = 4096


class EgressError(Exception):
    """The public address cannot be determined. The text contains the answers that differ."""


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over IPv4 only; with a context, over TLS."""

    def __init__(self, host: str, port: int, timeout: float, context: Optional[ssl.SSLContext]) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = context

    def connect(self) -> None:
        addresses = socket.getaddrinfo(self.host, self.port, socket.AF_INET, socket.SOCK_STREAM)
        sock = socket.create_connection(addresses[0][4][:2], self.timeout)  # type: ignore[arg-type]
        self.sock = self._context.wrap_socket(sock, server_hostname=self.host) if self._context else sock


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address_by(url: str, timeout: float, ca_file: Optional[str]) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise EgressError("must be an https URL")
    context = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    connection = _Connection(host, port, timeout, context)
    try:
        connection.request("GET", parts.path or "/", headers={"User-Agent": "crdb.onboard"})
        response = connection.getresponse()
        body = response.read(_MAX_BODY).decode("utf-8", "replace").strip()
    except ssl.SSLCertVerificationError as exc:
        raise EgressError(f"its certificate cannot be verified: {exc.verify_message}") from None
    except (OSError, http.client.HTTPException) as exc:
        raise EgressError(str(getattr(exc, "strerror", None) or exc) or type(exc).__name__) from None
    finally:
        connection.close()
    if response.status != 200:
        raise EgressError(f"answered {response.status}")
    return _parse_address(body)


def _parse_address(body: str) -> str:
    address: Any = body
    if body.startswith("{"):
        try:
            facts = json.loads(body)
        except ValueError:
            facts = {}
        address = next((facts[key] for key in ("ip", "address", "origin", "ip_addr") if facts.get(key)), "")
    try:
        return str(ipaddress.IPv4Address(str(address)))
    except ValueError:
        raise EgressError("did not answer with an IPv4 address") from None


def public_address(services: Sequence[str], timeout: float = 10.0, ca_file: Optional[str] = None) -> str:
    """The IPv4 address that all echo services report.

    `services`: URLs. `timeout`: seconds for each of them. `ca_file`: their CA, if it is not a public one.
    Raises EgressError if a service does not answer, or if the answers differ, as behind a pool of NAT addresses.
    """
    if not services:
        raise EgressError("the list of echo services is empty: name at least one")
    answers = []
    for url in services:
        try:
            answers.append((url, _address_by(url, timeout, ca_file)))
        except EgressError as exc:
            raise EgressError(f"the echo service {url} {exc}. Name another service") from None
    distinct = {address for _url, address in answers}
    if len(distinct) > 1:
        reported = ", ".join(f"{url} reports {address}" for url, address in answers)
        raise EgressError(
            f"the echo services see different addresses ({reported}), so this network uses a pool of addresses. Ask its"
            " administrator for the network of the pool, and add it to the entries"
        )
    return distinct.pop()
