# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault table: what a server does, or what is wrong with an endpoint, and the code that has to come out.

To add a fault, add a row. Every row is run in this Python and from the oldest and newest that are found.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import struct
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.faults.broken import VERSION, Behaviour, Peer, old_tls
from tests.faults.certificates import DAY, NOW, Authority, name_of, pem_of, pem_of_key, self_signed

PASSWORD = "c4n4ry pä$$/%:é"
USER = "maxroach"
DATABASE = "defaultdb"
# Long enough for a loaded machine to get through what works, short enough to wait for what does not.
HANG = 2.0
PATIENT = 15.0


TOKEN_CANARY = "c4n4ryc4n4ryc4n4ryc4n4ry"
JWT = "--crdb:jwt_auth_enabled=true"


def token(**claims: Any) -> str:
    """A JSON Web Token with these claims, whose signature is the canary."""
    parts = ({"alg": "RS256", "kid": "test"}, {"sub": USER, "aud": ["shop"], "iss": "https://issuer.test", **claims})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, TOKEN_CANARY])


def by_token(**changes: Any) -> dict[str, Any]:
    """What an endpoint with a token in place of the password has."""
    return {"password": None, "options": JWT, **changes}


def by_command(script: str) -> dict[str, Any]:
    return by_token(jwt_command=["/bin/sh", "-c", script])


class Files:
    """The certificates and files of a test run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder, "Test CA")
        self.stranger = Authority(folder, "Stranger CA")
        self.old_authority = Authority(folder, "Old CA", begins=NOW - 60 * DAY, days=30)
        self.next_authority = Authority(folder, "Next CA", begins=NOW + 5 * DAY)
        self.namesake = Authority(folder, "Test CA", label="Namesake CA")
        self.root = Authority(folder, "Shop Root", organization="Shop Inc")
        self.middle = Authority(folder, "Shop Middle", parent=self.root, organization="Shop Inc")
        self.old_middle = Authority(
            folder, "Shop Old Middle", begins=NOW - 40 * DAY, days=30, parent=self.root, organization="Shop Inc"
        )
        self.next_middle = Authority(
            folder, "Shop Next Middle", begins=NOW + 5 * DAY, parent=self.root, organization="Shop Inc"
        )
        self.good = self.authority.issue("good")
        self.other_host = self.authority.issue("other-host", names=("db.other.test",), addresses=())
        self.other_address = self.authority.issue("other-address", addresses=("192.0.2.1",))
        self.expired = self.authority.issue("expired", begins=NOW - 5 * DAY, days=2)
        self.future = self.authority.issue("future", begins=NOW + 2 * DAY)
        self.by_stranger = self.stranger.issue("by-stranger")
        self.by_old = self.old_authority.issue("by-old")
        self.by_next = self.next_authority.issue("by-next")
        self.by_namesake = self.namesake.issue("by-namesake")
        self.by_middle = self.middle.issue("by-middle", chain=(self.middle,))
        self.by_middle_alone = self.middle.issue("by-middle-alone", issuer_link=True)
        self.by_middle_linked = self.middle.issue("by-middle-linked", chain=(self.middle,), issuer_link=True)
        self.other_root = Authority(folder, "Shop Other Root", organization="Shop Inc")
        self.by_other_root = self.other_root.issue("by-other-root")
        self.by_middle_mixed_up = self.middle.issue("by-middle-mixed-up", chain=(self.stranger,))
        self.by_old_middle = self.old_middle.issue("by-old-middle", chain=(self.old_middle,))
        self.by_next_middle = self.next_middle.issue("by-next-middle", chain=(self.next_middle,))
        self.by_namesake_with_root = self.namesake.issue("by-namesake-with-root", chain=(self.namesake,))
        self.soon = self.good
        self.weak = self.authority.issue("weak", weak=1024)
        self.for_clients = self.authority.issue("for-clients", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
        self.client = self.authority.issue("client", names=(USER,), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
        self.client_of_past = self.authority.issue(
            "past-client", names=(USER,), usage=ExtendedKeyUsageOID.CLIENT_AUTH, begins=NOW - 5 * DAY, days=2
        )
        self.client_of_future = self.authority.issue(
            "future-client", names=(USER,), usage=ExtendedKeyUsageOID.CLIENT_AUTH, begins=NOW + 2 * DAY
        )
        self.client_of_stranger = self.stranger.issue("stray-client", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
        self.ca = str(self.authority.path)
        self.empty = self._file("empty.crt", b"")
        self.web_page = self._file("page.crt", b"<!DOCTYPE html><title>Sign in</title>")
        self.broken_pem = self._file(
            "broken.crt", b"-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"
        )
        self._other_forms()
        key = serialization.load_pem_private_key(self.client.read_bytes(), None)
        lock = serialization.BestAvailableEncryption(b"passphrase")
        locked = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        self.locked_key = self._file("locked.pem", locked)
        self.open_key = self._file("open.pem", self.client.read_bytes(), 0o644)

    def _other_forms(self) -> None:
        """The CA certificate in what is no CA file."""
        certificate = self.authority.certificate
        pem = pem_of(certificate)
        lock = serialization.BestAvailableEncryption(b"secret")
        request = x509.CertificateSigningRequestBuilder().subject_name(name_of("shop"))
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        encoding = serialization.Encoding
        contents = {
            "der": certificate.public_bytes(encoding.DER),
            "pkcs7": pkcs7.serialize_certificates([certificate], encoding.PEM),
            "pkcs12": pkcs12.serialize_key_and_certificates(b"ca", None, None, [certificate], lock),
            "utf16": pem.decode("ascii").encode("utf-16"),
            "private_key": pem_of_key(self.authority.key),
            "public_key": self.authority.key.public_key().public_bytes(encoding.PEM, public),
            "request": request.sign(self.authority.key, hashes.SHA256()).public_bytes(encoding.PEM),
            "cut_off": pem[: len(pem) // 2],
            "no_header": b"\n".join(pem.splitlines()[1:-1]),
            "quoted": b'"' + pem.rstrip() + b'"\n',
            "escaped": pem.replace(b"\n", b"\\n"),
            "too_large": b" " * (4 * 1024 * 1024 + 1),
            "leaf": pem_of(x509.load_pem_x509_certificate(self.good.read_bytes())),
        }
        for name, content in contents.items():
            self._file(f"ca-{name}.crt", content)
        self.self_signed = self_signed(self.folder, "self-signed")

    def _file(self, name: str, content: bytes, mode: int = 0o600) -> str:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)


@dataclass
class Fault:
    """One row. `endpoint`: what differs from the right endpoint; a str value in {} is a field of Files."""

    name: str
    code: str
    neighbour: str
    behaviour: Behaviour | None = None
    endpoint: dict[str, Any] = field(default_factory=dict)
    timeout: float = PATIENT
    # What cause and cure together have to say.
    says: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)
    password_messages: int = 0
    connections: int = 1
    # Seconds that this machine's clock is ahead of the controller's.
    skew: float | None = None
    # Nobody answers: the queue of the listening socket is full, and the kernel drops what comes.
    filtered: bool = False


FILES: Files


def prepare(folder: Path) -> Files:
    """Make the files that the behaviours below read when a client connects."""
    global FILES
    FILES = Files(folder)
    return FILES


def speaks_old_tls() -> bool:
    """Whether this OpenSSL still makes a server with nothing newer than TLS 1.1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            old_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        except (ssl.SSLError, ValueError):
            return False
    return ssl.HAS_TLSv1_1


