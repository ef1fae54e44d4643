# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Describe an error: fill in the sentences of its code, and collect the evidence. Pure.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._check.chain import failing_certificate, links, trust_path
from ansible_collections.crdb.onboard.plugins.module_utils._check.classify import classify, redirect_of
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import CATALOGUE, STEPS
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts, cluster_sent
from ansible_collections.crdb.onboard.plugins.module_utils._check.masking import shown
from ansible_collections.crdb.onboard.plugins.module_utils._check.text import timestamp
from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import (
    ClosedError,
    NotPostgresError,
    PlaintextInjectedError,
    ServerError,
    TlsError,
    WireError,
    WrongNameError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.messages import server_kind


class Diagnosis(NamedTuple):
    """A verdict. `evidence`: strings, and lists and dicts of strings, already cleaned of non-printable characters."""

    code: str
    cause: str
    cure: str
    evidence: dict[str, Any]


# By the protocol that the server chose in its TLS handshake (ALPN).
_LISTENERS = {
    "http/1.1": "a web server or the DB Console",
    "postgresql": "a PostgreSQL server asked with sslnegotiation=direct",
}


def diagnose(step: str, error: BaseException, facts: Facts, **more: str) -> Diagnosis:
    """Cause, cure and evidence of an error in a step. Pure. `more`: further values for the sentences."""
    return describe(classify(step, error, facts), step, error, facts, **more)


def describe(code: str, step: str, error: BaseException, facts: Facts, **more: str) -> Diagnosis:
    """The Diagnosis for a known code. Raises KeyError when the code is not in CATALOGUE."""
    entry = CATALOGUE[code]
    if isinstance(error, ServerError):
        error = ServerError({name: shown(text, facts.secret) for name, text in error.fields.items()})
    cause, cure = entry.per_deployment.get(facts.deployment, (entry.cause, entry.cure))
    words = {**words_of(step, error, facts), **{key: clean(value) for key, value in more.items()}}
    said = _quoted(error) if entry.quotes_server and isinstance(error, ServerError) else ""
    cause = cause.format(**words)
    return Diagnosis(
        code, f"{cause[:-1]}: {said}." if said else cause, cure.format(**words), evidence_of(step, error, facts)
    )


def _quoted(error: ServerError) -> str:
    """The server's message in quotation marks, with its detail and hint, 300 characters of text at most."""
    left = 300
    quoted: list[str] = []
    for label, letter in (("", "M"), ("detail: ", "D"), ("hint: ", "H")):
        text = clean(error.fields.get(letter, ""), left).rstrip(".")
        if len(text) > 3 or not quoted:
            quoted.append(f'{label}"{text}"' if text else "")
            left -= len(text)
    message, *more = quoted
    return message + f" ({'; '.join(more)})" * bool(message and more)


def words_of(step: str, error: BaseException, facts: Facts) -> dict[str, str]:
    """The value of every placeholder that a sentence of CATALOGUE may contain."""
    sent = cluster_sent(facts)
    leaf = facts.chain[0] if facts.chain else None
    top = links(facts.chain)[-1] if facts.chain else None
    failing = failing_certificate(facts) or leaf
    trusted = [cert for cert in trust_path(facts) if cert in facts.authorities]
    subjects = [ca.subject for ca in facts.authorities[:3]] + ["..."] * (len(facts.authorities) > 3)
    banner = getattr(error, "banner", b"")
    other_server = server_kind(banner) if banner else None
    words: dict[str, object] = {
        "name": facts.name,
        "deployment": facts.deployment,
        "host": facts.host,
        "port": facts.port,
        "address": facts.address or facts.host,
        "user": facts.user,
        "database": facts.database,
        "options": facts.options or "(none)",
        "cluster": facts.routing_id or sent,
        "cluster_sent": f"'{sent}'",
        "cluster_hint": facts.routing_id or "<routing id>",
        "ca": ca_label(facts) + (f" ({', '.join(subjects)})" if subjects and isinstance(error, TlsError) else ""),
        **_login_words(facts),
        "timeout": f"{facts.timeout:g}",
        "when": STEPS[step][1],
        "error": reason_of(error),
        "path": getattr(error, "path", ""),
        "file": shell_path(getattr(error, "path", "")),
        "form": getattr(error, "detail", ""),
        "method": getattr(error, "method", ""),
        "sqlstate": getattr(error, "sqlstate", "") or "not given",
        "parameter": _parameter(error),
        "listener": _LISTENERS.get(facts.tls_at_once or "", "a web server, the DB Console or a TLS tunnel"),
        "where": redirect_of(banner, facts.host),
        "stranger": f"another kind of server ({other_server})" if other_server else "another kind of server",
        "certificate_names": ", ".join((leaf.names()[:8] or [leaf.subject]) if leaf else []) or "another name",
        "issuer": (top.issuer if top else "") or "an unnamed CA",
        "ca_subject": trusted[-1].subject if trusted else (top.subject if top else "an intermediate CA"),
        "failing": (failing.subject if failing else "") or "a certificate without a subject",
        "revocations": facts.revocations or "~/.postgresql/root.crl",
        "failing_before": timestamp(failing.not_before) if failing else "a later date",
        "failing_after": timestamp(failing.not_after) if failing else "an earlier date",
        "not_before": timestamp(leaf.not_before) if leaf else "a later date",
        "not_after": timestamp(leaf.not_after) if leaf else "an earlier date",
        "now": timestamp(facts.now) if facts.now else "another date",
        "controller_now": timestamp(facts.controller_now) if facts.controller_now else "another date",
        "other": "another endpoint",
        "verdict": "another code",
        "app_user": "its user",
        "variable": "the variable",
        "difference": "its value is different",
        "reason": "No reason is known",
        "remedy": "Correct what was given",
        "clients": "clients built on libpq",
        "public": "this machine's address",
        "public_entry": "this machine's public IPv4 address",
        "allowlist": f"the IP allowlist of cluster {facts.routing_id or sent}",
    }
    return {key: clean(value) for key, value in words.items()}


def _login_words(facts: Facts) -> dict[str, str]:
    """The placeholders of a client certificate and of a token."""
    client, claims = facts.client, facts.token
    shown = claims.shown if claims else {}
    return {
        "client_cert": facts.client_cert or "(none)",
        "client_issuer": client.issuer if client else "an unnamed CA",
        "client_before": timestamp(client.not_before) if client else "a later date",
        "client_after": timestamp(client.not_after) if client else "an earlier date",
        "token": facts.token_from,
        "token_subject": shown.get("subject", "no subject"),
        "token_audience": shown.get("audience", "none"),
        "token_issuer": shown.get("issuer", "nobody"),
        "token_before": timestamp(claims.not_before) if claims and claims.not_before else "a later date",
        "token_after": timestamp(claims.expires) if claims and claims.expires else "an earlier date",
    }


def _parameter(error: BaseException) -> str:
    """The start-up parameter that a server's error names."""
    found = re.search(r"parameter:? \"?([\w.]+)|process: (\S+)", getattr(error, "message", ""))
    return (found.group(1) or found.group(2)) if found else "that its words name"


def shell_path(path: str) -> str:
    """A path for a command of the shell; FILE where the content came without one."""
    return shlex.quote(path) if path.startswith("/") else "FILE"


def ca_label(facts: Facts) -> str:
    if facts.ca_file:
        return f"the CA file {facts.ca_file}" + " (which libpq takes by itself)" * facts.ca_of_libpq
    return "the CA certificate given as text" if facts.ca_given else "this machine's public roots"


def reason_of(error: BaseException) -> str:
    """A local error in a few words, without a full stop, since the sentence adds its own."""
    if isinstance(error, TlsError):
        return (error.verify_message or error.reason.replace("_", " ").lower() or str(error)).rstrip(".")
    if isinstance(error, ServerError):
        return "SQLSTATE " + (error.sqlstate or "not given")
    text = str(error).rstrip(".")
    return text if isinstance(error, WireError) else f"{type(error).__name__}: {text}"


def evidence_of(step: str, error: BaseException, facts: Facts) -> dict[str, Any]:
    evidence: dict[str, Any] = {"step": step}
    if isinstance(error, ServerError):
        for key, letter in (("severity", "S"), ("sqlstate", "C"), ("detail", "D"), ("hint", "H")):
            if error.fields.get(letter):
                evidence[key] = clean(error.fields[letter])
        evidence["server_message"] = clean(error.message)
    else:
        evidence["error"] = clean(reason_of(error))
    if isinstance(error, TlsError) and error.reason:
        evidence["openssl"] = clean(error.reason)
    if isinstance(error, ClosedError):
        evidence["reset"] = error.reset
    if isinstance(error, (NotPostgresError, PlaintextInjectedError)):
        evidence["first_bytes"] = clean(error.banner[:80].decode("ascii", "backslashreplace"))
    if facts.attempts and step == "connect":
        evidence["attempts"] = [{key: clean(value) for key, value in attempt.items()} for attempt in facts.attempts]
    if isinstance(error, (TlsError, WrongNameError)):
        if facts.chain:
            evidence["certificate"] = certificate_facts(facts.chain[0])
        if facts.chain[1:]:
            evidence["chain"] = [_short_facts(cert) for cert in facts.chain[1:11]]
        if facts.authorities:
            evidence["ca_certificates"] = [_short_facts(cert) for cert in facts.authorities[:10]]
        if facts.controller_now is not None and facts.now is not None:
            evidence["clocks"] = {"this_machine": timestamp(facts.now), "controller": timestamp(facts.controller_now)}
    if facts.token is not None and step in ("token", "auth"):
        dates = {"not_before": facts.token.not_before, "expires": facts.token.expires}
        evidence["token"] = {
            **{key: clean(value) for key, value in facts.token.shown.items()},
            **{key: timestamp(moment) for key, moment in dates.items() if moment is not None},
        }
    if facts.local_address:
        evidence["local_address"] = facts.local_address
    return evidence


def certificate_facts(certificate: x509.Certificate) -> dict[str, Any]:
    """A certificate as reports show it: {subject, issuer, not_before, not_after, sans, sha256}, dates in UTC."""
    facts: dict[str, Any] = _short_facts(certificate)
    facts["sans"] = [clean(name) for name in certificate.names()[:50]]
    return facts


def _short_facts(certificate: x509.Certificate) -> dict[str, str]:
    return {
        "subject": clean(certificate.subject),
        "issuer": clean(certificate.issuer),
        "not_before": timestamp(certificate.not_before),
        "not_after": timestamp(certificate.not_after),
        "sha256": certificate.sha256,
    }
