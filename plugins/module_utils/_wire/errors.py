# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong in a session with a server. Every one is a WireError, and no text holds a secret.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping


class WireError(Exception):
    """A session cannot go on. The text is for readers who know the protocol; it holds no secret."""


class TimedOutError(WireError):
    """The deadline passed before the peer sent what was expected."""


class ClosedError(WireError):
    """The peer closed the connection. `reset`: by RST instead of FIN. `partial`: in the middle of a message."""

    def __init__(self, text: str, *, reset: bool = False, partial: bool = False) -> None:
        super().__init__(text)
        self.reset = reset
        self.partial = partial


class NetworkLostError(WireError):
    """The operating system reported an error on an open connection. `number`: its errno, or 0."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number


class MalformedError(WireError):
    """The peer violated the protocol. `kind`: 'length', 'too_long', 'endless' or 'content'."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class NotPostgresError(WireError):
    """The peer is not a PostgreSQL server. `banner`: the first bytes that it sent."""

    def __init__(self, banner: bytes) -> None:
        super().__init__("the answer to the SSLRequest is not one of PostgreSQL")
        self.banner = banner


class TlsNotOfferedError(WireError):
    """The server answered 'N' to the SSLRequest: it does not offer TLS."""


class PlaintextInjectedError(WireError):
    """Unencrypted bytes followed the 'S', before the TLS handshake; libpq disconnects too (CVE-2021-23222)."""

    def __init__(self, banner: bytes) -> None:
        super().__init__("unencrypted data after the server agreed to TLS")
        self.banner = banner


class TlsError(WireError):
    """OpenSSL reported an error. `reason`: such as 'CERTIFICATE_VERIFY_FAILED'. `verify_code`: X509_V_ERR_*, or 0."""

    def __init__(self, error: ssl.SSLError) -> None:
        super().__init__(str(error.args[-1]) if error.args else "TLS failed")
        self.reason: str = getattr(error, "reason", None) or ""
        self.verify_code: int = getattr(error, "verify_code", 0) or 0
        self.verify_message: str = getattr(error, "verify_message", "") or ""


class WrongNameError(WireError):
    """The server's certificate is valid, but not for the name that the client connected to."""


class FileUnusableError(WireError):
    """A local certificate or key file cannot be used.

    `role`: 'ca', 'client_cert', 'client_key' or 'token'. `kind`: 'missing', 'unreadable', 'too_large', 'empty',
    'not_pem', 'too_open', 'encrypted' or 'mismatch', or of a CA a key of ca_kinds.KINDS, with its `detail`.
    """

    def __init__(self, role: str, kind: str, path: str, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.role = role
        self.kind = kind
        self.path = path
        self.detail = detail


class ServerError(WireError):
    """The server sent an ErrorResponse. `fields`: by their one-letter names, always with C and M."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields.get("M", ""))
        self.fields = dict(fields)

    @property
    def sqlstate(self) -> str:
        return self.fields.get("C", "")

    @property
    def message(self) -> str:
        return self.fields.get("M", "")


class AuthUnsupportedError(WireError):
    """The server asks for an authentication method that this client does not support. `method`: its name."""

    def __init__(self, method: str) -> None:
        super().__init__("authentication method " + method)
        self.method = method


class PasswordNeededError(WireError):
    """The server asks for a password, but the password is missing or empty."""


class ScramError(WireError):
    """The client refuses a SCRAM message. `kind`: 'signature', 'nonce', 'iterations' or 'content'."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