# Servers


def silent(peer: Peer) -> None:
    peer.hang()


def silent_after_ssl_request(peer: Peer) -> None:
    peer.ssl_request()
    peer.hang()


def closes_at_once(peer: Peer) -> None:
    pass


def resets_at_once(peer: Peer) -> None:
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resets_after_ssl_request(peer: Peer) -> None:
    peer.ssl_request()
    resets_at_once(peer)


def closes_after_ssl_request(peer: Peer) -> None:
    peer.ssl_request()


def answers(reply: bytes, then: bytes = b"") -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.ssl_request()
        peer.write(reply)
        if then:
            peer.read(5)
            peer.write(then)
        peer.hang()

    return behaviour


def greets(banner: bytes) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.write(banner)
        peer.hang()

    return behaviour


def greets_slowly(peer: Peer) -> None:
    peer.write(b"S")
    time.sleep(0.2)
    peer.write(b"SH-2.0-OpenSSH_9.2\r\n")
    peer.hang()


def closes_in_handshake(peer: Peer) -> None:
    peer.ssl_request()
    peer.write(b"S")
    peer.read(5)


def hangs_in_handshake(peer: Peer) -> None:
    peer.ssl_request()
    peer.write(b"S")
    peer.hang()


def speaks_tls_at_once(protocol: str = "", *, alert: bool = False) -> Behaviour:
    """A server that expects TLS at once, and closes on anything else, with or without an alert."""

    def behaviour(peer: Peer) -> None:
        if peer.sock.recv(1, socket.MSG_PEEK) != b"\x16":
            peer.ssl_request()
            peer.write(b"\x15\x03\x01\0\x02\x02\x46" if alert else b"")
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(FILES.good)
        if protocol:
            context.set_alpn_protocols([protocol])
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        peer.hang()

    return behaviour


def garbage_for_tls(peer: Peer) -> None:
    peer.ssl_request()
    peer.write(b"S")
    peer.read(5)
    peer.write(b"\xff" * 64)
    peer.hang()


def plain_error(peer: Peer) -> None:
    peer.ssl_request()
    peer.error("08C00", "server requires encryption")
    peer.hang()


def shows(certificate: str, **settings: str) -> Behaviour:
    """TLS with a certificate of Files; whoever accepts it is let in."""

    def behaviour(peer: Peer) -> None:
        given = {key: getattr(FILES, value).path for key, value in settings.items() if value != "yes"}
        peer.tls(getattr(FILES, certificate), **{**settings, **given})
        peer.startup()
        peer.scram(PASSWORD)
        finish(peer)

    return behaviour


def finish(peer: Peer) -> None:
    peer.let_in()
    peer.ready()
    peer.query()
    peer.row(USER, DATABASE, VERSION)
    peer.hang()


def hangs_after_startup(peer: Peer) -> None:
    peer.tls(FILES.good)
    peer.startup()
    peer.hang()


def closes_after_startup(peer: Peer) -> None:
    peer.tls(FILES.good)
    peer.startup()


def sends_after_startup(data: bytes, *, hang: bool = True) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        peer.write(data)
        if hang:
            peer.hang()

    return behaviour


def sends_without_end(message: bytes) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        while True:
            peer.write(message * 100)

    return behaviour


def drips(peer: Peer) -> None:
    peer.tls(FILES.good)
    peer.startup()
    for byte in b"R\x00\x00\x10\x00" + bytes(4096):
        peer.write(bytes([byte]))
        time.sleep(0.05)


def refuses_startup(code: str, message: str, **fields: str) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        peer.error(code, message, **fields)

    return behaviour


def asks(kind: int, rest: bytes = b"") -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        peer.message(b"R", struct.pack("!I", kind) + rest)
        peer.hang()

    return behaviour


def scram(password: str = PASSWORD, **settings: Any) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        peer.scram(password, **settings)
        finish(peer)

    return behaviour


def hangs_in_login(peer: Peer) -> None:
    peer.tls(FILES.good)
    peer.startup()
    peer.message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")
    peer.hang()


def closes_in_login(peer: Peer) -> None:
    peer.tls(FILES.good)
    peer.startup()
    peer.message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")
    peer.password_message()


def cleartext_refused(peer: Peer) -> None:
    peer.tls(FILES.good)
    peer.startup()
    peer.message(b"R", struct.pack("!I", 3))
    told = peer.password_message().rstrip(b"\0").decode()
    peer.error("28P01", f"password authentication failed for user {USER}: you said {told}\x1b[31m")


def refuses_login(code: str, message: str, **fields: str) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        peer.message(b"R", struct.pack("!I", 3))
        peer.password_message()
        peer.error(code, message, **fields)

    return behaviour


def refuses_session(code: str, message: str, **fields: str) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        peer.scram(PASSWORD)
        peer.let_in()
        peer.error(code, message, **fields)

    return behaviour


def after_login(then: str) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        peer.scram(PASSWORD)
        peer.let_in()
        if then == "hang":
            peer.hang()
        if then == "close":
            return
        peer.ready()
        if then == "close in query":
            peer.query()
            return
        if then == "hang in query":
            peer.query()
            peer.hang()
        if then == "error":
            peer.query()
            peer.error("XX000", "internal error: nil pointer", severity="ERROR")
            peer.message(b"Z", b"I")
        if then == "no row":
            peer.query()
            peer.row()
        if then == "short row":
            peer.query()
            peer.message(b"T", b"\0\3")
            peer.message(b"D", b"\0\3\0\0\0\x7fshort")
        peer.hang()

    return behaviour


def in_query(then: Callable[[Peer], None]) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(FILES.good)
        peer.startup()
        peer.scram(PASSWORD)
        peer.let_in()
        peer.ready()
        peer.query()
        then(peer)
        peer.hang()

    return behaviour


def fails_in_query(code: str, message: str, **fields: str) -> Behaviour:
    return in_query(lambda peer: peer.error(code, message, severity="ERROR", **fields))


def sends_in_query(data: bytes) -> Behaviour:
    return in_query(lambda peer: peer.write(data))


PROXY = "08C00"
REFUSED = "codeProxyRefusedConnection: "
ROUTING = "codeParamsRoutingFailed: "
SCRAM_TWICE = {"password_messages": 2}


def repeats_the_token(peer: Peer) -> None:
    peer.tls(FILES.good)
    peer.startup()
    peer.message(b"R", struct.pack("!I", 3))
    told = peer.password_message().rstrip(b"\0").decode()
    detail = f"token parsing failed: {told} and {told.rpartition('.')[2]}"
    peer.error("28000", "JWT authentication: invalid token", D=detail)


def refused_token(text: str, detail: str = "", code: str = "28000") -> Behaviour:
    """What CockroachDB says about a token: pkg/ccl/jwtauthccl/authentication_jwt.go."""
    return refuses_login(code, f"JWT authentication: {text}", **({"D": detail} if detail else {}))


VALID = by_token(jwt=token(exp=NOW.timestamp() + 3600, nbf=NOW.timestamp() - 60))

