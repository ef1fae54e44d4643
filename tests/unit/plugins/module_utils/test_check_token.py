# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens in place of a password, where the fault table does not have them."""

from __future__ import annotations

import datetime
import os
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check import token
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import EndpointError, TokenUnusableError
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline

from tests.faults import table

MOMENT = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)


def test_a_renewed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for text in ("one", "two"):
        path.write_text(f"\n{text}\n")
        assert token.from_file(str(path)) == text


def test_a_pipe_without_a_writer_does_not_hold_the_check(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(TokenUnusableError, match="not a regular file"):
        token.from_file(str(path))


def test_a_link_is_followed_as_where_kubernetes_mounts_a_token(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("one")
    (tmp_path / "token").symlink_to("data")
    assert token.from_file(str(tmp_path / "token")) == "one"


def test_a_command_sees_no_other_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "s3cret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    seen = token.from_command(["/usr/bin/env"], Deadline(10))
    assert {line.partition("=")[0] for line in seen.splitlines()} <= {
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "USER",
        "LOGNAME",
    }


def test_no_shell_runs_a_command() -> None:
    assert token.from_command(["/bin/echo", "$HOME; `id`"], Deadline(10)) == "$HOME; `id`"


def test_an_endless_output_is_not_kept() -> None:
    with pytest.raises(TokenUnusableError):
        token.claims_of(token.from_command(["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], Deadline(10)))


def test_a_program_that_leaves_a_child_is_not_waited_for() -> None:
    with pytest.raises(TokenUnusableError, match="did not end in time"):
        token.from_command(["/bin/sh", "-c", "sleep 30 & echo a"], Deadline(0.5))


def test_a_program_that_cannot_be_killed_does_not_hold_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that took the rights of another user, by sudo."""
    began, killed = time.monotonic(), []

    def refuse(group: int, _signal: int) -> None:
        killed.append(group)
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", refuse)
        with pytest.raises(TokenUnusableError, match="did not end in time"):
            token.from_command(["/bin/sleep", "8"], Deadline(0.3))
    os.killpg(killed[0], signal.SIGKILL)
    assert time.monotonic() - began < 5


def test_a_program_that_never_stops_writing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each look finds more to read."""
    reads = []
    real = os.read

    def read(handle: int, size: int) -> bytes:
        time.sleep(0.01)
        reads.append(handle)
        assert len(reads) < 400
        return real(handle, size)

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(TokenUnusableError, match="did not end in time"):
        token.from_command(["/bin/sh", "-c", "cat /dev/zero & cat /dev/zero >&2 & cat /dev/zero"], Deadline(0.5))


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        ({"exp": MOMENT.timestamp()}, "expired"),
        ({"exp": MOMENT.timestamp() + 1}, ""),
        ({"nbf": MOMENT.timestamp()}, ""),
        ({"nbf": MOMENT.timestamp() + 1}, "not_yet_valid"),
        ({}, ""),
    ],
)
def test_dates(claims: dict[str, float], kind: str) -> None:
    found = token.claims_of(table.token(**claims))
    if not kind:
        token.refuse_outside(found, MOMENT)
        return
    with pytest.raises(TokenUnusableError) as caught:
        token.refuse_outside(found, MOMENT)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b.c", "e30.e30.x", "e30.W10.x", f"{table.token()}=", table.token() + "\n"]
)
def test_what_is_not_a_token(text: str) -> None:
    with pytest.raises(TokenUnusableError) as caught:
        token.claims_of(text)
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize("value", [1e300, -1e300, "1", True, [1]])
def test_a_date_that_is_none(value: object) -> None:
    with pytest.raises(TokenUnusableError):
        token.claims_of(table.token(exp=value))


def test_only_harmless_claims_are_shown() -> None:
    found = token.claims_of(table.token(sub="max@example.com", aud=["a", "b c\x1b[31m"], iss="x" * 200, ssn="123"))
    assert found.shown == {"subject": "max@example.com", "audience": "a, (not shown)", "issuer": "(not shown)"}


def test_a_token_excludes_a_password() -> None:
    facts = {"host": "db.test", "user": "max", "database": "bank"}
    with pytest.raises(EndpointError, match="exclude each other"):
        Endpoint.from_dict({**facts, "jwt_file": "/run/token", "password": "s3cret"})
    assert table.TOKEN_CANARY not in repr(Endpoint.from_dict({**facts, "jwt": table.token()}))


def test_nothing_is_connected_to_before_the_token_is_there() -> None:
    facts = {"host": "no.such.host.test", "user": "max", "database": "bank", "jwt": table.token(exp=1)}
    report = check_endpoint(Endpoint.from_dict(facts), 5.0)
    assert report.diagnosis.code == "jwt_expired"
    assert [stage["stage"] for stage in report.stages] == ["auth"]
    assert not report.password_sent
