# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection to one database: parsed, validated and formatted in this folder and nowhere else.

Other rooms import this file. Beside it: `reading` takes texts and mappings apart, `parts` validates each part,
`placeholders` recognizes what was never filled in, `escaping` encodes, `errors` has the one error.

Everything is pure: no file, name service or environment is read. Every failure is an :class:`InvalidConnectionError`,
raised outside any ``except`` block, so that no chained exception carries a piece of the input.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import quote_plus
from xml.sax.saxutils import escape as xml_escape

from ansible_collections.crdb.onboard.plugins.plugin_utils._model.errors import InvalidConnectionError, refuse
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.escaping import (
    MASK,
    dsn_escape,
    dsn_value,
    percent_encode,
    query_text,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.parts import (
    DEFAULT_DATABASE,
    DEFAULT_PORT,
    DEPLOYMENTS,
    DISCRETE_KEYS,
    FIELDS,
    JAVA_SSL_FACTORY,
    JDBC_NAMES,
    ROUTINGS,
    SSL_MODES,
    TLS_KEYS,
    first_label,
    infer_deployment,
    ip_address,
    is_cloud_host,
    routing_in_effect,
    valid_database,
    valid_deployment,
    valid_host,
    valid_options,
    valid_parameters,
    valid_password,
    valid_path,
    valid_port,
    valid_routing,
    valid_sslmode,
    valid_user,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.pasted import pasted_url
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.reading import (
    CA_KEYS,
    add_part,
    check_scheme,
    driver_key,
    dsn_parts,
    mapping_parts,
    merge,
    normalized,
    url_parts,
)

__all__ = [
    "CA_KEYS",
    "DEFAULT_DATABASE",
    "DEFAULT_PORT",
    "DEPLOYMENTS",
    "JAVA_SSL_FACTORY",
    "MASK",
    "ROUTINGS",
    "SSL_MODES",
    "Connection",
    "InvalidConnectionError",
    "infer_deployment",
    "is_cloud_host",
    "parse_dsn",
    "parse_environment",
    "parse_parameters",
    "parse_service",
    "parse_url",
    "pasted_url",
    "resolve",
]

_CONSOLE_NAMES = {"username": "user", "hostname": "host", "dbname": "database", "db": "database"}
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
_PASSFILE_FIELD = re.compile(r"((?:\\.|[^:\\])*)(?::|$)")
_SERVICE_LINE = 250


class Connection:
    """The facts needed to reach one database. Immutable; every instance is valid.

    Text fields are decoded (never percent-encoded). ``host`` is lower case, because the routing proxy reads the TLS
    server name byte by byte; an IPv6 address has no brackets. ``parameters`` are the driver parameters that have no
    field, in their libpq spelling, without empty values. ``options`` are the start-up options without the cluster
    flag. Paths are kept as given: no driver expands ``~`` or ``$HOME``. An empty optional value is None.

    Two connections are equal when they reach the same database as the same user in the same way: the user's case
    does not count (names fold), nor whether the routing was ``auto`` or spelled out, nor the order of parameters.

    This is not a dataclass, so that ``asdict`` and ``vars`` cannot spill the password; ``repr`` leaves it out, and
    pickling is refused.

    Raises InvalidConnectionError. User names, TLS modes and host names follow the documentation. The routing id
    follows the routing proxy: a name of 6 to 100 characters and a tenant number from 1 to 2**64 - 1.
    ``sslrootcert=system`` is refused because it was measured to fail in the psycopg wheels, node-postgres and libpq
    before 16; ``sslnegotiation=direct`` because the routing proxy does not speak it; ``channel_binding=require`` on
    serverless because the proxy ends TLS, so there is no channel to bind.
    """

    __slots__ = FIELDS

    deployment: str
    host: str
    port: int
    database: str
    user: str
    password: str | None
    routing_id: str | None
    routing: str
    sslmode: str
    sslrootcert: str | None
    sslcert: str | None
    sslkey: str | None
    options: str | None
    parameters: tuple[tuple[str, str], ...]

    def __init__(
        self,
        *,
        deployment: str,
        host: str,
        user: str,
        port: int = DEFAULT_PORT,
        database: str = DEFAULT_DATABASE,
        password: str | None = None,
        routing_id: str | None = None,
        routing: str = "auto",
        sslmode: str = "verify-full",
        sslrootcert: str | None = None,
        sslcert: str | None = None,
        sslkey: str | None = None,
        options: str | None = None,
        parameters: Iterable[tuple[str, str]] = (),
    ) -> None:
        deployment = valid_deployment(deployment)
        values: dict[str, Any] = {
            "deployment": deployment,
            "host": valid_host(host, deployment),
            "port": valid_port(port),
            "user": valid_user(user),
            "password": valid_password(password),
            "database": valid_database(database, deployment),
            "sslmode": valid_sslmode(sslmode),
            "sslrootcert": valid_path("sslrootcert", sslrootcert),
            "sslcert": valid_path("sslcert", sslcert),
            "sslkey": valid_path("sslkey", sslkey),
            "options": valid_options(options),
        }
        if (values["sslcert"] is None) != (values["sslkey"] is None):
            missing = "sslcert" if values["sslcert"] is None else "sslkey"
            refuse(
                missing, f"{missing} is missing: a client certificate and its key belong together. Give both or neither"
            )
        if values["sslrootcert"] == "system":
            refuse(
                "sslrootcert",
                "sslrootcert=system works with few clients only (libpq 16 and newer, and not psycopg's wheels). "
                "Give the path of a CA file, or leave it out",
            )
        values["routing"], values["routing_id"] = valid_routing(deployment, values["host"], routing, routing_id)
        by_host = deployment == "serverless" and routing_in_effect(values["routing"], values["routing_id"]) == "sni"
        values["parameters"] = valid_parameters(parameters, deployment, by_host, values["sslrootcert"] is not None)
        for name in FIELDS:
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
        raise TypeError("a Connection holds a password and cannot be pickled")

    def __repr__(self) -> str:
        # Names only for parameters: what somebody put into an unknown parameter may be a secret.
        shown = [f"{name}={getattr(self, name)!r}" for name in FIELDS if name not in ("password", "parameters")]
        shown.append(f"parameters={[name for name, _value in self.parameters]!r}")
        return f"Connection({', '.join(shown)})"

    def _identity(self) -> tuple[object, ...]:
        kept = [getattr(self, name) for name in FIELDS if name not in ("user", "routing", "routing_id", "parameters")]
        folded = unicodedata.normalize("NFC", self.user).lower()
        return (*kept, folded, self.effective_routing, self.effective_routing_id, tuple(sorted(self.parameters)))

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Connection) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    @property
    def effective_routing(self) -> str | None:
        """'options', 'database' or 'sni'; None when the deployment is not serverless."""
        return routing_in_effect(self.routing, self.routing_id) if self.deployment == "serverless" else None

    @property
    def effective_routing_id(self) -> str | None:
        """The cluster's routing id, read from the host name where the routing is 'sni'; None if not serverless."""
        return first_label(self.host) if self.effective_routing == "sni" else self.routing_id

    @property
    def startup_database(self) -> str:
        """The start-up message's ``database``: ``ID.database`` where the routing is 'database'."""
        return f"{self.routing_id}.{self.database}" if self.effective_routing == "database" else self.database

    @property
    def startup_options(self) -> str | None:
        """The start-up message's ``options``, decoded: the cluster flag first where the routing is 'options'."""
        flag = [f"--cluster={self.routing_id}"] if self.effective_routing == "options" else []
        return " ".join(flag + ([self.options] if self.options else [])) or None

    @property
    def server_name(self) -> str | None:
        """The TLS server name (SNI) to send: the host, or None for an IP address."""
        return None if ip_address(self.host) else self.host

    def replace(self, **changes: Any) -> Connection:
        """A new, validated connection with these fields changed; this one when nothing differs."""
        fields = {name: getattr(self, name) for name in FIELDS}
        if "parameters" in changes:
            changes["parameters"] = tuple(changes["parameters"])
        return self if fields == {**fields, **changes} else Connection(**{**fields, **changes})

    def url(self, scheme: str = "postgresql", password: str = "encoded", query: str = "full") -> str:  # noqa: S107 - a form
        """The general connection string, every byte outside RFC 3986's unreserved set percent-encoded.

        ``scheme``: postgresql, postgres or cockroachdb, the last two also with a SQLAlchemy driver (+psycopg2 ...).
        ``password``: 'encoded', 'masked' (as ``********``, which is refused when read back) or 'omitted'.
        ``query``: 'full'; 'ssl' for ``?ssl=true`` alone (Sequelize up to 6.9); 'none' (TypeORM, which drops a query).
        The JDBC parameter ``sslfactory`` is left out: libpq refuses parameters that it does not know.
        Raises ValueError for an unknown argument, InvalidConnectionError where 'ssl' would lose the cluster's name.
        """
        check_scheme(scheme)
        secret = self._shown(password)
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = percent_encode(self.user) if secret is None else f"{percent_encode(self.user)}:{percent_encode(secret)}"
        base = f"{scheme}://{user}@{host}:{self.port}/{percent_encode(self.startup_database)}"
        if query == "none":
            return base
        if query == "ssl":
            if self.effective_routing == "options":
                refuse("routing", "the form with ssl=true cannot carry routing 'options': use 'database' or 'sni'")
            return f"{base}?ssl=true"
        if query != "full":
            raise ValueError(f"query is {query!r}: use full, ssl or none")
        return f"{base}?{query_text(pair for pair in self._pairs() if pair[0] != 'sslfactory')}"

    def jdbc_url(self, password: str = "encoded", sslfactory: bool = False) -> str:  # noqa: S107 - a form
        """The JDBC URL: credentials in the query, a space as %20 and a plus as %2B (a bare plus means a space there).

        ``sslfactory=True`` adds DefaultJavaSSLFactory, the guide's form: the JVM's trust store. It is never written
        beside sslrootcert, which that factory ignores. Raises ValueError for an unknown argument.
        """
        secret = self._shown(password)
        pairs = [("user", self.user)] + ([("password", secret)] if secret is not None else [])
        rest = [(JDBC_NAMES.get(name, name), value) for name, value in self._pairs() if name != "sslfactory"]
        if not self.sslrootcert and (sslfactory or dict(self.parameters).get("sslfactory")):
            rest.insert(1, ("sslfactory", JAVA_SSL_FACTORY))
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            f"jdbc:postgresql://{host}:{self.port}/{percent_encode(self.startup_database)}?{query_text(pairs + rest)}"
        )

    def dsn(self, password: str = "encoded") -> str:  # noqa: S107 - a form
        """libpq's keyword form, values in single quotes where needed. ``password`` as in :meth:`url`."""
        pairs = [("host", self.host), ("port", str(self.port)), ("dbname", self.startup_database), ("user", self.user)]
        secret = self._shown(password)
        pairs += ([("password", secret)] if secret is not None else []) + self._pairs()
        return " ".join(f"{name}={dsn_value(value)}" for name, value in pairs if name != "sslfactory")

    def parameters_form(self, password: str = "encoded") -> dict[str, Any]:  # noqa: S107 - a form
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
        """The PG* variables, decoded. Raises InvalidConnectionError for a parameter that has no variable in libpq."""
        variables = {field: name for name, field in _ENVIRONMENT.items()}
        pairs = [("host", self.host), ("port", str(self.port)), ("database", self.startup_database)]
        pairs += [("user", self.user)] + ([("password", self.password)] if self.password else []) + self._pairs()
        for name, _value in pairs:
            if name not in variables and name != "sslfactory":
                refuse("parameters", f"parameter {name!r} has no PG* environment variable: use a URL for it")
        return {variables[name]: value for name, value in pairs if name in variables}

    def service(self, name: str) -> str:
        """A section of libpq's ``pg_service.conf``, without the password, which :meth:`passfile_line` has.

        Raises InvalidConnectionError for a value that the format cannot hold: libpq strips white space from the ends of
        a line, and before version 14 refuses a whole file for one line of 255 bytes.
        """
        pairs = [("host", self.host), ("port", str(self.port)), ("dbname", self.startup_database), ("user", self.user)]
        lines = [f"[{name}]"]
        for key, value in pairs + [pair for pair in self._pairs() if pair[0] != "sslfactory"]:
            line = f"{key}={value}"
            if value != value.strip() or re.search(r"[\r\n]", value) or len(line.encode("utf-8")) > _SERVICE_LINE:
                part = "database" if key == "dbname" else key if key in FIELDS else "parameters"
                refuse(
                    part,
                    f"{key} cannot stand in pg_service.conf: a value must be one line of at most {_SERVICE_LINE} bytes,"
                    " without white space at its ends",
                )
            lines.append(line)
        return "".join(f"{line}\n" for line in lines)

    def passfile_line(self) -> str | None:
        """The connection's line of libpq's ``.pgpass``; None without a password. Raises InvalidConnectionError."""
        if self.password is None:
            return None
        fields = [self.host, str(self.port), self.startup_database, self.user, self.password]
        if any(re.search(r"[\r\n]", field) for field in fields):
            refuse("password", "a line break cannot stand in .pgpass: change the value, or remove psql_service")
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
        encoded = [percent_encode(raw), quote_plus(raw)]
        forms = {raw, *encoded, *(re.sub("%[0-9A-F]{2}", lambda hit: hit.group().lower(), text) for text in encoded)}
        forms |= {json.dumps(raw)[1:-1], json.dumps(raw, ensure_ascii=False)[1:-1]}
        forms |= {dsn_escape(raw), raw.replace("'", "'\"'\"'"), xml_escape(raw), xml_escape(raw, {'"': "&quot;"})}
        forms |= {re.sub(r"([\\:])", r"\\\1", raw)}
        forms |= {base64.b64encode(raw.encode()).decode(), base64.urlsafe_b64encode(raw.encode()).decode()}
        return tuple(sorted(forms - {""}, key=lambda form: (-len(form), form)))

    def _shown(self, password: str) -> str | None:
        if password not in ("encoded", "masked", "omitted"):
            raise ValueError("password must be one of encoded, masked and omitted")
        # A client certificate stands in place of the password.
        masked = None if self.password is None and self.sslcert else MASK
        return {"encoded": self.password, "masked": masked, "omitted": None}[password]

    def _pairs(self) -> list[tuple[str, str]]:
        named = [*((name, getattr(self, name)) for name in TLS_KEYS), ("options", self.startup_options)]
        return [(name, value) for name, value in named if value is not None] + list(self.parameters)


