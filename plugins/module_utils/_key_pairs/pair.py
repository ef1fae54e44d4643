# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client certificate and its key on this host: where they lie, and whether they are as they should be.

A certificate and its key lie together in a folder of their own, which never changes. What programs name are links:

    certs/client.USER.crt -> .client.USER/current/client.USER.crt
    certs/client.USER.key -> .client.USER/current/client.USER.key
    certs/.client.USER/current -> 5f1c09ab34de7788

So a renewal replaces one link, and the certificate and the key change in the same step. Kubernetes mounts secrets in
this way, and the drivers follow the links. This module util is PRIVATE to the collection. It can have breaking changes
at any time.
"""

from __future__ import annotations

import datetime
import os
import re
import ssl
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files import tree
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509

CURRENT = "current"
MAX_FILE = 1024 * 1024
LARGEST_RENEWAL = datetime.timedelta(days=30)
"""A certificate is renewed when a third of its lifetime is left, or this, whichever is less."""
_ID = re.compile(r"[0-9a-f]{16}")
# The key is not there, does not belong to the certificate, or is known to others.
_NEW_KEY = ("missing", "unreadable", "exposed", "mismatch")


@dataclass(frozen=True)
class Places:
    """Where the pair of a SQL user lies in a folder."""

    folder: str
    user: str

    @property
    def certificate(self) -> str:
        """The certificate, as programs name it."""
        return os.path.join(self.folder, f"client.{self.user}.crt")

    @property
    def key(self) -> str:
        """The key, as programs name it."""
        return os.path.join(self.folder, f"client.{self.user}.key")

    @property
    def pkcs8(self) -> str:
        """The key in PKCS#8 for Java, as programs name it."""
        return f"{self.key}.pk8"

    @property
    def store(self) -> str:
        """The folder of the pairs."""
        return os.path.join(self.folder, f".client.{self.user}")

    @property
    def current(self) -> str:
        """The link to the pair in use."""
        return os.path.join(self.store, CURRENT)

    def of(self, pair: str) -> dict[str, str]:
        """The files of one pair: `certificate`, `key` and `pkcs8`."""
        names = {"certificate": self.certificate, "key": self.key, "pkcs8": self.pkcs8}
        return {kind: os.path.join(self.store, pair, os.path.basename(path)) for kind, path in names.items()}

    def links(self) -> dict[str, str]:
        """Where each link that programs name leads, by its path."""
        lead = os.path.join(os.path.basename(self.store), CURRENT)
        return {path: os.path.join(lead, os.path.basename(path)) for path in (self.certificate, self.key, self.pkcs8)}


def renewal(not_before: datetime.datetime, not_after: datetime.datetime, days: Optional[int]) -> datetime.datetime:
    """When a certificate is due to be renewed; `days` before its end, where they are given."""
    if days is not None:
        try:
            return not_after - datetime.timedelta(days=days)
        except OverflowError:
            # It ended in one of the first years of all.
            return not_after
    return not_after - min((not_after - not_before) / 3, LARGEST_RENEWAL)


def _read(path: str) -> Optional[bytes]:
    try:
        return tree.read_file(path, MAX_FILE).content
    except FileNotFoundError:
        return None


def _link(path: str) -> Optional[str]:
    """Where a link leads; None for anything else."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def pairs(places: Places) -> list[str]:
    """The names of the pairs on this host."""
    try:
        return sorted(name for name in os.listdir(places.store) if _ID.fullmatch(name))
    except OSError:
        return []


def broken(places: Places) -> list[str]:
    """The names of the pairs that a killed run left without their certificate or their key."""
    return [
        name
        for name in pairs(places)
        if not all(os.path.isfile(places.of(name)[kind]) for kind in ("certificate", "key"))
    ]


def foreign(places: Places) -> str:
    """A path that somebody else's file takes; empty where there is none."""
    for path, target in places.links().items():
        if os.path.lexists(path) and _link(path) != target:
            return path
    return ""


def examined(places: Places, wanted: dict[str, Any], now: datetime.datetime) -> dict[str, Any]:
    """The pair in use: `certificate` (PEM, empty where there is none), and why it must be replaced (`reason`), if so.

    Args:
        wanted: `names` that the certificate must have, the `authority_keys` of which one must have signed it (in
            hexadecimal; any when it is empty), `renew_days` before its end, whether it needs `pkcs8`.
        now: in UTC.

    Raises OSError for a file that cannot be read.
    """
    content = _read(places.certificate)
    if content is None or _read(places.key) is None:
        return {"certificate": "", "reason": "missing", "not_after": ""}
    read = x509.read_pem(content.decode("ascii", "replace"))
    if not read:
        return {"certificate": "", "reason": "unreadable", "not_after": ""}
    certificate = read[0]
    answer = {"certificate": content.decode("ascii", "replace"), "not_after": certificate.not_after.isoformat()}
    return {**answer, "reason": _reason(places, certificate, wanted, now)}


def key_to_keep(places: Places, reason: str) -> bytes:
    """The key in use (PEM) that a new certificate may keep; empty where it is lost, or others could have read it."""
    if not reason or reason in _NEW_KEY:
        return b""
    return _read(places.key) or b""


def _reason(places: Places, certificate: x509.Certificate, wanted: dict[str, Any], now: datetime.datetime) -> str:
    if os.stat(places.key).st_mode & 0o077:
        return "exposed"
    if not _belongs(places):
        return "mismatch"
    if wanted["pkcs8"] and _read(places.pkcs8) is None:
        return "pkcs8"
    names = [name.decode("utf-8", "replace") for name in (certificate.common_name or b"", *certificate.dns_names)]
    # Many authorities repeat the common name among the DNS names.
    if names[0] != wanted["names"][0] or set(names) != set(wanted["names"]):
        return "name"
    key = certificate.authority_key
    if wanted["authority_keys"] and (key is None or key.hex() not in wanted["authority_keys"]):
        return "authority"
    if now < certificate.not_before:
        return "not_yet_valid"
    if now >= renewal(certificate.not_before, certificate.not_after, wanted["renew_days"]):
        return "due"
    return ""


def _belongs(places: Places) -> bool:
    """Whether the key belongs to the certificate, by OpenSSL's own judgement."""
    try:
        # Without a password, OpenSSL asks on the terminal for that of an encrypted key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(places.certificate, places.key, password=str)
    except (ssl.SSLError, OSError, ValueError):
        return False
    return True
