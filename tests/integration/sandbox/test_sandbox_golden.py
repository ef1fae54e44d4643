# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The golden vectors of the Cloud SQL proxy's routing, through a real TLS socket."""

from __future__ import annotations

from typing import Optional

import pytest

from tests.integration.sandbox.stage import Stage
from tests.integration.sandbox.wire import RawClient, startup

SNI = "happy-seal-10.abc.gcp-us-central1.cockroachlabs.cloud"
FORM = "<cluster name>-<tenant ID>"
INVALID = "codeParamsRoutingFailed: invalid cluster identifier"
MISSING = "codeParamsRoutingFailed: missing cluster identifier"


@pytest.mark.parametrize(
    ("database", "options", "server_name", "cluster", "forwarded"),
    [
        ("defaultdb", None, SNI, ("happy-seal", 10), ("defaultdb", None)),
        ("happy-koala-7.defaultdb", "--cluster=happy-koala-7", SNI, ("happy-koala", 7), ("defaultdb", None)),
        ("happy-koala-7.defaultdb", "--cluster=happy-koala-7", None, ("happy-koala", 7), ("defaultdb", None)),
        ("defaultdb", "-ccluster=happy-koala-7", None, ("happy-koala", 7), ("defaultdb", None)),
        ("defaultdb", "-c   cluster=happy-koala-7", None, ("happy-koala", 7), ("defaultdb", None)),
        ("defaultdb", "--cluster=happy-koala-7\t--foo=test", None, ("happy-koala", 7), ("defaultdb", "--foo=test")),
        (
            "defaultdb",
            "-csearch_path=public --cluster=happy-koala-7\t--foo=test",
            None,
            ("happy-koala", 7),
            ("defaultdb", "-csearch_path=public \t--foo=test"),
        ),
        (
            "defaultdb",
            "-c --cluster=happy-koala-7 -c -c -c",
            None,
            ("happy-koala", 7),
            ("defaultdb", "-c  -c -c -c"),
        ),
        ("happy-koala-0-07.defaultdb", None, None, ("happy-koala-0", 7), ("defaultdb", None)),
        ("tenant-cluster-29.defaultdb", None, "tick-data-28.blah", ("tenant-cluster", 29), ("defaultdb", None)),
    ],
)
def test_accepted(
    stage: Stage,
    database: str,
    options: Optional[str],
    server_name: Optional[str],
    cluster: tuple[str, int],
    forwarded: tuple[str, Optional[str]],
) -> None:
    decoy = stage.target("tick-data", 28, socket="nobody listens here")
    (port,) = stage.routing_proxy([stage.target(*cluster), decoy])
    given = {"user": "maxroach", "database": database, **({} if options is None else {"options": options})}
    with RawClient(port) as client:
        client.encrypt(server_name, stage.ca_file).send(startup(given))
        assert [kind for kind, _payload in client.messages_to(b"Z")] == [b"R", b"K", b"Z"]
        assert stage.live() == [cluster[0]]
    ((_protocol, received),) = stage.server.startups
    assert received.pop("user") == "maxroach"
    assert (received.pop("database"), received.pop("options", None)) == forwarded
    assert not received


@pytest.mark.parametrize(
    ("database", "options", "server_name", "message", "hints"),
    [
        (
            "happy-koala-7.defaultdb",
            "--cluster=happy-tiger",
            None,
            "codeParamsRoutingFailed: multiple different cluster identifiers provided",
            ["happy-koala-7", "happy-tiger"],
        ),
        (
            "hello-world.defaultdb",
            "--cluster=foobar --cluster=barbaz",
            None,
            "codeParamsRoutingFailed: multiple cluster flags provided",
            [],
        ),
        (
            "defaultdb",
            "--cluster=happy-koala-7 --cluster=happy-koala-7",
            None,
            "codeParamsRoutingFailed: multiple cluster flags provided",
            [],
        ),
        ("defaultdb", "--cluster=", None, "codeParamsRoutingFailed: invalid cluster flag", []),
        ("happy-koala-7.defaultdb", "--cluster=", None, "codeParamsRoutingFailed: invalid cluster flag", []),
        (".", None, None, "codeParamsRoutingFailed: invalid database param", []),
        ("a.", None, None, "codeParamsRoutingFailed: invalid database param", []),
        (".b", None, None, "codeParamsRoutingFailed: invalid database param", []),
        ("a.b.c", None, SNI, "codeParamsRoutingFailed: invalid database param", []),
        ("short-0.defaultdb", None, None, f"{INVALID} 'short-0'", ["'short'", FORM]),
        ("short-0.defaultdb", None, SNI, f"{INVALID} 'short-0'", ["'short'", FORM]),
        ("happy2koala.defaultdb", None, None, f"{INVALID} 'happy2koala'", ["forgotten", FORM]),
        ("happy2koala-.defaultdb", None, None, f"{INVALID} 'happy2koala-'", ["forgotten", FORM]),
        ("-7.defaultdb", None, None, f"{INVALID} '-7'", [FORM]),
        ("happy-koala-0-7a.defaultdb", None, None, f"{INVALID} 'happy-koala-0-7a'", ["'7a'", FORM]),
        ("happy-koala-0.defaultdb", None, None, f"{INVALID} 'happy-koala-0'", ["Tenant ID 0", FORM]),
        ("defaultdb", None, None, MISSING, ["host", "options", "database"]),
        ("defaultdb", None, "foo-bar-baz", MISSING, ["SNI"]),
        ("defaultdb", None, "happy2koala-.abc.gcp-us-central1.cockroachlabs.cloud", MISSING, ["SNI"]),
        ("defaultdb", None, "tenant_cluster_28.blah", MISSING, ["SNI"]),
        (None, None, None, MISSING, ["SNI"]),
    ],
)
def test_refused(
    stage: Stage,
    database: Optional[str],
    options: Optional[str],
    server_name: Optional[str],
    message: str,
    hints: list[str],
) -> None:
    (port,) = stage.routing_proxy([stage.target("happy-seal", 10), stage.target("happy-koala", 7)])
    optional = {"database": database, "options": options}
    given = {"user": "maxroach", **{key: value for key, value in optional.items() if value is not None}}
    with RawClient(port) as client:
        refusal = client.encrypt(server_name, stage.ca_file)
        client.send(startup(given))
        refusal_fields = refusal.refusal()
    hint = refusal_fields.pop("H", "")
    assert refusal_fields == {"S": "FATAL", "C": "08C00", "M": message}
    assert bool(hint) == bool(hints)
    assert all(part.lower() in hint.lower() for part in hints)
    assert ("\n--\n" in hint) == message.startswith(INVALID)
    assert not stage.server.startups
