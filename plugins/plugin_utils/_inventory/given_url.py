# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection string that is checked as it was given: what libpq would do with it, where that differs from the check.

The project writes connection strings of its own, with every part. This is about the others. Source: libpq's
documentation ("Connection URIs", "Parameter Key Words"), compared with psycopg's and psql's libpq in
tests/unit/plugins/plugin_utils/test_given_url.py.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import note
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.parameters import KNOWN
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection, parse_url, pasted_url
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.reading import dsn_parts

_LIBPQ_SCHEMES = ("postgresql://", "postgres://")
# What has a place of its own in a Connection, and libpq's other names.
_FIELDS = frozenset(
    {
        "user",
        "password",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "passfile",
    }
    | {"service", "servicefile", "replication", "authtype", "tty", "requiressl"}
)
_MODE = re.compile(r"(?:[?&]|^|\s)sslmode\s*=\s*'?(?P<mode>disable|allow|prefer|require|verify-ca)\b'?", re.I)
_SSL = re.compile(r"(?<=[?&])ssl=(?P<mode>false|0|off|no-verify)(?=&|$)", re.I)
_WEAK = {
    "disable": "without TLS, so that everybody on the network path can read the password",
    "allow": "with TLS only where the server insists, and unverified",
    "prefer": "with TLS where the server offers it, and unverified",
    "require": "with TLS, and unverified unless ~/.postgresql/root.crt exists",
    "verify-ca": "with TLS, and without comparing the host name with the certificate",
}


def read(text: str) -> tuple[Connection, list[dict[str, str]]]:
    """The connection, and a note on each thing that libpq would do differently. Raises InvalidConnectionError.

    A weaker sslmode is not followed: the check verifies the server in any case.
    """
    url = pasted_url(text)
    mode, url = _verified(url)
    connection = parse_url(url)
    notes = [note(code, host=connection.host, **words) for code, words in _differences(url, connection)]
    if mode:
        notes.insert(0, note("url_sslmode", host=connection.host, mode=mode, weak=_WEAK[mode.partition(" ")[0]]))
    return connection, notes


def _verified(url: str) -> tuple[str, str]:
    """The sslmode that is weaker than verify-full, empty for none; and the string with verify-full in its place."""
    found = _MODE.search(url)
    if found:
        start, end = found.start("mode"), found.end("mode")
        return found.group("mode").lower(), url[:start] + "verify-full" + url[end:]
    found = _SSL.search(url)
    if found:
        mode = "require" if found.group("mode").lower() == "no-verify" else "disable"
        return mode, url[: found.start()] + "sslmode=verify-full" + url[found.end() :]
    if url.startswith(_LIBPQ_SCHEMES):
        silent = not re.search(r"[?&](sslmode|ssl)=", url)
    else:
        silent = "://" not in url and not re.search(r"(?:^|\s)sslmode\s*=", url)
    return ("prefer (libpq's default)" if silent else ""), url


def _differences(url: str, connection: Connection) -> Iterator[tuple[str, dict[str, object]]]:
    """The codes and words of the notes on a URL, or a text of keywords, for libpq."""
    if "://" not in url:
        yield from _differences_of_keywords(dsn_parts(url), connection)
    if not url.startswith(_LIBPQ_SCHEMES):
        return
    authority, _slash, rest = url.partition("://")[2].partition("/")
    host = authority.rpartition("@")[2]
    query = (rest if "?" in rest else authority).partition("?")[2]
    pairs = [piece.split("=") for piece in query.split("&") if piece]
    if not re.search(r":\d+$", host.partition("?")[0]) and not any(pair[0] == "port" for pair in pairs):
        yield "libpq_port", {"port": connection.port}
    for name, *values in pairs:
        if len(values) > 1:
            why, cure = f"the value of {name} has a bare '='", "write %3D in its place"
        elif name not in KNOWN["libpq"] | _FIELDS and [name, *values] != ["ssl", "true"]:
            why, cure = _unknown(name)
        else:
            continue
        yield "libpq_refuses_url", {"why": why, "remedy": cure}


def _differences_of_keywords(
    parts: Mapping[str, str], connection: Connection
) -> Iterator[tuple[str, dict[str, object]]]:
    if "port" not in parts:
        yield "libpq_port", {"port": connection.port}
    for name, _value in connection.parameters:
        if name not in KNOWN["libpq"] | _FIELDS:
            why, cure = _unknown(name)
            yield "libpq_refuses_url", {"why": why, "remedy": cure}


def _unknown(name: str) -> tuple[str, str]:
    return f"it does not know the parameter {name}", "take it out, or give it to the programs that know it"
