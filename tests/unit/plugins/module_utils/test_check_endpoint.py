# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check import run
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import DialError, EndpointError, ResolveError
from ansible_collections.crdb.onboard.plugins.module_utils._check.resolve import resolve
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint, check_endpoints
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline

GOOD: dict[str, Any] = {"name": "shop", "host": "db.test", "user": "maxroach", "database": "defaultdb"}


def test_defaults() -> None:
    endpoint = Endpoint.from_dict({**GOOD, "port": None, "password": "", "options": "", "name": None})
    assert (endpoint.port, endpoint.deployment, endpoint.name) == (26257, "serverless", "db.test")
    assert endpoint.password is None
    assert endpoint.options is None
    assert endpoint.ca_file is None


@pytest.mark.parametrize("word", [None, "", "public", "system"])
def test_words_for_the_public_roots(word: str | None) -> None:
    assert Endpoint.from_dict({**GOOD, "ca_file": word}).ca_file is None


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Endpoint.from_dict({**GOOD, "ca_file": "~/ca.crt"}).ca_file == str(tmp_path / "ca.crt")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": ""}, "host is missing"),
        ({"user": None}, "user is missing"),
        ({"database": ""}, "database is missing"),
        ({"port": 0}, "port must be a number from 1 to 65535, not 0"),
        ({"port": 70000}, "65535, not 70000"),
        ({"port": "٣"}, "65535, not ٣"),
        ({"deployment": "cloud"}, "cloud"),
        ({"ca_file": "certs/ca.crt"}, "ca_file must be an absolute path, not certs/ca.crt"),
        ({"ca_file": "~nobody-at-all-here/ca.crt"}, "home folder"),
        ({"user": "a\0b"}, "user must not contain a NUL"),
        ({"password": "canary\0"}, "password must not contain a NUL"),
        ({"password": "canary\ud800"}, "password must not contain a NUL or an invalid character"),
        ({"sslkey": "/k.pem"}, "sslcert is missing"),
    ],
)
def test_bad_facts(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(EndpointError) as caught:
        Endpoint.from_dict({**GOOD, "password": "canary", **changes})
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)
    assert ("shop" in str(caught.value)) or "db.test" in str(caught.value)


def test_the_password_is_not_in_the_repr() -> None:
    assert "canary" not in repr(Endpoint.from_dict({**GOOD, "password": "canary"}))


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    def getaddrinfo(*_args: object, **_kwargs: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("error", "code", "neighbour"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "dns_not_found", "dns_temporary"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "dns_temporary", "dns_not_found"),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), "dns_failed", "dns_not_found"),
        (UnicodeError("label too long"), "host_invalid", "dns_not_found"),
        (OSError(24, "Too many open files"), "dns_failed", "internal_error"),
    ],
)
def test_resolver_errors(error: Exception, code: str, neighbour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, error)
    report = check_endpoint(Endpoint.from_dict(GOOD)).as_dict()
    assert report["code"] == code
    assert report["code"] != neighbour
    assert report["address"] is None
    assert "db.test" in report["cause"]
    assert [stage["stage"] for stage in report["stages"]] == ["dns"]


def test_a_resolver_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: forever.wait(30))
    report = check_endpoint(Endpoint.from_dict(GOOD), 0.2)
    forever.set()
    assert report.diagnosis.code == "dns_timeout"


def test_addresses_come_once_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{n // 2}", 1)) for n in range(100)]
    answering(monkeypatch, many)
    found = resolve("db.test", 1, Deadline(5))
    assert [address.text for address in found] == [f"192.0.2.{n}" for n in range(8)]


def test_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, [])
    with pytest.raises(ResolveError) as caught:
        resolve("db.test", 1, Deadline(5))
    assert caught.value.kind == "not_found"


def test_only_ipv6_without_a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 26257, 0, 0))])

    def connect(*_args: object) -> None:
        raise DialError(101, "Network is unreachable")

    monkeypatch.setattr(run, "connect", connect)
    report = check_endpoint(Endpoint.from_dict(GOOD))
    assert report.diagnosis.code == "no_ipv4_address"
    assert report.address == "2001:db8::1"


def test_the_ipv4_failure_is_told_where_both_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch,
        [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 26257)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 26257, 0, 0)),
        ],
    )

    def connect(address: Any, _deadline: Deadline) -> None:
        raise DialError(110, "no answer") if "." in address.text else DialError(101, "unreachable")

    monkeypatch.setattr(run, "connect", connect)
    report = check_endpoint(Endpoint.from_dict(GOOD))
    assert report.diagnosis.code == "tcp_timeout"
    assert report.address == "192.0.2.7"
    assert [attempt["address"] for attempt in report.diagnosis.evidence["attempts"]] == ["192.0.2.7", "2001:db8::1"]


def test_a_surprise_is_a_report_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(run, "resolve", broken)
    reports = check_endpoints([Endpoint.from_dict(GOOD), Endpoint.from_dict({**GOOD, "name": "two", "user": "other"})])
    assert [report.diagnosis.code for report in reports] == ["internal_error", "internal_error"]
    assert "RuntimeError: boom" in reports[0].diagnosis.cause


def test_nothing_to_check() -> None:
    assert check_endpoints([]) == []
