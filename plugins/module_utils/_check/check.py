# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The staged connectivity check: dns, tcp, tls, route, auth, sql.

Three layers, each usable alone:

* CATALOGUE: code -> the sentence of cause and the sentence of cure. To add a diagnosis, add an entry here and the
  line that yields its code below. NOTES: what is said beside a verdict.
* classify() and diagnose(): pure; from (step, error, facts) to a Diagnosis. Facts hold no password.
* check_endpoint() and check_endpoints(): the input and output.

A step is finer than a stage: 'sql' holds the steps 'login' (the wait for the server to be ready) and 'query'.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ansible_collections.crdb.onboard.plugins.module_utils._check.app_files import Finding
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEFAULT_TIMEOUT, DEPLOYMENTS
from ansible_collections.crdb.onboard.plugins.module_utils._wire import chain_rules
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509 as _x509
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
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
    WireError,
    WrongNameError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire.messages import server_kind
from ansible_collections.crdb.onboard.plugins.module_utils._wire.session import Wire
from ansible_collections.crdb.onboard.plugins.module_utils._wire.tls import (
    has_public_roots,
    read_authorities,
    tls_context,
    unverified_context,
)

STAGES = ("dns", "tcp", "tls", "route", "auth", "sql")
MAX_PARALLEL = 16
OK = "ok"

# The part of the timeout that a stage may use up, so that a dead resolver or a filtered port still leaves a verdict
# in time. A serverless cluster that sleeps wakes up in 'route', which may take all that is left.
_STAGE_SHARE = {"dns": 0.5, "tcp": 0.6, "tls": 0.6, "route": 1.0, "auth": 1.0, "sql": 1.0}
_CA_AND_KEYS = ("ca_file", "ca_text", "sslcert", "sslkey")
_MAX_ADDRESSES = 8
_SECOND_LOOK_SECONDS = 3.0
_TEXT_CAP = 300
# Clocks that differ by less agree: the controller's is read before the way to the host.
_CLOCK_SECONDS = 300.0
# As for the CA in the record of the files; a server's certificate is renewed by itself, the last month at most.
_CA_DAYS = 30
_LEAF_DAYS = 7
# A file with more is a bundle of public roots: what their makers do is not the reader's to mend.
_FEW_AUTHORITIES = 20

# What a stage normally takes: milliseconds, and round trips on top, one of which is what 'tcp' took. A serverless
# cluster that sleeps takes its time in 'route'. Above it, a note names the stage.
NORMAL: Mapping[str, tuple[float, float]] = {
    "dns": (250.0, 0.0),
    "tcp": (300.0, 0.0),
    "tls": (300.0, 4.0),
    "route": (500.0, 3.0),
    "auth": (500.0, 4.0),
    "sql": (300.0, 4.0),
}

# FROM pg_database, because CockroachDB lets a session start on a database that does not exist: no row proves it.
# Only names that CockroachDB and PostgreSQL both have.
_PROOF = (
    "SELECT current_user, current_database(), version() FROM pg_catalog.pg_database WHERE datname = current_database()"
)


class EndpointError(ValueError):
    """An endpoint's facts cannot be used. The text names the endpoint and the part, never the password."""


class ResolveError(WireError):
    """The host has no usable address. `kind`: 'not_found', 'timeout', 'temporary', 'failed' or 'invalid'."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class DialError(WireError):
    """No address could be connected to. `number`: the errno of the telling attempt; `errno.ETIMEDOUT` for silence."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class PasswordHeldError(WireError):
    """The server asks for the password, and the endpoint says that it is not to be sent."""


class DatabaseUnseenError(WireError):
    """The session runs, and its database is not in the server's list of databases."""


@dataclass(frozen=True)
class Endpoint:
    """One database to connect to, as one app's configuration names it.

    ca_text (PEM) goes before ca_file, for a CA that is not on the machine yet. Neither means the public roots.
    `hold_password`: stop where the password would be sent.
    """

    name: str
    host: str
    user: str
    database: str
    deployment: str = "serverless"
    port: int = 26257
    options: str | None = None
    password: str | None = field(default=None, repr=False)
    routing_id: str | None = None
    ca_file: str | None = None
    ca_text: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    hold_password: bool = False

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Endpoint:
        """Validate the facts of an endpoint, with `~` expanded in its paths. Raises EndpointError."""
        text: dict[str, str | None] = {}
        for key in ("host", "user", "database", "options", "password", "routing_id", *_CA_AND_KEYS):
            value = facts.get(key)
            text[key] = None if value is None or value == "" else str(value)
        name = str(facts.get("name") or text["host"] or "endpoint")
        for key in ("host", "user", "database"):
            if text[key] is None:
                raise EndpointError(f"endpoint {name}: {key} is missing")
        for key, value in text.items():
            if value is not None and not _sendable(value):
                raise EndpointError(f"endpoint {name}: {key} holds a NUL or a broken character")
        deployment = str(facts.get("deployment") or "serverless")
        if deployment not in DEPLOYMENTS:
            raise EndpointError(
                "endpoint {}: deployment {} is none of {}".format(name, deployment, ", ".join(DEPLOYMENTS))
            )
        # 'system' is libpq's own word for the public roots in sslrootcert.
        if text["ca_file"] in ("public", "system"):
            text["ca_file"] = None
        for key in ("ca_file", "sslcert", "sslkey"):
            text[key] = _expanded(name, key, text[key])
        if text["sslkey"] is not None and text["sslcert"] is None:
            raise EndpointError(f"endpoint {name}: sslkey is given without sslcert")
        return cls(
            name=name,
            host=text["host"] or "",
            user=text["user"] or "",
            database=text["database"] or "",
            deployment=deployment,
            port=_port(name, facts.get("port")),
            options=text["options"],
            password=text["password"],
            routing_id=text["routing_id"],
            ca_file=text["ca_file"],
            ca_text=text["ca_text"],
            sslcert=text["sslcert"],
            sslkey=text["sslkey"],
            hold_password=bool(facts.get("hold_password")),
        )

    def login_key(self) -> tuple[object, ...]:
        """What a server counts failed logins by: equal keys mean the same login, whatever the password is."""
        return (self.host.lower(), self.port, self.user, self.routing_id, self.options)


def _sendable(value: str) -> bool:
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _expanded(name: str, key: str, path: str | None) -> str | None:
    if path is None:
        return None
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as exc:
        raise EndpointError(f"endpoint {name}: the home folder in {key} {path} is unknown") from exc
    if not expanded.is_absolute():
        raise EndpointError(f"endpoint {name}: {key} {path} is not an absolute path")
    return str(expanded)


def _port(name: str, value: object) -> int:
    text = "26257" if value is None else str(value)
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise EndpointError(f"endpoint {name}: port {text} is not a number from 1 to 65535")
    return int(text)


@dataclass
class Facts:
    """What is known of a connection when a diagnosis is made. Everything that a sentence may name; no password."""

    name: str
    deployment: str
    host: str
    port: int
    user: str
    database: str
    routing_id: str | None = None
    options: str | None = None
    ca_file: str | None = None
    ca_given: bool = False
    client_cert: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    address: str | None = None
    local_address: str | None = None
    attempts: list[dict[str, str]] = field(default_factory=list)
    public_roots: bool = True
    # What the server presented, its own certificate first, and what is in the CA that was given.
    chain: tuple[_x509.Certificate, ...] = ()
    authorities: tuple[_x509.Certificate, ...] = ()
    # This machine's clock, and what the controller's said at that moment; None when it was not passed in.
    now: datetime.datetime | None = None
    controller_now: datetime.datetime | None = None

    @classmethod
    def of(cls, endpoint: Endpoint, timeout: float) -> Facts:
        return cls(
            name=endpoint.name,
            deployment=endpoint.deployment,
            host=endpoint.host,
            port=endpoint.port,
            user=endpoint.user,
            database=endpoint.database,
            routing_id=endpoint.routing_id,
            options=endpoint.options,
            ca_file=None if endpoint.ca_text else endpoint.ca_file,
            ca_given=bool(endpoint.ca_text or endpoint.ca_file),
            client_cert=endpoint.sslcert,
            timeout=timeout,
        )


@dataclass(frozen=True)
class Diagnosis:
    """A verdict. `evidence`: strings, and lists and dicts of strings, already cleaned of non-printable characters."""

    code: str
    cause: str
    cure: str
    evidence: dict[str, Any]


class Entry(NamedTuple):
    """One sentence of cause and one of cure, and those of the deployments where they read differently."""

    cause: str
    cure: str
    per_deployment: Mapping[str, tuple[str, str]] = {}


# Which stage a step belongs to, and how a sentence says when something happened in it.
STEPS: Mapping[str, tuple[str, str]] = {
    "resolve": ("dns", "while the name was looked up"),
    "connect": ("tcp", "while connecting"),
    "prepare": ("tls", "before the TLS handshake"),
    "sslrequest": ("tls", "after the request for TLS"),
    "handshake": ("tls", "in the TLS handshake"),
    "startup": ("route", "after the start-up message"),
    "auth": ("auth", "during the login"),
    "login": ("sql", "after the login"),
    "query": ("sql", "in the query"),
}

