# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client CA of an Advanced cluster: plan which certificates it has, then set them by the Cloud API and wait.

Sources of the operations: the reference of the Cloud API (client-ca-certificates), the official Go SDK, and the page
"SQL Client Certificate Authentication for CockroachDB Advanced". It says that a change interrupts existing connections.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._pem import CERTIFICATE, pem_blocks
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import (
    CloudError,
    ExistsError,
    NotFoundError,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
except ImportError:
    # `authorities.load` names what is missing.
    pass

NOT_SET, IS_SET, PENDING, FAILED = "NOT_SET", "IS_SET", "PENDING", "FAILED"
POLL = 3.0
"""Seconds between two questions whether a change is in effect."""
TRIES = 3
_LISTED = 5


@dataclass(frozen=True)
class Member:
    """A CA certificate of the cluster, compared by its bytes."""

    pem: bytes

    @functools.cached_property
    def certificate(self) -> x509.Certificate:
        """The parsed certificate."""
        return x509.load_pem_x509_certificate(self.pem)

    def shown(self) -> str:
        """Its subject, its end and the start of its fingerprint (SHA-256), for people."""
        certificate = self.certificate
        print_ = certificate.fingerprint(hashes.SHA256()).hex()[:16]
        name = clean(certificate.subject.rfc4514_string(), 200) or "without a subject"
        return f"{name}, until {certificate.not_valid_after_utc:%Y-%m-%d}, {print_}"

    def signed(self, pem: str) -> bool:
        """Whether it signed one of the certificates in a PEM text."""
        own = self.certificate
        for certificate in _parsed(pem.encode()):
            try:
                certificate.verify_directly_issued_by(own)
            except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion):
                continue
            return True
        return False


def _parsed(content: bytes) -> list[x509.Certificate]:
    found = []
    for block in pem_blocks(content):
        if block.label == CERTIFICATE:
            try:
                found.append(x509.load_pem_x509_certificate(content[block.start : block.end]))
            except (ValueError, x509.InvalidVersion):
                continue
    return found


def members(content: bytes) -> tuple[Member, ...]:
    """The certificates in a PEM text, each once; what cannot be read is left out."""
    return tuple(dict.fromkeys(Member(each.public_bytes(Encoding.PEM)) for each in _parsed(content)))


