# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL from the controller: sessions, quoting, and statements that never show a password.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import EndpointError
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import SessionError, open_session
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import (
    ServerError,
    TimedOutError,
    WireError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.scram import scram_verifier
from ansible_collections.crdb.onboard.plugins.module_utils._wire.session import Wire
from ansible_collections.crdb.onboard.plugins.plugin_utils._ca.authorities import bundle, load
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import ROOT_CRT
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import Source, endpoint_facts
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan

LONGEST_NAME = 63
HIDDEN = "'********'"
DUPLICATE_OBJECT = "42710"
LOGIN_TIMEOUT = 60.0
STATEMENT_TIMEOUT = 600.0
"""Seconds. CockroachDB's changes of roles and privileges wait for leases and long transactions: up to some minutes."""

_MAY_HAVE_RUN = (
    " The statement may have taken effect nevertheless. Run it again: what was done is not repeated. Where the cluster"
    " needs longer, raise statement_timeout (crdb_sql_user_statement_timeout)."
)
# PostgreSQL documentation, "PostgreSQL Error Codes": syntax_error, feature_not_supported; CockroachDB has the same.
_UNKNOWN_STATEMENT = ("42601", "0A000")
_COMPLETION_UNKNOWN = "40003"
_LONGEST_REASON = 1000
_MORE_FIELDS = (("DETAIL", "D"), ("HINT", "H"))
# A verified server may list many tables.
_MAX_RECEIVED = 64 * 1024 * 1024


class SqlError(OnboardingError):
    """The server refused a statement, or the session ended during it; then `sqlstate` is empty.

    `uncertain`: the statement may have taken effect.
    """

    def __init__(self, text: str, sqlstate: str = "", *, uncertain: bool = False) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate
        self.uncertain = uncertain


def folded(name: str) -> str:
    """The name of a user or role as CockroachDB stores it: in lower case, also when it was in quotes, and composed."""
    return unicodedata.normalize("NFC", name.strip()).lower()


def identifier(name: str) -> str:
    """A name in double quotes. Raises OnboardingError for a name that no object can have."""
    if not name or "\0" in name or len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        raise OnboardingError(f"{name!r} is not a valid SQL name: it must have 1 to {LONGEST_NAME} bytes and no NUL.")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in single quotes, for standard_conforming_strings, which `Session` requires.

    Raises OnboardingError for a text with a NUL.
    """
    if "\0" in text:
        raise OnboardingError("A text for SQL must not have a NUL.")
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Statement:
    """One statement in one database; `secret`, a literal, is sent where `shown` has stars."""

    database: str
    shown: str
    secret: str = field(default="", repr=False)

    @property
    def sql(self) -> str:
        """The text to send."""
        return self.shown.replace(HIDDEN, self.secret, 1) if self.secret else self.shown


def with_password(database: str, beginning: str, password: str) -> Statement:
    """A statement that ends in a password, of which it holds only the SCRAM verifier."""
    return Statement(database, f"{beginning} PASSWORD {HIDDEN}", literal(scram_verifier(password)))


class Session:
    """One logged-in session with a database. Raises SqlError.

    Args:
        connection: its user, password and database.
        facts: of the endpoint.
        statement_timeout: seconds for each statement; the login has LOGIN_TIMEOUT.
    """

    def __init__(self, connection: Connection, facts: Mapping[str, Any], statement_timeout: float) -> None:
        self.database = connection.database
        self.closed = False
        self._who = f"{connection.user} on {connection.host} ({connection.database})"
        self._timeout = statement_timeout
        try:
            self._wire: Wire = open_session(Endpoint.from_dict(facts), LOGIN_TIMEOUT)
        except (SessionError, EndpointError) as exc:
            raise SqlError(f"No SQL session as {self._who}: {exc}") from None
        self._wire.max_received = _MAX_RECEIVED
        (answer,) = self.query("SHOW standard_conforming_strings")
        if answer != ("on",):
            self.close()
            raise SqlError(f"No SQL session as {self._who}: standard_conforming_strings is off. Turn it on.")

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of a query, as text."""
        return self._ask(sql, "reading the catalogue", "", changes=False)

    def run(self, statement: Statement) -> None:
        """Run a statement; no error shows its secret. An error says whether the statement may have taken effect."""
        self._ask(statement.sql, statement.shown, statement.secret.strip("'"), changes=True)

    def _ask(self, sql: str, shown: str, secret: str, *, changes: bool) -> list[tuple[str | None, ...]]:
        self._wire.deadline = Deadline(self._timeout)
        try:
            return self._wire.query(sql)
        except ServerError as exc:
            self.close()
            uncertain = changes and exc.sqlstate == _COMPLETION_UNKNOWN
            raise SqlError(
                f"SQL as {self._who}: {shown}: the server refused it: {_reason(exc, secret)}."
                f"{_MAY_HAVE_RUN if uncertain else ''}",
                exc.sqlstate,
                uncertain=uncertain,
            ) from None
        except WireError as exc:
            self.close()
            late = isinstance(exc, TimedOutError)
            reason = f"the server did not answer within {self._timeout:.0f} s" if late else clean(exc)
            raise SqlError(
                f"SQL as {self._who}: {shown}: {reason}.{_MAY_HAVE_RUN if changes else ''}", uncertain=changes
            ) from None

    def close(self) -> None:
        """End the session; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._wire.terminate()
            self._wire.close()


def _reason(error: ServerError, secret: str) -> str:
    """What the server said, with its DETAIL and HINT, in which both servers name the objects that are in the way."""

    def told(field: str) -> str:
        text = error.fields.get(field, "")
        return clean(text.replace(secret, "********") if secret else text, _LONGEST_REASON).rstrip(".")

    words = f"{told('M')} (SQLSTATE {clean(error.sqlstate)})"
    return words + "".join(f". {name}: {told(field)}" for name, field in _MORE_FIELDS if told(field))


class Sessions:
    """The sessions of one SQL user with the databases of one cluster, each opened on first use.

    Args:
        source: the connection; its CA and client certificate are files on the controller.
        statement_timeout: in seconds, for each statement.
    """

    def __init__(self, source: Source, statement_timeout: float = STATEMENT_TIMEOUT) -> None:
        self._source = source
        self._timeout = statement_timeout
        self._open: dict[str, Session] = {}
        self._unknown: set[str] = set()

    @property
    def user(self) -> str:
        """The SQL user, as CockroachDB stores the name."""
        return folded(self._source.connection.user)

    @property
    def database(self) -> str:
        """The connection's own database."""
        return self._source.connection.database

    def on(self, database: str) -> Session:
        """The session with a database; a new one where the last one has ended."""
        if database not in self._open or self._open[database].closed:
            connection = self._source.connection.replace(database=database)
            facts = endpoint_facts("sql", connection, self._ca(), self._source.token)
            self._open[database] = Session(connection, facts, self._timeout)
        return self._open[database]

    def query(self, sql: str, database: str = "") -> list[tuple[str | None, ...]]:
        """The rows of a query in a database, by default the connection's own."""
        return self.on(database or self.database).query(sql)

    def query_if_known(self, statement: str, sql: str, database: str = "") -> list[tuple[str | None, ...]] | None:
        """The rows of a statement that not every server has; None where the server does not know it.

        Args:
            statement: names the statement; it is not sent again to a server that did not know it.
            sql: what to send.
            database: by default the connection's own.
        """
        if statement in self._unknown:
            return None
        try:
            return self.query(sql, database)
        except SqlError as exc:
            if exc.sqlstate not in _UNKNOWN_STATEMENT:
                raise
            self._unknown.add(statement)
            return None

    def run(self, statements: Iterable[Statement], done: list[str], *, cleanup: bool = False) -> None:
        """Run statements in order; each one that succeeded is added to `done`.

        Raises RunGoneError, but for a `cleanup`, which has to be done whatever happened to the run.
        """
        for statement in statements:
            if not cleanup:
                orphan.still_wanted()
            self.on(statement.database).run(statement)
            done.append(statement.shown)

    def _ca(self) -> dict[str, Any]:
        if self._source.ca is not None:
            return {"ca_text": bundle(load(self._source.ca)).decode("ascii")}
        return {"ca_file": self._source.connection.sslrootcert or f"~/{ROOT_CRT}"}

    def __enter__(self) -> Sessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._open.values():
            session.close()
