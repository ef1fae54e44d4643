# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the cluster that a client names, by parsing and rewriting its startup parameters. Pure, without I/O.

The rules are those of the CockroachDB Cloud SQL proxy. The identifier comes from ``database`` (``ID.db``) or
``options`` (``--cluster=ID``), which must agree, or else from the first label of the TLS server name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from sandbox.errors import ProxyError

# Spelled out because Go's \s does not include the vertical tab.
_CLUSTER_FLAG = re.compile(r"(?:-c[\t\n\f\r ]*|--)cluster=([^\t\n\f\r ]*)")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{4,98}[a-z0-9]")
_DIGITS = re.compile(r"[0-9]+")
_MAX_TENANT = 2**64 - 1
# What Go's strings.TrimSpace removes; Python's strip() also removes the separators \x1c to \x1f.
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000"
)

_HINT_FORM = "A cluster identifier has the form <cluster name>-<tenant ID>, for example funky-skunk-123."
_HINT_MISSING = (
    "Name the cluster in one of these ways. 1) Host: connect to the cluster's own host name with a driver that sends it"
    " as TLS server name (SNI). 2) Options: add options=--cluster=<cluster name>-<tenant ID> to the connection"
    " parameters. 3) Database: use <cluster name>-<tenant ID>.<database> as the database name."
)


class RoutingError(ProxyError):
    """The parameters name no cluster, a malformed one, or more than one."""

    def __init__(self, text: str, *hints: str) -> None:
        super().__init__("codeParamsRoutingFailed", text, *hints)


@dataclass(frozen=True)
class ClusterIdentifier:
    """A parsed routing id. ``07`` and ``7`` are the same tenant."""

    name: str
    tenant: int

    def __str__(self) -> str:
        return f"{self.name}-{self.tenant}"


@dataclass(frozen=True)
class Route:
    """The cluster that the client named, and the startup parameters to forward to it."""

    identifier: ClusterIdentifier
    parameters: dict[str, str]


def parse_identifier(text: str) -> ClusterIdentifier:
    """Parse a routing id.

    Raises:
        RoutingError: the id is malformed; the hint names the part.
    """

    def invalid(hint: str) -> RoutingError:
        return RoutingError(f"invalid cluster identifier '{text}'", hint, _HINT_FORM)

    name, dash, tenant = text.rpartition("-")
    if not dash or not tenant:
        raise invalid("Was the tenant ID at the end forgotten?")
    if not _NAME.fullmatch(name):
        raise invalid(f"Is '{name}' a valid cluster name?")
    if not _DIGITS.fullmatch(tenant):
        raise invalid(f"Is '{tenant}' a valid tenant ID?")
    # int() of many digits is slow, and an error from 4300 digits on.
    significant = tenant.lstrip("0")
    if not significant:
        raise invalid(f"Tenant ID {tenant} is invalid.")
    if len(significant) > len(str(_MAX_TENANT)) or int(significant) > _MAX_TENANT:
        raise invalid(f"Is '{tenant}' a valid tenant ID?")
    return ClusterIdentifier(name, int(significant))


def route(parameters: Mapping[str, str], server_name: Optional[str]) -> Route:
    """Find the cluster that a client names.

    Args:
        parameters: the client's startup parameters.
        server_name: the client's SNI, or ``None``.

    Raises:
        RoutingError: the parameters name no cluster, a malformed one, or more than one.
    """
    from_database, database = _split_database(parameters.get("database", ""))
    from_options, options = _split_options(parameters.get("options", ""))
    if not from_database and not from_options:
        return Route(_from_server_name(server_name), dict(parameters))
    if from_database and from_options and from_database != from_options:
        raise RoutingError(
            "multiple different cluster identifiers provided",
            f"Is it '{from_database}' (from the database) or '{from_options}' (from the options)?",
        )
    forwarded = dict(parameters)
    if from_database:
        forwarded["database"] = database
    if from_options:
        if options:
            forwarded["options"] = options
        else:
            del forwarded["options"]
    return Route(parse_identifier(from_database or from_options), forwarded)


def _split_database(value: str) -> tuple[str, str]:
    parts = value.split(".")
    if len(parts) == 1:
        return "", value
    if len(parts) == 2 and all(parts):
        return parts[0], parts[1]
    raise RoutingError("invalid database param")


def _split_options(value: str) -> tuple[str, str]:
    flags = list(_CLUSTER_FLAG.finditer(value))
    if not flags:
        return "", value
    if len(flags) > 1:
        raise RoutingError("multiple cluster flags provided")
    if not flags[0][1]:
        raise RoutingError("invalid cluster flag")
    return flags[0][1], value.replace(flags[0][0], "").strip(_SPACE)


def _from_server_name(server_name: Optional[str]) -> ClusterIdentifier:
    label, dot, _domain = (server_name or "").partition(".")
    if dot:
        try:
            return parse_identifier(label)
        except RoutingError:
            pass  # an ordinary host name, which names no cluster
    raise RoutingError("missing cluster identifier", _HINT_MISSING)
