# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's Cloud API and echo service. The API works on the same allowlists, users and databases as the fronts.

Switches (`sandbox/switches.py`) control faults, and behaviour that the specification leaves open. Set them with PUT
`/sandbox/switches`. GET `/sandbox/requests` lists the requests since then. Both belong to the sandbox only, and require
the API key.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Callable, Optional
from urllib.parse import parse_qs, unquote, urlsplit

from sandbox import organization, pages
from sandbox.allowlist import Entry
from sandbox.client_ca import PENDING, is_bundle
from sandbox.http import Request, Response
from sandbox.organization import CloudCluster, connection_string, describe
from sandbox.switches import ApiError, Switches, fault

log = logging.getLogger("sandbox.cloud")

API_VERSIONS = ("2022-09-20", "2023-04-10", "2024-09-16")
SYSTEM_DATABASES = ("postgres", "system")
"""The databases that every cluster has, and that cannot be made, renamed or removed."""

_USER = re.compile(r"[a-z0-9_][a-z0-9._-]{0,62}")
_RESERVED = ("root", "node", "admin", "public", "none")
_RESERVED_PREFIXES = ("pg_", "crdb_internal_")
_TEMPLATES = ("template0", "template1")
_ROLES = {"DEVELOPER": 0, "OPERATOR": 1, "ADMIN": 2}
_MIN_PASSWORD = 12
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Call:
    """A request to an operation.

    Args:
        names: the segments of the path that are not fixed, decoded, in their order, without the cluster's.
        query: the parameters; of several with one name the last.
        body: the JSON object; empty without one.
        cluster: that the path names; None where it names none.
    """

    names: tuple[str, ...]
    query: dict[str, str]
    body: dict[str, Any]
    cluster: Optional[CloudCluster] = None

    @property
    def target(self) -> CloudCluster:
        """The cluster of an operation whose path names one."""
        assert self.cluster is not None  # noqa: S101 - the template of the path says so
        return self.cluster


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
                carried_out, replacement = fault(kind) if kind else (True, None)
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
            self.switches = Switches.of(_body(request))
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
        if request.headers.get("cc-version", API_VERSIONS[-1]) not in API_VERSIONS:
            raise ApiError(3, "invalid Cc-Version")
        if parts[:2] != ["api", "v1"]:
            raise ApiError(5, "not found")
        operation, names = _find(request.method, [unquote(part) for part in parts[2:]])
        if f"{operation.method} {operation.template}" in self.switches.missing:
            raise ApiError(5, "not found")
        query = {name: values[-1] for name, values in parse_qs(urlsplit(request.target).query).items()}
        call = Call(names, query, _body(request))
        async with self._lock:
            if operation.of_cluster:
                call = Call(names[1:], query, call.body, self._cluster(names[0]))
            value = await operation.work(self, call)
        if self.switches.extra_fields:
            value = {**value, "future_field": {"nested": True}}
        return Response.of(value)

    def _cluster(self, identifier: str) -> CloudCluster:
        for cluster in self._clusters:
            if cluster.identifier == identifier:
                return cluster
        raise ApiError(5, "cluster not found")

    def _describe(self, cluster: CloudCluster) -> dict[str, Any]:
        state = self.switches.state or ("LOCKED" if self.switches.locked else "CREATED")
        return describe(cluster, state, day=1 + self._clusters.index(cluster))

    def _page(
        self, key: str, items: Sequence[dict[str, Any]], call: Call, default_order: str = pages.ASCENDING
    ) -> dict[str, Any]:
        return pages.page(key, items, call.query, self.switches.page_limit, default_order)

    async def _list_clusters(self, call: Call) -> dict[str, Any]:
        pages.boolean(call.query, "show_inactive")
        key = {"NAME": "name", "CREATED_AT": "created_at", "DELETED_AT": "deleted_at"}
        order = key[pages.chosen(call.query, "pagination.sort_by", list(key))]
        clusters = [self._describe(cluster) for cluster in self._clusters]
        return self._page("clusters", sorted(clusters, key=lambda c: (str(c.get(order, "")), c["name"])), call)

    async def _get_cluster(self, call: Call) -> dict[str, Any]:
        return self._describe(call.target)

    async def _get_organization(self, _call: Call) -> dict[str, Any]:
        return organization.ORGANIZATION

    async def _list_versions(self, call: Call) -> dict[str, Any]:
        return self._page("versions", organization.VERSIONS, call, pages.DESCENDING)

    async def _list_regions(self, call: Call) -> dict[str, Any]:
        provider = call.query.get("provider")
        if provider:
            pages.chosen(call.query, "provider", organization.PROVIDERS)
        serverless = pages.boolean(call.query, "serverless")
        regions = [
            region
            for region in organization.REGIONS
            if provider in (None, "", region["provider"]) and (region["serverless"] or not serverless)
        ]
        return self._page("regions", regions, call)

    async def _list_nodes(self, call: Call) -> dict[str, Any]:
        region = call.query.get("region_name")
        nodes = organization.nodes(self._describe(call.target))
        return self._page("nodes", [node for node in nodes if region in (None, "", node["region_name"])], call)

    async def _get_backups(self, call: Call) -> dict[str, Any]:
        return organization.backups(call.target.plan)

    async def _get_connection_string(self, call: Call) -> dict[str, Any]:
        return connection_string(call.target, call.query)

    def _authorize_change(self, role: str) -> None:
        if _ROLES[self.switches.role] < _ROLES[role]:
            raise ApiError(7, "unauthorized")
        if self.switches.locked:
            raise ApiError(14, "the cluster is locked by another operation", self.switches.locked)

    async def _list_entries(self, call: Call) -> dict[str, Any]:
        items = [_entry(k, e) for k, e in sorted(call.target.stored.items(), key=_by_network)]
        return {**self._page("allowlist", items, call), "propagating": time.monotonic() < call.target.propagated_at}

    async def _add_entry(self, call: Call) -> dict[str, Any]:
        self._authorize_change("OPERATOR")
        network = self._network(call.body.get("cidr_ip"), call.body.get("cidr_mask"))
        if network in call.target.stored and self.switches.duplicate != 200:
            raise ApiError(6, "the allowlist entry already exists", self.switches.duplicate)
        return self._store(call.target, network, call.body)

    async def _put_entry(self, call: Call) -> dict[str, Any]:
        network = self._named_network(call)
        if network in call.target.stored and self.switches.put_existing != 200:
            raise ApiError(6, "the allowlist entry already exists")
        return self._store(call.target, network, call.body)

    async def _update_entry(self, call: Call) -> dict[str, Any]:
        network = self._stored_network(call)
        return self._store(call.target, network, {"name": call.target.stored[network].name, **call.body})

    async def _remove_entry(self, call: Call) -> dict[str, Any]:
        network = self._stored_network(call)
        removed = _entry(network, call.target.stored.pop(network))
        self._propagate(call.target)
        return removed

    def _named_network(self, call: Call) -> tuple[str, int]:
        self._authorize_change("OPERATOR")
        address, mask = call.names
        if not re.fullmatch("[0-9]{1,3}", mask):
            raise ApiError(3, "invalid CIDR")
        return self._network(address, int(mask))

    def _stored_network(self, call: Call) -> tuple[str, int]:
        network = self._named_network(call)
        if network not in call.target.stored:
            raise ApiError(5, "allowlist entry not found")
        return network

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

    async def _list_users(self, call: Call) -> dict[str, Any]:
        users = await asyncio.to_thread(call.target.accounts.users)
        return self._page("users", [{"name": self._shown(call.target, name)} for name in sorted(users)], call)

    async def _create_user(self, call: Call) -> dict[str, Any]:
        self._authorize_change("ADMIN")
        sent_name = str(call.body.get("name", ""))
        name = sent_name.lower()
        if not _USER.fullmatch(name) or name in _RESERVED or name.startswith(_RESERVED_PREFIXES):
            raise ApiError(3, "invalid user name")
        if name in await asyncio.to_thread(call.target.accounts.users):
            raise ApiError(6, "the user already exists", max(self.switches.duplicate, 400))
        await asyncio.to_thread(call.target.accounts.create_user, name, _password(call.body))
        call.target.sent_names[name] = sent_name
        return {"name": self._shown(call.target, name)}

    async def _delete_user(self, call: Call) -> dict[str, Any]:
        name = await self._existing_user(call)
        shown = self._shown(call.target, name)
        await asyncio.to_thread(call.target.accounts.drop_user, name)
        call.target.sent_names.pop(name, None)
        return {"name": shown}

    async def _set_password(self, call: Call) -> dict[str, Any]:
        name = await self._existing_user(call)
        await asyncio.to_thread(call.target.accounts.set_password, name, _password(call.body))
        return {"name": self._shown(call.target, name)}

    async def _existing_user(self, call: Call) -> str:
        self._authorize_change("ADMIN")
        name = call.names[0].lower()
        if name not in await asyncio.to_thread(call.target.accounts.users):
            raise ApiError(5, "SQL user not found")
        return name

    def _shown(self, cluster: CloudCluster, name: str) -> str:
        return cluster.sent_names.get(name, name) if self.switches.user_case == "keep" else name

    async def _list_databases(self, call: Call) -> dict[str, Any]:
        databases = await asyncio.to_thread(call.target.accounts.databases)
        items = [{"name": name, "table_count": str(count)} for name, count in databases.items()]
        # The service need not say how many tables there are.
        items += [{"name": name} for name in SYSTEM_DATABASES]
        return self._page("databases", sorted(items, key=lambda item: item["name"]), call)

    async def _create_database(self, call: Call) -> dict[str, Any]:
        self._authorize_change("OPERATOR")
        name = await self._free_name(call, "name")
        await asyncio.to_thread(call.target.accounts.create_database, name)
        return {"name": name, "table_count": "0"}

    async def _rename_database(self, call: Call) -> dict[str, Any]:
        name = await self._own_database(call, call.names[0] if call.names else str(call.body.get("name", "")))
        new_name = await self._free_name(call, "new_name")
        await asyncio.to_thread(call.target.accounts.rename_database, name, new_name)
        tables = (await asyncio.to_thread(call.target.accounts.databases))[new_name]
        return {"name": new_name, "table_count": str(tables)}

    async def _delete_database(self, call: Call) -> dict[str, Any]:
        name = await self._own_database(call, call.names[0])
        await asyncio.to_thread(call.target.accounts.drop_database, name)
        return {"name": name}

    async def _free_name(self, call: Call, key: str) -> str:
        name = call.body.get(key)
        if not isinstance(name, str) or not name:
            raise ApiError(3, f"{key} is required")
        if len(name.encode()) > _LONGEST_NAME or "\0" in name:
            raise ApiError(3, f"invalid {key}")
        existing = await asyncio.to_thread(call.target.accounts.databases)
        if name in (*existing, *SYSTEM_DATABASES, *_TEMPLATES):
            raise ApiError(6, "the database already exists")
        return name

    async def _get_client_ca(self, call: Call) -> dict[str, Any]:
        return self._advanced(call.target).client_ca.described()

    async def _set_client_ca(self, call: Call) -> dict[str, Any]:
        if self._changeable(call.target).client_ca.pem:
            raise ApiError(6, "a client CA certificate is already set", self.switches.duplicate)
        return self._change_client_ca(call.target, self._sent_bundle(call))

    async def _update_client_ca(self, call: Call) -> dict[str, Any]:
        if not self._changeable(call.target).client_ca.pem:
            raise ApiError(5, "no client CA certificate is set")
        return self._change_client_ca(call.target, self._sent_bundle(call))

    async def _delete_client_ca(self, call: Call) -> dict[str, Any]:
        if not self._changeable(call.target).client_ca.pem:
            raise ApiError(5, "no client CA certificate is set")
        return self._change_client_ca(call.target, "")

    @staticmethod
    def _advanced(cluster: CloudCluster) -> CloudCluster:
        if cluster.plan != "ADVANCED":
            raise ApiError(3, "client CA certificates are for Advanced clusters")
        return cluster

    def _changeable(self, cluster: CloudCluster) -> CloudCluster:
        self._advanced(cluster)
        self._authorize_change("OPERATOR")
        if cluster.client_ca.status == PENDING:
            raise ApiError(9, "an update of the client CA certificate is in flight")
        return cluster

    @staticmethod
    def _sent_bundle(call: Call) -> str:
        pem = call.body.get("x509_pem_cert")
        if not is_bundle(pem):
            raise ApiError(3, "x509_pem_cert is no certificate in PEM")
        return str(pem)

    def _change_client_ca(self, cluster: CloudCluster, pem: str) -> dict[str, Any]:
        authority = cluster.client_ca
        authority.begin()
        end = authority.fail if self.switches.client_ca_fails else lambda: authority.settle(pem)
        asyncio.get_running_loop().call_later(self.switches.client_ca_seconds, end)
        return authority.described()

    async def _own_database(self, call: Call, name: str) -> str:
        """The name of a database that may be changed. Raises ApiError."""
        self._authorize_change("OPERATOR")
        if name in SYSTEM_DATABASES:
            raise ApiError(3, f"the database {name} belongs to the system and cannot be changed")
        if name not in await asyncio.to_thread(call.target.accounts.databases):
            raise ApiError(5, "database not found")
        return name


