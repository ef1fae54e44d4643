# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the fields of an X.509 certificate from its DER or PEM, without verifying a signature. Pure.

Python's ssl module decodes only verified certificates, but a report needs those that failed. Any bytes give a
Certificate or raise DerError, in linear time. Layout: RFC 5280.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._pem import CERTIFICATE, PemBlock
from ansible_collections.crdb.onboard.plugins.module_utils._pem import pem_blocks as _pem_blocks
from ansible_collections.crdb.onboard.plugins.module_utils._wire.der import (
    DerError,
    Reader,
    boolean,
    object_identifier,
    reader_of,
    time,
)

MAX_CERTIFICATE = 64 * 1024
_MAX_NAMES = 5000

SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
_CA_ISSUERS = "1.3.6.1.5.5.7.48.2"
_COMMON_NAME = "2.5.4.3"
_SUBJECT_KEY = "2.5.29.14"
_KEY_USAGE = "2.5.29.15"
ALTERNATIVE_NAMES = "2.5.29.17"
BASIC_CONSTRAINTS = "2.5.29.19"
_AUTHORITY_KEY = "2.5.29.35"
_EXTENDED_USAGE = "2.5.29.37"
_AUTHORITY_ACCESS = "1.3.6.1.5.5.7.1.1"

_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "1.2.840.113549.1.9.1": "emailAddress",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_KEY_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
_STRINGS = {
    12: "utf-8",
    18: "ascii",
    19: "ascii",
    20: "latin-1",
    22: "ascii",
    26: "ascii",
    28: "utf-32-be",
    30: "utf-16-be",
}
PEM_LABELS = (CERTIFICATE, f"X509 {CERTIFICATE}", f"TRUSTED {CERTIFICATE}")


class Attribute(NamedTuple):
    """A part of a name: its object identifier, its text, and the bytes that the text was decoded from."""

    oid: str
    text: str
    raw: bytes


def _name(raw: bytes) -> tuple[Attribute, ...]:
    attributes: list[Attribute] = []
    sets = reader_of(raw).inside(0x30)
    while sets:
        group = sets.inside(0x31)
        while group:
            pair = group.inside(0x30)
            oid = object_identifier(pair.octets(0x06))
            value = pair.any()
            content = pair.content(value)
            attributes.append(Attribute(oid, content.decode(_STRINGS.get(value.tag, "latin-1"), "replace"), content))
    return tuple(attributes)


def _text(name: Sequence[Attribute]) -> str:
    return ", ".join(f"{_SHORT_NAMES.get(part.oid, part.oid)}={part.text}" for part in name)


