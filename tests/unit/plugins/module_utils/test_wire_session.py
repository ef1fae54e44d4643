# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import (
    ClosedError,
    FileUnusableError,
    MalformedError,
    PasswordNeededError,
    ScramError,
    ServerError,
    TimedOutError,
    WireError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.messages import (
    MAX_MESSAGE,
    SSL_REQUEST,
    AuthRequest,
    server_kind,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.session import Wire
from ansible_collections.crdb.onboard.plugins.module_utils._wire.tls import tls_context
from hypothesis import given, settings
from hypothesis import strategies as st


def message(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(payload) + 4) + payload


@contextlib.contextmanager
def fed(data: bytes, *, close: bool = True) -> Iterator[tuple[Wire, socket.socket]]:
    """A wire whose peer has already sent these bytes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        # Sending may block once the buffer is full, and the reader may stop early.
        sender = threading.Thread(target=_send, args=(theirs, data, close), daemon=True)
        sender.start()
        yield Wire(ours, Deadline(5)), theirs
        ours.close()
        sender.join()


def _send(sock: socket.socket, data: bytes, close: bool) -> None:
    with contextlib.suppress(OSError):
        sock.sendall(data)
        if close:
            sock.shutdown(socket.SHUT_WR)


def test_the_requests_have_the_bytes_of_the_protocol() -> None:
    with fed(b"S") as (wire, peer):
        wire.request_tls()
        assert peer.recv(100) == SSL_REQUEST == bytes.fromhex("0000000804d2162f")
    with fed(message(b"R", struct.pack("!I", 0))) as (wire, peer):
        assert wire.startup({"user": "maxroach", "database": "bänk"}) == AuthRequest(0)
        assert peer.recv(100) == b"\0\0\0\x26\0\3\0\0user\0maxroach\0database\0b\xc3\xa4nk\0\0"


def test_a_session_without_a_password() -> None:
    replies = (
        message(b"N", b"SNOTICE\0Mhi\0\0") + message(b"S", b"a\0b\0") + message(b"K", bytes(8)) + message(b"Z", b"I")
    )
    with fed(replies) as (wire, _peer):
        wire.login(AuthRequest(0), None)
        assert wire.ready() == {"a": "b"}
        assert not wire.password_sent


def test_query_rows() -> None:
    row = struct.pack("!H", 3) + b"\0\0\0\x01x" + b"\xff\xff\xff\xff" + b"\0\0\0\0"
    replies = message(b"T", b"\0\3") + message(b"D", row) + message(b"C", b"SELECT 1\0") + message(b"Z", b"I")
    with fed(replies) as (wire, peer):
        assert wire.query("SELECT 1") == [("x", None, "")]
        assert peer.recv(100) == b"Q\0\0\0\x0dSELECT 1\0"


@pytest.mark.parametrize("password", [None, ""])
@pytest.mark.parametrize("request_", [AuthRequest(3), AuthRequest(10, ("SCRAM-SHA-256",))])
def test_a_missing_password_sends_nothing(password: str | None, request_: AuthRequest) -> None:
    with fed(b"") as (wire, peer):
        with pytest.raises(PasswordNeededError):
            wire.login(request_, password)
        assert not wire.password_sent
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


def test_cleartext() -> None:
    with fed(message(b"R", bytes(4))) as (wire, peer):
        wire.login(AuthRequest(3), "pä")
        assert peer.recv(100) == b"p\0\0\0\x08p\xc3\xa4\0"
        assert wire.password_sent


def test_a_refused_scram_message_ends_the_login() -> None:
    replies = message(b"R", struct.pack("!I", 11) + b"r=another,s=c2FsdA==,i=4096")
    with fed(replies) as (wire, _peer):
        with pytest.raises(ScramError) as caught:
            wire.login(AuthRequest(10, ("SCRAM-SHA-256",)), "pencil")
        assert caught.value.kind == "nonce"
        assert not wire.password_sent


def test_fields_of_an_error() -> None:
    with fed(message(b"E", b"SFATAL\0VFATAL\0C28P01\0Mno\0Hhint\0\0")) as (wire, _peer):
        with pytest.raises(ServerError) as caught:
            wire.startup({})
        assert caught.value.sqlstate == "28P01"
        assert caught.value.message == "no"
        assert caught.value.fields["H"] == "hint"


def bounded_kind(data: bytes, run: Callable[[Wire], object]) -> str:
    with fed(data) as (wire, _peer):
        with pytest.raises(MalformedError) as caught:
            run(wire)
        return caught.value.kind


@pytest.mark.parametrize(
    ("length", "kind"), [(MAX_MESSAGE + 1, "length"), (2**31 - 1, "length"), (2**32 - 1, "length"), (3, "length")]
)
def test_lengths(length: int, kind: str) -> None:
    assert bounded_kind(b"R" + struct.pack("!I", length), lambda wire: wire.startup({})) == kind


@pytest.mark.parametrize("kind", [b"D", b"E", b"N", b"S", b"T"])
def test_a_message_that_a_server_may_send_is_too_long_for_the_check_only(kind: bytes) -> None:
    assert bounded_kind(kind + struct.pack("!I", MAX_MESSAGE + 1), lambda wire: wire.ready()) == "too_long"
    assert bounded_kind(kind + struct.pack("!I", (1 << 30) + 1), lambda wire: wire.ready()) == "length"


def test_notices_parameters_and_notifications_may_come_at_any_time() -> None:
    """PostgreSQL documents the three as asynchronous: a server may send hundreds of them before and in an answer."""
    notice = message(b"N", b"SNOTICE\0Mhello\0\0")
    many = (notice + message(b"S", b"TimeZone\0UTC\0") + message(b"A", b"\0\0\0\1news\0text\0")) * 400
    ready = message(b"Z", b"I")
    row = message(b"T", b"\0\1") + many + message(b"D", b"\0\1\0\0\0\x01x") + many + message(b"C", b"SELECT 1\0")
    with fed(many + ready + many + row + many + ready) as (wire, _peer):
        assert wire.ready()["TimeZone"] == "UTC"
        assert wire.query("x") == [("x",)]


def test_the_number_of_bytes_is_bounded() -> None:
    assert bounded_kind(message(b"S", b"a\0" + b"b" * 60_000) * 30, lambda wire: wire.ready()) == "endless"


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\0",
        b"\0\1",
        b"\0\1\0\0\0",
        b"\0\1\0\0\0\x05abc",
        b"\0\1\xff\xff\xff\xfe",
        b"\0\2\0\0\0\x01x",
    ],
)
def test_rows_with_wrong_lengths(row: bytes) -> None:
    assert bounded_kind(message(b"T", b"\0\1") + message(b"D", row), lambda wire: wire.query("x")) == "length"


def test_the_end_of_the_connection() -> None:
    for data, partial in ((b"", False), (b"R", True), (message(b"R", bytes(8))[:-1], True)):
        with fed(data) as (wire, _peer):
            with pytest.raises(ClosedError) as caught:
                wire.startup({})
            assert caught.value.partial is partial


def test_silence_ends_at_the_deadline() -> None:
    with fed(b"", close=False) as (wire, _peer):
        wire.deadline = Deadline(0.05)
        with pytest.raises(TimedOutError):
            wire.startup({})
        with pytest.raises(TimedOutError):
            wire.query("no time left to send")


@settings(max_examples=200, deadline=None)
@given(
    data=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                message, st.sampled_from([b"R", b"E", b"S", b"Z", b"T", b"D", b"K", b"N", b"v"]), st.binary(max_size=30)
            ),
        )
    ).map(b"".join)
)
def test_any_bytes_of_a_server_give_a_result_or_a_wire_error(data: bytes) -> None:
    for run in (
        lambda wire: wire.startup({}),
        lambda wire: wire.ready(),
        lambda wire: wire.query("x"),
        lambda wire: wire.login(AuthRequest(10, ("SCRAM-SHA-256",)), "pencil"),
    ):
        with fed(data) as (wire, _peer), contextlib.suppress(WireError):
            run(wire)


@pytest.mark.parametrize(
    ("banner", "name"),
    [
        (b"SSH-2.0-x", "SSH"),
        (b"HTTP/1.0 400", "HTTP"),
        (b"<html>", "HTTP"),
        (b"\x15\x03\x01\0\2", "TLS"),
        (b"220 x", "mail or FTP"),
        (b"* OK IMAP", "mail or FTP"),
        (b"J\0\0\0\x0a8.0", "MySQL"),
        (b"S\x16\x03\x03", None),
        (b"N", None),
        (b"E\0\0\0\x10", None),
        (b"", None),
    ],
)
def test_other_servers_are_recognized(banner: bytes, name: str | None) -> None:
    assert server_kind(banner) == name


def test_the_context_is_the_same_on_every_python() -> None:
    context = tls_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_flags == ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (None, "missing"),
        (b"", "empty"),
        (b" \n", "empty"),
        (b"x", "not_pem"),
        (b"-----BEGIN CERTIFICATE-----", "cut_off"),
    ],
)
def test_unusable_ca_files(content: bytes | None, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileUnusableError) as caught:
        tls_context(str(path))
    assert (caught.value.role, caught.value.kind, caught.value.path) == ("ca", kind, str(path))


def test_a_ca_file_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    with path.open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    with pytest.raises(FileUnusableError):
        tls_context(str(path))


def test_opening_a_named_pipe_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ca.crt")
    with pytest.raises(FileUnusableError) as caught:
        tls_context(str(tmp_path / "ca.crt"))
    assert caught.value.kind == "unreadable"


def test_the_last_message_before_the_server_closes_is_read() -> None:
    """Sending fails, but the last message is already in the receive buffer."""
    with fed(message(b"E", b"SFATAL\0C08C00\0Mgo away\0\0")) as (wire, peer):
        select.select([wire._socket], [], [], 5)
        peer.close()
        with pytest.raises(ServerError) as caught:
            wire.startup({"user": "maxroach"})
        assert caught.value.message == "go away"
        with pytest.raises(ClosedError) as ended:
            wire.query("x")
        assert ended.value.reset