def parse_url(text: str, *, deployment: str | None = None) -> Connection:
    """Read a connection string: ``postgresql://``, ``postgres://``, ``cockroachdb://`` (also with a SQLAlchemy driver
    such as ``cockroachdb+psycopg2://``) or ``jdbc:postgresql://``.

    As in libpq, query parameters (user, password, host, port, dbname, ssl*) override what stands before them. The
    routing id is read from ``options`` (``--cluster%3DID``, ``-c cluster=ID``, raw ``=`` too), else from a database
    ``ID.db``, else from the host name. ``ssl=true`` means verify-full, as it does in the drivers that take it.
    A bare plus in the query is a space in a JDBC URL and refused in others, because drivers disagree there.

    ``deployment``: any key of DEPLOYMENTS; None infers it, see :func:`infer_deployment`.
    Raises InvalidConnectionError.
    """
    return _assemble([normalized(url_parts(text), deployment)], deployment)


def parse_dsn(text: str, *, deployment: str | None = None) -> Connection:
    """Read libpq's keyword form (``host=... user=...``), quoted as libpq does. Raises InvalidConnectionError."""
    return _assemble([normalized(dsn_parts(text), deployment)], deployment)


def parse_parameters(mapping: Mapping[str, Any], *, deployment: str | None = None) -> Connection:
    """Read what the Console shows as 'Parameters only', in the Cloud API's spelling or any other case.

    Keys: host, port (number or text), database, username or user, password, sslmode, sslrootcert, sslcert, sslkey,
    options, routing_id, routing, deployment, and ``parameters`` (a mapping) for all others.
    Raises InvalidConnectionError.
    """
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        name = str(key).lower().replace("-", "_").replace(" ", "_")
        name = _CONSOLE_NAMES.get(name, name)
        if name in values and values[name] != value:
            refuse(name, f"{name} is given twice with different values: keep one")
        values[name] = value
    parts = mapping_parts(values, ())
    deployment = deployment or parts.pop("deployment", None)
    return _assemble([normalized(parts, deployment)], deployment)


