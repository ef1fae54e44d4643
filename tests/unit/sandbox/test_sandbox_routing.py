# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identifiers and options that the golden vectors of tests/integration/sandbox do not cover."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.routing import ClusterIdentifier, RoutingError, parse_identifier, route

LONGEST = "a" * 100


@pytest.mark.parametrize(
    ("text", "name", "tenant"),
    [
        ("funky-skunk-123", "funky-skunk", 123),
        ("funky-skunk-0123", "funky-skunk", 123),
        ("abcdef-1", "abcdef", 1),
        ("123456-7", "123456", 7),
        (f"{LONGEST}-7", LONGEST, 7),
        ("funky--skunk-7", "funky--skunk", 7),
        ("funky-skunk-18446744073709551615", "funky-skunk", 2**64 - 1),
        (f"funky-skunk-{'0' * 5000}7", "funky-skunk", 7),
    ],
)
def test_identifier(text: str, name: str, tenant: int) -> None:
    assert parse_identifier(text) == ClusterIdentifier(name, tenant)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("funkyskunk", "tenant ID at the end forgotten"),
        ("funky-skunk-", "tenant ID at the end forgotten"),
        ("short-7", "'short'"),
        (f"{LONGEST}a-7", "valid cluster name"),
        ("Funky-skunk-7", "'Funky-skunk'"),
        ("funky_skunk-7", "'funky_skunk'"),
        ("-funky-7", "'-funky'"),
        ("funky--7", "'funky-'"),
        ("funky\n-7", "valid cluster name"),
        ("funky-skunk-0", "Tenant ID 0"),
        ("funky-skunk-000", "Tenant ID 000"),
        ("funky-skunk-7a", "'7a'"),
        ("funky-skunk-+1", "'+1'"),
        ("funky-skunk-1_0", "'1_0'"),
        ("funky-skunk-7\n", "valid tenant ID"),
        ("funky-skunk-\u0667", "valid tenant ID"),
        ("funky-skunk-18446744073709551616", "valid tenant ID"),
        (f"funky-skunk-{'9' * 5000}", "valid tenant ID"),
    ],
)
def test_malformed_identifier(text: str, hint: str) -> None:
    with pytest.raises(RoutingError) as raised:
        parse_identifier(text)
    assert raised.value.message == f"codeParamsRoutingFailed: invalid cluster identifier '{text}'"
    specific, _separator, form = raised.value.hint.partition("\n--\n")
    assert hint in specific
    assert "<cluster name>-<tenant ID>" in form


@pytest.mark.parametrize(
    ("options", "forwarded"),
    [
        ("--cluster=funky-skunk-7", None),
        ("  --cluster=funky-skunk-7  ", None),
        ("-c\vcluster=funky-skunk-7 --cluster=funky-skunk-7", "-c\vcluster=funky-skunk-7"),
        ("-c geqo=off --cluster=funky-skunk-7 -c jit=off", "-c geqo=off  -c jit=off"),
        ("\x1c--cluster=funky-skunk-7 \xa0", "\x1c"),
        ("x--cluster=funky-skunk-7", "x"),
    ],
)
def test_the_remaining_options_are_forwarded(options: str, forwarded: str | None) -> None:
    named = route({"options": options}, None)
    assert named.identifier == ClusterIdentifier("funky-skunk", 7)
    assert named.parameters.get("options") == forwarded


@given(st.text(), st.text(), st.one_of(st.none(), st.text()))
def test_any_parameters_give_a_route_or_a_routing_error(database: str, options: str, server_name: str | None) -> None:
    try:
        named = route({"database": database, "options": options, "user": "maxroach"}, server_name)
    except RoutingError:
        return
    assert named.parameters["user"] == "maxroach"
    assert named.identifier.tenant > 0
