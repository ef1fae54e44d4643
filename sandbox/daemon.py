# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox process: takes the lock, starts the engine, serves the fronts, and cleans up at the end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Callable, Optional

from sandbox import shims, tokens
from sandbox.allowlist import Allowlist, Entry
from sandbox.certificates import CertificateStore, FrontCertificates
from sandbox.client_ca import ClientCa
from sandbox.cloud import CloudApi
from sandbox.clusters import CLUSTERS, DEFAULT_PORT, FRONTS, HOST, LISTENERS, Cluster, FrontSpec
from sandbox.engine import Engine, EngineChoice, role_of
from sandbox.http import HttpsServer
from sandbox.listeners import PortTakenError, bind_loopback
from sandbox.organization import CloudCluster, identifier, stored_entries
from sandbox.proxy import Front, Router, RoutingProxy, SingleCluster, Target
from sandbox.state import PRIVATE, State, write_atomically
from sandbox.throttle import Throttle

log = logging.getLogger("sandbox")

LIFETIME = 8 * 3600
"""Seconds after which the sandbox stops automatically."""

THROTTLE = 1.0
"""Seconds for which the routing proxy refuses an address after its first wrong password."""

API = "cloud/api"
NEWCOMER = "newcomer"
_API_KEY_ROLE = "cloud api"
_LOG_LIMIT = 5_000_000
_ENGINE_WATCH = 1.0

Progress = Callable[[str], None]
Sockets = dict[str, list[socket.socket]]


@dataclass(frozen=True)
class Options:
    """The options of a sandbox.

    Args:
        state: the state folder.
        port: the first of the ports; 0 for free ones; ``None`` for the default ports or, if they are in use, free ones.
            Unless a port is given, the ports of the previous run come first.
        engine: which PostgreSQL to run.
        lifetime: seconds until the sandbox stops automatically.
        throttle: seconds for which an address is refused after its first wrong password. They double with every further
            one; 0 for never.
        release: the release of CockroachDB whose answers the clusters give, one of `shims.RELEASES`.
    """

    state: State
    port: Optional[int] = None
    engine: EngineChoice = "auto"
    lifetime: float = LIFETIME
    throttle: float = THROTTLE
    release: str = shims.NEWEST


def serve(options: Options, progress: Progress, ready: Callable[[], None]) -> None:
    """Run the sandbox until SIGTERM or the end of its lifetime.

    Args:
        options: see the class.
        progress: called with a text for every step of the start.
        ready: called when the sandbox serves.

    Raises:
        AlreadyRunningError: another process uses the state folder.
        SandboxError: the sandbox could not start.
    """
    state = options.state
    os.umask(0o077)
    state.prepare()
    state.lock_for_life()
    state.description.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, _exit)
    _open_log(state)
    sockets = _bind(options, progress)
    engine = Engine(state, options.engine, progress, options.release)
    progress(f"PostgreSQL {engine.server.version} ({engine.server.source}), run by {engine.account.name}")
    store = CertificateStore(state.certificates)
    certificates = {front.name: store.front(front) for front in FRONTS}
    state.issuer_key()
    try:
        engine.start(CLUSTERS)
        state.remember_ports({name: group[0].getsockname()[1] for name, group in sockets.items()})
        description = _describe(state, engine, sockets, certificates, store)

        def publish() -> None:
            state.publish(description, _connections(state, sockets, certificates))
            ready()

        asyncio.run(_serve_fronts(options, engine, sockets, certificates, publish))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        state.description.unlink(missing_ok=True)
        engine.stop()
        log.info("stopped")


def _exit(_number: int, _frame: Optional[FrameType]) -> None:
    sys.exit(0)


def _open_log(state: State) -> None:
    for path in (state.log, state.engine_log):
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
    handler = logging.FileHandler(state.log)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger("sandbox")
    root.setLevel(logging.INFO)
    root.addHandler(handler)


def _listener_keys() -> Iterator[str]:
    for front in FRONTS:
        for listener in LISTENERS:
            if listener.name != NEWCOMER:
                yield f"{front.name}/{listener.name}"
    yield API
    for front in FRONTS:
        yield f"{front.name}/{NEWCOMER}"


