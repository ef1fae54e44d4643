# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the fronts handle raw bytes: the first packet, what they forward and what they withhold."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from typing import Optional

import pytest

from sandbox import proxy
from sandbox.allowlist import Entry
from sandbox.proxy import Target
from tests.integration.sandbox.stage import INSIDE, OUTSIDE, SERVER_KEY, Stage
from tests.integration.sandbox.wire import (
    GSSENC_REQUEST,
    PATIENCE,
    PROTOCOL_3_0,
    PROTOCOL_3_2,
    SSL_REQUEST,
    RawClient,
    cancel_request,
    framed,
    query,
    startup,
)

NO_ANSWER = 1.0
"""Seconds after which a connection attempt counts as unanswered; on loopback an answer takes microseconds."""
GIVEN = {"user": "maxroach", "database": "happy-koala-7.defaultdb"}
UNSPOKEN = {"S": "FATAL", "C": "08C00", "M": ""}
UNENCRYPTED = {"S": "FATAL", "C": "08C00", "M": "server requires encryption"}
REFUSED = {"S": "FATAL", "C": "08C00", "M": "codeProxyRefusedConnection: connection refused"}
CLIENT_HELLO = bytes.fromhex("16030100f8010000f40303")


@pytest.fixture
def port(stage: Stage) -> int:
    """A routing proxy with the cluster happy-koala-7."""
    return stage.routing_proxy([stage.target("happy-koala", 7)])[0]


def logged_in(stage: Stage, port: int, given: Optional[dict[str, str]] = None) -> tuple[RawClient, bytes]:
    """An authenticated client, and its cancel key."""
    client = RawClient(port).encrypt(None, stage.ca_file)
    client.send(startup(given or GIVEN))
    (key,) = (payload for kind, payload in client.messages_to(b"Z") if kind == b"K")
    return client, key


@pytest.mark.parametrize(
    ("packet", "fields"),
    [
        (startup(GIVEN), UNENCRYPTED),
        (startup(GIVEN, protocol=2 << 16), UNENCRYPTED),
        (GSSENC_REQUEST, UNENCRYPTED),
        (CLIENT_HELLO, UNSPOKEN),
        (b"GET / HTTP/1.1\r\n\r\n", UNSPOKEN),
        (struct.pack("!ii", 10_001, PROTOCOL_3_0), UNSPOKEN),
        (struct.pack("!ii", 7, PROTOCOL_3_0), UNSPOKEN),
        (struct.pack("!ii", -1, PROTOCOL_3_0), UNSPOKEN),
        (b"\0\0\0", UNSPOKEN),
    ],
    ids=["plain startup", "protocol 2", "GSSENC", "direct TLS", "HTTP", "too long", "too short", "negative", "cut off"],
)
def test_first_packet_that_is_refused_in_plain_text(port: int, packet: bytes, fields: dict[str, str]) -> None:
    with RawClient(port) as client:
        client.send(packet)
        client.end()
        assert client.refusal() == fields


def test_a_silent_client_receives_nothing(port: int) -> None:
    with RawClient(port) as client:
        client.end()
        assert client.rest() == b""


@pytest.mark.parametrize(
    "packet",
    [
        startup(GIVEN, protocol=2 << 16),
        startup(GIVEN, protocol=4 << 16),
        SSL_REQUEST,
        GSSENC_REQUEST,
        struct.pack("!ii", 10_001, PROTOCOL_3_0),
        struct.pack("!ii", 7, PROTOCOL_3_0),
        struct.pack("!ii", 12, PROTOCOL_3_0) + b"user",
        startup({**GIVEN, "crdb:session_revival_token_base64": "c2VjcmV0"}),
    ],
    ids=["protocol 2", "protocol 4", "SSLRequest", "GSSENC", "too long", "too short", "malformed", "revival token"],
)
def test_first_packet_inside_tls_that_is_refused_without_a_reason(stage: Stage, port: int, packet: bytes) -> None:
    with RawClient(port) as client:
        client.encrypt(None, stage.ca_file).send(packet)
        assert client.refusal() == UNSPOKEN
    assert not stage.server.startups


def test_a_startup_packet_may_have_ten_thousand_bytes(stage: Stage, port: int) -> None:
    filled = {**GIVEN, "application_name": ""}
    filled["application_name"] = "x" * (10_000 - len(startup(filled)))
    client, _key = logged_in(stage, port, filled)
    with client:
        assert stage.server.startups[0][1]["application_name"] == filled["application_name"]


