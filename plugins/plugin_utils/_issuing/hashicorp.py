# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Client certificates that the PKI secrets engine of HashiCorp Vault signs, by its HTTP API.

The request is `POST /v1/<mount>/sign/<role>` with the host's signing request, so Vault never sees the private key.
Source: the page "PKI secrets engine (API)" of Vault; the sentences of its refusals are those of its issues.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

from ansible_collections.crdb.onboard.plugins.module_utils._http.client import HttpClient, tls_context
from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import CertificateError, HttpError
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import public_bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.authority import Issued, described
from ansible_collections.crdb.onboard.plugins.plugin_utils._issuing.outside import certificate_of, refuse_other_names
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import CertificateSource, VaultRole

with contextlib.suppress(ImportError):
    # `authorities.load` names what is missing.
    from cryptography import x509

TOKEN_VARIABLE = "VAULT_TOKEN"  # noqa: S105 - the name of a variable
SECONDS = 30.0
_LIMIT = 1024 * 1024
_MASK = "********"
_QUOTED = 300
# Vault signs with a lifetime in whole seconds, and other clocks differ.
_TOLERANCE = timedelta(hours=1)


def sign(source: CertificateSource, user: str, request: bytes, public_key: Any) -> Issued:
    """The certificate that Vault signs for a request (PEM). Raises OnboardingError with the cause and the cure."""
    vault = source.vault
    if not vault:
        raise OnboardingError("client_cert_vault is missing.")
    token = vault.token or os.environ.get(TOKEN_VARIABLE, "").strip()
    label = f"client_cert_vault {vault.url}"
    if not token:
        raise OnboardingError(
            f"{label}: there is no token. Set {TOKEN_VARIABLE} in the environment, or client_cert_vault_token"
            " (crdb_connection_client_cert_vault_token)."
        )
    if not re.fullmatch("[!-~]+", token):
        # The error of the HTTP library would quote it.
        raise OnboardingError(f"{label}: {TOKEN_VARIABLE} in the environment has a character that no token has.")
    body = {
        "csr": request.decode("ascii"),
        "common_name": source.names[0],
        "alt_names": ",".join(source.names[1:]),
        "exclude_cn_from_sans": True,
        "ttl": f"{source.lifetime * 24}h",
        "format": "pem",
    }
    answer = _asked(vault, token, label, body)
    content = _pem(answer, label)
    issued = certificate_of(content, label, public_key, source.names)
    refuse_other_names(issued, label, user, source.names)
    return described(
        x509.load_pem_x509_certificate(issued.pem),
        [certificate for certificate in x509.load_pem_x509_certificates(issued.pem)[1:] if not _is_root(certificate)],
        note=_shortened(source, issued, label),
    )


def _is_root(certificate: x509.Certificate) -> bool:
    """The cluster has the root; what lies between comes from the client."""
    return certificate.subject == certificate.issuer


def _asked(vault: VaultRole, token: str, label: str, body: dict[str, Any]) -> dict[str, Any]:
    """The `data` of Vault's answer. Raises OnboardingError."""
    headers = {"X-Vault-Token": token, "X-Vault-Request": "true", "Content-Type": "application/json"}
    if vault.namespace:
        headers["X-Vault-Namespace"] = vault.namespace
    url = f"{vault.url}/v1/{quote(vault.mount)}/sign/{quote(vault.role, safe='')}"
    try:
        http = HttpClient(SECONDS, tls_context(vault.ca_file or public_bundle()), loopback_http=True)
        # A redirect is not followed: the token is for this server only.
        with http.open(url, method="POST", headers=headers, body=json.dumps(body).encode()) as response:
            status, content, location = response.status, response.read(_LIMIT), response.location
    except CertificateError as exc:
        raise OnboardingError(
            f"{label}: its certificate cannot be verified: {exc.reason}. Set client_cert_vault_ca_file"
            " (crdb_connection_client_cert_vault_ca_file) to the CA that signed it."
        ) from None
    except HttpError as exc:
        raise OnboardingError(f"{label}: {exc}. Check the URL, the network and HTTPS_PROXY.") from None
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    if status == 200 and isinstance(answer.get("data"), dict):
        data: dict[str, Any] = answer["data"]
        return data
    errors = answer.get("errors")
    said = "; ".join(error.strip() for error in errors if isinstance(error, str)) if isinstance(errors, list) else ""
    said = clean(said.replace(token, _MASK), _QUOTED).rstrip(".")
    raise OnboardingError(
        f"{label} answered {status}{f': {said}' if said else ''}. {_cure(status, said, vault, location)}"
    )


def _cure(status: int, said: str, vault: VaultRole, location: str) -> str:
    """What to do about a refusal of Vault."""
    path = f"{vault.mount}/sign/{vault.role}"
    if status == 403:
        return f"The token is wrong or has expired, or its policy lacks the capability update on {path}" + (
            f" in the namespace {vault.namespace}." if vault.namespace else ", or Vault needs a namespace."
        )
    if "not allowed by this role" in said:
        return (
            f"Let the role {vault.role} sign this name: allowed_domains with allow_bare_domains=true, and"
            " enforce_hostnames=false."
        )
    if "unknown role" in said:
        return (
            f"Create the role {vault.role} in {vault.mount}, or set client_cert_vault_role"
            " (crdb_connection_client_cert_vault_role)."
        )
    if "beyond the expiration" in said:
        return (
            "The lifetime ends after Vault's CA: renew that CA, or set client_cert_lifetime to fewer days"
            " (crdb_connection_client_cert_lifetime)."
        )
    if status == 404 or "no handler for route" in said:
        return (
            f"There is no PKI secrets engine at {vault.mount}: set client_cert_vault_mount"
            " (crdb_connection_client_cert_vault_mount), or the namespace."
        )
    if status == 503:
        return "Vault is sealed or starting: unseal it (vault operator unseal), then run this again."
    if location:
        return (
            "It names another server, to which the token is not sent: set client_cert_vault"
            " (crdb_connection_client_cert_vault) to the active node."
        )
    if status == 429 or status >= 500:
        return "This is an error of Vault or of a proxy before it. Run it again later."
    return "Check client_cert_vault and its role."


def _pem(answer: dict[str, Any], label: str) -> bytes:
    """The certificate, and those between it and the root, as one PEM text. Raises OnboardingError."""
    certificate, chain = answer.get("certificate"), answer.get("ca_chain")
    if not isinstance(certificate, str):
        raise OnboardingError(f"{label}: the answer has no certificate. Check whether this is Vault.")
    between: Sequence[Any] = chain if isinstance(chain, list) else [answer.get("issuing_ca")]
    texts = [certificate, *(text for text in between if isinstance(text, str))]
    return re.sub(r"\n+", "\n", "\n".join(text.strip() for text in texts) + "\n").encode("utf-8", "replace")


def _shortened(source: CertificateSource, issued: Issued, label: str) -> str:
    """A note when Vault signed for a shorter time than it was asked for."""
    wanted = datetime.now(timezone.utc) + timedelta(days=source.lifetime)
    if issued.not_after >= wanted - _TOLERANCE:
        return ""
    return (
        f"{label}: the certificate of {source.names[0]} ends on {issued.not_after:%Y-%m-%d %H:%M} UTC, before the"
        f" {source.lifetime} days that client_cert_lifetime asks for: max_ttl of the role or of the mount is shorter."
        " Run the playbook while less than a third of that time is left, and before it ends."
    )
