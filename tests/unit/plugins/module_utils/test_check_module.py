# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module around the check: its arguments, and how it ends the task."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.crdb.onboard.plugins.doc_fragments import endpoints, projects
from ansible_collections.crdb.onboard.plugins.module_utils._check.report import failure_text
from ansible_collections.crdb.onboard.plugins.modules import endpoint_check

from tests.ports import held_port

CANARY = "c4n4ry-Passw0rd"


def run(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        endpoint_check.main()
    text = capsys.readouterr().out
    assert CANARY not in text
    result: dict[str, Any] = json.loads(text)
    result.pop("invocation", None)
    return result


@pytest.fixture
def closed_port() -> Any:
    with held_port() as port:
        yield port


def endpoint(port: int, **changes: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "user": "bob", "database": "d", "password": CANARY, **changes}


def test_a_failure_is_told_with_cause_and_cure(closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    endpoints = [endpoint(closed_port, name="one"), endpoint(closed_port, name="two", user="other")]
    result = run({"endpoints": endpoints}, capsys)
    assert not result["changed"]
    assert [found["code"] for found in result["checks"]] == ["tcp_refused", "tcp_refused"]
    text = failure_text(result["checks"])
    assert text.startswith("2 of 2 endpoints did not pass the check. one: tcp_refused. Cause: 127.0.0.1 port")
    for found in result["checks"]:
        assert found["cause"] in text
        assert found["cure"] in text


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_report_only(check_mode: bool, closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    result = run({"endpoints": [endpoint(closed_port)], "_ansible_check_mode": check_mode}, capsys)
    assert "failed" not in result
    assert "msg" not in result
    assert result["changed"] is False
    assert result["checks"][0]["code"] == "tcp_refused"


def test_nothing_to_check_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"endpoints": []}, capsys) == {"changed": False, "checks": [], "unmanaged": []}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"endpoints": [endpoint(0)]}, "port must be a number from 1 to 65535, not 0"),
        ({"endpoints": [endpoint(1, ca_file="ca.crt")]}, "must be an absolute path, not ca.crt"),
        ({"endpoints": [endpoint(1)], "timeout": 0}, "3600 seconds, not 0"),
        ({"endpoints": [endpoint(1)], "timeout": "nan"}, "3600 seconds, not nan"),
        ({"endpoints": [endpoint(1, deployment="cloud")]}, "serverless"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(arguments, capsys)
    assert result["failed"]
    assert says in result["msg"]
    assert "checks" not in result


def test_documentation_and_arguments_say_the_same() -> None:
    def compare(documented: dict[str, Any], spec: dict[str, Any]) -> None:
        assert set(documented) == set(spec)
        for name, option in documented.items():
            for key in ("type", "elements", "choices", "default", "required"):
                assert option.get(key) == spec[name].get(key), (name, key)
            compare(option.get("suboptions", {}), spec[name].get("options", {}))

    documented = yaml.safe_load(endpoint_check.DOCUMENTATION)["options"]
    shared = yaml.safe_load(endpoints.ModuleDocFragment.DOCUMENTATION)["options"]
    shared.update(yaml.safe_load(projects.ModuleDocFragment.DOCUMENTATION)["options"])
    compare({**shared, **documented}, endpoint_check._argument_spec())


def test_only_leaves_are_secret() -> None:
    spec: dict[str, Any] = endpoint_check._argument_spec()
    assert [name for name, option in spec.items() if option.get("no_log")] == []
    options = spec["endpoints"]["options"]
    assert [name for name, option in options.items() if option.get("no_log")] == ["password", "jwt"]


def test_every_part_of_a_report_is_documented(closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    documented = yaml.safe_load(endpoint_check.RETURN)["checks"]["contains"]
    result = run({"endpoints": [endpoint(closed_port)]}, capsys)
    assert list(result["checks"][0]) == list(documented)
