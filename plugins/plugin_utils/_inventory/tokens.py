# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a connection that say where its token comes from.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check import token
from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import TokenUnusableError
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import commands, origin
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import CERTIFICATE_SOURCE_KEYS
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.token import TOKEN_KEYS, TokenSource

# What crdb-sql and an environment file can hold: see _render/literals.py.
_PLAIN = re.compile(r"[ -~]+")


def is_given(facts: Any) -> bool:
    """Whether the facts of a connection have a token."""
    return isinstance(facts, Mapping) and any(facts.get(key) for key in TOKEN_KEYS)


def source(name: str, facts: Mapping[str, Any], connection: Connection) -> TokenSource | None:
    """Where the token of a connection comes from; None where nothing says so.

    Raises OnboardingError for keys that contradict each other, and for what cannot be a token, a path or a command.
    """
    kinds = [key for key in TOKEN_KEYS if facts.get(key)]
    if not kinds:
        return None
    where = origin.label(name, facts)

    def setting(key: str) -> str:
        return origin.setting(name, key)

    if len(kinds) > 1:
        raise OnboardingError(f"{where}: has {' and '.join(map(setting, kinds))}, but a connection may have only one.")
    kind = kinds[0]
    if connection.password is not None:
        raise OnboardingError(
            f"{where}: has {setting(kind)} and a password. A token is sent in place of the password: leave one of them"
            " out."
        )
    others = [key for key in ("sslcert", *CERTIFICATE_SOURCE_KEYS) if facts.get(key)]
    others = others or (["sslcert"] if connection.sslcert else [])
    if others:
        raise OnboardingError(
            f"{where}: has {setting(kind)} and {setting(others[0])}. A user logs in with a token or with a client"
            " certificate: leave one of them out."
        )
    value = facts[kind]
    if kind == "jwt_file":
        return TokenSource(kind, path=_path(f"{where}: {setting(kind)}", value))
    if kind == "jwt_command":
        return TokenSource(kind, command=_command(f"{where}: {setting(kind)}", value))
    try:
        token.claims_of(value.strip())
    except TokenUnusableError:
        raise OnboardingError(
            f"{where}: {setting(kind)} is not a JSON Web Token (three base64url parts with dots between them). Its"
            f" value is not shown. For a file on the host set {setting('jwt_file')}, for a program"
            f" {setting('jwt_command')}."
        ) from None
    return TokenSource(kind, value=value.strip())


def taken_out(connection: Connection, given: TokenSource | None = None) -> tuple[Connection, TokenSource | None]:
    """The connection as it sends a token, and where the token comes from; unchanged and None without one.

    `given`: what `source` found. Without it, a token may stand where the password does, as in the connection string of
    the DB Console. No file may hold it, so it counts as if it had been given in `jwt`.
    """
    found = given or _in_password(connection)
    return (_sending(connection) if found else connection), found


def _in_password(connection: Connection) -> TokenSource | None:
    if connection.password is None or token.OPTION not in (connection.options or "").split():
        return None
    try:
        token.claims_of(connection.password)
    except TokenUnusableError:
        return None
    return TokenSource("jwt", value=connection.password)


def _sending(connection: Connection) -> Connection:
    """The connection without a password, and with the option that makes the server read it as a token."""
    given = (connection.options or "").split()
    options = given if token.OPTION in given else [*given, token.OPTION]
    return connection.replace(options=" ".join(options), password=None)


def _path(where: str, path: str) -> str:
    if token.contains(path):
        raise OnboardingError(f"{where}: contains a token, where the path of its file must be. Its value is not shown.")
    if not path.startswith("/") or not _PLAIN.fullmatch(path) or re.search(r"[\"'\\$` ]", path):
        raise OnboardingError(
            f"{where}: {path!r} must be an absolute path on the host, without spaces, quotes, backslashes, $ and `."
        )
    return path


def _command(where: str, text: str) -> tuple[str, ...]:
    words = commands.words(where, text)
    if not words[0].startswith("/"):
        raise OnboardingError(f"{where}: must begin with the absolute path of a program on the host.")
    if not all(_PLAIN.fullmatch(word) for word in words):
        raise OnboardingError(f"{where}: each argument must consist of printable ASCII characters.")
    if any(token.contains(word) for word in words):
        raise OnboardingError(
            f"{where}: contains a token, which every user of the host could read in the list of processes. Let the"
            " program read it from a file."
        )
    return words