_SAME_NETWORK = "look for a firewall, VPN or proxy between this machine and {host} ({address})"

# Every text is filled by str.format with _words(); the values are never format strings themselves.
CATALOGUE: Mapping[str, Entry] = {
    "host_invalid": Entry(
        "'{host}' is not a name that can be looked up.",
        "Write the host of {name} as the Connect dialog shows it in place of '{host}': without scheme, port or spaces.",
    ),
    "dns_not_found": Entry(
        "The name {host} does not exist for the DNS servers of this machine.",
        "Copy the host of {name} from the cluster's Connect dialog again; if {host} is right, the cluster is deleted, "
        "or its private DNS zone is not linked to this machine's network.",
        {
            "self_hosted": (
                "The name {host} does not exist for the DNS servers of this machine.",
                "Correct the host of {name}, or add {host} to the DNS zone or hosts file that this machine uses.",
            )
        },
    ),
    "dns_timeout": Entry(
        "No DNS server answered this machine's question for {host} in time.",
        "Check this machine's DNS servers (/etc/resolv.conf) and that they can be reached on port 53, then ask for "
        "{host} again.",
    ),
    "dns_temporary": Entry(
        "The DNS servers of this machine could not answer for {host} now: {error}.",
        "Check this machine's DNS servers (/etc/resolv.conf) and its network, then look {host} up again.",
    ),
    "dns_failed": Entry(
        "Looking up {host} failed: {error}.",
        "Check this machine's name resolution (/etc/resolv.conf, /etc/nsswitch.conf) with `getent hosts {host}`.",
    ),
    "no_ipv4_address": Entry(
        "{host} has IPv6 addresses only (tried {address}), and this machine has no way to them.",
        "Give {host} an IPv4 address that this machine can reach, or give this machine an IPv6 route.",
    ),
    "tcp_refused": Entry(
        "{address} port {port} ({host}) refuses TCP connections: nothing listens there, or a firewall rejects them.",
        "Check that the node of {host} runs, and that port {port} is the one of its --listen-addr or --sql-addr.",
        {
            "serverless": (
                "{address} port {port} ({host}) refuses TCP connections; this is not the IP allowlist, which answers "
                "later and over TLS.",
                "Compare host {host} and port {port} with the Connect dialog, then " + _SAME_NETWORK + ".",
            ),
            "dedicated": (
                "{address} port {port} ({host}) refuses TCP connections; this is not the IP allowlist, which gives no "
                "answer at all.",
                "Compare host {host} and port {port} with the Connect dialog, and try again after a minute if the "
                "cluster is restarting.",
            ),
        },
    ),
    "tcp_timeout": Entry(
        "{address} port {port} ({host}) gives no answer: a firewall drops the packets, or no machine has that address.",
        "Check that the node of {host} is up, and let this machine's address through its firewall to port {port}.",
        {
            "serverless": (
                "{address} port {port} ({host}) gives no answer although it is open to everyone: something between it "
                "and this machine drops the packets.",
                "Allow outgoing TCP from this machine to {host} port {port} in its firewall, security group or VPN.",
            ),
            "dedicated": (
                "{address} port {port} ({host}) gives no answer, which is what the IP allowlist of a dedicated "
                "cluster does to an address that is not in it.",
                "Add this machine's public IPv4 address to the IP allowlist of {host}; if it is in it, allow outgoing "
                "TCP to port {port} in this machine's firewall.",
            ),
        },
    ),
    "tcp_unreachable": Entry(
        "This machine has no way to {address} port {port} ({host}): {error}.",
        "Check this machine's network, routes and VPN, or the firewall on the way that rejects {host} port {port}.",
    ),
    "tcp_blocked_locally": Entry(
        "This machine itself forbids connecting to {address} port {port} ({host}): {error}.",
        "Allow outgoing TCP to {host} port {port} in this machine's own firewall or security policy (nftables, "
        "SELinux).",
    ),
    "tcp_failed": Entry(
        "Connecting to {address} port {port} ({host}) failed: {error}.",
        "Check host {host} and port {port}, then " + _SAME_NETWORK + ".",
    ),
    "tls_not_offered": Entry(
        "The server at {address} port {port} ({host}) speaks PostgreSQL without TLS.",
        "Turn TLS on at {host}: a CockroachDB node is secure when it starts with --certs-dir and without --insecure.",
        dict.fromkeys(
            ("serverless", "dedicated"),
            (
                "The server at {address} port {port} ({host}) speaks PostgreSQL without TLS, so it is not a "
                "CockroachDB Cloud cluster.",
                "Compare host {host} and port {port} with the Connect dialog, and look for a tunnel or a local server "
                "in its place.",
            ),
        ),
    ),
    "not_postgresql": Entry(
        "What listens at {address} port {port} ({host}) is {stranger}, not a PostgreSQL or CockroachDB server.",
        "Correct host {host} and port {port} of {name}: CockroachDB's SQL port is 26257 unless it was changed.",
    ),
    "tls_plaintext_injected": Entry(
        "{address} port {port} ({host}) agreed to TLS and then sent data in clear, as someone on the way who injects "
        "data does.",
        "Do not send a password there; " + _SAME_NETWORK + ".",
    ),
    "server_requires_encryption": Entry(
        "The server at {host} ({address}) says that the connection is not encrypted although TLS was asked for: "
        "something on the way answers in its place or takes TLS off.",
        "Connect to {host} port {port} directly, or let what is between (pooler, load balancer) pass TLS through.",
    ),
    "ca_missing": Entry(
        "The CA file {path} for {host} does not exist on this machine.",
        "Put the CA certificate of {host} at {path}, for example with the role crdb_ca.",
    ),
    "ca_unreadable": Entry(
        "The CA file {path} for {host} cannot be read by this user: {error}.",
        "Make {path} a regular file that the user who connects to {host} may read (mode 0644).",
    ),
    "ca_empty": Entry(
        "The CA file {path} for {host} is empty.",
        "Download the CA certificate of {host} again and write it to {path}.",
    ),
    "ca_not_pem": Entry(
        "The CA file {path} for {host} is not a PEM certificate: {error}.",
        "Download the CA certificate of {host} again and write it to {path}; it begins with -----BEGIN "
        "CERTIFICATE-----.",
    ),
    "client_cert_missing": Entry(
        "The client certificate's file {path} for {user} at {host} does not exist on this machine.",
        "Create the client certificate of {user} for {host} and put it at {path}, or leave it out and use a password.",
    ),
    "client_cert_unreadable": Entry(
        "The client certificate's file {path} for {user} at {host} cannot be read: {error}.",
        "Make {path} a regular file that the user who connects to {host} may read.",
    ),
    "client_cert_unusable": Entry(
        "The client certificate {path} for {user} at {host} cannot be used: {error}.",
        "Create the client certificate and the key of {user} for {host} again, both as PEM.",
    ),
    "client_key_missing": Entry(
        "The client key's file {path} for {user} at {host} does not exist on this machine.",
        "Put the key of {user}'s client certificate for {host} at {path}, with mode 0600.",
    ),
    "client_key_unreadable": Entry(
        "The client key's file {path} for {user} at {host} cannot be read: {error}.",
        "Make {path} a regular file of the user who connects to {host}, with mode 0600.",
    ),
    "client_key_too_open": Entry(
        "The client key {path} for {user} at {host} can be read by others ({error}), and libpq and pq refuse such a "
        "key.",
        "Run `chmod 0600 {path}` as its owner, then connect to {host} again.",
    ),
    "client_key_encrypted": Entry(
        "The client key {path} for {user} at {host} is encrypted with a passphrase.",
        "Write the key of {user} for {host} to {path} without a passphrase, with mode 0600.",
    ),
    "client_key_mismatch": Entry(
        "The client key {path} for {user} at {host} does not belong to the certificate {client_cert}.",
        "Put the key that was made together with {client_cert} for {host} at {path}.",
    ),
    "tls_unknown_ca": Entry(
        "The certificate of {host} ({address}) is signed by {issuer}, which is not in {ca}.",
        "Download the CA certificate of {host} again and name its file in place of {ca}; if {issuer} is an "
        "intermediate CA, the server has to send it; else something between this machine and {host} opens TLS.",
        {
            "serverless": (
                "The certificate of {host} ({address}) is signed by {issuer}, which is not in {ca}.",
                "Use this machine's public roots or the current CA of {host} in place of {ca}; if it still fails, "
                "something between this machine and {host} opens TLS.",
            )
        },
    ),
    "ca_other_cluster": Entry(
        "The certificate of {host} ({address}) is signed by {issuer}, and {ca} holds a CA of that name with another "
        "key: the CA of another cluster, or the one from before it was renewed.",
        "Download the CA certificate of {host} itself, and name its file in place of {ca}.",
    ),
    "ca_incomplete": Entry(
        "The certificate of {host} ({address}) leads to {ca_subject} in {ca}, which is itself signed by a CA that is "
        "not in there.",
        "Add the CA that signed {ca_subject} to {ca}, up to the root, so that {host} can be verified.",
    ),
    "tls_missing_intermediate": Entry(
        "The server at {host} ({address}) does not send the certificate of {issuer}, which signed its own, and {ca} "
        "does not hold it either.",
        "Let the server at {host} send its whole chain (its certificate followed by that of {issuer}), or add "
        "{issuer} and what signed it to {ca}.",
    ),
    "public_roots_missing": Entry(
        "This machine's OpenSSL finds no public CA certificates, so {host} ({address}) cannot be verified.",
        "Install the system's package of CA certificates (ca-certificates), or give a CA file for {host}.",
    ),
    "tls_wrong_host": Entry(
        "The certificate of {address} port {port} is for {certificate_names}, not for {host}.",
        "Connect by a name that the certificate holds, as the Connect dialog shows it, in place of {host}.",
        {
            "self_hosted": (
                "The certificate of {address} port {port} is for {certificate_names}, not for {host}.",
                "Connect by a name that the certificate holds, or issue the node's certificate again with {host} "
                "(`cockroach cert create-node ... {host}`).",
            )
        },
    ),
    "tls_expired": Entry(
        "The certificate of {host} ({address}) ended at {not_after}, and this machine's clock says {now}.",
        "Correct this machine's clock if it is wrong; otherwise the certificate of {host} has to be renewed on the "
        "server.",
    ),
    "tls_not_yet_valid": Entry(
        "The certificate of {host} ({address}) begins at {not_before}, and this machine's clock says {now}.",
        "Correct this machine's clock, which is behind, or wait until the certificate of {host} begins.",
    ),
    "tls_chain_expired": Entry(
        "The server at {host} ({address}) sends the certificate of {failing}, which ended at {failing_after}, and "
        "this machine's clock says {now}.",
        "Renew the certificate of {failing} in the chain that the server at {host} sends, or correct this machine's "
        "clock.",
    ),
    "tls_chain_not_yet_valid": Entry(
        "The server at {host} ({address}) sends the certificate of {failing}, which begins at {failing_before}, and "
        "this machine's clock says {now}.",
        "Correct this machine's clock, which is behind, or wait until {failing} in the chain of {host} begins.",
    ),
    "ca_expired": Entry(
        "The CA certificate {failing} that the one of {host} ({address}) leads to in {ca} ended at {failing_after}, "
        "and this machine's clock says {now}.",
        "Download the current CA certificate of {host} in place of {ca}, or correct this machine's clock.",
    ),
    "ca_not_yet_valid": Entry(
        "The CA certificate {failing} that the one of {host} ({address}) leads to in {ca} begins at "
        "{failing_before}, and this machine's clock says {now}.",
        "Correct this machine's clock, or use the CA certificate of {host} that is valid now in place of {ca}.",
    ),
    "clock_ahead": Entry(
        "This machine's clock says {now} and the controller's {controller_now}: it is ahead, so the certificate "
        "{failing} of {host} ({address}), valid until {failing_after}, counts as expired here.",
        "Set this machine's clock, for example with chrony or systemd-timesyncd, and check {host} again.",
    ),
    "clock_behind": Entry(
        "This machine's clock says {now} and the controller's {controller_now}: it is behind, so the certificate "
        "{failing} of {host} ({address}), valid from {failing_before}, does not count yet here.",
        "Set this machine's clock, for example with chrony or systemd-timesyncd, and check {host} again.",
    ),
    "tls_too_old": Entry(
        "The server at {host} ({address}) and this machine have no TLS version from 1.2 on in common: {error}.",
        "Turn on TLS 1.2 or newer at {host}, or in the proxy or load balancer in front of it.",
    ),
    "tls_weak_certificate": Entry(
        "The certificate of {host} ({address}) uses a key or a signature that this machine's OpenSSL holds too weak: "
        "{error}.",
        "Issue the certificates of {host} again with RSA of 2048 bits or more, or ECDSA, and SHA-256.",
    ),
    "tls_certificate_refused": Entry(
        "The certificate of {host} ({address}) cannot be verified with {ca}: {error}.",
        "Issue the certificate of {host} again for use as a TLS server, signed by {ca}.",
    ),
    "tls_handshake_refused": Entry(
        "The server at {host} ({address}) refuses the TLS handshake: {error}.",
        "Check that {host} is the right name (the server may know several), and its TLS settings: version, ciphers, "
        "client certificates.",
    ),
    "client_cert_required": Entry(
        "The server at {host} ({address}) asks for a client certificate and none was given.",
        "Give the client certificate and key of {user} for {host} (sslcert, sslkey).",
    ),
    "client_cert_refused": Entry(
        "The server at {host} ({address}) refuses the client certificate {client_cert}: {error}.",
        "Use a client certificate for {user} that is signed by the client CA of {host} and has not ended, in place of "
        "{client_cert}.",
    ),
    "tls_failed": Entry(
        "TLS with {host} ({address}) failed {when}: {error}.",
        "Check that {host} port {port} is the SQL port itself, then " + _SAME_NETWORK + ".",
    ),
    "server_hang_sslrequest": Entry(
        "{address} port {port} ({host}) takes the connection and then says nothing to PostgreSQL's request for TLS.",
        "Check that port {port} of {host} is the SQL port and that its server is well; a load balancer without a live "
        "node behaves so.",
    ),
    "server_hang_handshake": Entry(
        "{address} port {port} ({host}) agreed to TLS and fell silent in the handshake.",
        "Try a smaller MTU if a VPN is on the way to {host}; otherwise " + _SAME_NETWORK + ".",
    ),
    "server_hang_startup": Entry(
        "The server of {host} ({address}) did not answer the start-up message within the {timeout} s of the whole "
        "check.",
        "Check the state of the nodes of {host} (DB Console, `cockroach node status`), or raise the timeout above "
        "{timeout} s.",
        {
            "serverless": (
                "The server of {host} ({address}) did not answer the start-up message within the {timeout} s of the "
                "whole check, as when cluster {cluster} wakes up.",
                "Run the check of {host} again with a timeout above {timeout} s; if it stays so, look at the "
                "cluster's state in the Console.",
            )
        },
    ),
    "server_hang_auth": Entry(
        "The server of {host} ({address}) fell silent during the login of {user}.",
        "Check the state of the nodes of {host}: a login needs a live majority of the cluster's system ranges.",
    ),
    "server_hang_login": Entry(
        "The server of {host} ({address}) let {user} in and then never said that it is ready.",
        "Check the state of the nodes of {host} and of a pooler in front of it, which may wait for a free connection.",
    ),
    "server_hang_query": Entry(
        "The server of {host} ({address}) let {user} in and does not answer a query.",
        "Check the state of the nodes of {host}, and in the Console whether the cluster has reached a limit of its "
        "plan.",
    ),
    "closed_without_a_word": Entry(
        "{address} port {port} ({host}) closed the connection {when}, without a word.",
        "Check that port {port} of {host} is the SQL port; if it is, its server or the load balancer in front of it "
        "is restarting, or a firewall cuts the connection.",
    ),
    "network_lost": Entry(
        "The network reported an error {when} with {host} ({address}): {error}.",
        "Check this machine's network and VPN, then " + _SAME_NETWORK + ".",
    ),
    "reply_truncated": Entry(
        "{address} port {port} ({host}) closed the connection {when}, in the middle of a message.",
        "Check the server of {host} and what is in front of it: it crashed, or something cuts the connection.",
    ),
    "reply_bad_length": Entry(
        "The server at {address} port {port} ({host}) sent a message with an impossible length {when}: {error}.",
        "Check that {host} port {port} is a CockroachDB or PostgreSQL server and that nothing in between changes the "
        "data.",
    ),
    "reply_endless": Entry(
        "The server at {address} port {port} ({host}) sends without end {when}: {error}.",
        "Check that {host} port {port} is a CockroachDB or PostgreSQL server and not a test server or a trap.",
    ),
    "reply_malformed": Entry(
        "The server at {address} port {port} ({host}) breaks PostgreSQL's protocol {when}: {error}.",
        "Check that {host} port {port} is a CockroachDB or PostgreSQL server, or a proxy that speaks protocol 3.0.",
    ),
    "missing_cluster_identifier": Entry(
        "The proxy at {host} ({address}) cannot tell which cluster is meant: the host name carries no routing id and "
        "neither does the database nor the options.",
        "Use the cluster's own host name from the Connect dialog in place of {host}, or add the option "
        "--cluster={cluster_hint}.",
    ),
    "invalid_cluster_identifier": Entry(
        "The proxy at {host} refuses {cluster_sent} as a routing id.",
        "Use the routing id as the Connect dialog shows it, <cluster-name>-<number>, for {host}; it is not the "
        "cluster's UUID.",
    ),
    "unknown_cluster": Entry(
        "The proxy at {host} knows no cluster {cluster}.",
        "Copy host {host} and the routing id from the Connect dialog again: the cluster was deleted or renamed, or "
        "lives at another host.",
    ),
    "conflicting_cluster_identifiers": Entry(
        "Database {database} and options {options} name two different clusters to the proxy at {host}.",
        "Name the cluster of {host} once only: take the routing id out of the database or out of the options.",
    ),
    "multiple_cluster_flags": Entry(
        "The options {options} name a cluster more than once to the proxy at {host}.",
        "Leave one --cluster=<routing id> in the options for {host}.",
    ),
    "invalid_cluster_flag": Entry(
        "The options {options} name an empty cluster to the proxy at {host}.",
        "Write the routing id after --cluster= in the options for {host}, or take the option out.",
    ),
    "invalid_database_name": Entry(
        "The proxy at {host} cannot read database {database}: at most one dot may stand in it, between the routing id "
        "and the name.",
        "Use a database without a dot in its name at {host}; a serverless cluster cannot be reached with another.",
    ),
    "routing_failed": Entry(
        "The proxy at {host} could not find the cluster that is meant by database {database}, options {options} and "
        "the host name.",
        "Copy host {host} and the routing id of {name} from the Connect dialog again.",
    ),
    "not_in_allowlist": Entry(
        "The proxy at {host} ({address}) refuses {public}: it is not in {allowlist}.",
        "Add {public_entry} to the IP allowlist of cluster {cluster}, wait 30 s and check {host} again.",
        dict.fromkeys(
            ("dedicated", "self_hosted"),
            (
                "A proxy at {host} ({address}) refuses this machine's address, as the allowlist of a serverless "
                "cluster does.",
                "Add this machine's public IPv4 address to the IP allowlist of the cluster at {host}, and check that "
                "{name} is not a serverless cluster.",
            ),
        ),
    ),
    "allowlist_drops_address": Entry(
        "{address} port {port} ({host}) gives no answer: {public} is not in {allowlist}, and the cluster drops what "
        "comes from elsewhere.",
        "Add {public_entry} to the IP allowlist of cluster {cluster}, wait a minute and check {host} again.",
    ),
    "allowlist_propagating": Entry(
        "{host} ({address}) does not let this machine in yet: {public} is in {allowlist}, and a change of it is still "
        "on its way.",
        "Wait 30 s and check {host} again.",
    ),
    "allowlist_without_sql": Entry(
        "{host} ({address}) does not let this machine in: {public} is in {allowlist}, with an entry that is not for "
        "SQL.",
        "Turn SQL on for the entry of {public} in the IP allowlist of cluster {cluster}, and check {host} again.",
    ),
    "allowlist_holds_address": Entry(
        "The proxy at {host} ({address}) refuses this machine although {public}, its address at the echo services, is "
        "in {allowlist}: SQL goes out by another address.",
        "Find the address that this machine reaches {host} by (NAT pool, VPN, private link), and add that to the IP "
        "allowlist of cluster {cluster}.",
        {
            "dedicated": (
                "{address} port {port} ({host}) gives no answer although {public} is in {allowlist}: something "
                "between it and this machine drops the packets, or SQL goes out by another address.",
                "Allow outgoing TCP from this machine to {host} port {port} in its firewall, security group or VPN.",
            )
        },
    ),
    "throttled": Entry(
        "The proxy at {host} ({address}) refuses this machine's address for now, after too many failed logins to "
        "cluster {cluster}.",
        "Stop whatever logs in to {host} with a wrong password from this network, wait up to an hour, and then try "
        "the right password once.",
    ),
    "proxy_refused": Entry(
        "The proxy at {host} ({address}) refuses the connection for a reason that this check does not know.",
        "Read the server's message in the evidence, and look at the IP allowlist of cluster {cluster} at {host}.",
    ),
    "backend_unreachable": Entry(
        "The proxy at {host} cannot reach the SQL servers of cluster {cluster}.",
        "Wait a minute and check {host} again; if it stays so, look at the cluster's state in the Console.",
    ),
    "cluster_at_limit": Entry(
        "The proxy at {host} says that cluster {cluster} is disabled: it has reached a limit of its plan.",
        "Raise the limits of cluster {cluster} ({host}) in the Console, or wait until the next billing period.",
    ),
    "cluster_paused": Entry(
        "The proxy at {host} says that cluster {cluster} is paused.",
        "Resume cluster {cluster} ({host}) in the Console, and check again after a minute.",
    ),
    "cluster_creating": Entry(
        "Cluster {cluster}, which {host} leads to, is still being created, says the Cloud API.",
        "Wait until cluster {cluster} is created, and check {host} again.",
    ),
    "cluster_locked": Entry(
        "Cluster {cluster}, which {host} leads to, is locked by an operation on it, says the Cloud API.",
        "Wait until the operation on cluster {cluster} ends (Console, cloud API), and check {host} again.",
    ),
    "cluster_failed": Entry(
        "Cluster {cluster}, which {host} leads to, could not be created, says the Cloud API.",
        "Create cluster {cluster} again, and take the host from its Connect dialog in place of {host}.",
    ),
    "cluster_deleted": Entry(
        "Cluster {cluster}, which {host} leads to, is deleted, says the Cloud API.",
        "Connect {name} to another cluster than the one of {host}, or restore cluster {cluster} from a backup.",
    ),
    "server_unavailable": Entry(
        "The proxy at {host} says that cluster {cluster} is not available, and not why: it may be paused, disabled or "
        "at a limit of its plan.",
        "Look at the state and the limits of cluster {cluster} ({host}) in the Console, and raise or resume it.",
    ),
    "proxy_internal_error": Entry(
        "The proxy at {host} ({address}) reports an internal error.",
        "Wait a minute and check {host} again; if it stays so, tell the provider's support.",
    ),
    "proxy_unexplained": Entry(
        "The proxy at {host} ({address}) ended the connection {when} with an error that says nothing.",
        "Check {host} again; if it stays so, compare the host, database and options of {name} with the Connect dialog.",
    ),
    "startup_option_refused": Entry(
        "The server at {host} ({address}) does not know a setting of the start-up options {options}.",
        "Take the option out for {host}: --cluster is for serverless clusters only, and {name} is said to be "
        "{deployment}.",
    ),
    "hba_refused": Entry(
        "The server at {host} ({address}) has a rule that refuses {user} from this machine's address on database "
        "{database}.",
        "Add a rule for {user} to the server's host-based authentication at {host} "
        "(server.host_based_authentication.configuration, or pg_hba.conf).",
    ),
    "auth_method_unsupported": Entry(
        "The server at {host} ({address}) wants {user} to log in with {method}, which this check does not speak.",
        "Let {user} at {host} use a SCRAM-SHA-256 password; the apps' own drivers may speak {method} all the same.",
    ),
    "password_missing": Entry(
        "The server at {host} ({address}) asks for the password of {user} and none was given.",
        "Give the password of {user} for {name} ({host}), or a client certificate where the cluster takes one.",
    ),
    "password_rejected": Entry(
        "The server at {host} ({address}) refuses the password of {user}, or has no user {user}.",
        "Set the password of {user} again in the cluster's list of SQL users and give it for {host}; in a URL its "
        "special characters must be percent-encoded, and more tries lock this address out.",
    ),
    "password_wrong": Entry(
        "The password of {user} at {host} ({address}) is wrong: cluster {cluster} has that user, says the Cloud API.",
        "Set the password of {user} again in the list of SQL users of cluster {cluster} and give it for {host}; more "
        "tries lock this address out.",
    ),
    "password_expired": Entry(
        "The password of {user} at {host} ({address}) has expired.",
        "Set a new password or a later VALID UNTIL for {user} at {host}.",
    ),
    "user_unknown": Entry(
        "The server at {host} ({address}) has no user {user}.",
        "Create {user} in the cluster's list of SQL users at {host}, or correct the name (names are lower case).",
    ),
    "login_denied": Entry(
        "{user} may not log in at {host} ({address}): the role has NOLOGIN or NOSQLLOGIN.",
        "Run `ALTER ROLE {user} LOGIN` at {host} as an administrator (SQLLOGIN where that was taken away), or use "
        "another user.",
    ),
    "login_refused": Entry(
        "The server at {host} ({address}) refuses the login of {user} (SQLSTATE {sqlstate}).",
        "Read the server's message in the evidence, and check user {user} in the cluster's list of SQL users at "
        "{host}.",
    ),
    "server_signature_invalid": Entry(
        "The server at {host} ({address}) could not prove that it knows the password of {user}, so it may not be the "
        "real server.",
        "Do not use this connection: find out who answers at {host} ({address}), and change the password of {user}.",
    ),
    "scram_iterations": Entry(
        "The server at {host} ({address}) asks for an absurd amount of work to log in: {error}.",
        "Find out who answers at {host}; at a real cluster set the password of {user} again, with fewer SCRAM "
        "iterations.",
    ),
    "scram_malformed": Entry(
        "The server at {host} ({address}) breaks the rules of SCRAM in the login of {user}: {error}.",
        "Check what answers at {host}: a proxy or pooler in between has to speak SCRAM-SHA-256 correctly.",
    ),
    "database_missing": Entry(
        "Database {database} does not exist at {host} ({address}), or {user} cannot see it.",
        "Create it with `CREATE DATABASE` at {host}, or correct the database of {name} (a new cluster has defaultdb).",
    ),
    "connect_denied": Entry(
        "{user} has no right to connect to database {database} at {host}.",
        "Run `GRANT CONNECT ON DATABASE {database} TO {user}` at {host} as an administrator.",
    ),
    "too_many_connections": Entry(
        "The server at {host} ({address}) has reached its limit of connections.",
        "Make the pools of the apps that use {host} smaller, or raise the cluster's limit of connections.",
    ),
    "server_starting": Entry(
        "The server at {host} ({address}) is still starting.",
        "Wait a minute and check {host} again.",
    ),
    "server_stopping": Entry(
        "The server at {host} ({address}) is stopping or being drained.",
        "Wait for the restart to end, or connect to another node than {host}.",
    ),
    "server_error": Entry(
        "The server at {host} ({address}) answered {when} with an error (SQLSTATE {sqlstate}).",
        "Read the server's message in the evidence and look it up in the logs of {host}.",
    ),
    "app_file_missing": Entry(
        "The file {path}, by which {name} connects to {host}, is not there.",
        "Write the configs of {name} for {host} again (playbooks/app_servers.yml, or dev_machine.yml).",
    ),
    "app_file_unreadable": Entry(
        "The file {path}, by which {name} connects to {host}, cannot be read by {app_user}: {reason}.",
        "Give {path} to {app_user}, or write the configs for {host} again (playbooks/app_servers.yml).",
    ),
    "app_config_differs": Entry(
        "The file {path}, which holds the connection of {name} to {host}, is not as the inventory has it.",
        "Look at `ansible-playbook playbooks/app_servers.yml --check --diff` for {host}, and write it again or bring "
        "the inventory up to date.",
    ),
    "env_value_missing": Entry(
        "The file {path} does not set {variable}, by which {name} connects to {host}.",
        "Write the configs of {name} for {host} again (playbooks/app_servers.yml).",
    ),
    "env_value_differs": Entry(
        "The file {path} has another {variable} for {name} than the inventory has for {host}: {difference}.",
        "Write the configs for {host} again (playbooks/app_servers.yml with crdb_app_config_force), or put what {path} "
        "says into the inventory.",
    ),
    "env_value_twice": Entry(
        "The file {path} sets {variable} more than once, and loaders differ in which one {name} gets for {host}.",
        "Leave one line for {variable} in {path}, the one for {host}.",
    ),
    "app_ca_unreadable": Entry(
        "The CA file {path} for {host} cannot be read by {app_user}, as whom {name} runs: {reason}.",
        "Let {app_user} read {path} (mode 0644, and the folders above it passable), so that {host} can be verified.",
    ),
    "app_key_unreadable": Entry(
        "The client certificate or key {path} for {host} cannot be read by {app_user}, as whom {name} runs: {reason}.",
        "Give {path} to {app_user} (mode 0600), so that {name} can log in at {host}.",
    ),
    "canary_refused": Entry(
        "The server at {host} refused the login of {user} from {other}, the first host to try it, so no password was "
        "sent from this one.",
        "Look at what {other} reports, cure that, and check {host} again.",
    ),
    "not_tried": Entry(
        "The server at {host} refused the same login for {other} a moment ago, so the password of {user} was not sent "
        "again.",
        "Cure that refusal first, then check {host} again in a new run.",
    ),
    "password_held": Entry(
        "The server at {host} ({address}) asks for the password of {user}, which was not sent: another host tries it "
        "first.",
        "Leave hold_password out to log in at {host}.",
    ),
    "internal_error": Entry(
        "The check of {host} port {port} itself failed {when}: {error}.",
        "Report this to the authors of crdb.onboard with the evidence, and test {host} with psql meanwhile.",
    ),
}