TOKENS = [
    # Found before the network is used: nobody listens on the port.
    Fault(
        "token file missing",
        "jwt_file_missing",
        "jwt_empty",
        None,
        by_token(jwt_file="{folder}/none.jwt"),
        says=("none.jwt", "crdb_connection_jwt_file"),
        connections=0,
    ),
    Fault(
        "token file is a folder",
        "jwt_file_unreadable",
        "jwt_file_missing",
        None,
        by_token(jwt_file="{folder}"),
        says=("it is not a regular file",),
    ),
    Fault("token file empty", "jwt_empty", "jwt_file_missing", None, by_token(jwt_file="{empty}"), says=("empty.crt",)),
    Fault(
        "token file is a web page",
        "jwt_malformed",
        "jwt_empty",
        None,
        by_token(jwt_file="{web_page}"),
        says=("page.crt", "three parts"),
    ),
    Fault(
        "token without a signature",
        "jwt_malformed",
        "jwt_expired",
        None,
        by_token(jwt=token().rpartition(".")[0]),
        says=("the token itself",),
    ),
    Fault(
        "token with the word Bearer",
        "jwt_malformed",
        "jwt_expired",
        None,
        by_command(f"echo Bearer {token()}"),
        says=("the command /bin/sh", "the word Bearer"),
    ),
    Fault(
        "token with a date that cannot be read",
        "jwt_malformed",
        "jwt_expired",
        None,
        by_token(jwt=token(exp="tomorrow")),
    ),
    Fault(
        "token expired",
        "jwt_expired",
        "jwt_not_yet_valid",
        None,
        by_token(jwt=token(exp=1700000000)),
        says=("expired at 2023-11-14T22:13:20Z",),
        evidence={
            "token": {
                "subject": USER,
                "audience": "shop",
                "issuer": "https://issuer.test",
                "expires": "2023-11-14T22:13:20Z",
            }
        },
    ),
    Fault(
        "token not yet valid",
        "jwt_not_yet_valid",
        "jwt_expired",
        None,
        by_token(jwt=token(nbf=4102444800)),
        says=("valid from 2100-01-01T00:00:00Z",),
    ),
    Fault(
        "token command fails",
        "jwt_command_failed",
        "jwt_empty",
        None,
        by_command(f"echo no session for {token()} >&2; exit 3"),
        says=("it ended with 3 (no session for ********)", "crdb_connection_jwt_command"),
    ),
    Fault(
        "token command missing",
        "jwt_command_failed",
        "jwt_file_missing",
        None,
        by_token(jwt_command=["/no/such/program"]),
        says=("/no/such/program", "it cannot be started"),
    ),
    Fault(
        "token command does not end",
        "jwt_command_failed",
        "server_hang_auth",
        None,
        by_command("sleep 60 & sleep 60"),
        timeout=HANG,
        says=("it did not end in time",),
    ),
    Fault("token command prints nothing", "jwt_empty", "jwt_command_failed", None, by_command("true")),
    # Said by the server, once.
    Fault(
        "tokens switched off",
        "jwt_disabled",
        "jwt_refused",
        refused_token("not enabled"),
        VALID,
        says=("accepts none", "server.jwt_authentication.enabled = true"),
        password_messages=1,
    ),
    Fault(
        "tokens without the licensed features",
        "jwt_unsupported",
        "jwt_disabled",
        refuses_login("28000", "JWT token authentication requires CCL features"),
        VALID,
        password_messages=1,
    ),
    Fault(
        "tokens not known, as PostgreSQL says it",
        "jwt_unsupported",
        "startup_option_refused",
        refuses_startup("42704", 'unrecognized configuration parameter "crdb:jwt_auth_enabled"'),
        VALID,
        says=("does not know tokens",),
    ),
    Fault(
        "token of another issuer",
        "jwt_wrong_issuer",
        "jwt_wrong_audience",
        refused_token("invalid issuer", "token issued by https://issuer.test"),
        VALID,
        says=("token issued by https://issuer.test", "issuers.configuration"),
        password_messages=1,
    ),
    Fault(
        "token of a key that the server does not have",
        "jwt_wrong_key",
        "jwt_expired",
        refused_token(
            "invalid token",
            'unable to parse token: key provider 0 failed: failed to find key with key ID "test" in key set',
        ),
        VALID,
        says=("server.jwt_authentication.jwks",),
        password_messages=1,
    ),
    Fault(
        "token with a forged signature",
        "jwt_wrong_key",
        "jwt_malformed",
        refused_token(
            "invalid token", "unable to parse token: could not verify message using any of the signatures or keys"
        ),
        VALID,
        password_messages=1,
    ),
    Fault(
        "token for another audience",
        "jwt_wrong_audience",
        "jwt_wrong_issuer",
        refused_token("invalid audience", "token issued with an audience of [shop]"),
        VALID,
        says=("for another audience (shop)", "server.jwt_authentication.audience"),
        password_messages=1,
    ),
    Fault(
        "token of another user",
        "jwt_wrong_user",
        "identity_not_mapped",
        refused_token("invalid principal", f"token issued for [petra] and login was for {USER}"),
        by_token(jwt=token(sub="petra")),
        says=(f"another user than {USER} (petra)", "server.identity_map.configuration"),
        password_messages=1,
    ),
    Fault(
        "token for a reserved user",
        "jwt_wrong_user",
        "jwt_refused",
        refused_token("invalid identity", "cannot use JWT auth to login to a reserved user root"),
        VALID,
        says=("reserved user root",),
        password_messages=1,
    ),
    Fault(
        "token without the claim",
        "jwt_wrong_user",
        "jwt_refused",
        refused_token("missing claim", "token does not contain a claim for email"),
        VALID,
        says=("a claim for email",),
        password_messages=1,
    ),
    Fault(
        "token expired by the server's clock",
        "jwt_expired",
        "jwt_wrong_key",
        refused_token("invalid token", 'unable to parse token: "exp" not satisfied'),
        VALID,
        says=('"exp" not satisfied',),
        password_messages=1,
    ),
    Fault(
        "token not yet valid by the server's clock",
        "jwt_not_yet_valid",
        "jwt_expired",
        refused_token("invalid token", 'unable to parse token: "nbf" not satisfied'),
        VALID,
        password_messages=1,
    ),
    Fault(
        "token that the server cannot read, and repeats",
        "jwt_malformed",
        "jwt_refused",
        repeats_the_token,
        VALID,
        says=("token parsing failed: ******** and ********",),
        password_messages=1,
    ),
]


