# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins by JSON Web Token: what a cluster accepts, as its cluster settings say, and the words of its refusals.

The order of the checks, the words and the details are CockroachDB's: pkg/ccl/jwtauthccl/authentication_jwt.go, its
tests in pkg/ccl/testccl/authccl/testdata/jwt, and for the SQLSTATE pkg/sql/pgwire/auth.go.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.errors import ProxyError, SandboxError

ISSUER = "https://issuer.sandbox.test"
"""The issuer whose tokens the clusters accept at first."""
LIFETIME = 3600
"""Seconds that a token of the command line is valid."""
KEY_ID = "sandbox"
ALGORITHM = "RS256"
_OPTION = re.compile(r"(?<!\S)(?:-c\s*|--)crdb:jwt_auth_enabled=(\S*)\s*")
_TRUE = ("true", "t", "1", "yes", "on")
_FORBIDDEN = ("root", "node", "admin", "public")
_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256"]


class TokenRefusedError(ProxyError):
    """The cluster refuses a token. The words are CockroachDB's, after "JWT authentication: "."""

    SEVERITY = "ERROR"
    SQLSTATE = "28000"

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(None, f"JWT authentication: {text}")
        self.detail = detail


class UserRefusedError(ProxyError):
    """The user of a valid token does not exist, or there is no token. CockroachDB says the same for both."""

    SEVERITY = "ERROR"
    SQLSTATE = "28P01"

    def __init__(self, user: str) -> None:
        super().__init__(None, f"password authentication failed for user {user}")


@dataclass(frozen=True)
class Settings:
    """The cluster settings of logins by token, under their names after ``server.jwt_authentication.``.

    Args:
        enabled: whether tokens are accepted.
        audience: those that a token may be for.
        issuers: of the tokens that are accepted.
        claim: the one with the user's name; empty for ``sub``.
        jwks: the issuers' public keys.
        identity_map: lines of ``server.identity_map.configuration``: issuer, claim (a pattern begins with ``/``), user.
    """

    enabled: bool = True
    audience: tuple[str, ...] = ()
    issuers: tuple[str, ...] = (ISSUER,)
    claim: str = ""
    jwks: Mapping[str, Any] = field(default_factory=lambda: {"keys": []})
    identity_map: tuple[str, ...] = ()

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """The same with other values, lists for tuples. Raises SandboxError for a name that is no setting."""
        names = [item.name for item in fields(self)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise SandboxError(f"unknown setting of logins by token: {', '.join(unknown)}; valid: {', '.join(names)}")
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return Settings(**{**{name: getattr(self, name) for name in names}, **given})


def asked_for(parameters: Mapping[str, str]) -> bool:
    """Whether the start-up parameters say that the password is a token."""
    found = _OPTION.search(parameters.get("options", ""))
    return found is not None and found[1].lower() in _TRUE


def without_option(parameters: Mapping[str, str]) -> dict[str, str]:
    """The start-up parameters without that option, which PostgreSQL does not know."""
    options = _OPTION.sub("", parameters.get("options", "")).strip()
    kept = {name: value for name, value in parameters.items() if name != "options"}
    return {**kept, "options": options} if options else kept


def verify(settings: Settings, user: str, token: str, now: float) -> None:
    """Whether a token lets this user in.

    Args:
        settings: of the cluster.
        user: who logs in, in lower case.
        token: what was sent in place of the password.
        now: seconds since the epoch.

    Raises:
        TokenRefusedError: it does not.
    """
    if not settings.enabled:
        raise TokenRefusedError("not enabled")
    try:
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise TokenRefusedError("invalid token", f"token parsing failed: {_words(error)}") from None
    issuer = str(unverified["payload"].get("iss", ""))
    if issuer not in settings.issuers:
        raise TokenRefusedError("invalid issuer", f"token issued by {issuer}")
    claims = _verified(settings, token, unverified["header"], now)
    principals = _principals(settings.claim, claims)
    if user not in _mapped(settings.identity_map, issuer, principals):
        raise TokenRefusedError(
            "invalid principal", f"token issued for [{' '.join(principals)}] and login was for {user}"
        )
    if user in _FORBIDDEN:
        raise TokenRefusedError("invalid identity", f"cannot use JWT auth to login to a reserved user {user}")
    audience = claims.get("aud", [])
    audiences = [audience] if isinstance(audience, str) else [str(name) for name in audience]
    if not set(audiences) & set(settings.audience):
        raise TokenRefusedError("invalid audience", f"token issued with an audience of [{' '.join(audiences)}]")


def _verified(settings: Settings, token: str, header: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The claims, once the signature and the dates are verified."""
    key_id = header.get("kid")
    keys = [key for key in settings.jwks.get("keys", []) if key_id is None or key.get("kid") == key_id]
    if not keys:
        raise _unverified(f'key provider 0 failed: failed to find key with key ID "{key_id}" in key set')
    checked: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
    for key in keys:
        try:
            claims: dict[str, Any] = jwt.decode(token, jwt.PyJWK(key).key, algorithms=_ALGORITHMS, options=checked)
        except jwt.PyJWTError:
            continue
        for name, refused in (
            ("exp", now >= claims.get("exp", now + 1)),
            ("nbf", now < claims.get("nbf", now)),
            ("iat", now < claims.get("iat", now)),
        ):
            if refused:
                raise _unverified(f'"{name}" not satisfied')
        return claims
    raise _unverified("could not verify message using any of the signatures or keys")


def _unverified(why: str) -> TokenRefusedError:
    return TokenRefusedError("invalid token", f"unable to parse token: {why}")


def _principals(claim: str, claims: Mapping[str, Any]) -> list[str]:
    name = claim or "sub"
    if name != "sub" and name not in claims:
        raise TokenRefusedError("missing claim", f"token does not contain a claim for {name}")
    value = claims.get(name, "")
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _mapped(identity_map: tuple[str, ...], issuer: str, principals: list[str]) -> set[str]:
    """The users that the claim's values stand for: themselves, unless the map has a line for the issuer."""
    lines = [parts for line in identity_map if len(parts := line.split()) == 3 and parts[0] == issuer]
    if not lines:
        return {principal.lower() for principal in principals}
    users = set()
    for _issuer, pattern, user in lines:
        for principal in principals:
            if not pattern.startswith("/"):
                users |= {user} if principal == pattern else set()
            elif found := re.search(pattern[1:], principal):
                users.add(user.replace(r"\1", found[1] if found.groups() else ""))
    return {user.lower() for user in users}


def _words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def new_key() -> bytes:
    """A key for the issuer, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*kinds)


def key_set(key: bytes, key_id: str = KEY_ID) -> dict[str, Any]:
    """The public part of a key as a JSON Web Key Set."""
    private = serialization.load_pem_private_key(key, None)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key()))  # type: ignore[arg-type]
    return {"keys": [{**public, "kid": key_id, "use": "sig", "alg": ALGORITHM}]}


def mint(key: bytes, claims: Mapping[str, Any], key_id: str = KEY_ID) -> str:
    """A signed token with these claims."""
    return jwt.encode(dict(claims), key.decode("ascii"), algorithm=ALGORITHM, headers={"kid": key_id})


def claims_for(user: str, audience: str, lifetime: int = LIFETIME, issuer: str = ISSUER) -> dict[str, Any]:
    """The claims of a token that begins now; a negative lifetime is one that has ended."""
    now = int(time.time())
    return {"iss": issuer, "sub": user, "aud": [audience], "iat": now, "exp": now + lifetime}