# A login that is not tried again, by any endpoint or host.
REFUSED_LOGINS = (
    *("password_rejected", "password_expired", "password_wrong", "login_denied", "login_refused", "user_unknown"),
    "throttled",
)


class _Rule(NamedTuple):
    """A server's error. `states`: SQLSTATEs, empty for any; `pattern`: searched in the message in lower case."""

    code: str
    states: tuple[str, ...]
    pattern: str


_REFUSED = r"^codeproxyrefusedconnection:\s*"
_ROUTING = r"^codeparamsroutingfailed:\s*"

# The first that fits wins. The proxy's errors are told by their text alone: its SQLSTATE changed over time (08004,
# 08C00, 57P01), and one state covers all of them.
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
    _Rule("password_expired", ("28P01", "28000"), r"^password is expired"),
    _Rule("login_denied", ("28000", "28P01", "42501"), r"is not permitted to log in|login privilege|sqllogin"),
    _Rule("hba_refused", ("28000",), r"pg_hba\.conf|host_based_authentication"),
    _Rule("user_unknown", ("28000",), r"^(role|user) .* does not exist"),
    _Rule("password_rejected", ("28P01",), r""),
    # Old CockroachDB versions left the state at its default.
    _Rule("password_rejected", (), r"^password authentication failed for user"),
    _Rule("login_refused", ("28000",), r""),
    _Rule("database_missing", ("3D000",), r""),
    _Rule("connect_denied", ("42501",), r"connect privilege|permission denied for database"),
    _Rule("too_many_connections", ("53300",), r""),
    _Rule("server_starting", ("57P03",), r"starting up|not yet accepting|recovery"),
    _Rule("server_stopping", ("57P01", "57P02", "57P03"), r""),
    _Rule("startup_option_refused", ("42704", "22023"), r"^(unrecognized|unknown|invalid) (configuration|session) "),
)

