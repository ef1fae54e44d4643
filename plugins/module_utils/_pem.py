# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the blocks of a PEM text.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

BEGIN = b"-----BEGIN "
END = b"-----END "
CERTIFICATE = "CERTIFICATE"

UTF8_MARK = b"\xef\xbb\xbf"

# As OpenSSL does it, BEGIN and END are lines of their own. A body without dashes keeps the search linear where BEGIN
# lines have no END.
_BLOCK = re.compile(
    rb"(?:^|(?<=\xef\xbb\xbf))-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?P<body>[ \t\r]*\n[^-]*)"
    rb"^-----END (?P=label)-----(?=[ \t\r]*$)",
    re.ASCII | re.MULTILINE,
)


class PemBlock(NamedTuple):
    """One block: its label, the text between its BEGIN and END, and its place in the content, in bytes."""

    label: str
    body: bytes
    start: int
    end: int

    def text(self) -> str:
        """The block with its BEGIN and END; other bytes than ASCII come out as Latin-1."""
        body = self.body.decode("latin-1")
        return f"-----BEGIN {self.label}-----{body}-----END {self.label}-----"

    def der(self) -> bytes:
        """The bytes that the body encodes. Raises ValueError when it is not base64."""
        try:
            return base64.b64decode(b"".join(self.body.split()), validate=True)
        except binascii.Error as exc:
            raise ValueError(str(exc)) from None


def pem_blocks(content: bytes) -> Iterator[PemBlock]:
    """The complete blocks of a PEM text, in order; any other text is skipped.

    OpenSSL ignores a byte order mark at the start of the content, and no other.
    """
    for match in _BLOCK.finditer(content):
        if content[match.start() - 3 : match.start()] == UTF8_MARK and match.start() != len(UTF8_MARK):
            continue
        yield PemBlock(match["label"].decode("ascii"), match["body"], match.start(), match.end())
