# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the client asks, and every operation that the sandbox serves, held against schemas.

Against those beside this file; against a specification (OpenAPI 3, JSON) with `make test-contract SPEC=FILE`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
import requests
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import CloudError
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

from sandbox.cloud import OPERATIONS
from tests.cloud import KEY, CloudStage

OWN = Path(__file__).with_name("schemas.json")
OUTSIDE = re.compile(r"/clusters/[^/]+/cert")
ENTRY = {"cidr_ip": "198.41.0.0", "cidr_mask": 24, "name": "a/b ?", "sql": True, "ui": False}


def converse(api, cloud):
    """Every operation of the client, with success and with refusals."""
    identifier = cloud.clusters["funky-skunk"].identifier
    missing = "00000000-0000-0000-0000-000000000000"
    api.clusters()
    api.cluster(identifier)
    api.connection_string(identifier, "maxroach", "bank")
    api.connection_string(cloud.clusters["steady-heron"].identifier, "", "defaultdb")
    api.authorities(identifier)
    api.add_entry(identifier, ENTRY)
    api.update_entry(identifier, {**ENTRY, "name": "b"})
    api.allowlist(identifier)
    api.propagating(identifier)
    refusals = [
        lambda: api.add_entry(identifier, ENTRY),
        lambda: api.add_entry(identifier, {**ENTRY, "cidr_mask": 8}),
        lambda: api.cluster(missing),
        lambda: api.remove_user(identifier, "nobody"),
        lambda: api.remove_database(identifier, "nothing"),
        lambda: api.create_user(identifier, "eve", "short"),
    ]
    for refused in refusals:
        with pytest.raises(CloudError):
            refused()
    api.remove_entry(identifier, ENTRY)
    api.create_user(identifier, "eve", "a-password-of-some-length")
    api.set_password(identifier, "eve", "another-of-some-length")
    api.users(identifier)
    api.remove_user(identifier, "eve")
    api.create_database(identifier, "shop")
    api.databases(identifier)
    api.remove_database(identifier, "shop")
    dedicated, pem = cloud.clusters["steady-heron"].identifier, cloud.ca_file.read_text()
    for change in (api.set_client_ca, api.update_client_ca):
        change(dedicated, pem)
        assert settled(api, dedicated) == ("IS_SET", pem)
    api.remove_client_ca(dedicated)
    assert settled(api, dedicated) == ("NOT_SET", "")
    for refused in (lambda: api.update_client_ca(dedicated, pem), lambda: api.set_client_ca(dedicated, "no PEM")):
        with pytest.raises(CloudError):
            refused()


def settled(api, cluster):
    """The client CA once its change is in effect."""
    while (found := api.client_ca(cluster))[0] == "PENDING":
        time.sleep(0.01)
    return found


MOMENT = "2026-06-01T12:00:00Z"
PAGE = {"pagination.limit": "1", "pagination.sort_order": "DESC", "pagination.as_of_time": MOMENT}
REST = [
    ("GET", "organization", {}, None, 200),
    ("GET", "cluster-versions", PAGE, None, 200),
    ("GET", "cluster-versions", {**PAGE, "pagination.page": "p1"}, None, 200),
    ("GET", "clusters/available-regions", {**PAGE, "provider": "AWS", "serverless": "true"}, None, 200),
    ("GET", "clusters", {**PAGE, "pagination.sort_by": "CREATED_AT", "show_inactive": "false"}, None, 200),
    ("GET", "clusters", {**PAGE, "pagination.sort_by": "DELETED_AT", "pagination.page": "p1"}, None, 200),
    ("GET", "clusters/ID/backups-config", {}, None, 200),
    ("GET", "clusters/ID/nodes", PAGE, None, 200),
    ("GET", "clusters/DEDICATED/nodes", {**PAGE, "region_name": "us-west-2"}, None, 200),
    *(("GET", "clusters/DEDICATED/connection-string", {"os": os_name}, None, 200) for os_name in ("MAC", "WINDOWS")),
    ("GET", "clusters/DEDICATED/connection-string", {}, None, 400),
    *(
        ("GET", f"clusters/ID/{of_cluster}", {**PAGE, "pagination.page": "p1"}, None, 200)
        for of_cluster in ("networking/allowlist", "sql-users", "databases")
    ),
    ("GET", "clusters/ID/databases", {"pagination.page": "q"}, None, 400),
    ("PUT", "clusters/ID/networking/allowlist/198.41.7.0/24", {}, {"name": "x", "sql": True, "ui": False}, 200),
    ("PUT", "clusters/ID/networking/allowlist/198.41.7.9/24", {}, {"name": "x", "sql": True, "ui": False}, 400),
    ("DELETE", "clusters/ID/networking/allowlist/198.41.7.0/24", {}, None, 200),
    ("POST", "clusters/ID/databases", {}, {"name": "one"}, 200),
    ("PATCH", "clusters/ID/databases/one", {}, {"new_name": "two"}, 200),
    ("PATCH", "clusters/ID/databases", {}, {"name": "two", "new_name": "three"}, 200),
    ("PATCH", "clusters/ID/databases/two", {}, {"new_name": "three"}, 404),
    ("PATCH", "clusters/ID/databases/three", {}, {"new_name": "bank"}, 409),
    ("PATCH", "clusters/ID/databases", {}, {"name": "system", "new_name": "four"}, 400),
    ("DELETE", "clusters/ID/databases/three", {}, None, 200),
    ("DELETE", "clusters/ID/databases/postgres", {}, None, 400),
    *(("POST", "clusters/ID/databases", {}, {"name": name}, 409) for name in ("postgres", "system", "template1")),
    ("POST", "clusters/ID/sql-users", {}, {"name": "pg_x", "password": "of-some-more-length"}, 400),
]
"""What the client does not ask: method, path below /api/v1, query, body, expected status."""