class Certificate(NamedTuple):
    """The fields of a certificate. Dates are in UTC.

    `dns_names`, `addresses`: the bytes of the dNSNames and of the iPAddresses. `is_ca`, `key_usage`, `extended_usage`:
    None without that extension. `critical`: the object identifiers of the critical extensions. `extensions`: how many.
    """

    der: bytes
    version: int
    serial: int
    subject_name: tuple[Attribute, ...]
    issuer_name: tuple[Attribute, ...]
    subject_der: bytes
    issuer_der: bytes
    not_before: datetime.datetime
    not_after: datetime.datetime
    has_alternative_names: bool = False
    dns_names: tuple[bytes, ...] = ()
    addresses: tuple[bytes, ...] = ()
    is_ca: Optional[bool] = None
    path_length: Optional[int] = None
    key_usage: Optional[frozenset[str]] = None
    extended_usage: Optional[tuple[str, ...]] = None
    subject_key: Optional[bytes] = None
    authority_key: Optional[bytes] = None
    has_issuer_link: bool = False
    critical: frozenset[str] = frozenset()
    extensions: int = 0

    @property
    def subject(self) -> str:
        """The subject as text, its parts in their own order."""
        return _text(self.subject_name)

    @property
    def issuer(self) -> str:
        """The issuer as text, its parts in their own order."""
        return _text(self.issuer_name)

    @property
    def common_name(self) -> Optional[bytes]:
        """The bytes of the first common name, the only one that libpq checks."""
        return next((part.raw for part in self.subject_name if part.oid == _COMMON_NAME), None)

    @property
    def self_issued(self) -> bool:
        """Whether the subject and the issuer are the same."""
        return self.subject_der == self.issuer_der

    @property
    def sha256(self) -> str:
        """The SHA-256 fingerprint in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    def names(self) -> list[str]:
        """The alternative names as text: host names, then addresses."""
        return [
            *(name.decode("utf-8", "replace") for name in self.dns_names),
            *(str(ipaddress.ip_address(raw)) if len(raw) in (4, 16) else raw.hex() for raw in self.addresses),
        ]

    def valid_at(self, moment: datetime.datetime) -> bool:
        """Whether the certificate is valid at this moment, by its dates."""
        return self.not_before <= moment <= self.not_after

    def may_have_issued(self, other: Certificate) -> bool:
        """Whether `other` names this certificate as its issuer: by name and, if both have it, by key identifier."""
        if other.issuer_der != self.subject_der:
            return False
        return other.authority_key is None or self.subject_key is None or other.authority_key == self.subject_key


def read(der: bytes) -> Certificate:
    """The certificate in these bytes. Raises only DerError."""
    if len(der) > MAX_CERTIFICATE:
        raise DerError(f"longer than {MAX_CERTIFICATE} bytes")
    whole = reader_of(der)
    certificate = whole.inside(0x30)
    if whole:
        raise DerError("there are bytes after the certificate")
    body = certificate.inside(0x30)
    certificate.take(0x30)
    certificate.take(0x03)
    version = 1
    tagged = body.optional(0xA0)
    if tagged is not None:
        version = int.from_bytes(Reader(der, tagged.start, tagged.stop).octets(0x02), "big") + 1
    serial = int.from_bytes(body.octets(0x02), "big", signed=True)
    body.take(0x30)
    issuer = body.raw(0x30)
    validity = body.inside(0x30)
    begins, ends = time(validity), time(validity)
    subject = body.raw(0x30)
    body.take(0x30)
    for tag in (0x81, 0xA1, 0x82, 0xA2):
        body.optional(tag)
    extensions = _Extensions()
    tagged = body.optional(0xA3)
    if tagged is not None:
        values = Reader(der, tagged.start, tagged.stop).inside(0x30)
        while values:
            extensions.read(values.inside(0x30))
    return Certificate(
        der=der,
        version=version,
        serial=serial,
        subject_name=_name(subject),
        issuer_name=_name(issuer),
        subject_der=subject,
        issuer_der=issuer,
        not_before=begins,
        not_after=ends,
        has_alternative_names=extensions.has_alternative_names,
        dns_names=tuple(extensions.dns_names),
        addresses=tuple(extensions.addresses),
        is_ca=extensions.is_ca,
        path_length=extensions.path_length,
        key_usage=extensions.key_usage,
        extended_usage=extensions.extended_usage,
        subject_key=extensions.subject_key,
        authority_key=extensions.authority_key,
        has_issuer_link=extensions.has_issuer_link,
        critical=frozenset(extensions.critical),
        extensions=extensions.count,
    )


class _Extensions:
    """The facts in the extensions."""

    def __init__(self) -> None:
        self.has_alternative_names = False
        self.dns_names: list[bytes] = []
        self.addresses: list[bytes] = []
        self.is_ca: Optional[bool] = None
        self.path_length: Optional[int] = None
        self.key_usage: Optional[frozenset[str]] = None
        self.extended_usage: Optional[tuple[str, ...]] = None
        self.subject_key: Optional[bytes] = None
        self.authority_key: Optional[bytes] = None
        self.has_issuer_link = False
        self.critical: set[str] = set()
        self.count = 0

    def read(self, reader: Reader) -> None:
        self.count += 1
        oid = object_identifier(reader.octets(0x06))
        flag = reader.optional(0x01)
        if flag is not None and boolean(reader.content(flag)):
            self.critical.add(oid)
        content = reader_of(reader.octets(0x04))
        if oid in _EXTENSIONS:
            _EXTENSIONS[oid](self, content)

    def _alternative_names(self, content: Reader) -> None:
        self.has_alternative_names = True
        names = content.inside(0x30)
        while names:
            value = names.any()
            if value.tag == 0x82:
                self.dns_names.append(names.content(value))
            elif value.tag == 0x87:
                self.addresses.append(names.content(value))
        if len(self.dns_names) + len(self.addresses) > _MAX_NAMES:
            raise DerError("there are too many names")

    def _basic_constraints(self, content: Reader) -> None:
        constraints = content.inside(0x30)
        flag = constraints.optional(0x01)
        self.is_ca = flag is not None and boolean(constraints.content(flag))
        length = constraints.optional(0x02)
        if length is not None:
            self.path_length = int.from_bytes(constraints.content(length), "big")

    def _key_usage(self, content: Reader) -> None:
        bits = content.octets(0x03)[1:]
        self.key_usage = frozenset(
            name
            for number, name in enumerate(_KEY_USAGES)
            if number // 8 < len(bits) and bits[number // 8] & 0x80 >> number % 8
        )

    def _extended_usage(self, content: Reader) -> None:
        usages = content.inside(0x30)
        identifiers = []
        while usages:
            identifiers.append(object_identifier(usages.octets(0x06)))
        self.extended_usage = tuple(identifiers)

    def _subject_key(self, content: Reader) -> None:
        self.subject_key = content.octets(0x04)

    def _authority_key(self, content: Reader) -> None:
        parts = content.inside(0x30)
        key = parts.optional(0x80)
        if key is not None:
            self.authority_key = parts.content(key)

    def _authority_access(self, content: Reader) -> None:
        accesses = content.inside(0x30)
        while accesses:
            access = accesses.inside(0x30)
            if object_identifier(access.octets(0x06)) == _CA_ISSUERS:
                self.has_issuer_link = True


_EXTENSIONS = {
    ALTERNATIVE_NAMES: _Extensions._alternative_names,
    BASIC_CONSTRAINTS: _Extensions._basic_constraints,
    _KEY_USAGE: _Extensions._key_usage,
    _EXTENDED_USAGE: _Extensions._extended_usage,
    _SUBJECT_KEY: _Extensions._subject_key,
    _AUTHORITY_KEY: _Extensions._authority_key,
    _AUTHORITY_ACCESS: _Extensions._authority_access,
}


def read_all(ders: Sequence[bytes]) -> tuple[Certificate, ...]:
    """The certificates in these bytes; those that cannot be read are left out."""
    certificates = []
    for der in ders:
        try:
            certificates.append(read(der))
        except DerError:
            continue
    return tuple(certificates)


def pem_blocks(text: str) -> Iterator[PemBlock]:
    """The certificates of a PEM text; everything else is skipped."""
    blocks = _pem_blocks(text.encode("utf-8", "backslashreplace"))
    return (block for block in blocks if block.label in PEM_LABELS)


def read_pem(text: str, limit: int = 500) -> tuple[Certificate, ...]:
    """The readable certificates of a PEM text, at most `limit`; everything else is skipped."""
    ders = []
    for block in pem_blocks(text):
        try:
            ders.append(block.der())
        except ValueError:
            continue
        if len(ders) == limit:
            break
    return read_all(ders)
