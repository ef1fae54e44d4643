# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a connection: what each may hold, and its one canonical form.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable

from ansible_collections.crdb.onboard.plugins.plugin_utils._model.errors import refuse
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.placeholders import refuse_placeholder

DEFAULT_PORT = 26257
DEFAULT_DATABASE = "defaultdb"
JAVA_SSL_FACTORY = "org.postgresql.ssl.DefaultJavaSSLFactory"
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
ROUTINGS = ("auto", "options", "database", "sni")
DEPLOYMENTS: dict[str, str] = {
    **dict.fromkeys(("serverless", "basic", "standard"), "serverless"),
    **dict.fromkeys(("dedicated", "advanced"), "dedicated"),
    **dict.fromkeys(("self_hosted", "self-hosted", "selfhosted", "core"), "self_hosted"),
}
TLS_KEYS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
DISCRETE_KEYS = ("host", "port", "database", "user", "password", "routing_id", "routing", *TLS_KEYS, "options")
FIELDS = ("deployment", *DISCRETE_KEYS, "parameters")
CLOUD_DOMAIN = ".cockroachlabs.cloud"
LIBPQ_NAMES = {"dbname": "database"}
JDBC_NAMES = {"application_name": "ApplicationName", "connect_timeout": "connectTimeout"}
FROM_JDBC = {jdbc: libpq for libpq, jdbc in JDBC_NAMES.items()}
REFUSED_PARAMETERS = {
    "hostaddr": "drivers other than libpq ignore it and would connect to another address",
    **dict.fromkeys(("service", "servicefile"), "it refers to settings in a file that is not read here"),
    **dict.fromkeys(
        ("sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"),
        "it is a secret, and the password is the only secret that a connection can have",
    ),
    **dict.fromkeys(("passwd", "pass", "pwd"), "write it as password"),
    "username": "write it as user",
    **dict.fromkeys(("cluster", "routing_id"), "drivers do not know it; write options=--cluster%3D<routing-id>"),
    **dict.fromkeys(("routing", "deployment", "parameters"), "drivers do not know it"),
}
# Go's \s and \S, not Python's: the routing proxy's own rule decides what a cluster flag is.
_NUMBERS = ("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count")
CLUSTER_FLAG = re.compile(r"(?:-c[\t\n\f\r ]*|--)cluster=([^\t\n\f\r ]*)")
_CLUSTER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{4,98}[a-z0-9]")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DIGITS = re.compile(r"[0-9]{1,20}")
_HOST_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
SHARED_HOST = re.compile(r"free-tier[0-9-]*\..*")
PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_MASKED = re.compile("\\*{3,}|\u2022{3,}|VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")


def is_masked(value: str) -> bool:
    """Whether a value only stands for a password that is not shown, such as a row of stars."""
    return _MASKED.fullmatch(value) is not None


def ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is, or None for a host name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def first_label(host: str) -> str:
    """The text before the first dot of a host name."""
    return host.partition(".")[0]


def routing_in_effect(routing: str, routing_id: str | None) -> str:
    """The routing that is used: 'auto' means 'options' with a routing id, else 'sni'."""
    return routing if routing != "auto" else "options" if routing_id else "sni"


def valid_deployment(name: str) -> str:
    """The deployment by its own name. Raises InvalidConnectionError, as all of these do."""
    known = DEPLOYMENTS.get(name.lower()) if isinstance(name, str) else None
    if known is None:
        refuse("deployment", f"deployment {name!r} is not known: use one of {', '.join(DEPLOYMENTS)}")
    return known


def valid_text(part: str, value: object) -> str:
    """The value as plain text that UTF-8 can hold, or an error that does not show it."""
    if not isinstance(value, str):
        refuse(part, f"{part} is not text (it is of type {type(value).__name__}): put it in quotes")
    if "\0" in value:
        refuse(part, f"{part} contains a NUL character, which no server accepts: remove it")
    if any("\ud800" <= char <= "\udfff" for char in value):
        refuse(part, f"{part} contains half of a surrogate pair, which is not a character: type the value again")
    return str(value)