# OpenSSL's X509_V_ERR_* numbers (x509_vfy.h).
_NO_ISSUER, _BAD_SIGNATURE = 2, 7
_VERIFY_CODES = {
    **dict.fromkeys((_NO_ISSUER, _BAD_SIGNATURE, 18, 19, 20, 21, 27, 33), "tls_unknown_ca"),
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
    # A reset instead of an acceptance is ECONNREFUSED: this one came after it, before the caller could look.
    errno.ECONNRESET: "closed_without_a_word",
    errno.EACCES: "tcp_blocked_locally",
    errno.EPERM: "tcp_blocked_locally",
}


class SessionError(Exception):
    """A session could not be opened. `diagnosis`: why, and what to do; without the password."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(f"{diagnosis.cause} {diagnosis.cure}")
        self.diagnosis = diagnosis


def classify(step: str, error: BaseException, facts: Facts) -> str:
    """The code of what went wrong: a key of CATALOGUE. Pure."""
    if isinstance(error, ServerError):
        return classify_server_error(error)
    if isinstance(error, TlsError):
        return _classify_tls(step, error, facts)
    if isinstance(error, DialError):
        return _classify_dial(error, facts)
    if isinstance(error, ResolveError):
        return "host_invalid" if error.kind == "invalid" else "dns_" + error.kind
    if isinstance(error, FileUnusableError):
        return _classify_file(error)
    if isinstance(error, TimedOutError):
        return "server_hang_" + step
    if isinstance(error, ClosedError):
        return "reply_truncated" if error.partial else "closed_without_a_word"
    if isinstance(error, MalformedError):
        return {"length": "reply_bad_length", "endless": "reply_endless"}.get(error.kind, "reply_malformed")
    if isinstance(error, ScramError):
        return {"signature": "server_signature_invalid", "iterations": "scram_iterations"}.get(
            error.kind, "scram_malformed"
        )
    for kind, code in _SIMPLE:
        if isinstance(error, kind):
            return code
    return "internal_error"


_SIMPLE = (
    (TlsNotOfferedError, "tls_not_offered"),
    (NotPostgresError, "not_postgresql"),
    (PlaintextInjectedError, "tls_plaintext_injected"),
    (AuthUnsupportedError, "auth_method_unsupported"),
    (PasswordNeededError, "password_missing"),
    (DatabaseUnseenError, "database_missing"),
    (NetworkLostError, "network_lost"),
    (WrongNameError, "tls_wrong_host"),
    (PasswordHeldError, "password_held"),
)


def classify_server_error(error: ServerError) -> str:
    """The code of an ErrorResponse, from its SQLSTATE, message and hint. Pure."""
    message = error.message.strip().lower()
    for rule in _SERVER_RULES:
        if rule.states and error.sqlstate not in rule.states:
            continue
        if not re.search(rule.pattern, message):
            continue
        # One code of the proxy covers the allowlist and the throttle; where the text is vague, the hint is not.
        if rule.code in ("not_in_allowlist", "proxy_refused") and "authentication" in error.fields.get("H", "").lower():
            return "throttled"
        if rule.code == "proxy_unexplained" and message:
            return "server_error"
        return rule.code
    return "server_error"


def _classify_tls(step: str, error: TlsError, facts: Facts) -> str:
    if error.reason == "CERTIFICATE_VERIFY_FAILED":
        code = _VERIFY_CODES.get(error.verify_code, "tls_certificate_refused")
        if code == "tls_unknown_ca":
            return _classify_unknown_ca(error.verify_code, facts)
        if code in ("tls_expired", "tls_not_yet_valid"):
            return _classify_dates(code, facts)
        return code
    if _TOO_OLD.search(error.reason):
        return "tls_too_old"
    if "CERTIFICATE_REQUIRED" in error.reason:
        return "client_cert_required"
    if _CLIENT_CERT_ALERT.search(error.reason):
        return "client_cert_refused" if facts.client_cert else "tls_handshake_refused"
    if step == "handshake" and re.search("ALERT_|UNRECOGNIZED_NAME|NO_APPLICATION_PROTOCOL", error.reason):
        return "tls_handshake_refused"
    return "tls_failed"


def _classify_unknown_ca(number: int, facts: Facts) -> str:
    if not facts.ca_given and not facts.public_roots:
        return "public_roots_missing"
    if not facts.chain:
        return "tls_unknown_ca"
    links = _links(facts.chain)
    top = links[-1]
    namesakes = [ca for ca in facts.authorities if ca.subject_der == top.issuer_der]
    if namesakes:
        strangers = number == _BAD_SIGNATURE or not any(ca.may_have_issued(top) for ca in namesakes)
        if strangers or (top.self_issued and top not in namesakes):
            return "ca_other_cluster"
        return "tls_unknown_ca" if top.self_issued else "ca_incomplete"
    if number == _BAD_SIGNATURE:
        return "tls_certificate_refused"
    if number == _NO_ISSUER and not top.self_issued and top in facts.authorities:
        return "ca_incomplete"
    # A root is rarely sent and an intermediate always: only the issuer of the server's own certificate can be missed.
    alone = len(links) == 1 and not top.self_issued
    if alone and (top.has_issuer_link or len(set(facts.chain)) > 1):
        return "tls_missing_intermediate"
    return "tls_unknown_ca"


def _links(chain: Sequence[_x509.Certificate]) -> list[_x509.Certificate]:
    """The certificates of a chain that issued each other, from the server's own up, whatever order they came in."""
    links = [chain[0]]
    while not links[-1].self_issued:
        issuer = next((one for one in chain if one not in links and one.may_have_issued(links[-1])), None)
        if issuer is None:
            break
        links.append(issuer)
    return links


