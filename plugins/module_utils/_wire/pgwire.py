# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The start of a PostgreSQL client session over TLS: no more of the protocol than a connectivity check needs.

Everything is bounded: each wait by a Deadline, each message by MAX_MESSAGE bytes, each session by MAX_MESSAGES
messages and MAX_RECEIVED bytes. Nothing is retried. Anything that goes wrong raises a subclass of WireError.

Message layouts: PostgreSQL documentation, chapter "Frontend/Backend Protocol". SCRAM: RFC 5802, RFC 7677.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import socket
import ssl
import stat
import stringprep
import struct
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509 as _x509

SSL_REQUEST = struct.pack("!II", 8, 80877103)
PROTOCOL_3_0 = 196608

MAX_MESSAGE = 64 * 1024
MAX_MESSAGES = 500
MAX_RECEIVED = 1024 * 1024
MAX_CA_FILE = 4 * 1024 * 1024

SCRAM_MAX_ITERATIONS = 1_000_000
# CockroachDB's own default (server.user_login.password_hashes.default_cost.scram_sha_256).
SCRAM_VERIFIER_ITERATIONS = 10_610
_SCRAM_PACE_SAMPLE = 2_000
_CHUNK = 16 * 1024
# What a stranger's first bytes are read for: enough to name an HTTP, SSH or mail server by its greeting.
_BANNER_BYTES = 512
_BANNER_SECONDS = 0.3
# Of the server's first bytes: its certificates are among them.
_HANDSHAKE_BYTES = 64 * 1024

_AUTH_METHODS = {
    0: "trust",
    2: "Kerberos V5",
    3: "cleartext password",
    5: "MD5",
    6: "SCM credentials",
    7: "GSSAPI",
    9: "SSPI",
    10: "SASL",
}

_PEM_CERTIFICATE = re.compile(
    r"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----.*?-----END (?:X509 |TRUSTED )?CERTIFICATE-----", re.DOTALL
)


class WireError(Exception):
    """Anything that stops a session. The text is for people who know the protocol; it holds no secret."""


class TimedOutError(WireError):
    """The peer said nothing more before the deadline."""


class ClosedError(WireError):
    """The peer ended the connection. `reset`: by RST instead of FIN. `partial`: in the middle of a message."""

    def __init__(self, text: str, *, reset: bool = False, partial: bool = False) -> None:
        super().__init__(text)
        self.reset = reset
        self.partial = partial


class NetworkLostError(WireError):
    """The system reported an error on an open connection, other than its end."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number


class MalformedError(WireError):
    """The peer broke the protocol. `kind`: 'length', 'endless' or 'content'."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class NotPostgresError(WireError):
    """The first bytes come from no PostgreSQL server. `banner`: the first of them."""

    def __init__(self, banner: bytes) -> None:
        super().__init__("the answer to the SSLRequest is not PostgreSQL's")
        self.banner = banner


class TlsNotOfferedError(WireError):
    """The server answered 'N' to the SSLRequest."""


class PlaintextInjectedError(WireError):
    """Bytes in clear followed the 'S', before any TLS (libpq calls this CVE-2021-23222 and hangs up)."""

    def __init__(self, banner: bytes) -> None:
        super().__init__("data in clear after the server agreed to TLS")
        self.banner = banner


class TlsError(WireError):
    """OpenSSL gave up. `reason`: its word, as 'CERTIFICATE_VERIFY_FAILED'. `verify_code`: its number, or 0."""

    def __init__(self, error: ssl.SSLError) -> None:
        super().__init__(str(error.args[-1]) if error.args else "TLS failed")
        self.reason: str = getattr(error, "reason", None) or ""
        self.verify_code: int = getattr(error, "verify_code", 0) or 0
        self.verify_message: str = getattr(error, "verify_message", "") or ""


class WrongNameError(WireError):
    """The server's certificate is verified, and for other names than the one that was connected to."""


class FileUnusableError(WireError):
    """A local certificate or key file cannot be used.

    `role`: 'ca', 'client_cert' or 'client_key'. `kind`: 'missing', 'unreadable', 'empty', 'not_pem', 'too_open',
    'encrypted' or 'mismatch'.
    """

    def __init__(self, role: str, kind: str, path: str, text: str) -> None:
        super().__init__(text)
        self.role = role
        self.kind = kind
        self.path = path


