# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection to one database: parsed, validated and written back here and nowhere else.

PRIVATE to the collection crdb.onboard: no promise is made to other callers.

Everything is pure: no file, name service or environment is read. Every failure is an :class:`InvalidConnection`,
raised outside any ``except`` block, so that no chained exception carries a piece of the input.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, Optional
from urllib.parse import quote, quote_plus, unquote_to_bytes
from xml.sax.saxutils import escape as xml_escape

DEFAULT_PORT = 26257
DEFAULT_DATABASE = "defaultdb"
MASK = "********"
JAVA_SSL_FACTORY = "org.postgresql.ssl.DefaultJavaSSLFactory"
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
ROUTINGS = ("auto", "options", "database", "sni")
DEPLOYMENTS: dict[str, str] = {
    **dict.fromkeys(("serverless", "basic", "standard"), "serverless"),
    **dict.fromkeys(("dedicated", "advanced"), "dedicated"),
    **dict.fromkeys(("self_hosted", "self-hosted", "selfhosted", "core"), "self_hosted"),
}
CA_KEYS = ("ca_file", "ca_url", "ca_text", "ca_public")

_TLS_KEYS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_DISCRETE_KEYS = ("host", "port", "database", "user", "password", "routing_id", "routing", *_TLS_KEYS, "options")
_FIELDS = ("deployment", *_DISCRETE_KEYS, "parameters")
_CLOUD_DOMAIN = ".cockroachlabs.cloud"
_SCHEMES = ("postgresql", "postgres", "cockroachdb")
_DRIVERS = ("psycopg2", "psycopg", "psycopg_async", "asyncpg")
_LIBPQ_NAMES = {"dbname": "database"}
_CONSOLE_NAMES = {"username": "user", "hostname": "host", "dbname": "database", "db": "database"}
_JDBC_NAMES = {"application_name": "ApplicationName", "connect_timeout": "connectTimeout"}
_FROM_JDBC = {jdbc: libpq for libpq, jdbc in _JDBC_NAMES.items()}
_ENVIRONMENT = {
    "PGHOST": "host",
    "PGPORT": "port",
    "PGDATABASE": "database",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGOPTIONS": "options",
    "PGAPPNAME": "application_name",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGCLIENTENCODING": "client_encoding",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
    "PGCHANNELBINDING": "channel_binding",
    "PGGSSENCMODE": "gssencmode",
    "PGSSLCRL": "sslcrl",
    "PGSSLSNI": "sslsni",
}
_URL_VARIABLES = ("DATABASE_URL", "JDBC_DATABASE_URL", "COCKROACH_URL")

_REFUSED_PARAMETERS = {
    "hostaddr": "drivers other than libpq ignore it, so they would connect somewhere else",
    **dict.fromkeys(("service", "servicefile"), "the settings it names are in a file that is not read here"),
    **dict.fromkeys(
        ("sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"),
        "it is a secret, and a connection carries only one: the password",
    ),
    **dict.fromkeys(("passwd", "pass", "pwd"), "write it as password"),
    "username": "write it as user",
    **dict.fromkeys(("cluster", "routing_id"), "drivers know no such name; write options=--cluster%3D<routing-id>"),
    **dict.fromkeys(("routing", "deployment", "parameters"), "drivers know no such name"),
}

