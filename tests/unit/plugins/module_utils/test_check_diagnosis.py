# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import string
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.classify import classify, classify_server_error
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import CATALOGUE, STAGES, STEPS
from ansible_collections.crdb.onboard.plugins.module_utils._check.diagnosis import describe, diagnose
from ansible_collections.crdb.onboard.plugins.module_utils._check.errors import DialError, ResolveError
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEPLOYMENTS
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import (
    FileUnusableError,
    NetworkLostError,
    ServerError,
    TimedOutError,
    TlsError,
    WireError,
)

# What the faults on loopback cannot show, and the tables here do.
REACHED = {
    "dns_not_found",
    "dns_filtered",
    "dns_timeout",
    "dns_temporary",
    "dns_failed",
    "no_ipv4_address",
    "tcp_unreachable",
    "tcp_blocked_locally",
    "tcp_failed",
    "network_lost",
    "public_roots_missing",
    "not_tried",
    # With a list of revoked certificates in the user's home: tests/faults/test_ca_files.py.
    "tls_revoked",
    "revocations_unusable",
    # On the controller, or by the app's files: tests/integration/test_check.py, test_app_files.py.
    "canary_refused",
    "canary_failed",
    "allowlist_drops_address",
    "allowlist_propagating",
    "allowlist_without_sql",
    "allowlist_holds_address",
    "password_wrong",
    "cluster_creating",
    "cluster_locked",
    "cluster_failed",
    "cluster_deleted",
    "app_file_missing",
    "app_file_malformed",
    "app_file_unreadable",
    "app_config_differs",
    "app_ca_unreadable",
    "app_key_unreadable",
    "env_value_missing",
    "env_value_differs",
    "env_value_twice",
    "internal_error",
    # In the action: tests/integration/test_check.py.
    "input_refused",
    "libpq_would_fail",
}
# Whose sentences are written elsewhere.
BORROWED = {"input_refused", "libpq_would_fail"}


def facts(**changes: Any) -> Facts:
    login: dict[str, Any] = {
        "name": "shop", "deployment": "serverless", "host": "db.test", "port": 26257, "user": "maxroach",
        "database": "defaultdb",
    }  # fmt: skip
    given = Facts(**{name: changes.pop(name, value) for name, value in login.items()})
    for name, value in {"address": "192.0.2.7", **changes}.items():
        assert hasattr(given, name)
        setattr(given, name, value)
    return given


def tls(reason: str, verify_code: int = 0) -> TlsError:
    error = TlsError.__new__(TlsError)
    WireError.__init__(error, reason)
    error.reason, error.verify_code, error.verify_message = reason, verify_code, ""
    return error


@pytest.mark.parametrize(
    ("state", "message", "code", "neighbour"),
    [
        ("08C00", "codeProxyRefusedConnection: connection refused", "not_in_allowlist", "throttled"),
        ("08004", "CODEPROXYREFUSEDCONNECTION: Connection Refused", "not_in_allowlist", "proxy_unexplained"),
        ("", "codeProxyRefusedConnection: connection refused", "not_in_allowlist", "server_error"),
        (
            "08C00",
            "codeProxyRefusedConnection: too many failed authentication attempts",
            "throttled",
            "not_in_allowlist",
        ),
        ("08004", "codeProxyRefusedConnection: connection attempt throttled", "throttled", "proxy_refused"),
        ("08C00", "connection refused", "server_error", "not_in_allowlist"),
        (
            "08C00",
            "codeParamsRoutingFailed: missing cluster identifier",
            "missing_cluster_identifier",
            "routing_failed",
        ),
        ("08C00", "codeParamsRoutingFailed: cluster a-b-c-7 not found", "unknown_cluster", "routing_failed"),
        (
            "08C00",
            "codeParamsRoutingFailed: invalid cluster flag",
            "invalid_cluster_flag",
            "invalid_cluster_identifier",
        ),
        ("08004", "codeUnavailable: no pods", "server_unavailable", "proxy_unexplained"),
        ("08C00", "codeUnavailable: cluster has exceeded its limits", "cluster_at_limit", "server_unavailable"),
        ("08C00", "codeUnavailable: cluster suspended", "cluster_paused", "cluster_at_limit"),
        ("08C00", "cluster is paused", "server_error", "cluster_paused"),
        ("08C00", "  ", "proxy_unexplained", "server_error"),
        ("08C00", "codeSomethingNew: text", "server_error", "proxy_unexplained"),
        ("XX000", "internal server error", "proxy_internal_error", "server_error"),
        ("XX000", "internal server error: more", "server_error", "proxy_internal_error"),
        ("28P01", 'password authentication failed for user "bob"', "password_rejected", "login_refused"),
        ("XXUUU", "password authentication failed for user bob", "password_rejected", "server_error"),
        ("28P01", "password is expired", "password_expired", "password_rejected"),
        ("28000", 'role "bob" does not exist', "user_unknown", "login_denied"),
        ("28000", 'role "bob" is not permitted to log in', "login_denied", "login_refused"),
        ("28000", "certificate authentication failed", "client_cert_of_another", "password_rejected"),
        ("3D000", 'database "x" does not exist', "database_missing", "user_unknown"),
        ("42501", "user bob does not have CONNECT privilege on database x", "connect_denied", "login_denied"),
        ("42501", "permission denied for table t", "server_error", "connect_denied"),
        ("53300", 'too many connections for role "bob"', "role_at_limit", "throttled"),
        ("57P03", "the database system is in recovery mode", "server_starting", "server_stopping"),
        ("57P01", "terminating connection due to administrator command", "server_stopping", "server_starting"),
        (
            "42704",
            'unrecognized configuration parameter "cluster"',
            "startup_cluster_refused",
            "startup_option_refused",
        ),
        ("42704", 'role "x" does not exist', "server_error", "user_unknown"),
        ("XX000", "something", "server_error", "proxy_internal_error"),
    ],
)
def test_server_errors(state: str, message: str, code: str, neighbour: str) -> None:
    found = classify_server_error(ServerError({"C": state, "M": message}))
    assert found == code
    assert found != neighbour