def ask(cloud, method, path, query=None, body=None):
    """Ask for something that the client has no method for."""
    identifiers = {
        "ID": cloud.clusters["funky-skunk"].identifier,
        "DEDICATED": cloud.clusters["steady-heron"].identifier,
    }
    for name, identifier in identifiers.items():
        path = path.replace(f"/{name}", f"/{identifier}")
    return requests.request(
        method, f"{cloud.url}/api/v1/{path}", params=query, json=body, verify=str(cloud.ca_file), timeout=20,
        headers={"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip


class Specification:
    """Schemas by method and path, of an OpenAPI document."""

    def __init__(self, path):
        self._document = json.loads(path.read_text(encoding="utf-8"))
        self._patterns = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", template)), template) for template in self._document["paths"]
        ]

    def has(self, method, template):
        """Whether an operation is specified, whatever the names in its path are. A cut may leave it out."""
        shape = re.sub(r"\{[^}]+\}", "{}", f"/api/v1/{template}")
        paths = self._document["paths"]
        return any(re.sub(r"\{[^}]+\}", "{}", path) == shape and method.lower() in paths[path] for path in paths)

    def operation(self, method, path):
        """The operation of a request; the template with the fewest parameters wins."""
        found = [template for pattern, template in self._patterns if pattern.fullmatch(path)]
        assert found, f"the specification has no path for {method} {path}"
        operations = self._document["paths"][min(found, key=lambda template: template.count("{"))]
        assert method.lower() in operations, f"the specification has no {method} for {path}"
        return operations[method.lower()]

    def check(self, content, value):
        """Hold a JSON value against the schema of a body."""
        schema = content["application/json"]["schema"]
        jsonschema.Draft7Validator({**schema, "components": self._document["components"]}).validate(value)

    def check_status(self, value):
        """Hold the body of a refusal against the schema of errors."""
        schema = {"$ref": "#/components/schemas/Status", "components": self._document["components"]}
        jsonschema.Draft7Validator(schema).validate(value)

    def check_query(self, operation, query):
        """Every parameter of a query is known and has an allowed value, where the specification names them."""
        if "parameters" in operation:
            known = {p["name"]: p["schema"] for p in operation["parameters"] if p.get("in") == "query"}
            for name, value in parse_qsl(query, keep_blank_values=True):
                assert name in known, f"the specification does not know the parameter {name}"
                assert value in known[name].get("enum", [value])
                assert known[name].get("type") != "integer" or value.isdecimal()
                assert known[name].get("type") != "boolean" or value in ("true", "false")


@pytest.fixture
def exchanges(monkeypatch):
    """The requests and responses of one conversation."""
    monkeypatch.setattr(_shared, "take_turn", lambda: None)
    stage = CloudStage()
    with contextlib.closing(stage):
        stage.switch()
        converse(CloudApi(Settings(key=KEY, url=stage.url, ca_file=str(stage.ca_file))), stage)
        for method, path, query, body, status in REST:
            response = ask(stage, method, path, query, body)
            assert response.status_code == status, (method, path, response.text)
        yield list(stage.exchanges)


@pytest.fixture(params=["own", "given"])
def specification(request):
    if request.param == "own":
        return Specification(OWN)
    given = os.environ.get("CRDB_CONTRACT_SPEC")
    if not given:
        pytest.skip("no specification was given: make test-contract SPEC=FILE (OpenAPI 3 as JSON)")
    return Specification(Path(given))


def template(request):
    """The operation of the sandbox that serves a request, as method and template."""
    parts = urlsplit(request.target).path.removeprefix("/api/v1/").split("/")
    return next((o.method, o.template) for o in OPERATIONS if o.method == request.method and o.names(parts) is not None)


NOT_THE_CLIENTS = {
    ("GET", "organization"),
    ("GET", "cluster-versions"),
    ("GET", "clusters/available-regions"),
    ("GET", "clusters/{cluster_id}/backups-config"),
    ("GET", "clusters/{cluster_id}/nodes"),
    ("PATCH", "clusters/{cluster_id}/databases"),
    ("PATCH", "clusters/{cluster_id}/databases/{name}"),
    *((method, "clusters/{cluster_id}/client-ca-cert") for method in ("GET", "POST", "PATCH", "DELETE")),
}
"""What a specification that is cut to the client's operations does not have."""


def test_requests_and_responses_are_as_specified(exchanges, specification, request):
    checked, successes, refusals = set(), set(), set()
    for sent, response in exchanges:
        parts = urlsplit(sent.target)
        if OUTSIDE.fullmatch(parts.path):
            continue
        if not specification.has(*template(sent)):
            assert template(sent) in NOT_THE_CLIENTS
            continue
        operation = specification.operation(sent.method, parts.path)
        specification.check_query(operation, parts.query)
        if sent.body:
            specification.check(operation["requestBody"]["content"], json.loads(sent.body))
        else:
            assert "requestBody" not in operation
        assert response.content_type == "application/json"
        if response.status == 200:
            specification.check(operation["responses"]["200"]["content"], json.loads(response.body))
            successes.add(template(sent))
        else:
            specification.check_status(json.loads(response.body))
            refusals.add(response.status)
        checked.add((sent.method, response.status))
    assert checked >= {("GET", 200), ("POST", 200), ("PATCH", 200), ("PUT", 200), ("DELETE", 200), ("POST", 409)}
    assert refusals >= {400, 404, 409}
    served = {(operation.method, operation.template) for operation in OPERATIONS}
    is_own = request.node.callspec.params["specification"] == "own"
    assert served - successes <= (set() if is_own else NOT_THE_CLIENTS)


SERVED = [
    ("GET", "organization"),
    ("GET", "clusters"),
    ("GET", "clusters/ID/sql-users"),
    ("POST", "clusters/ID/networking/allowlist"),
    ("PATCH", "clusters/ID/databases"),
]


@pytest.mark.parametrize(("method", "path"), SERVED)
@pytest.mark.parametrize("kind", ["401", "429", "429_retry", "500", "503", "wrong key"])
def test_the_bodies_of_errors_are_as_specified(specification, method, path, kind):
    stage = CloudStage()
    with contextlib.closing(stage):
        stage.switch(faults={} if kind == "wrong key" else {"0": kind})
        if kind == "wrong key":
            stage.api._key = "another"
        response = ask(stage, method, path, body={} if method != "GET" else None)
    assert response.status_code == (401 if kind == "wrong key" else int(kind[:3]))
    specification.check_status(response.json())
    assert isinstance(response.json()["code"], int)
    assert ("Retry-After" in response.headers) == (kind == "429_retry")


def test_a_wrong_answer_would_be_seen(exchanges):
    specification = Specification(OWN)
    request, response = next((q, a) for q, a in exchanges if q.method == "POST" and a.status == 200)
    operation = specification.operation("POST", urlsplit(request.target).path)
    value = {**json.loads(response.body), "cidr_mask": "24"}
    with pytest.raises(jsonschema.ValidationError):
        specification.check(operation["responses"]["200"]["content"], value)