def test_bytes_after_the_ssl_request_are_never_mistaken_for_decrypted_ones(stage: Stage, port: int) -> None:
    with RawClient(port) as client:
        client.send(SSL_REQUEST + startup(GIVEN))
        assert client.receive(1) == b"S"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.handshake(None, stage.ca_file)
    assert not stage.server.startups


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_is_1_2_or_newer(stage: Stage, port: int, version: ssl.TLSVersion) -> None:
    with RawClient(port) as client:
        client.send(SSL_REQUEST)
        assert client.receive(1) == b"S"
        if version < ssl.TLSVersion.TLSv1_2:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                client.handshake(None, stage.ca_file, version)
        else:
            assert client.handshake(None, stage.ca_file, version) == version.name.replace("_", ".")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_loopback_addresses_answer(stage: Stage, port: int, host: str) -> None:
    try:
        client = RawClient(port, host)
    except OSError:
        if host == "::1" and not socket.has_ipv6:
            pytest.skip("no IPv6 on this machine")
        raise
    with client:
        client.encrypt(None, stage.ca_file).send(startup(GIVEN))
        client.messages_to(b"Z")


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("happy-koala-8.defaultdb", "codeParamsRoutingFailed: cluster happy-koala-8 not found"),
        ("happy-tiger-7.defaultdb", "codeParamsRoutingFailed: cluster happy-tiger-7 not found"),
        ("happy-koala-008.defaultdb", "codeParamsRoutingFailed: cluster happy-koala-8 not found"),
    ],
)
@pytest.mark.parametrize("address", [INSIDE, OUTSIDE])
def test_unknown_clusters_are_not_found_whatever_the_address(
    stage: Stage, database: str, message: str, address: str
) -> None:
    (port,) = stage.routing_proxy([stage.target("happy-koala", 7)], [address])
    with RawClient(port) as client:
        client.encrypt(None, stage.ca_file).send(startup({"user": "maxroach", "database": database}))
        assert client.refusal() == {"S": "FATAL", "C": "08C00", "M": message}


class FaultyRouter:
    """Fails with a programming error."""

    answers_unlisted = True
    targets: tuple[Target, ...] = ()

    def resolve(self, parameters: dict[str, str], server_name: Optional[str]) -> tuple[Target, dict[str, str]]:
        raise LookupError(parameters["user"])


def test_a_bug_in_the_proxy_is_an_internal_server_error(stage: Stage) -> None:
    (port,) = stage.serve(FaultyRouter())
    with RawClient(port) as client:
        client.encrypt(None, stage.ca_file).send(startup(GIVEN))
        assert client.refusal() == {"S": "FATAL", "C": "08C00", "M": "internal server error"}


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_client_that_does_not_start_is_disconnected(
    stage: Stage, port: int, encrypted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "STARTUP_LIMIT", 2.0)
    with RawClient(port) as client:
        if encrypted:
            client.encrypt(None, stage.ca_file)
        assert client.rest() == b""


def test_an_unreachable_server(stage: Stage) -> None:
    (port,) = stage.routing_proxy([stage.target("happy-koala", 7, socket="nobody listens here")])
    with RawClient(port) as client:
        client.encrypt(None, stage.ca_file).send(startup(GIVEN))
        refusal = client.refusal()
    assert refusal["M"].startswith("codeBackendDialFailed: unable to reach backend SQL server: ")
    assert (refusal["S"], refusal["C"]) == ("FATAL", "08C00")


def test_the_allowlist_of_a_routing_proxy_counts_for_each_new_connection(stage: Stage) -> None:
    target = stage.target("happy-koala", 7)
    (port,) = stage.routing_proxy([target], [OUTSIDE])

    def attempt() -> tuple[bytes, bytes]:
        with RawClient(port) as client:
            client.encrypt(None, stage.ca_file).send(startup(GIVEN))
            return client.message()

    with RawClient(port) as client:
        client.encrypt(None, stage.ca_file).send(startup(GIVEN))
        assert client.refusal() == REFUSED
    stage.allow(target, Entry("198.51.100.0/24"))
    assert attempt()[0] == b"R"
    stage.allow(target)
    assert attempt()[0] == b"E"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_dedicated_cluster_does_not_answer_a_network_outside_its_allowlist(stage: Stage, host: str) -> None:
    target = stage.target("steady-heron", 0)
    inside, outside = stage.single_cluster(target, [INSIDE, OUTSIDE])
    with RawClient(inside, host):
        pass
    with pytest.raises(TimeoutError):
        RawClient(outside, host, timeout=NO_ANSWER)
    stage.allow(target, Entry("198.51.100.99/32"))
    with RawClient(outside, host) as client:
        client.encrypt(None, stage.ca_file).send(startup({"user": "petra", "database": "defaultdb"}))
        client.messages_to(b"Z")
    with pytest.raises(TimeoutError):
        RawClient(inside, host, timeout=NO_ANSWER)
    stage.allow(target)
    with pytest.raises(TimeoutError):
        RawClient(outside, host, timeout=NO_ANSWER)


