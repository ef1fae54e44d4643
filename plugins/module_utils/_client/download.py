# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Download archives of the client over https, and verify their SHA-256.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import re
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._http.client import HttpClient, Response, tls_context
from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import (
    EncodingError,
    HttpError,
    TimedOutError,
    TooLargeError,
    TruncatedError,
)
from ansible_collections.crdb.onboard.plugins.module_utils._http.places import shown

ARCHIVE_LIMIT = 1024**3
_CHECKSUM_LIMIT = 4096
# A download that brings fewer bytes than this during one timeout has stalled.
_LEAST_PROGRESS = 16 * 1024
_REDIRECTS = 10
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
            " option sha256 (crdb_client_sha256) to the archive's digest."
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
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme != "https":
        raise ClientError(f"{url}: the client is downloaded over https only. Use an https URL.")
    return url


class Downloader:
    """Downloads over https. The default proxy is the environment's, the default CA bundle the system's.

    `timeout` is how long in seconds a response may take to begin, and then the longest time without progress. A large
    file may take longer, as long as bytes keep coming.
    """

    def __init__(self, *, ca_file: str = "", proxy: str = "", timeout: float = 60.0) -> None:
        try:
            self._http = HttpClient(timeout, tls_context(ca_file), proxy=proxy)
        except HttpError as exc:
            raise ClientError(f"{exc}.") from None
        self._timeout = timeout

    def read(self, url: str) -> bytes:
        """Return the content of a small file. Raises ClientError."""
        content = b""
        with self._open(url) as response:
            content = response.read(_CHECKSUM_LIMIT)
        return content

    def save(self, url: str, path: str) -> None:
        """Write the content of a URL to a new file. Raises ClientError, and OSError for errors of the disk."""
        with open(path, "xb") as target:
            # An archive is compressed itself, and some servers call that its encoding: it is kept as it was sent.
            with self._open(url) as response:
                if response.length and response.length <= ARCHIVE_LIMIT:
                    check_free_space(os.path.dirname(path), response.length)
                window = 0
                for block in response.blocks(ARCHIVE_LIMIT):
                    target.write(block)
                    window += len(block)
                    if window >= _LEAST_PROGRESS:
                        self._http.deadline.renew()
                        window = 0
            target.flush()
            os.fsync(target.fileno())

    @contextlib.contextmanager
    def _open(self, url: str) -> Iterator[Response]:
        """The response of a server that has the file. Raises ClientError, also for what fails while it is read."""
        name = shown(url)
        try:
            # The `with` of the caller ends this one too.
            # pylint: disable-next=contextmanager-generator-missing-cleanup
            with self._http.open(require_https(url), redirects=_REDIRECTS) as response:
                if response.status != 200:
                    hint = " Check that the server has this version." if response.status == 404 else ""
                    raise ClientError(f"{name}: the server answered {response.status} {response.reason}.{hint}")
                yield response
        except TimedOutError:
            raise ClientError(
                f"{name}: the download stalled for {self._timeout:g} s. Try again, or set `source: controller`"
                " (crdb_client_source) to download on the controller."
            ) from None
        except (TooLargeError, EncodingError) as exc:
            raise ClientError(f"{name}: {exc}. Check the URL.") from None
        except TruncatedError as exc:
            raise ClientError(f"{name}: the download was interrupted: {exc}. Try again.") from None
        except HttpError as exc:
            raise ClientError(f"{name} cannot be downloaded: {exc}.") from None
