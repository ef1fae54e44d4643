# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The public IPv4 address of this machine, as echo services see it; never guessed from an interface.

The requests bypass any HTTP proxy, because SQL connections do too.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._http.client import HttpClient, tls_context
from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import CertificateError, HttpError
from ansible_collections.crdb.onboard.plugins.module_utils._http.places import shown

DEFAULT_SERVICES = ("https://checkip.amazonaws.com", "https://api.ipify.org")
_MAX_BODY = 4096


class EgressError(Exception):
    """The public address cannot be determined. The text contains the answers that differ."""


def _address_by(url: str, timeout: float, ca_file: Optional[str]) -> str:
    try:
        client = HttpClient(timeout, tls_context(ca_file), proxy=None, loopback_http=True, family=socket.AF_INET)
        with client.open(url) as response:
            if response.status != 200:
                raise EgressError(f"answered {response.status}")
            body = response.read(_MAX_BODY).decode("utf-8", "replace").strip()
    except CertificateError as exc:
        raise EgressError(f"cannot be asked: its certificate cannot be verified: {exc.reason}") from None
    except HttpError as exc:
        raise EgressError(f"cannot be asked: {exc}") from None
    return _parse_address(body)


def _parse_address(body: str) -> str:
    address: Any = body
    if body.startswith("{"):
        try:
            facts = json.loads(body)
        except (ValueError, RecursionError):
            facts = {}
        address = next((facts[key] for key in ("ip", "address", "origin", "ip_addr") if facts.get(key)), "")
    try:
        return str(ipaddress.IPv4Address(address if isinstance(address, str) else ""))
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
            raise EgressError(f"the echo service {shown(url)} {exc}. Name another service") from None
    distinct = {address for _url, address in answers}
    if len(distinct) > 1:
        reported = ", ".join(f"{url} reports {address}" for url, address in answers)
        raise EgressError(
            f"the echo services see different addresses ({reported}), so this network uses a pool of addresses. Ask its"
            " administrator for the network of the pool, and add it to the entries"
        )
    return distinct.pop()