def valid_user(value: object) -> str:
    """The user as it was written. The server folds the case, and the check follows the server's rules."""
    if value is None or value == "":
        refuse("user", "the user is missing: give the SQL user's name (in a URL: postgresql://user:password@host...)")
    user = valid_text("user", value)
    refuse_placeholder("user", user)
    folded = unicodedata.normalize("NFC", user).lower()
    for place, char in enumerate(folded):
        if not (char in "0123456789_" or unicodedata.category(char) == "Ll" or (place and char in "-.")):
            # What follows the character is not shown: it may be a password behind an encoded colon.
            refuse(
                "user",
                f"the user name {folded[:place] + '...'!r} contains {char!r}: a SQL user name may have only letters, "
                "digits and _ , and after the first character also - and . (an e-mail address is not a SQL user name)",
            )
    if len(folded) > 63:
        refuse("user", f"the user name has {len(folded)} characters: at most 63 are allowed")
    if folded == "none" or folded.startswith(("pg_", "crdb_internal")):
        refuse("user", f"the user name {user!r} is reserved (none, pg_..., crdb_internal...): use another SQL user")
    return user


def valid_password(value: object) -> str | None:
    """The password, or None if it is empty."""
    if value is None or value == "":
        return None
    password = valid_text("password", value)
    if is_masked(password):
        refuse("password", "the password is masked: replace it with the real password")
    if password != password.strip("\r\n"):
        refuse("password", "the password begins or ends with a line break, probably copied from a file: remove it")
    refuse_placeholder("password", password)
    return password


def valid_host(value: object, deployment: str) -> str:
    """The host in lower case; an IPv6 address has no brackets."""
    if value is None or value == "":
        refuse("host", "the host is missing: give the cluster's host name (in a URL: after the @)")
    host = valid_text("host", value).lower()
    refuse_placeholder("host", host.upper() if host.startswith("$") else host)
    if "@" in host:
        refuse(
            "host",
            "the host contains an '@' (not shown: it may contain a password): give the host name only",
        )
    if "://" in host:
        refuse("host", "the host contains a scheme (...://): give the host name only, or the whole text as url")
    if "," in host:
        refuse("host", f"the host {host!r} contains several hosts: give one of them, or a load balancer")
    if host.startswith("/"):
        refuse("host", f"the host {host!r} is a Unix socket, which has no TLS: give a host name")
    address = ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    if address is not None and "%" not in host:
        # A tunnel to the Cloud may end at ::1.
        if address.version == 6 and deployment != "self_hosted" and not address.is_loopback:
            refuse("host", f"the host {host!r} is IPv6, but CockroachDB Cloud supports IPv4 only: give the host name")
        return str(address)
    named, _colon, port = host.partition(":")
    if port and _HOST_NAME.fullmatch(named):
        refuse("host", f"the host {host!r} contains a port: give host and port separately")
    if host.endswith("."):
        refuse("host", f"the host {host!r} ends with a dot, which never matches a certificate: remove the dot")
    # Numbers alone are not a name: resolvers read 10.1 or 1.2.3.256 as addresses, each in its own way.
    if not _HOST_NAME.fullmatch(host) or len(host) > 253 or re.fullmatch(r"[0-9.]+", host):
        refuse("host", f"the host {host!r} is not a host name or an IP address: copy it from the Connect dialog")
    return host