def test_the_hint_tells_a_throttled_login_from_the_allowlist() -> None:
    hint = {
        "C": "08C00",
        "M": "codeProxyRefusedConnection: refused",
        "H": "Connection throttled after authentication failed.",
    }
    assert classify_server_error(ServerError(hint)) == "throttled"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ECONNREFUSED, "tcp_refused"),
        (errno.ETIMEDOUT, "tcp_timeout"),
        (errno.EHOSTUNREACH, "tcp_unreachable"),
        (errno.ENETUNREACH, "tcp_unreachable"),
        (errno.ECONNRESET, "closed_without_a_word"),
        (errno.EPERM, "tcp_blocked_locally"),
        (errno.EACCES, "tcp_blocked_locally"),
        (errno.EMFILE, "tcp_failed"),
    ],
)
def test_dial_errors(number: int, code: str) -> None:
    assert classify("connect", DialError(number, "text"), facts()) == code


@pytest.mark.parametrize(
    ("addresses", "host", "code"),
    [
        (["2001:db8::1"], "db.test", "no_ipv4_address"),
        (["2001:db8::1", "192.0.2.7"], "db.test", "tcp_unreachable"),
        (["2001:db8::1"], "2001:db8::1", "tcp_unreachable"),
    ],
)
def test_only_ipv6(addresses: list[str], host: str, code: str) -> None:
    attempts = [{"address": address, "error": "Network is unreachable"} for address in addresses]
    error = DialError(errno.ENETUNREACH, "Network is unreachable")
    assert classify("connect", error, facts(host=host, attempts=attempts)) == code


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("not_found", "dns_not_found"),
        ("timeout", "dns_timeout"),
        ("temporary", "dns_temporary"),
        ("failed", "dns_failed"),
        ("invalid", "host_invalid"),
    ],
)
def test_name_errors(kind: str, code: str) -> None:
    assert classify("resolve", ResolveError(kind, "text"), facts()) == code


VERIFY = "CERTIFICATE_VERIFY_FAILED"


@pytest.mark.parametrize(
    ("step", "error", "known", "code"),
    [
        ("handshake", tls(VERIFY, 20), {}, "tls_not_public"),
        ("handshake", tls(VERIFY, 20), {"ca_given": True}, "tls_unknown_ca"),
        ("handshake", tls(VERIFY, 18), {"public_roots": False}, "public_roots_missing"),
        ("handshake", tls(VERIFY, 18), {"public_roots": False, "ca_given": True}, "tls_unknown_ca"),
        ("handshake", tls(VERIFY, 10), {}, "tls_expired"),
        ("handshake", tls(VERIFY, 66), {}, "tls_weak_certificate"),
        ("handshake", tls(VERIFY, 68), {}, "tls_weak_certificate"),
        ("handshake", tls(VERIFY, 26), {}, "tls_certificate_refused"),
        ("handshake", tls("UNSUPPORTED_PROTOCOL"), {}, "tls_too_old"),
        ("handshake", tls("TLSV1_ALERT_PROTOCOL_VERSION"), {}, "tls_too_old"),
        ("handshake", tls("SSLV3_ALERT_HANDSHAKE_FAILURE"), {}, "tls_handshake_refused"),
        ("handshake", tls("TLSV1_UNRECOGNIZED_NAME"), {}, "tls_handshake_refused"),
        ("startup", tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), {}, "client_cert_required"),
        ("startup", tls("TLSV1_ALERT_UNKNOWN_CA"), {"client_cert": "/c.pem"}, "client_cert_other_ca"),
        ("startup", tls("SSLV3_ALERT_BAD_CERTIFICATE"), {"client_cert": "/c.pem"}, "client_cert_refused"),
        ("startup", tls("TLSV1_ALERT_UNKNOWN_CA"), {}, "tls_handshake_refused"),
        ("startup", tls("WRONG_VERSION_NUMBER"), {}, "tls_failed"),
    ],
)
def test_tls_errors(step: str, error: TlsError, known: dict[str, Any], code: str) -> None:
    assert classify(step, error, facts(**known)) == code


