# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recognise what a file is that should hold CA certificates in PEM, and does not. Pure.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._pem import BEGIN, END, UTF8_MARK, pem_blocks
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509
from ansible_collections.crdb.onboard.plugins.module_utils._wire.der import DerError

_FIRST_LINE = "its first line is -----BEGIN CERTIFICATE-----"
_AGAIN = "Download or copy the CA certificate again and write it to {path}; " + _FIRST_LINE
_IN_PLACE = " {file}.pem && mv {file}.pem {file}`"


class CaKind(NamedTuple):
    """What such a file is, after the words 'the file', and how it becomes a CA file.

    The values of `cure` are `path`, and `file` and `form` for a command of the shell.
    """

    text: str
    cure: str


KINDS: Mapping[str, CaKind] = {
    "empty": CaKind("is empty", "Download or copy the CA certificate again and write it to {path}"),
    "too_large": CaKind("is larger than 4 MiB, so it is not a CA file", _AGAIN),
    "web_page": CaKind(
        "is a web page, not a certificate",
        "Download the CA certificate again from a URL that needs no sign-in, and write it to {path}; " + _FIRST_LINE,
    ),
    "der": CaKind(
        "holds a certificate in DER form and must be PEM",
        "Convert it: `openssl x509 -inform der -in {file} -out" + _IN_PLACE,
    ),
    "pkcs7": CaKind(
        "is a PKCS#7 bundle and must be PEM certificates",
        "Convert it: `openssl pkcs7 -inform {form} -in {file} -print_certs -out" + _IN_PLACE,
    ),
    "pkcs12": CaKind(
        "is a PKCS#12 store and must be PEM certificates",
        "Convert it, with the password of the store: `openssl pkcs12 -in {file} -nokeys -out" + _IN_PLACE,
    ),
    "utf16": CaKind(
        "is a text in UTF-16, which OpenSSL cannot read",
        "Convert it to UTF-8: `iconv -f {form} -t UTF-8 {file} >" + _IN_PLACE,
    ),
    "private_key": CaKind(
        "holds a private key, not a certificate",
        "Write the CA certificate to {path} (`cockroach cert create-ca` makes both: ca.crt is the certificate, ca.key "
        "the key), and keep the key in a file of its own with mode 0600",
    ),
    "public_key": CaKind(
        "holds a public key, not a certificate",
        "Write the CA certificate to {path}; " + _FIRST_LINE,
    ),
    "request": CaKind(
        "holds a certificate request, which no CA has signed yet",
        "Write the CA certificate to {path}; " + _FIRST_LINE,
    ),
    "cut_off": CaKind("is cut off in the middle of a certificate", _AGAIN),
    "no_header": CaKind(
        "holds the base64 text of a certificate, but -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- are not "
        "the lines around it",
        "Write these lines: `tr -s '\\r ' '\\n\\n' < {file} | grep -v -e ----- | base64 -d | "
        "openssl x509 -inform der -out" + _IN_PLACE,
    ),
    "quoted": CaKind(
        "has quotes, spaces or other characters before -----BEGIN CERTIFICATE-----, where OpenSSL overlooks it",
        "Remove them from each line: `sed 's/^[^-A-Za-z0-9+/=]*//; s/[^-A-Za-z0-9+/=]*$//' {file} >" + _IN_PLACE,
    ),
    "escaped": CaKind(
        "has the two characters \\n where its lines should end",
        "End its lines: `printf '%b\\n' \"$(tr -d '\\042\\047' < {file})\" >" + _IN_PLACE,
    ),
    "damaged": CaKind("holds a certificate that cannot be decoded", _AGAIN),
    "not_pem": CaKind("does not contain a PEM certificate", _AGAIN),
}

_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9# ]+)-----")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_MARKS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"-\0-\0", "UTF-16LE"), (b"\0-\0-", "UTF-16BE"))
_LABELS = (
    ("private_key", re.compile("PRIVATE KEY$")),
    ("public_key", re.compile("PUBLIC KEY$")),
    ("request", re.compile("CERTIFICATE REQUEST$")),
    ("pkcs7", re.compile("^(PKCS7|PKCS #7 SIGNED DATA|CMS)$")),
)


def holds_private_key(content: bytes) -> bool:
    """Whether the text holds a private key in PEM."""
    return b"PRIVATE KEY-----" in content and any(label.endswith("PRIVATE KEY") for label in _labels(content))


def unusable_kind(content: bytes) -> tuple[str, str]:
    """The kind of a content that OpenSSL reads no CA certificate from, a key of KINDS, and its detail."""
    if not content.strip():
        return "empty", ""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return "utf16", encoding
    content = content[len(UTF8_MARK) :] if content.startswith(UTF8_MARK) else content
    if _WEB_PAGE.match(content):
        return "web_page", ""
    if content[:1] == b"\x30" and content[1:2] > b"\x7e":
        return _der_kind(content)
    labels = _labels(content)
    if labels and not any(label in x509.PEM_LABELS for label in labels):
        for kind, pattern in _LABELS:
            if any(pattern.search(label) for label in labels):
                return kind, "pem"
        return "not_pem", ""
    if re.match(rb"(ssh|ecdsa)-[a-z0-9-]+ AAAA", content):
        return "public_key", ""
    return _text_kind(content)


def _labels(content: bytes) -> list[str]:
    return [label.decode("ascii") for label in _LABEL.findall(content)]


def _der_kind(content: bytes) -> tuple[str, str]:
    if _is_certificate(content):
        return "der", ""
    if b"\x02\x01\x03\x30" in content[:12]:
        return "pkcs12", ""
    if _SIGNED_DATA in content[:40]:
        return "pkcs7", "der"
    size = content[1] & 0x7F
    if content[1] & 0x80 and len(content) < 2 + size + int.from_bytes(content[2 : 2 + size], "big"):
        return "cut_off", ""
    return "damaged", ""


def _text_kind(content: bytes) -> tuple[str, str]:
    """The kind of a text that has lines of certificates, or none at all."""
    if BEGIN.strip() not in content and not _only_certificate(content):
        return "not_pem", ""
    if b"\\n" in content:
        return "escaped", ""
    bare = re.sub(rb"(?m)^[^-A-Za-z0-9+/=\n]+|[^-A-Za-z0-9+/=\n]+$", b"", content)
    if _certificates(bare) > _certificates(content):
        return "quoted", ""
    if not _certificates(content) and _only_certificate(content):
        return "no_header", ""
    return "cut_off" if content.count(BEGIN) > content.count(END) else "damaged", ""


def _certificates(content: bytes) -> int:
    return sum(block.label in x509.PEM_LABELS for block in pem_blocks(content))


def _only_certificate(content: bytes) -> bool:
    """Whether the words without dashes are the base64 text of one certificate."""
    words = [word for word in re.split(rb"[\r\n ]+", content) if b"-----" not in word]
    try:
        return _is_certificate(base64.b64decode(b"".join(words), validate=True))
    except binascii.Error:
        return False


def _is_certificate(der: bytes) -> bool:
    try:
        x509.read(der)
    except DerError:
        return False
    return True
