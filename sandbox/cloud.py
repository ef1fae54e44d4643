# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's Cloud API and echo service. The API works on the same allowlists, users and databases as the fronts.

Switches control faults, and behaviour that the specification leaves open. Set them with PUT `/sandbox/switches`. GET
`/sandbox/requests` lists the requests since then. Both belong to the sandbox only, and require the API key.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional, Protocol
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from sandbox.allowlist import Allowlist, Entry
from sandbox.http import Request, Response

log = logging.getLogger("sandbox.cloud")

VERSIONS = ("2022-09-20", "2023-04-10", "2024-09-16")
CREATED_AT = "2026-01-01T00:00:00Z"
_NAMESPACE = uuid.UUID("6f8b7d0e-2d7c-4b51-9c36-31c1f7a8d2aa")
_USER = re.compile(r"[a-z0-9_][a-z0-9._-]{0,62}")
_RESERVED = ("root", "node", "admin", "public", "none")
_HTTP = {3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 13: 500, 14: 503, 16: 401}
_ROLES = {"DEVELOPER": 0, "OPERATOR": 1, "ADMIN": 2}
_HOLD = 30.0
_MIN_PASSWORD = 12


class Accounts(Protocol):
    """The SQL users and databases of a cluster."""

    def users(self) -> list[str]:
        """The names of the users that may log in."""

    def create_user(self, name: str, password: str) -> None:
        """Create a user that may log in."""

    def set_password(self, name: str, password: str) -> None:
        """Change the password of a user."""

    def drop_user(self, name: str) -> None:
        """Remove a user with its grants, and end its sessions."""

    def databases(self) -> dict[str, int]:
        """The databases, each with its number of tables."""

    def create_database(self, name: str) -> None:
        """Create an empty database."""

    def drop_database(self, name: str) -> None:
        """Remove a database with all data."""


def identifier(name: str) -> str:
    """The id of the cluster of this name."""
    return str(uuid.uuid5(_NAMESPACE, name))


@dataclass
class CloudCluster:
    """A cluster, as the API needs it.

    Args:
        name: the cluster's name.
        plan: BASIC, STANDARD or ADVANCED.
        provider: AWS, GCP or AZURE.
        host: of the SQL endpoint.
        port: of the SQL endpoint.
        routing_id: only for a serverless cluster.
        ca: the file with the cluster's CA.
        effective: the allowlist that the fronts use.
        accounts: the cluster's users and databases.
        stored: the entries that the API returns. They become effective after the propagation delay.
    """

    name: str
    plan: str
    provider: str
    host: str
    port: int
    routing_id: Optional[str]
    ca: Path
    effective: Allowlist
    accounts: Accounts
    stored: dict[tuple[str, int], Entry] = field(default_factory=dict)
    propagated_at: float = 0.0

    def __post_init__(self) -> None:
        for entry in self.effective.entries:
            network = ipaddress.ip_network(entry.cidr)
            self.stored.setdefault((str(network.network_address), network.prefixlen), entry)

    @property
    def identifier(self) -> str:
        """The cluster's id, which never changes."""
        return identifier(self.name)


@dataclass
class Switches:
    """Behaviour that the specification leaves open, and faults.

    Args:
        page_limit: the maximum of entries on a page, so small that there is always a second page.
        propagation: seconds until a change of an allowlist takes effect.
        duplicate: status of a POST for an existing object: 409, 400, or 200, which changes the object.
        put_existing: status of a PUT for an existing entry: 200 or 409.
        host_bits: ``reject``, ``normalize`` or ``keep`` (the address stays as sent).
        ui_refused: whether ``ui`` is refused for a plan without a DB Console.
        rate: the limit of requests per second; 0 for none.
        rate_status: status of a request above the limit.
        retry_after: whether that response has a Retry-After header.
        state: of every cluster, such as CREATING; empty for CREATED or LOCKED.
        locked: status of a change while another operation locks the cluster, such as 503; 0 for not locked.
        role: the rights of the key: DEVELOPER, OPERATOR or ADMIN.
        extra_fields: whether responses have fields that are not in the specification.
        entry_limit: the maximum of entries in an allowlist; None for the limit of the plan.
        echo: the addresses that the echo service returns in turn; empty for the newcomer's address.
        faults: the number of a request, counted from 0 since the switches were set -> the kind of fault.
    """

    page_limit: int = 2
    propagation: float = 0.3
    duplicate: int = 409
    put_existing: int = 200
    host_bits: str = "reject"
    ui_refused: bool = True
    rate: int = 10
    rate_status: int = 429
    retry_after: bool = True
    state: str = ""
    locked: int = 0
    role: str = "ADMIN"
    extra_fields: bool = True
    entry_limit: Optional[int] = None
    echo: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """The request fails. `response`: the response to send."""

    def __init__(self, code: int, message: str, status: Optional[int] = None, **headers: str) -> None:
        super().__init__(message)
        self.response = Response.of({"code": code, "message": message, "details": []}, status or _HTTP[code], **headers)