@pytest.mark.parametrize(
    ("role", "kind", "code"),
    [
        ("ca", "empty", "ca_empty"),
        ("client_cert", "unreadable", "client_cert_unreadable"),
        ("client_cert", "empty", "client_cert_unusable"),
        ("client_key", "unreadable", "client_key_unreadable"),
        ("client_key", "encrypted", "client_key_encrypted"),
        ("client_key", "not_pem", "client_cert_unusable"),
    ],
)
def test_file_errors(role: str, kind: str, code: str) -> None:
    assert classify("prepare", FileUnusableError(role, kind, "/f", "text"), facts()) == code


def test_other_errors() -> None:
    assert classify("auth", NetworkLostError("No route to host", errno.EHOSTUNREACH), facts()) == "network_lost"
    assert classify("auth", KeyError("x"), facts()) == "internal_error"


@pytest.mark.parametrize("step", [step for step, (stage, _when) in STEPS.items() if stage not in ("dns", "tcp")])
def test_a_hang_has_a_code_in_every_step_that_waits(step: str) -> None:
    # These two do not wait for the network.
    if step not in ("prepare", "token"):
        assert classify(step, TimedOutError("late"), facts()) in CATALOGUE


def test_steps_belong_to_stages_in_order() -> None:
    order = [STAGES.index(stage) for stage, _when in STEPS.values()]
    assert order == sorted(order)
    assert set(order) == set(range(len(STAGES)))


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_sentence_names_the_host_and_leaves_nothing_open(code: str, deployment: str) -> None:
    known = facts(deployment=deployment, host="db.example.test", ca_file="/ca.crt", ca_given=True, client_cert="/c.pem")
    error = FileUnusableError("ca", "missing", "/ca.crt", "there is no such file")
    found = describe(code, "startup", error, known)
    if code not in BORROWED:
        assert "db.example.test" in found.cause
        assert "db.example.test" in found.cure
    for sentence in (found.cause, found.cure):
        assert sentence[0] in string.ascii_uppercase + "'1" or sentence.startswith(("maxroach", "db.", "192."))
        assert sentence.endswith(".")
        assert not set("{}\n") & set(sentence)
        assert ". " not in sentence.replace("... ", "")


def test_values_are_no_formats_and_cannot_break_the_line() -> None:
    odd = facts(host="db.test", user="{0.__class__}\x1b[31m\n\u202eroot", database="{host}")
    found = diagnose("query", ServerError({"C": "42501", "M": "permission denied for database"}), odd)
    assert found.code == "connect_denied"
    assert "{0.__class__}[31m root" in found.cause
    assert "{host}" in found.cause
    assert (found.cause + found.cure).isprintable()


def test_evidence_is_cleaned_and_capped() -> None:
    error = ServerError(
        {"S": "FATAL", "C": "XX000", "M": "a\x00b\x1b]0;c\u202e" + "x" * 1000, "H": "one\n--\ntwo", "D": "d"}
    )
    evidence = diagnose("query", error, facts()).evidence
    assert len(evidence["server_message"]) == 300
    assert evidence["server_message"].startswith("ab]0;cxxx")
    assert evidence["hint"] == "one -- two"
    assert evidence["step"] == "query"


def test_clean_keeps_letters_of_all_scripts() -> None:
    assert clean("dañada 日本 \t\n x") == "dañada 日本 x"


@pytest.mark.parametrize(
    ("changes", "cluster"),
    [
        ({"host": "funky-skunk-123.abc.test"}, "funky-skunk-123"),
        ({"host": "localhost"}, "localhost"),
        ({"host": "127.0.0.1"}, "127.0.0.1"),
        ({"host": "::1"}, "::1"),
        ({"database": "happy-koala-7.defaultdb"}, "happy-koala-7"),
        ({"options": "-c a=b --cluster=happy-tiger-2", "database": "x.y"}, "happy-tiger-2"),
        ({"options": "--cluster=happy-tiger-2", "routing_id": "given-1"}, "given-1"),
    ],
)
def test_the_cluster_that_a_sentence_names(changes: dict[str, Any], cluster: str) -> None:
    error = ServerError({"C": "08C00", "M": "codeProxyRefusedConnection: connection refused"})
    assert f"IP allowlist of cluster {cluster}." in diagnose("startup", error, facts(**changes)).cause
