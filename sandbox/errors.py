# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two families of errors: those printed at the terminal, and those sent to a database client."""

from __future__ import annotations

from typing import Optional


class SandboxError(Exception):
    """The command cannot be carried out. The text says what is wrong and what to do about it."""


class AlreadyRunningError(SandboxError):
    """Another process holds the lock of this state folder."""


class ProxyError(Exception):
    """The SQL proxy itself refuses the connection. The client receives this as an ``ErrorResponse``.

    The severity is always ``FATAL`` and the SQLSTATE always ``08C00``, as in the CockroachDB Cloud SQL proxy.

    Args:
        code: the proxy's name for the kind of error, which begins the message; ``None`` for errors without one.
        text: the rest of the message. Empty where the real proxy does not tell the client the reason.
        hints: the innermost hint first.
    """

    SEVERITY = "FATAL"
    SQLSTATE = "08C00"
    _HINT_SEPARATOR = "\n--\n"

    def __init__(self, code: Optional[str], text: str, *hints: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.hint = self._HINT_SEPARATOR.join(hints)
        self.detail = ""

    @property
    def message(self) -> str:
        """The message that the client receives."""
        return f"{self.code}: {self.text}" if self.code else self.text