@dataclass(frozen=True)
class ClientCaPlan:
    """The certificates before and after."""

    before: tuple[Member, ...]
    after: tuple[Member, ...]

    @property
    def added(self) -> list[Member]:
        """Those that the cluster does not have yet."""
        return [member for member in self.after if member not in self.before]

    @property
    def removed(self) -> list[Member]:
        """Those that the cluster will not have any more."""
        return [member for member in self.before if member not in self.after]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to change."""
        return not (self.added or self.removed)

    def steps(self) -> list[str]:
        """A line for each certificate that comes or goes."""
        return [
            *(f"add the client CA {member.shown()}" for member in self.added),
            *(f"remove the client CA {member.shown()}" for member in self.removed),
        ]


def plan(before: Sequence[Member], named: Sequence[Member], state: str) -> ClientCaPlan:
    """`present` adds the named certificates and keeps all others; `absent` removes them, or all where none is named."""
    if state == "present":
        after = dict.fromkeys((*before, *named))
    else:
        after = dict.fromkeys(member for member in before if named and member not in named)
    return ClientCaPlan(tuple(before), tuple(after))


def refuse_used(name: str, changes: ClientCaPlan, held: Mapping[str, Sequence[str] | None]) -> None:
    """Raise OnboardingError when a CA that goes signed a client certificate that a host has.

    Args:
        name: of the cluster.
        changes: the plan.
        held: by host, the certificates in use (PEM, with those between them and the CA); None where nobody looked.
    """
    if not changes.removed:
        return
    used = [
        host
        for host, certificates in held.items()
        for pem in certificates or ()
        if any(member.signed(pem) for member in changes.removed) and not any(m.signed(pem) for m in changes.after)
    ]
    if used:
        raise OnboardingError(
            f"The client CA of {name}: a CA that would go signed the client certificates of {_few(used)}, which could"
            f" not log in any more. Nothing was changed. Add the new CA beside it, and run app_servers.yml with it as"
            " client_ca_file. Then remove the old one; or set allow_used: true (crdb_client_cert_cluster_allow_used)."
        )
    unknown = [host for host, certificates in held.items() if certificates is None]
    if unknown:
        raise OnboardingError(
            f"The client CA of {name}: which client certificates {_few(unknown)} has is not known, because the run did"
            f" not reach it or leaves it out. Nothing was changed. Run it for all hosts at once, or set allow_used:"
            " true (crdb_client_cert_cluster_allow_used)."
        )


def _few(hosts: Iterable[str]) -> str:
    names = list(dict.fromkeys(hosts))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


class ClientCaReconciler:
    """Reads and changes the client CA of one cluster.

    Args:
        api: of the account that the cluster belongs to.
        cluster: its id.
        name: its name, for errors.
        pause: waits some seconds.
    """

    def __init__(
        self, api: CloudApi, cluster: str, name: str, *, pause: Callable[[float], None] = orphan.pause
    ) -> None:
        self._api, self._cluster, self._name, self._pause = api, cluster, name, pause

    def read(self, wait: float) -> tuple[str, tuple[Member, ...]]:
        """The status and the certificates, once no change is on its way: until then, the service shows none.

        Raises OnboardingError when a change is still on its way after `wait` seconds, and for what cannot be read.
        """
        deadline = time.monotonic() + wait
        while True:
            status, pem = self._api.client_ca(self._cluster)
            if status != PENDING:
                return status, self._members(pem.encode("utf-8", "replace"))
            if time.monotonic() >= deadline:
                raise OnboardingError(
                    f"The client CA of {self._name}: a change is not in effect after {wait:g} s. Run it again later, or"
                    " set wait (crdb_client_cert_cluster_wait) to a longer time."
                )
            self._pause(POLL)

    def _members(self, content: bytes) -> tuple[Member, ...]:
        """All certificates of an answer: one left out here would be removed by the next change."""
        if content.count(b"-----BEGIN ") != len(_parsed(content)) or (
            content.strip() and b"-----BEGIN " not in content
        ):
            raise OnboardingError(
                f"The client CA of {self._name}: the service shows a certificate that cannot be read here, and a change"
                " would remove it. Nothing was changed. Update cryptography in Ansible's Python, or make the change in"
                " the Cloud Console."
            )
        return members(content)

    def carry_out(self, changes: ClientCaPlan, wait: float) -> None:
        """Make the change, and wait until it is in effect. Raises OnboardingError."""
        for attempt in range(TRIES):
            orphan.still_wanted()
            try:
                self._send(changes)
                break
            except (ExistsError, NotFoundError):
                raise OnboardingError(
                    f"The client CA of {self._name}: somebody else changed it at the same time. Run it again."
                ) from None
            except CloudError as exc:
                # The response was lost, the change perhaps not.
                if not exc.uncertain or attempt + 1 == TRIES:
                    raise
                if self._reached(changes, wait):
                    return
        if not self._reached(changes, wait):
            raise OnboardingError(
                f"The client CA of {self._name}: the service did not make the change, and shows"
                f" {self._api.client_ca(self._cluster)[0]}. Run it again; if it fails again, ask the vendor's support."
            )

    def _send(self, changes: ClientCaPlan) -> None:
        pem = b"".join(member.pem for member in changes.after).decode("ascii")
        if not changes.after:
            self._api.remove_client_ca(self._cluster)
        elif changes.before:
            self._api.update_client_ca(self._cluster, pem)
        else:
            self._api.set_client_ca(self._cluster, pem)

    def _reached(self, changes: ClientCaPlan, wait: float) -> bool:
        status, found = self.read(wait)
        return status in (IS_SET, NOT_SET) and set(found) == set(changes.after)


def differences(name: str, changes: ClientCaPlan) -> dict[str, Any]:
    """The change as Ansible shows differences."""
    before, after = ("".join(f"{m.shown()}\n" for m in group) for group in (changes.before, changes.after))
    header = f"client CA of {name}"
    return {"before_header": header, "after_header": header, "before": before, "after": after}
