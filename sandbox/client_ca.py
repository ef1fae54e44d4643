# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client CA of a dedicated cluster: the Cloud API sets it, and the front verifies client certificates by it."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

from cryptography import x509

from sandbox.state import PUBLIC, write_atomically

NOT_SET, IS_SET, PENDING, FAILED = "NOT_SET", "IS_SET", "PENDING", "FAILED"
"""The states that the Cloud API's reference names."""


def is_bundle(pem: object) -> bool:
    """Whether a value is one certificate in PEM, or several."""
    try:
        return isinstance(pem, str) and bool(x509.load_pem_x509_certificates(pem.encode()))
    except ValueError:
        return False


class ClientCa:
    """The certificates in effect (PEM, empty for none), and the state of the last change.

    Args:
        file: keeps the certificates from one start of the sandbox to the next; None for not at all.
    """

    def __init__(self, file: Optional[Path] = None) -> None:
        self._file = file
        self._pem = file.read_text() if file is not None and file.exists() else ""
        self._subscribers: list[Callable[[str], None]] = []
        self.status = IS_SET if self._pem else NOT_SET

    @property
    def pem(self) -> str:
        """The certificates that the front trusts."""
        return self._pem

    def subscribe(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the certificates, now and after every change."""
        self._subscribers.append(changed)
        changed(self._pem)

    def begin(self) -> None:
        """A change is on its way."""
        self.status = PENDING

    def fail(self) -> None:
        """The change was not made."""
        self.status = FAILED

    def settle(self, pem: str) -> None:
        """The change is in effect."""
        self._pem = pem
        self.status = IS_SET if pem else NOT_SET
        if self._file is not None:
            write_atomically(self._file, pem.encode(), PUBLIC)
        for changed in self._subscribers:
            changed(pem)

    def described(self) -> dict[str, str]:
        """The API's description: while a change is on its way, it shows no certificate."""
        return {"status": self.status, "x509_pem_cert": self._pem if self.status in (IS_SET, FAILED) else ""}
