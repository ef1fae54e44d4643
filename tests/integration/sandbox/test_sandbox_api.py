# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the vendor's own SDK and Terraform provider ask the Cloud API for, and what odd clients send."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox.cloud import OPERATIONS
from tests.cloud import KEY, CloudStage

PASSWORD = "long-enough-for-a-user"
ENTRY = {"cidr_ip": "198.41.0.0", "cidr_mask": 24, "name": "n", "sql": True, "ui": False}


@pytest.fixture(scope="module")
def cloud() -> Iterator[CloudStage]:
    stage = CloudStage()
    yield stage
    stage.close()


@pytest.fixture(autouse=True)
def _defaults(cloud: CloudStage) -> None:
    cloud.switch(page_limit=100)


def ask(cloud: CloudStage, method: str, path: str, body: Any = None, **query: str) -> requests.Response:
    """Ask for a path below the first cluster, or below the API if it begins with a slash."""
    base = "" if path.startswith("/") else f"/clusters/{cloud.clusters['funky-skunk'].identifier}/"
    return requests.request(
        method, f"{cloud.url}/api/v1{base}{path}", json=body, verify=str(cloud.ca_file), timeout=20,
        params={name.replace("__", "."): value for name, value in query.items()},
        headers={"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip


def names(answer: requests.Response, key: str) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()[key]]


def raw(cloud: CloudStage, head: list[str], body: bytes = b"") -> list[bytes]:
    """Send bytes; the whole answer, split at the empty line, once the server closes."""
    context = ssl.create_default_context(cafile=str(cloud.ca_file))
    port = int(cloud.url.rsplit(":", 1)[1])
    lines = [*head, f"Authorization: Bearer {KEY}", "Connection: close", "", ""]
    with (
        socket.create_connection(("localhost", port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall("\r\n".join(lines).encode() + body)
        sock.settimeout(20)
        return read_answer(sock).split(b"\r\n\r\n", 1)


def read_answer(sock: ssl.SSLSocket) -> bytes:
    """One answer, by its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = sock.recv(65536)
        assert block, f"the connection was dropped after {data!r}"
        data += block
    head, _empty, rest = data.partition(b"\r\n\r\n")
    length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))[15:])
    while len(rest) < length:
        rest += sock.recv(65536)
    return head + b"\r\n\r\n" + rest


def users_path(cloud: CloudStage) -> str:
    return f"/api/v1/clusters/{cloud.clusters['brave-otter'].identifier}/sql-users"


def test_the_organization_and_what_it_may_choose_are_described(cloud: CloudStage) -> None:
    assert ask(cloud, "GET", "/organization").json()["label"] == "sandbox"
    versions = ask(cloud, "GET", "/cluster-versions").json()["versions"]
    assert [version["version"] for version in versions] == ["v26.1", "v25.4", "v25.2"]
    oldest = ask(cloud, "GET", "/cluster-versions", pagination__sort_order="ASC", pagination__limit="1").json()
    assert [version["version"] for version in oldest["versions"]] == ["v25.2"]
    assert "us-east-1" in names(ask(cloud, "GET", "/clusters/available-regions"), "regions")
    assert names(ask(cloud, "GET", "/clusters/available-regions", provider="GCP"), "regions") == ["us-central1"]
    assert "eastus2" not in names(ask(cloud, "GET", "/clusters/available-regions", serverless="true"), "regions")


def test_a_cluster_has_limits_nodes_and_backups(cloud: CloudStage) -> None:
    described = {c["name"]: c for c in ask(cloud, "GET", "/clusters").json()["clusters"]}
    assert described["funky-skunk"]["config"]["serverless"]["usage_limits"]["request_unit_limit"].isdecimal()
    assert described["brave-otter"]["config"]["serverless"]["usage_limits"] == {"provisioned_virtual_cpus": "2"}
    assert ask(cloud, "GET", "backups-config").json()["enabled"] is True
    assert ask(cloud, "GET", "nodes").json()["nodes"] == []
    dedicated = described["steady-heron"]["id"]
    nodes = ask(cloud, "GET", f"/clusters/{dedicated}/nodes").json()["nodes"]
    assert len(nodes) == 6
    assert {node["status"] for node in nodes} == {"LIVE"}
    west = ask(cloud, "GET", f"/clusters/{dedicated}/nodes", region_name="us-west-2").json()["nodes"]
    assert {node["region_name"] for node in west} == {"us-west-2"}


def test_pages_go_forward_and_back_in_either_order(cloud: CloudStage) -> None:
    everything = names(ask(cloud, "GET", "databases"), "databases")
    assert everything == sorted(everything)
    for order, expected in (("ASC", everything), ("DESC", everything[::-1])):
        read, token, back = [], "p0", []
        while token:
            page = ask(
                cloud, "GET", "databases", pagination__limit="1", pagination__page=token, pagination__sort_order=order
            ).json()
            read += [database["name"] for database in page["databases"]]
            back.append(page["pagination"].get("previous_page"))
            token = page["pagination"].get("next_page")
        assert read == expected
        assert back == [None, *(f"p{number}" for number in range(len(expected) - 1))]


def test_clusters_are_sorted_as_asked(cloud: CloudStage) -> None:
    by_name = names(ask(cloud, "GET", "/clusters"), "clusters")
    assert by_name == ["brave-otter", "funky-skunk", "steady-heron"]
    by_age = names(ask(cloud, "GET", "/clusters", pagination__sort_by="CREATED_AT"), "clusters")
    assert by_age == ["funky-skunk", "brave-otter", "steady-heron"]
    newest = {"pagination__sort_by": "CREATED_AT", "pagination__sort_order": "DESC"}
    assert names(ask(cloud, "GET", "/clusters", **newest), "clusters") == by_age[::-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "abc"),
        ("limit", "-1"),
        ("limit", "1.5"),
        ("limit", "\u0661"),
        ("limit", "99999999999"),
        ("sort_order", "UP"),
        ("page", "x"),
        ("as_of_time", "yesterday"),
        ("as_of_time", "2026-01-01T00:00:00"),
    ],
)
def test_a_parameter_that_is_not_valid_is_refused(cloud: CloudStage, name: str, value: str) -> None:
    for path in ("/clusters", "/cluster-versions", "databases", "sql-users", "networking/allowlist", "nodes"):
        answer = ask(cloud, "GET", path, **{f"pagination__{name}": value})
        assert (answer.status_code, answer.json()["code"]) == (400, 3), path
        assert name in answer.json()["message"]


def test_other_parameters_that_are_not_valid_are_refused(cloud: CloudStage) -> None:
    for path, query in (
        ("/clusters", {"pagination__sort_by": "SIZE"}),
        ("/clusters", {"show_inactive": "maybe"}),
        ("/clusters/available-regions", {"provider": "IBM"}),
        ("connection-string", {"os": "BEOS"}),
    ):
        assert ask(cloud, "GET", path, **query).status_code == 400, path


def test_databases_are_renamed_by_either_path(cloud: CloudStage) -> None:
    assert ask(cloud, "POST", "databases", {"name": "one"}).status_code == 200
    assert ask(cloud, "PATCH", "databases/one", {"new_name": "two"}).json()["name"] == "two"
    assert ask(cloud, "PATCH", "databases", {"name": "two", "new_name": "three"}).json()["table_count"] == "0"
    listed = names(ask(cloud, "GET", "databases"), "databases")
    assert "three" in listed
    assert not {"one", "two"} & set(listed)
    for body, status in (({"new_name": "bank"}, 409), ({"new_name": ""}, 400), ({}, 400), ({"new_name": 7}, 400)):
        assert ask(cloud, "PATCH", "databases/three", body).status_code == status
    assert ask(cloud, "PATCH", "databases/missing", {"new_name": "x"}).status_code == 404
    assert ask(cloud, "DELETE", "databases/three").status_code == 200


def test_databases_of_the_system_are_listed_and_stay(cloud: CloudStage) -> None:
    assert {"postgres", "system"} <= set(names(ask(cloud, "GET", "databases"), "databases"))
    for name in ("postgres", "system", "template1"):
        assert ask(cloud, "POST", "databases", {"name": name}).status_code == 409
        assert ask(cloud, "PATCH", "databases/bank", {"new_name": name}).status_code == 409
    for name in ("postgres", "system"):
        assert ask(cloud, "DELETE", f"databases/{name}").status_code == 400
        assert ask(cloud, "PATCH", f"databases/{name}", {"new_name": "x"}).status_code == 400
    assert ask(cloud, "DELETE", "databases/template1").status_code == 404
    assert ask(cloud, "POST", "databases", {"name": "x" * 64}).status_code == 400


@pytest.mark.parametrize("name", ["pg_x", "PG_x", "crdb_internal_x", "root", "admin", "public", "a b", ""])
def test_names_of_users_that_are_reserved_are_refused(cloud: CloudStage, name: str) -> None:
    answer = ask(cloud, "POST", "sql-users", {"name": name, "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


@pytest.mark.parametrize(("case", "shown"), [("fold", "maxine"), ("keep", "MaxIne")])
def test_a_user_in_mixed_case_is_shown_as_the_switch_says(cloud: CloudStage, case: str, shown: str) -> None:
    cloud.switch(page_limit=100, user_case=case)
    assert ask(cloud, "POST", "sql-users", {"name": "MaxIne", "password": PASSWORD}).json() == {
        "name": shown, "future_field": {"nested": True},
    }  # fmt: skip
    assert "maxine" in cloud.accounts["funky-skunk"].passwords
    assert shown in names(ask(cloud, "GET", "sql-users"), "users")
    assert ask(cloud, "POST", "sql-users", {"name": "maxine", "password": PASSWORD}).status_code == 409
    assert ask(cloud, "PUT", "sql-users/MAXINE/password", {"password": PASSWORD}).json()["name"] == shown
    assert ask(cloud, "DELETE", "sql-users/mAxine").json()["name"] == shown


def test_a_switch_that_does_not_exist_is_named(cloud: CloudStage) -> None:
    answer = requests.put(
        f"{cloud.url}/sandbox/switches", json={"pages": 1}, verify=str(cloud.ca_file), timeout=20,
        headers={"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip
    assert answer.status_code == 400
    assert "unknown switch: pages; valid: page_limit" in answer.json()["message"]


@pytest.mark.parametrize(
    ("system", "folder"),
    [
        ("MAC", "%24HOME%2FLibrary%2FCockroachCloud%2Fcerts%2F"),
        ("LINUX", "%24HOME%2FLibrary%2FCockroachCloud%2Fcerts%2F"),
        ("WINDOWS", "%24env%3Aappdata%5CCockroachCloud%5Ccerts%5C"),
    ],
)
def test_the_connection_string_has_the_systems_own_folder(cloud: CloudStage, system: str, folder: str) -> None:
    path = f"/clusters/{cloud.clusters['steady-heron'].identifier}/connection-string"
    text = ask(cloud, "GET", path, os=system).json()["connection_string"]
    assert text.endswith(f"sslrootcert={folder}steady-heron-ca.crt")
    assert ask(cloud, "GET", path).status_code == 400
    assert "sslrootcert" not in ask(cloud, "GET", "connection-string", os=system).json()["connection_string"]


def test_a_chunked_body_is_read(cloud: CloudStage) -> None:
    body = json.dumps({"name": "chunked", "password": PASSWORD}).encode()
    parts = [b"%x;extension=1\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])]
    head = [f"POST {users_path(cloud)} HTTP/1.1", "Host: localhost", "Transfer-Encoding: Chunked"]
    status, content = raw(cloud, head, b"".join(parts) + b"0\r\nTrailer: x\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 200 ")
    assert json.loads(content)["name"] == "chunked"
    assert cloud.accounts["brave-otter"].passwords.pop("chunked") == PASSWORD


@pytest.mark.parametrize(
    ("lines", "body", "status", "message"),
    [
        (["Content-Length: abc"], b"", 400, "the Content-Length is not a number"),
        (["Content-Length: -1"], b"", 400, "the Content-Length is not a number"),
        (["Content-Length: 99999999999999999999999"], b"", 413, "the body is too large"),
        (["Content-Length: 2", "Transfer-Encoding: chunked"], b"{}", 400, "exclude each other"),
        (["Transfer-Encoding: gzip"], b"{}", 501, "gzip is not supported"),
        (["Transfer-Encoding: chunked"], b"zz\r\n", 400, "the size of a chunk is not a number"),
        (["Transfer-Encoding: chunked"], b"7fffffff\r\n", 413, "the body is too large"),
        (["Transfer-Encoding: chunked"], b"1\r\nabc\r\n", 400, "longer than its size"),
        ([f"X-Long: {'x' * 100_000}"], b"", 431, "the header is too long"),
    ],
)
def test_a_request_that_is_not_http_is_refused_with_the_apis_error(
    cloud: CloudStage, lines: list[str], body: bytes, status: int, message: str
) -> None:
    head = [f"POST {users_path(cloud)} HTTP/1.1", "Host: localhost", *lines]
    first, content = raw(cloud, head, body)
    assert first.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(content)["code"] == 3
    assert message in json.loads(content)["message"]
    assert cloud.count() == 0


def test_a_request_line_that_is_not_valid_is_refused(cloud: CloudStage) -> None:
    assert raw(cloud, ["HELLO"])[0].startswith(b"HTTP/1.1 400 ")


def test_a_path_or_method_that_is_not_served_is_not_found(cloud: CloudStage) -> None:
    for method, path in (
        ("GET", "/nothing"),
        ("DELETE", "/organization"),
        ("PUT", "databases"),
        ("GET", "/clusters/x/y"),
    ):
        assert ask(cloud, method, path).status_code == 404
    assert len({(operation.method, operation.template) for operation in OPERATIONS}) == len(OPERATIONS)