def _bind(options: Options, progress: Progress) -> Sockets:
    keys = list(_listener_keys())
    if options.port:
        return _bind_all({key: options.port + number for number, key in enumerate(keys)})
    remembered = options.state.ports()
    free = dict.fromkeys(keys, 0)
    if set(remembered) == set(keys):
        first_choice = remembered
    elif options.port is None:
        first_choice = {key: DEFAULT_PORT + number for number, key in enumerate(keys)}
    else:
        first_choice = free
    try:
        return _bind_all(first_choice)
    except PortTakenError as error:
        progress(f"{error}: using free ports instead, which are listed below")
        return _bind_all(free)


def _bind_all(ports: dict[str, int]) -> Sockets:
    with contextlib.ExitStack() as on_failure:
        bound: Sockets = {}
        for key, port in ports.items():
            bound[key] = bind_loopback(port)
            for sock in bound[key]:
                on_failure.enter_context(sock)
        on_failure.pop_all()
    return bound


async def _serve_fronts(
    options: Options,
    engine: Engine,
    sockets: Sockets,
    certificates: dict[str, FrontCertificates],
    publish: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.call_later(options.lifetime, stop.set)
    allowlists = _allowlists(options.state)
    throttle = Throttle(options.throttle)
    fronts = [Front(spec.name, _router(spec, engine, options.state, allowlists), throttle) for spec in FRONTS]
    for spec, front in zip(FRONTS, fronts):
        files = certificates[spec.name]
        for listener in LISTENERS:
            credential = files.impostor if listener.impostor else files.server
            front.listen(
                listener.name,
                listener.appears_as,
                credential.certificate,
                credential.key,
                sockets[f"{spec.name}/{listener.name}"],
                files.ca if spec.client_certificates else None,
            )
    client_cas = {}
    for spec, front in zip(FRONTS, fronts):
        for cluster in spec.clusters if spec.client_ca_by_api else ():
            client_cas[cluster.name] = ClientCa(options.state.certificates / f"{cluster.name}-client-ca.crt")
            client_cas[cluster.name].subscribe(front.trust)
    api = await _serve_api(options.state, engine, sockets, certificates, allowlists, client_cas)
    publish()
    log.info("serving")
    while not stop.is_set():
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), _ENGINE_WATCH)
        failed = engine.failed()
        if failed:
            log.error("the server of cluster %s has ended unexpectedly", failed)
            stop.set()
    await asyncio.gather(api.close(), *(front.close() for front in fronts))


def _allowlists(state: State) -> dict[str, Allowlist]:
    stored = state.allowlists()
    return {
        cluster.name: Allowlist(
            [Entry(**entry) for entry in stored[cluster.name]] if cluster.name in stored else cluster.allowlist
        )
        for cluster in CLUSTERS
    }


async def _serve_api(
    state: State,
    engine: Engine,
    sockets: Sockets,
    certificates: dict[str, FrontCertificates],
    allowlists: dict[str, Allowlist],
    client_cas: dict[str, ClientCa],
) -> HttpsServer:
    key = state.password(_API_KEY_ROLE)
    write_atomically(state.api_key, f"{key}\n".encode(), PRIVATE)
    clusters = [
        CloudCluster(
            name=cluster.name,
            plan=cluster.plan,
            provider=cluster.provider,
            host=HOST,
            port=_port(sockets, front, NEWCOMER),
            routing_id=cluster.routing_id,
            ca=certificates[front.name].ca,
            effective=allowlists[cluster.name],
            accounts=engine.accounts(cluster),
            version=shims.RELEASES[engine.release],
            client_ca=client_cas.get(cluster.name) or ClientCa(),
        )
        for front in FRONTS
        for cluster in front.clusters
        if cluster.deployment != "self_hosted"
    ]
    echo = next(listener.appears_as for listener in LISTENERS if listener.name == NEWCOMER)
    api = CloudApi(key, clusters, echo, lambda: state.remember_allowlists(stored_entries(clusters)))
    server = HttpsServer(api.handle)
    credential = certificates[FRONTS[0].name].server
    await server.listen(sockets[API], credential.certificate, credential.key)
    return server


