# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Choose the code of a diagnosis from the step, the error and the facts. Pure: a new fault is a new line here.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from ansible_collections.crdb.onboard.plugins.module_utils._check.chain import failing_certificate, links
from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import (
    DatabaseUnseenError,
    DialError,
    PasswordHeldError,
    ResolveError,
    TokenUnusableError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import CLOCK_SECONDS, Facts
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import (
    AuthUnsupportedError,
    ClosedError,
    FileUnusableError,
    MalformedError,
    NetworkLostError,
    NotPostgresError,
    PasswordNeededError,
    PlaintextInjectedError,
    ScramError,
    ServerError,
    TimedOutError,
    TlsError,
    TlsNotOfferedError,
    WrongNameError,
)


class _Rule(NamedTuple):
    """The code of a server's error.

    `states`: SQLSTATEs, empty for any; `pattern`: matched in the lower-case text; `steps`: of the check, empty for any.
    """

    code: str
    states: tuple[str, ...]
    pattern: str
    steps: tuple[str, ...] = ()


_REFUSED = r"^codeproxyrefusedconnection:\s*"


_ROUTING = r"^codeparamsroutingfailed:\s*"


# A pooler sends one SQLSTATE for everything (PgBouncer: 08P01, pgcat and Odyssey others), so its words decide.
_POOLER_DOWN = (
    r"^(query_wait_timeout|pgbouncer cannot connect to server|server login has been failing|server conn(ect)? (crashed|"
    r"timeout|failed)|server (dns lookup failed|login failed|closed the connection|unavailable)|client_login_timeout)"
)


# The first match wins. The proxy's errors are recognised by their text alone: its SQLSTATE has changed over time
# (08004, 08C00, 57P01), and all of its errors share one.
_SERVER_RULES: Sequence[_Rule] = (
    _Rule("throttled", (), _REFUSED + r"(too many failed authentication attempts|connection attempt throttled)"),
    _Rule("not_in_allowlist", (), _REFUSED + r"connection refused"),
    _Rule("proxy_refused", (), _REFUSED),
    _Rule("missing_cluster_identifier", (), _ROUTING + r"missing cluster (identifier|name)"),
    _Rule("invalid_cluster_identifier", (), _ROUTING + r"invalid cluster identifier"),
    _Rule("conflicting_cluster_identifiers", (), _ROUTING + r"multiple different cluster identifiers"),
    _Rule("multiple_cluster_flags", (), _ROUTING + r"multiple cluster flags"),
    _Rule("invalid_cluster_flag", (), _ROUTING + r"invalid cluster flag"),
    _Rule("invalid_database_name", (), _ROUTING + r"invalid database param"),
    _Rule("unknown_cluster", (), _ROUTING + r"(cluster \S+ not found|rejected by backendconfigfromparams)"),
    _Rule("routing_failed", (), _ROUTING),
    _Rule("backend_unreachable", (), r"^codebackend(dialfailed|down)\b"),
    _Rule("cluster_at_limit", (), r"^codeunavailable\b.*\b(limit|quota|disabled|exceeded)"),
    _Rule("cluster_paused", (), r"^codeunavailable\b.*\b(paused?|pausing|suspended|resum)"),
    _Rule("server_unavailable", (), r"^codeunavailable\b"),
    _Rule("server_requires_encryption", (), r"^(codeunexpectedinsecurestartupmessage\b|server requires encryption)"),
    _Rule("proxy_internal_error", (), r"^internal server error$"),
    _Rule("proxy_unexplained", ("08C00", "08004"), r""),
    _Rule("tenant_unavailable", (), r"^service unavailable for target tenant"),
    _Rule("license_missing", (), r"maximum number of concurrently open transactions"),
    _Rule("quorum_lost", (), r"lost quorum|^replica unavailable|leaderless"),
    _Rule("quorum_lost", ("58C00",), r""),
    _Rule("pooler_database_unknown", (), r"^no such database: "),
    _Rule("pooler_option_refused", (), r"^unsupported startup parameter"),
    _Rule("pooler_full", (), r"^no more connections allowed|max_client_conn"),
    _Rule("pooler_console", ("08P01",), r"^(not allowed|admin access needed)$"),
    _Rule("hba_refused", ("08P01",), r"^login rejected$"),
    _Rule("pooler_server_down", (), _POOLER_DOWN),
    _Rule("pooler_password_rejected", (), r"^(sasl|\"?trust\"?|pam|ldap) authentication failed$|^no such user"),
    _Rule("pooler_password_rejected", ("08P01",), r"^(password|certificate) authentication failed$"),
    _Rule("pooler_login_refused", ("08P01",), r"^password authentication failed for user"),
    _Rule("password_expired", ("28P01", "28000"), r"^password is expired"),
    _Rule("login_denied", ("28000", "28P01", "42501"), r"is not permitted to log in|login privilege|sqllogin"),
    _Rule(
        "hba_refused", ("28000",), r"pg_hba\.conf|host_based_authentication|^authentication rejected by configuration"
    ),
    _Rule("ldap_refused", ("28000", "28P01"), r"^ldap auth"),
    _Rule(
        "jwt_unsupported", (), r"^jwt token authentication (requires|has not been)|parameter \"crdb:jwt_auth_enabled\""
    ),
    _Rule("jwt_disabled", (), r"^jwt authentication: not enabled"),
    _Rule("jwt_wrong_issuer", (), r"^jwt authentication: invalid issuer"),
    _Rule("jwt_wrong_audience", (), r"^jwt authentication: invalid audience"),
    _Rule("jwt_wrong_user", (), r"^jwt authentication: (invalid (principal|identity|claim value)|missing claim)"),
    _Rule("jwt_refused", ("28000", "28P01"), r"^jwt auth"),
    _Rule("identity_not_mapped", ("28000",), r"does not correspond to any mapping|did not map to a database role"),
    _Rule("client_cert_of_another", ("28000", "28P01"), r"^certificate authentication failed|but certificate is for"),
    _Rule(
        "client_cert_required", ("28000",), r"no tls peer certificates|connection requires a valid client certificate"
    ),
    _Rule("user_unknown", ("28000",), r"^(role|user) .* does not exist"),
    _Rule("password_rejected", ("28P01",), r""),
    # Old CockroachDB versions send the default SQLSTATE.
    _Rule("password_rejected", (), r"^password authentication failed for user"),
    _Rule("login_refused", ("28000",), r""),
    _Rule("database_missing", ("3D000",), r""),
    _Rule("database_missing", ("08P01",), r"^database \S+ does not exist"),
    # CockroachDB opens a session on a database that does not exist, and fails at the first name of the catalogue.
    _Rule("database_missing", ("42P01",), r"pg_catalog|pg_database", ("query",)),
    _Rule("connect_denied", ("42501",), r"connect privilege|permission denied for database"),
    _Rule("query_denied", ("42501",), r"", ("query",)),
    _Rule("role_at_limit", ("53300",), r"^too many connections for (role|database)"),
    _Rule("too_many_connections", ("53300",), r""),
    _Rule("server_starting", ("57P03",), r"starting up|not yet accepting|recovery"),
    _Rule("server_stopping", ("57P01", "57P02", "57P03"), r""),
    _Rule("startup_cluster_refused", ("42704",), r"^unrecognized configuration parameter \"cluster\""),
    _Rule(
        "startup_option_refused",
        ("42704", "22023", "42601", "08P01"),
        r"^(unrecognized|unknown|invalid) (configuration|session) |^invalid (value for parameter|command-line argument)"
        r"|^parameter \S+ (cannot|requires)",
        ("startup", "auth", "login"),
    ),
)


# OpenSSL's X509_V_ERR_* numbers (x509_vfy.h).
_NO_ISSUER, _BAD_SIGNATURE = 2, 7
_OF_REVOCATION_LISTS = (3, 5, 8, 11, 12, 15, 16, 33, 35, 36, 44, 54)


_VERIFY_CODES = {
    **dict.fromkeys((_NO_ISSUER, _BAD_SIGNATURE, 18, 19, 20, 21, 27), "tls_unknown_ca"),
    **dict.fromkeys(_OF_REVOCATION_LISTS, "revocations_unusable"),
    23: "tls_revoked",
    9: "tls_not_yet_valid",
    10: "tls_expired",
    66: "tls_weak_certificate",
    67: "tls_weak_certificate",
    68: "tls_weak_certificate",
}


_TOO_OLD = re.compile(r"UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION|VERSION_TOO_LOW|NO_PROTOCOLS_AVAILABLE")


_CLIENT_CERT_ALERT = re.compile(
    r"ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN)|DECRYPT_ERROR"
    r"|ACCESS_DENIED)"
)


_DIAL_CODES = {
    errno.ECONNREFUSED: "tcp_refused",
    errno.ETIMEDOUT: "tcp_timeout",
    errno.ENETUNREACH: "tcp_unreachable",
    errno.EHOSTUNREACH: "tcp_unreachable",
    errno.EADDRNOTAVAIL: "tcp_unreachable",
    # This reset came after the connection was accepted: one before that is ECONNREFUSED.
    errno.ECONNRESET: "closed_without_a_word",
    errno.EACCES: "tcp_blocked_locally",
    errno.EPERM: "tcp_blocked_locally",
}


# By the server that has the password, and by a pooler.
_PASSWORD_REJECTED = ("password_rejected", "pooler_password_rejected")


def redirect_of(banner: bytes, host: str) -> str:
    """Where a web server's answer redirects to, if that is another host; empty otherwise. Pure."""
    found = re.match(
        rb"HTTP/1\.[01] 30[12378] .*?^location:[ \t]*(\S+)", banner, re.DOTALL | re.IGNORECASE | re.MULTILINE
    )
    where = found.group(1).decode("ascii", "replace") if found else ""
    try:
        other = urlsplit(where).hostname
    except ValueError:
        return ""
    return where if other and other != host.lower() else ""


def classify(step: str, error: BaseException, facts: Facts) -> str:
    """The code of an error: a key of CATALOGUE. Pure."""
    if isinstance(error, ServerError):
        code = classify_server_error(error, step)
        return "password_encoded_twice" if code in _PASSWORD_REJECTED and facts.password_encoded else code
    if step == "sslrequest" and facts.tls_at_once is not None:
        return "tls_from_the_start"
    if isinstance(error, TlsError):
        return _classify_tls(step, error, facts)
    if isinstance(error, DialError):
        return _classify_dial(error, facts)
    if isinstance(error, ResolveError):
        return "host_invalid" if error.kind == "invalid" else "dns_" + error.kind
    if isinstance(error, NotPostgresError):
        return "captive_portal" if redirect_of(error.banner, facts.host) else "not_postgresql"
    if isinstance(error, FileUnusableError):
        return _classify_file(error)
    if isinstance(error, TokenUnusableError):
        return _TOKEN_CODES[error.kind]
    if isinstance(error, TimedOutError):
        return "server_hang_" + step
    if isinstance(error, ClosedError):
        return "reply_truncated" if error.partial else _closed(step)
    if isinstance(error, MalformedError):
        return _MALFORMED.get(error.kind, "reply_malformed")
    if isinstance(error, ScramError):
        return {"signature": "server_signature_invalid", "iterations": "scram_iterations"}.get(
            error.kind, "scram_malformed"
        )
    for kind, code in _SIMPLE:
        if isinstance(error, kind):
            return code
    return "internal_error"


_MALFORMED = {"length": "reply_bad_length", "too_long": "reply_too_long", "endless": "reply_endless"}


def _closed(step: str) -> str:
    """After the answer to the SSLRequest, it is PostgreSQL's protocol that ended."""
    return "closed_in_session" if step in ("startup", "auth", "login", "query") else "closed_without_a_word"


_SIMPLE = (
    (TlsNotOfferedError, "tls_not_offered"),
    (PlaintextInjectedError, "tls_plaintext_injected"),
    (AuthUnsupportedError, "auth_method_unsupported"),
    (PasswordNeededError, "password_missing"),
    (DatabaseUnseenError, "database_missing"),
    (NetworkLostError, "network_lost"),
    (WrongNameError, "tls_wrong_host"),
    (PasswordHeldError, "password_held"),
)


def classify_server_error(error: ServerError, step: str = "") -> str:
    """The code of an ErrorResponse, from its SQLSTATE, message, hint and the step of the check. Pure."""
    message = error.message.strip().lower()
    for rule in _SERVER_RULES:
        if rule.states and error.sqlstate not in rule.states:
            continue
        if rule.steps and step not in rule.steps:
            continue
        if not re.search(rule.pattern, message):
            continue
        # The proxy uses one code for the allowlist and for throttling; a vague message has a clear hint.
        if rule.code in ("not_in_allowlist", "proxy_refused") and "authentication" in error.fields.get("H", "").lower():
            return "throttled"
        if rule.code == "proxy_unexplained" and message:
            return "server_error"
        if rule.code == "jwt_refused":
            return _classify_token(error.fields.get("D", ""))
        return rule.code
    return "server_error"


# CockroachDB refuses each of these with the words "invalid token"; the detail tells them apart (jwx, its library).
_TOKEN_DETAILS = (
    ("jwt_expired", r'"exp" not satisfied'),
    ("jwt_not_yet_valid", r'"(nbf|iat)" not satisfied'),
    ("jwt_wrong_key", r"failed to find key|could not verify|failed to verify|key provider|signature"),
    ("jwt_malformed", r"token parsing failed|failed to (parse|unmarshal)"),
)


def _classify_token(detail: str) -> str:
    return next((code for code, pattern in _TOKEN_DETAILS if re.search(pattern, detail.lower())), "jwt_refused")


_TOKEN_CODES = {
    "missing": "jwt_file_missing",
    "unreadable": "jwt_file_unreadable",
    "empty": "jwt_empty",
    "malformed": "jwt_malformed",
    "expired": "jwt_expired",
    "not_yet_valid": "jwt_not_yet_valid",
    "command": "jwt_command_failed",
}


def _classify_tls(step: str, error: TlsError, facts: Facts) -> str:
    if error.reason == "CERTIFICATE_VERIFY_FAILED":
        code = _VERIFY_CODES.get(error.verify_code, "tls_certificate_refused")
        if code == "tls_unknown_ca":
            code = _classify_unknown_ca(error.verify_code, facts)
            return "tls_not_public" if code == "tls_unknown_ca" and not facts.ca_given else code
        if code in ("tls_expired", "tls_not_yet_valid"):
            return _classify_dates(code, facts)
        return code
    if _TOO_OLD.search(error.reason):
        return "tls_too_old"
    if "CERTIFICATE_REQUIRED" in error.reason:
        return "client_cert_required"
    if _CLIENT_CERT_ALERT.search(error.reason):
        return _classify_client(error.reason, facts) if facts.client_cert else "tls_handshake_refused"
    if step == "handshake" and re.search("ALERT_|UNRECOGNIZED_NAME|NO_APPLICATION_PROTOCOL", error.reason):
        return "tls_handshake_refused"
    return "tls_failed"


def _classify_client(reason: str, facts: Facts) -> str:
    """Why a server refuses the client certificate. Most servers do not say, so its own dates come first."""
    own = facts.client
    if own is not None and facts.now is not None and not own.valid_at(facts.now):
        return "client_cert_expired" if facts.now > own.not_after else "client_cert_not_yet_valid"
    return "client_cert_other_ca" if "UNKNOWN_CA" in reason else "client_cert_refused"


def _classify_unknown_ca(number: int, facts: Facts) -> str:
    if not facts.ca_given and not facts.public_roots:
        return "public_roots_missing"
    if not facts.chain:
        return "tls_unknown_ca"
    chain = links(facts.chain)
    top = chain[-1]
    if facts.authorities and not any(ca.self_issued or ca.is_ca for ca in facts.authorities):
        return "ca_leaf"
    same_name = [ca for ca in facts.authorities if ca.subject_der == top.issuer_der]
    if same_name:
        other_key = number == _BAD_SIGNATURE or not any(ca.may_have_issued(top) for ca in same_name)
        if other_key or (top.self_issued and top not in same_name):
            return "ca_other_cluster"
        return "tls_unknown_ca" if top.self_issued else "ca_incomplete"
    if chain[0].self_issued:
        return "tls_self_signed"
    if number == _BAD_SIGNATURE:
        return "tls_certificate_refused"
    if number == _NO_ISSUER and not top.self_issued and top in facts.authorities:
        return "ca_incomplete"
    # Servers rarely send the root but always the intermediates, so a lone certificate may miss its issuer.
    alone = len(chain) == 1 and not top.self_issued
    if alone and (top.has_issuer_link or len(set(facts.chain)) > 1):
        return "tls_missing_intermediate"
    return "tls_unknown_ca"


def _classify_dates(code: str, facts: Facts) -> str:
    failing = failing_certificate(facts)
    if failing is None or facts.now is None:
        return code
    late = facts.now > failing.not_after
    if facts.controller_now is not None:
        ahead = (facts.now - facts.controller_now).total_seconds()
        if abs(ahead) > CLOCK_SECONDS and failing.valid_at(facts.controller_now) and (ahead > 0) == late:
            return "clock_ahead" if late else "clock_behind"
    if failing in facts.authorities:
        return "ca_expired" if late else "ca_not_yet_valid"
    if failing is not facts.chain[0]:
        return "tls_chain_expired" if late else "tls_chain_not_yet_valid"
    return "tls_expired" if late else "tls_not_yet_valid"


def _classify_dial(error: DialError, facts: Facts) -> str:
    code = _DIAL_CODES.get(error.number, "tcp_failed")
    only_ipv6 = bool(facts.attempts) and all(":" in attempt["address"] for attempt in facts.attempts)
    if code == "tcp_unreachable" and only_ipv6 and ":" not in facts.host:
        return "no_ipv4_address"
    return code


def _classify_file(error: FileUnusableError) -> str:
    if error.role == "ca" or error.kind in ("missing", "unreadable", "too_open", "encrypted", "mismatch"):
        return f"{error.role}_{error.kind}"
    return "client_cert_unusable"
