# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the client asks and what the sandbox answers, held against schemas.

Against those beside this file; against a specification (OpenAPI 3, JSON) with `make test-contract SPEC=FILE`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import CloudError
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.settings import Settings
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared

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


class Specification:
    """Schemas by method and path, of an OpenAPI document."""

    def __init__(self, path):
        self._document = json.loads(path.read_text(encoding="utf-8"))
        self._patterns = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", template)), template) for template in self._document["paths"]
        ]

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


@pytest.fixture
def exchanges(monkeypatch):
    """The requests and responses of one conversation."""
    monkeypatch.setattr(_shared, "take_turn", lambda: None)
    stage = CloudStage()
    with contextlib.closing(stage):
        stage.switch()
        converse(CloudApi(Settings(key=KEY, url=stage.url, ca_file=str(stage.ca_file))), stage)
        yield list(stage.exchanges)


@pytest.fixture(params=["own", "given"])
def specification(request):
    if request.param == "own":
        return Specification(OWN)
    given = os.environ.get("CRDB_CONTRACT_SPEC")
    if not given:
        pytest.skip("no specification was given: make test-contract SPEC=FILE (OpenAPI 3 as JSON)")
    return Specification(Path(given))


def test_requests_and_responses_are_as_specified(exchanges, specification):
    checked = set()
    for request, response in exchanges:
        parts = urlsplit(request.target)
        if OUTSIDE.fullmatch(parts.path):
            continue
        operation = specification.operation(request.method, parts.path)
        specification.check_query(operation, parts.query)
        if request.body:
            specification.check(operation["requestBody"]["content"], json.loads(request.body))
        else:
            assert "requestBody" not in operation
        if response.status == 200:
            specification.check(operation["responses"]["200"]["content"], json.loads(response.body))
        else:
            specification.check_status(json.loads(response.body))
        checked.add((request.method, response.status))
    assert checked >= {("GET", 200), ("POST", 200), ("PATCH", 200), ("PUT", 200), ("DELETE", 200), ("POST", 409)}


def test_a_wrong_answer_would_be_seen(exchanges):
    specification = Specification(OWN)
    request, response = next((q, a) for q, a in exchanges if q.method == "POST" and a.status == 200)
    operation = specification.operation("POST", urlsplit(request.target).path)
    value = {**json.loads(response.body), "cidr_mask": "24"}
    with pytest.raises(jsonschema.ValidationError):
        specification.check(operation["responses"]["200"]["content"], value)
