# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a private key on this host, or keep the one in use, and a signing request for it. The key never leaves the host.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Sequence

from ansible_collections.crdb.onboard.plugins.module_utils._files import keys
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import make_folder, write
from ansible_collections.crdb.onboard.plugins.module_utils._pem import pem_blocks

KEY_BITS = 2048
"""The size that `cockroach cert create-client` makes by default (its --key-size)."""
_SECONDS = 60.0
_PATH = os.pathsep.join(("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/bin"))
_PKCS8 = "PRIVATE KEY"
_CONFIGURATION = b"[req]\ndistinguished_name = subject\n[subject]\n"


class OpensslError(Exception):
    """OpenSSL is missing or failed; the message says which."""


def openssl() -> str:
    """The path of the program; empty where this host has none."""
    return shutil.which("openssl") or shutil.which("openssl", path=_PATH) or ""


def _run(program: str, *words: str) -> bytes:
    """The output of openssl, whose files are readable by this user only. Raises OpensslError."""
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, none of them secret
            [program, *words], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS,
            umask=0o077, env={"PATH": _PATH, "LC_ALL": "C"},
        )  # fmt: skip
    except OSError as exc:
        raise OpensslError(f"{program} cannot be started: {exc.strerror}") from None
    except subprocess.TimeoutExpired:
        raise OpensslError(f"{program} {words[0]} did not end within {_SECONDS:g} s") from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OpensslError(f"{program} {words[0]} ended with {done.returncode}: {lines[-1] if lines else 'no message'}")
    return done.stdout


def _subject(name: str) -> str:
    """A subject for the option -subj, in which these characters separate."""
    return "/O=Cockroach/CN=" + re.sub(r"([/\\+=])", r"\\\1", name)


def in_der(key: bytes) -> bytes:
    """The key of a PEM text in PKCS#8 (DER), without OpenSSL; empty for a key in another form."""
    blocks = [block for block in pem_blocks(key) if block.label == _PKCS8]
    if len(blocks) != 1:
        return b""
    try:
        return blocks[0].der()
    except ValueError:
        return b""


def make(state: str, names: Sequence[str], *, pkcs8: bool, key: bytes = b"") -> dict[str, str]:
    """A key that waits for its certificate: its `pending` name, and the signing `request` (PEM).

    Args:
        state: the folder of the user's record.
        names: of the certificate, of which the request has the first.
        pkcs8: whether Java needs the key too.
        key: the key in use (PEM), which the new certificate keeps. Without OpenSSL it must be in PKCS#8, and there is
            no request.

    Raises OSError, OpensslError, and FileRefusedError for a record that cannot be used.
    """
    program = openssl()
    if not program and not in_der(key):
        raise OpensslError("there is no openssl on this host")
    folder = keys.folder_of(state)
    if not os.path.isdir(folder):
        # The record knows which folders were made, so that they go with the last file.
        record = Record(state)
        try:
            make_folder(folder, 0o700)
        finally:
            record.keep()
    pending = secrets.token_hex(16)
    path = os.path.join(folder, pending)
    configuration = f"{path}.cnf"
    try:
        if key:
            write(path, key, 0o600)
        else:
            _run(program, "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{KEY_BITS}", "-out", path)
        if pkcs8 and program:
            _run(program, "pkcs8", "-topk8", "-nocrypt", "-in", path, "-outform", "DER", "-out", f"{path}.pk8")
        elif pkcs8:
            write(f"{path}.pk8", in_der(key), 0o600)
        request = b""
        if program:
            # The host's own configuration may be missing, or ask for more.
            write(configuration, _CONFIGURATION, 0o600)
            words = ("-key", path, "-subj", _subject(names[0]), "-utf8", "-sha256", "-config", configuration)
            request = _run(program, "req", "-new", *words)
    except BaseException:
        keys.remove(state, [pending, f"{pending}.pk8", f"{pending}.cnf"])
        # A record of nothing goes.
        Record(state).close()
        raise
    keys.remove(state, [f"{pending}.cnf"])
    return {"pending": pending, "request": request.decode("ascii", "replace")}