def _path(facts: Facts) -> list[_x509.Certificate]:
    """The way from the server's certificate up, through what it sent and then the CA that was given."""
    return _links([*facts.chain, *facts.authorities]) if facts.chain else []


def _failing(facts: Facts) -> _x509.Certificate | None:
    """The first certificate from the server's own up that is out of its dates now."""
    return next((one for one in _path(facts) if facts.now and not one.valid_at(facts.now)), None)


def _classify_dates(code: str, facts: Facts) -> str:
    failing = _failing(facts)
    if failing is None or facts.now is None:
        return code
    late = facts.now > failing.not_after
    if facts.controller_now is not None:
        apart = (facts.now - facts.controller_now).total_seconds()
        if abs(apart) > _CLOCK_SECONDS and failing.valid_at(facts.controller_now) and (apart > 0) == late:
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


def diagnose(step: str, error: BaseException, facts: Facts, **more: str) -> Diagnosis:
    """Cause, cure and evidence of what went wrong in a step. Pure. `more`: further words for the sentences."""
    return describe(classify(step, error, facts), step, error, facts, **more)


def describe(code: str, step: str, error: BaseException, facts: Facts, **more: str) -> Diagnosis:
    """The Diagnosis of a code that is already known. Raises KeyError for one that is not in CATALOGUE."""
    entry = CATALOGUE[code]
    cause, cure = entry.per_deployment.get(facts.deployment, (entry.cause, entry.cure))
    words = {**_words(step, error, facts), **{key: clean(value) for key, value in more.items()}}
    return Diagnosis(code, cause.format(**words), cure.format(**words), _evidence(step, error, facts))