FAULTS = [
    # dns; the rest in test_networks.py
    Fault("no name", "host_invalid", "dns_not_found", None, {"host": "db..test"}, connections=0),
    # tcp and what listens
    Fault("refused by tcp", "tcp_refused", "not_in_allowlist", says=("127.0.0.1",), connections=0),
    Fault(
        "filtered, serverless",
        "tcp_timeout",
        "server_hang_sslrequest",
        timeout=1.0,
        says=("outgoing",),
        connections=0,
        filtered=True,
    ),
    Fault(
        "filtered, dedicated",
        "tcp_timeout",
        "tcp_refused",
        endpoint={"deployment": "dedicated"},
        timeout=1.0,
        says=("IP allowlist",),
        connections=0,
        filtered=True,
    ),
    Fault("silence after accept", "server_hang_sslrequest", "tcp_timeout", silent, timeout=HANG),
    Fault(
        "silence after SSLRequest",
        "server_hang_sslrequest",
        "server_hang_handshake",
        silent_after_ssl_request,
        timeout=HANG,
    ),
    Fault(
        "closes at once",
        "closed_without_a_word",
        "tcp_refused",
        closes_at_once,
        says=("request for TLS",),
        connections=2,
    ),
    Fault("resets at once", "closed_without_a_word", "tcp_refused", resets_at_once, connections=2),
    Fault(
        "resets after SSLRequest",
        "closed_without_a_word",
        "network_lost",
        resets_after_ssl_request,
        says=("TLS",),
        connections=2,
    ),
    Fault(
        "closes after SSLRequest", "closed_without_a_word", "not_postgresql", closes_after_ssl_request, connections=2
    ),
    Fault("N to SSLRequest", "tls_not_offered", "not_postgresql", answers(b"N")),
    Fault("HTTP", "not_postgresql", "tls_not_offered", answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"), says=("HTTP",)),
    Fault("SSH", "not_postgresql", "tls_failed", greets(b"SSH-2.0-OpenSSH_9.2\r\n"), says=("SSH",)),
    Fault("SSH, first byte alone", "not_postgresql", "tls_failed", greets_slowly, says=("SSH",)),
    Fault("SMTP", "not_postgresql", "reply_malformed", greets(b"220 mail.test ESMTP\r\n"), says=("mail",)),
    Fault("MySQL", "not_postgresql", "reply_malformed", greets(b"J\0\0\0\x0a8.0.36\0"), says=("MySQL",)),
    Fault(
        "TLS alert, and no TLS after it",
        "not_postgresql",
        "tls_failed",
        answers(b"\x15\x03\x01\0\x02\x02\x46"),
        says=("TLS",),
        connections=2,
    ),
    Fault(
        "TLS from the first byte, with an alert",
        "tls_from_the_start",
        "not_postgresql",
        speaks_tls_at_once(alert=True),
        says=("from the first byte", "a web server, the DB Console or a TLS tunnel"),
        connections=2,
    ),
    Fault(
        "TLS from the first byte, a web server",
        "tls_from_the_start",
        "closed_without_a_word",
        speaks_tls_at_once("http/1.1"),
        says=("as a web server or the DB Console does", "8080"),
        connections=2,
    ),
    Fault(
        "TLS from the first byte, PostgreSQL asked directly",
        "tls_from_the_start",
        "closed_without_a_word",
        speaks_tls_at_once("postgresql"),
        says=("sslnegotiation=direct",),
        connections=2,
    ),
    Fault(
        "sign-in page of a network",
        "captive_portal",
        "not_postgresql",
        answers(b"HTTP/1.1 302 Found\r\nServer: gate\r\nLocation: http://login.hotel.test/?x=1\r\n\r\n"),
        says=("http://login.hotel.test/?x=1", "sign in"),
    ),
    Fault(
        "redirect of the server itself",
        "not_postgresql",
        "captive_portal",
        answers(b"HTTP/1.1 301 Moved\r\nLocation: https://localhost/\r\n\r\n"),
        says=("HTTP",),
    ),
    Fault("unknown first byte", "not_postgresql", "tls_not_offered", answers(b"\x00\x01\x02")),
    Fault("E that is no error", "not_postgresql", "server_error", answers(b"EHLO")),
    Fault("data in clear after S", "tls_plaintext_injected", "not_postgresql", answers(b"SR\0\0\0\x08\0\0\0\0")),
    Fault("error in clear", "server_requires_encryption", "tls_not_offered", plain_error),
    # tls
    Fault("hangs in handshake", "server_hang_handshake", "server_hang_sslrequest", hangs_in_handshake, timeout=HANG),
    Fault("closes in handshake", "closed_without_a_word", "tls_failed", closes_in_handshake, says=("TLS handshake",)),
    Fault("garbage for TLS", "tls_failed", "tls_too_old", garbage_for_tls),
    Fault("unknown CA", "tls_unknown_ca", "tls_wrong_host", shows("by_stranger"), says=("Test-CA.crt",), connections=2),
    Fault(
        "unknown CA, nothing but TLS 1.3",
        "tls_unknown_ca",
        "tls_too_old",
        shows("by_stranger", new="yes"),
        says=("CN=Stranger CA", "CN=Test CA"),
        connections=3,
    ),
    Fault(
        "unknown CA, a client certificate asked",
        "tls_unknown_ca",
        "client_cert_required",
        shows("by_stranger", client_ca="authority"),
        says=("CN=Stranger CA", "CN=Test CA"),
        connections=2,
    ),
    Fault(
        "handshake refused",
        "tls_handshake_refused",
        "tls_failed",
        answers(b"S", b"\x15\x03\x03\0\x02\x02\x28"),
    ),
    Fault(
        "public roots only",
        "tls_not_public",
        "ca_missing",
        shows("good"),
        {"ca_file": "public"},
        says=("public roots",),
        connections=2,
    ),
    Fault(
        "public roots only, self-hosted",
        "tls_not_public",
        "tls_unknown_ca",
        shows("good"),
        {"ca_file": "public", "deployment": "self_hosted"},
        says=("public roots", "sslrootcert in the connection string"),
        connections=2,
    ),
    Fault(
        "another host's certificate",
        "tls_wrong_host",
        "tls_unknown_ca",
        shows("other_host"),
        says=("db.other.test",),
        connections=2,
    ),
    Fault(
        "another address's certificate",
        "tls_wrong_host",
        "tls_unknown_ca",
        shows("other_address"),
        {"host": "127.0.0.1"},
        says=("192.0.2.1",),
        connections=2,
    ),
    Fault(
        "expired",
        "tls_expired",
        "ca_expired",
        shows("expired"),
        says=((NOW - 3 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ"), "clock"),
        connections=2,
    ),
    Fault(
        "not yet valid",
        "tls_not_yet_valid",
        "tls_expired",
        shows("future"),
        says=((NOW + 2 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ"), "clock"),
        connections=2,
    ),
    Fault(
        "CA expired",
        "ca_expired",
        "tls_expired",
        shows("by_old"),
        {"ca_file": "{old_authority.path}"},
        says=("CN=Old CA", (NOW - 30 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ"), "Old-CA.crt"),
        connections=2,
    ),
    Fault(
        "CA not yet valid",
        "ca_not_yet_valid",
        "tls_not_yet_valid",
        shows("by_next"),
        {"ca_file": "{next_authority.path}"},
        says=("CN=Next CA", (NOW + 5 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")),
        connections=2,
    ),
    Fault(
        "CA of another cluster",
        "ca_other_cluster",
        "tls_unknown_ca",
        shows("by_namesake"),
        says=("CN=Test CA", "another key"),
        connections=2,
    ),
    Fault(
        "CA of another cluster, sent along",
        "ca_other_cluster",
        "tls_missing_intermediate",
        shows("by_namesake_with_root"),
        connections=2,
    ),
    Fault(
        "missing intermediate",
        "tls_missing_intermediate",
        "tls_unknown_ca",
        shows("by_middle_alone"),
        {"ca_file": "{root.path}"},
        says=("O=Shop Inc, CN=Shop Middle", "Shop-Root.crt"),
        connections=2,
    ),
    Fault(
        "unknown CA, above an intermediate that is sent",
        "tls_unknown_ca",
        "tls_missing_intermediate",
        shows("by_middle_linked"),
        says=("CN=Shop Root", "CN=Test CA"),
        connections=2,
    ),
    Fault(
        "unknown CA, of the same organization",
        "tls_unknown_ca",
        "tls_missing_intermediate",
        shows("by_other_root"),
        {"ca_file": "{root.path}"},
        says=("CN=Shop Other Root", "CN=Shop Root"),
        connections=2,
    ),
    Fault(
        "missing intermediate, another in its place",
        "tls_missing_intermediate",
        "ca_other_cluster",
        shows("by_middle_mixed_up"),
        says=("CN=Shop Middle",),
        connections=2,
    ),
    Fault(
        "CA file without its root",
        "ca_incomplete",
        "tls_missing_intermediate",
        shows("by_middle"),
        {"ca_file": "{middle.path}"},
        says=("O=Shop Inc, CN=Shop Middle", "Shop-Middle.crt"),
        connections=2,
    ),
    Fault(
        "intermediate expired",
        "tls_chain_expired",
        "ca_expired",
        shows("by_old_middle"),
        {"ca_file": "{root.path}"},
        says=("CN=Shop Old Middle", (NOW - 10 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")),
        connections=2,
    ),
    Fault(
        "intermediate not yet valid",
        "tls_chain_not_yet_valid",
        "ca_not_yet_valid",
        shows("by_next_middle"),
        {"ca_file": "{root.path}"},
        says=("CN=Shop Next Middle",),
        connections=2,
    ),
    Fault("weak key", "tls_weak_certificate", "tls_certificate_refused", shows("weak", weak="yes"), connections=2),
    Fault(
        "this machine's clock is ahead",
        "clock_ahead",
        "tls_expired",
        shows("expired"),
        skew=4 * 86400.0,
        says=((NOW - 3 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ"), "CN=expired"),
        connections=2,
    ),
    Fault(
        "this machine's clock is behind",
        "clock_behind",
        "tls_not_yet_valid",
        shows("future"),
        skew=-3 * 86400.0,
        says=((NOW + 2 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ"), "CN=future"),
        connections=2,
    ),
    Fault(
        "expired by both clocks",
        "tls_expired",
        "clock_ahead",
        shows("expired"),
        skew=3600.0,
        connections=2,
    ),
    Fault(
        "this machine's clock is ahead, for the CA",
        "clock_ahead",
        "ca_expired",
        shows("by_old"),
        {"ca_file": "{old_authority.path}"},
        skew=35 * 86400.0,
        says=("CN=Old CA",),
        connections=2,
    ),
    Fault("certificate for clients", "tls_certificate_refused", "tls_unknown_ca", shows("for_clients"), connections=2),
    Fault("TLS 1.1", "tls_too_old", "tls_handshake_refused", shows("good", old="yes")),
    Fault(
        "client certificate asked", "client_cert_required", "client_cert_refused", shows("good", client_ca="authority")
    ),
    Fault(
        "client certificate refused: for servers",
        "client_cert_refused",
        "client_cert_other_ca",
        shows("good", client_ca="authority"),
        {"sslcert": "{good}", "sslkey": "{good}"},
        says=("good.pem", "clientAuth"),
    ),
    Fault(
        "client certificate of another CA",
        "client_cert_other_ca",
        "client_cert_refused",
        shows("good", client_ca="authority"),
        {"sslcert": "{client_of_stranger}", "sslkey": "{client_of_stranger}"},
        says=("stray-client.pem", "CN="),
    ),
    Fault(
        "client certificate of another CA, on an Advanced cluster",
        "client_cert_other_ca",
        "client_cert_refused",
        shows("good", client_ca="authority"),
        {"sslcert": "{client_of_stranger}", "sslkey": "{client_of_stranger}", "deployment": "dedicated"},
        says=("stray-client.pem", "playbooks/cluster_client_ca.yml"),
    ),
    Fault(
        "client certificate expired",
        "client_cert_expired",
        "client_cert_other_ca",
        shows("good", client_ca="authority"),
        {"sslcert": "{client_of_past}", "sslkey": "{client_of_past}"},
        says=("past-client.pem", "playbooks/app_servers.yml"),
    ),
    Fault(
        "client certificate not yet valid",
        "client_cert_not_yet_valid",
        "client_cert_expired",
        shows("good", client_ca="authority"),
        {"sslcert": "{client_of_future}", "sslkey": "{client_of_future}"},
        says=("future-client.pem", "clock"),
    ),
    # local files; the server is never asked for TLS
    Fault("no CA file", "ca_missing", "ca_unreadable", silent, {"ca_file": "{folder}/none.crt"}, says=("none.crt",)),
    Fault("CA is a folder", "ca_unreadable", "ca_missing", silent, {"ca_file": "{folder}"}),
    Fault("CA is empty", "ca_empty", "ca_not_pem", silent, {"ca_file": "{empty}"}),
    Fault("CA is a web page", "ca_web_page", "ca_not_pem", silent, {"ca_file": "{web_page}"}, says=("web page",)),
    *(
        Fault(
            f"CA is another form: {kind}",
            f"ca_{kind}",
            "ca_not_pem",
            silent,
            {"ca_file": f"{{folder}}/ca-{kind}.crt"},
            says=says,
        )
        for kind, says in (
            ("der", ("DER form", "openssl x509 -inform der -in")),
            ("pkcs7", ("PKCS#7", "openssl pkcs7 -inform pem -in")),
            ("pkcs12", ("PKCS#12", "openssl pkcs12 -in")),
            ("utf16", ("UTF-16", "iconv -f UTF-16 -t UTF-8")),
            ("private_key", ("holds a private key", "create-ca")),
            ("public_key", ("holds a public key",)),
            ("request", ("certificate request",)),
            ("cut_off", ("is cut off", "copy the CA certificate again")),
            ("no_header", ("base64", "openssl x509")),
            ("quoted", ("quotes", "sed ")),
            ("escaped", ("two characters", "printf ")),
            ("too_large", ("4 MiB",)),
        )
    ),
    Fault(
        "CA is the server's own certificate",
        "ca_leaf",
        "ca_incomplete",
        shows("good"),
        {"ca_file": "{folder}/ca-leaf.crt"},
        says=("signed by CN=Test CA", "holds no CA"),
        connections=2,
    ),
    Fault(
        "self-signed certificate",
        "tls_self_signed",
        "tls_unknown_ca",
        shows("self_signed"),
        says=("self-signed certificate, CN=localhost", "intercepts TLS"),
        connections=2,
    ),
    Fault("CA is broken PEM", "ca_damaged", "ca_not_pem", silent, {"ca_file": "{broken_pem}"}),
    Fault("CA text is no PEM", "ca_not_pem", "ca_empty", silent, {"ca_text": "hello"}),
    Fault(
        "no client certificate file",
        "client_cert_missing",
        "client_key_missing",
        silent,
        {"sslcert": "{folder}/no.pem"},
    ),
    Fault(
        "no client key file",
        "client_key_missing",
        "client_cert_missing",
        silent,
        {"sslcert": "{client}", "sslkey": "{folder}/no.key"},
    ),
    Fault(
        "client certificate is a folder",
        "client_cert_unreadable",
        "client_cert_missing",
        silent,
        {"sslcert": "{folder}", "sslkey": "{client}"},
    ),
    Fault(
        "client key is a folder",
        "client_key_unreadable",
        "client_key_missing",
        silent,
        {"sslcert": "{client}", "sslkey": "{folder}"},
    ),
    Fault(
        "client key too open",
        "client_key_too_open",
        "client_key_unreadable",
        silent,
        {"sslcert": "{client}", "sslkey": "{open_key}"},
        says=("chmod 0600",),
    ),
    Fault(
        "client key with a passphrase",
        "client_key_encrypted",
        "client_cert_unusable",
        silent,
        {"sslcert": "{client}", "sslkey": "{locked_key}"},
        says=("locked.pem",),
    ),
    Fault(
        "client key of another",
        "client_key_mismatch",
        "client_cert_unusable",
        silent,
        {"sslcert": "{client}", "sslkey": "{client_of_stranger}"},
    ),
    Fault(
        "client certificate is no PEM",
        "client_cert_unusable",
        "client_key_mismatch",
        silent,
        {"sslcert": "{web_page}", "sslkey": "{client}"},
    ),
    # route: the proxy's own errors
    Fault("hangs after start-up", "server_hang_startup", "server_hang_auth", hangs_after_startup, timeout=HANG),
    Fault("closes after start-up", "closed_in_session", "reply_truncated", closes_after_startup, says=("start-up",)),
    Fault(
        "not in the allowlist",
        "not_in_allowlist",
        "throttled",
        refuses_startup(PROXY, REFUSED + "connection refused"),
        {"routing_id": "funky-skunk-123"},
        says=("allowlist", "funky-skunk-123"),
        evidence={"sqlstate": PROXY, "server_message": REFUSED + "connection refused"},
    ),
    Fault(
        "not in the allowlist, old state",
        "not_in_allowlist",
        "tcp_refused",
        refuses_startup("08004", REFUSED + "connection refused"),
    ),
    Fault(
        "throttled",
        "throttled",
        "not_in_allowlist",
        refuses_startup(PROXY, REFUSED + "too many failed authentication attempts", H="Check user and password."),
        says=("an hour",),
    ),
    Fault(
        "throttled, old text",
        "throttled",
        "proxy_refused",
        refuses_startup("08004", REFUSED + "connection attempt throttled"),
    ),
    Fault(
        "refused for another reason",
        "proxy_refused",
        "not_in_allowlist",
        refuses_startup(PROXY, REFUSED + "moon phase", H="Wait for the next one."),
        says=("moon phase", "Wait for the next one"),
    ),
    Fault(
        "no identifier",
        "missing_cluster_identifier",
        "invalid_cluster_identifier",
        refuses_startup(PROXY, ROUTING + "missing cluster identifier", H="long\ntext\n--\nmore"),
    ),
    Fault(
        "no identifier, old text",
        "missing_cluster_identifier",
        "unknown_cluster",
        refuses_startup("08004", ROUTING + "missing cluster name in connection string"),
    ),
    Fault(
        "malformed identifier",
        "invalid_cluster_identifier",
        "missing_cluster_identifier",
        refuses_startup(PROXY, ROUTING + "invalid cluster identifier 'short-0'"),
        {"options": "--cluster=short-0"},
        says=("'short-0'",),
    ),
    Fault(
        "two identifiers",
        "conflicting_cluster_identifiers",
        "multiple_cluster_flags",
        refuses_startup(PROXY, ROUTING + "multiple different cluster identifiers provided"),
        {"options": "--cluster=happy-tiger-2", "database": "happy-koala-7.defaultdb"},
        says=("happy-tiger-2", "happy-koala-7"),
    ),
    Fault(
        "two flags",
        "multiple_cluster_flags",
        "conflicting_cluster_identifiers",
        refuses_startup(PROXY, ROUTING + "multiple cluster flags provided"),
    ),
    Fault(
        "empty flag",
        "invalid_cluster_flag",
        "invalid_cluster_identifier",
        refuses_startup(PROXY, ROUTING + "invalid cluster flag"),
    ),
    Fault(
        "dotted database",
        "invalid_database_name",
        "database_missing",
        refuses_startup(PROXY, ROUTING + "invalid database param"),
        {"database": "a.b.c"},
        says=("a.b.c",),
    ),
    Fault(
        "unknown cluster",
        "unknown_cluster",
        "database_missing",
        refuses_startup(PROXY, ROUTING + "cluster happy-koala-7 not found"),
        {"routing_id": "happy-koala-7"},
        says=("happy-koala-7",),
    ),
    Fault(
        "unknown cluster, old text",
        "unknown_cluster",
        "routing_failed",
        refuses_startup("08004", "CodeParamsRoutingFailed: rejected by BackendConfigFromParams: Invalid cluster name"),
    ),
    Fault("routing, other text", "routing_failed", "unknown_cluster", refuses_startup(PROXY, ROUTING + "who knows")),
    Fault(
        "backend unreachable",
        "backend_unreachable",
        "server_unavailable",
        refuses_startup(PROXY, "codeBackendDialFailed: unable to reach backend SQL server: dial tcp: i/o timeout"),
    ),
    Fault(
        "backend unreachable, old text",
        "backend_unreachable",
        "proxy_internal_error",
        refuses_startup("08004", "codeBackendDown: unable to reach backend SQL server"),
    ),
    Fault(
        "cluster unavailable",
        "server_unavailable",
        "backend_unreachable",
        refuses_startup(PROXY, "codeUnavailable: no pods are ready"),
    ),
    Fault(
        "cluster at its limit",
        "cluster_at_limit",
        "server_unavailable",
        refuses_startup(PROXY, "codeUnavailable: cluster is disabled"),
        {"routing_id": "happy-koala-7"},
        says=("happy-koala-7",),
    ),
    Fault(
        "cluster paused",
        "cluster_paused",
        "cluster_at_limit",
        refuses_startup(PROXY, "codeUnavailable: cluster is paused"),
    ),
    Fault(
        "internal error", "proxy_internal_error", "proxy_unexplained", refuses_startup(PROXY, "internal server error")
    ),
    Fault("empty error", "proxy_unexplained", "proxy_internal_error", refuses_startup(PROXY, "")),
    Fault(
        "requires encryption",
        "server_requires_encryption",
        "hba_refused",
        refuses_startup(PROXY, "server requires encryption"),
    ),
    Fault(
        "hba",
        "hba_refused",
        "login_denied",
        refuses_startup("28000", 'no pg_hba.conf entry for host "127.0.0.1", user "maxroach", database "defaultdb"'),
    ),
    Fault(
        "cluster option refused",
        "startup_cluster_refused",
        "startup_option_refused",
        refuses_startup("42704", 'unrecognized configuration parameter "cluster"'),
        {"deployment": "dedicated", "options": "--cluster=funky-skunk-123"},
        says=("--cluster",),
    ),
    Fault(
        "another option refused",
        "startup_option_refused",
        "startup_cluster_refused",
        refuses_session("42704", 'unrecognized configuration parameter "nosuch"'),
        {"options": "-c nosuch=1"},
        says=("option nosuch", "Correct nosuch in the options of shop (-c nosuch=1)"),
        **SCRAM_TWICE,
    ),
    Fault(
        "value of an option refused",
        "startup_option_refused",
        "server_error",
        refuses_session("22023", 'invalid value for parameter "statement_timeout": "abc"'),
        {"options": "-c statement_timeout=abc"},
        says=("statement_timeout",),
        **SCRAM_TWICE,
    ),
    Fault(
        "another virtual cluster",
        "tenant_unavailable",
        "unknown_cluster",
        refuses_startup("08000", "service unavailable for target tenant (nope)", H='Double check your "-ccluster=".'),
        {"options": "-ccluster=nope"},
        says=("virtual cluster", "target tenant (nope)"),
    ),
    Fault(
        "refused by a rule of CockroachDB",
        "hba_refused",
        "login_refused",
        refuses_startup("28000", "authentication rejected by configuration"),
        says=("authentication rejected by configuration", "server.host_based_authentication.configuration"),
    ),
    Fault(
        "LDAP",
        "ldap_refused",
        "password_rejected",
        refuses_login("28000", "LDAP authentication: unable to bind as LDAP user", D=f"credentials invalid for {USER}"),
        says=("LDAP directory", "unable to bind as LDAP user", f"credentials invalid for {USER}"),
        password_messages=1,
    ),
    Fault(
        "JSON web token",
        "jwt_refused",
        "password_rejected",
        refuses_login("28000", "JWT authentication: invalid token"),
        {"options": "--crdb:jwt_auth_enabled=true"},
        says=("JSON web token", "invalid token"),
        password_messages=1,
    ),
    *TOKENS,
    Fault(
        "identity without a rule",
        "identity_not_mapped",
        "login_refused",
        refuses_login("28000", f'requested user identity "{USER}" does not correspond to any mapping for "cn=max"'),
        says=("server.identity_map.configuration",),
        password_messages=1,
    ),
    Fault(
        "client certificate of another user",
        "client_cert_of_another",
        "client_cert_refused",
        refuses_startup("28000", f'certificate authentication failed for user "{USER}" (DN: )'),
        {"sslcert": "{client}", "sslkey": "{client}"},
        says=("client.pem", f"create-client {USER}"),
    ),
    Fault(
        "client certificate missing, said by the server",
        "client_cert_required",
        "client_cert_of_another",
        refuses_startup("28000", "no TLS peer certificates, but required for auth"),
    ),
    Fault(
        "limit of a role",
        "role_at_limit",
        "too_many_connections",
        refuses_session("53300", f'too many connections for role "{USER}"'),
        says=(f"ALTER ROLE {USER} CONNECTION LIMIT",),
        **SCRAM_TWICE,
    ),
    # a pooler's words; the real one is in test_poolers.py
    Fault(
        "pooler: wrong password or unknown user",
        "pooler_password_rejected",
        "password_rejected",
        refuses_login("08P01", "SASL authentication failed"),
        says=("pooler", "auth_file"),
        password_messages=1,
    ),
    Fault(
        "pooler: its own login is refused",
        "pooler_login_refused",
        "pooler_password_rejected",
        refuses_login("08P01", f'password authentication failed for user "{USER}"'),
        says=("behind it",),
        password_messages=1,
    ),
    Fault(
        "pooler: unknown database",
        "pooler_database_unknown",
        "database_missing",
        refuses_login("08P01", f"no such database: {DATABASE}"),
        says=("pooler", DATABASE),
        password_messages=1,
    ),
    Fault(
        "pooler: the server behind it has no such database",
        "database_missing",
        "pooler_database_unknown",
        refuses_login("08P01", f'database "{DATABASE}" does not exist'),
        password_messages=1,
    ),
    Fault(
        "pooler: the server behind it is down",
        "pooler_server_down",
        "server_error",
        refuses_login("08P01", "query_wait_timeout"),
        says=("behind it", "query_wait_timeout"),
        password_messages=1,
    ),
    Fault(
        "pooler: options",
        "pooler_option_refused",
        "startup_option_refused",
        refuses_startup("08P01", "unsupported startup parameter: options"),
        {"options": "--cluster=funky-skunk-123"},
        says=("start-up parameter options", "ignore_startup_parameters"),
    ),
    Fault(
        "pooler: full",
        "pooler_full",
        "too_many_connections",
        refuses_startup("08P01", "no more connections allowed (max_client_conn)"),
        says=("max_client_conn",),
    ),
    Fault(
        "pooler: its console",
        "pooler_console",
        "connect_denied",
        refuses_startup("08P01", "not allowed"),
        {"database": "pgbouncer"},
        says=("console",),
    ),
    Fault(
        "pooler: refused by a rule",
        "hba_refused",
        "pooler_password_rejected",
        refuses_startup("08P01", "login rejected"),
        says=("auth_hba_file",),
    ),
    Fault(
        "starting", "server_starting", "server_stopping", refuses_startup("57P03", "the database system is starting up")
    ),
    Fault(
        "stopping",
        "server_stopping",
        "server_starting",
        refuses_startup("57P03", "the database system is shutting down"),
    ),
    Fault(
        "draining",
        "server_stopping",
        "server_starting",
        refuses_startup("57P01", "server is not accepting clients, try another node"),
    ),
    Fault(
        "too many connections at start-up",
        "too_many_connections",
        "throttled",
        refuses_startup("53300", "sorry, too many clients already"),
    ),
    # lies
    Fault("garbage after TLS", "reply_bad_length", "tls_failed", sends_after_startup(b"\xde\xad\xbe\xef" * 4)),
    Fault("huge length", "reply_bad_length", "server_hang_startup", sends_after_startup(b"R\x7f\xff\xff\xff")),
    Fault("negative length", "reply_bad_length", "reply_malformed", sends_after_startup(b"R\xff\xff\xff\xff")),
    Fault("short length", "reply_bad_length", "reply_malformed", sends_after_startup(b"R\0\0\0\x03")),
    Fault("empty request", "reply_malformed", "reply_bad_length", sends_after_startup(b"R\0\0\0\x04")),
    Fault("another message", "reply_malformed", "auth_method_unsupported", sends_after_startup(b"Z\0\0\0\x05I")),
    Fault("error without fields", "reply_malformed", "server_error", sends_after_startup(b"E\0\0\0\x05\0")),
    Fault(
        "length beyond the end",
        "reply_truncated",
        "closed_without_a_word",
        sends_after_startup(b"R\0\0\0\x10\0\0", hang=False),
    ),
    Fault(
        "length beyond what comes",
        "server_hang_startup",
        "reply_truncated",
        sends_after_startup(b"R\0\0\0\x10\0\0"),
        timeout=HANG,
    ),
    Fault("byte by byte", "server_hang_startup", "reply_truncated", drips, timeout=HANG),
    Fault("endless notices", "reply_endless", "server_hang_startup", sends_without_end(b"N\0\0\0\x0aSNOTE\0")),
    Fault(
        "endless large notices", "reply_endless", "reply_bad_length", sends_without_end(b"N\0\0\x80\0" + bytes(32764))
    ),
    # auth
    Fault("MD5", "auth_method_unsupported", "password_missing", asks(5, b"salt"), says=("MD5",)),
    Fault("GSSAPI", "auth_method_unsupported", "password_missing", asks(7), says=("GSSAPI",)),
    Fault("SSPI", "auth_method_unsupported", "password_missing", asks(9), says=("SSPI",)),
    Fault("unknown method", "auth_method_unsupported", "reply_malformed", asks(99), says=("number 99",)),
    Fault(
        "only channel binding",
        "auth_method_unsupported",
        "scram_malformed",
        asks(10, b"SCRAM-SHA-256-PLUS\0\0"),
        says=("SCRAM-SHA-256-PLUS",),
    ),
    Fault(
        "password held back",
        "password_held",
        "password_missing",
        asks(10, b"SCRAM-SHA-256\0\0"),
        {"hold_password": True},
    ),
    Fault("no password", "password_missing", "password_rejected", asks(3), {"password": None}),
    Fault("empty password", "password_missing", "password_rejected", asks(10, b"SCRAM-SHA-256\0\0"), {"password": ""}),
    Fault("hangs in login", "server_hang_auth", "server_hang_startup", hangs_in_login, timeout=HANG),
    Fault(
        "closes in login",
        "closed_in_session",
        "password_rejected",
        closes_in_login,
        says=("login",),
        password_messages=1,
    ),
    Fault(
        "wrong password",
        "password_rejected",
        "database_missing",
        scram(password="another"),
        says=(USER,),
        **SCRAM_TWICE,
    ),
    Fault(
        "password encoded twice",
        "password_encoded_twice",
        "password_rejected",
        refuses_login("28P01", "password authentication failed for user x"),
        {"password": "p%40ss"},
        says=("percent-encoded", "once only"),
        password_messages=1,
    ),
    Fault(
        "wrong password, echoed",
        "password_rejected",
        "login_refused",
        cleartext_refused,
        evidence={"server_message": f"password authentication failed for user {USER}: you said ********[31m"},
        password_messages=1,
    ),
    Fault(
        "wrong password, no state",
        "password_rejected",
        "server_error",
        refuses_login("XXUUU", f"password authentication failed for user {USER}"),
        password_messages=1,
    ),
    Fault(
        "password expired",
        "password_expired",
        "password_rejected",
        refuses_login("28P01", "password is expired"),
        password_messages=1,
    ),
    Fault(
        "may not log in",
        "login_denied",
        "login_refused",
        refuses_login("28000", f'role "{USER}" is not permitted to log in'),
        password_messages=1,
    ),
    Fault(
        "no login privilege",
        "login_denied",
        "password_rejected",
        refuses_login("28000", f"{USER} does not have login privilege"),
        password_messages=1,
    ),
    Fault(
        "no such role",
        "user_unknown",
        "database_missing",
        refuses_login("28000", f'role "{USER}" does not exist'),
        password_messages=1,
    ),
    Fault(
        "login refused otherwise",
        "login_refused",
        "login_denied",
        refuses_login("28000", "the moon is full"),
        says=('(SQLSTATE 28000): "the moon is full".',),
        password_messages=1,
    ),
    Fault(
        "wrong signature", "server_signature_invalid", "password_rejected", scram(wrong_signature=True), **SCRAM_TWICE
    ),
    Fault("no signature", "server_signature_invalid", "scram_malformed", scram(skip_signature=True), **SCRAM_TWICE),
    Fault("no iterations", "scram_iterations", "scram_malformed", scram(iterations=0), password_messages=1),
    Fault(
        "absurd iterations",
        "scram_iterations",
        "server_hang_auth",
        scram(first=b"r=NONCE,s=c2FsdA==,i=2000000000"),
        says=("2000000000",),
        password_messages=1,
    ),
    Fault("another nonce", "scram_malformed", "server_signature_invalid", scram(own_nonce=True), password_messages=1),
    Fault("no SCRAM message", "scram_malformed", "scram_iterations", scram(first=b"hello"), password_messages=1),
    # sql
    Fault(
        "hangs after login", "server_hang_login", "server_hang_auth", after_login("hang"), timeout=HANG, **SCRAM_TWICE
    ),
    Fault(
        "hangs in query",
        "server_hang_query",
        "server_hang_login",
        after_login("hang in query"),
        timeout=HANG,
        **SCRAM_TWICE,
    ),
    Fault(
        "closes after login",
        "closed_in_session",
        "reply_truncated",
        after_login("close"),
        says=("after the login",),
        **SCRAM_TWICE,
    ),
    Fault(
        "closes in query",
        "closed_in_session",
        "reply_truncated",
        after_login("close in query"),
        says=("query",),
        **SCRAM_TWICE,
    ),
    Fault(
        "query fails",
        "server_error",
        "database_missing",
        after_login("error"),
        says=("XX000", '"internal error: nil pointer"'),
        **SCRAM_TWICE,
    ),
    Fault(
        "query fails, with the password in the words",
        "server_error",
        "database_missing",
        fails_in_query("XX000", f"cannot use {PASSWORD} here", D="detail " + PASSWORD, H="Ask the owner."),
        says=('"cannot use ******** here" (detail: "detail ********"; hint: "Ask the owner").',),
        **SCRAM_TWICE,
    ),
    Fault(
        "no database, as CockroachDB says it in the query",
        "database_missing",
        "server_error",
        fails_in_query("3D000", f'database "{DATABASE}" does not exist'),
        **SCRAM_TWICE,
    ),
    Fault(
        "no database, and so no catalogue",
        "database_missing",
        "server_error",
        fails_in_query("42P01", 'relation "pg_catalog.pg_database" does not exist'),
        **SCRAM_TWICE,
    ),
    Fault(
        "the catalogue may not be read",
        "query_denied",
        "connect_denied",
        fails_in_query("42501", f"user {USER} does not have SELECT privilege on relation pg_database"),
        says=("is logged in", "SELECT privilege on relation pg_database"),
        **SCRAM_TWICE,
    ),
    Fault(
        "nodes are down",
        "quorum_lost",
        "server_error",
        fails_in_query("XX000", "replica unavailable: (n1,s1):1 unable to serve request to r3: lost quorum (down: n2)"),
        says=("lost quorum (down: n2)", "node status"),
        **SCRAM_TWICE,
    ),
    Fault(
        "nodes are down, by the state",
        "quorum_lost",
        "server_error",
        fails_in_query("58C00", "range is not available"),
        **SCRAM_TWICE,
    ),
    Fault(
        "no license",
        "license_missing",
        "too_many_connections",
        fails_in_query(
            "XXC02",
            "No license installed. The maximum number of concurrently open transactions has been reached.",
            H="Obtain and install a valid license to continue.",
        ),
        says=("no valid license", "No license installed", "enterprise.license"),
        **SCRAM_TWICE,
    ),
    Fault(
        "a message longer than the check reads",
        "reply_too_long",
        "reply_bad_length",
        sends_in_query(b"S\0\1\0\1"),
        says=("too long for this check", "psql"),
        **SCRAM_TWICE,
    ),
    Fault("row shorter than it says", "reply_bad_length", "reply_malformed", after_login("short row"), **SCRAM_TWICE),
    Fault(
        "database unseen", "database_missing", "server_error", after_login("no row"), says=(DATABASE,), **SCRAM_TWICE
    ),
    Fault(
        "no database",
        "database_missing",
        "user_unknown",
        refuses_session("3D000", f'database "{DATABASE}" does not exist'),
        **SCRAM_TWICE,
    ),
    Fault(
        "no connect privilege",
        "connect_denied",
        "login_denied",
        refuses_session("42501", f"user {USER} does not have CONNECT privilege on database {DATABASE}"),
        **SCRAM_TWICE,
    ),
    Fault(
        "no connect privilege, as PostgreSQL says it",
        "connect_denied",
        "server_error",
        refuses_session("42501", f'permission denied for database "{DATABASE}"'),
        **SCRAM_TWICE,
    ),
    Fault(
        "too many connections",
        "too_many_connections",
        "connect_denied",
        refuses_session("53300", "sorry, too many clients already"),
        **SCRAM_TWICE,
    ),
]

if not speaks_old_tls():
    FAULTS = [fault for fault in FAULTS if fault.code != "tls_too_old"]
