# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client certificates of a host's apps: what is asked of the host, and the files of a new pair.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._key_pairs.pair import Places
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing import hashicorp, outside
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.authority import (
    ClientAuthority,
    Issued,
    key_pem,
    key_pkcs8,
    name_of,
    new_key,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import CertificateSource

try:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
except ImportError:
    pass

PURPOSE = "client_cert"
REASONS = {
    "missing": "it is missing",
    "unreadable": "it cannot be read",
    "exposed": "its key could be read by other users",
    "mismatch": "its key does not belong to it",
    "pkcs8": "Java needs its key in PKCS#8",
    "name": "it has another name",
    "authority": "another CA signed it",
    "not_yet_valid": "it is not valid yet",
    "due": "it ends soon",
    "renew": "a new one was asked for",
    "changed": "the file on the controller has another one",
}
"""Why a certificate is replaced, for people."""
# What is wrong with a certificate that only another file of the controller could mend.
_OF_FILE = ("", "due", "name", "not_yet_valid", "renew")


def _scoped(app: App, source: CertificateSource) -> bool:
    """Whether the certificate names its user for the system tenant: names that are mapped do not count beside that."""
    user = _user(app)
    return app.source.connection.deployment == "self_hosted" and source.names == (user,) and user.isascii()


def _user(app: App) -> str:
    return app.source.connection.user.lower()


def _source(app: App) -> CertificateSource:
    source = app.source.certificate
    if source is None:
        raise OnboardingError(f"apps entry {app.name!r}: its connection {app.source.name} has no client certificate.")
    return source


def places(app: App) -> Places:
    """Where the pair of an app lies, by its connection, which has absolute paths."""
    return Places(str(PurePosixPath(str(app.source.connection.sslcert)).parent), _user(app))


@dataclass
class NewPair:
    """A certificate and its key, which are not on the host yet; the key waits there, or is here."""

    issued: Issued
    pending: str = ""
    key: Any = field(default=None, repr=False)


@dataclass
class Certificates:
    """What the host gets, and what people are told about it.

    Args:
        files: of the module `files`.
        kept: paths that an earlier run wrote and that stay.
        retired: paths that go.
        paths: by app, where the new certificate and key will lie: `sslcert` and `sslkey`.
        entries: of each app, as results have them.
        notes: for people.
    """

    files: list[dict[str, Any]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    paths: dict[str, dict[str, str]] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def due(self) -> list[dict[str, Any]]:
        """The entries of the apps that get a new certificate."""
        return [entry for entry in self.entries if entry["reason"]]

    def changes(self) -> list[str]:
        """A line for each certificate that is to be replaced."""
        return [f"issue {entry['path']} ({REASONS[entry['reason']]})" for entry in self.due]


class Issuer:
    """Issues the certificates of one host. Authorities are read once.

    Args:
        vault: Ansible's VaultLib, for keys that are encrypted.
        renew: issue new certificates in any case.
    """

    def __init__(self, vault: Any, *, renew: bool = False) -> None:
        self._vault, self._renew = vault, renew
        self._authorities: dict[tuple[str, str], ClientAuthority] = {}

    def authority(self, source: CertificateSource) -> ClientAuthority:
        """The client CA of a connection. Raises OnboardingError."""
        key = (source.certificate, source.key)
        if key not in self._authorities:
            self._authorities[key] = ClientAuthority.load(source.certificate, source.key, self._vault)
        return self._authorities[key]

    def wanted(self, apps: Sequence[App]) -> list[dict[str, Any]]:
        """What is asked of the host: the option `pairs` of the module `key_pairs`.

        All that the controller has is read first. Raises OnboardingError.
        """
        entries = []
        for app in apps:
            source = _source(app)
            of_ca = source.kind == "client_ca_file"
            if source.kind == "client_cert_file":
                outside.from_files(source, self._vault)
            entries.append(
                {
                    "app": app.name,
                    "user": app.user,
                    "folder": places(app).folder,
                    "sql_user": _user(app),
                    "names": list(source.names),
                    "authority_keys": [self.authority(source).identifier.hex()] if of_ca else [],
                    "renew_days": source.renew_days,
                    "pkcs8": any(framework.client_certificate == "pkcs8" for framework in app.frameworks),
                    "renew": self._renew,
                    "make_key": source.kind != "client_cert_file" and source.made_on != "controller",
                    "keep_key": source.kind != "client_cert_file" and not source.new_key,
                    "needs_request": not of_ca,
                }
            )
        return entries

    @staticmethod
    def examined(apps: Sequence[App]) -> list[dict[str, Any]]:
        """The option `pairs` of the module `key_pairs` for a look that makes nothing."""
        return [
            {
                "app": app.name,
                "user": app.user,
                "folder": places(app).folder,
                "sql_user": _user(app),
                "names": list(_source(app).names),
                "make_key": False,
            }
            for app in apps
        ]

    def of_another(self, app: App, found: Mapping[str, Any]) -> bool:
        """Whether the certificate on the host claims to be of the CA, and is not."""
        source = _source(app)
        return (
            source.kind == "client_ca_file"
            and not found["reason"]
            and not self.authority(source).signed(str(found["certificate"]))
        )

    def certificates(self, apps: Sequence[App], answers: Sequence[Mapping[str, Any]], *, check: bool) -> Certificates:
        """What becomes of each app's certificate, from what the host answered.

        With `check`, nothing is issued. Raises OnboardingError.
        """
        result = Certificates()
        for app, found in zip(apps, answers, strict=True):
            source, of_app = _source(app), places(app)
            if found["foreign"]:
                raise OnboardingError(
                    f"apps entry {app.name!r}: {found['foreign']}: crdb.onboard did not write it. Move it away, or name"
                    " it in sslcert and sslkey (crdb_connection_sslcert, crdb_connection_sslkey) and leave"
                    f" {source.kind} (crdb_connection_{source.kind}) out."
                )
            reason = str(found["reason"])
            pair = self._outside(source, found) if source.kind == "client_cert_file" else None
            if source.kind == "client_cert_file":
                reason = "" if pair is None else (reason if reason not in _OF_FILE else "changed")
            if reason and pair is None and not check:
                pair = self._issue(app, source, found)
            result.kept += [*of_app.links(), of_app.store]
            entry = {"app": app.name, "user": app.user, "path": of_app.certificate, "reason": reason}
            ends = str(found["not_after"]) if pair is None else pair.issued.not_after.isoformat()
            result.entries.append({**entry, "not_after": ends, "sql_user": _user(app)})
            result.retired += [path for old in found["broken"] for path in of_app.of(old).values()]
            if pair is not None:
                self._add(result, app, found, pair)
            elif not reason and found["reason"] == "due":
                result.notes.append(
                    f"{of_app.certificate} ends on {ends[:10]}: put the next certificate and its key into"
                    f" {source.certificate} and {source.key}, then run this again."
                )
        return result

    def _outside(self, source: CertificateSource, found: Mapping[str, Any]) -> NewPair | None:
        """The pair in the controller's files; None when the host has it, and it is as it should be."""
        issued, key = outside.from_files(source, self._vault)
        try:
            current = x509.load_pem_x509_certificate(str(found["certificate"]).encode()).fingerprint(hashes.SHA256())
        except (ValueError, x509.InvalidVersion):
            current = b""
        if current.hex() == issued.fingerprint and found["reason"] in _OF_FILE:
            return None
        return NewPair(issued, key=key)

    def _issue(self, app: App, source: CertificateSource, found: Mapping[str, Any]) -> NewPair:
        """A new pair: for the key that waits on the host, or for one that is made here. Raises OnboardingError."""
        key = None
        if found["pending"] and not found["request"]:
            # The host keeps its key and has no openssl. It found that this certificate belongs to that key.
            kept = x509.load_pem_x509_certificate(str(found["certificate"]).encode()).public_key()
            return NewPair(self._signed(app, source, kept), pending=str(found["pending"]))
        if found["pending"]:
            request = self._request(app, str(found["request"]))
        else:
            if source.made_on == "host":
                raise OnboardingError(
                    f"apps entry {app.name!r}: there is no openssl on this host, which makes the key of its client"
                    " certificate. Install it, or set client_key_made_on: controller"
                    " (crdb_connection_client_key_made_on)."
                )
            key = new_key()
            request = (
                x509.CertificateSigningRequestBuilder()
                .subject_name(name_of(source.names[0]))
                .sign(key, hashes.SHA256())
            )
        public_key = request.public_key()
        if source.kind == "client_ca_file":
            issued = self._signed(app, source, public_key)
        else:
            pem = request.public_bytes(Encoding.PEM)
            signer = hashicorp.sign if source.kind == "client_cert_vault" else outside.from_command
            issued = signer(source, _user(app), pem, public_key)
        return NewPair(issued, pending=str(found["pending"]), key=key)

    def _signed(self, app: App, source: CertificateSource, public_key: Any) -> Issued:
        """A certificate of the client CA for this key. Raises OnboardingError."""
        authority = self.authority(source)
        return authority.issue(public_key, source.names, source.lifetime, scoped=_scoped(app, source))

    @staticmethod
    def _request(app: App, text: str) -> x509.CertificateSigningRequest:
        """The signing request of a host. Raises OnboardingError.

        A program that signs it may copy what it asks for, so it must not ask for another name, or for any extension.
        """
        try:
            request = x509.load_pem_x509_csr(text.encode())
            valid = request.is_signature_valid and request.subject == name_of(_source(app).names[0])
            valid = valid and not list(request.attributes)
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
            valid = False
        if not valid:
            raise OnboardingError(f"apps entry {app.name!r}: the host's signing request is not valid.")
        return request

    @staticmethod
    def _add(result: Certificates, app: App, found: Mapping[str, Any], pair: NewPair) -> None:
        """Add the files of a new pair, in the order in which they are put in place."""
        of_app = places(app)
        name = pair.issued.fingerprint[:16]
        paths = of_app.of(name)
        common = {"user": app.user, "group": app.group, "apps": [app.name], "purpose": PURPOSE}

        def add(path: str, content: bytes, **facts: Any) -> None:
            encoded = base64.b64encode(content).decode("ascii")
            file = {"path": path, "content": encoded, "format": "whole", "mode": "0600"}
            result.files.append({**file, **common, **facts})

        add(paths["certificate"], pair.issued.pem, mode="0644")
        pkcs8 = any(framework.client_certificate == "pkcs8" for framework in app.frameworks)
        for kind, end, written in (("key", "", key_pem), ("pkcs8", ".pk8", key_pkcs8)):
            if kind == "pkcs8" and not pkcs8:
                continue
            pending = f"{pair.pending}{end}" if pair.pending else ""
            content = b"" if pending else written(pair.key)
            add(paths[kind], content, secret=True, private=True, pending=pending)
        # The switch: from here on, programs that follow the links have the new pair.
        add(of_app.current, name.encode(), format="link")
        for path, target in of_app.links().items():
            if path != of_app.pkcs8 or pkcs8:
                add(path, target.encode(), format="link")
        stay = {name, found["pair"]}
        result.retired += [path for old in set(found["pairs"]) - stay for path in of_app.of(old).values()]
        result.paths[app.name] = {"sslcert": paths["certificate"], "sslkey": paths["key"]}
        if pair.issued.note:
            result.notes.append(pair.issued.note)
