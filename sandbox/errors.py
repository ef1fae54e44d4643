# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's two families of errors: what a person at the terminal reads, and what a database client is sent."""

from __future__ import annotations

from typing import Optional


class SandboxError(Exception):
    """Something that the person who typed the command can put right; the text says what and how."""


class AlreadyRunning(SandboxError):  # noqa: N818 - it is a state rather than a fault
    """Another process holds the lock of this state folder."""


class ProxyError(Exception):
    """A refusal by the SQL proxy itself, sent to the client as an ``ErrorResponse``.

    Severity is always ``FATAL`` and SQLSTATE always ``08C00``: CockroachDB Cloud SQL proxy behaviour.

    Args:
        code: the proxy's name for the kind of error, the prefix of the message; ``None`` for the few without one.
        text: what follows the prefix. Empty where the real proxy withholds the reason from the client.
        hints: innermost first.
    """

    SEVERITY = "FATAL"
    SQLSTATE = "08C00"
    _HINT_SEPARATOR = "\n--\n"

    def __init__(self, code: Optional[str], text: str, *hints: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.hint = self._HINT_SEPARATOR.join(hints)

    @property
    def message(self) -> str:
        """The message as the client sees it."""
        return f"{self.code}: {self.text}" if self.code else self.text
