# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CockroachDB Cloud API, on the controller.

A request that changes nothing is repeated when the way there failed. A change is never repeated blindly: where its
answer is missing, the caller looks at what is there now. No key and no password is in any message.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import Authority, verify
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

try:
    import requests
    from requests.adapters import HTTPAdapter

    MISSING = ""
except ImportError as exc:
    MISSING = str(exc.name)

DEFAULT_URL = "https://cockroachlabs.cloud"
VERSION = "2024-09-16"
KEY_VARIABLE = "COCKROACH_API_KEY"
PAGE_LIMIT = 500
ATTEMPTS = 5
LONGEST_PAUSE = 30.0
BODY_LIMIT = 16 * 1024 * 1024
RATE_LIMITED = "rate limit exceeded"

_Answer = TypeVar("_Answer")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


class CloudError(OnboardingError):
    """A request that did not succeed.

    `uncertain` says that a change may have been carried out all the same: its answer did not come, or is unreadable.
    """

    def __init__(
        self,
        method: str,
        path: str,
        message: str,
        *,
        status: int = 0,
        code: int | None = None,
        details: list[Any] | None = None,
        uncertain: bool = False,
        cure: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        self.code = code
        self.message = message
        self.details = details or []
        self.uncertain = uncertain
        answer = f" answered {status}" if status else ""
        number = f" (code {code})" if code is not None else ""
        super().__init__(
            f"Cloud API: {method} {path}{answer}: {message.rstrip('.')}{number}.{' ' + cure if cure else ''}"
        )


class NotFoundError(CloudError):
    """What the path names is not there."""


class ExistsError(CloudError):
    """What was to be created is there already."""


class AccessError(CloudError):
    """The key is not valid, or may not do this."""


class RateLimitedError(CloudError):
    """Too many requests a second; the change was not carried out."""


class UnavailableError(CloudError):
    """No usable answer came: the network, a timeout, the service's own fault."""


@dataclass(frozen=True)
class Settings:
    """Where the API is, and who asks; the key is in no representation."""

    key: str = field(repr=False)
    url: str = DEFAULT_URL
    ca_file: str | None = None
    timeout: float = 30.0

    @classmethod
    def from_options(cls, cloud: Mapping[str, Any]) -> Settings:
        """From the option `cloud` and the environment. Raises OnboardingError that names what is missing."""
        key = str(cloud.get("api_key") or "").strip()
        if not key and cloud.get("api_key_file"):
            key = _key_of_file(Path(str(cloud["api_key_file"])).expanduser())
        key = key or os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise OnboardingError(
                f"There is no API key for CockroachDB Cloud. Set {KEY_VARIABLE} in the environment, or"
                " cloud.api_key_file"
                " (a file of mode 0600). The Cloud Console creates a key for a service account under Access Management."
            )
        if _UNPRINTABLE.search(key) or " " in key:
            raise OnboardingError("The API key contains a blank or a character that no key has. Was it copied whole?")
        try:
            timeout = float(cloud.get("timeout") or cls.timeout)
        except (TypeError, ValueError):
            raise OnboardingError(f"cloud.timeout: must be a number of seconds, not {cloud['timeout']!r}.") from None
        url = str(cloud.get("url") or os.environ.get("COCKROACH_SERVER") or DEFAULT_URL).strip().rstrip("/")
        require_https("cloud.url", url)
        return cls(key, url, str(cloud.get("ca_file") or "").strip() or None, timeout)


def require_https(what: str, url: str) -> None:
    """Refuse a URL that is not https, loopback excepted. Raises OnboardingError."""
    parts = urlsplit(url)
    loopback = parts.hostname == "localhost"
    with contextlib.suppress(ValueError):
        loopback = loopback or ipaddress.ip_address(parts.hostname or "").is_loopback
    if parts.username is not None or parts.password is not None:
        raise OnboardingError(f"{what}: holds a user name or a password; leave it out.")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and loopback)):
        raise OnboardingError(f"{what}: {url} is no https URL; a key is sent over https only.")


def _key_of_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise OnboardingError(f"crdb_cloud_api_key_file {path}: cannot be read: {reason}.") from None
    if mode & 0o077:
        raise OnboardingError(f"crdb_cloud_api_key_file {path}: others can read it; run: chmod 600 {path}")
    return text


