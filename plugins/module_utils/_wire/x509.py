# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""What stands in an X.509 certificate, read from its DER with the standard library; no signature is verified.

Python's ssl decodes only certificates that were verified, and a report is about those that were not. Pure, and total:
any bytes give a Certificate or raise DerError, in time linear in their number. Layouts: X.690, RFC 5280.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

MAX_CERTIFICATE = 64 * 1024
_MAX_NAMES = 5000

SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
_CA_ISSUERS = "1.3.6.1.5.5.7.48.2"
_COMMON_NAME = "2.5.4.3"
_SUBJECT_KEY = "2.5.29.14"
_KEY_USAGE = "2.5.29.15"
_ALTERNATIVE_NAMES = "2.5.29.17"
_BASIC_CONSTRAINTS = "2.5.29.19"
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
_PEM = re.compile(r"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END ", re.ASCII)


class DerError(ValueError):
    """The bytes are no certificate."""


class _Value(NamedTuple):
    """A tag, and where its content lies."""

    tag: int
    start: int
    stop: int


def _value(data: bytes, at: int, stop: int) -> _Value:
    if at + 2 > stop:
        raise DerError("a value is cut off")
    tag, length = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:
        raise DerError("a tag of several bytes")
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or at + count > stop:
            raise DerError("a length that is not definite, or cut off")
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + length > stop:
        raise DerError("a value is longer than what holds it")
    return _Value(tag, at, at + length)


class _Reader:
    """The values of one constructed value, in turn."""

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self._data, self._at, self._stop = data, start, stop

    def __bool__(self) -> bool:
        return self._at < self._stop

    def any(self) -> _Value:
        found = _value(self._data, self._at, self._stop)
        self._at = found.stop
        return found

    def take(self, tag: int) -> _Value:
        found = self.any()
        if found.tag != tag:
            raise DerError(f"tag {found.tag:#x} where {tag:#x} belongs")
        return found

    def optional(self, tag: int) -> Optional[_Value]:
        return self.any() if self and self._data[self._at] == tag else None

    def raw(self, tag: int) -> bytes:
        """The whole value, its tag and length too."""
        start = self._at
        return self._data[start : self.take(tag).stop]

    def octets(self, tag: int) -> bytes:
        found = self.take(tag)
        return self._data[found.start : found.stop]

    def inside(self, tag: int) -> _Reader:
        found = self.take(tag)
        return _Reader(self._data, found.start, found.stop)

    def content(self, value: _Value) -> bytes:
        return self._data[value.start : value.stop]


def _whole(data: bytes) -> _Reader:
    return _Reader(data, 0, len(data))


def _oid(content: bytes) -> str:
    if not content or content[-1] & 0x80 or len(content) > 64:
        raise DerError("an object identifier that does not end")
    numbers: list[int] = []
    number = 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _time(reader: _Reader) -> datetime.datetime:
    value = reader.any()
    text = reader.content(value).decode("latin-1")
    digits = {0x17: 12, 0x18: 14}.get(value.tag, 0)
    if not re.fullmatch(f"[0-9]{{{digits}}}Z", text, re.ASCII):
        raise DerError("a date that is none")
    if value.tag == 0x17:
        text = ("20" if text < "50" else "19") + text
    try:
        return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise DerError("a date that no calendar has") from None


class Attribute(NamedTuple):
    """One part of a name: its object identifier, its text, and the bytes that it was read from."""

    oid: str
    text: str
    raw: bytes


def _name(raw: bytes) -> tuple[Attribute, ...]:
    found: list[Attribute] = []
    sets = _whole(raw).inside(0x30)
    while sets:
        group = sets.inside(0x31)
        while group:
            pair = group.inside(0x30)
            oid = _oid(pair.octets(0x06))
            value = pair.any()
            content = pair.content(value)
            found.append(Attribute(oid, content.decode(_STRINGS.get(value.tag, "latin-1"), "replace"), content))
    return tuple(found)