class ServerError(WireError):
    """The server's ErrorResponse. `fields`: its fields by their one-letter names, always with C and M."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields.get("M", ""))
        self.fields = dict(fields)

    @property
    def sqlstate(self) -> str:
        return self.fields.get("C", "")

    @property
    def message(self) -> str:
        return self.fields.get("M", "")


class AuthUnsupportedError(WireError):
    """The server asks for a way to log in that this client does not speak. `method`: its name."""

    def __init__(self, method: str) -> None:
        super().__init__("authentication method " + method)
        self.method = method


class PasswordNeededError(WireError):
    """The server asks for a password and none was given."""


class ScramError(WireError):
    """The server's side of SCRAM cannot be accepted. `kind`: 'signature', 'nonce', 'iterations' or 'content'."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Deadline:
    """A moment on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """A deadline so many seconds from now, or this one where it comes first."""
        return Deadline(min(seconds, self.remaining()))


def saslprep(password: str) -> str:
    """Normalise a password as RFC 4013 says; one that it forbids comes back as it is.

    Libpq and the servers do the same on both sides, so that a forbidden password still works. Pure ASCII is never
    changed. Source: PostgreSQL's src/common/saslprep.c, behaviour only.
    """
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if stringprep.in_table_c12(char) or not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if not prepared or any(_prohibited(char) for char in prepared):
        return password
    if any(stringprep.in_table_d1(char) for char in prepared) and (
        any(stringprep.in_table_d2(char) for char in prepared)
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        return password
    return prepared


def _prohibited(char: str) -> bool:
    return (
        stringprep.in_table_a1(char)
        or stringprep.in_table_c12(char)
        or stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
    )


class ScramClient:
    """One SCRAM-SHA-256 login without channel binding: first(), then final(), then verify().

    The user name is empty by default, as libpq sends it: servers take the one of the StartupMessage.
    """

    def __init__(self, password: str, *, user: str = "", nonce: str | None = None) -> None:
        self._password = saslprep(password).encode("utf-8", "surrogateescape")
        self._nonce = base64.b64encode(secrets.token_bytes(18)).decode("ascii") if nonce is None else nonce
        escaped = user.replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={escaped},r={self._nonce}"
        self._server_signature: bytes | None = None

    def first(self) -> bytes:
        """The client-first-message."""
        return ("n,," + self._first_bare).encode("utf-8")

    def final(self, server_first: bytes, deadline: Deadline) -> bytes:
        """The client-final-message, which proves the password.

        Raises ScramError when the server's message is malformed, answers another nonce, or asks for an iteration
        count above SCRAM_MAX_ITERATIONS or above what this machine computes before the deadline.
        """
        text, salt, iterations, nonce = _server_first(server_first)
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ScramError("nonce", "the server's nonce does not extend the client's")
        self._refuse_long_work(iterations, deadline)
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = "c=biws,r=" + nonce
        auth_message = ",".join((self._first_bare, text, without_proof)).encode("utf-8")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth_message, "sha256")
        proof = bytes(left ^ right for left, right in zip(client_key, signature))
        self._server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth_message, "sha256")
        return (without_proof + ",p=" + base64.b64encode(proof).decode("ascii")).encode("utf-8")

    def verify(self, server_final: bytes) -> None:
        """Raise ScramError unless the server's last message proves that it knows the password too."""
        text = _scram_text(server_final)
        if text.startswith("e="):
            raise ScramError("content", "the server ends SCRAM with the error {}".format(text[2:].split(",", 1)[0]))
        value = text.split(",", 1)[0]
        if not value.startswith("v="):
            raise ScramError("content", "the server's last SCRAM message holds no signature")
        expected = self._server_signature
        if expected is None or not hmac.compare_digest(_base64(value[2:]), expected):
            raise ScramError("signature", "the server's signature is not the one that the password gives")

    def _refuse_long_work(self, iterations: int, deadline: Deadline) -> None:
        if not 1 <= iterations <= SCRAM_MAX_ITERATIONS:
            raise ScramError("iterations", f"the server asks for {iterations} iterations")
        if iterations <= 10 * _SCRAM_PACE_SAMPLE:
            return
        # hashlib cannot be interrupted, so the whole work is foretold from a sample before it is begun.
        began = time.monotonic()
        hashlib.pbkdf2_hmac("sha256", b"pace", b"pace", _SCRAM_PACE_SAMPLE)
        foretold = (time.monotonic() - began) * iterations / _SCRAM_PACE_SAMPLE
        if foretold > deadline.remaining():
            raise ScramError(
                "iterations", f"the server asks for {iterations} iterations, more than the time left allows"
            )