def valid_port(value: object) -> int:
    """The port as a number from 1 to 65535."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not DIGITS.fullmatch(text) or not 1 <= int(text) <= 65535:
        refuse("port", f"the port {value!r} must be a number from 1 to 65535: CockroachDB's default is {DEFAULT_PORT}")
    return int(text)


def valid_database(value: object, deployment: str) -> str:
    """The database, which on serverless must have no dot."""
    database = valid_text("database", value)
    if database == "":
        refuse("database", f"the database name is empty: give one, such as {DEFAULT_DATABASE}")
    refuse_placeholder("database", database)
    if len(database.encode()) > 63:
        refuse("database", f"the database name {database!r} is longer than 63 bytes")
    if database in (".", ".."):
        # Measured: the WHATWG parser (Node.js) takes such a segment out of a URL's path, encoded or not.
        refuse("database", f"the database name {database!r} is a folder in a URL: use another name")
    if deployment == "serverless" and "." in database:
        refuse(
            "database",
            f"the database name {database!r} contains a dot: on Serverless the routing proxy reads the text before a "
            "dot as a routing id (<cluster-name>-<number>). Use a database without a dot in its name",
        )
    return database


def valid_sslmode(value: object) -> str:
    """The sslmode in lower case, which is verify-full: the service is reached in no other way."""
    mode = valid_text("sslmode", value).lower()
    bare = re.sub("[^a-z-].*", "", mode, flags=re.DOTALL)
    if mode not in SSL_MODES and bare in SSL_MODES:
        refuse("sslmode", f"sslmode {value!r} has more than {bare} in it: take out what follows it")
    if mode not in SSL_MODES:
        refuse("sslmode", f"sslmode {value!r} is not known: use verify-full")
    if mode != "verify-full":
        refuse(
            "sslmode",
            f"sslmode {mode!r} is weaker than verify-full: unless both the CA and the host name are verified, anybody "
            "between client and server can read the password. Use verify-full",
        )
    return mode


def valid_path(part: str, value: object) -> str | None:
    """The path, or None if it is empty."""
    return None if value is None or value == "" else valid_text(part, value)


def valid_options(value: object) -> str | None:
    """The start-up options without a cluster flag, or None."""
    if value is None:
        return None
    options = valid_text("options", value).strip()
    if CLUSTER_FLAG.search(options):
        refuse("options", "the options contain a cluster flag: give the cluster as routing_id")
    return options or None


def routing_id_problem(value: str) -> str | None:
    """None for ``<cluster-name>-<tenant number>``, else what is wrong with it."""
    name, dash, tenant = value.rpartition("-")
    if _UUID.fullmatch(value):
        return "is the cluster's id, not its routing id: copy the routing id from the Connect dialog"
    if not dash or not tenant or (not re.match("[0-9]", tenant) and _CLUSTER_NAME.fullmatch(value)):
        return "has no tenant number at its end"
    if not DIGITS.fullmatch(tenant) or not 1 <= int(tenant) <= 2**64 - 1:
        return f"ends in {tenant!r}, which is not a tenant number"
    if not _CLUSTER_NAME.fullmatch(name):
        return f"has the cluster name {name!r}, which must be 6 to 100 lower-case letters, digits and dashes"
    return None


def valid_routing(deployment: str, host: str, routing: object, routing_id: object) -> tuple[str, str | None]:
    """The routing and the routing id, checked against each other and against the host."""
    if routing not in ROUTINGS:
        refuse("routing", f"routing {routing!r} is not known: use one of {', '.join(ROUTINGS)}")
    way = str(routing)
    identifier = None if routing_id is None or routing_id == "" else valid_text("routing_id", routing_id)
    if deployment != "serverless":
        if identifier is not None:
            refuse(
                "routing_id",
                f"routing id {identifier!r} applies to Serverless only, but the deployment is {deployment}: remove it",
            )
        if way != "auto":
            refuse(
                "routing", f"routing {way!r} applies to Serverless only, but the deployment is {deployment}: remove it"
            )
        return way, None
    by_host = first_label(host) if "." in host and not ip_address(host) else ""
    if way in ("options", "database") and identifier is None and by_host and not routing_id_problem(by_host):
        identifier = by_host
    if identifier is not None:
        refuse_placeholder("routing_id", identifier)
        problem = routing_id_problem(identifier)
        if problem:
            refuse("routing_id", f"the routing id {identifier!r} {problem}. Expected <cluster-name>-<number>")
    if routing_in_effect(way, identifier) == "sni":
        _check_sni(host, by_host)
    elif identifier is None:
        refuse("routing_id", f"routing {way!r} needs a routing id: copy it from the Connect dialog")
    named = by_host and not routing_id_problem(by_host) and (way == "sni" or host.endswith(CLOUD_DOMAIN))
    if identifier is not None and named and identifier != by_host:
        refuse("routing_id", f"the routing id {identifier!r} and the host name ({by_host!r}) name different clusters")
    return way, identifier


def _check_sni(host: str, label: str) -> None:
    """Whether the routing proxy can read the cluster from the TLS server name, as it must without a routing id."""
    if not label:
        kind = "an IP address, for which TLS sends no server name" if ip_address(host) else "a name without a dot"
        refuse("host", f"the host {host!r} is {kind}, so it cannot name a Serverless cluster: give the routing id too")
    if SHARED_HOST.fullmatch(host):
        refuse(
            "routing_id", f"the routing id is missing: many clusters share the host {host!r}, so give the routing id"
        )
    if routing_id_problem(label):
        refuse(
            "routing_id",
            f"the routing id is missing: the host name {host!r} does not begin with one ({label!r} is not "
            "<cluster-name>-<number>). Give the routing id, or the cluster's own host name",
        )


def valid_parameters(
    pairs: Iterable[tuple[str, str]], deployment: str, by_host: bool, has_ca: bool
) -> tuple[tuple[str, str], ...]:
    """The driver parameters by their libpq names, without empty values."""
    kept: dict[str, str] = {}
    for key, value in pairs:
        if not isinstance(key, str) or not PARAMETER_NAME.fullmatch(key):
            refuse("parameters", "a parameter name may have only letters, digits and _.-: check each & and =")
        name = FROM_JDBC.get(key, key)
        if name in kept:
            refuse("parameters", f"the parameter {name!r} is given twice: keep one")
        folded = name.lower()
        if folded in REFUSED_PARAMETERS:
            refuse("parameters", f"the parameter {name!r} is refused: {REFUSED_PARAMETERS[folded]}")
        if folded in FIELDS or folded in LIBPQ_NAMES or folded == "ssl":
            refuse("parameters", f"the parameter {name!r} is reserved: write it as {folded!r}, in its own place")
        text = valid_text("parameters", value)
        _check_parameter(name, text, deployment, by_host)
        if text and not (name == "sslfactory" and has_ca):
            kept[name] = text
    return tuple(kept.items())


def _check_parameter(name: str, value: str, deployment: str, by_host: bool) -> None:
    if name in _NUMBERS and value and not re.fullmatch("-?[0-9]{1,9}", value):
        refuse("parameters", f"the value of the parameter {name!r} is not a whole number: correct it")
    if name == "sslfactory" and value not in ("", JAVA_SSL_FACTORY):
        refuse("parameters", f"this sslfactory might not verify the server: use {JAVA_SSL_FACTORY}, or remove it")
    if name == "sslhostnameverifier" and value:
        refuse("parameters", "sslhostnameverifier replaces the host name verification: remove it")
    if name == "sslnegotiation" and value == "direct":
        refuse("parameters", "CockroachDB's proxy does not support sslnegotiation=direct: remove it")
    if name == "channel_binding" and value == "require" and deployment == "serverless":
        refuse("parameters", "channel_binding=require cannot work because the routing proxy terminates TLS: remove it")
    if name == "sslsni" and value == "0" and by_host:
        refuse("parameters", "sslsni=0 removes the server name that routes to the cluster: remove it")


def is_cloud_host(host: str) -> bool:
    """Whether a host name is one of CockroachDB Cloud's."""
    return host.lower().endswith(CLOUD_DOMAIN)


def infer_deployment(host: str, routing_id: str | None = None) -> str:
    """The deployment that a host name and a routing id suggest.

    serverless: a routing id was given, or under cockroachlabs.cloud the first label is one, or the host is a shared
    ``free-tier`` one. dedicated: any other name under cockroachlabs.cloud or crdb.io. self_hosted: all others.
    A dedicated cluster whose short id happens to be all digits looks serverless: name its deployment.
    """
    host = host.lower()
    if routing_id or SHARED_HOST.fullmatch(host):
        return "serverless"
    if host.endswith(CLOUD_DOMAIN):
        return "serverless" if routing_id_problem(first_label(host)) is None else "dedicated"
    return "dedicated" if host.endswith(".crdb.io") else "self_hosted"
