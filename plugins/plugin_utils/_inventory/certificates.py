# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a connection that say where its client certificates come from.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import UrlError
from ansible_collections.crdb.onboard.plugins.module_utils._http.places import place_of
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import commands, origin, schema
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import (
    CERTIFICATE_KEYS,
    CERTIFICATE_SOURCE_KEYS,
    CertificateSource,
    VaultRole,
    certificate_path,
    key_path,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection

_KEY_OF = {"client_ca_file": "client_ca_key_file", "client_cert_file": "client_cert_key_file"}
_LONGEST = 100 * 366
_LONGEST_NAME = 64
# No segment begins with a dot, so that none leads elsewhere.
_VAULT_PATH = re.compile(r"[\w@-][\w.@-]*(/[\w@-][\w.@-]*)*", re.ASCII)


def is_given(facts: Mapping[str, Any]) -> bool:
    """Whether the facts of a connection have a client certificate, of either kind."""
    return bool(facts.get("sslcert")) or is_issued(facts)


def is_issued(facts: Any) -> bool:
    """Whether the facts of a connection say where its client certificates come from."""
    return isinstance(facts, Mapping) and any(facts.get(key) for key in CERTIFICATE_SOURCE_KEYS)


def source(name: str, facts: Mapping[str, Any], connection: Connection) -> CertificateSource | None:
    """Where the client certificates of a connection come from; None where nothing says so.

    Raises OnboardingError for keys that contradict each other, or have no use.
    """
    where = origin.label(name, facts)

    def setting(key: str) -> str:
        return origin.setting(name, key)

    kinds = [key for key in CERTIFICATE_SOURCE_KEYS if facts.get(key)]
    documented = schema.keys("connections")
    others = [key for key in CERTIFICATE_KEYS if key not in CERTIFICATE_SOURCE_KEYS]
    others = [key for key in others if facts.get(key) and facts[key] != documented[key].get("default")]
    if not kinds:
        if others:
            sources = " or ".join(map(setting, CERTIFICATE_SOURCE_KEYS))
            raise OnboardingError(f"{where}: {setting(others[0])} has no use without {sources}.")
        return None
    if len(kinds) > 1:
        raise OnboardingError(f"{where}: has {' and '.join(map(setting, kinds))}, but a connection may have only one.")
    kind = kinds[0]
    own = {"sslcert": connection.sslcert, "password": connection.password}
    both = [setting(key) for key, value in own.items() if value]
    if both:
        raise OnboardingError(f"{where}: has {setting(kind)} and {' and '.join(both)}. Leave one of them out.")
    if connection.deployment == "serverless":
        raise OnboardingError(
            f"{where}: Serverless clusters (Basic and Standard) accept no client certificate. Leave {setting(kind)}"
            f" out, and set {setting('password')}."
        )
    key = _KEY_OF.get(kind)
    if key and not facts.get(key):
        raise OnboardingError(f"{where}: {setting(key)} is missing: {setting(kind)} needs it.")
    unused = [other for other in ("client_ca_key_file", "client_cert_key_file") if facts.get(other) and other != key]
    if kind != "client_cert_vault":
        unused += [other for other in others if other.startswith("client_cert_vault_")]
    if unused:
        raise OnboardingError(f"{where}: {setting(unused[0])} has no use with {setting(kind)}.")
    user = connection.user.lower()
    return CertificateSource(
        kind=kind,
        certificate=facts[kind] if key else "",
        key=facts[key] if key else "",
        vault=_vault(where, setting, facts) if kind == "client_cert_vault" else None,
        command=commands.words(f"{where}: {setting(kind)}", facts[kind]) if kind == "client_cert_command" else (),
        names=_names(f"{where}: {setting('client_cert_names')}", facts.get("client_cert_names") or [user]),
        lifetime=_days(f"{where}: {setting('client_cert_lifetime')}", facts["client_cert_lifetime"], 1),
        renew_days=_renewal(where, setting, facts),
        made_on=facts["client_key_made_on"],
        new_key=facts["client_key_rotation"] == "always",
    )


def _vault(where: str, setting: Any, facts: Mapping[str, Any]) -> VaultRole:
    """The role of HashiCorp Vault. Raises OnboardingError for a URL or a name that cannot be one."""
    url = str(facts["client_cert_vault"]).strip().rstrip("/")
    label = f"{where}: {setting('client_cert_vault')}"
    try:
        place = place_of(f"{url}/", loopback_http=True)
    except UrlError as exc:
        raise OnboardingError(f"{label}: {exc}.") from None
    if place.credentials or not re.fullmatch(r"https?://[^/?#]+", url):
        raise OnboardingError(f"{label}: must be the URL of Vault alone, such as https://vault.example.com:8200.")
    if not facts.get("client_cert_vault_role"):
        raise OnboardingError(f"{label}: {setting('client_cert_vault_role')} is missing: it names the role that signs.")
    texts = {
        name: str(facts.get(f"client_cert_vault_{name}") or "").strip("/ ") for name in ("mount", "role", "namespace")
    }
    for name, text in texts.items():
        if not _VAULT_PATH.fullmatch(text) and (text or name != "namespace"):
            raise OnboardingError(f"{where}: {setting(f'client_cert_vault_{name}')}: {text!r} is not a path of Vault.")
    token = str(facts.get("client_cert_vault_token") or "").strip()
    if not token.isprintable() or not token.isascii() or " " in token:
        raise OnboardingError(f"{where}: {setting('client_cert_vault_token')} has a character that no token has.")
    return VaultRole(
        url, texts["mount"], texts["role"], texts["namespace"], token, facts.get("client_cert_vault_ca_file") or ""
    )


def _names(where: str, names: list[str]) -> tuple[str, ...]:
    for text in names:
        if not text or not text.isprintable() or len(text) > _LONGEST_NAME:
            raise OnboardingError(f"{where}: {text!r} must be a name of 1 to {_LONGEST_NAME} characters.")
        if not text.isascii() and text != names[0]:
            raise OnboardingError(f"{where}: {text!r} must consist of ASCII characters, as host names do.")
    return tuple(names)


def _days(where: str, days: int, least: int) -> int:
    if not least <= days <= _LONGEST:
        raise OnboardingError(f"{where}: {days} must be from {least} to {_LONGEST} days.")
    return days


def _renewal(where: str, setting: Any, facts: Mapping[str, Any]) -> int | None:
    days = facts.get("client_cert_renew_days")
    if days is None:
        return None
    where = f"{where}: {setting('client_cert_renew_days')}"
    if facts.get("client_ca_file") and days >= facts["client_cert_lifetime"]:
        raise OnboardingError(f"{where}: {days} must be less than {setting('client_cert_lifetime')}.")
    return _days(where, days, 0)


def named(connection: Connection) -> Connection:
    """The connection with the paths of its certificate and key inside the folder of an app."""
    user = connection.user.lower()
    return connection.replace(sslcert=certificate_path(user), sslkey=key_path(user))
