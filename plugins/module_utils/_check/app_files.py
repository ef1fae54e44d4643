# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Compare an app's files, read as its user, with what the inventory says. Nothing is written.

Values are compared by digests salted for each call, so that reading files back needs no more secrets on the host than
the check itself.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import (
    FORMATS,
    FormatError,
    dotenv_text,
    find,
    normal,
)
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509 as _x509

_LIMIT = 1024 * 1024
# Parts of a connection string that are not secret.
_SHOWN = ("host", "port", "database", "user", "sslmode", "sslrootcert", "sslcert", "sslkey", "options")


class Finding(NamedTuple):
    """A difference: a code of CATALOGUE or NOTES, and the values for its sentences, without secrets."""

    code: str
    words: dict[str, str]


class _UnreadableError(Exception):
    """A file exists but cannot be read; the message says why."""


def digest(salt: str, content: bytes) -> str:
    """A salted digest: it shows whether two contents are equal, and reveals nothing else about them."""
    return hmac.new(salt.encode("ascii"), content, "sha256").hexdigest()


def url_parts(value: str) -> tuple[dict[str, str], str]:
    """The parts of a connection string for comparison, and its password. Raises ValueError.

    JDBC's user and password come from its query.
    """
    parts = urlsplit(value[5:] if value.startswith("jdbc:") else value)
    scheme = value.partition("://")[0].lower()
    query = dict(parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape"))
    password = query.pop("password", None) or unquote(parts.password or "", errors="surrogateescape")
    parts_by_name = {
        # libpq and every driver that reads this variable treat the two names as the same.
        "scheme": "postgresql" if scheme == "postgres" else scheme,
        "host": parts.hostname or "",
        "port": str(parts.port or ""),
        "database": unquote(parts.path[1:]),
        "user": query.pop("user", None) or unquote(parts.username or ""),
        **query,
    }
    return parts_by_name, password


def _read(path: str) -> Optional[tuple[bytes, int]]:
    """Content and mode of a file; None when it does not exist. Raises _UnreadableError."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _UnreadableError("it is not a regular file")
            return stream.read(_LIMIT), stat.S_IMODE(status.st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise _UnreadableError(exc.strerror or "it cannot be opened") from exc


def inspect(app: Mapping[str, Any]) -> list[Finding]:
    """All findings about an app, with the rights of this process. Never raises for the state of the disk.

    `app`: an element of the module's option `apps`.
    """
    findings: list[Finding] = []
    contents: dict[str, tuple[bytes, int]] = {}
    missing = []
    for file in app["files"]:
        try:
            content = _read(file["path"])
        except _UnreadableError as exc:
            findings.append(Finding("app_file_unreadable", {"path": file["path"], "reason": str(exc)}))
            continue
        if content is None:
            missing.append(file["path"])
        else:
            contents[file["path"]] = content
    if missing and not contents and not findings:
        return [Finding("app_not_configured", {"path": missing[0]}), *_key_findings(app)]
    findings += [Finding("app_file_missing", {"path": path}) for path in missing]
    for file in app["files"]:
        if file["path"] in contents:
            findings += _file_findings(file, *contents[file["path"]], salt=app["salt"])
    return [*findings, *_key_findings(app)]


def _file_findings(file: Mapping[str, Any], content: bytes, mode: int, *, salt: str) -> Iterator[Finding]:
    path = file["path"]
    if file["secret"] and mode & 0o077:
        yield Finding("app_file_too_open", {"path": path, "mode": f"{mode:04o}"})
    if file["format"] == "whole":
        if digest(salt, content) != file["digest"]:
            digests = {digest(salt, line) for line in content.splitlines()}
            complete = all(line["digest"] in digests for line in file["variables"])
            yield Finding("app_file_changed" if complete else "app_config_differs", {"path": path})
        return
    try:
        segments = FORMATS[file["format"]](content)
    except FormatError as exc:
        yield Finding("app_file_malformed", {"path": path, "reason": str(exc)})
        return
    for variable in file["variables"]:
        words = {"path": path, "variable": variable["name"]}
        try:
            segment = find(segments, variable["name"])
        except FormatError:
            yield Finding("env_value_twice", words)
            continue
        if segment is None:
            yield Finding("env_value_missing", words)
            continue
        if file["format"] != "dotenv":
            if digest(salt, normal(segment.raw)) != variable["digest"]:
                yield Finding("env_value_differs", {**words, "difference": "its value is different"})
            continue
        exported = os.environ.get(variable["name"])
        if exported and digest(salt, exported.encode("utf-8", "surrogateescape")) != variable["digest"]:
            yield Finding("env_value_overridden", words)
        value = dotenv_text(segment.raw)
        if digest(salt, value.encode("utf-8")) != variable["digest"]:
            difference = _difference(value, variable, salt)
            if difference:
                yield Finding("env_value_differs", {**words, "difference": difference})


def _difference(value: str, variable: Mapping[str, Any], salt: str) -> str:
    """How a value differs, without its password; empty when it has the same meaning."""
    expected = variable.get("parts") or {}
    if not expected:
        # A path may be shown; any other value could be a connection string with its password.
        return f"it is {value}" if value.startswith("/") and "@" not in value else "its value is different"
    try:
        own, password = url_parts(value)
    except ValueError:
        return "it is not a valid connection string"
    split = urlsplit(value.replace("jdbc:", "", 1))
    if "@" in split.path + split.query + split.fragment:
        return "clients read this connection string differently: percent-encode its special characters"
    parts = []
    for key in dict.fromkeys([*expected, *own]):
        actual_part, expected_part = own.get(key) or "", expected.get(key) or ""
        if actual_part != expected_part and key in _SHOWN:
            parts.append(f"{key} is {actual_part or 'missing'}, expected {expected_part or 'none'}")
        elif actual_part != expected_part:
            parts.append(f"{key} is different")
    if digest(salt, password.encode("utf-8", "surrogateescape")) != variable["password_digest"]:
        parts.append("the password is different")
    return "; ".join(parts)


def _key_findings(app: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings about the CA and the client's certificate and key: unreadable, or not the expected CA."""
    for role, path in (("ca", app["ca_file"]), ("cert", app["sslcert"]), ("key", app["sslkey"])):
        if not path:
            continue
        try:
            content = _read(path)
        except _UnreadableError as exc:
            code = "app_ca_unreadable" if role == "ca" else "app_key_unreadable"
            yield Finding(code, {"path": path, "reason": str(exc)})
            continue
        expected = set(app["ca_fingerprints"])
        if role == "ca" and content is not None and expected:
            fingerprints = {certificate.sha256 for certificate in _x509.read_pem(content[0].decode("utf-8", "replace"))}
            if not expected <= fingerprints:
                first = sorted(expected - fingerprints)[0]
                yield Finding("app_ca_changed", {"path": path, "fingerprint": first})
