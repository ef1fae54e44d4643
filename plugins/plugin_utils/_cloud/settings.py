# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the Cloud API is and which key to use, from the option `cloud` of a module.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

OPTIONS = ("url", "api_key", "api_key_file", "vanity_name", "ca_file", "timeout")
"""The keys of the option `cloud`."""
DEFAULT_URL = "https://cockroachlabs.cloud"
KEY_VARIABLE = "COCKROACH_API_KEY"
URL_VARIABLE = "COCKROACH_SERVER"
VANITY_VARIABLE = "COCKROACH_VANITY_NAME"
"""Has the same name for the vendor's Terraform provider."""

_NOT_IN_A_KEY = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True)
class Settings:
    """Where the Cloud API is and which key to use; the key is in no representation.

    Args:
        key: of a service account.
        url: without a path; https, except on this machine.
        ca_file: the CA that the API's certificate is verified with, instead of the public ones.
        timeout: seconds to wait for a response.
        vanity_name: of the organization, which the API needs where the key is a JSON web token.
    """

    key: str = field(repr=False)
    url: str = DEFAULT_URL
    ca_file: str | None = None
    timeout: float = 30.0
    vanity_name: str = ""

    @classmethod
    def from_options(cls, cloud: Mapping[str, Any]) -> Settings:
        """The settings of the option `cloud`, with the environment for a key or URL that it leaves out.

        Args:
            cloud: values by the names in OPTIONS; None and empty texts count as left out.

        Raises OnboardingError that names the key of `cloud` that is missing or not valid.
        """
        texts = {name: str(cloud.get(name) or "").strip() for name in OPTIONS}
        key = texts["api_key"]
        if not key and texts["api_key_file"]:
            key = _read_key(Path(texts["api_key_file"]).expanduser())
        key = key or os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise OnboardingError(
                f"No API key was given. Set {KEY_VARIABLE} in the environment, cloud.api_key_file"
                " (crdb_cloud_api_key_file, a file with mode 0600) or cloud.api_key. Create a key for a service"
                " account in the Cloud Console, under Access Management."
            )
        if _NOT_IN_A_KEY.search(key):
            raise OnboardingError("The API key has a space or a character that no key has. Copy the whole key again.")
        url, ca_file = site(cloud)
        vanity_name = texts["vanity_name"] or os.environ.get(VANITY_VARIABLE, "").strip()
        if vanity_name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", vanity_name):
            raise OnboardingError(
                f"cloud.vanity_name {vanity_name!r} is not a name: copy the organization's vanity name from the Console"
                " (Organization > Authentication)."
            )
        return cls(key, url, ca_file or None, _timeout(cloud.get("timeout")), vanity_name)


def site(cloud: Mapping[str, Any]) -> tuple[str, str]:
    """The URL of the Cloud, without a path, and the file of its CA, empty for a public one; no key is needed.

    Raises OnboardingError for a URL that is not https.
    """
    texts = {name: str(cloud.get(name) or "").strip() for name in ("url", "ca_file")}
    url = (texts["url"] or os.environ.get(URL_VARIABLE, "") or DEFAULT_URL).rstrip("/")
    require_https("cloud.url", url)
    return url, texts["ca_file"]


def key_is_set(cloud: Mapping[str, Any]) -> bool:
    """Whether the option `cloud` or the environment gives an API key."""
    return any(cloud.get(name) for name in ("api_key", "api_key_file")) or bool(
        os.environ.get(KEY_VARIABLE, "").strip()
    )


def require_https(label: str, url: str) -> None:
    """Refuse a URL that is not https, except on this machine. Raises OnboardingError that begins with the label."""
    parts = urlsplit(url)
    loopback = parts.hostname == "localhost"
    with contextlib.suppress(ValueError):
        loopback = loopback or ipaddress.ip_address(parts.hostname or "").is_loopback
    if parts.username is not None or parts.password is not None:
        raise OnboardingError(f"{label} must not hold a user name or a password. Remove them.")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and loopback)):
        raise OnboardingError(f"{label} must be an https URL, not {url}: a key is only sent over https.")


def _timeout(value: Any) -> float:
    try:
        return float(value or Settings.timeout)
    except (TypeError, ValueError):
        raise OnboardingError(f"cloud.timeout must be a number of seconds, not {value!r}.") from None


def _read_key(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise OnboardingError(f"cloud.api_key_file {path} cannot be read: {reason}.") from None
    if mode & 0o077:
        raise OnboardingError(f"cloud.api_key_file {path} can be read by other users. Run: chmod 600 {path}")
    return text
