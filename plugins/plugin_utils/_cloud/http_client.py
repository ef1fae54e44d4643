# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP requests to the Cloud API, with its pages, its rate limit and its errors.

Reads are retried when no usable response came. A change is retried only when it was refused for the rate limit (429),
or when repeating it does no harm; after any other lost response, also one that says when to come back (503 with
Retry-After), the caller must look at the current state. No message holds the key or a password.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from ansible_collections.crdb.onboard.plugins.module_utils._http import client as _https
from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import (
    CertificateError,
    ConnectError,
    EncodingError,
    HttpError,
    TimedOutError,
    TooLargeError,
    UrlError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import MISSING, public_bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud import fields
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import VANITY_VARIABLE, Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan as _orphan
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

VERSION = "2024-09-16"
PAGE_LIMIT = 500
ATTEMPTS = 5
LONGEST_PAUSE = 30.0
BODY_LIMIT = 16 * 1024 * 1024
# Of a whole list: a service can always name another page.
LIST_PAGES = 1000
LIST_BYTES = 4 * BODY_LIMIT
LIST_SECONDS = 600.0
_TOKEN_LIMIT = 4096
RATE_LIMITED = "rate limit exceeded"

_Response = TypeVar("_Response")
_NOT_THE_API = "Check cloud.url, and whether a proxy or a sign-in page answers in place of the API."


@dataclass(frozen=True)
class Answer:
    """A response of the API, read to its end.

    Args:
        status: of HTTP.
        reason: of the status.
        kind: the media type, without its parameters.
        pause: the header `Retry-After`.
        content: the body.
    """

    status: int
    reason: str
    kind: str
    pause: str
    content: bytes


class CloudError(OnboardingError):
    """A request that failed.

    Args:
        method: of the request.
        path: of the request, without host and query.
        message: what is wrong, as the API or the network says it.
        status: the HTTP status; 0 when no response came.
        code: the API's own number for the error (google.rpc.Code).
        details: of the API.
        pause: the seconds to wait before the next attempt, where the service gave them.
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
        pause: float | None = None,
        uncertain: bool = False,
        cure: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        self.code = code
        self.message = message
        self.details = details or []
        self.pause = pause
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

    Raises OnboardingError when the Python of the controller lacks a package; each request raises CloudError.
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
        self._received = 0
        try:
            context = _https.tls_context(settings.ca_file or public_bundle())
        except HttpError as exc:
            raise OnboardingError(f"{'cloud.' if settings.ca_file else ''}{exc}.") from None
        # Proxies come from the environment. A request is retried here, or not at all.
        self._http = _https.HttpClient(settings.timeout, context, loopback_http=True, keep=True)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Read a JSON object, retrying."""
        return self.repeat(lambda: _json("GET", path, self.send("GET", path, query=query)))

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The pages of a list, read one after the other. Raises CloudError for a list that does not end."""
        query = {"pagination.limit": str(PAGE_LIMIT)}
        seen: set[str] = set()
        end, received = time.monotonic() + LIST_SECONDS, self._received
        while True:
            page = self.get(path, query)
            yield page
            token = _next_page(page, path)
            if not token:
                return
            if token in seen:
                raise CloudError("GET", path, "the list of pages loops back to a page that was read already")
            seen.add(token)
            if len(seen) >= LIST_PAGES or time.monotonic() > end or self._received - received > LIST_BYTES:
                raise CloudError(
                    "GET", path, f"the list does not end: {len(seen)} pages were read", cure="Check cloud.url."
                )
            query = {**query, "pagination.page": token}

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
                _pause(attempt, exc.pause)
            except UnavailableError as exc:
                if not repeatable or attempt + 1 == ATTEMPTS:
                    raise
                _pause(attempt, exc.pause)

    def repeat(self, ask: Callable[[], _Response]) -> _Response:
        """Retry a read until a usable response comes, at most `attempts` times."""
        for attempt in range(self.attempts - 1):
            try:
                return ask()
            except (RateLimitedError, UnavailableError) as exc:
                _pause(attempt, exc.pause)
        return ask()

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: dict[str, Any] | None = None,
        authenticated: bool = True,
    ) -> Answer:
        """Send one request, once; its response, which has the status 200. Raises CloudError for any other."""
        _shared.take_turn()
        self.sent += 1
        headers = {"Accept": "application/json"}
        if authenticated:
            headers.update({"Authorization": f"Bearer {self.settings.key}", "Cc-Version": VERSION})
            if self.settings.vanity_name:
                headers["Cc-Vanity-Name"] = self.settings.vanity_name
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body, allow_nan=False).encode("utf-8")
        url = self.settings.url + path + (f"?{urlencode(query)}" if query else "")
        try:
            # A redirect is not followed: the key is for this server only.
            with self._http.open(url, method=method, headers=headers, body=content) as response:
                answer = Answer(
                    response.status,
                    response.reason,
                    response.header("Content-Type").split(";", maxsplit=1)[0],
                    response.header("Retry-After"),
                    response.read(BODY_LIMIT),
                )
        except HttpError as exc:
            raise self._failure(method, path, exc) from None
        self._received += len(answer.content)
        if answer.status == HTTPStatus.OK:
            return answer
        raise _refusal(method, path, answer, self.settings)

    def _failure(self, method: str, path: str, exc: HttpError) -> CloudError:
        """The error of a request that got no usable response."""
        uncertain = method != "GET"
        if isinstance(exc, CertificateError):
            message = f"the certificate of {self.settings.url} cannot be verified: {exc.reason}"
            cure = "If a proxy intercepts TLS, set cloud.ca_file (crdb_cloud_ca_file) to the proxy's CA."
            return CloudError(method, path, message, cure=cure)
        if isinstance(exc, UrlError):
            return CloudError(method, path, f"no connection to {self.settings.url}: {exc}", cure="Check HTTPS_PROXY.")
        if isinstance(exc, (TooLargeError, EncodingError)):
            # It would be as large the next time.
            return CloudError(method, path, str(exc), uncertain=uncertain, cure=_NOT_THE_API)
        if isinstance(exc, TimedOutError):
            cure = "Check the network and run it again: finished steps are not repeated."
            return UnavailableError(method, path, str(exc), uncertain=uncertain, cure=cure)
        if isinstance(exc, ConnectError):
            message = f"no connection to {self.settings.url}: {exc}"
            cure = "Check the network and HTTPS_PROXY, then run it again."
            return UnavailableError(method, path, message, uncertain=uncertain, cure=cure)
        return UnavailableError(method, path, str(exc), uncertain=uncertain, cure=_NOT_THE_API)


def _pause(attempt: int, seconds: float | None) -> None:
    """Wait as long as the service asked for, else longer after each attempt."""
    if seconds is not None:
        _orphan.pause(min(seconds, LONGEST_PAUSE))
    else:
        _orphan.pause(min(0.2 * 2**attempt * (1 + random.random()), LONGEST_PAUSE))  # noqa: S311 - a jitter


def _seconds(retry_after: str) -> float | None:
    """The seconds of a header `Retry-After`, which is a number of them or a date; None for neither."""
    if re.fullmatch(r"[0-9]{1,5}", retry_after):
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    # A date of HTTP is in GMT, whether it says so or not.
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or datetime.timezone.utc).timestamp() - time.time())


def _next_page(page: Mapping[str, Any], path: str) -> str:
    pagination = page.get("pagination")
    token = pagination.get("next_page") if isinstance(pagination, dict) else None
    if token is None:
        return ""
    if not isinstance(token, str) or len(token) > _TOKEN_LIMIT:
        raise CloudError("GET", path, "the response has no valid 'next_page'", cure="Check cloud.url.")
    return token


def _json(method: str, path: str, answer: Answer) -> dict[str, Any]:
    try:
        return fields.parse(answer.content)
    except ValueError as exc:
        reason = f": {exc}" if isinstance(exc, fields.FieldError) else ""
        kind = f"{clean(answer.kind, 60) or 'an unknown kind'}, {len(answer.content)} bytes"
        raise UnavailableError(
            method,
            path,
            f"the response is not the API's JSON ({kind}){reason}",
            status=answer.status,
            uncertain=method != "GET",
            cure=_NOT_THE_API,
        ) from None


def checked(item: Any, path: str, required: fields.Kinds, optional: fields.Kinds | None = None) -> dict[str, Any]:
    """The item itself, an object with these keys. Raises CloudError that names the key that is wrong."""
    try:
        return fields.check(item, required, optional)
    except fields.FieldError as exc:
        raise CloudError("GET", path, f"the response is not as documented: {exc}", cure="Check cloud.url.") from None


def list_of(page: Mapping[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """A list of objects in a page. Raises CloudError where there is none."""
    items = page.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise CloudError("GET", path, f"the response has no list {key!r}", cure="Check cloud.url.")
    return items


def _jwt_without_name(settings: Settings) -> str:
    """What to do about a key that is a JSON web token, for which the API needs the organization's name too."""
    if settings.vanity_name or not re.fullmatch(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", settings.key):
        return ""
    return (
        f"The API key is a JSON web token, which needs the organization's vanity name: set {VANITY_VARIABLE} in the"
        " environment, or cloud.vanity_name (crdb_cloud_vanity_name)."
    )


# A word of its own: 'invalid CIDR block' is no lock.
_LOCKED = re.compile(r"\b(is|are|been|currently) locked\b|\block(ed)? (by|for)\b|\bcluster lock\b", re.IGNORECASE)
# UNAVAILABLE and FAILED_PRECONDITION of google.rpc.Code.
_BUSY = (9, 14)
_LOCKED_STATUSES = (HTTPStatus.BAD_REQUEST, HTTPStatus.LOCKED, HTTPStatus.SERVICE_UNAVAILABLE)


def _refusal(method: str, path: str, answer: Answer, settings: Settings) -> CloudError:
    status = answer.status
    try:
        body = fields.parse(answer.content)
    except ValueError:
        body = {}
    code = body.get("code")
    code = code if isinstance(code, int) and not isinstance(code, bool) else None
    message = body.get("message") if isinstance(body.get("message"), str) else ""
    message = clean(message or "") or answer.reason
    facts: dict[str, Any] = {"status": status, "code": code, "pause": _seconds(answer.pause)}
    if status == HTTPStatus.TOO_MANY_REQUESTS or RATE_LIMITED in message.lower():
        return RateLimitedError(
            method, path, message, **facts, cure="Other programs use the same key. Run it again later."
        )
    facts["details"] = body.get("details") if isinstance(body.get("details"), list) else []
    if status == HTTPStatus.UNAUTHORIZED:
        cure = "The API key is wrong or has expired: make a new one in the Console, under Access Management."
        if cause := _jwt_without_name(settings):
            cure = cause
        return AccessError(method, path, message, **facts, cure=cure)
    if status == HTTPStatus.FORBIDDEN:
        return AccessError(
            method, path, message, **facts, cure=f"The key's service account needs another role: {_role(method, path)}."
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(method, path, message, **facts)
    if status == HTTPStatus.CONFLICT or code == 6 or "already exists" in message.lower():
        return ExistsError(method, path, message, **facts)
    if _LOCKED.search(message) and (code in _BUSY or status in _LOCKED_STATUSES):
        return CloudError(
            method,
            path,
            message,
            **facts,
            cure="Another operation is running on the cluster: wait for its end, then run it again.",
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
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
    if path.endswith("/client-ca-cert"):
        return "changing the client CA needs Cluster Admin or Cluster Operator"
    if "/sql-users" in path:
        return "changing SQL users needs Cluster Admin"
    return "changing allowlists and databases needs Cluster Operator"