def clean(text: object) -> str:
    """A text of unknown origin on one line: non-printable characters (colours, direction marks) out, length capped."""
    spaced = re.sub(r"\s+", " ", str(text)).strip()
    printable = "".join(char for char in spaced if char.isprintable())
    return printable if len(printable) <= _TEXT_CAP else printable[: _TEXT_CAP - 3] + "..."


def _words(step: str, error: BaseException, facts: Facts) -> dict[str, str]:
    sent = cluster_sent(facts)
    leaf = facts.chain[0] if facts.chain else None
    top = _links(facts.chain)[-1] if facts.chain else None
    failing = _failing(facts) or leaf
    led_to = [one for one in _path(facts) if one in facts.authorities]
    held = [ca.subject for ca in facts.authorities[:3]] + ["..."] * (len(facts.authorities) > 3)
    banner = getattr(error, "banner", b"")
    stranger = server_kind(banner) if banner else None
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
        "ca": _ca(facts) + (f" ({', '.join(held)})" if held and isinstance(error, TlsError) else ""),
        "client_cert": facts.client_cert or "(none)",
        "timeout": f"{facts.timeout:g}",
        "when": STEPS[step][1],
        "error": _reason(error),
        "path": getattr(error, "path", ""),
        "method": getattr(error, "method", ""),
        "sqlstate": getattr(error, "sqlstate", "") or "not given",
        "stranger": f"a server of another kind ({stranger})" if stranger else "something else",
        "certificate_names": ", ".join((leaf.names()[:8] or [leaf.subject]) if leaf else []) or "another name",
        "issuer": (top.issuer if top else "") or "a CA that it does not tell",
        "ca_subject": led_to[-1].subject if led_to else (top.subject if top else "an intermediate CA"),
        "failing": (failing.subject if failing else "") or "a certificate without a subject",
        "failing_before": _stamp(failing.not_before) if failing else "a later date",
        "failing_after": _stamp(failing.not_after) if failing else "an earlier date",
        "not_before": _stamp(leaf.not_before) if leaf else "a later date",
        "not_after": _stamp(leaf.not_after) if leaf else "an earlier date",
        "now": _stamp(facts.now) if facts.now else "another date",
        "controller_now": _stamp(facts.controller_now) if facts.controller_now else "another date",
        "other": "another endpoint",
        "app_user": "its user",
        "variable": "the variable",
        "difference": "it is another one",
        "reason": "no reason given",
        "public": "this machine's address",
        "public_entry": "this machine's public IPv4 address",
        "allowlist": f"the IP allowlist of cluster {facts.routing_id or sent}",
    }
    return {key: clean(value) for key, value in words.items()}


def cluster_sent(facts: Facts) -> str:
    """The cluster that the connection names: by option, by database or, last as for the proxy, by the host's name."""
    flag = re.search(r"cluster=(\S+)", facts.options or "")
    if flag:
        return flag.group(1)
    prefix, dot, _name = facts.database.partition(".")
    if dot and prefix:
        return prefix
    label, dot, _zone = facts.host.partition(".")
    return label if dot and not label.isdigit() else facts.host


def _ca(facts: Facts) -> str:
    if facts.ca_file:
        return f"the CA file {facts.ca_file}"
    return "the CA certificate that was given as text" if facts.ca_given else "this machine's public roots"


def _reason(error: BaseException) -> str:
    """A local error in a few words, without the full stop that the sentence has of its own."""
    if isinstance(error, TlsError):
        return (error.verify_message or error.reason.replace("_", " ").lower() or str(error)).rstrip(".")
    if isinstance(error, ServerError):
        return "SQLSTATE " + (error.sqlstate or "not given")
    text = str(error).rstrip(".")
    return text if isinstance(error, WireError) else f"{type(error).__name__}: {text}"


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _evidence(step: str, error: BaseException, facts: Facts) -> dict[str, Any]:
    evidence: dict[str, Any] = {"step": step}
    if isinstance(error, ServerError):
        for key, letter in (("severity", "S"), ("sqlstate", "C"), ("detail", "D"), ("hint", "H")):
            if error.fields.get(letter):
                evidence[key] = clean(error.fields[letter])
        evidence["server_message"] = clean(error.message)
    else:
        evidence["error"] = clean(_reason(error))
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
            evidence["chain"] = [_short_facts(one) for one in facts.chain[1:11]]
        if facts.authorities:
            evidence["ca_certificates"] = [_short_facts(one) for one in facts.authorities[:10]]
        if facts.controller_now is not None and facts.now is not None:
            evidence["clocks"] = {"this_machine": _stamp(facts.now), "controller": _stamp(facts.controller_now)}
    if facts.local_address:
        evidence["local_address"] = facts.local_address
    return evidence


def certificate_facts(certificate: _x509.Certificate) -> dict[str, Any]:
    """What reports say of a certificate: {subject, issuer, not_before, not_after, sans, sha256}, dates in UTC."""
    facts: dict[str, Any] = _short_facts(certificate)
    facts["sans"] = [clean(name) for name in certificate.names()[:50]]
    return facts


def _short_facts(certificate: _x509.Certificate) -> dict[str, str]:
    return {
        "subject": clean(certificate.subject),
        "issuer": clean(certificate.issuer),
        "not_before": _stamp(certificate.not_before),
        "not_after": _stamp(certificate.not_after),
        "sha256": certificate.sha256,
    }