def _fault(kind: str) -> tuple[bool, Response]:
    """Whether the request is carried out nevertheless, and the response that replaces its own."""
    after = kind.endswith("_after")
    simple = {
        "timeout": Response(cut=True, hold=_HOLD),
        "reset": Response(cut=True),
        "429": ApiError(8, "rate limit exceeded").response,
        "429_retry": ApiError(8, "rate limit exceeded", Retry_After="1").response,
        "500": ApiError(13, "internal error").response,
        "503": ApiError(14, "the service is unavailable").response,
        "401": ApiError(16, "the API key has expired").response,
        "403": ApiError(7, "unauthorized").response,
        "bad_json": Response(200, b'{"allowlist": ['),
        "html": Response(502, b"<html><body>Bad Gateway</body></html>", "text/html"),
        "html_ok": Response(200, b"<!doctype html><title>Sign in</title>", "text/html"),
        "empty": Response(200, b""),
    }
    return after, simple[kind[: -len("_after")] if after else kind]


class CloudApi:
    """Handles the requests.

    Args:
        key: the API key.
        clusters: all clusters of the API.
        echo: the address that the echo service returns.
        changed: called after every change of an allowlist.
    """

    def __init__(
        self, key: str, clusters: Sequence[CloudCluster], echo: str, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._key = key
        self._clusters = tuple(clusters)
        self._echo = echo
        self._changed = changed
        self._recent: deque[float] = deque()
        self._turn = 0
        self._lock = asyncio.Lock()
        self.switches = Switches()
        self.requests: list[dict[str, Any]] = []

    async def handle(self, request: Request) -> Response:
        """The response to a request. The log gets a line without the query and the body."""
        path = urlsplit(request.target).path
        number = len(self.requests)
        record = {"method": request.method, "path": path, "query": urlsplit(request.target).query, "status": 0}
        is_sandbox_path = path.startswith(("/sandbox/", "/echo/"))
        try:
            if is_sandbox_path:
                response = self._handle_sandbox_path(request, path)
            else:
                self.requests.append(record)
                kind = self.switches.faults.get(str(number), "")
                carried_out, replacement = _fault(kind) if kind else (True, None)
                if kind and not carried_out and replacement is not None:
                    response = replacement
                else:
                    response = await self._answer(request, path)
                    response = replacement or response
        except ApiError as error:
            response = error.response
        except Exception:
            # Logged without its text, which may contain what the client sent.
            log.exception("api fault", exc_info=False)
            response = ApiError(13, "internal error").response
        record["status"] = response.status if not response.cut else 0
        log.info("api %s %s %s", request.method, path, record["status"])
        return response

    def _handle_sandbox_path(self, request: Request, path: str) -> Response:
        if path == "/echo/plain":
            return Response(200, (self._echo_answer() + "\n").encode(), "text/plain")
        if path == "/echo/json":
            return Response.of({"ip": self._echo_answer()})
        self._authenticate(request)
        if path == "/sandbox/switches" and request.method == "PUT":
            self.switches = Switches(**json.loads(request.body))
            self.requests = []
            self._recent.clear()
            return Response.of(asdict(self.switches))
        if path == "/sandbox/requests":
            return Response.of(self.requests)
        raise ApiError(5, "not found")

    def _echo_answer(self) -> str:
        if not self.switches.echo:
            return self._echo
        self._turn += 1
        return self.switches.echo[self._turn % len(self.switches.echo)]

    def _authenticate(self, request: Request) -> None:
        scheme, _space, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not hmac.compare_digest(key.encode(), self._key.encode()):
            raise ApiError(16, "invalid API key")

    def _limit_rate(self) -> None:
        now = time.monotonic()
        while self._recent and now - self._recent[0] >= 1.0:
            self._recent.popleft()
        if self.switches.rate and len(self._recent) >= self.switches.rate:
            headers = {"Retry_After": "1"} if self.switches.retry_after else {}
            raise ApiError(8, "rate limit exceeded", self.switches.rate_status, **headers)
        self._recent.append(now)

    async def _answer(self, request: Request, path: str) -> Response:
        parts = path.strip("/").split("/")
        if parts[:1] == ["clusters"] and parts[2:] == ["cert"] and request.method == "GET":
            # This path is not part of the API, and needs no key.
            return Response(200, self._cluster(parts[1]).ca.read_bytes(), "application/x-pem-file")
        self._authenticate(request)
        self._limit_rate()
        if request.headers.get("cc-version", VERSIONS[-1]) not in VERSIONS:
            raise ApiError(3, "invalid Cc-Version")
        if parts[:3] != ["api", "v1", "clusters"]:
            raise ApiError(5, "not found")
        query = {name: values[-1] for name, values in parse_qs(urlsplit(request.target).query).items()}
        body = _body(request)
        async with self._lock:
            value = await self._dispatch(request.method, [unquote(part) for part in parts[3:]], query, body)
        if self.switches.extra_fields:
            value = {**value, "future_field": {"nested": True}}
        return Response.of(value)

    async def _dispatch(
        self, method: str, parts: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> dict[str, Any]:
        if not parts and method == "GET":
            clusters = [self._describe(cluster) for cluster in self._clusters]
            return self._page("clusters", sorted(clusters, key=lambda c: str(c["name"])), query)
        if not parts:
            raise ApiError(5, "not found")
        cluster = self._cluster(parts[0])
        rest = parts[1:]
        if not rest and method == "GET":
            return self._describe(cluster)
        if rest == ["connection-string"] and method == "GET":
            return _connection_string(cluster, query)
        if rest[:2] == ["networking", "allowlist"]:
            return self._allowlist(cluster, method, rest[2:], query, body)
        if rest[:1] == ["sql-users"]:
            return await self._sql_users(cluster, method, rest[1:], query, body)
        if rest[:1] == ["databases"]:
            return await self._databases(cluster, method, rest[1:], query, body)
        raise ApiError(5, "not found")

    def _cluster(self, identifier: str) -> CloudCluster:
        for cluster in self._clusters:
            if cluster.identifier == identifier:
                return cluster
        raise ApiError(5, "cluster not found")

    def _describe(self, cluster: CloudCluster) -> dict[str, Any]:
        dedicated = cluster.plan == "ADVANCED"
        host = cluster.host
        config: dict[str, Any] = (
            {"dedicated": {"machine_type": "m6i.xlarge", "num_virtual_cpus": 4, "storage_gib": 35, "memory_gib": 16.0}}
            if dedicated
            else {"serverless": {"routing_id": cluster.routing_id, "upgrade_type": "AUTOMATIC"}}
        )
        if dedicated:
            config["dedicated"]["disk_iops"] = 3000
        region: dict[str, Any] = {
            "name": "us-east-1" if cluster.provider == "AWS" else "us-central1",
            "sql_dns": host,
            "ui_dns": f"admin-{cluster.name}.sandbox.test" if dedicated else "",
            "internal_dns": f"internal-{cluster.name}.sandbox.test",
            "private_endpoint_dns": f"private-{cluster.name}.sandbox.test" if cluster.provider == "GCP" else "",
            "node_count": 3 if dedicated else 0,
            "primary": True,
        }
        regions = [region]
        if dedicated:
            names = {"sql_dns": "west", "internal_dns": "internal-west"}
            second_region = {key: f"{prefix}-{cluster.name}.sandbox.test" for key, prefix in names.items()}
            regions.append({**region, "name": "us-west-2", "primary": False, **second_region})
        return {
            "id": cluster.identifier,
            "name": cluster.name,
            "cockroach_version": "v25.4.10",
            "upgrade_status": "FINALIZED",
            "plan": cluster.plan,
            "cloud_provider": cluster.provider,
            "account_id": "",
            "state": self.switches.state or ("LOCKED" if self.switches.locked else "CREATED"),
            "creator_id": str(uuid.uuid5(_NAMESPACE, "creator")),
            "operation_status": "UNSPECIFIED",
            "config": config,
            "regions": regions,
            "created_at": CREATED_AT,
            "updated_at": CREATED_AT,
            "sql_dns": host,
            "network_visibility": "PUBLIC",
            "egress_traffic_policy": "UNSPECIFIED",
            "delete_protection": "DISABLED",
            "labels": {},
            "parent_id": "root",
            "is_customer_cloud_account": False,
            "cidr_range": "",
        }

    def _page(self, key: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        limit = min(int(query.get("pagination.limit") or self.switches.page_limit), self.switches.page_limit)
        start = _token(query)
        page: dict[str, Any] = {key: items[start : start + max(limit, 1)]}
        following = start + max(limit, 1)
        page["pagination"] = {"next_page": f"p{following}"} if following < len(items) else {}
        return page

    def _authorize_change(self, role: str) -> None:
        if _ROLES[self.switches.role] < _ROLES[role]:
            raise ApiError(7, "unauthorized")
        if self.switches.locked:
            raise ApiError(14, "the cluster is locked by another operation", self.switches.locked)

    def _allowlist(
        self, cluster: CloudCluster, method: str, key: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> dict[str, Any]:
        if method == "GET" and not key:
            items = [_entry(k, e) for k, e in sorted(cluster.stored.items(), key=_by_network)]
            return {**self._page("allowlist", items, query), "propagating": time.monotonic() < cluster.propagated_at}
        self._authorize_change("OPERATOR")
        if method == "POST" and not key:
            network = self._network(body.get("cidr_ip"), body.get("cidr_mask"))
            if network in cluster.stored and self.switches.duplicate != 200:
                raise ApiError(6, "the allowlist entry already exists", self.switches.duplicate)
            return self._store(cluster, network, body)
        if len(key) != 2 or not key[1].isdecimal():
            raise ApiError(3, "invalid CIDR")
        network = self._network(key[0], int(key[1]))
        if method == "PUT":
            if network in cluster.stored and self.switches.put_existing != 200:
                raise ApiError(6, "the allowlist entry already exists")
            return self._store(cluster, network, body)
        if network not in cluster.stored:
            raise ApiError(5, "allowlist entry not found")
        if method == "PATCH":
            return self._store(cluster, network, {"name": cluster.stored[network].name, **body})
        if method == "DELETE":
            removed = _entry(network, cluster.stored.pop(network))
            self._propagate(cluster)
            return removed
        raise ApiError(5, "not found")

    def _network(self, address: Any, mask: Any) -> tuple[str, int]:
        if not isinstance(address, str) or not isinstance(mask, int) or isinstance(mask, bool):
            raise ApiError(3, "invalid CIDR")
        try:
            interface = ipaddress.IPv4Interface(f"{address}/{mask}")
        except ValueError:
            raise ApiError(3, "invalid CIDR") from None
        if interface.ip != interface.network.network_address and self.switches.host_bits != "keep":
            if self.switches.host_bits == "reject":
                raise ApiError(3, "invalid CIDR: host bits are set")
            return str(interface.network.network_address), mask
        return address, mask

    def _store(self, cluster: CloudCluster, network: tuple[str, int], body: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(body.get("sql"), bool) or not isinstance(body.get("ui"), bool):
            raise ApiError(3, "sql and ui are required")
        if body["ui"] and cluster.plan != "ADVANCED" and self.switches.ui_refused:
            raise ApiError(3, "ui is not supported by this plan")
        if network not in cluster.stored and len(cluster.stored) >= self._entry_limit(cluster):
            raise ApiError(3, "too many allowlist entries")
        cidr = str(ipaddress.IPv4Network(f"{network[0]}/{network[1]}", strict=False))
        cluster.stored[network] = Entry(cidr, str(body.get("name", "")), body["sql"], body["ui"])
        self._propagate(cluster)
        return _entry(network, cluster.stored[network])

    def _entry_limit(self, cluster: CloudCluster) -> int:
        if self.switches.entry_limit is not None:
            return self.switches.entry_limit
        if cluster.plan != "ADVANCED":
            return 50
        return 20 if cluster.provider == "AWS" else 200

    def _propagate(self, cluster: CloudCluster) -> None:
        cluster.propagated_at = time.monotonic() + self.switches.propagation
        # Every change takes effect separately, with the entries of the moment when it was made.
        entries = tuple(cluster.stored.values())
        loop = asyncio.get_running_loop()
        loop.call_later(self.switches.propagation, lambda: cluster.effective.replace(entries))
        self._changed()

    async def _sql_users(
        self, cluster: CloudCluster, method: str, key: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> dict[str, Any]:
        users = await asyncio.to_thread(cluster.accounts.users)
        if method == "GET" and not key:
            return self._page("users", [{"name": name} for name in sorted(users)], query)
        self._authorize_change("ADMIN")
        if method == "POST" and not key:
            name = str(body.get("name", "")).lower()
            if not _USER.fullmatch(name) or name in _RESERVED:
                raise ApiError(3, "invalid user name")
            if name in users:
                raise ApiError(6, "the user already exists", max(self.switches.duplicate, 400))
            await asyncio.to_thread(cluster.accounts.create_user, name, _password(body))
            return {"name": name}
        if not key or key[0].lower() not in users:
            raise ApiError(5, "SQL user not found")
        name = key[0].lower()
        if method == "DELETE" and len(key) == 1:
            await asyncio.to_thread(cluster.accounts.drop_user, name)
            return {"name": name}
        if method == "PUT" and key[1:] == ["password"]:
            await asyncio.to_thread(cluster.accounts.set_password, name, _password(body))
            return {"name": name}
        raise ApiError(5, "not found")

    async def _databases(
        self, cluster: CloudCluster, method: str, key: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> dict[str, Any]:
        databases = await asyncio.to_thread(cluster.accounts.databases)
        if method == "GET" and not key:
            items = [{"name": name, "table_count": str(count)} for name, count in sorted(databases.items())]
            return self._page("databases", items, query)
        self._authorize_change("OPERATOR")
        if method == "POST" and not key:
            name = str(body.get("name", ""))
            if not name:
                raise ApiError(3, "name is required")
            if name in databases:
                raise ApiError(6, "the database already exists")
            await asyncio.to_thread(cluster.accounts.create_database, name)
            return {"name": name, "table_count": "0"}
        if len(key) == 1 and method == "DELETE":
            if key[0] not in databases:
                raise ApiError(5, "database not found")
            await asyncio.to_thread(cluster.accounts.drop_database, key[0])
            return {"name": key[0]}
        raise ApiError(5, "not found")


def stored_entries(clusters: Iterable[CloudCluster]) -> dict[str, list[dict[str, Any]]]:
    """The allowlists by cluster, in the form that the state folder stores."""
    return {cluster.name: [asdict(entry) for entry in cluster.stored.values()] for cluster in clusters}


def _body(request: Request) -> dict[str, Any]:
    if not request.body:
        return {}
    try:
        value = json.loads(request.body)
    except ValueError:
        raise ApiError(3, "the body is no JSON") from None
    if not isinstance(value, dict):
        raise ApiError(3, "the body is no object")
    return value


def _password(body: dict[str, Any]) -> str:
    password = body.get("password")
    if not isinstance(password, str) or len(password) < _MIN_PASSWORD:
        raise ApiError(3, f"the password must have at least {_MIN_PASSWORD} characters")
    return password


def _token(query: dict[str, str]) -> int:
    token = query.get("pagination.page") or "p0"
    if not re.fullmatch(r"p[0-9]{1,6}", token):
        raise ApiError(3, "invalid page token")
    return int(token[1:])


def _by_network(item: tuple[tuple[str, int], Entry]) -> tuple[int, int]:
    (address, mask), _value = item
    return int(ipaddress.IPv4Address(address)), mask


def _entry(network: tuple[str, int], entry: Entry) -> dict[str, Any]:
    return {"cidr_ip": network[0], "cidr_mask": network[1], "name": entry.name, "sql": entry.sql, "ui": entry.ui}


def _connection_string(cluster: CloudCluster, query: dict[str, str]) -> dict[str, Any]:
    database = query.get("database") or "defaultdb"
    system = query.get("os")
    parameters = {"sslmode": "verify-full"}
    if cluster.plan == "ADVANCED":
        if system not in ("MAC", "LINUX", "WINDOWS"):
            raise ApiError(3, "os is required")
        parameters["sslrootcert"] = f"$HOME/Library/CockroachCloud/certs/{cluster.name}-ca.crt"
    else:
        # All clusters of the sandbox share a host name, so the option names the cluster.
        parameters["options"] = f"--cluster={cluster.routing_id}"
    user = query.get("sql_user")
    credentials = f"{quote(user, safe='')}@" if user else ""
    text = f"postgresql://{credentials}{cluster.host}:{cluster.port}/{quote(database, safe='')}?{urlencode(parameters)}"
    params = {"Host": cluster.host, "Port": str(cluster.port), "Database": database}
    return {"connection_string": text, "params": {**params, **({"Username": user} if user else {})}}
