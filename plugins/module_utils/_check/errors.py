# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Errors of a check that do not come from the protocol itself.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import WireError


class EndpointError(ValueError):
    """An endpoint's facts are not valid. The message names the endpoint and the fact, never the password."""


class ResolveError(WireError):
    """The host has no usable address. `kind`: 'not_found', 'filtered', 'timeout', 'temporary', 'failed', 'invalid'."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class DialError(WireError):
    """No address accepts a connection. `number`: the errno of the reported attempt; ETIMEDOUT for no answer."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class PasswordHeldError(WireError):
    """The server asks for the password, but the endpoint has `hold_password` set."""


class TokenUnusableError(WireError):
    """The token in place of a password cannot be used; nothing was sent.

    `kind`: 'missing', 'unreadable', 'empty', 'malformed', 'expired', 'not_yet_valid' or 'command'. `path`: of the file
    or the program that it comes from.
    """

    def __init__(self, kind: str, path: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.path = path


class DatabaseUnseenError(WireError):
    """The session was opened, but its database is not in the server's list of databases."""