# What is said beside a verdict, without changing it: code -> the sentence. Filled as CATALOGUE's are.
NOTES: Mapping[str, str] = {
    "slow_dns": "Looking up {host} took {took} ms, where up to {normal} is normal: look at this machine's DNS servers.",
    "slow_tcp": "Connecting to {host} ({address}) took {took} ms, where up to {normal} is normal: the way is long, or "
    "packets are lost on it.",
    "slow_tls": "The TLS handshake with {host} took {took} ms, where up to {normal} is normal: the server is busy, or "
    "a proxy opens TLS.",
    "slow_route": "The start-up message to {host} was answered after {took} ms, where up to {normal} is normal: a "
    "cluster that slept was woken up, or is busy.",
    "slow_auth": "The login at {host} took {took} ms, where up to {normal} is normal: many SCRAM iterations, or a busy "
    "cluster.",
    "slow_sql": "The query at {host} took {took} ms, where up to {normal} is normal: the cluster is busy, or the node "
    "is far from the data.",
    "clock_differs": "This machine's clock says {now} and the controller's {controller_now}: TLS to {host} breaks when "
    "that leaves a certificate's dates.",
    "app_not_configured": "{name} has no configs on this host yet ({path} is not there): the connection to {host} was "
    "checked with what the inventory says.",
    "app_file_too_open": "The file {path} of {name} holds a password for {host} and has mode {mode}: chmod 600 it.",
    "app_file_changed": "The file {path} of {name} for {host} is not as the inventory would write it.",
    "app_ca_changed": "The CA file {path} of {name} for {host} does not hold the CA of the inventory (SHA-256 "
    "{fingerprint}).",
    "cloud_api_silent": "The Cloud API was asked about {host} and did not help: {reason}",
    "cloud_no_cluster": "The Cloud API's key sees no single cluster that {host} leads to ({cluster}).",
    "public_address_unknown": "The public address of this machine could not be found, to compare it with {allowlist}, "
    "which {host} goes by: {reason}",
    "cluster_busy": "The Cloud API says of cluster {cluster} ({host}): {state}.",
    "stricter_clients": "{clients} would refuse the certificate of {host}: {why}.",
    "certificate_expires": "The certificate of {host} ends at {not_after}, in {days} days.",
    "ca_expires": "The CA certificate {failing} of {host} in {ca} ends at {failing_after}, in {days} days.",
}


def note(code: str, **words: object) -> dict[str, str]:
    """One note: {code, text}. Raises KeyError for a code that is not in NOTES."""
    return {"code": code, "text": NOTES[code].format(**{key: clean(value) for key, value in words.items()})}


