# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Download archives of the client over https, and verify their SHA-256.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from typing import IO, Any
from urllib.parse import urlsplit

from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError

ARCHIVE_LIMIT = 1024**3
_CHECKSUM_LIMIT = 4096
# A download that brings fewer bytes than this during one timeout has stalled.
_SLOWEST = 16 * 1024
_BLOCK = 256 * 1024

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64})(?:[ \t]+\*?(\S+))?")


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def parse_digest(value: str, option: str) -> str:
    """Return an operator's own SHA-256 in lower case. Raises ClientError when it is malformed."""
    if not _SHA256.fullmatch(value.strip()):
        raise ClientError(f"{option} must be a SHA-256 of 64 hexadecimal digits, not {value!r}.")
    return value.strip().lower()


def parse_checksum(content: bytes, name: str) -> str:
    """Return the digest of the archive `name` from a ``.sha256sum`` file.

    Raises ClientError unless the file has exactly one digest for it.
    """
    digests = set()
    for line in content.decode("utf-8", "replace").splitlines():
        match = _CHECKSUM_LINE.fullmatch(line.strip())
        if match and posixpath.basename(match.group(2) or name) == name:
            digests.add(match.group(1).lower())
    if len(digests) != 1:
        raise ClientError(
            f"{name}.sha256sum has {'more than one' if digests else 'no'} SHA-256 of {name}. Check the URL, or set the"
            " option sha256 to the archive's digest."
        )
    return digests.pop()


def compare_digests(actual: str, expected: str, name: str) -> None:
    """Raise ClientError when the digests differ."""
    if actual != expected:
        raise ClientError(
            f"{name}: expected the SHA-256 {expected} but got {actual}. The archive was damaged or replaced on its way."
            " Nothing was unpacked. Try again, or check the server."
        )


def check_free_space(folder: str, needed: int) -> None:
    """Raise ClientError when the file system of a folder has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ClientError(
            f"{folder}: no space left: {needed // 1024} KiB are needed, {free // 1024} KiB are free. Free some space."
        )


def require_https(url: str) -> str:
    """Return the URL. Raises ClientError when its scheme is not https."""
    if urlsplit(url).scheme != "https":
        raise ClientError(f"{url}: the client is downloaded over https only. Use an https URL.")
    return url


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Downloader:
    """Downloads over https. The default proxy is the environment's, the default CA bundle the system's.

    `timeout` is the longest pause in seconds. A large file may take longer, as long as bytes keep coming.
    """

    def __init__(self, *, ca_file: str = "", proxy: str = "", timeout: float = 60.0) -> None:
        try:
            context = ssl.create_default_context(cafile=ca_file or None)
        except (OSError, ssl.SSLError) as exc:
            raise ClientError(f"ca_file {ca_file} cannot be read as a PEM file: {exc}.") from None
        proxies = urllib.request.ProxyHandler({"https": proxy} if proxy else None)
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), proxies, _HttpsRedirects()
        )
        self._timeout = timeout

    def read(self, url: str) -> bytes:
        """Return the content of a small file. Raises ClientError."""
        target = io.BytesIO()
        self._fetch(url, target, _CHECKSUM_LIMIT, "")
        return target.getvalue()

    def save(self, url: str, path: str) -> None:
        """Write the content of a URL to a new file. Raises ClientError, and OSError for errors of the disk."""
        with open(path, "xb") as target:
            self._fetch(url, target, ARCHIVE_LIMIT, os.path.dirname(path))
            target.flush()
            os.fsync(target.fileno())

    def _fetch(self, url: str, target: IO[bytes], limit: int, folder: str) -> None:
        try:
            with self._opener.open(require_https(url), timeout=self._timeout) as response:
                length = int(response.headers.get("Content-Length") or 0)
                if length > limit:
                    raise ClientError(f"{url} has {length} bytes; at most {limit} are allowed. Check the URL.")
                if folder:
                    check_free_space(folder, length)
                self._copy(url, response, target, limit, length)
        except urllib.error.HTTPError as exc:
            hint = " Check that the server has this version." if exc.code == 404 else ""
            raise ClientError(f"{url}: the server answered {exc.code} {exc.reason}.{hint}") from None
        except urllib.error.URLError as exc:
            if isinstance(exc.reason, (socket.timeout, TimeoutError)):
                raise self._stalled(url) from None
            raise ClientError(f"{url} cannot be downloaded: {exc.reason}.") from None
        except (socket.timeout, TimeoutError):
            raise self._stalled(url) from None
        except (ConnectionError, ssl.SSLError, ValueError) as exc:
            raise ClientError(f"{url}: the download was interrupted: {exc}. Try again.") from None

    def _stalled(self, url: str) -> ClientError:
        return ClientError(
            f"{url}: the download stalled for {self._timeout:g} s. Try again, or set `source: controller` to download"
            " on the controller."
        )

    def _copy(self, url: str, response: Any, target: IO[bytes], limit: int, length: int) -> None:
        total = window = 0
        since = time.monotonic()
        while True:
            block = response.read1(_BLOCK)
            if not block:
                break
            total += len(block)
            window += len(block)
            if total > limit:
                raise ClientError(f"{url} has more than the {limit} bytes that are allowed. Check the URL.")
            target.write(block)
            now = time.monotonic()
            if now - since > self._timeout:
                if window < _SLOWEST:
                    raise self._stalled(url)
                window, since = 0, now
        if length and total != length:
            raise ClientError(f"{url}: the download was interrupted after {total} of {length} bytes. Try again.")
