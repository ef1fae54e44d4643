# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the client certificates of a connection come from, when this collection puts them on the hosts.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CERTIFICATE_SOURCE_KEYS = ("client_ca_file", "client_cert_file", "client_cert_command", "client_cert_vault")
"""The keys of a connection that give its client certificates, of which it may have one."""
CERTIFICATE_KEYS = (
    *CERTIFICATE_SOURCE_KEYS,
    "client_ca_key_file",
    "client_cert_key_file",
    "client_cert_names",
    "client_cert_lifetime",
    "client_cert_renew_days",
    "client_key_made_on",
    "client_key_rotation",
    "client_cert_vault_mount",
    "client_cert_vault_role",
    "client_cert_vault_namespace",
    "client_cert_vault_token",
    "client_cert_vault_ca_file",
)
"""All keys of a connection that are about them."""
FOLDER = "certs"
"""The folder for certificates, inside the app's folder, as `cockroach cert` calls it."""
DEFAULT_LIFETIME = 5 * 366
"""Days that a certificate of `cockroach cert create-client` is valid by default."""


@dataclass(frozen=True)
class VaultRole:
    """A role of a PKI secrets engine of HashiCorp Vault.

    Args:
        url: of Vault, without a path.
        mount: the path of the secrets engine.
        role: its name.
        namespace: of Vault Enterprise and HCP; empty for none.
        token: empty for the one in the environment.
        ca_file: verifies Vault; empty for public CAs.
    """

    url: str
    mount: str
    role: str
    namespace: str = ""
    token: str = field(default="", repr=False)
    ca_file: str = ""


@dataclass(frozen=True)
class CertificateSource:
    """Where the client certificates of a connection come from, as the controller sees it.

    Args:
        kind: one of CERTIFICATE_SOURCE_KEYS.
        certificate: path of the client CA's certificate, or of the client certificate.
        key: path of the key that belongs to it; a file encrypted by ansible-vault is read too.
        command: the program that signs requests, with its arguments.
        names: the names in the certificate, of which the first is its common name; by default the SQL user.
        lifetime: days that a new certificate is valid.
        renew_days: days before its end at which it is replaced; None for a third of its lifetime, at most 30.
        made_on: where keys are made: ``host``, ``controller``, or ``auto`` for hosts that have OpenSSL.
        vault: the role of HashiCorp Vault that signs.
        new_key: whether each new certificate gets a new key, instead of the one in use.
    """

    kind: str
    certificate: str = ""
    key: str = ""
    command: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    lifetime: int = DEFAULT_LIFETIME
    renew_days: int | None = None
    made_on: str = "auto"
    new_key: bool = False
    vault: VaultRole | None = None


def certificate_path(user: str) -> str:
    """The path of a SQL user's client certificate inside the folder of an app."""
    return f"{FOLDER}/client.{user}.crt"


def key_path(user: str) -> str:
    """The path of its key."""
    return f"{FOLDER}/client.{user}.key"