def scram_verifier(password: str, *, salt: bytes | None = None, iterations: int = SCRAM_VERIFIER_ITERATIONS) -> str:
    """What a server keeps of a password, in the form that it takes in place of one: from it nobody gets the password.

    Source of the form: PostgreSQL documentation, "pg_authid"; CockroachDB takes the same.
    """
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode("utf-8", "surrogateescape"), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${iterations}:{salt_text}${stored_text}:{server_text}"


def _scram_text(message: bytes) -> str:
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ScramError("content", "a SCRAM message is not UTF-8") from exc


def _server_first(message: bytes) -> tuple[str, bytes, int, str]:
    """Split the server-first-message: its text, the salt, the iteration count, the nonce."""
    text = _scram_text(message)
    parts = text.split(",")
    if len(parts) < 3 or [part[:2] for part in parts[:3]] != ["r=", "s=", "i="]:
        raise ScramError("content", "the server's first SCRAM message does not read r=..,s=..,i=..")
    nonce, salt, count = (part[2:] for part in parts[:3])
    if not re.fullmatch(r"[\x21-\x2b\x2d-\x7e]+", nonce):
        raise ScramError("nonce", "the server's nonce is empty or not printable")
    if not re.fullmatch(r"[0-9]{1,18}", count):
        raise ScramError("iterations", "the server's iteration count is no usable number")
    decoded = _base64(salt)
    if not decoded:
        raise ScramError("content", "the server's salt is empty")
    return text, decoded, int(count), nonce


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as exc:
        raise ScramError("content", "a SCRAM value is not base64") from exc


def tls_context(
    ca_file: str | None = None,
    ca_text: str | None = None,
    client_cert: str | None = None,
    client_key: str | None = None,
) -> ssl.SSLContext:
    """A context that verifies the chain as libpq's verify-full does; the name is Wire.start_tls's to verify.

    By the CA in this PEM text or, without it, in this file only; without both, by the system's public roots.

    Built without ssl.create_default_context, whose flags differ between Python versions (3.13 adds X509_STRICT and
    PARTIAL_CHAIN). Raises FileUnusableError.
    """
    context = _context()
    if ca_text is not None:
        _trust(context, ca_text, "(given as text)")
    elif ca_file is not None:
        _trust(context, _read_file("ca", ca_file, MAX_CA_FILE).decode("latin-1"), ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if client_cert is not None:
        _load_client_certificate(context, client_cert, client_key or client_cert)
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # OpenSSL's rules for names are not libpq's: see _x509.matches_host.
    context.check_hostname = False
    return context


def looking_context(*, clear: bool = False) -> ssl.SSLContext:
    """A context that verifies nothing: to look at certificates only, never to log in.

    `clear`: no TLS newer than 1.2, in which the server's certificates pass in clear.
    """
    context = _context()
    context.verify_mode = ssl.CERT_NONE
    if clear:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def given_authorities(ca_file: str | None, ca_text: str | None) -> tuple[_x509.Certificate, ...]:
    """The readable certificates of the CA that was given; none without one. Never raises."""
    if ca_text is None and ca_file is None:
        return ()
    with contextlib.suppress(FileUnusableError):
        return _x509.read_pem(
            ca_text if ca_text is not None else _read_file("ca", ca_file or "", MAX_CA_FILE).decode("latin-1")
        )
    return ()


def has_public_roots() -> bool:
    """Whether this Python's OpenSSL finds any file or folder of public roots."""
    paths = ssl.get_default_verify_paths()
    try:
        if paths.cafile is not None and Path(paths.cafile).stat().st_size:
            return True
        return paths.capath is not None and any(Path(paths.capath).iterdir())
    except OSError:
        return False


def _read_file(role: str, path: str, limit: int) -> bytes:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise FileUnusableError(role, "unreadable", path, "it is not a regular file")
            data = stream.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileUnusableError(role, "missing", path, "there is no such file") from exc
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "the path is not usable"
        raise FileUnusableError(role, "unreadable", path, reason) from exc
    if len(data) > limit:
        raise FileUnusableError(role, "not_pem", path, f"it is larger than {limit} bytes")
    if not data.strip():
        raise FileUnusableError(role, "empty", path, "it is empty")
    return data


def _trust(context: ssl.SSLContext, text: str, path: str) -> None:
    blocks = _PEM_CERTIFICATE.findall(text)
    if not blocks:
        html = re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE)
        raise FileUnusableError("ca", "not_pem", path, "it is a web page" if html else "it holds no PEM certificate")
    try:
        # The comments that bundles carry between the blocks need not be ASCII, and OpenSSL's reader here wants ASCII.
        context.load_verify_locations(cadata="\n".join(blocks) + "\n")
    except (ssl.SSLError, ValueError) as exc:
        raise FileUnusableError("ca", "not_pem", path, "a certificate in it cannot be decoded") from exc