def test_a_dedicated_cluster_forwards_the_parameters_unchanged(stage: Stage) -> None:
    (port,) = stage.single_cluster(stage.target("steady-heron", 0))
    given = {"user": "petra", "database": "some-name-1.db", "options": "--cluster=funky-skunk-123"}
    client, _key = logged_in(stage, port, given)
    with client:
        assert stage.server.startups == [(PROTOCOL_3_0, given)]


@pytest.mark.parametrize("protocol", [PROTOCOL_3_0, PROTOCOL_3_2])
def test_what_is_forwarded(stage: Stage, port: int, protocol: int) -> None:
    given = {
        "user": "maxroach",
        "database": "happy-koala-7.bank",
        "application_name": "é",
        "crdb:remote_addr": "192.0.2.1:1",
        "options": "--cluster=happy-koala-7 -c geqo=off -c default_transaction_quality_of_service=background",
        "multiple_active_portals_enabled": "true",
    }
    with RawClient(port) as client:
        client.encrypt(None, stage.ca_file).send(startup(given, protocol))
        client.messages_to(b"Z")
    forwarded = {"user": "maxroach", "database": "bank", "application_name": "é", "options": "-c geqo=off"}
    assert stage.server.startups == [(protocol, forwarded)]


def test_statements_only_cockroachdb_knows_are_rewritten_in_both_protocols(stage: Stage, port: int) -> None:
    client, _key = logged_in(stage, port)
    with client:
        client.send(query("SHOW crdb_version") + framed(b"P", b"\0SHOW crdb_version\0\0\0") + query("SELECT 1"))
        stage.server.wait_for(lambda: len(stage.server.statements) == 3)
    simple, extended, plain = stage.server.statements
    assert simple.startswith(b"QSELECT crdb_internal.version() ")
    assert extended.startswith(b"P\0SELECT crdb_internal.version() ")
    assert extended.endswith(b" AS crdb_version\0\0\0")
    assert plain == b"QSELECT 1\0"


def test_a_cancel_key_is_made_by_the_proxy_and_works_only_from_the_same_address(stage: Stage) -> None:
    inside, neighbour = stage.routing_proxy([stage.target("happy-koala", 7)], [INSIDE, "203.0.113.11"])
    client, key = logged_in(stage, inside)
    with client:
        assert len(key) == 8
        assert key[:4] == socket.inet_aton("127.0.0.1")
        assert key != SERVER_KEY
        for port, wrong in [(neighbour, key), (inside, key[:7] + bytes([key[7] ^ 1])), (inside, SERVER_KEY[:8])]:
            with RawClient(port) as other:
                other.send(cancel_request(wrong))
                assert other.rest() == b""
        with RawClient(inside) as other:
            other.send(cancel_request(key))
            assert other.rest() == b""
        stage.server.wait_for(lambda: bool(stage.server.cancelled))
        with RawClient(inside) as other:
            other.encrypt(None, stage.ca_file).send(cancel_request(key))
            assert other.rest() == b""
        stage.server.wait_for(lambda: len(stage.server.cancelled) > 1)
    assert stage.server.cancelled == [SERVER_KEY, SERVER_KEY]


def test_a_cancel_key_ends_with_its_connection(stage: Stage, port: int) -> None:
    client, key = logged_in(stage, port)
    with client:
        client.send(framed(b"X", b""))
    other, _key = logged_in(stage, port)
    with other:
        assert_only_live_connection(stage)
        with RawClient(port) as late:
            late.send(cancel_request(key))
            assert late.rest() == b""
    assert not stage.server.cancelled


def assert_only_live_connection(stage: Stage) -> None:
    """Wait until closed connections are no longer counted."""
    deadline = time.monotonic() + PATIENCE
    while len(stage.live()) != 1:
        assert time.monotonic() < deadline
