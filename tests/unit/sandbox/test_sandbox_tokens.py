# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins by token: what CockroachDB would refuse is refused in its words (pkg/ccl/testccl/authccl/testdata/jwt)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sandbox import tokens
from sandbox.errors import SandboxError
from sandbox.tokens import Settings, TokenRefusedError, asked_for, mint, verify, without_option

NOW = 1_800_000_000
KEY, OTHER = tokens.new_key(), tokens.new_key()
OWN = Settings(audience=("shop",), jwks=tokens.key_set(KEY))
CLAIMS: dict[str, Any] = {"iss": tokens.ISSUER, "sub": "max", "aud": ["shop"], "iat": NOW - 10, "exp": NOW + 600}


def refused(settings: Settings, token: str, user: str = "max") -> tuple[str, str]:
    with pytest.raises(TokenRefusedError) as caught:
        verify(settings, user, token, NOW)
    assert (caught.value.SQLSTATE, caught.value.SEVERITY) == ("28000", "ERROR")
    assert caught.value.message.startswith("JWT authentication: ")
    return caught.value.message.partition(": ")[2], caught.value.detail


@pytest.mark.parametrize(
    ("settings", "claims", "user"),
    [
        ({}, {}, "max"),
        ({}, {"aud": "shop"}, "max"),
        ({}, {"sub": "MAX"}, "max"),
        ({"audience": ["other", "shop"]}, {}, "max"),
        ({"claim": "email"}, {"email": "max"}, "max"),
        ({"claim": "groups"}, {"groups": ["petra", "max"]}, "max"),
        ({"identity_map": [f"{tokens.ISSUER} 4711 max"]}, {"sub": "4711"}, "max"),
        (
            {"claim": "email", "identity_map": [rf"{tokens.ISSUER} /^(.*)@shop\.test$ \1"]},
            {"email": "max@shop.test"},
            "max",
        ),
        ({"identity_map": ["https://elsewhere.test max petra"]}, {}, "max"),
    ],
)
def test_accepted(settings: dict[str, Any], claims: dict[str, Any], user: str) -> None:
    verify(OWN.changed(settings), user, mint(KEY, {**CLAIMS, **claims}), NOW)


@pytest.mark.parametrize(
    ("settings", "claims", "message", "detail"),
    [
        ({"enabled": False}, {}, "not enabled", ""),
        ({}, {"iss": "https://elsewhere.test"}, "invalid issuer", "token issued by https://elsewhere.test"),
        ({}, {"exp": NOW}, "invalid token", 'unable to parse token: "exp" not satisfied'),
        ({}, {"nbf": NOW + 1}, "invalid token", 'unable to parse token: "nbf" not satisfied'),
        ({}, {"iat": NOW + 1}, "invalid token", 'unable to parse token: "iat" not satisfied'),
        ({}, {"sub": "petra"}, "invalid principal", "token issued for [petra] and login was for max"),
        ({"claim": "email"}, {}, "missing claim", "token does not contain a claim for email"),
        ({}, {"aud": ["a", "b"]}, "invalid audience", "token issued with an audience of [a b]"),
        (
            {"identity_map": [f"{tokens.ISSUER} 4711 max"]},
            {},
            "invalid principal",
            "token issued for [max] and login was for max",
        ),
        (
            {"jwks": {"keys": []}},
            {},
            "invalid token",
            'unable to parse token: key provider 0 failed: failed to find key with key ID "sandbox" in key set',
        ),
        (
            {"jwks": tokens.key_set(OTHER)},
            {},
            "invalid token",
            "unable to parse token: could not verify message using any of the signatures or keys",
        ),
    ],
)
def test_refused(settings: dict[str, Any], claims: dict[str, Any], message: str, detail: str) -> None:
    assert refused(OWN.changed(settings), mint(KEY, {**CLAIMS, **claims})) == (message, detail)


def test_root_is_refused_whatever_its_token_says() -> None:
    message = refused(OWN, mint(KEY, {**CLAIMS, "sub": "root"}), "root")
    assert message == ("invalid identity", "cannot use JWT auth to login to a reserved user root")


@pytest.mark.parametrize("token", ["", "abc", "a.b.c", "e30.e30.", f"{mint(KEY, CLAIMS)}.x"])
def test_what_is_no_token(token: str) -> None:
    message, detail = refused(OWN, token)
    assert message in ("invalid token", "invalid issuer")
    assert token == "e30.e30." or detail.startswith("token parsing failed: ")


def test_an_unsigned_token_is_refused() -> None:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": tokens.KEY_ID}).encode()).decode().rstrip("=")
    payload = mint(KEY, CLAIMS).split(".")[1]
    assert refused(OWN, f"{header}.{payload}.")[0] == "invalid token"


@pytest.mark.parametrize(
    ("options", "asked", "rest"),
    [
        ("--crdb:jwt_auth_enabled=true", True, None),
        ("-c crdb:jwt_auth_enabled=true", True, None),
        ("--crdb:jwt_auth_enabled=true --search_path=a", True, "--search_path=a"),
        ("--crdb:jwt_auth_enabled=false", False, None),
        ("--search_path=--crdb:jwt_auth_enabled=true", False, "--search_path=--crdb:jwt_auth_enabled=true"),
    ],
)
def test_the_option(options: str, asked: bool, rest: str | None) -> None:
    assert asked_for({"options": options}) is asked
    assert without_option({"user": "max", "options": options}).get("options") == rest


def test_a_setting_that_does_not_exist() -> None:
    with pytest.raises(SandboxError, match="unknown setting of logins by token: audiance; valid: enabled, audience"):
        OWN.changed({"audiance": []})