def _load_client_certificate(context: ssl.SSLContext, cert: str, key: str) -> None:
    _read_file("client_cert", cert, MAX_CA_FILE)
    _read_file("client_key", key, MAX_CA_FILE)
    status = Path(key).stat()
    # The same rule as libpq's: 0600 for the owner's file, 0640 for root's.
    if status.st_mode & (0o037 if status.st_uid == 0 else 0o077):
        raise FileUnusableError("client_key", "too_open", key, f"its mode is {stat.S_IMODE(status.st_mode):04o}")
    asked: list[bool] = []

    def no_passphrase() -> str:
        asked.append(True)
        return ""

    try:
        # Without a callback, OpenSSL would ask on the terminal.
        context.load_cert_chain(cert, key, password=no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as exc:
        if asked:
            raise FileUnusableError("client_key", "encrypted", key, "it is encrypted with a passphrase") from exc
        if getattr(exc, "reason", "") == "KEY_VALUES_MISMATCH":
            raise FileUnusableError("client_key", "mismatch", key, "it does not belong to " + cert) from exc
        raise FileUnusableError("client_cert", "not_pem", cert, "OpenSSL cannot read it together with " + key) from exc


@dataclass
class AuthRequest:
    """What the server asks for after the StartupMessage. `kind`: the protocol's number; 0 means let in at once."""

    kind: int
    mechanisms: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        if self.kind == 10:
            return "SASL ({})".format(", ".join(self.mechanisms))
        return _AUTH_METHODS.get(self.kind, f"number {self.kind}")


class Wire:
    """A connected socket that speaks the start of PostgreSQL's protocol.

    `deadline` bounds every method and may be replaced between calls. `password_sent` turns true just before the
    bytes that depend on the password leave. `max_messages` and `max_received` (bytes) bound the whole session, and may
    be raised once the peer has proved itself.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._socket = sock
        self.deadline = deadline
        self.password_sent = False
        self.max_messages = MAX_MESSAGES
        self.max_received = MAX_RECEIVED
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._buffer = bytearray()
        self._received = 0
        self._messages = 0
        self._first_tls_bytes = b""
        self._handshake = bytearray()
        self._cut = False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    # TLS

    def request_tls(self) -> None:
        """Send the SSLRequest and read the one byte that answers it.

        Raises TlsNotOfferedError, NotPostgresError, PlaintextInjectedError, ServerError, TimedOutError, ClosedError,
        NetworkLostError.
        """
        self._send_raw(SSL_REQUEST)
        reply = self._receive_raw()
        if reply == b"S":
            return
        if reply == b"N":
            raise TlsNotOfferedError("the server answers N to the SSLRequest")
        reply += self._linger(reply)
        if reply[:1] == b"E":
            fields = _plain_error(reply)
            if fields is not None:
                raise ServerError(fields)
        if reply[:1] == b"S" and not _foreign(reply):
            raise PlaintextInjectedError(reply)
        raise NotPostgresError(reply)

    def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Shake hands, with SNI unless the name is an IP address, and verify chain and name as libpq does.

        Under a context that verifies no chain, no name is verified either. Raises TlsError, WrongNameError,
        NotPostgresError (a greeting instead of TLS), TimedOutError, ClosedError, NetworkLostError.
        """
        self._shake_hands(context, server_hostname)
        if context.verify_mode == ssl.CERT_NONE:
            return
        # What OpenSSL verified, and not what was read beside it.
        leaf = _x509.read_all([self._own_certificate()])
        if not leaf:
            raise MalformedError("content", "its certificate cannot be read")
        if not _x509.matches_host(leaf[0], server_hostname):
            raise WrongNameError("the certificate is for another name")

    def _shake_hands(self, context: ssl.SSLContext, server_hostname: str) -> None:
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        except (ssl.SSLError, ValueError) as exc:
            error = exc if isinstance(exc, ssl.SSLError) else ssl.SSLError(str(exc))
            raise TlsError(error) from exc
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                self._feed_tls()
            except ssl.SSLEOFError as exc:
                raise ClosedError("the connection ended in the TLS handshake") from exc
            except ssl.SSLError as exc:
                with contextlib.suppress(WireError):
                    # The alert tells the server's log why.
                    self._flush()
                if _foreign(b"S" + self._first_tls_bytes):
                    raise NotPostgresError(b"S" + self._first_tls_bytes) from exc
                raise TlsError(exc) from exc

    def tls_facts(self) -> tuple[str, str]:
        """TLS version and cipher."""
        if self._tls is None:
            return "", ""
        cipher = self._tls.cipher()
        return self._tls.version() or "", cipher[0] if cipher else ""

    def peer_chain(self) -> list[bytes]:
        """The certificates that the server presented, in DER, its own first, as far as this Python can tell.

        All of them from Python 3.13 on, or when they passed in clear, even in a handshake that failed; else the first.
        """
        if self._tls is None:
            return []
        own = self._own_certificate()
        unverified = getattr(self._tls, "get_unverified_chain", None)
        chain: list[bytes] = list(unverified() or ()) if unverified is not None else []
        chain = chain or _certificates_in_clear(bytes(self._handshake))
        if own and chain[:1] != [own]:
            return [own]
        return chain

    def _own_certificate(self) -> bytes:
        """The certificate that the server proved to have the key of, in DER; empty when the handshake is not done."""
        with contextlib.suppress(ValueError):
            return (self._tls.getpeercert(True) if self._tls is not None else None) or b""
        return b""

    # Start-up and login

    def startup(self, parameters: Mapping[str, str]) -> AuthRequest:
        """Send the StartupMessage and read what the server asks for. Raises ServerError and the errors of reading."""
        body = b"".join(_cstring(name) + _cstring(value) for name, value in parameters.items())
        self._send(struct.pack("!II", len(body) + 9, PROTOCOL_3_0) + body + b"\0")
        while True:
            kind, payload = self._message()
            if kind == b"R":
                return _auth_request(payload)
            # NegotiateProtocolVersion: the server names what it does not know, and goes on.
            if kind != b"v":
                raise MalformedError("content", f"message {kind!r} instead of an authentication request")

    def login(self, request: AuthRequest, password: str | None) -> None:
        """Answer the authentication request, once, until AuthenticationOk.

        Raises AuthUnsupportedError, PasswordNeededError, ScramError, ServerError and the errors of reading.
        """
        if request.kind == 0:
            return
        if request.kind == 3:
            self._send_password(_cstring(_required(password)))
            self._expect_auth(0)
        elif request.kind == 10 and "SCRAM-SHA-256" in request.mechanisms:
            self._login_scram(_required(password))
        else:
            raise AuthUnsupportedError(request.method)

    def ready(self) -> dict[str, str]:
        """Read up to ReadyForQuery and return the server's parameters. Raises ServerError and the errors of reading."""
        parameters: dict[str, str] = {}
        while True:
            kind, payload = self._message()
            if kind == b"Z":
                return parameters
            if kind == b"S":
                name, value, *_rest = [*_strings(payload), "", ""]
                parameters[name] = value
            elif kind not in (b"K", b"v"):
                raise MalformedError("content", f"message {kind!r} between the login and ReadyForQuery")

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run one simple query and return its rows as text. Raises ServerError and the errors of reading."""
        self._send(_framed(b"Q", _cstring(sql)))
        rows: list[tuple[str | None, ...]] = []
        described = False
        while True:
            kind, payload = self._message()
            if kind == b"Z":
                return rows
            if kind == b"T":
                described = True
            elif kind == b"D" and described:
                rows.append(_data_row(payload))
            elif kind not in (b"C", b"S"):
                raise MalformedError("content", f"message {kind!r} in the answer to a query")

    def terminate(self) -> None:
        """Say good-bye as a client should; what happens to it does not matter."""
        with contextlib.suppress(WireError):
            self._send(_framed(b"X", b""))

    def _login_scram(self, password: str) -> None:
        scram = ScramClient(password)
        first = scram.first()
        self._send(_framed(b"p", _cstring("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
        final = scram.final(self._expect_auth(11), self.deadline)
        self._send_password(final)
        # AuthenticationOk here would skip the server's proof: _expect_auth refuses it.
        scram.verify(self._expect_auth(12))
        self._expect_auth(0)

    def _send_password(self, payload: bytes) -> None:
        self.password_sent = True
        self._send(_framed(b"p", payload))

    def _expect_auth(self, expected: int) -> bytes:
        kind, payload = self._message()
        if kind != b"R" or len(payload) < 4:
            raise MalformedError("content", f"message {kind!r} in the middle of the login")
        number: int = struct.unpack("!I", payload[:4])[0]
        if number == expected:
            return payload[4:]
        if expected == 12 and number == 0:
            raise ScramError("signature", "the server lets in without proving that it knows the password")
        raise MalformedError("content", f"authentication message {number} where {expected} belongs")

    # Messages and bytes

    def _message(self) -> tuple[bytes, bytes]:
        """The next message that is not a notice. Raises ServerError for an ErrorResponse."""
        while True:
            self._messages += 1
            if self._messages > self.max_messages:
                raise MalformedError("endless", f"more than {self.max_messages} messages")
            head = self._take(5)
            kind, length = head[:1], struct.unpack("!i", head[1:])[0]
            if not 4 <= length <= MAX_MESSAGE:
                raise MalformedError("length", f"message {kind!r} says that it is {length} bytes long")
            payload = self._take(length - 4, partial=True)
            if kind == b"E":
                raise ServerError(_error_fields(payload))
            if kind != b"N":
                return kind, payload

    def _take(self, count: int, *, partial: bool = False) -> bytes:
        while len(self._buffer) < count:
            try:
                chunk = self._read()
            except ClosedError as exc:
                exc.partial = partial or bool(self._buffer)
                raise
            self._buffer += chunk
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _read(self) -> bytes:
        if self._tls is None:
            return self._receive_raw()
        while True:
            try:
                data = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                self._flush()
                self._feed_tls()
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError) as exc:
                raise ClosedError("the connection ended") from exc
            except ssl.SSLError as exc:
                raise TlsError(exc) from exc
            if not data:
                raise ClosedError("the connection ended")
            return data

    def _send(self, data: bytes) -> None:
        if self._tls is None:
            self._send_raw(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as exc:
            raise TlsError(exc) from exc
        self._flush()

    def _feed_tls(self) -> None:
        try:
            data = self._receive_raw()
        except ClosedError as exc:
            if exc.reset:
                raise
            self._incoming.write_eof()
            return
        if len(self._first_tls_bytes) < _BANNER_BYTES:
            self._first_tls_bytes += data[:_BANNER_BYTES]
        if len(self._handshake) < _HANDSHAKE_BYTES:
            self._handshake += data
        self._incoming.write(data)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._send_raw(data)

    def _wait(self) -> None:
        left = self.deadline.remaining()
        if not left:
            raise TimedOutError("no answer in time")
        self._socket.settimeout(left)

    def _send_raw(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._wait()
            try:
                with _network_errors():
                    view = view[self._socket.send(view) :]
            except ClosedError:
                # The server may have said why before it hung up: the read that follows finds that, or the end.
                self._cut = True
                return

    def _receive_raw(self) -> bytes:
        self._wait()
        with _network_errors():
            data = self._socket.recv(_CHUNK)
        if not data:
            raise ClosedError("the connection ended", reset=self._cut)
        self._received += len(data)
        if self._received > self.max_received:
            raise MalformedError("endless", f"more than {self.max_received} bytes")
        return data

    def _linger(self, reply: bytes) -> bytes:
        """The rest of a strange first answer, as far as it comes at once."""
        before, self.deadline = self.deadline, self.deadline.within(_BANNER_SECONDS)
        more = b""
        try:
            while len(reply) + len(more) < _BANNER_BYTES:
                more += self._receive_raw()
        except WireError:
            pass
        finally:
            self.deadline = before
        return more


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    try:
        yield
    except socket.timeout as exc:
        raise TimedOutError("no answer in time") from exc
    except (ConnectionResetError, BrokenPipeError, ConnectionAbortedError) as exc:
        raise ClosedError("the connection was reset", reset=True) from exc
    except OSError as exc:
        raise NetworkLostError(exc.strerror or "network error", exc.errno or 0) from exc


def _certificates_in_clear(data: bytes) -> list[bytes]:
    """The certificates of a TLS 1.2 server's Certificate message (RFC 5246, 7.4.2); none when it is not there whole."""
    messages = b""
    at = 0
    while at + 5 <= len(data) and data[at] == 22:
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        messages += data[at + 5 : at + 5 + length]
        at += 5 + length
    at = 0
    while at + 4 <= len(messages):
        kind, length = messages[at], int.from_bytes(messages[at + 1 : at + 4], "big")
        body = messages[at + 4 : at + 4 + length]
        at += 4 + length
        if kind == 11 and len(body) == length:
            return _split_certificates(body[3:])
    return []


def _split_certificates(body: bytes) -> list[bytes]:
    found = []
    at = 0
    while at + 3 <= len(body):
        length = int.from_bytes(body[at : at + 3], "big")
        found.append(body[at + 3 : at + 3 + length])
        at += 3 + length
    return found


def name_of_stranger(banner: bytes) -> str | None:
    """Which kind of server greets with these bytes: 'SSH', 'HTTP', 'TLS' (without asking), 'mail', 'MySQL', or None."""
    if banner.startswith(b"SSH-"):
        return "SSH"
    if banner.startswith(b"HTTP/") or re.match(rb"\s*<(!doctype|html)", banner, re.IGNORECASE):
        return "HTTP"
    if re.match(rb"[\x15\x16]\x03[\x00-\x04]", banner):
        return "TLS"
    if re.match(rb"(220[ -]|\+OK|\* OK)", banner):
        return "mail or FTP"
    if re.match(rb".\x00\x00\x00[\x0a\xff]", banner, re.DOTALL):
        return "MySQL"
    return None


def _foreign(banner: bytes) -> bool:
    return name_of_stranger(banner) is not None


def _plain_error(reply: bytes) -> dict[str, str] | None:
    """An ErrorResponse sent in clear instead of 'S' or 'N'; None when the bytes are none."""
    if len(reply) < 5:
        return None
    length: int = struct.unpack("!i", reply[1:5])[0]
    if not 4 <= length <= MAX_MESSAGE:
        return None
    try:
        return _error_fields(reply[5 : 1 + length])
    except MalformedError:
        return None


def _error_fields(payload: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in payload.split(b"\0"):
        if part:
            fields.setdefault(chr(part[0]), part[1:].decode("utf-8", "replace"))
    if not set(fields) & {"S", "V", "C", "M"}:
        raise MalformedError("content", "an ErrorResponse without any of its fields")
    fields.setdefault("C", "")
    fields.setdefault("M", "")
    return fields


def _auth_request(payload: bytes) -> AuthRequest:
    if len(payload) < 4:
        raise MalformedError("content", f"an authentication request of {len(payload)} bytes")
    kind: int = struct.unpack("!I", payload[:4])[0]
    mechanisms = tuple(name for name in _strings(payload[4:]) if name) if kind == 10 else ()
    return AuthRequest(kind, mechanisms)


def _data_row(payload: bytes) -> tuple[str | None, ...]:
    values: list[str | None] = []
    try:
        (count,) = struct.unpack_from("!H", payload, 0)
        at = 2
        for _column in range(count):
            (size,) = struct.unpack_from("!i", payload, at)
            at += 4
            if size == -1:
                values.append(None)
                continue
            if size < 0 or at + size > len(payload):
                raise MalformedError("length", f"a column says that it is {size} bytes long")
            values.append(payload[at : at + size].decode("utf-8", "replace"))
            at += size
    except struct.error as exc:
        raise MalformedError("length", "a row is shorter than its columns") from exc
    return tuple(values)


def _required(password: str | None) -> str:
    # Libpq takes an empty password for none.
    if not password:
        raise PasswordNeededError("the server asks for a password")
    return password


def _framed(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!I", len(payload) + 4) + payload


def _cstring(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"


def _strings(payload: bytes) -> list[str]:
    return [part.decode("utf-8", "replace") for part in payload.split(b"\0")]
