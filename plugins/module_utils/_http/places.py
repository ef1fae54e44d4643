# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a request goes: its URL, and the proxy in between.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import urllib.request
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import quote, unquote, urljoin, urlsplit

from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import UrlError
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean

_TARGET = re.compile(r"[!-~]*")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Place:
    """A host and port to connect to, with the user part of its URL as the value of a Basic Authorization."""

    scheme: str
    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @property
    def authority(self) -> str:
        """The host and port, as a request names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def origin(self) -> tuple[str, str, int]:
        """Who gets a request."""
        return self.scheme, self.host, self.port


def _place(url: str, what: str) -> Place:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError:
        raise UrlError(f"{what} is not a valid URL") from None
    if parts.scheme not in _PORTS:
        raise UrlError(f"{what} must be an https URL")
    if not host or not _TARGET.fullmatch(host):
        raise UrlError(f"{what} has no valid host name")
    user = ""
    if parts.username is not None:
        text = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        user = "Basic " + base64.b64encode(text.encode("utf-8")).decode("ascii")
    return Place(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, user)


def place_of(url: str, *, loopback_http: bool = False) -> Place:
    """Where a URL leads. Raises UrlError for anything but https; with `loopback_http`, http to this machine is fine."""
    place = _place(url, "it")
    if place.scheme != "https" and not (loopback_http and place.is_loopback):
        raise UrlError("it must be an https URL")
    return place


def target_of(url: str) -> str:
    """The path and query of a URL. Raises UrlError for a character that ends a line of the request."""
    parts = urlsplit(url)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="!#$%&'()*+,/:;=?@[]~")
    if not _TARGET.fullmatch(target):
        raise UrlError("its path has a character that no URL may have")
    return target


def follow(url: str, location: str) -> str:
    """The URL that a `Location` of a response of `url` means."""
    # http.client reads headers as latin-1; a server may send UTF-8.
    target = quote(location.encode("latin-1", "replace"), safe="!#$%&'()*+,/:;=?@[]~")
    try:
        return urljoin(url, target)
    except ValueError:
        raise UrlError("the server redirects to what is not a valid URL") from None


def shown(url: str) -> str:
    """A URL for an error, without its user part and its query."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an invalid URL"
    return clean(f"{parts.scheme}://{host}{parts.path}" if host else url, 200)


def _is_bypassed(place: Place) -> bool:
    """Whether NO_PROXY names a host: by its name, its domain, its address or its network."""
    name = f"[{place.host}]" if ":" in place.host else place.host
    if urllib.request.proxy_bypass(f"{name}:{place.port}"):
        return True
    try:
        address = ipaddress.ip_address(place.host)
    except ValueError:
        return False
    for network in urllib.request.getproxies().get("no", "").split(","):
        try:
            if "/" in network and address in ipaddress.ip_network(network.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def proxy_for(place: Place, proxy: str = "") -> Optional[Place]:
    """The proxy for a place: this one or the environment's, unless NO_PROXY names the place; None for none."""
    # What is sent to this machine without TLS must not leave it.
    if place.scheme == "http" or _is_bypassed(place):
        return None
    found = urllib.request.getproxies()
    url = proxy or found.get("https") or found.get("all") or ""
    if not url:
        return None
    return _place(url if "://" in url else f"http://{url}", "the proxy's URL")