@dataclass(frozen=True)
class Operation:
    """An operation that the API serves.

    Args:
        method: of the request.
        template: the path below `/api/v1`, as in the specification.
        work: carries it out.
    """

    method: str
    template: str
    work: Callable[[CloudApi, Call], Awaitable[dict[str, Any]]]

    @property
    def of_cluster(self) -> bool:
        """Whether the path names a cluster."""
        return "{cluster_id}" in self.template

    def names(self, parts: Sequence[str]) -> Optional[tuple[str, ...]]:
        """The segments of a path that are not fixed; None for a path of another operation."""
        own = self.template.split("/")
        if len(own) != len(parts) or any(not _is_name(o) and o != part for o, part in zip(own, parts)):
            return None
        return tuple(part for o, part in zip(own, parts) if _is_name(o))


def _is_name(segment: str) -> bool:
    return segment.startswith("{")


_CLUSTER = "clusters/{cluster_id}"
_ENTRIES = f"{_CLUSTER}/networking/allowlist"
_ONE_ENTRY = f"{_ENTRIES}/{{cidr_ip}}/{{cidr_mask}}"

# A fixed segment comes before a name that would match it too.
OPERATIONS = (
    Operation("GET", "organization", CloudApi._get_organization),
    Operation("GET", "cluster-versions", CloudApi._list_versions),
    Operation("GET", "clusters", CloudApi._list_clusters),
    Operation("GET", "clusters/available-regions", CloudApi._list_regions),
    Operation("GET", _CLUSTER, CloudApi._get_cluster),
    Operation("GET", f"{_CLUSTER}/backups-config", CloudApi._get_backups),
    Operation("GET", f"{_CLUSTER}/connection-string", CloudApi._get_connection_string),
    Operation("GET", f"{_CLUSTER}/nodes", CloudApi._list_nodes),
    Operation("GET", _ENTRIES, CloudApi._list_entries),
    Operation("POST", _ENTRIES, CloudApi._add_entry),
    Operation("PUT", _ONE_ENTRY, CloudApi._put_entry),
    Operation("PATCH", _ONE_ENTRY, CloudApi._update_entry),
    Operation("DELETE", _ONE_ENTRY, CloudApi._remove_entry),
    Operation("GET", f"{_CLUSTER}/sql-users", CloudApi._list_users),
    Operation("POST", f"{_CLUSTER}/sql-users", CloudApi._create_user),
    Operation("DELETE", f"{_CLUSTER}/sql-users/{{name}}", CloudApi._delete_user),
    Operation("PUT", f"{_CLUSTER}/sql-users/{{name}}/password", CloudApi._set_password),
    Operation("GET", f"{_CLUSTER}/databases", CloudApi._list_databases),
    Operation("POST", f"{_CLUSTER}/databases", CloudApi._create_database),
    Operation("PATCH", f"{_CLUSTER}/databases", CloudApi._rename_database),
    Operation("PATCH", f"{_CLUSTER}/databases/{{name}}", CloudApi._rename_database),
    Operation("DELETE", f"{_CLUSTER}/databases/{{name}}", CloudApi._delete_database),
    Operation("GET", f"{_CLUSTER}/client-ca-cert", CloudApi._get_client_ca),
    Operation("POST", f"{_CLUSTER}/client-ca-cert", CloudApi._set_client_ca),
    Operation("PATCH", f"{_CLUSTER}/client-ca-cert", CloudApi._update_client_ca),
    Operation("DELETE", f"{_CLUSTER}/client-ca-cert", CloudApi._delete_client_ca),
)


def _find(method: str, parts: Sequence[str]) -> tuple[Operation, tuple[str, ...]]:
    """The operation of a request, and the names in its path. Raises ApiError."""
    for operation in OPERATIONS:
        names = operation.names(parts)
        if names is not None and operation.method == method:
            return operation, names
    raise ApiError(5, "not found")


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


def _by_network(item: tuple[tuple[str, int], Entry]) -> tuple[int, int]:
    (address, mask), _value = item
    return int(ipaddress.IPv4Address(address)), mask


def _entry(network: tuple[str, int], entry: Entry) -> dict[str, Any]:
    return {"cidr_ip": network[0], "cidr_mask": network[1], "name": entry.name, "sql": entry.sql, "ui": entry.ui}
