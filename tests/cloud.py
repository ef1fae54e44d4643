# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's Cloud API by itself: real HTTPS, users and databases in memory, every exchange recorded."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Coroutine
from typing import Any, Optional

from sandbox.allowlist import Allowlist, Entry
from sandbox.certificates import CertificateStore
from sandbox.cloud import CloudApi
from sandbox.clusters import FrontSpec
from sandbox.http import HttpsServer, Request, Response
from sandbox.listeners import bind_loopback
from sandbox.organization import CloudCluster
from sandbox.switches import Switches
from tests.conftest import new_state

KEY = "CCDB1_canary-of-the-key_0123456789"
EGRESS = "192.0.2.44"


class MemoryAccounts:
    """The users and databases of a cluster that has no SQL."""

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {"maxroach": "the one from before"}
        self.tables: dict[str, int] = {"defaultdb": 0, "bank": 2}

    def users(self) -> list[str]:
        return list(self.passwords)

    def create_user(self, name: str, password: str) -> None:
        self.passwords[name] = password

    def set_password(self, name: str, password: str) -> None:
        self.passwords[name] = password

    def drop_user(self, name: str) -> None:
        del self.passwords[name]

    def databases(self) -> dict[str, int]:
        return dict(self.tables)

    def create_database(self, name: str) -> None:
        self.tables[name] = 0

    def rename_database(self, name: str, new_name: str) -> None:
        self.tables[new_name] = self.tables.pop(name)

    def drop_database(self, name: str) -> None:
        del self.tables[name]


class CloudStage:
    """Three clusters behind one API, in its own event loop."""

    def __init__(self) -> None:
        self._folder = new_state()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        files = CertificateStore(self._folder).front(FrontSpec("stage", "Stage CA", (), routed=True))
        self.ca_file = files.ca
        self.accounts = {name: MemoryAccounts() for name in ("funky-skunk", "brave-otter", "steady-heron")}
        plans = {
            "funky-skunk": ("BASIC", "AWS", "funky-skunk-123"),
            "brave-otter": ("STANDARD", "GCP", "brave-otter-456"),
            "steady-heron": ("ADVANCED", "AWS", None),
        }
        self.clusters = {
            name: CloudCluster(
                name=name, plan=plan, provider=provider, host="localhost", port=26257, routing_id=routing_id,
                ca=files.ca, effective=Allowlist([Entry("203.0.113.0/24", "inside")]), accounts=self.accounts[name],
            )
            for name, (plan, provider, routing_id) in plans.items()
        }  # fmt: skip
        self.api = CloudApi(KEY, tuple(self.clusters.values()), EGRESS)
        self.exchanges: list[tuple[Request, Response]] = []
        self.history: list[tuple[Entry, ...]] = []
        """The first cluster's entries after every request."""
        self.effective: list[tuple[Request, tuple[Entry, ...]]] = []
        """Every request with the first cluster's entries that were in effect when it came."""
        self._server = HttpsServer(self._handle)
        sockets = bind_loopback(0)
        self.url = f"https://localhost:{sockets[0].getsockname()[1]}"
        self.run(self._server.listen(sockets, files.server.certificate, files.server.key))

    async def _handle(self, request: Request) -> Response:
        self.effective.append((request, self.clusters["funky-skunk"].effective.entries))
        response = await self.api.handle(request)
        self.exchanges.append((request, response))
        self.history.append(tuple(self.clusters["funky-skunk"].stored.values()))
        return response

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the event loop, for at most 20 seconds."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def switch(self, **switches: Any) -> None:
        """Set switches and faults, and forget the requests so far."""

        async def replace() -> None:
            defaults = {"propagation": 0.0, "client_ca_seconds": 0.0, "rate": 0}
            self.api.switches = Switches(**{**defaults, **switches})
            self.api.requests.clear()
            self.exchanges.clear()
            self.history.clear()
            self.effective.clear()

        self.run(replace())

    def count(self, method: Optional[str] = None) -> int:
        """How many requests the API got since the switches were set."""
        return len([r for r in self.api.requests if method in (None, r["method"])])

    def store(self, name: str, *entries: Entry) -> None:
        """Replace the entries of a cluster's allowlist."""

        async def replace() -> None:
            cluster = self.clusters[name]
            cluster.stored = {_key(entry): entry for entry in entries}
            cluster.effective.replace(entries)

        self.run(replace())

    def add(self, name: str, entry: Entry) -> None:
        """Add an entry to a cluster's allowlist as a colleague does: it takes effect after the propagation delay."""

        async def add() -> None:
            cluster = self.clusters[name]
            cluster.stored[_key(entry)] = entry
            self.api._propagate(cluster)

        self.run(add())

    def propagate(self, name: str) -> None:
        """Let all changes of a cluster's allowlist take effect now."""

        async def propagate() -> None:
            cluster = self.clusters[name]
            cluster.propagated_at = 0.0
            cluster.effective.replace(cluster.stored.values())

        self.run(propagate())

    def networks(self, name: str) -> list[str]:
        """The networks of a cluster's allowlist."""
        return sorted(f"{address}/{mask}" for address, mask in self.clusters[name].stored)

    @property
    def options(self) -> dict[str, Any]:
        """The option `cloud` of a module, for this API."""
        return {"url": self.url, "ca_file": str(self.ca_file), "api_key": KEY}

    def variables(self) -> dict[str, Any]:
        """The variables of a playbook, for this API."""
        return {f"crdb_cloud_{option}": value for option, value in self.options.items()}

    def close(self) -> None:
        """Stop the server and its event loop."""
        self.run(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder)


def _key(entry: Entry) -> tuple[str, int]:
    address, _slash, mask = entry.cidr.partition("/")
    return address, int(mask)


def sent(request: Request) -> Any:
    """The body of a request, parsed as JSON."""
    return json.loads(request.body) if request.body else None
