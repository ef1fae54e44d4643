# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""What an app would connect with: its files, read back as its user, against what the inventory says.

Only digests under a salt of the call tell whether a value is the expected one, so that reading back needs no more
secrets on the host than the check itself. Nothing is written.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS, FormatError, find, normal
from ansible_collections.crdb.onboard.plugins.module_utils._wire import x509 as _x509

_LIMIT = 1024 * 1024
# Parts of a connection string that hold no secret.
_SHOWN = ("host", "port", "database", "user", "sslmode", "sslrootcert", "sslcert", "sslkey", "options")
_VALUE = re.compile(rb"\A[ \t]*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_.]*[ \t]*=[ \t]*(.*)\Z", re.DOTALL)


class Finding(NamedTuple):
    """What is not as it should be: a code of CATALOGUE or NOTES, and words for its sentences; no secret."""

    code: str
    words: dict[str, str]


class _UnreadableError(Exception):
    """A file is there and cannot be read; the text says why."""


def digest(salt: str, content: bytes) -> str:
    """What tells whether two contents are the same, and nothing else to who does not have one of them."""
    return hmac.new(salt.encode("ascii"), content, "sha256").hexdigest()


def url_parts(value: str) -> tuple[dict[str, str], str]:
    """The parts of a connection string for comparison, and its password. Raises ValueError.

    JDBC's user and password come from its query.
    """
    parts = urlsplit(value[5:] if value.startswith("jdbc:") else value)
    scheme = value.partition("://")[0].lower()
    query = dict(parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape"))
    password = query.pop("password", None) or unquote(parts.password or "", errors="surrogateescape")
    found = {
        # The two names are the same to libpq and to every driver that reads this variable.
        "scheme": "postgresql" if scheme == "postgres" else scheme,
        "host": parts.hostname or "",
        "port": str(parts.port or ""),
        "database": unquote(parts.path[1:]),
        "user": query.pop("user", None) or unquote(parts.username or ""),
        **query,
    }
    return found, password


def _read(path: str) -> Optional[tuple[bytes, int]]:
    """Content and mode of a file; None when there is none. Raises _UnreadableError."""
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


def unquoted(raw: bytes) -> str:
    """The value of a dotenv assignment, as the loaders read it where they agree."""
    found = _VALUE.match(raw.rstrip(b"\r\n"))
    value = found.group(1) if found else b""
    quote = value[:1]
    if quote in (b"'", b'"') and quote in value[1:]:
        return value[1:].rpartition(quote)[0].decode("utf-8", "replace")
    return re.sub(rb"[ \t]+#.*\Z|[ \t]+\Z", b"", value).decode("utf-8", "replace")


def inspect(app: Mapping[str, Any]) -> list[Finding]:
    """All findings about an app, by the rights of this process. Raises nothing for what lies on the disk.

    `app`: as the module's option `apps` describes it.
    """
    found: list[Finding] = []
    contents: dict[str, tuple[bytes, int]] = {}
    missing = []
    for file in app["files"]:
        try:
            content = _read(file["path"])
        except _UnreadableError as exc:
            found.append(Finding("app_file_unreadable", {"path": file["path"], "reason": str(exc)}))
            continue
        if content is None:
            missing.append(file["path"])
        else:
            contents[file["path"]] = content
    if missing and not contents and not found:
        return [Finding("app_not_configured", {"path": missing[0]}), *_keys(app)]
    found += [Finding("app_file_missing", {"path": path}) for path in missing]
    for file in app["files"]:
        if file["path"] in contents:
            found += _judged(file, *contents[file["path"]], salt=app["salt"])
    return [*found, *_keys(app)]


def _judged(file: Mapping[str, Any], content: bytes, mode: int, *, salt: str) -> Iterator[Finding]:
    path = file["path"]
    if file["secret"] and mode & 0o077:
        yield Finding("app_file_too_open", {"path": path, "mode": f"{mode:04o}"})
    if file["format"] == "whole":
        if digest(salt, content) != file["digest"]:
            there = {digest(salt, line) for line in content.splitlines()}
            held = all(line["digest"] in there for line in file["variables"])
            yield Finding("app_file_changed" if held else "app_config_differs", {"path": path})
        return
    try:
        segments = FORMATS[file["format"]](content)
    except FormatError as exc:
        yield Finding("app_file_unreadable", {"path": path, "reason": str(exc)})
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
                yield Finding("env_value_differs", {**words, "difference": "it is another one"})
            continue
        value = unquoted(segment.raw)
        if digest(salt, value.encode("utf-8")) != variable["digest"]:
            difference = _difference(value, variable, salt)
            if difference:
                yield Finding("env_value_differs", {**words, "difference": difference})


def _difference(value: str, variable: Mapping[str, Any], salt: str) -> str:
    """In what a value differs, without its password; empty when it means the same."""
    expected = variable.get("parts") or {}
    if not expected:
        # Whatever was put there: a path is shown, a connection string is not.
        return f"it is {value}" if value.startswith("/") and "@" not in value else "it is something else"
    try:
        own, password = url_parts(value)
    except ValueError:
        return "it is no connection string"
    split = urlsplit(value.replace("jdbc:", "", 1))
    if "@" in split.path + split.query + split.fragment:
        return "it is no connection string that all clients read alike: is everything special percent-encoded?"
    parts = []
    for key in dict.fromkeys([*expected, *own]):
        there, wanted = own.get(key) or "", expected.get(key) or ""
        if there != wanted and key in _SHOWN:
            parts.append(f"{key} is {there or 'missing'} and not {wanted or 'given'}")
        elif there != wanted:
            parts.append(f"{key} is another one")
    if digest(salt, password.encode("utf-8", "surrogateescape")) != variable["password_digest"]:
        parts.append("the password is another one")
    return "; ".join(parts)


def _keys(app: Mapping[str, Any]) -> Iterator[Finding]:
    """The CA and the client's key: whether the app's user can read them, and whether the CA is the expected one."""
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
            held = {certificate.sha256 for certificate in _x509.read_pem(content[0].decode("latin-1"))}
            if not expected <= held:
                first = sorted(expected - held)[0]
                yield Finding("app_ca_changed", {"path": path, "fingerprint": first})
