# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain requests to the Cloud API: what the project's client does not ask, and what it takes care not to send."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from ansible_collections.crdb.onboard.plugins.module_utils._http import client as _https
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import public_bundle
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import VERSION
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings

_BODY_LIMIT = 4 * 1024 * 1024
# The service allows ten requests a second.
_INTERVAL = 0.11
_ATTEMPTS = 5
_PAGES = 200


@dataclass(frozen=True)
class Answer:
    """A response. `value` is its JSON object, empty where there is none."""

    status: int
    value: dict[str, Any]
    retry_after: str
    content: bytes

    def __str__(self) -> str:
        code = self.value.get("code")
        message = self.value.get("message")
        if self.status == 200 or message is None:
            return str(self.status)
        return f"{self.status}{f', code {code}' if code is not None else ''}: {message}"


class Api:
    """A session with the API.

    Args:
        settings: of the project's own client.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sent = 0
        self._last = 0.0
        context = _https.tls_context(settings.ca_file or public_bundle())
        self._http = _https.HttpClient(settings.timeout, context, loopback_http=True)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        patient: bool = True,
        authenticated: bool = True,
        **query: str,
    ) -> Answer:
        """Send a request below `/api/v1` (or to the path itself, if it begins with `//`).

        Args:
            body: becomes JSON.
            raw: is sent as it is, in place of a body.
            patient: wait and repeat it while the service limits the rate.
            query: parameters; two underscores stand for a dot.
        """
        parameters = {name.replace("__", "."): value for name, value in query.items()}
        target = path[1:] if path.startswith("//") else f"/api/v1/{path}"
        url = self.settings.url + target + (f"?{urlencode(parameters)}" if parameters else "")
        sent = {"Accept": "application/json", "Cc-Version": VERSION, **(headers or {})}
        if authenticated:
            sent["Authorization"] = f"Bearer {self.settings.key}"
            if self.settings.vanity_name:
                sent["Cc-Vanity-Name"] = self.settings.vanity_name
        if body is not None:
            raw, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        answer = self._send(method, url, sent, raw, pause=patient)
        for _attempt in range(_ATTEMPTS if patient else 0):
            if answer.status != 429:
                break
            time.sleep(min(float(answer.retry_after or 1), 30.0))
            answer = self._send(method, url, sent, raw, pause=True)
        return answer

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, pause: bool) -> Answer:
        if pause:
            time.sleep(max(0.0, self._last + _INTERVAL - time.monotonic()))
        self._last = time.monotonic()
        self.sent += 1
        with self._http.open(url, method=method, headers=headers, body=body) as response:
            content = response.read(_BODY_LIMIT)
            retry_after = response.header("Retry-After")
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        retry_after = retry_after if retry_after.isdecimal() else ""
        return Answer(response.status, value if isinstance(value, dict) else {}, retry_after, content)

    def items(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        """The objects of a list, of all its pages. Raises ValueError for an answer without the list."""
        token = ""
        for _page in range(_PAGES):
            answer = self.ask(
                "GET", path, **{"pagination__limit": "500", **({"pagination__page": token} if token else {})}
            )
            if answer.status != 200 or not isinstance(answer.value.get(key), list):
                raise ValueError(f"GET {path} answered {answer}")
            yield from answer.value[key]
            token = (answer.value.get("pagination") or {}).get("next_page") or ""
            if not token:
                return
        raise ValueError(f"GET {path} has more than {_PAGES} pages")


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")
