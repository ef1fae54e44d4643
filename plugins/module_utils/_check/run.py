# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The check of endpoints: connect as an app would, in six stages, and measure each stage.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import (
    OK,
    REFUSED_LOGINS,
    is_no_refusal,
    note,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.diagnosis import (
    Diagnosis,
    certificate_facts,
    diagnose,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import (
    DatabaseUnseenError,
    DialError,
    PasswordHeldError,
    TokenUnusableError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import CLOCK_SECONDS, Facts
from ansible_collections.crdb.onboard.plugins.module_utils._check.libpq import (
    default_ca_file,
    revocations,
    variables_taken,
    with_default_ca,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.masking import shown_values
from ansible_collections.crdb.onboard.plugins.module_utils._check.notes import (
    MAX_OWN_AUTHORITIES,
    certificate_notes,
    session_notes,
    slow_stages,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEFAULT_TIMEOUT
from ansible_collections.crdb.onboard.plugins.module_utils._check.report import Report, skipped
from ansible_collections.crdb.onboard.plugins.module_utils._check.resolve import Address, connect, resolve
from ansible_collections.crdb.onboard.plugins.module_utils._check.text import timestamp
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import (
    ClosedError,
    MalformedError,
    NotPostgresError,
    TlsError,
    WireError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.messages import server_kind
from ansible_collections.crdb.onboard.plugins.module_utils._wire.session import Wire
from ansible_collections.crdb.onboard.plugins.module_utils._wire.tls import (
    checks_revocations,
    exposes_private_key,
    has_public_roots,
    read_authorities,
    tls_context,
    unverified_context,
)

MAX_PARALLEL = 16


# The part of the timeout that a stage may use, so that a dead resolver or a filtered port still gives a verdict in
# time. A serverless cluster that sleeps wakes up in 'route', which may use all of the remaining time.
_STAGE_SHARE = {"dns": 0.5, "tcp": 0.6, "tls": 0.6, "route": 1.0, "auth": 1.0, "sql": 1.0}


_CERTIFICATE_SECONDS = 3.0


# CockroachDB opens a session on a database that does not exist: then pg_database has no row for it.
# The query uses only names that CockroachDB and PostgreSQL both have.
_PROOF = (
    "SELECT current_user, current_database(), version() FROM pg_catalog.pg_database WHERE datname = current_database()"
)


class SessionError(Exception):
    """A session could not be opened. `diagnosis`: cause, cure and evidence, without the password."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(f"{diagnosis.cause} {diagnosis.cure}")
        self.diagnosis = diagnosis


def check_endpoints(
    endpoints: Sequence[Endpoint],
    timeout: float = DEFAULT_TIMEOUT,
    skew: float | None = None,
    refusals: dict[str, list[str]] | None = None,
) -> list[Report]:
    """Check all endpoints, up to MAX_PARALLEL at once, and report in their order.

    Endpoints with the same login are checked one after the other, and skipped once its password was refused, because
    the service locks an address out after failed logins. `skew`: seconds that this machine's clock is ahead of the
    controller's, None if unknown. `refusals` maps the text of a login key to the name of the endpoint that was refused
    and its code; it holds the refusals of earlier calls, and this call adds its own.
    """
    refused = {} if refusals is None else refusals
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, endpoint in enumerate(endpoints):
        groups.setdefault(endpoint.login_key(), []).append(index)
    reports: dict[int, Report] = {}

    def run(indexes: list[int]) -> None:
        key = repr(endpoints[indexes[0]].login_key())
        for index in indexes:
            if key in refused:
                reports[index] = not_tried(endpoints[index], timeout, *refused[key])
                continue
            reports[index] = check_endpoint(endpoints[index], timeout, skew)
            if login_was_refused(reports[index]):
                refused[key] = [endpoints[index].name, reports[index].diagnosis.code]

    if len(groups) > 1:
        # Loading this takes longer than most stages of a check.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=min(MAX_PARALLEL, len(groups))) as pool:
            for future in [pool.submit(run, indexes) for indexes in groups.values()]:
                future.result()
    else:
        for indexes in groups.values():
            run(indexes)
    return [reports[index] for index in range(len(endpoints))]


def login_was_refused(report: Report) -> bool:
    """Whether the same login must not be tried again: it was refused, or may have been."""
    code, evidence = report.diagnosis.code, report.diagnosis.evidence
    if code in REFUSED_LOGINS:
        return True
    at_login = report.password_sent and evidence.get("step") == "auth"
    return at_login and not is_no_refusal(code, str(evidence.get("sqlstate", "")))


def open_session(endpoint: Endpoint, timeout: float = DEFAULT_TIMEOUT) -> Wire:
    """Log in with the same verification and time limits as a check; the caller closes the session.

    The password is sent at most once. Raises SessionError with the diagnosis that a check would report.
    """
    return _Run(endpoint, timeout, None).open()


def not_tried(endpoint: Endpoint, timeout: float, other: str, verdict: str) -> Report:
    """The report of an endpoint whose login failed with `verdict` for the endpoint `other`."""
    code = "not_tried" if verdict in REFUSED_LOGINS else "canary_failed"
    return skipped(code, Facts.of(endpoint, timeout), other, verdict=verdict)


def check_endpoint(endpoint: Endpoint, timeout: float = DEFAULT_TIMEOUT, skew: float | None = None) -> Report:
    """Check one endpoint within `timeout` seconds. Never raises for network errors: the report names them.

    The password is sent at most once, after the server's certificate is verified. If verification fails, a second
    connection without login reads the certificates, so that the report can name them.
    """
    return _Run(endpoint, timeout, skew).report()


class _Run:
    """The state of one check."""

    def __init__(self, endpoint: Endpoint, timeout: float, skew: float | None) -> None:
        self._given = endpoint
        self._endpoint = endpoint = with_default_ca(endpoint)
        self._skew = skew
        self._total = Deadline(timeout)
        self._timeout = timeout
        self._facts = Facts.of(endpoint, timeout)
        self._facts.ca_of_libpq = endpoint is not self._given
        self._step = "resolve"
        self._stages: list[dict[str, Any]] = []
        self._server: dict[str, Any] = {}
        self._wire: Wire | None = None
        self._target: Address | None = None

    def report(self) -> Report:
        try:
            self._run_stages()
            diagnosis = Diagnosis(OK, "", "", {})
        except WireError as exc:
            self._look_again(exc)
            diagnosis = self._diagnose(exc)
        except Exception as exc:  # an unexpected error of one endpoint must not lose the others' reports
            diagnosis = self._diagnose(exc)
        finally:
            if self._wire is not None:
                self._wire.close()
        return Report(
            name=self._endpoint.name,
            host=self._endpoint.host,
            port=self._endpoint.port,
            address=self._facts.address,
            diagnosis=diagnosis,
            stages=self._stages,
            server=shown_values(self._server, self._sent_password()),
            password_sent=self._wire is not None and self._wire.password_sent,
            notes=self._notes(),
        )

    def _diagnose(self, error: BaseException) -> Diagnosis:
        self._facts.secret = self._sent_password()
        return diagnose(self._step, error, self._facts)

    def _sent_password(self) -> str:
        return (self._endpoint.password or "") if self._wire is not None and self._wire.password_sent else ""

    def open(self) -> Wire:
        """A session that is logged in, for the caller to use and close. Raises SessionError."""
        try:
            wire = self._log_in()
            with self._stage("sql", "login") as wire.deadline:
                wire.ready()
            return wire
        except WireError as exc:
            self._read_certificates(exc)
            if self._wire is not None:
                self._wire.close()
            raise SessionError(self._diagnose(exc)) from None

    def _open_tls(self) -> Wire:
        endpoint = self._endpoint
        with self._stage("dns", "resolve") as deadline:
            addresses = resolve(endpoint.host, endpoint.port, deadline)
        with self._stage("tcp", "connect") as deadline:
            self._wire = wire = Wire(self._dial(addresses, deadline), deadline)
        with self._stage("tls", "prepare") as wire.deadline:
            lists = revocations(endpoint)
            context = tls_context(endpoint.ca_file, endpoint.ca_text, endpoint.sslcert, endpoint.sslkey, lists)
            self._facts.client = next(iter(read_authorities(endpoint.sslcert, None)), None)
            if checks_revocations(context):
                self._facts.revocations = lists.text()
            self._step = "sslrequest"
            wire.request_tls()
            self._step = "handshake"
            try:
                wire.start_tls(context, endpoint.host)
            finally:
                self._facts.chain = x509.read_all(wire.peer_chain())
            version, cipher = wire.tls_facts()
            certificate = certificate_facts(self._facts.chain[0])
            self._server.update(tls_version=version, cipher=cipher, certificate=certificate)
        return wire

    def _take_token(self) -> None:
        """Get the token in place of a password, and refuse one that cannot be valid before anything is sent."""
        endpoint = self._endpoint
        if not endpoint.has_token:
            return
        from ansible_collections.crdb.onboard.plugins.module_utils._check import token

        self._clocks()
        began = time.monotonic()
        try:
            self._step = "token"
            if endpoint.jwt_file:
                text = token.from_file(endpoint.jwt_file)
            elif endpoint.jwt_command:
                text = token.from_command(endpoint.jwt_command, self._total)
            else:
                text = endpoint.jwt or ""
            self._facts.token = token.claims_of(text)
            token.refuse_outside(self._facts.token, datetime.datetime.now(datetime.timezone.utc))
        except TokenUnusableError:
            milliseconds = round((time.monotonic() - began) * 1000, 1)
            self._stages.append({"stage": "auth", "ok": False, "milliseconds": milliseconds})
            raise
        self._endpoint = endpoint._replace(password=text)

    def _log_in(self) -> Wire:
        self._take_token()
        endpoint, wire = self._endpoint, self._open_tls()
        with self._stage("route", "startup") as wire.deadline:
            request = wire.startup(self._startup_parameters())
        with self._stage("auth", "auth") as wire.deadline:
            if endpoint.hold_password and request.kind != 0:
                raise PasswordHeldError("hold_password is set: the password was not sent")
            wire.login(request, endpoint.password)
            self._server["auth_method"] = clean(request.method)
        return wire

    def _run_stages(self) -> None:
        if self._endpoint.tls_only:
            self._open_tls()
            return
        wire = self._log_in()
        with self._stage("sql", "login") as wire.deadline:
            wire.ready()
            self._step = "query"
            rows = wire.query(_PROOF)
            if not rows:
                raise DatabaseUnseenError("the session's database is not in pg_database")
            if len(rows) != 1 or len(rows[0]) != 3:
                raise MalformedError("content", "expected one row of three columns from the query")
            user, database, version_text = (clean(value) for value in rows[0])
            self._server.update(user=user, database=database, version=version_text)
        wire.terminate()

    @contextlib.contextmanager
    def _stage(self, stage: str, step: str) -> Iterator[Deadline]:
        self._step = step
        began = time.monotonic()
        passed = False
        try:
            yield self._total.within(self._timeout * _STAGE_SHARE[stage])
            passed = True
        finally:
            milliseconds = round((time.monotonic() - began) * 1000, 1)
            self._stages.append({"stage": stage, "ok": passed, "milliseconds": milliseconds})

    def _startup_parameters(self) -> dict[str, str]:
        parameters = {
            "user": self._endpoint.user,
            "database": self._endpoint.database,
            "application_name": "crdb.onboard.check",
            "client_encoding": "UTF8",
        }
        if self._endpoint.options is not None:
            parameters["options"] = self._endpoint.options
        return parameters

    def _dial(self, addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
        """Try the addresses in turn, each with its share of the remaining time. Raises the DialError to report."""
        failures: list[tuple[Address, DialError]] = []
        for index, address in enumerate(addresses):
            share = deadline.within(deadline.remaining() / (len(addresses) - index))
            try:
                sock = connect(address, share)
            except DialError as exc:
                failures.append((address, exc))
                self._facts.attempts.append({"address": address.text, "error": str(exc)})
                continue
            self._target = address
            self._facts.address = address.text
            with contextlib.suppress(OSError):
                self._facts.local_address = str(sock.getsockname()[0])
            return sock
        # Clusters are reached over IPv4, so an IPv4 failure is reported before an IPv6 one.
        ipv4 = [failure for failure in failures if failure[0].family == socket.AF_INET]
        address, error = (ipv4 or failures)[-1]
        self._facts.address = address.text
        raise error

    def _look_again(self, error: WireError) -> None:
        """Connect a second time, without a login, where that tells causes apart."""
        self._read_certificates(error)
        tls = isinstance(error, NotPostgresError) and server_kind(error.banner) == "TLS"
        if self._step == "sslrequest" and self._target and (tls or isinstance(error, ClosedError)):
            self._facts.tls_at_once = self._tls_at_once(self._target, self._total.within(_CERTIFICATE_SECONDS))

    def _tls_at_once(self, target: Address, deadline: Deadline) -> str | None:
        """The protocol that the server chooses when TLS is begun without PostgreSQL's request; None if it does not."""
        try:
            wire = Wire(connect(target, deadline), deadline)
        except WireError:
            return None
        context = unverified_context()
        context.set_alpn_protocols(["postgresql", "http/1.1"])
        try:
            wire.start_tls(context, self._endpoint.host)
            return wire.application_protocol()
        except WireError:
            return None
        finally:
            wire.close()

    def _read_certificates(self, error: WireError) -> None:
        """After a certificate was refused, connect again without login and read the certificates for the report."""
        self._clocks()
        if not isinstance(error, TlsError) or error.reason != "CERTIFICATE_VERIFY_FAILED" or self._target is None:
            return
        self._facts.public_roots = has_public_roots()
        self._facts.authorities = read_authorities(self._endpoint.ca_file, self._endpoint.ca_text)
        deadline = self._total.within(_CERTIFICATE_SECONDS)
        # Before Python 3.13, ssl returns only the server's own certificate: TLS 1.2 sends the others in clear.
        clear = not hasattr(ssl.SSLObject, "get_unverified_chain")
        self._facts.chain = self._presented(self._target, deadline, clear=clear)
        if clear and not self._facts.chain:
            self._facts.chain = self._presented(self._target, deadline, clear=False)

    def _presented(self, target: Address, deadline: Deadline, *, clear: bool) -> tuple[x509.Certificate, ...]:
        """The certificates that the server presents before any login; empty when it presents none."""
        try:
            wire = Wire(connect(target, deadline), deadline)
        except WireError:
            return ()
        try:
            # A server that requires a client certificate closes the connection after it has presented its own.
            with contextlib.suppress(WireError):
                wire.request_tls()
                wire.start_tls(unverified_context(clear=clear), self._endpoint.host)
            return x509.read_all(wire.peer_chain())
        finally:
            wire.close()

    def _clocks(self) -> None:
        self._facts.now = datetime.datetime.now(datetime.timezone.utc)
        if self._skew is not None:
            with contextlib.suppress(OverflowError):
                self._facts.controller_now = self._facts.now - datetime.timedelta(seconds=self._skew)

    def _notes(self) -> list[dict[str, str]]:
        """The notes beside the verdict: slow stages, a clock that differs, certificates."""
        facts = self._facts
        self._clocks()
        notes = [
            note(
                f"slow_{stage}", host=facts.host, address=facts.address or "no address", took=round(took), normal=limit
            )
            for stage, took, limit in slow_stages(self._stages)
        ]
        now, controller = facts.now, facts.controller_now
        if now and controller and abs((now - controller).total_seconds()) > CLOCK_SECONDS:
            notes.append(
                note("clock_differs", host=facts.host, now=timestamp(now), controller_now=timestamp(controller))
            )
        notes += session_notes(facts, shown_values(self._server, self._sent_password()))
        if facts.ca_file:
            mode = exposes_private_key(facts.ca_file)
            notes += [note("ca_holds_key", host=facts.host, path=facts.ca_file, mode=mode)] if mode else []
        if "tls_version" in self._server:
            authorities = read_authorities(self._endpoint.ca_file, self._endpoint.ca_text)
            facts.authorities = authorities if len(authorities) <= MAX_OWN_AUTHORITIES else ()
            notes += certificate_notes(facts)
            notes += self._libpq_notes()
        return notes

    def _libpq_notes(self) -> list[dict[str, str]]:
        """Notes on what clients built on libpq would do differently in this session of the host."""
        host, names = self._facts.host, variables_taken(self._given)
        notes = [note("libpq_environment", host=host, variables=", ".join(names))] if names else []
        public = not (self._endpoint.ca_file or self._endpoint.ca_text or self._endpoint.public_roots)
        if public and os.environ.get("PGSSLROOTCERT") != "system":
            notes.append(note("libpq_without_ca", host=host, ca=default_ca_file() or "~/.postgresql/root.crt"))
        return notes
