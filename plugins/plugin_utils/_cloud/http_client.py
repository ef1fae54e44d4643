# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP requests to the Cloud API, with its pages, its rate limit and its errors.

Reads are retried when no usable response came. A change is retried only when it was refused for the rate limit, or when
repeating it does no harm; after any other lost response, the caller must look at the current state. No message holds
the key or a password.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan as _orphan
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

try:
    import requests
    from requests.adapters import HTTPAdapter

    MISSING = ""
except ImportError as exc:
    MISSING = str(exc.name)

VERSION = "2024-09-16"
PAGE_LIMIT = 500
ATTEMPTS = 5
LONGEST_PAUSE = 30.0
BODY_LIMIT = 16 * 1024 * 1024
RATE_LIMITED = "rate limit exceeded"

_Response = TypeVar("_Response")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


class CloudError(OnboardingError):
    """A request that failed.

    Args:
        method: of the request.
        path: of the request, without host and query.
        message: what is wrong, as the API or the network says it.
        status: the HTTP status; 0 when no response came.
        code: the API's own number for the error (google.rpc.Code).
        details: of the API; for a RateLimitedError, the seconds to wait if they were given.
        uncertain: the change may have been made, because its response did not come or cannot be read.
        cure: what to do.
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
    """The object that the path names does not exist."""


class ExistsError(CloudError):
    """The object to create exists already."""


class AccessError(CloudError):
    """The key is not valid, or lacks the role for this."""


class RateLimitedError(CloudError):
    """Too many requests a second; a change was not made."""


class UnavailableError(CloudError):
    """No usable response came, because of the network, a timeout or an error of the service."""


def segment(text: str) -> str:
    """A text as one segment of a path, percent-encoded.

    Raises OnboardingError for `.` and `..`, which name another path however they are encoded.
    """
    if text in ("", ".", ".."):
        raise OnboardingError(f"{text!r} is not a valid name in a request to the Cloud API.")
    return quote(text, safe="")


class HttpClient:
    """A session with the API.

    Args:
        settings: where the API is, and the key.
        attempts: how often a read is tried.

    Raises OnboardingError when the Python of the controller has no `requests`; each request raises CloudError.
    """

    def __init__(self, settings: Settings, *, attempts: int = ATTEMPTS) -> None:
        if MISSING:
            raise OnboardingError(
                f"The controller's Python does not have {MISSING}. Install the packages of"
                " requirements/controller.txt for it."
            )
        self.settings = settings
        self.attempts = attempts
        self.sent = 0
        # urllib3 must not retry by itself: what may be repeated is decided here. Proxies come from the environment.
        self._session = requests.Session()
        self._session.mount("https://", HTTPAdapter(max_retries=0))

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Read a JSON object, retrying."""
        return self.repeat(lambda: _json("GET", path, self.send("GET", path, query=query)))

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The pages of a list, read one after the other."""
        query = {"pagination.limit": str(PAGE_LIMIT)}
        seen: set[str] = set()
        while True:
            page = self.get(path, query)
            yield page
            pagination = page.get("pagination")
            token = pagination.get("next_page") if isinstance(pagination, dict) else None
            if not token:
                return
            if token in seen:
                raise CloudError("GET", path, "the list of pages loops back to a page that was read already")
            seen.add(str(token))
            query = {**query, "pagination.page": str(token)}

    def items(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        """The objects of a list, of all its pages; `key` names the list in each page."""
        for page in self.pages(path):
            yield from list_of(page, key, path)

    def change(self, method: str, path: str, body: dict[str, Any] | None = None, *, repeatable: bool = False) -> None:
        """Make a change; a `repeatable` one may be made twice without harm, so it is retried like a read."""
        for attempt in range(ATTEMPTS):
            try:
                _json(method, path, self.send(method, path, body=body))
                return
            except RateLimitedError as exc:
                # The service refused it before making the change, so a retry is safe.
                if attempt + 1 == ATTEMPTS:
                    raise
                _pause(attempt, exc.details[0] if exc.details else None)
            except UnavailableError:
                if not repeatable or attempt + 1 == ATTEMPTS:
                    raise
                _pause(attempt, None)

    def repeat(self, ask: Callable[[], _Response]) -> _Response:
        """Retry a read until a usable response comes, at most `attempts` times."""
        for attempt in range(self.attempts - 1):
            try:
                return ask()
            except RateLimitedError as exc:
                _pause(attempt, exc.details[0] if exc.details else None)
            except UnavailableError:
                _pause(attempt, None)
        return ask()

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: dict[str, Any] | None = None,
        authenticated: bool = True,
    ) -> requests.Response:
        """Send one request, once; its response, which has the status 200. Raises CloudError for any other."""
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
                f"no response within {self.settings.timeout:g} s",
                uncertain=method != "GET",
                cure="Check the network and run it again: finished steps are not repeated.",
            ) from None
        except requests.exceptions.SSLError as exc:
            raise CloudError(
                method,
                path,
                f"the certificate of {self.settings.url} cannot be verified: {_reason(exc)}",
                cure="If a proxy intercepts TLS, set cloud.ca_file to the proxy's CA.",
            ) from None
        except (requests.RequestException, OSError) as exc:
            raise UnavailableError(
                method,
                path,
                f"no connection to {self.settings.url}: {_reason(exc)}",
                uncertain=method != "GET",
                cure="Check the network and HTTPS_PROXY, then run it again.",
            ) from None
        if response.status_code == requests.codes.ok:
            return response
        raise _refusal(method, path, response)


def _no_auth(request: Any) -> Any:
    # Without this, requests replaces the key by the password that ~/.netrc has for the host.
    return request


def _pause(attempt: int, seconds: Any) -> None:
    """Wait as long as the service asked for, else longer after each attempt."""
    if isinstance(seconds, (int, float)):
        _orphan.pause(min(float(seconds), LONGEST_PAUSE))
    else:
        _orphan.pause(min(0.2 * 2**attempt * (1 + random.random()), LONGEST_PAUSE))  # noqa: S311 - a jitter


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
            f"the response is not the API's JSON ({_UNPRINTABLE.sub('', kind)[:60]}, {len(response.content)} bytes)",
            status=response.status_code,
            uncertain=method != "GET",
            cure="Check cloud.url, and whether a proxy or a sign-in page answers in place of the API.",
        )
    return value


def list_of(page: Mapping[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """A list of objects in a page. Raises CloudError where there is none."""
    items = page.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise CloudError("GET", path, f"the response has no list {key!r}", cure="Check cloud.url.")
    return items


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
            method, path, message, **facts, cure="Other programs use the same key. Run it again later."
        )
    facts["details"] = body.get("details") if isinstance(body.get("details"), list) else []
    if status == requests.codes.unauthorized:
        cure = "The API key is wrong or has expired: make a new one in the Console, under Access Management."
        return AccessError(method, path, message, **facts, cure=cure)
    if status == requests.codes.forbidden:
        return AccessError(
            method, path, message, **facts, cure=f"The key's service account needs another role: {_role(method, path)}."
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
            cure="Another operation is running on the cluster: wait for its end, then run it again.",
        )
    if status >= requests.codes.internal_server_error:
        return UnavailableError(
            method,
            path,
            message,
            **facts,
            uncertain=method != "GET",
            cure="This is an error of the service. Run it again later.",
        )
    return CloudError(method, path, message, **facts)


def _role(method: str, path: str) -> str:
    if method == "GET":
        return "reading allowlists, users and databases needs Cluster Developer"
    if "/sql-users" in path:
        return "changing SQL users needs Cluster Admin"
    return "changing allowlists and databases needs Cluster Operator"
