# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a request over HTTP failed. Each text is a clause that can follow a URL; no text holds a control character.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.crdb.onboard.plugins.module_utils._text import clean


class HttpError(Exception):
    """No usable response came."""


class UrlError(HttpError):
    """The URL, the proxy or the CA file cannot be used; nothing was sent."""


class ConnectError(HttpError):
    """There is no connection, or it broke before the response began."""


class CertificateError(HttpError):
    """The certificate of the server cannot be verified; nothing was sent.

    Args:
        reason: what is wrong with it, by OpenSSL.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"certificate verify failed: {reason}")
        self.reason = reason


class TimedOutError(HttpError):
    """The response was not complete at the deadline."""


class RedirectError(HttpError):
    """The server redirects too often, or to a URL that is not https."""


class TooLargeError(HttpError):
    """The response has more bytes than are allowed."""


class TruncatedError(HttpError):
    """The connection ended before the response did."""


class EncodingError(HttpError):
    """The response is compressed, which was not asked for."""


class ProtocolError(HttpError):
    """The response is not valid HTTP."""


@contextmanager
def typed_errors() -> Iterator[None]:
    """Turn the errors of sockets, TLS and `http.client` into HttpError."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise CertificateError(clean(str(exc.verify_message or exc))) from None
    except ssl.SSLError as exc:
        raise ConnectError(f"TLS failed: {clean(str(exc.reason or exc))}") from None
    except http.client.IncompleteRead as exc:
        raise TruncatedError(f"the connection ended after {len(exc.partial)} bytes of a part") from None
    except http.client.RemoteDisconnected:
        raise ConnectError("the connection was closed without a response") from None
    except http.client.HTTPException as exc:
        raise ProtocolError(f"the response is not valid HTTP: {type(exc).__name__}: {clean(str(exc), 80)}") from None
    except socket.gaierror as exc:
        raise ConnectError(f"the name cannot be resolved: {clean(str(exc.strerror or exc))}") from None
    except OSError as exc:
        raise ConnectError(clean(str(exc.strerror or exc)) or type(exc).__name__) from None
    except ValueError as exc:
        # http.client and the codec of host names raise it for text that they cannot parse.
        raise ProtocolError(f"the exchange failed: {clean(str(exc), 80)}") from None
