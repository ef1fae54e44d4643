# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""One database to connect to, with its facts validated.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import EndpointError
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEPLOYMENTS

_PATHS = ("ca_file", "sslcert", "sslkey", "sslcrl", "sslcrldir", "jwt_file")
_TOKENS = ("jwt", "jwt_file", "jwt_command")


class Endpoint(NamedTuple):
    """One database to connect to, as one app's configuration names it.

    `ca_text` (PEM) takes precedence over `ca_file`: it serves a CA that is not on the machine yet. Without both, the
    file is used that libpq takes, if there is one, else the public roots; `public_roots`: these in any case.
    A token comes from one of `jwt`, `jwt_file` and `jwt_command`, in place of a password.
    `hold_password`: stop before the password is sent. `tls_only`: pass once the certificate is verified, before
    anything about the login is sent.
    """

    name: str
    host: str
    user: str
    database: str
    deployment: str = "serverless"
    port: int = 26257
    options: str | None = None
    password: str | None = None
    routing_id: str | None = None
    ca_file: str | None = None
    ca_text: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    sslcrl: str | None = None
    sslcrldir: str | None = None
    jwt: str | None = None
    jwt_file: str | None = None
    jwt_command: tuple[str, ...] = ()
    public_roots: bool = False
    hold_password: bool = False
    tls_only: bool = False

    def __repr__(self) -> str:
        """Its name: a traceback shows no password."""
        return f"Endpoint({self.name!r})"

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Endpoint:
        """Validate the facts of an endpoint, with `~` expanded in its paths. Raises EndpointError."""
        text: dict[str, str | None] = {}
        for key in ("host", "user", "database", "options", "password", "routing_id", "ca_text", "jwt", *_PATHS):
            value = facts.get(key)
            text[key] = None if value is None or value == "" else str(value)
        name = str(facts.get("name") or text["host"] or "endpoint")
        for key in ("host", "user", "database"):
            if text[key] is None:
                raise EndpointError(f"endpoint {name}: {key} is missing")
        for key, value in text.items():
            if value is not None and not _sendable(value):
                raise EndpointError(f"endpoint {name}: {key} must not contain a NUL or an invalid character")
        deployment = str(facts.get("deployment") or "serverless")
        if deployment not in DEPLOYMENTS:
            raise EndpointError(
                "endpoint {}: deployment must be one of {}, not {}".format(name, ", ".join(DEPLOYMENTS), deployment)
            )
        # 'system' is libpq's own word for the public roots in sslrootcert.
        public = text["ca_file"] in ("public", "system")
        if public:
            text["ca_file"] = None
        for key in _PATHS:
            text[key] = _expanded(name, key, text[key])
        if text["sslkey"] is not None and text["sslcert"] is None:
            raise EndpointError(f"endpoint {name}: sslcert is missing: sslkey needs it")
        command = tuple(str(word) for word in facts.get("jwt_command") or ())
        if len([given for given in (text["password"], text["jwt"], text["jwt_file"], command) if given]) > 1:
            raise EndpointError(f"endpoint {name}: password, {', '.join(_TOKENS)} exclude each other: keep one")
        return cls(
            name=name,
            host=text["host"] or "",
            user=text["user"] or "",
            database=text["database"] or "",
            deployment=deployment,
            port=_port(name, facts.get("port")),
            options=text["options"],
            password=text["password"],
            routing_id=text["routing_id"],
            ca_file=text["ca_file"],
            ca_text=text["ca_text"],
            sslcert=text["sslcert"],
            sslkey=text["sslkey"],
            sslcrl=text["sslcrl"],
            sslcrldir=text["sslcrldir"],
            jwt=text["jwt"],
            jwt_file=text["jwt_file"],
            jwt_command=command,
            public_roots=public,
            hold_password=bool(facts.get("hold_password")),
            tls_only=bool(facts.get("tls_only")),
        )

    @property
    def has_token(self) -> bool:
        """Whether a token takes the place of the password."""
        return bool(self.jwt or self.jwt_file or self.jwt_command)

    def login_key(self) -> tuple[object, ...]:
        """The key by which a server counts failed logins. Equal keys are the same login, whatever the password is."""
        return (self.host.lower(), self.port, self.user, self.routing_id, self.options)


def _sendable(value: str) -> bool:
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _expanded(name: str, key: str, path: str | None) -> str | None:
    if path is None:
        return None
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as exc:
        raise EndpointError(
            f"endpoint {name}: the home folder in {key} {path} is unknown: write an absolute path"
        ) from exc
    if not expanded.is_absolute():
        raise EndpointError(f"endpoint {name}: {key} must be an absolute path, not {path}")
    return str(expanded)


def _port(name: str, value: object) -> int:
    text = "26257" if value is None else str(value)
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise EndpointError(f"endpoint {name}: port must be a number from 1 to 65535, not {text}")
    return int(text)