# Go's \s and \S, not Python's: the routing proxy's own rule decides what a cluster flag is.
_CLUSTER_FLAG = re.compile(r"(?:-c[\t\n\f\r ]*|--)cluster=([^\t\n\f\r ]*)")
_CLUSTER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{4,98}[a-z0-9]")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DIGITS = re.compile(r"[0-9]{1,20}")
_HOST_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_SHARED_HOST = re.compile(r"free-tier[0-9-]*\..*")
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_URL = re.compile(r"((?:jdbc:)?[A-Za-z][A-Za-z0-9+._-]{0,40})://(.*)", re.DOTALL | re.IGNORECASE)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QUOTES = "'\"`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_NEVER_RAW = frozenset(' "<>[\\]^`{|}')

_PLACEHOLDER = re.compile(
    r"\{\{(?P<template>.*?)\}\}|<(?P<angle>[^<>]+)>|\$?\{(?P<curly>[^{}]+)\}|(?P<dollar>\$[A-Z_][A-Z0-9_]*)"
)
_PLACEHOLDER_PARTS = {
    "password": "p pass passwd password pgpassword pw pwd secret",
    "sslrootcert": "ca cc cert certificate certs ck",
    "routing_id": "cluster clusterid rid routing routingid tenant",
    "host": "address h host hostname pghost",
    "port": "pgport port",
    "url": "connectionstring string uri url",
    "user": "pguser sqluser u user userid username",
    "database": "database databasename db dbname pgdatabase",
    "": "a balancer cloud cockroach connection crdb dir directory enter file folder global id insert jdbc key load my "
    "name of path pg placeholder region replace root sql the var variable vault with your",
}
_PLACEHOLDER_WORDS = {word: part for part, words in _PLACEHOLDER_PARTS.items() for word in words.split()}
_PASSFILE_FIELD = re.compile(r"((?:\\.|[^:\\])*)(?::|$)")
_SERVICE_LINE = 250
_MASKED = re.compile("\\*{3,}|\u2022{3,}|VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")


class InvalidConnection(ValueError):  # noqa: N818
    """What was given is no usable connection.

    ``part`` names the part at fault: scheme, user, password, host, port, database, routing_id, routing, deployment,
    sslmode, sslrootcert, sslcert, sslkey, options, parameters or url. ``str()`` says what is wrong, the offending
    value where that cannot be a password, and what to do.
    """

    def __init__(self, part: str, message: str) -> None:
        super().__init__(part, message)
        self.part = part

    def __str__(self) -> str:
        return str(self.args[1])


class Connection:
    """The facts needed to reach one database. Immutable; every instance is valid.

    Text fields are decoded (never percent-encoded). ``host`` is lower case, because the routing proxy reads the TLS
    server name byte by byte; an IPv6 address has no brackets. ``parameters`` are the driver parameters that have no
    field, in their libpq spelling, without empty values. ``options`` are the start-up options without the cluster
    flag. Paths are kept as given: no driver expands ``~`` or ``$HOME``. An empty optional value is None.

    Two connections are equal when they reach the same database as the same user in the same way: the user's case
    does not count (names fold), nor whether the routing was ``auto`` or spelled out, nor the order of parameters.

    This is no dataclass, so that ``asdict`` and ``vars`` cannot spill the password; ``repr`` leaves it out, and
    pickling is refused.

    Raises InvalidConnection. Sources: user names, TLS modes and host shapes are the documentation's, the routing id's
    grammar is the routing proxy's (names of 6 to 100 characters, a tenant number from 1 to 2**64 - 1).
    ``sslrootcert=system`` is refused because it was measured to fail in the psycopg wheels, node-postgres and libpq
    before 16; ``sslnegotiation=direct`` because the routing proxy does not speak it; ``channel_binding=require`` on
    serverless because the proxy ends TLS, so there is no channel to bind.
    """

    __slots__ = _FIELDS

    deployment: str
    host: str
    port: int
    database: str
    user: str
    password: Optional[str]
    routing_id: Optional[str]
    routing: str
    sslmode: str
    sslrootcert: Optional[str]
    sslcert: Optional[str]
    sslkey: Optional[str]
    options: Optional[str]
    parameters: tuple[tuple[str, str], ...]

    def __init__(
        self,
        *,
        deployment: str,
        host: str,
        user: str,
        port: int = DEFAULT_PORT,
        database: str = DEFAULT_DATABASE,
        password: Optional[str] = None,
        routing_id: Optional[str] = None,
        routing: str = "auto",
        sslmode: str = "verify-full",
        sslrootcert: Optional[str] = None,
        sslcert: Optional[str] = None,
        sslkey: Optional[str] = None,
        options: Optional[str] = None,
        parameters: Iterable[tuple[str, str]] = (),
        allow_weaker_tls: bool = False,
    ) -> None:
        deployment = _deployment(deployment)
        values: dict[str, Any] = {
            "deployment": deployment,
            "host": _host(host, deployment),
            "port": _port(port),
            "user": _user(user),
            "password": _password(password),
            "database": _database(database, deployment),
            "sslmode": _sslmode(sslmode, allow_weaker_tls),
            "sslrootcert": _path("sslrootcert", sslrootcert),
            "sslcert": _path("sslcert", sslcert),
            "sslkey": _path("sslkey", sslkey),
            "options": _options(options),
        }
        if (values["sslcert"] is None) != (values["sslkey"] is None):
            missing = "sslcert" if values["sslcert"] is None else "sslkey"
            _fail(
                missing, f"{missing} is missing: a client certificate and its key come together. Give both or neither"
            )
        if values["sslrootcert"] == "system":
            _fail(
                "sslrootcert",
                "sslrootcert=system works with few clients (libpq 16 and newer, and not in psycopg's wheels). "
                "Give the path of a CA file, or leave it out",
            )
        values["routing"], values["routing_id"] = _routing(deployment, values["host"], routing, routing_id)
        by_host = deployment == "serverless" and _effective(values["routing"], values["routing_id"]) == "sni"
        values["parameters"] = _parameters(parameters, deployment, by_host, values["sslrootcert"] is not None)
        for name in _FIELDS:
            object.__setattr__(self, name, values[name])

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Connection is immutable: use replace({name}=...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Connection is immutable")

    def __copy__(self) -> Connection:
        return self

    def __deepcopy__(self, memo: object) -> Connection:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Connection holds a password and is not pickled")

    def __repr__(self) -> str:
        # Names only for parameters: what somebody put into an unknown parameter may be a secret.
        shown = [f"{name}={getattr(self, name)!r}" for name in _FIELDS if name not in ("password", "parameters")]
        shown.append(f"parameters={[name for name, _value in self.parameters]!r}")
        return f"Connection({', '.join(shown)})"

    def _identity(self) -> tuple[object, ...]:
        kept = [getattr(self, name) for name in _FIELDS if name not in ("user", "routing", "routing_id", "parameters")]
        folded = unicodedata.normalize("NFC", self.user).lower()
        return (*kept, folded, self.effective_routing, self.effective_routing_id, tuple(sorted(self.parameters)))

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Connection) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    @property
    def effective_routing(self) -> Optional[str]:
        """'options', 'database' or 'sni'; None when the deployment is not serverless."""
        return _effective(self.routing, self.routing_id) if self.deployment == "serverless" else None

    @property
    def effective_routing_id(self) -> Optional[str]:
        """The cluster's routing id, read from the host name where the routing is 'sni'; None if not serverless."""
        return _first_label(self.host) if self.effective_routing == "sni" else self.routing_id

    @property
    def startup_database(self) -> str:
        """The start-up message's ``database``: ``ID.database`` where the routing is 'database'."""
        return f"{self.routing_id}.{self.database}" if self.effective_routing == "database" else self.database

    @property
    def startup_options(self) -> Optional[str]:
        """The start-up message's ``options``, decoded: the cluster flag first where the routing is 'options'."""
        flag = [f"--cluster={self.routing_id}"] if self.effective_routing == "options" else []
        return " ".join(flag + ([self.options] if self.options else [])) or None

    @property
    def server_name(self) -> Optional[str]:
        """The TLS server name (SNI) to send: the host, or None for an IP address."""
        return None if _ip(self.host) else self.host

    def replace(self, *, allow_weaker_tls: bool = False, **changes: Any) -> Connection:
        """A new, validated connection with these fields changed. An sslmode that stays was allowed once already."""
        values = {name: getattr(self, name) for name in _FIELDS}
        values.update(changes)
        return Connection(allow_weaker_tls=allow_weaker_tls or "sslmode" not in changes, **values)

    def url(self, scheme: str = "postgresql", password: str = "encoded", query: str = "full") -> str:  # noqa: S107
        """The general connection string, every byte outside RFC 3986's unreserved set percent-encoded.

        ``scheme``: postgresql, postgres or cockroachdb, the last two also with a SQLAlchemy driver (+psycopg2 ...).
        ``password``: 'encoded', 'masked' (as ``********``, which is refused when read back) or 'omitted'.
        ``query``: 'full'; 'ssl' for ``?ssl=true`` alone (Sequelize up to 6.9); 'none' (TypeORM, which drops a query).
        The JDBC parameter ``sslfactory`` is left out: libpq refuses parameters that it does not know.
        Raises ValueError for an unknown argument, InvalidConnection where 'ssl' would lose the cluster's name.
        """
        _check_scheme(scheme)
        secret = self._shown(password)
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = _encode(self.user) if secret is None else f"{_encode(self.user)}:{_encode(secret)}"
        base = f"{scheme}://{user}@{host}:{self.port}/{_encode(self.startup_database)}"
        if query == "none":
            return base
        if query == "ssl":
            if self.effective_routing == "options":
                _fail("routing", "the form with ssl=true cannot carry routing 'options': use 'database' or 'sni'")
            return f"{base}?ssl=true"
        if query != "full":
            raise ValueError(f"query is {query!r}: use full, ssl or none")
        return f"{base}?{_query(pair for pair in self._pairs() if pair[0] != 'sslfactory')}"

    def jdbc_url(self, password: str = "encoded", sslfactory: bool = False) -> str:  # noqa: S107
        """The JDBC URL: credentials in the query, a space as %20 and a plus as %2B (a bare plus means a space there).

        ``sslfactory=True`` adds DefaultJavaSSLFactory, the guide's form: the JVM's trust store. It is never written
        beside sslrootcert, which that factory ignores. Raises ValueError for an unknown argument.
        """
        secret = self._shown(password)
        pairs = [("user", self.user)] + ([("password", secret)] if secret is not None else [])
        rest = [(_JDBC_NAMES.get(name, name), value) for name, value in self._pairs() if name != "sslfactory"]
        if not self.sslrootcert and (sslfactory or dict(self.parameters).get("sslfactory")):
            rest.insert(1, ("sslfactory", JAVA_SSL_FACTORY))
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"jdbc:postgresql://{host}:{self.port}/{_encode(self.startup_database)}?{_query(pairs + rest)}"

    def dsn(self, password: str = "encoded") -> str:  # noqa: S107
        """libpq's keyword form, values in single quotes where needed. ``password`` as in :meth:`url`."""
        pairs = [("host", self.host), ("port", str(self.port)), ("dbname", self.startup_database), ("user", self.user)]
        secret = self._shown(password)
        pairs += ([("password", secret)] if secret is not None else []) + self._pairs()
        return " ".join(f"{name}={_dsn_value(value)}" for name, value in pairs if name != "sslfactory")

    def parameters_form(self, password: str = "encoded") -> dict[str, Any]:  # noqa: S107
        """The Console's 'Parameters only': Host, Port (text, as the Cloud API has it), Database, Username, Password,
        then sslmode, sslrootcert, sslcert, sslkey, options where set, and ``parameters`` (a mapping) where any.
        """
        form: dict[str, Any] = {"Host": self.host, "Port": str(self.port), "Database": self.startup_database}
        form["Username"] = self.user
        secret = self._shown(password)
        if secret is not None:
            form["Password"] = secret
        form.update(pair for pair in self._pairs() if pair not in self.parameters)
        if self.parameters:
            form["parameters"] = dict(self.parameters)
        return form

    def environment(self, *, jdbc: bool = False) -> dict[str, str]:
        """DATABASE_URL, and JDBC_DATABASE_URL with ``jdbc=True``: values that need no escape inside single quotes."""
        return {"DATABASE_URL": self.url(), **({"JDBC_DATABASE_URL": self.jdbc_url()} if jdbc else {})}

    def libpq_environment(self) -> dict[str, str]:
        """The PG* variables, decoded. Raises InvalidConnection for a parameter that has no variable in libpq."""
        variables = {field: name for name, field in _ENVIRONMENT.items()}
        pairs = [("host", self.host), ("port", str(self.port)), ("database", self.startup_database)]
        pairs += [("user", self.user)] + ([("password", self.password)] if self.password else []) + self._pairs()
        for name, _value in pairs:
            if name not in variables and name != "sslfactory":
                _fail("parameters", f"parameter {name!r} has no PG* environment variable: use a URL for it")
        return {variables[name]: value for name, value in pairs if name in variables}

    def service(self, name: str) -> str:
        """A section of libpq's ``pg_service.conf``, without the password, which :meth:`passfile_line` has.

        Raises InvalidConnection for a value that the format has no form for: libpq takes white space off a line's ends,
        and before version 14 refuses a whole file for one line of 255 bytes.
        """
        pairs = [("host", self.host), ("port", str(self.port)), ("dbname", self.startup_database), ("user", self.user)]
        lines = [f"[{name}]"]
        for key, value in pairs + [pair for pair in self._pairs() if pair[0] != "sslfactory"]:
            line = f"{key}={value}"
            if value != value.strip() or re.search(r"[\r\n]", value) or len(line.encode("utf-8")) > _SERVICE_LINE:
                part = "database" if key == "dbname" else key if key in _FIELDS else "parameters"
                _fail(
                    part,
                    f"{key} cannot stand in pg_service.conf: a value there is one line of at most {_SERVICE_LINE} bytes"
                    " and has no white space at its ends",
                )
            lines.append(line)
        return "".join(f"{line}\n" for line in lines)

    def passfile_line(self) -> Optional[str]:
        """The connection's line of libpq's ``.pgpass``; None without a password. Raises InvalidConnection."""
        if self.password is None:
            return None
        fields = [self.host, str(self.port), self.startup_database, self.user, self.password]
        if any(re.search(r"[\r\n]", field) for field in fields):
            _fail("password", "a line break cannot stand in .pgpass: change it, or leave psql_service out")
        escaped = [re.sub(r"([\\:])", r"\\\1", field) for field in fields]
        # A lone star would mean any value.
        return ":".join([*("\\*" if field == "*" else field for field in escaped[:4]), escaped[4]]) + "\n"

    def client_command(self, program: str = "cockroach") -> str:
        """``cockroach sql --url '...'`` for a shell, without the password, which the client asks for."""
        sql = "" if program.endswith("cockroach-sql") else " sql"
        return f"{shlex.quote(program)}{sql} --url {shlex.quote(self.url('postgresql', 'omitted'))}"

    def secrets(self) -> tuple[str, ...]:
        """Every form in which the password may turn up in a file or a log, longest first; empty without a password."""
        if self.password is None:
            return ()
        raw = self.password
        encoded = [_encode(raw), quote_plus(raw)]
        forms = {raw, *encoded, *(re.sub("%[0-9A-F]{2}", lambda hit: hit.group().lower(), text) for text in encoded)}
        forms |= {json.dumps(raw)[1:-1], json.dumps(raw, ensure_ascii=False)[1:-1]}
        forms |= {_dsn_escape(raw), raw.replace("'", "'\"'\"'"), xml_escape(raw), xml_escape(raw, {'"': "&quot;"})}
        forms |= {re.sub(r"([\\:])", r"\\\1", raw)}
        forms |= {base64.b64encode(raw.encode()).decode(), base64.urlsafe_b64encode(raw.encode()).decode()}
        return tuple(sorted(forms - {""}, key=lambda form: (-len(form), form)))

    def _shown(self, password: str) -> Optional[str]:
        if password not in ("encoded", "masked", "omitted"):
            raise ValueError("password must be one of encoded, masked and omitted")
        return {"encoded": self.password, "masked": MASK, "omitted": None}[password]

    def _pairs(self) -> list[tuple[str, str]]:
        named = [*((name, getattr(self, name)) for name in _TLS_KEYS), ("options", self.startup_options)]
        return [(name, value) for name, value in named if value is not None] + list(self.parameters)


def parse_url(text: str, *, deployment: Optional[str] = None, allow_weaker_tls: bool = False) -> Connection:
    """Read a connection string: ``postgresql://``, ``postgres://``, ``cockroachdb://`` (also with a SQLAlchemy driver
    such as ``cockroachdb+psycopg2://``) or ``jdbc:postgresql://``.

    As in libpq, query parameters (user, password, host, port, dbname, ssl*) override what stands before them. The
    routing id is read from ``options`` (``--cluster%3DID``, ``-c cluster=ID``, raw ``=`` too), else from a database
    ``ID.db``, else from the host name. ``ssl=true`` means verify-full, as it does in the drivers that take it.
    A bare plus in the query is a space in a JDBC URL and refused in others, because drivers disagree there.

    ``deployment``: any key of DEPLOYMENTS; None infers it, see :func:`infer_deployment`.
    ``allow_weaker_tls``: accept an sslmode below verify-full. Raises InvalidConnection.
    """
    return _assemble([_normalise(_split_url(text), deployment)], deployment, allow_weaker_tls)


def parse_dsn(text: str, *, deployment: Optional[str] = None, allow_weaker_tls: bool = False) -> Connection:
    """Read libpq's keyword form (``host=... user=...``), quoted as libpq does. Raises InvalidConnection."""
    return _assemble([_normalise(_split_dsn(text), deployment)], deployment, allow_weaker_tls)


def parse_parameters(
    mapping: Mapping[str, Any], *, deployment: Optional[str] = None, allow_weaker_tls: bool = False
) -> Connection:
    """Read what the Console shows as 'Parameters only', in the Cloud API's spelling or any other case.

    Keys: host, port (number or text), database, username or user, password, sslmode, sslrootcert, sslcert, sslkey,
    options, routing_id, routing, deployment, and ``parameters`` (a mapping) for all others. Raises InvalidConnection.
    """
    given: dict[str, Any] = {}
    for key, value in mapping.items():
        name = str(key).lower().replace("-", "_").replace(" ", "_")
        name = _CONSOLE_NAMES.get(name, name)
        if name in given and given[name] != value:
            _fail(name, f"{name} is given twice, with different values: keep one")
        given[name] = value
    parts = _discrete(given, ())
    deployment = deployment or parts.pop("deployment", None)
    return _assemble([_normalise(parts, deployment)], deployment, allow_weaker_tls)


def parse_environment(
    mapping: Mapping[str, str], *, deployment: Optional[str] = None, allow_weaker_tls: bool = False
) -> Connection:
    """Read an environment: the first of DATABASE_URL, JDBC_DATABASE_URL and COCKROACH_URL, completed by the PG*
    variables, which may not contradict it. Empty variables count as unset. Raises InvalidConnection.
    """
    url = next((mapping[name] for name in _URL_VARIABLES if mapping.get(name)), None)
    loose = {field: mapping[name] for name, field in _ENVIRONMENT.items() if mapping.get(name)}
    if url is None and not loose:
        _fail("url", f"the environment holds none of {', '.join(_URL_VARIABLES)} and no PG* variable: set DATABASE_URL")
    sources = ([_split_url(url)] if url is not None else []) + [loose]
    return _assemble([_normalise(source, deployment) for source in sources], deployment, allow_weaker_tls)


def parse_service(
    text: str, name: str, *, passfile: str = "", deployment: Optional[str] = None, allow_weaker_tls: bool = False
) -> Connection:
    """Read a section of libpq's ``pg_service.conf``, and the password from ``.pgpass``: the first line that fits.

    Raises InvalidConnection.
    """
    parts: dict[str, str] = {}
    inside = found = False
    for line in (raw.strip() for raw in text.split("\n")):
        if line.startswith("["):
            inside = line[1:].partition("]")[0] == name and not found
            found = found or inside
        elif inside and line and not line.startswith("#"):
            key, _equals, value = line.partition("=")
            field, part = _driver_key(key)
            _add(parts, field, part, value)
    if not found:
        _fail("url", f"there is no section [{name}] in the service file")
    asked = [parts.get(field, "") for field in ("host", "port", "database", "user")]
    for line in passfile.split("\n"):
        fields = [re.sub(r"\\(.)", r"\1", raw) if raw != "*" else None for raw in _PASSFILE_FIELD.findall(line)]
        if len(fields) > 4 and all(want in (have, None) for have, want in zip(asked, fields)):
            parts.setdefault("password", str(fields[4]))
    return _assemble([_normalise(parts, deployment)], deployment, allow_weaker_tls)


def resolve(facts: Mapping[str, Any], *, allow_weaker_tls: bool = False) -> Connection:
    """Read one entry of the inventory's ``crdb_connections``.

    Keys: url, deployment, host, port, database, user, password, routing_id, routing, sslmode, sslrootcert, sslcert,
    sslkey, options, parameters (a mapping); those of CA_KEYS are allowed and not looked at. None and '' count as not
    given. A key fills what the URL lacks, and contradicting the URL is an error. Raises InvalidConnection.
    """
    parts = _discrete(facts, ("url", *CA_KEYS))
    deployment = parts.pop("deployment", None)
    url = parts.pop("url", None)
    sources = ([_split_url(url)] if url is not None else []) + [parts]
    return _assemble([_normalise(source, deployment) for source in sources], deployment, allow_weaker_tls)


def is_cloud_host(host: str) -> bool:
    """Whether a host name is one of CockroachDB Cloud's."""
    return host.lower().endswith(_CLOUD_DOMAIN)


def infer_deployment(host: str, routing_id: Optional[str] = None) -> str:
    """The deployment that a host name and a routing id speak for.

    serverless: a routing id was given, or under cockroachlabs.cloud the first label is one, or the host is a shared
    ``free-tier`` one. dedicated: any other name under cockroachlabs.cloud or crdb.io. self_hosted: all others.
    A dedicated cluster whose short id happens to be all digits looks serverless: name its deployment.
    """
    host = host.lower()
    if routing_id or _SHARED_HOST.fullmatch(host):
        return "serverless"
    if host.endswith(_CLOUD_DOMAIN):
        return "serverless" if _routing_id_problem(_first_label(host)) is None else "dedicated"
    return "dedicated" if host.endswith(".crdb.io") else "self_hosted"


def _fail(part: str, message: str) -> NoReturn:
    raise InvalidConnection(part, f"{message}.")


def _encode(text: str) -> str:
    # The mask stays readable, and cannot be confused: a password that reads like it is refused.
    return text if text == MASK else quote(text, safe="")


def _query(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={_encode(value)}" for name, value in pairs)


def _dsn_escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _dsn_value(value: str) -> str:
    escaped = _dsn_escape(value)
    return escaped if re.fullmatch(r"[!-~]+", value) and escaped == value else f"'{escaped}'"


def _ip(host: str) -> Optional[ipaddress._BaseAddress]:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _first_label(host: str) -> str:
    return host.partition(".")[0]


def _effective(routing: str, routing_id: Optional[str]) -> str:
    return routing if routing != "auto" else "options" if routing_id else "sni"


def _deployment(name: str) -> str:
    known = DEPLOYMENTS.get(name.lower()) if isinstance(name, str) else None
    if known is None:
        _fail("deployment", f"deployment {name!r} is not known: use one of {', '.join(DEPLOYMENTS)}")
    return known


def _text(part: str, value: object) -> str:
    """The value as plain text that UTF-8 can hold, or an error that does not show it."""
    if not isinstance(value, str):
        _fail(part, f"{part} is not text (it is of type {type(value).__name__}): put it in quotes")
    if "\0" in value:
        _fail(part, f"{part} holds a NUL character, which no server accepts: take it out")
    if any("\ud800" <= char <= "\udfff" for char in value):
        _fail(part, f"{part} holds a character that is no text (half of a surrogate pair): type it again")
    return str(value)


def _known_placeholder(found: re.Match[str]) -> Optional[str]:
    """The placeholder's part if its words are such as documentation uses, so that printing it gives nothing away."""
    words = [word for word in re.split("[^a-z0-9]+", found.group().lower()) if word]
    if not words or not all(word in _PLACEHOLDER_WORDS for word in words):
        return None
    parts = {_PLACEHOLDER_WORDS[word] for word in words}
    return next((part for part in _PLACEHOLDER_PARTS if part and part in parts), "url")


def _refuse_placeholder(part: str, value: str) -> None:
    found = _PLACEHOLDER.fullmatch(value)
    if found and found.group("template") is not None:
        _fail(part, f"{part} is a template expression in {{{{ }}}} that was never evaluated: give the value itself")
    if found and _known_placeholder(found):
        _fail(part, f"{part} is still the placeholder {value}: put the real value in its place")


def _refuse_placeholders_in_url(text: str) -> None:
    known = [(found.group(), _known_placeholder(found)) for found in _PLACEHOLDER.finditer(text)]
    shown = [(name, part) for name, part in known if part and (name[0] != "$" or _stands_alone(name, text))]
    if shown:
        names = ", ".join(dict.fromkeys(name for name, _part in shown))
        _fail(str(shown[0][1]), f"the URL still holds placeholders: {names}. Put the real values in their place")
    for found in _PLACEHOLDER.finditer(text):
        if found.group("template") is not None:
            _fail("url", "the URL holds a template expression in {{ }} that was never evaluated: give the value itself")
        if found.group("curly") and re.fullmatch(r"\$\{[A-Za-z_]\w*\}", found.group()):
            _fail("url", "the URL holds a shell variable in ${ } that was never expanded: give the value itself")


def _stands_alone(name: str, text: str) -> bool:
    # $HOME/... is how the Console writes a CA's folder, and $ may stand raw in a password: only a whole part counts.
    return re.search(rf"(?:^|[/:@=]){re.escape(name)}(?:[/:@?&]|$)", text) is not None


def _user(value: object) -> str:
    if value is None or value == "":
        _fail("user", "the user is missing: give the SQL user's name (in a URL: postgresql://user:password@host...)")
    user = _text("user", value)
    _refuse_placeholder("user", user)
    folded = unicodedata.normalize("NFC", user).lower()
    for place, char in enumerate(folded):
        if not (char in "0123456789_" or unicodedata.category(char) == "Ll" or (place and char in "-.")):
            # What follows the character is not shown: it may be a password behind an encoded colon.
            _fail(
                "user",
                f"the user name {folded[:place] + '...'!r} holds {char!r} where no SQL user name can: it has letters, "
                "digits and _ , and after the first character also - and . (an e-mail address is no SQL user name)",
            )
    if len(folded) > 63:
        _fail("user", f"the user name has {len(folded)} characters: at most 63 are allowed")
    if folded == "none" or folded.startswith(("pg_", "crdb_internal")):
        _fail("user", f"the user name {user!r} is reserved (none, pg_..., crdb_internal...): use another SQL user")
    return user


def _password(value: object) -> Optional[str]:
    if value is None or value == "":
        return None
    password = _text("password", value)
    if _MASKED.fullmatch(password):
        _fail("password", "the password is masked: this text was printed for reading, so put the real password in")
    if password != password.strip("\r\n"):
        _fail("password", "the password begins or ends with a line break, copied along from a file: take it out")
    _refuse_placeholder("password", password)
    return password


def _host(value: object, deployment: str) -> str:
    if value is None or value == "":
        _fail("host", "the host is missing: give the cluster's host name (in a URL: after the @)")
    host = _text("host", value).lower()
    _refuse_placeholder("host", host.upper() if host.startswith("$") else host)
    if "@" in host:
        _fail("host", "the host holds an '@' (it is not shown, it may hold a password): give the host name alone")
    if "://" in host:
        _fail("host", "the host holds a scheme (...://): give the host name alone, or the whole text as url")
    if "," in host:
        _fail("host", f"the host {host!r} names several hosts: name one of them, or a load balancer")
    if host.startswith("/"):
        _fail("host", f"the host {host!r} is a Unix socket, where there is no TLS: give a host name")
    address = _ip(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    if address is not None and "%" not in host:
        if address.version == 6 and deployment != "self_hosted":
            _fail("host", f"the host {host!r} is IPv6, and CockroachDB Cloud has IPv4 only: give its host name")
        return str(address)
    named, _colon, port = host.partition(":")
    if port and _HOST_NAME.fullmatch(named):
        _fail("host", f"the host {host!r} holds a port: give the host name and the port apart")
    if host.endswith("."):
        _fail("host", f"the host {host!r} ends with a dot, which no certificate has: leave the dot out")
    # Numbers alone are no name: the systems' resolvers read 10.1 or 1.2.3.256 as addresses, each in its own way.
    if not _HOST_NAME.fullmatch(host) or len(host) > 253 or re.fullmatch(r"[0-9.]+", host):
        _fail("host", f"the host {host!r} is neither a host name nor an address: copy it from the Connect dialog")
    return host


def _port(value: object) -> int:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _DIGITS.fullmatch(text) or not 1 <= int(text) <= 65535:
        _fail("port", f"the port {value!r} is not a number from 1 to 65535: CockroachDB's is {DEFAULT_PORT}")
    return int(text)


def _database(value: object, deployment: str) -> str:
    database = _text("database", value)
    if database == "":
        _fail("database", f"the database name is empty: name one, such as {DEFAULT_DATABASE}")
    _refuse_placeholder("database", database)
    if len(database.encode()) > 63:
        _fail("database", f"the database name {database!r} is longer than 63 bytes")
    if database in (".", ".."):
        # Measured: the WHATWG parser (Node.js) takes such a segment out of a URL's path, encoded or not.
        _fail("database", f"the database name {database!r} means a folder to those who read URLs: use another name")
    if deployment == "serverless" and "." in database:
        _fail(
            "database",
            f"the database name {database!r} holds a dot: on Serverless the routing proxy takes what stands before a "
            "dot for a routing id (<cluster-name>-<number>). Use a database without a dot in its name",
        )
    return database


def _sslmode(value: object, allow_weaker_tls: bool) -> str:
    mode = _text("sslmode", value).lower()
    if mode not in SSL_MODES:
        _fail("sslmode", f"sslmode {value!r} is not known: use verify-full")
    if mode != "verify-full" and not allow_weaker_tls:
        _fail(
            "sslmode",
            f"sslmode {mode!r} is weaker than verify-full: without checking both the CA and the host name, anybody on "
            "the way can read the password. Use verify-full, or allow weaker TLS explicitly",
        )
    return mode


def _path(part: str, value: object) -> Optional[str]:
    return None if value is None or value == "" else _text(part, value)


def _options(value: object) -> Optional[str]:
    if value is None:
        return None
    options = _text("options", value).strip()
    if _CLUSTER_FLAG.search(options):
        _fail("options", "the options hold a cluster flag: give it as routing_id")
    return options or None


def _routing_id_problem(value: str) -> Optional[str]:
    """None for ``<cluster-name>-<tenant number>``, else what is wrong with it."""
    name, dash, tenant = value.rpartition("-")
    if _UUID.fullmatch(value):
        return "is the cluster's id, not its routing id: copy the routing id from the Connect dialog"
    if not dash or not tenant or (not re.match("[0-9]", tenant) and _CLUSTER_NAME.fullmatch(value)):
        return "lacks the tenant number at its end"
    if not _DIGITS.fullmatch(tenant) or not 1 <= int(tenant) <= 2**64 - 1:
        return f"ends in {tenant!r}, which is no tenant number"
    if not _CLUSTER_NAME.fullmatch(name):
        return f"has the cluster name {name!r}, which is not 6 to 100 lower-case letters, digits and dashes"
    return None


def _routing(deployment: str, host: str, routing: object, routing_id: object) -> tuple[str, Optional[str]]:
    if routing not in ROUTINGS:
        _fail("routing", f"routing {routing!r} is not known: use one of {', '.join(ROUTINGS)}")
    way = str(routing)
    identifier = None if routing_id is None or routing_id == "" else _text("routing_id", routing_id)
    if deployment != "serverless":
        if identifier is not None:
            _fail("routing_id", f"routing id {identifier!r} belongs to Serverless, and this is {deployment}: drop one")
        if way != "auto":
            _fail("routing", f"routing {way!r} belongs to Serverless, and this is {deployment}: leave it out")
        return way, None
    by_host = _first_label(host) if "." in host and not _ip(host) else ""
    if way in ("options", "database") and identifier is None and by_host and not _routing_id_problem(by_host):
        identifier = by_host
    if identifier is not None:
        _refuse_placeholder("routing_id", identifier)
        problem = _routing_id_problem(identifier)
        if problem:
            _fail("routing_id", f"the routing id {identifier!r} {problem}. It reads <cluster-name>-<number>")
    if _effective(way, identifier) == "sni":
        _check_sni(host, by_host)
    elif identifier is None:
        _fail("routing_id", f"routing {way!r} needs a routing id: copy it from the Connect dialog")
    named = by_host and not _routing_id_problem(by_host) and (way == "sni" or host.endswith(_CLOUD_DOMAIN))
    if identifier is not None and named and identifier != by_host:
        _fail("routing_id", f"the routing id {identifier!r} and the host name ({by_host!r}) name different clusters")
    return way, identifier


def _check_sni(host: str, label: str) -> None:
    """Whether the routing proxy can read the cluster from the TLS server name, as it must without a routing id."""
    if not label:
        kind = "an IP address, and TLS sends no server name for it" if _ip(host) else "a name without a dot"
        _fail("host", f"the host {host!r} is {kind}, so it cannot name a Serverless cluster: give the routing id too")
    if _SHARED_HOST.fullmatch(host):
        _fail("routing_id", f"the routing id is missing: many clusters share the host {host!r}, so give the routing id")
    if _routing_id_problem(label):
        _fail(
            "routing_id",
            f"the routing id is missing: the host name {host!r} does not begin with one ({label!r} is not "
            "<cluster-name>-<number>). Give the routing id, or the cluster's own host name",
        )


def _parameters(
    pairs: Iterable[tuple[str, str]], deployment: str, by_host: bool, has_ca: bool
) -> tuple[tuple[str, str], ...]:
    kept: dict[str, str] = {}
    for key, value in pairs:
        if not isinstance(key, str) or not _PARAMETER_NAME.fullmatch(key):
            _fail("parameters", "a parameter's name has more than letters, digits and _.- in it: check each & and =")
        name = _FROM_JDBC.get(key, key)
        if name in kept:
            _fail("parameters", f"the parameter {name!r} is given twice: keep one")
        folded = name.lower()
        if folded in _REFUSED_PARAMETERS:
            _fail("parameters", f"the parameter {name!r} is refused: {_REFUSED_PARAMETERS[folded]}")
        if folded in _FIELDS or folded in _LIBPQ_NAMES or folded == "ssl":
            _fail("parameters", f"the parameter {name!r} is not free: write it as {folded!r}, where it belongs")
        text = _text("parameters", value)
        _check_parameter(name, text, deployment, by_host)
        if text and not (name == "sslfactory" and has_ca):
            kept[name] = text
    return tuple(kept.items())


def _check_parameter(name: str, value: str, deployment: str, by_host: bool) -> None:
    if name == "sslfactory" and value not in ("", JAVA_SSL_FACTORY):
        _fail("parameters", f"this sslfactory may not verify the server: use {JAVA_SSL_FACTORY}, or leave it out")
    if name == "sslhostnameverifier" and value:
        _fail("parameters", "sslhostnameverifier replaces the check of the host name: leave it out")
    if name == "sslnegotiation" and value == "direct":
        _fail("parameters", "sslnegotiation=direct is not understood by CockroachDB's proxy: leave it out")
    if name == "channel_binding" and value == "require" and deployment == "serverless":
        _fail("parameters", "channel_binding=require cannot work: the routing proxy ends TLS. Leave it out")
    if name == "sslsni" and value == "0" and by_host:
        _fail("parameters", "sslsni=0 takes away the server name that routes to the cluster: leave it out")


def _check_scheme(scheme: str) -> None:
    base, plus, driver = scheme.lower().partition("+")
    if base not in _SCHEMES or (plus and (driver not in _DRIVERS or base == "postgres")):
        known = "postgresql, postgres, cockroachdb (also +psycopg2, +psycopg, +asyncpg) and jdbc:postgresql"
        _fail("scheme", f"the scheme {scheme!r} is not known: use one of {known}")


def _unescaped(part: str, char: str, where: str = "") -> NoReturn:
    _fail(part, f"the {part} in the URL holds an unescaped {char!r}{where}: write it as {_encode(char)}")


def _decode(part: str, raw: str, plus: str = "literal") -> str:
    """Percent-decode one piece of a URL. ``plus``: what a bare plus is: 'literal', 'space' or 'refused'."""
    for char in raw:
        if char in _NEVER_RAW or not char.isprintable():
            _unescaped(part, char)
    if plus == "refused" and "+" in raw:
        _fail(part, f"the {part} in the URL's query holds a bare '+', which drivers read differently: write %2B or %20")
    if _PERCENT.search(raw):
        _unescaped(part, "%", " (one without two hexadecimal digits after it)")
    data = unquote_to_bytes(raw.replace("+", " ") if plus == "space" else raw)
    text = data.decode("utf-8", "replace")
    if text.encode() != data:
        _fail(part, f"the {part} in the URL has percent-encoded bytes that are not UTF-8: encode it as UTF-8")
    return text


def _split_url(text: object) -> dict[str, str]:
    """The decoded parts of a connection string, by field name; all other query parameters by their own name."""
    if not isinstance(text, str) or not text:
        _fail("url", "the connection string is empty or not text: copy it from the Connect dialog")
    _text("url", text)
    if text != text.strip() or not text[0].isprintable() or not text[-1].isprintable():
        _fail("url", "the URL begins or ends with a space or line break that was copied along: take it out")
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        _fail("url", "the URL begins or ends with a quote that was copied along: take it out")
    _refuse_placeholders_in_url(text)
    found = _URL.fullmatch(text)
    if found is None:
        _fail_without_scheme(text)
    scheme, rest = found.group(1).lower(), found.group(2)
    jdbc = scheme.startswith("jdbc:")
    if jdbc and scheme != "jdbc:postgresql":
        _fail("scheme", f"the scheme {scheme!r} is not known: the JDBC driver's is jdbc:postgresql")
    if not jdbc:
        _check_scheme(scheme)
    if "&amp;" in rest:
        _fail("parameters", "the URL was copied out of XML, where & is written &amp;: write & in its place")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path, _mark, query = rest[len(authority) :].partition("?")
    _check_structure(rest, authority, path, query)
    parts = _split_authority(authority)
    if "/" in path[1:]:
        _unescaped("database", "/")
    parts["database"] = _decode("database", path[1:])
    # An empty value in the query does not take away what the authority says, as in libpq.
    parts.update({name: value for name, value in _split_query(query, jdbc).items() if value or name not in parts})
    return parts


def _fail_without_scheme(text: str) -> NoReturn:
    if text.lower().startswith("jdbc:postgresql:"):
        _fail("host", "the JDBC URL names no host: write jdbc:postgresql://host:26257/database?...")
    if "://" in text and (re.match(r"(?:export\s+|\$env:)?\w+\s*=", text) or re.match(r"\S+\s", text)):
        _fail("url", "the URL has a command or a name in front of it: give only what begins with postgresql://")
    if re.match(r"\w+\s*=", text):
        _fail("url", "this is libpq's keyword form (name=value), not a URL: read it as a DSN")
    _fail("scheme", "the URL does not begin with a scheme: it reads postgresql://user:password@host:26257/database")


def _check_structure(rest: str, authority: str, path: str, query: str) -> None:
    """Refuse delimiters that, unescaped in a password, would make its pieces look like other parts.

    This comes before any part is looked at, so that no later message can show such a piece.
    """
    blamed = "password" if ":" in authority else "user"
    before, mark, after = rest.partition("#")
    if mark:
        in_query = before.partition("?")[2].rpartition("&")[2].startswith("password=")
        _unescaped("password" if in_query or (":" in authority and "@" in after) else "url", "#")
    if "@" in path:
        _unescaped(blamed, "/", " or '@' (an '@' is written %40)")
    if "@" in query:
        port = authority.rpartition(":")[2]
        pieces = query.partition("@")[0].split("&")
        if any(not _PARAMETER_NAME.match(piece) or "=" not in piece for piece in pieces) or (
            "@" not in authority and ":" in authority and not re.fullmatch(r"[0-9]*\]?", port)
        ):
            _unescaped(blamed, "?", " or '@' (an '@' is written %40)")
    if authority.count("@") > 1:
        _unescaped("password" if ":" in authority.partition("@")[0] else "user", "@")


def _split_authority(authority: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    userinfo, at, hostport = authority.rpartition("@")
    user, colon, password = userinfo.partition(":")
    if ":" in password:
        _unescaped("password", ":")
    if at:
        parts["user"] = _decode("user", user)
    if colon:
        parts["password"] = _decode("password", password)
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?", hostport, re.DOTALL)
    if bracketed:
        host, port = bracketed.group(1), bracketed.group(2)
    else:
        host, colon, after = hostport.partition(":")
        port = after if colon else None
        if "," in hostport:
            _fail("host", "the URL names several hosts: name one of them, or a load balancer")
    if port is not None and not (_DIGITS.fullmatch(port) and 1 <= int(port) <= 65535):
        shown = f" {port!r}" if at and "%" not in port else ""
        hint = "" if at else " (it is not shown, it may be a password whose '@host' is missing)"
        _fail("port", f"the port{shown} after the host is no number from 1 to 65535{hint}: write host:{DEFAULT_PORT}")
    if host:
        parts["host"] = _decode("host", host)
    if port:
        parts["port"] = port
    return parts


def _split_query(query: str, jdbc: bool) -> dict[str, str]:
    parts: dict[str, str] = {}
    for piece in query.split("&") if query else ():
        name, equals, raw = piece.partition("=")
        if not equals or not _PARAMETER_NAME.fullmatch(name):
            _fail(
                "parameters", "a piece of the URL's query is not name=value: check each & and = (& in a value is %26)"
            )
        field, part = _driver_key(name)
        if "?" in raw:
            _unescaped(part, "?", " (parameters are joined by &)")
        _add(parts, field, part, _decode(part, raw, "space" if jdbc else "refused"))
    return parts


def _driver_key(name: str) -> tuple[str, str]:
    """A driver's parameter name as (field or parameter, part to blame)."""
    field = _LIBPQ_NAMES.get(name, _FROM_JDBC.get(name, name))
    if field.lower() in _REFUSED_PARAMETERS:
        _fail("parameters", f"the parameter {name!r} is refused: {_REFUSED_PARAMETERS[field.lower()]}")
    return field, field if field in _FIELDS else "parameters"


def _add(parts: dict[str, str], field: str, part: str, value: str) -> None:
    if parts.setdefault(field, value) != value:
        _fail(part, f"{field} is given twice, with different values: keep one")


def _split_dsn(text: object) -> dict[str, str]:
    if not isinstance(text, str) or not text.strip():
        _fail("url", "the keyword string is empty or not text: it reads host=... user=... dbname=...")
    if _URL.match(text):
        _fail("url", "this is a URL, not libpq's keyword form: read it as a URL")
    token = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)", re.DOTALL)
    parts: dict[str, str] = {}
    place = 0
    while text[place:].strip():
        found = token.match(text, place)
        if found is None:
            _fail(
                "url", f"the keyword string is not name=value from character {place + 1} on: put values in quotes ('')"
            )
        value = found.group(2) if found.group(2) is not None else found.group(3)
        field, part = _driver_key(found.group(1))
        _add(parts, field, part, re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL))
        place = found.end()
    return parts


def _discrete(given: Mapping[str, Any], more: tuple[str, ...]) -> dict[str, str]:
    """Text parts out of keys that people or an API wrote, ``parameters`` flattened."""
    if not isinstance(given, Mapping):
        _fail("parameters", "the connection is not a mapping of names to values")
    known = ("deployment", *_DISCRETE_KEYS, "parameters", *more)
    unknown = sorted(str(key) for key in given if key not in known)
    if unknown:
        _fail("parameters", f"keys that are not known: {', '.join(unknown)}. Known are {', '.join(known)}")
    parts: dict[str, str] = {}
    for name, value in given.items():
        if value is None or value == "" or name == "parameters" or name in CA_KEYS:
            continue
        number = name == "port" and isinstance(value, int) and not isinstance(value, bool)
        parts[name] = str(value) if number else _text(name, value)
    extra = given.get("parameters") or {}
    if not isinstance(extra, Mapping):
        _fail("parameters", "parameters is not a mapping of names to values")
    for name, value in extra.items():
        if name in _FIELDS or name in _LIBPQ_NAMES or name in ("url", "ssl"):
            _fail("parameters", f"{name!r} under parameters is not free: it has a key of its own")
        number = isinstance(value, int) and not isinstance(value, bool)
        parts[str(name)] = str(value) if number else _text("parameters", value)
    return parts


def _normalise(parts: Mapping[str, str], deployment: Optional[str]) -> dict[str, str]:
    """The same parts with the routing id taken out of options and database, ``ssl`` made sslmode, empty ones gone."""
    kept = {name: value for name, value in parts.items() if value != ""}
    ssl = kept.pop("ssl", None)
    if ssl is not None:
        meant = {"true": "verify-full", "1": "verify-full", "on": "verify-full", "false": "disable", "0": "disable"}
        mode = {**meant, "no-verify": "require", "off": "disable"}.get(ssl.lower(), ssl)
        if "sslmode" in kept and kept["sslmode"] != mode and (mode == "disable" or mode == ssl):
            _fail("sslmode", f"sslmode is {kept['sslmode']!r} and ssl is {ssl!r}: keep sslmode=verify-full alone")
        kept.setdefault("sslmode", mode)
    flags = _CLUSTER_FLAG.findall(kept.get("options", ""))
    if len(flags) > 1:
        _fail("routing_id", "the options name the cluster more than once: keep one --cluster flag")
    if flags and not flags[0]:
        _fail("routing_id", "the --cluster flag in the options is empty: write the routing id after its =")
    found = list(flags)
    if flags:
        kept["options"] = _CLUSTER_FLAG.sub("", kept["options"]).strip()
    identifier, dot, database = kept.get("database", "").partition(".")
    serverless = deployment is None or _deployment(deployment) == "serverless"
    if serverless and dot and database and "." not in database and _routing_id_problem(identifier) is None:
        found.append(identifier)
        kept["database"] = database
        if not flags:
            kept.setdefault("routing", "database")
    for other in found:
        if kept.setdefault("routing_id", other) != other:
            _fail("routing_id", f"{kept['routing_id']!r} and {other!r} name different clusters: keep one routing id")
    return {name: value for name, value in kept.items() if value != "" and (name, value) != ("routing", "auto")}


def _merge(sources: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Later sources fill what earlier ones lack, and may not contradict them."""
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
                part = name if name in _FIELDS else "parameters"
                _fail(part, f"the URL and what is given beside it differ in {name!r}: keep one of the two")
            merged.setdefault(name, value)
    return merged


def _assemble(sources: Iterable[Mapping[str, str]], deployment: Optional[str], allow_weaker_tls: bool) -> Connection:
    parts = _merge(sources)
    if deployment is None:
        deployment = infer_deployment(parts.get("host", ""), parts.get("routing_id"))
    values: dict[str, Any] = {name: parts[name] for name in _DISCRETE_KEYS if name in parts}
    values["port"] = _port(values.get("port", DEFAULT_PORT))
    values.setdefault("host", "")
    values.setdefault("user", "")
    values["parameters"] = tuple((name, value) for name, value in parts.items() if name not in _FIELDS)
    return Connection(deployment=deployment, allow_weaker_tls=allow_weaker_tls, **values)