def parse_environment(mapping: Mapping[str, str], *, deployment: str | None = None) -> Connection:
    """Read an environment: the first of DATABASE_URL, JDBC_DATABASE_URL and COCKROACH_URL, completed by the PG*
    variables, which may not contradict it. Empty variables count as unset. Raises InvalidConnectionError.
    """
    url = next((mapping[name] for name in _URL_VARIABLES if mapping.get(name)), None)
    loose = {field: mapping[name] for name, field in _ENVIRONMENT.items() if mapping.get(name)}
    if url is None and not loose:
        refuse("url", f"the environment has none of {', '.join(_URL_VARIABLES)} and no PG* variable: set DATABASE_URL")
    sources = ([url_parts(url)] if url is not None else []) + [loose]
    return _assemble([normalized(source, deployment) for source in sources], deployment)


def parse_service(text: str, name: str, *, passfile: str = "", deployment: str | None = None) -> Connection:
    """Read a section of libpq's ``pg_service.conf``, and the password from ``.pgpass``: the first line that fits.

    Raises InvalidConnectionError.
    """
    parts: dict[str, str] = {}
    inside = section_seen = False
    for line in (raw.strip() for raw in text.split("\n")):
        if line.startswith("["):
            inside = line[1:].partition("]")[0] == name and not section_seen
            section_seen = section_seen or inside
        elif inside and line and not line.startswith("#"):
            key, _equals, value = line.partition("=")
            field, part = driver_key(key)
            add_part(parts, field, part, value)
    if not section_seen:
        refuse("url", f"there is no section [{name}] in the service file")
    login = [parts.get(field, "") for field in ("host", "port", "database", "user")]
    for line in passfile.split("\n"):
        fields = [re.sub(r"\\(.)", r"\1", raw) if raw != "*" else None for raw in _PASSFILE_FIELD.findall(line)]
        if len(fields) > 4 and all(pattern in (value, None) for value, pattern in zip(login, fields)):
            parts.setdefault("password", str(fields[4]))
    return _assemble([normalized(parts, deployment)], deployment)


