# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""What can go wrong before or beside the protocol itself.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import WireError


class EndpointError(ValueError):
    """An endpoint's facts cannot be used. The text names the endpoint and the part, never the password."""


class ResolveError(WireError):
    """The host has no usable address. `kind`: 'not_found', 'timeout', 'temporary', 'failed' or 'invalid'."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class DialError(WireError):
    """No address could be connected to. `number`: the errno of the telling attempt; `errno.ETIMEDOUT` for silence."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class PasswordHeldError(WireError):
    """The server asks for the password, and the endpoint says that it is not to be sent."""


class DatabaseUnseenError(WireError):
    """The session runs, and its database is not in the server's list of databases."""
