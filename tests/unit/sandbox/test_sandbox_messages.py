# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The streams of the wire protocol, cut at any position."""

from __future__ import annotations

from typing import Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import messages
from sandbox.messages import AuthenticationStream, FrontendStream, MalformedMessageError, message


def shout(statement: bytes) -> Optional[bytes]:
    return b"REPLACED" if statement == b"replace me" else None


LONG = b"x" * 3 * FrontendStream.LIMIT
FRONTEND = [
    (message(b"Q", b"replace me\0"), message(b"Q", b"REPLACED\0")),
    (message(b"Q", b"leave me\0"), None),
    (message(b"P", b"name\0replace me\0\0\1\0\0\0\x19"), message(b"P", b"name\0REPLACED\0\0\1\0\0\0\x19")),
    (message(b"P", b"\0replace me\0\0\0"), message(b"P", b"\0REPLACED\0\0\0")),
    (message(b"d", message(b"Q", b"replace me\0")), None),
    (message(b"B", LONG), None),
    (message(b"Q", LONG + b"\0"), None),
    (message(b"S", b""), None),
    (message(b"Q", b"replace me"), None),
]
BACKEND = [
    message(b"R", b"\0\0\0\0"),
    message(b"S", b"server_version\0" + b"15\0"),
    message(b"K", b"\0\0\0\1old!"),
    message(b"Z", b"I"),
    b"anything at all, which is not looked at: K\0\0\0\x0c\0\0\0\1old!",
]
cuts = st.lists(st.integers(min_value=0, max_value=60_000), max_size=40)


def feed(stream: Callable[[bytes], bytes], data: bytes, positions: list[int]) -> bytes:
    edges = sorted({0, len(data), *(position for position in positions if position < len(data))})
    return b"".join(stream(data[start:end]) for start, end in zip(edges, edges[1:]))


@given(cuts, st.permutations(FRONTEND))
def test_statements_are_rewritten_wherever_the_stream_is_cut(
    positions: list[int], exchange: list[tuple[bytes, Optional[bytes]]]
) -> None:
    sent = feed(FrontendStream(shout).feed, b"".join(whole for whole, _new in exchange), positions)
    assert sent == b"".join(new or whole for whole, new in exchange)


@given(st.binary(max_size=200), cuts)
def test_bytes_that_violate_the_protocol_do_not_lose_the_bytes_before_them(junk: bytes, positions: list[int]) -> None:
    before = message(b"d", b"data")
    sent = feed(FrontendStream(lambda _statement: None).feed, before + junk, positions)
    assert (before + junk).startswith(sent)
    assert sent.startswith(before)


@given(cuts)
def test_only_the_key_of_the_authentication_is_replaced(positions: list[int]) -> None:
    stream = AuthenticationStream(lambda key: b"\0\0\0\2new!" if key == b"\0\0\0\1old!" else b"")
    sent = feed(stream.feed, b"".join(BACKEND), positions)
    assert sent == b"".join(BACKEND).replace(BACKEND[2], message(b"K", b"\0\0\0\2new!"), 1)
    assert stream.authenticated


def test_the_sqlstate_of_a_refused_authentication_is_recorded() -> None:
    stream = AuthenticationStream(lambda key: key)
    refusal = messages.error_response("FATAL", "28P01", "password authentication failed")
    assert stream.feed(refusal) == refusal
    assert stream.sqlstate == "28P01"
    assert not stream.authenticated


@pytest.mark.parametrize(
    "parameters",
    [{}, {"user": "maxroach"}, {"user": "maxroach", "database": "defaultdb", "options": ""}, {"user": "é\udcff"}],
)
def test_startup_parameters_are_parsed_as_they_were_built(parameters: dict[str, str]) -> None:
    packet = messages.startup_message(196608, parameters)
    assert messages.parse_startup_parameters(packet[8:]) == parameters


@pytest.mark.parametrize(
    "payload", [b"", b"user", b"user\0", b"user\0x\0", b"user\0\0x\0", b"user\0x\0y\0\0", b"\0\0\0"]
)
def test_malformed_startup_parameters(payload: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        messages.parse_startup_parameters(payload)