def _token_settings(state: State, cluster: str, jwks: Mapping[str, Any]) -> tokens.Settings:
    """The settings of logins by token: the sandbox's own issuer, and what the file `tokens.json` changes."""
    own = tokens.Settings(audience=(cluster,), jwks=jwks)
    return own.changed(state.token_settings().get(cluster, {}))


def _router(spec: FrontSpec, engine: Engine, state: State, allowlists: dict[str, Allowlist]) -> Router:
    # Reading the key takes much longer than a login.
    jwks = tokens.key_set(state.issuer_key())
    targets = [
        Target(
            cluster.name,
            engine.socket_path(cluster),
            allowlists[cluster.name],
            cluster.tenant,
            {user: state.password(role_of(cluster, user)) for user in cluster.users},
            engine.accounts(cluster).has_database,
            functools.partial(_token_settings, state, cluster.name, jwks),
        )
        for cluster in spec.clusters
    ]
    return RoutingProxy(targets) if spec.routed else SingleCluster(targets[0])


def _describe(
    state: State,
    engine: Engine,
    sockets: Sockets,
    certificates: dict[str, FrontCertificates],
    store: CertificateStore,
) -> dict[str, Any]:
    def describe(front: FrontSpec, cluster: Cluster) -> dict[str, Any]:
        clients = certificates[front.name].clients
        credentials = {
            user: {"sslcert": str(clients[user].certificate), "sslkey": str(clients[user].key)}
            for user in cluster.users
            if user in clients
        }
        return {
            # A self-hosted cluster is not in the Cloud.
            "id": None if cluster.deployment == "self_hosted" else identifier(cluster.name),
            "deployment": cluster.deployment,
            "client_certificate": credentials.get(cluster.user),
            "admin": {"user": cluster.admin, **credentials[cluster.admin]} if cluster.admin else None,
            "routing_id": cluster.routing_id,
            "host": HOST,
            "sni_host": cluster.sni_host,
            "databases": list(cluster.databases),
            "database": cluster.databases[0],
            "user": cluster.user,
            "ca_file": str(certificates[front.name].ca),
            "listeners": {
                listener.name: {"port": _port(sockets, front, listener.name), "appears_as": listener.appears_as}
                for listener in LISTENERS
            },
        }

    return {
        "pid": os.getpid(),
        "state": str(state.folder),
        "connections_file": str(state.connections),
        "stranger_ca_file": str(store.stranger()),
        "cloud": {
            "url": f"https://{HOST}:{sockets[API][0].getsockname()[1]}",
            "ca_file": str(certificates[FRONTS[0].name].ca),
            "api_key_file": str(state.api_key),
        },
        "engine": {
            "version": engine.server.version,
            "source": engine.server.source,
            "account": engine.account.name,
            "cockroach": engine.release,
        },
        "clusters": {cluster.name: describe(front, cluster) for front in FRONTS for cluster in front.clusters},
    }


def _connections(state: State, sockets: Sockets, certificates: dict[str, FrontCertificates]) -> dict[str, Any]:
    """The value of ``crdb_connections``: a connection to every cluster, through its ``inside`` listener."""

    def connection(front: FrontSpec, cluster: Cluster) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "deployment": cluster.deployment,
            "host": HOST,
            "port": _port(sockets, front, "inside"),
            "database": cluster.databases[0],
            "user": cluster.user,
            "password": state.password(cluster.name),
            "ca_file": str(certificates[front.name].ca),
        }
        if cluster.routing_id is not None:
            facts["routing_id"] = cluster.routing_id
        return facts

    return {cluster.connection_name: connection(front, cluster) for front in FRONTS for cluster in front.clusters}


def _port(sockets: Sockets, front: FrontSpec, listener: str) -> int:
    number: int = sockets[f"{front.name}/{listener}"][0].getsockname()[1]
    return number
