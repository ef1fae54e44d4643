# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a TLS session is built from: contexts, the files that they are loaded from, the certificates that a server sent.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from pathlib import Path
from typing import NamedTuple

from ansible_collections.crdb.onboard.plugins.module_utils._wire import ca_kinds, x509
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import FileUnusableError

MAX_CA_FILE = 4 * 1024 * 1024
GIVEN_AS_TEXT = "(given as text)"


class Revocations(NamedTuple):
    """Where lists of revoked certificates lie: a file, and a folder with OpenSSL's names (``c_rehash``)."""

    file: str
    folder: str = ""

    def text(self) -> str:
        """The path to name in a message."""
        return self.file if self.file and (Path(self.file).is_file() or not self.folder) else self.folder


def tls_context(
    ca_file: str | None = None,
    ca_text: str | None = None,
    client_cert: str | None = None,
    client_key: str | None = None,
    revocations: Revocations | None = None,
) -> ssl.SSLContext:
    """A context that verifies the chain as libpq's verify-full does; Wire.start_tls verifies the name.

    It trusts only the CA in this PEM text, or else in this file; without either, the system's public roots. As libpq
    does with a CA of its own, it refuses what these lists revoke. It is built without ssl.create_default_context, whose
    flags differ between Python versions. Raises FileUnusableError.
    """
    context = _context()
    if ca_text is not None:
        _trust_text(context, ca_text)
    elif ca_file is not None:
        _trust_file(context, ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if revocations is not None and (ca_text is not None or ca_file is not None):
        _load_revocations(context, revocations)
    if client_cert is not None:
        _load_client_certificate(context, client_cert, client_key or client_cert)
    return context


def checks_revocations(context: ssl.SSLContext) -> bool:
    """Whether a context refuses what lists of revoked certificates revoke."""
    return bool(context.verify_flags & ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN)


def libpq_file(name: str) -> str:
    """A file of the user's folder for libpq; an empty text without a home folder."""
    try:
        return str(Path("~/.postgresql", name).expanduser())
    except RuntimeError:
        return ""


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # libpq's rules for names differ from OpenSSL's: see chain_rules.matches_host.
    context.check_hostname = False
    return context


def unverified_context(*, clear: bool = False) -> ssl.SSLContext:
    """A context that verifies nothing: only for reading certificates, never for a login.

    `clear`: use TLS 1.2 at most, which sends the server's certificates unencrypted.
    """
    context = _context()
    context.verify_mode = ssl.CERT_NONE
    if clear:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def read_authorities(ca_file: str | None, ca_text: str | None) -> tuple[x509.Certificate, ...]:
    """The readable certificates in this CA text or file; empty without either. Never raises."""
    if ca_text is None and ca_file is None:
        return ()
    with contextlib.suppress(FileUnusableError):
        return x509.read_pem(
            ca_text if ca_text is not None else read_file("ca", ca_file or "", MAX_CA_FILE).decode("utf-8", "replace")
        )
    return ()


def exposes_private_key(ca_file: str) -> str:
    """The mode of a CA file that holds a private key and that others than its owner may read; else an empty text."""
    with contextlib.suppress(FileUnusableError, OSError):
        mode = Path(ca_file).stat().st_mode
        if mode & 0o044 and ca_kinds.holds_private_key(read_file("ca", ca_file, MAX_CA_FILE)):
            return f"{stat.S_IMODE(mode):04o}"
    return ""


def has_public_roots() -> bool:
    """Whether this Python's OpenSSL finds any file or folder of public roots."""
    paths = ssl.get_default_verify_paths()
    try:
        if paths.cafile is not None and Path(paths.cafile).stat().st_size:
            return True
        return paths.capath is not None and any(Path(paths.capath).iterdir())
    except OSError:
        return False


def read_file(role: str, path: str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises FileUnusableError with the role that it plays."""
    try:
        # Without O_NONBLOCK, opening a named pipe waits for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise FileUnusableError(role, "unreadable", path, "it is not a regular file")
            with os.fdopen(handle, "rb", closefd=False) as stream:
                data = stream.read(limit + 1)
        finally:
            os.close(handle)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileUnusableError(role, "missing", path, "there is no such file") from exc
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "the path is not valid"
        raise FileUnusableError(role, "unreadable", path, reason) from exc
    if len(data) > limit:
        raise FileUnusableError(role, "too_large", path, f"it is larger than {limit} bytes")
    if not data.strip():
        raise FileUnusableError(role, "empty", path, "it is empty")
    return data


def _trust_file(context: ssl.SSLContext, path: str) -> None:
    content = read_file("ca", path, MAX_CA_FILE)
    try:
        # The function that libpq calls, so that both accept the same files.
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError, ValueError):
        raise _unusable(content, path) from None
    if not context.cert_store_stats()["x509"]:
        raise _unusable(content, path)


def _trust_text(context: ssl.SSLContext, text: str) -> None:
    blocks = list(x509.pem_blocks(text))
    try:
        # Comments between the blocks of a bundle may be other than ASCII, which load_verify_locations refuses.
        context.load_verify_locations(cadata="".join(f"{block.text()}\n" for block in blocks))
    except (ssl.SSLError, ValueError):
        raise _unusable(text.encode("utf-8", "surrogateescape"), GIVEN_AS_TEXT) from None


def _unusable(content: bytes, path: str) -> FileUnusableError:
    kind, detail = ca_kinds.unusable_kind(content)
    return FileUnusableError("ca", kind, path, ca_kinds.KINDS[kind].text, detail)


def _load_revocations(context: ssl.SSLContext, lists: Revocations) -> None:
    """Refuse revoked certificates by libpq's rules: it ignores lists that are missing or that OpenSSL cannot load."""
    with contextlib.suppress(ssl.SSLError, OSError, ValueError):
        # Not what blocks when it is read, such as a named pipe.
        if lists.file and not Path(lists.file).is_file():
            return
        if lists.file or lists.folder:
            context.load_verify_locations(cafile=lists.file or None, capath=lists.folder or None)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN


def _load_client_certificate(context: ssl.SSLContext, cert: str, key: str) -> None:
    read_file("client_cert", cert, MAX_CA_FILE)
    read_file("client_key", key, MAX_CA_FILE)
    status = Path(key).stat()
    # libpq's rule: at most 0600, or 0640 for a file of root.
    if status.st_mode & (0o037 if status.st_uid == 0 else 0o077):
        raise FileUnusableError("client_key", "too_open", key, f"its mode is {stat.S_IMODE(status.st_mode):04o}")
    asked: list[bool] = []

    def no_passphrase() -> str:
        asked.append(True)
        return ""

    try:
        # Without a callback, OpenSSL asks on the terminal.
        context.load_cert_chain(cert, key, password=no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as exc:
        if asked:
            raise FileUnusableError("client_key", "encrypted", key, "it is encrypted with a passphrase") from exc
        if getattr(exc, "reason", "") == "KEY_VALUES_MISMATCH":
            raise FileUnusableError("client_key", "mismatch", key, "it does not belong to " + cert) from exc
        raise FileUnusableError("client_cert", "not_pem", cert, "OpenSSL cannot read it together with " + key) from exc


def certificates_in_clear(data: bytes) -> list[bytes]:
    """The certificates (DER) in a TLS 1.2 Certificate message (RFC 5246, 7.4.2); empty if it is incomplete."""
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
    certificates = []
    at = 0
    while at + 3 <= len(body):
        length = int.from_bytes(body[at : at + 3], "big")
        certificates.append(body[at + 3 : at + 3 + length])
        at += 3 + length
    return certificates