@dataclass
class Report:
    """The result of one endpoint's check. `stages`: those that were reached, each {stage, ok, milliseconds}.

    `notes`: what is said beside the verdict, each {code, text}.
    """

    name: str
    host: str
    port: int
    address: str | None
    diagnosis: Diagnosis
    stages: list[dict[str, Any]]
    server: dict[str, Any]
    password_sent: bool
    notes: list[dict[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.diagnosis.code == OK

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "host": self.host,
            "port": self.port,
            "address": self.address,
            "ok": self.ok,
            "code": self.diagnosis.code,
            "cause": self.diagnosis.cause,
            "cure": self.diagnosis.cure,
            "evidence": self.diagnosis.evidence,
            "stages": self.stages,
            "server": self.server,
            "password_sent": self.password_sent,
            "notes": self.notes,
        }


def check_endpoints(
    endpoints: Sequence[Endpoint],
    timeout: float = DEFAULT_TIMEOUT,
    skew: float | None = None,
    refusals: dict[str, str] | None = None,
) -> list[Report]:
    """Check all endpoints, up to MAX_PARALLEL at once, and report in their order.

    Endpoints with the same login are checked one after the other, and not at all once its password was refused: the
    service locks an address out after failed logins. `skew`: seconds that this machine's clock is ahead of the
    controller's, where that is known. `refusals` are those of calls before, and are added to: from the text of a login
    key to the name of the endpoint that was refused.
    """
    known = {} if refusals is None else refusals
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, endpoint in enumerate(endpoints):
        groups.setdefault(endpoint.login_key(), []).append(index)
    reports: dict[int, Report] = {}

    def run(indexes: list[int]) -> None:
        key = repr(endpoints[indexes[0]].login_key())
        for index in indexes:
            if key in known:
                reports[index] = _skipped(endpoints[index], timeout, known[key])
                continue
            reports[index] = check_endpoint(endpoints[index], timeout, skew)
            if login_was_refused(reports[index]):
                known[key] = endpoints[index].name

    if groups:
        with ThreadPoolExecutor(max_workers=min(MAX_PARALLEL, len(groups))) as pool:
            for future in [pool.submit(run, indexes) for indexes in groups.values()]:
                future.result()
    return [reports[index] for index in range(len(endpoints))]


def login_was_refused(report: Report) -> bool:
    """Whether the same login must not be tried again."""
    return report.diagnosis.code in REFUSED_LOGINS or (
        report.password_sent and report.diagnosis.evidence.get("step") == "auth"
    )


def open_session(endpoint: Endpoint, timeout: float = DEFAULT_TIMEOUT) -> Wire:
    """A session that is logged in, verified and bounded as a check's; the caller closes it.

    The password is sent at most once. Raises SessionError, with the diagnosis that a check would give.
    """
    return _Run(endpoint, timeout, None).open()


def _skipped(endpoint: Endpoint, timeout: float, other: str) -> Report:
    return skipped("not_tried", Facts.of(endpoint, timeout), other)


def skipped(code: str, facts: Facts, other: str) -> Report:
    """The report of an endpoint that was not tried, after the refusal of another one or of another host."""
    error = WireError(f"not tried after the refusal for {clean(other)}")
    diagnosis = describe(code, "auth", error, facts, other=other)
    return Report(facts.name, facts.host, facts.port, None, diagnosis, [], {}, False)


def with_findings(report: Report, endpoint: Endpoint, findings: Sequence[Finding], user: str, *, only: bool) -> Report:
    """The report with what is wrong with the app's own files: a verdict where all else passed, notes else.

    `only`: notes in any case, as in check mode, where the files are not written yet.
    """
    facts = Facts.of(endpoint, DEFAULT_TIMEOUT)
    common = {"name": facts.name, "host": facts.host, "app_user": user or "this user"}
    faults = []
    for code, words in findings:
        if code in NOTES:
            report.notes.append(note(code, **{**common, **words}))
        else:
            faults.append(describe(code, "prepare", WireError("read back"), facts, **{**common, **words}))
    if faults and report.ok and not only:
        first = faults.pop(0)
        report = replace(report, diagnosis=Diagnosis(first.code, first.cause, first.cure, {"step": "files"}))
    report.notes.extend({"code": fault.code, "text": fault.cause} for fault in faults)
    return report


def failure_text(checks: Sequence[Mapping[str, Any]]) -> str:
    """One readable text for a task's failure: each failing endpoint with code, cause and cure."""
    failed = [check for check in checks if not check["ok"]]
    parts = [f"{len(failed)} of {len(checks)} endpoints did not pass the check."]
    parts += [f"{check['name']}: {check['code']}. Cause: {check['cause']} Cure: {check['cure']}" for check in failed]
    return "\n".join(parts)


def check_endpoint(endpoint: Endpoint, timeout: float = DEFAULT_TIMEOUT, skew: float | None = None) -> Report:
    """Check one endpoint within `timeout` seconds. Never raises for what happens on the network.

    The password is sent at most once, after the server's certificate is verified. When that fails, a second
    connection without login reads the certificates, so that the report can name what is in them.
    """
    return _Run(endpoint, timeout, skew).report()


class _Run:
    """The state of one check."""

    def __init__(self, endpoint: Endpoint, timeout: float, skew: float | None) -> None:
        self._endpoint = endpoint
        self._skew = skew
        self._total = Deadline(timeout)
        self._timeout = timeout
        self._facts = Facts.of(endpoint, timeout)
        self._step = "resolve"
        self._stages: list[dict[str, Any]] = []
        self._server: dict[str, Any] = {}
        self._wire: Wire | None = None
        self._target: _Address | None = None

    def report(self) -> Report:
        try:
            self._go()
            diagnosis = Diagnosis(OK, "", "", {})
        except WireError as exc:
            self._look_again(exc)
            diagnosis = diagnose(self._step, exc, self._facts)
        except Exception as exc:  # one endpoint's surprise must not take the others' reports away
            diagnosis = diagnose(self._step, exc, self._facts)
        finally:
            if self._wire is not None:
                self._wire.close()
        return Report(
            name=self._endpoint.name,
            host=self._endpoint.host,
            port=self._endpoint.port,
            address=self._facts.address,
            diagnosis=self._without_password(diagnosis),
            stages=self._stages,
            server=self._redacted(self._server),
            password_sent=self._wire is not None and self._wire.password_sent,
            notes=self._notes(),
        )

    def open(self) -> Wire:
        """A session that is logged in, for the caller to use and close. Raises SessionError."""
        try:
            wire = self._log_in()
            with self._stage("sql", "login") as wire.deadline:
                wire.ready()
            return wire
        except WireError as exc:
            self._look_again(exc)
            if self._wire is not None:
                self._wire.close()
            raise SessionError(self._without_password(diagnose(self._step, exc, self._facts))) from None

    def _log_in(self) -> Wire:
        endpoint = self._endpoint
        with self._stage("dns", "resolve") as deadline:
            addresses = resolve(endpoint.host, endpoint.port, deadline)
        with self._stage("tcp", "connect") as deadline:
            self._wire = wire = Wire(self._dial(addresses, deadline), deadline)
        with self._stage("tls", "prepare") as wire.deadline:
            context = tls_context(endpoint.ca_file, endpoint.ca_text, endpoint.sslcert, endpoint.sslkey)
            self._step = "sslrequest"
            wire.request_tls()
            self._step = "handshake"
            try:
                wire.start_tls(context, endpoint.host)
            finally:
                self._facts.chain = _x509.read_all(wire.peer_chain())
            version, cipher = wire.tls_facts()
            certificate = certificate_facts(self._facts.chain[0])
            self._server.update(tls_version=version, cipher=cipher, certificate=certificate)
        with self._stage("route", "startup") as wire.deadline:
            request = wire.startup(self._startup_parameters())
        with self._stage("auth", "auth") as wire.deadline:
            if endpoint.hold_password and request.kind != 0:
                raise PasswordHeldError("the password is held back")
            wire.login(request, endpoint.password)
            self._server["auth_method"] = clean(request.method)
        return wire

    def _go(self) -> None:
        wire = self._log_in()
        with self._stage("sql", "login") as wire.deadline:
            wire.ready()
            self._step = "query"
            rows = wire.query(_PROOF)
            if not rows:
                raise DatabaseUnseenError("the session's database is not in pg_database")
            if len(rows) != 1 or len(rows[0]) != 3:
                raise MalformedError("content", "the answer to the query has another shape")
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

    def _dial(self, addresses: Sequence[_Address], deadline: Deadline) -> socket.socket:
        """Try the addresses in turn, each with its share of the time left. Raises DialError for the most telling."""
        failures: list[tuple[_Address, DialError]] = []
        for index, address in enumerate(addresses):
            share = deadline.within(deadline.remaining() / (len(addresses) - index))
            try:
                sock = _connect(address, share)
            except DialError as exc:
                failures.append((address, exc))
                self._facts.attempts.append({"address": address.text, "error": str(exc)})
                continue
            self._target = address
            self._facts.address = address.text
            with contextlib.suppress(OSError):
                self._facts.local_address = str(sock.getsockname()[0])
            return sock
        # Clusters are reached over IPv4: where it was tried, an IPv6 failure says nothing.
        telling = [one for one in failures if one[0].family == socket.AF_INET] or failures
        self._facts.address = telling[-1][0].text
        raise telling[-1][1]

    def _look_again(self, error: WireError) -> None:
        """After a certificate was refused, connect once more without login, to read what the report has to name."""
        self._clocks()
        if not isinstance(error, TlsError) or error.reason != "CERTIFICATE_VERIFY_FAILED" or self._target is None:
            return
        self._facts.public_roots = has_public_roots()
        self._facts.authorities = read_authorities(self._endpoint.ca_file, self._endpoint.ca_text)
        deadline = self._total.within(_SECOND_LOOK_SECONDS)
        # Before Python 3.13, ssl tells the server's own certificate only: the rest is read where it passes in clear.
        clear = not hasattr(ssl.SSLObject, "get_unverified_chain")
        self._facts.chain = self._presented(self._target, deadline, clear=clear)
        if clear and not self._facts.chain:
            self._facts.chain = self._presented(self._target, deadline, clear=False)

    def _presented(self, target: _Address, deadline: Deadline, *, clear: bool) -> tuple[_x509.Certificate, ...]:
        """The certificates that the server presents to whoever asks; none when it does not."""
        try:
            wire = Wire(_connect(target, deadline), deadline)
        except WireError:
            return ()
        try:
            # A server that wants a client's certificate breaks off after it has shown its own.
            with contextlib.suppress(WireError):
                wire.request_tls()
                wire.start_tls(unverified_context(clear=clear), self._endpoint.host)
            return _x509.read_all(wire.peer_chain())
        finally:
            wire.close()

    def _clocks(self) -> None:
        self._facts.now = datetime.datetime.now(datetime.timezone.utc)
        if self._skew is not None:
            with contextlib.suppress(OverflowError):
                self._facts.controller_now = self._facts.now - datetime.timedelta(seconds=self._skew)

    def _notes(self) -> list[dict[str, str]]:
        """What is worth saying beside the verdict."""
        facts = self._facts
        self._clocks()
        found = [
            note(
                f"slow_{stage}", host=facts.host, address=facts.address or "no address", took=round(took), normal=limit
            )
            for stage, took, limit in slow_stages(self._stages)
        ]
        now, controller = facts.now, facts.controller_now
        if now and controller and abs((now - controller).total_seconds()) > _CLOCK_SECONDS:
            found.append(note("clock_differs", host=facts.host, now=_stamp(now), controller_now=_stamp(controller)))
        if "tls_version" in self._server:
            authorities = read_authorities(self._endpoint.ca_file, self._endpoint.ca_text)
            facts.authorities = authorities if len(authorities) <= _FEW_AUTHORITIES else ()
            found += _certificate_notes(facts)
        return found

    def _without_password(self, diagnosis: Diagnosis) -> Diagnosis:
        return Diagnosis(diagnosis.code, diagnosis.cause, diagnosis.cure, self._redacted(diagnosis.evidence))

    def _redacted(self, value: Any) -> Any:
        """A server that was told the password may echo it."""
        if isinstance(value, dict):
            return {key: self._redacted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._redacted(item) for item in value]
        if isinstance(value, str) and self._endpoint.password and self._wire and self._wire.password_sent:
            password = self._endpoint.password
            for secret in (password, clean(password), _percent(password)):
                value = value.replace(secret, "********") if secret else value
        return value


def _percent(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def slow_stages(stages: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, int]]:
    """The passed stages that took longer than normal: (stage, milliseconds, the most that is normal). Pure."""
    trip = next((stage["milliseconds"] for stage in stages if stage["stage"] == "tcp" and stage["ok"]), 0.0)
    limits = {stage: round(base + trips * min(trip, NORMAL["tcp"][0])) for stage, (base, trips) in NORMAL.items()}
    return [
        (stage["stage"], stage["milliseconds"], limits[stage["stage"]])
        for stage in stages
        if stage["ok"] and stage["milliseconds"] > limits[stage["stage"]]
    ]


def _certificate_notes(facts: Facts) -> list[dict[str, str]]:
    """What stricter clients say of a chain that was verified, and what of it ends soon. Pure."""
    chain = _path(facts)
    found = [
        note("stricter_clients", host=facts.host, clients=clients, why=why)
        for clients, why in chain_rules.stricter_clients(chain, facts.host)
    ]
    if facts.now is None:
        return found
    for number, certificate in enumerate(chain):
        days = (certificate.not_after - facts.now).days
        if number == 0 and days < _LEAF_DAYS:
            found.append(
                note("certificate_expires", host=facts.host, not_after=_stamp(certificate.not_after), days=days)
            )
        elif certificate in facts.authorities and days < _CA_DAYS:
            words = {"failing": certificate.subject, "failing_after": _stamp(certificate.not_after), "days": days}
            found.append(note("ca_expires", host=facts.host, ca=_ca(facts), **words))
    return found


class _Address(NamedTuple):
    family: int
    sockaddr: tuple[Any, ...]

    @property
    def text(self) -> str:
        return str(self.sockaddr[0])


def resolve(host: str, port: int, deadline: Deadline) -> list[_Address]:
    """The host's addresses in the system's order, without repeats, at most _MAX_ADDRESSES. Raises ResolveError.

    The system's resolver has no timeout of its own that a caller can set, so it runs in a thread that may be left.
    """
    answers: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as exc:  # handed to the caller's thread
            answers.put(exc)

    threading.Thread(target=ask, name="crdb-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.remaining())
    except queue.Empty as exc:
        raise ResolveError("timeout", "no answer from the resolver") from exc
    if isinstance(answer, Exception):
        raise _name_failed(answer) from answer
    found = dict.fromkeys(_Address(family, sockaddr) for family, _type, _proto, _canonical, sockaddr in answer)
    if not found:
        raise ResolveError("not_found", "the name has no address")
    return list(found)[:_MAX_ADDRESSES]


def _name_failed(error: Exception) -> ResolveError:
    if isinstance(error, UnicodeError):
        return ResolveError("invalid", "the name has an empty or overlong part")
    if not isinstance(error, socket.gaierror):
        return ResolveError("failed", str(error))
    text = error.strerror or "no reason given"
    # EAI_NODATA is not known everywhere.
    if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
        return ResolveError("not_found", text)
    return ResolveError("temporary" if error.errno == socket.EAI_AGAIN else "failed", text)


def _connect(address: _Address, deadline: Deadline) -> socket.socket:
    """A TCP connection to one address. Raises DialError."""
    left = deadline.remaining()
    if not left:
        raise DialError(errno.ETIMEDOUT, "no time left")
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError as exc:
        raise DialError(exc.errno or 0, exc.strerror or "no socket") from exc
    try:
        sock.settimeout(left)
        sock.connect(address.sockaddr)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except socket.timeout as exc:
        sock.close()
        raise DialError(errno.ETIMEDOUT, f"no answer in {left:.1f} s") from exc
    except OSError as exc:
        sock.close()
        raise DialError(exc.errno or 0, exc.strerror or str(exc)) from exc
    return sock