def resolve(facts: Mapping[str, Any]) -> Connection:
    """Read one entry of ``connections``.

    Keys: url, deployment, host, port, database, user, password, routing_id, routing, sslmode, sslrootcert, sslcert,
    sslkey, options, parameters (a mapping); those of CA_KEYS are allowed and not looked at. None and '' count as not
    given. A key fills what the URL lacks, and contradicting the URL is an error. Raises InvalidConnectionError.
    """
    parts = mapping_parts(facts, ("url", *CA_KEYS))
    deployment = parts.pop("deployment", None)
    url = parts.pop("url", None)
    sources = ([url_parts(url)] if url is not None else []) + [parts]
    return _assemble([normalized(source, deployment) for source in sources], deployment)


def _assemble(sources: Iterable[Mapping[str, str]], deployment: str | None) -> Connection:
    parts = merge(sources)
    if deployment is None:
        deployment = infer_deployment(parts.get("host", ""), parts.get("routing_id"))
    values: dict[str, Any] = {name: parts[name] for name in DISCRETE_KEYS if name in parts}
    values["port"] = valid_port(values.get("port", DEFAULT_PORT))
    values.setdefault("host", "")
    values.setdefault("user", "")
    values["parameters"] = tuple((name, value) for name, value in parts.items() if name not in FIELDS)
    return Connection(deployment=deployment, **values)
