# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings, keyword strings and mappings, taken apart into the parts of a connection.

The parts are decoded texts by name, not yet validated: `Connection` does that.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from ansible_collections.crdb.onboard.plugins.plugin_utils._model.ca import CA_SOURCE_KEYS
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.errors import refuse
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.escaping import (
    percent_decode,
    refuse_unescaped,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.parts import (
    CLUSTER_FLAG,
    DEFAULT_PORT,
    DIGITS,
    DISCRETE_KEYS,
    FIELDS,
    FROM_JDBC,
    LIBPQ_NAMES,
    PARAMETER_NAME,
    REFUSED_PARAMETERS,
    routing_id_problem,
    valid_deployment,
    valid_text,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.pasted import is_keyword_form
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.placeholders import refuse_placeholders_in_url

CA_KEYS = (*CA_SOURCE_KEYS, "ca_public")
_SCHEMES = ("postgresql", "postgres", "cockroachdb")
_DRIVERS = ("psycopg2", "psycopg", "psycopg_async", "asyncpg")
_URL = re.compile(r"((?:jdbc:)?[A-Za-z][A-Za-z0-9+._-]{0,40})://(.*)", re.DOTALL | re.IGNORECASE)
_QUOTES = "'\"`\u2018\u2019\u201c\u201d\u00ab\u00bb"


def check_scheme(scheme: str) -> None:
    """Raise InvalidConnectionError unless a URL may have this scheme."""
    base, plus, driver = scheme.lower().partition("+")
    if base not in _SCHEMES or (plus and (driver not in _DRIVERS or base == "postgres")):
        known = "postgresql, postgres, cockroachdb (also +psycopg2, +psycopg, +asyncpg) and jdbc:postgresql"
        refuse("scheme", f"the scheme {scheme!r} is not known: use one of {known}")


def url_parts(text: object) -> dict[str, str]:
    """The decoded parts of a connection string, by field name; all other query parameters by their own name.

    libpq's keyword form is read too.
    """
    if not isinstance(text, str) or not text:
        refuse("url", "the connection string is empty or not text: copy it from the Connect dialog")
    valid_text("url", text)
    if "://" not in text and is_keyword_form(text):
        return dsn_parts(text)
    if text != text.strip() or not text[0].isprintable() or not text[-1].isprintable():
        refuse("url", "the URL begins or ends with a space or line break, probably copied along: remove it")
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        refuse("url", "the URL begins or ends with a quote, probably copied along: remove it")
    refuse_placeholders_in_url(text)
    match = _URL.fullmatch(text)
    if match is None:
        _fail_without_scheme(text)
    scheme, rest = match.group(1).lower(), match.group(2)
    jdbc = scheme.startswith("jdbc:")
    if jdbc and scheme != "jdbc:postgresql":
        refuse("scheme", f"the scheme {scheme!r} is not known: use jdbc:postgresql")
    if not jdbc:
        check_scheme(scheme)
    if "&amp;" in rest:
        refuse("parameters", "the URL contains &amp;, probably copied from XML: write & instead")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path, _mark, query = rest[len(authority) :].partition("?")
    _check_structure(rest, authority, path, query)
    parts = _authority_parts(authority)
    if path[1:].rstrip("/") != path[1:]:
        refuse("database", "the database in the URL has a '/' after its name: take it out")
    if "/" in path[1:]:
        refuse_unescaped("database", "/")
    parts["database"] = percent_decode("database", path[1:])
    # An empty value in the query does not take away what the authority says, as in libpq.
    parts.update({name: value for name, value in _query_parts(query, jdbc).items() if value or name not in parts})
    return parts


def _fail_without_scheme(text: str) -> NoReturn:
    if text.lower().startswith("jdbc:postgresql:"):
        refuse("host", "the JDBC URL has no host: write jdbc:postgresql://host:26257/database?...")
    if "://" in text and (re.match(r"(?:export\s+|\$env:)?\w+\s*=", text) or re.match(r"\S+\s", text)):
        refuse(
            "url", "the URL has a command or a variable name in front of it: give only the part from postgresql:// on"
        )
    refuse("scheme", "the URL does not begin with a scheme: write postgresql://user:password@host:26257/database")


def _check_structure(rest: str, authority: str, path: str, query: str) -> None:
    """Refuse delimiters that, unescaped in a password, would make its pieces look like other parts.

    This comes before any part is looked at, so that no later message can show such a piece.
    """
    part = "password" if ":" in authority else "user"
    before, mark, after = rest.partition("#")
    if mark:
        in_query = before.partition("?")[2].rpartition("&")[2].startswith("password=")
        refuse_unescaped("password" if in_query or (":" in authority and "@" in after) else "url", "#")
    if "@" in path:
        refuse_unescaped(part, "/", " or '@' (an '@' is written %40)")
    if "@" in query:
        port = authority.rpartition(":")[2]
        pieces = query.partition("@")[0].split("&")
        if any(not PARAMETER_NAME.match(piece) or "=" not in piece for piece in pieces) or (
            "@" not in authority and ":" in authority and not re.fullmatch(r"[0-9]*\]?", port)
        ):
            refuse_unescaped(part, "?", " or '@' (an '@' is written %40)")
    if authority.count("@") > 1:
        refuse_unescaped("password" if ":" in authority.partition("@")[0] else "user", "@")


def _authority_parts(authority: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    userinfo, at, hostport = authority.rpartition("@")
    user, colon, password = userinfo.partition(":")
    if ":" in password:
        refuse_unescaped("password", ":")
    if at:
        parts["user"] = percent_decode("user", user)
    if colon:
        parts["password"] = percent_decode("password", password)
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?", hostport, re.DOTALL)
    if bracketed:
        host, port = bracketed.group(1), bracketed.group(2)
    else:
        host, colon, after = hostport.partition(":")
        port = after if colon else None
        if "," in hostport:
            refuse("host", "the URL contains several hosts: give one of them, or a load balancer")
    if port is not None and not (DIGITS.fullmatch(port) and 1 <= int(port) <= 65535):
        shown = f" {port!r}" if at and "%" not in port else ""
        hint = "" if at else " (not shown: it may be a password whose '@host' is missing)"
        refuse(
            "port", f"the port{shown} after the host must be a number from 1 to 65535{hint}: write host:{DEFAULT_PORT}"
        )
    if host:
        parts["host"] = percent_decode("host", host)
    if port:
        parts["port"] = port
    return parts


def _query_parts(query: str, jdbc: bool) -> dict[str, str]:
    parts: dict[str, str] = {}
    # As in libpq, an & at the end is followed by no parameter.
    for piece in query.removesuffix("&").split("&") if query else ():
        name, equals, raw = piece.partition("=")
        if not equals or not PARAMETER_NAME.fullmatch(name):
            refuse("parameters", "part of the URL's query is not name=value: check each & and = (& in a value is %26)")
        field, part = driver_key(name)
        if "?" in raw:
            refuse(part, f"the {part} in the URL is followed by a second '?': write & in its place, or %3F in a value")
        add_part(parts, field, part, percent_decode(part, raw, "space" if jdbc else "refused"))
    return parts


def driver_key(name: str) -> tuple[str, str]:
    """A driver's parameter name as (field or parameter, part to blame)."""
    field = LIBPQ_NAMES.get(name, FROM_JDBC.get(name, name))
    if field.lower() in REFUSED_PARAMETERS:
        refuse("parameters", f"the parameter {name!r} is refused: {REFUSED_PARAMETERS[field.lower()]}")
    return field, field if field in FIELDS else "parameters"


def add_part(parts: dict[str, str], field: str, part: str, value: str) -> None:
    """Add a part; a part that is already there must have the same value. Raises InvalidConnectionError."""
    if parts.setdefault(field, value) != value:
        refuse(part, f"{field} is given twice with different values: keep one")


def dsn_parts(text: object) -> dict[str, str]:
    """The decoded parts of libpq's keyword form, by name as in :func:`url_parts`."""
    if not isinstance(text, str) or not text.strip():
        refuse("url", "the keyword string is empty or not text: write host=... user=... dbname=...")
    if _URL.match(text):
        refuse("url", "this is a URL, not libpq's keyword form: read it as a URL")
    token = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)", re.DOTALL)
    parts: dict[str, str] = {}
    place = 0
    while text[place:].strip():
        assignment = token.match(text, place)
        if assignment is None:
            refuse(
                "url", f"the keyword string is not name=value from character {place + 1} on: put values in quotes ('')"
            )
        value = assignment.group(2) if assignment.group(2) is not None else assignment.group(3)
        field, part = driver_key(assignment.group(1))
        add_part(parts, field, part, re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL))
        place = assignment.end()
    return parts


def mapping_parts(values: Mapping[str, Any], more: tuple[str, ...]) -> dict[str, str]:
    """The parts of a mapping that a person or an API wrote, as texts, with ``parameters`` merged in."""
    if not isinstance(values, Mapping):
        refuse("parameters", "the connection is not a mapping of names to values")
    known = ("deployment", *DISCRETE_KEYS, "parameters", *more)
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        refuse("parameters", f"unknown keys: {', '.join(unknown)}. The keys are {', '.join(known)}")
    parts: dict[str, str] = {}
    for name, value in values.items():
        if value is None or value == "" or name == "parameters" or name in CA_KEYS:
            continue
        number = name == "port" and isinstance(value, int) and not isinstance(value, bool)
        parts[name] = str(value) if number else valid_text(name, value)
    extra = values.get("parameters") or {}
    if not isinstance(extra, Mapping):
        refuse("parameters", "parameters is not a mapping of names to values")
    for name, value in extra.items():
        if name in FIELDS or name in LIBPQ_NAMES or name in ("url", "ssl"):
            refuse("parameters", f"{name!r} under parameters is reserved: use the key of that name instead")
        number = isinstance(value, int) and not isinstance(value, bool)
        parts[str(name)] = str(value) if number else valid_text("parameters", value)
    return parts


def normalized(parts: Mapping[str, str], deployment: str | None) -> dict[str, str]:
    """The same parts without empty ones: routing id separated from options and database, ``ssl`` made sslmode."""
    kept = {name: value for name, value in parts.items() if value != ""}
    ssl = kept.pop("ssl", None)
    if ssl is not None:
        modes = {"true": "verify-full", "1": "verify-full", "on": "verify-full", "false": "disable", "0": "disable"}
        mode = {**modes, "no-verify": "require", "off": "disable"}.get(ssl.lower(), ssl)
        if "sslmode" in kept and kept["sslmode"] != mode and (mode == "disable" or mode == ssl):
            refuse("sslmode", f"sslmode is {kept['sslmode']!r} and ssl is {ssl!r}: keep sslmode=verify-full alone")
        kept.setdefault("sslmode", mode)
    flags = CLUSTER_FLAG.findall(kept.get("options", ""))
    if len(flags) > 1:
        refuse("routing_id", "the options name the cluster more than once: keep one --cluster flag")
    if flags and not flags[0]:
        refuse("routing_id", "the --cluster flag in the options is empty: write the routing id after its =")
    routing_ids = list(flags)
    if flags:
        kept["options"] = CLUSTER_FLAG.sub("", kept["options"]).strip()
    identifier, dot, database = kept.get("database", "").partition(".")
    serverless = deployment is None or valid_deployment(deployment) == "serverless"
    if serverless and dot and database and "." not in database and routing_id_problem(identifier) is None:
        routing_ids.append(identifier)
        kept["database"] = database
        if not flags:
            kept.setdefault("routing", "database")
    for other in routing_ids:
        if kept.setdefault("routing_id", other) != other:
            refuse("routing_id", f"{kept['routing_id']!r} and {other!r} name different clusters: keep one routing id")
    return {name: value for name, value in kept.items() if value != "" and (name, value) != ("routing", "auto")}


def merge(sources: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The parts of all sources. A later source adds what earlier ones lack, and must not contradict them."""
    merged: dict[str, str] = {}
    fold: dict[str, Callable[[str], str]] = {
        "host": str.lower,
        "sslmode": str.lower,
        "user": str.lower,
        "port": lambda text: text.lstrip("0"),
    }
    for source in sources:
        for name, value in source.items():
            same = fold.get(name, str)
            if name in merged and same(merged[name]) != same(value):
                part = name if name in FIELDS else "parameters"
                refuse(part, f"the URL and the value given beside it differ in {name!r}: keep one of the two")
            merged.setdefault(name, value)
    return merged