def segment(text: str) -> str:
    """A text as one part of a path: `.` and `..` too, which some clients would resolve."""
    return quote(text, safe="").replace(".", "%2E") if text.strip(".") == "" else quote(text, safe="")


class CloudApi:
    """The operations that are used, one method each."""

    def __init__(self, settings: Settings, *, attempts: int = ATTEMPTS) -> None:
        if MISSING:
            raise OnboardingError(
                f"The controller's Python lacks {MISSING}: install what requirements/controller.txt names for it."
            )
        self.settings = settings
        self.attempts = attempts
        self.sent = 0
        # Never urllib3's own retries: what may be repeated is decided here. Proxies come from the environment.
        self._session = requests.Session()
        self._session.mount("https://", HTTPAdapter(max_retries=0))

    def clusters(self) -> list[dict[str, Any]]:
        """All clusters that the key can see."""
        return list(self._pages("/api/v1/clusters", "clusters"))

    def cluster(self, identifier: str) -> dict[str, Any]:
        """One cluster."""
        return self._get(f"/api/v1/clusters/{segment(identifier)}")

    def connection_string(self, cluster: str, user: str, database: str) -> dict[str, Any]:
        """The service's own connection string, without a password."""
        query = {"database": database, "os": "LINUX", **({"sql_user": user} if user else {})}
        return self._get(f"/api/v1/clusters/{segment(cluster)}/connection-string", query)

    def allowlist(self, cluster: str) -> tuple[list[dict[str, Any]], bool]:
        """All entries, and whether a change is still on its way."""
        path = f"{self._of(cluster)}/networking/allowlist"
        entries: list[dict[str, Any]] = []
        propagating = False
        for page in self._raw_pages(path):
            entries += _list(page, "allowlist", path)
            propagating = propagating or bool(page.get("propagating"))
        return entries, propagating

    def propagating(self, cluster: str) -> bool:
        """Whether a change of the allowlist is still on its way."""
        return bool(self._get(f"{self._of(cluster)}/networking/allowlist", {"pagination.limit": "1"})["propagating"])

    def add_entry(self, cluster: str, entry: Mapping[str, Any]) -> None:
        """Add an entry. Raises ExistsError when its network is there."""
        self._change("POST", f"{self._of(cluster)}/networking/allowlist", dict(entry))

    def update_entry(self, cluster: str, entry: Mapping[str, Any]) -> None:
        """Change name and rights of an entry."""
        body = {key: entry[key] for key in ("name", "sql", "ui")}
        self._change("PATCH", self._entry(cluster, entry), body)

    def remove_entry(self, cluster: str, entry: Mapping[str, Any]) -> None:
        """Remove an entry. Raises NotFoundError when it is not there."""
        self._change("DELETE", self._entry(cluster, entry))

    def users(self, cluster: str) -> list[str]:
        """The names of the SQL users."""
        return [str(user["name"]) for user in self._pages(f"{self._of(cluster)}/sql-users", "users")]

    def create_user(self, cluster: str, name: str, password: str) -> None:
        """Create a SQL user, which the service makes an administrator."""
        self._change("POST", f"{self._of(cluster)}/sql-users", {"name": name, "password": password})

    def set_password(self, cluster: str, name: str, password: str) -> None:
        """Change a password."""
        path = f"{self._of(cluster)}/sql-users/{segment(name)}/password"
        # The same password twice is the same as once: this change alone may be repeated.
        self._change("PUT", path, {"password": password}, repeatable=True)

    def remove_user(self, cluster: str, name: str) -> None:
        """Remove a SQL user."""
        self._change("DELETE", f"{self._of(cluster)}/sql-users/{segment(name)}")

    def databases(self, cluster: str) -> dict[str, int | None]:
        """The databases, each with its number of tables where the service tells it."""
        found = {}
        for database in self._pages(f"{self._of(cluster)}/databases", "databases"):
            count = str(database.get("table_count") or "")
            found[str(database["name"])] = int(count) if count.isdecimal() else None
        return found

    def create_database(self, cluster: str, name: str) -> None:
        """Create a database."""
        self._change("POST", f"{self._of(cluster)}/databases", {"name": name})

    def remove_database(self, cluster: str, name: str) -> None:
        """Remove a database with all its data."""
        self._change("DELETE", f"{self._of(cluster)}/databases/{segment(name)}")

    def authorities(self, cluster: str) -> tuple[Authority, ...]:
        """The cluster's CA, verified. It lies outside the API, and is asked for without the key."""
        path = f"/clusters/{segment(cluster)}/cert"
        answer = self._repeat(lambda: self._send("GET", path, authenticated=False))
        return verify(answer.content, f"the CA at {self.settings.url}{path}")

    @staticmethod
    def _of(cluster: str) -> str:
        return f"/api/v1/clusters/{segment(cluster)}"

    def _entry(self, cluster: str, entry: Mapping[str, Any]) -> str:
        where = f"{segment(str(entry['cidr_ip']))}/{int(entry['cidr_mask'])}"
        return f"{self._of(cluster)}/networking/allowlist/{where}"

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._repeat(lambda: _json("GET", path, self._send("GET", path, query=query)))

    def _raw_pages(self, path: str) -> Iterator[dict[str, Any]]:
        query = {"pagination.limit": str(PAGE_LIMIT)}
        seen: set[str] = set()
        while True:
            page = self._get(path, query)
            yield page
            pagination = page.get("pagination")
            token = pagination.get("next_page") if isinstance(pagination, dict) else None
            if not token:
                return
            if token in seen:
                raise CloudError("GET", path, "the pages lead back to one that was read")
            seen.add(str(token))
            query = {**query, "pagination.page": str(token)}

    def _pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        for page in self._raw_pages(path):
            yield from _list(page, key, path)

    def _change(self, method: str, path: str, body: dict[str, Any] | None = None, *, repeatable: bool = False) -> None:
        for attempt in range(ATTEMPTS):
            try:
                _json(method, path, self._send(method, path, body=body))
                return
            except RateLimitedError as exc:
                # Refused before anything was done: to ask again is no blind repetition.
                if attempt + 1 == ATTEMPTS:
                    raise
                _pause(attempt, exc.details[0] if exc.details else None)
            except UnavailableError:
                if not repeatable or attempt + 1 == ATTEMPTS:
                    raise
                _pause(attempt, None)

    def _repeat(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask what changes nothing, again and again when no usable answer comes."""
        for attempt in range(self.attempts - 1):
            try:
                return ask()
            except RateLimitedError as exc:
                _pause(attempt, exc.details[0] if exc.details else None)
            except UnavailableError:
                _pause(attempt, None)
        return ask()

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: dict[str, Any] | None = None,
        authenticated: bool = True,
    ) -> requests.Response:
        _shared.take_turn()
        self.sent += 1
        headers = {"Accept": "application/json", "User-Agent": "crdb.onboard"}
        if authenticated:
            headers.update({"Authorization": f"Bearer {self.settings.key}", "Cc-Version": VERSION})
        try:
            response = self._session.request(
                method,
                self.settings.url + path,
                params=query,
                json=body,
                headers=headers,
                auth=_no_auth,
                timeout=self.settings.timeout,
                verify=self.settings.ca_file or True,
                allow_redirects=False,
            )
        except requests.exceptions.Timeout:
            raise UnavailableError(
                method,
                path,
                f"no answer within {self.settings.timeout:g} s",
                uncertain=method != "GET",
                cure="Is the network up? Run it again: what was done already is left as it is.",
            ) from None
        except requests.exceptions.SSLError as exc:
            raise CloudError(
                method,
                path,
                f"{self.settings.url} cannot be verified: {_reason(exc)}",
                cure="Behind a proxy that ends TLS, name its CA in crdb_cloud_ca_file.",
            ) from None
        except (requests.RequestException, OSError) as exc:
            raise UnavailableError(
                method,
                path,
                f"no connection to {self.settings.url}: {_reason(exc)}",
                uncertain=method != "GET",
                cure="Is the network up, and HTTPS_PROXY right? Run it again.",
            ) from None
        if response.status_code == requests.codes.ok:
            return response
        raise _refusal(method, path, response)


def _no_auth(request: Any) -> Any:
    # Or requests would put what ~/.netrc has for the host in place of the key.
    return request


def _pause(attempt: int, wanted: Any) -> None:
    if isinstance(wanted, (int, float)):
        time.sleep(min(float(wanted), LONGEST_PAUSE))
    else:
        time.sleep(min(0.2 * 2**attempt * (1 + random.random()), LONGEST_PAUSE))  # noqa: S311 - a jitter


def _reason(exc: BaseException) -> str:
    text = _UNPRINTABLE.sub(" ", str(exc))
    inner = re.search(
        r"(?:Caused by \w+\(|: )([^()<>]*(?:refused|reset|resolve|verify failed|aborted|timed out)[^()<>]*)", text
    )
    return (inner[1] if inner else type(exc).__name__).strip(" '\",")[:200]


def _json(method: str, path: str, response: requests.Response) -> dict[str, Any]:
    try:
        value = response.json() if len(response.content) <= BODY_LIMIT else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        kind = response.headers.get("Content-Type", "an unknown kind").split(";")[0]
        raise UnavailableError(
            method,
            path,
            f"the answer is not the API's JSON ({_UNPRINTABLE.sub('', kind)[:60]}, {len(response.content)} bytes)",
            status=response.status_code,
            uncertain=method != "GET",
            cure="Does a proxy or a sign-in page stand between, or is crdb_cloud_url wrong?",
        )
    return value


def _list(page: Mapping[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    found = page.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise CloudError("GET", path, f"the answer has no list {key!r}", cure="Is crdb_cloud_url right?")
    return found


def _refusal(method: str, path: str, response: requests.Response) -> CloudError:
    status = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    code = body.get("code") if isinstance(body.get("code"), int) else None
    message = _UNPRINTABLE.sub(" ", str(body.get("message") or response.reason or "no reason given"))[:300]
    facts: dict[str, Any] = {"status": status, "code": code}
    pause = response.headers.get("Retry-After", "")
    if status == requests.codes.too_many_requests or pause or RATE_LIMITED in message.lower():
        facts["details"] = [float(pause)] if re.fullmatch(r"[0-9]{1,5}", pause) else []
        return RateLimitedError(
            method, path, message, **facts, cure="Other programs use the key as well: run it again."
        )
    facts["details"] = body.get("details") if isinstance(body.get("details"), list) else []
    if status == requests.codes.unauthorized:
        cure = "The API key is wrong or has expired: make a new one in the Console, under Access Management."
        return AccessError(method, path, message, **facts, cure=cure)
    if status == requests.codes.forbidden:
        return AccessError(
            method, path, message, **facts, cure=f"The key's service account lacks a role: {_role(method, path)}."
        )
    if status == requests.codes.not_found:
        return NotFoundError(method, path, message, **facts)
    if status == requests.codes.conflict or code == 6 or "already exists" in message.lower():
        return ExistsError(method, path, message, **facts)
    if "lock" in message.lower():
        return CloudError(
            method,
            path,
            message,
            **facts,
            cure="Another operation runs on the cluster: wait for its end, and run it again.",
        )
    if status >= requests.codes.internal_server_error:
        return UnavailableError(
            method,
            path,
            message,
            **facts,
            uncertain=method != "GET",
            cure="The service is at fault: run it again later.",
        )
    return CloudError(method, path, message, **facts)


def _role(method: str, path: str) -> str:
    if method == "GET":
        return "Cluster Developer reads allowlists, users and databases"
    if "/sql-users" in path:
        return "SQL users need Cluster Admin"
    return "allowlists and databases need Cluster Operator"


def find(api: CloudApi, name: str) -> dict[str, Any]:
    """The cluster of this name or id, deleted ones left out.

    Raises OnboardingError for one that is missing or ambiguous, with the names there are.
    """
    found = [cluster for cluster in api.clusters() if cluster.get("state") != "DELETED"]
    matches = [c for c in found if c.get("id") == name] or [c for c in found if c.get("name") == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        identifiers = ", ".join(f"{c.get('id')} ({c.get('cloud_provider')})" for c in matches)
        raise OnboardingError(f"There are {len(matches)} clusters named {name!r}: give the id, one of {identifiers}.")
    names = ", ".join(sorted(str(cluster.get("name")) for cluster in found)) or "none"
    raise OnboardingError(f"There is no cluster {name!r}, or the key may not see it; it sees: {names}.")


def deployment(cluster: Mapping[str, Any]) -> str:
    """`serverless` or `dedicated`, from the words of any time."""
    plan = str(cluster.get("plan") or "").upper()
    return "dedicated" if plan in ("ADVANCED", "DEDICATED") else "serverless"


def entry_limit(cluster: Mapping[str, Any]) -> int:
    """How many entries the plan allows."""
    if deployment(cluster) == "serverless":
        return 50
    return 20 if cluster.get("cloud_provider") == "AWS" else 200