def _shown(name: Sequence[Attribute]) -> str:
    return ", ".join(f"{_SHORT_NAMES.get(part.oid, part.oid)}={part.text}" for part in name)


def _boolean(content: bytes) -> bool:
    if len(content) != 1:
        raise DerError("a truth value of another length")
    return content != b"\0"


@dataclass(frozen=True)
class Certificate:
    """A certificate. `subject`, `issuer`: as text, in their own order. Dates in UTC.

    `dns_names`: the bytes of the dNSNames, `addresses`: those of the iPAddresses. `is_ca`, `key_usage`,
    `extended_usage`: None without that extension. `critical`: the object identifiers of the critical extensions.
    """

    der: bytes = field(repr=False)
    version: int
    serial: int
    subject_name: tuple[Attribute, ...]
    issuer_name: tuple[Attribute, ...]
    subject_der: bytes = field(repr=False)
    issuer_der: bytes = field(repr=False)
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
        """Whom it is for."""
        return _shown(self.subject_name)

    @property
    def issuer(self) -> str:
        """Who signed it."""
        return _shown(self.issuer_name)

    @property
    def common_name(self) -> Optional[bytes]:
        """The bytes of the first common name, which is the one that libpq looks at."""
        return next((part.raw for part in self.subject_name if part.oid == _COMMON_NAME), None)

    @property
    def self_issued(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.subject_der == self.issuer_der

    @property
    def sha256(self) -> str:
        """The fingerprint, in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    def names(self) -> list[str]:
        """The alternative names for people: host names and addresses."""
        return [
            *(name.decode("utf-8", "replace") for name in self.dns_names),
            *(str(ipaddress.ip_address(raw)) if len(raw) in (4, 16) else raw.hex() for raw in self.addresses),
        ]

    def valid_at(self, moment: datetime.datetime) -> bool:
        """Whether a moment lies within its dates."""
        return self.not_before <= moment <= self.not_after

    def may_have_issued(self, other: Certificate) -> bool:
        """Whether `other` names this one as its issuer, by name and, where both tell it, by key."""
        if other.issuer_der != self.subject_der:
            return False
        return other.authority_key is None or self.subject_key is None or other.authority_key == self.subject_key


def read(der: bytes) -> Certificate:
    """The certificate in these bytes. Raises DerError, and nothing else."""
    if len(der) > MAX_CERTIFICATE:
        raise DerError(f"longer than {MAX_CERTIFICATE} bytes")
    whole = _whole(der)
    certificate = whole.inside(0x30)
    if whole:
        raise DerError("something follows the certificate")
    body = certificate.inside(0x30)
    certificate.take(0x30)
    certificate.take(0x03)
    version = 1
    tagged = body.optional(0xA0)
    if tagged is not None:
        version = int.from_bytes(_Reader(der, tagged.start, tagged.stop).octets(0x02), "big") + 1
    serial = int.from_bytes(body.octets(0x02), "big", signed=True)
    body.take(0x30)
    issuer = body.raw(0x30)
    validity = body.inside(0x30)
    begins, ends = _time(validity), _time(validity)
    subject = body.raw(0x30)
    body.take(0x30)
    for tag in (0x81, 0xA1, 0x82, 0xA2):
        body.optional(tag)
    found = _Fields()
    tagged = body.optional(0xA3)
    if tagged is not None:
        extensions = _Reader(der, tagged.start, tagged.stop).inside(0x30)
        while extensions:
            found.extension(extensions.inside(0x30))
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
        has_alternative_names=found.has_alternative_names,
        dns_names=tuple(found.dns_names),
        addresses=tuple(found.addresses),
        is_ca=found.is_ca,
        path_length=found.path_length,
        key_usage=found.key_usage,
        extended_usage=found.extended_usage,
        subject_key=found.subject_key,
        authority_key=found.authority_key,
        has_issuer_link=found.has_issuer_link,
        critical=frozenset(found.critical),
        extensions=found.count,
    )


class _Fields:
    """What the extensions say."""

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

    def extension(self, reader: _Reader) -> None:
        self.count += 1
        oid = _oid(reader.octets(0x06))
        flag = reader.optional(0x01)
        if flag is not None and _boolean(reader.content(flag)):
            self.critical.add(oid)
        content = _whole(reader.octets(0x04))
        if oid in _EXTENSIONS:
            _EXTENSIONS[oid](self, content)

    def _alternative_names(self, content: _Reader) -> None:
        self.has_alternative_names = True
        names = content.inside(0x30)
        while names:
            value = names.any()
            if value.tag == 0x82:
                self.dns_names.append(names.content(value))
            elif value.tag == 0x87:
                self.addresses.append(names.content(value))
        if len(self.dns_names) + len(self.addresses) > _MAX_NAMES:
            raise DerError("too many names")

    def _basic_constraints(self, content: _Reader) -> None:
        constraints = content.inside(0x30)
        flag = constraints.optional(0x01)
        self.is_ca = flag is not None and _boolean(constraints.content(flag))
        length = constraints.optional(0x02)
        if length is not None:
            self.path_length = int.from_bytes(constraints.content(length), "big")

    def _key_usage(self, content: _Reader) -> None:
        bits = content.octets(0x03)[1:]
        self.key_usage = frozenset(
            name
            for number, name in enumerate(_KEY_USAGES)
            if number // 8 < len(bits) and bits[number // 8] & 0x80 >> number % 8
        )

    def _extended_usage(self, content: _Reader) -> None:
        usages = content.inside(0x30)
        found = []
        while usages:
            found.append(_oid(usages.octets(0x06)))
        self.extended_usage = tuple(found)

    def _subject_key(self, content: _Reader) -> None:
        self.subject_key = content.octets(0x04)

    def _authority_key(self, content: _Reader) -> None:
        parts = content.inside(0x30)
        key = parts.optional(0x80)
        if key is not None:
            self.authority_key = parts.content(key)

    def _authority_access(self, content: _Reader) -> None:
        accesses = content.inside(0x30)
        while accesses:
            access = accesses.inside(0x30)
            if _oid(access.octets(0x06)) == _CA_ISSUERS:
                self.has_issuer_link = True


_EXTENSIONS = {
    _ALTERNATIVE_NAMES: _Fields._alternative_names,
    _BASIC_CONSTRAINTS: _Fields._basic_constraints,
    _KEY_USAGE: _Fields._key_usage,
    _EXTENDED_USAGE: _Fields._extended_usage,
    _SUBJECT_KEY: _Fields._subject_key,
    _AUTHORITY_KEY: _Fields._authority_key,
    _AUTHORITY_ACCESS: _Fields._authority_access,
}


def read_all(ders: Sequence[bytes]) -> tuple[Certificate, ...]:
    """The readable ones among these."""
    found = []
    for der in ders:
        try:
            found.append(read(der))
        except DerError:
            continue
    return tuple(found)


def read_pem(text: str, limit: int = 500) -> tuple[Certificate, ...]:
    """The readable certificates of a PEM text, at most `limit`; what else stands in it is passed over."""
    ders = []
    for block in _PEM.finditer(text):
        try:
            ders.append(base64.b64decode("".join(block.group(1).split()), validate=True))
        except (binascii.Error, ValueError):
            continue
        if len(ders) == limit:
            break
    return read_all(ders)


def matches_host(certificate: Certificate, host: str) -> bool:
    """Whether libpq takes the certificate for this host under verify-full. Pure.

    As libpq 15 and newer do it (behaviour of pgtls_verify_peer_name_matches_certificate_guts): the common name counts
    only without an alternative name of the host's kind; a wildcard stands for one whole first label.
    """
    address = _address(host)
    wanted = host.encode("utf-8", "surrogateescape")
    for name in certificate.dns_names:
        if b"\0" in name:
            return False
        if _same_name(name, wanted):
            return True
    if address is not None and any(address == raw for raw in certificate.addresses):
        return True
    if certificate.addresses if address is not None else certificate.dns_names:
        return False
    common = certificate.common_name
    return common is not None and b"\0" not in common and _same_name(common, wanted)


def _address(host: str) -> Optional[bytes]:
    try:
        # As libpq: short forms too, such as 127.1.
        return socket.inet_aton(host)
    except (OSError, UnicodeError):
        pass
    try:
        return socket.inet_pton(socket.AF_INET6, host)
    except (OSError, UnicodeError):
        return None


def _same_name(pattern: bytes, host: bytes) -> bool:
    pattern, host = pattern.lower(), host.lower()
    if pattern == host:
        return bool(host)
    if len(pattern) < 3 or not pattern.startswith(b"*.") or len(pattern) > len(host):
        return False
    label = host[: len(host) - len(pattern) + 1]
    return host.endswith(pattern[1:]) and b"." not in label


def strict_faults(chain: Sequence[Certificate]) -> Iterator[str]:
    """What OpenSSL refuses under X509_STRICT, Python's default since 3.13, in a chain from the server's to the root.

    Behaviour of check_chain_extensions in OpenSSL 3.
    """
    if len(chain) < 2:
        return
    for number, certificate in enumerate(chain):
        who = certificate.subject or "a certificate without a subject"
        is_ca = bool(certificate.is_ca)
        if is_ca and _BASIC_CONSTRAINTS not in certificate.critical:
            yield f"the basic constraints of {who} are not critical"
        if is_ca and certificate.key_usage is None:
            yield f"{who} is a CA without key usage"
        if not is_ca and "key_cert_sign" in (certificate.key_usage or ()):
            yield f"{who} may sign certificates without being a CA"
        if not certificate.subject_name and (
            not certificate.has_alternative_names or _ALTERNATIVE_NAMES not in certificate.critical
        ):
            yield "a certificate has no subject, and no critical alternative names"
        if certificate.version < 3:
            if certificate.extensions:
                yield f"{who} has extensions that its version does not know"
            continue
        if number + 1 < len(chain) and certificate.authority_key is None:
            yield f"{who} has no authority key identifier"
        if is_ca and certificate.subject_key is None:
            yield f"{who} is a CA without subject key identifier"


def stricter_clients(chain: Sequence[Certificate], host: str) -> list[tuple[str, str]]:
    """Who refuses a chain that libpq takes for this host: (clients, why). Pure; as the real ones were seen to do."""
    if not chain:
        return []
    found = []
    leaf = chain[0]
    wanted = host.encode("utf-8", "surrogateescape")
    address = _address(host)
    by_name = address is None and any(_same_name(name, wanted) for name in leaf.dns_names)
    by_address = address is not None and address in leaf.addresses
    if by_address and not _written_in_full(host):
        found.append((_EVERYONE_ELSE, "an address has to be written in full"))
    elif address is not None and not by_address:
        found.append((_EVERYONE_ELSE, "an address has to stand among its IP addresses, not among its names"))
    elif not by_name and not by_address:
        found.append((_GO, "they take no common name, only alternative names"))
    elif by_name and not any(_openssl_takes(name, wanted) for name in leaf.dns_names):
        found.append((_OPENSSL_NAMES, "they take no wildcard for a name of two labels"))
    faults = list(dict.fromkeys(strict_faults(chain)))
    if faults:
        found.append((_STRICT, "; ".join(faults[:3])))
    return found


_STRICT = "Python's own TLS from 3.13 on (asyncpg, pg8000)"
_GO = "Go programs (pgx, lib/pq, cockroach)"
_OPENSSL_NAMES = "Python's own TLS (asyncpg, pg8000) and Node.js"
_EVERYONE_ELSE = "Go programs, Python's own TLS and Node.js"


def _written_in_full(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _openssl_takes(pattern: bytes, host: bytes) -> bool:
    return _same_name(pattern, host) and (not pattern.startswith(b"*.") or pattern.count(b".") > 1)
