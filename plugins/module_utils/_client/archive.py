# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vendor's archives of the client: names, download, checksum, safe extraction, smoke test.

Nothing here knows where the client is installed.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import posixpath
import re
import shutil
import socket
import ssl
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import IO, Any, Optional
from urllib.parse import urlsplit

VENDOR_URL = "https://binaries.cockroachdb.com"
PRODUCTS = ("cockroach", "cockroach-sql")
BUILDS = {
    "linux-amd64": "linux-amd64",
    "linux-arm64": "linux-arm64",
    "darwin-amd64": "darwin-10.9-amd64",
    "darwin-arm64": "darwin-11.0-arm64",
}
"""A system and an architecture -> how the archive's name has them: the oldest macOS is part of it."""

ARCHIVE_LIMIT = 1024**3
UNPACKED_LIMIT = 3 * 1024**3
MEMBER_LIMIT = 10000
_CHECKSUM_LIMIT = 4096
# A download that brings less than this in a time-out's length has stalled.
_SLOWEST = 16 * 1024
_BLOCK = 256 * 1024
_SMOKE_TIMEOUT = 60

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_SYSCTL = ("/usr/sbin/sysctl", "/sbin/sysctl")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64})(?:[ \t]+\*?(\S+))?")
_BUILD_TAG = re.compile(r"^\s*Build Tag:\s*(\S+)", re.MULTILINE)


class ClientRefused(Exception):  # noqa: N818 - a verdict, not a fault
    """The client cannot be installed like this; nothing was changed. The message says why and how to go on."""


def build(system: str, machine: str, *, glibc: bool = True, arm64_mac: bool = False) -> str:
    """The build for a machine, as `uname` names it: ``linux-amd64`` and so on.

    `arm64_mac` is what ``sysctl hw.optional.arm64`` says: a translated Python calls an Apple silicon Mac x86_64.
    """
    if system == "Darwin":
        return "darwin-arm64" if arm64_mac or machine == "arm64" else "darwin-amd64"
    if system != "Linux":
        raise ClientRefused(f"There is no client for {system}: the vendor builds it for Linux and macOS.")
    if not glibc:
        raise ClientRefused(
            "This Linux has no glibc (it is musl, as Alpine): the vendor's client does not run on it. Use a host with"
            " glibc, or the driver of your language."
        )
    if machine not in _MACHINES:
        raise ClientRefused(f"There is no client for the architecture {machine}: the vendor builds amd64 and arm64.")
    return f"linux-{_MACHINES[machine]}"


def _sysctl(name: str) -> str:
    for program in _SYSCTL:
        try:
            answer = subprocess.run([program, "-n", name], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except OSError:
            continue
        return answer.stdout.decode("ascii", "replace").strip() if answer.returncode == 0 else ""
    return ""


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False


def this_build() -> str:
    """The build for the machine that this runs on. Raises ClientRefused where there is none."""
    facts = os.uname()
    if facts.sysname == "Darwin":
        return build(facts.sysname, facts.machine, arm64_mac=_sysctl("hw.optional.arm64") == "1")
    return build(facts.sysname, facts.machine, glibc=_has_glibc())


def archive_name(product: str, version: str, build_name: str) -> str:
    """The file's name below the base URL; the checksum's is the same with ``.sha256sum``."""
    return f"{product}-{version}.{BUILDS[build_name]}.tgz"


def archive_url(base_url: str, name: str) -> str:
    """Where an archive is below a base URL."""
    return f"{base_url.rstrip('/')}/{name}"


def checksum_url(base_url: str, name: str) -> str:
    """Where an archive's SHA-256 is below a base URL."""
    return f"{archive_url(base_url, name)}.sha256sum"


def digest_of(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError."""
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(_BLOCK), b""):
            found.update(block)
    return found.hexdigest()


def checked_digest(value: str, what: str) -> str:
    """An operator's own SHA-256 in lower case. Raises ClientRefused when it is none."""
    if not _SHA256.fullmatch(value.strip()):
        raise ClientRefused(f"{what}: {value!r} is no SHA-256, which has 64 hexadecimal digits.")
    return value.strip().lower()


def parse_checksum(content: bytes, name: str) -> str:
    """The digest for the archive `name` in a ``.sha256sum`` file. Raises ClientRefused when it has none."""
    found = set()
    for line in content.decode("utf-8", "replace").splitlines():
        match = _CHECKSUM_LINE.fullmatch(line.strip())
        if match and posixpath.basename(match.group(2) or name) == name:
            found.add(match.group(1).lower())
    if len(found) != 1:
        raise ClientRefused(
            f"{name}.sha256sum: has {'no' if not found else 'more than one'} SHA-256 of {name}. Look at the URL, or"
            " give the digest yourself (crdb_client_sha256)."
        )
    return found.pop()


def compare(actual: str, wanted: str, name: str) -> None:
    """Raise ClientRefused when an archive is not the one that the checksum is of."""
    if actual != wanted:
        raise ClientRefused(
            f"{name}: has the SHA-256 {actual}, wanted is {wanted}. It was damaged or replaced on its way; nothing of"
            " it was unpacked."
        )


def _https(url: str) -> str:
    if urlsplit(url).scheme != "https":
        raise ClientRefused(f"{url}: a client is downloaded over https only.")
    return url


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Downloader:
    """Downloads over https, by the proxy and the CA bundle that were given, else by the environment's and the system's.

    `timeout` is in seconds, and for a pause: a large file may take its time as long as something comes.
    """

    def __init__(self, *, ca_file: str = "", proxy: str = "", timeout: float = 60.0) -> None:
        try:
            context = ssl.create_default_context(cafile=ca_file or None)
        except (OSError, ssl.SSLError) as exc:
            raise ClientRefused(f"crdb_client_ca_file {ca_file}: cannot be read as PEM: {exc}.") from None
        proxies = urllib.request.ProxyHandler({"https": proxy} if proxy else None)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), proxies, _HttpsOnly())
        self._timeout = timeout

    def text(self, url: str) -> bytes:
        """A small file's bytes. Raises ClientRefused."""
        target = io.BytesIO()
        self._fetch(url, target, _CHECKSUM_LIMIT, "")
        return target.getvalue()

    def file(self, url: str, path: str) -> None:
        """Put a URL's body into a new file. Raises ClientRefused, OSError for what the disk says."""
        with open(path, "xb") as target:
            self._fetch(url, target, ARCHIVE_LIMIT, os.path.dirname(path))
            target.flush()
            os.fsync(target.fileno())

    def _fetch(self, url: str, target: IO[bytes], limit: int, folder: str) -> None:
        try:
            with self._opener.open(_https(url), timeout=self._timeout) as answer:
                length = int(answer.headers.get("Content-Length") or 0)
                if length > limit:
                    raise ClientRefused(f"{url}: has {length} bytes, more than the {limit} that are allowed.")
                if folder:
                    enough_space(folder, length)
                self._copy(url, answer, target, limit, length)
        except urllib.error.HTTPError as exc:
            hint = " Is it a version that the server has?" if exc.code == 404 else ""
            raise ClientRefused(f"{url}: the server answered {exc.code} {exc.reason}.{hint}") from None
        except urllib.error.URLError as exc:
            if isinstance(exc.reason, (socket.timeout, TimeoutError)):
                raise self._stalled(url) from None
            raise ClientRefused(f"{url}: cannot be downloaded: {exc.reason}.") from None
        except (socket.timeout, TimeoutError):
            raise self._stalled(url) from None
        except (ConnectionError, ssl.SSLError, ValueError) as exc:
            raise ClientRefused(f"{url}: the download broke off: {exc}.") from None

    def _stalled(self, url: str) -> ClientRefused:
        return ClientRefused(
            f"{url}: the download stalled for {self._timeout:g} s. Try again, or let the controller download it"
            " (crdb_client_source: controller)."
        )

    def _copy(self, url: str, answer: Any, target: IO[bytes], limit: int, length: int) -> None:
        total = window = 0
        since = time.monotonic()
        while True:
            block = answer.read1(_BLOCK)
            if not block:
                break
            total += len(block)
            window += len(block)
            if total > limit:
                raise ClientRefused(f"{url}: has more than the {limit} bytes that are allowed.")
            target.write(block)
            now = time.monotonic()
            if now - since > self._timeout:
                if window < _SLOWEST:
                    raise self._stalled(url)
                window, since = 0, now
        if length and total != length:
            raise ClientRefused(f"{url}: the download broke off after {total} of {length} bytes.")


def enough_space(folder: str, needed: int) -> None:
    """Raise ClientRefused when a folder's file system has less than `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ClientRefused(f"{folder}: no space left: {free // 1024} KiB are free, {needed // 1024} KiB are needed.")


class _Limited(io.RawIOBase):
    """What is unpacked of a stream, up to a limit: a small archive can hold any number of zeros."""

    def __init__(self, stream: IO[bytes], limit: int, name: str) -> None:
        super().__init__()
        self._stream, self._left, self._name = stream, limit, name

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(min(size, _BLOCK) if size >= 0 else _BLOCK)
        self._left -= len(block)
        if self._left < 0:
            raise ClientRefused(f"{self._name}: unpacks to more than {UNPACKED_LIMIT} bytes; that is no client.")
        return block


def _place(member: tarfile.TarInfo, top: str, name: str) -> str:
    """Where a member goes below the archive's one folder; empty for that folder itself."""
    parts = member.name.rstrip("/").split("/")
    if member.name.startswith("/") or ".." in parts or "\0" in member.name:
        raise ClientRefused(f"{name}: {member.name!r} leads out of the folder that it is unpacked into.")
    parts = [part for part in parts if part not in ("", ".")]
    if parts and parts[0] != top:
        raise ClientRefused(f"{name}: {member.name!r} is not below {top}/, as the vendor's archives have it.")
    return "/".join(parts[1:])


def _link(member: tarfile.TarInfo, place: str, name: str) -> str:
    target = member.linkname
    within = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
    if not member.issym() or target.startswith("/") or within == ".." or within.startswith("../"):
        raise ClientRefused(f"{name}: {member.name!r} is a link to {target!r}, out of the folder.")
    return target


def _extract_members(archive: tarfile.TarFile, top: str, folder: str, name: str) -> Iterable[str]:
    total = 0
    for count, member in enumerate(archive):
        total += member.size
        if count >= MEMBER_LIMIT or total > UNPACKED_LIMIT:
            raise ClientRefused(f"{name}: unpacks to more than {UNPACKED_LIMIT} bytes or {MEMBER_LIMIT} files.")
        place = _place(member, top, name)
        target = os.path.join(folder, *place.split("/"))
        parent = os.path.dirname(target) if place else folder
        if place and os.path.realpath(parent) != os.path.join(os.path.realpath(folder), *place.split("/")[:-1]):
            raise ClientRefused(f"{name}: {member.name!r} goes through a link.")
        if member.isdir():
            os.makedirs(target, 0o755, exist_ok=True)
        elif member.issym() or member.islnk():
            os.makedirs(parent, 0o755, exist_ok=True)
            os.symlink(_link(member, place, name), target)
        elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and place:
            enough_space(folder, member.size)
            os.makedirs(parent, 0o755, exist_ok=True)
            source = archive.extractfile(member)
            with open(target, "xb") as stream:
                shutil.copyfileobj(source, stream, _BLOCK)  # type: ignore[arg-type]
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(target, 0o755 if member.mode & 0o100 else 0o644)
            yield place
        else:
            raise ClientRefused(f"{name}: {member.name!r} is neither a file, a folder nor a link.")


def extract(path: str, name: str, product: str, folder: str) -> None:
    """Unpack an archive of a product into a new folder, without the archive's own top folder.

    The program is called as the product, whatever the archive calls it. Raises ClientRefused for what leads out of the
    folder, is too large, is truncated or holds no such program; what was unpacked then is the caller's to remove.
    """
    top = name[: -len(".tgz")]
    os.mkdir(folder, 0o755)
    try:
        with gzip.open(path, "rb") as stream:
            limited: Any = _Limited(stream, UNPACKED_LIMIT, name)  # type: ignore[arg-type]
            with tarfile.open(fileobj=limited, mode="r|", bufsize=_BLOCK) as archive:
                places = set(_extract_members(archive, top, folder, name))
            # To the end of the stream, where its checksum is.
            while limited.read(_BLOCK):
                pass
    except (EOFError, tarfile.TarError, gzip.BadGzipFile, ValueError) as exc:
        raise ClientRefused(f"{name}: is truncated or no archive: {exc}.") from None
    except FileExistsError as exc:
        raise ClientRefused(f"{name}: has {exc.filename} twice.") from None
    except OSError as exc:
        if exc.errno is None:
            raise ClientRefused(f"{name}: is truncated or no archive: {exc}.") from None
        raise
    program = os.path.join(folder, product)
    if product not in places and "cockroach" in places:
        os.rename(os.path.join(folder, "cockroach"), program)
    elif product not in places:
        raise ClientRefused(f"{name}: holds no program {top}/{product}.")
    os.chmod(program, 0o755)  # noqa: S103 - programs and folders for everybody


def smoke_test(program: str, product: str, version: str, home: str) -> None:
    """Run a program from where it was unpacked. Raises ClientRefused unless it says that it is `version`."""
    # cockroach-sql has no subcommand for it.
    words = [program, "version" if product == "cockroach" else "--version"]
    environment = {"PATH": os.defpath, "HOME": home, "LANG": "C", "LC_ALL": "C"}
    try:
        answer = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, cwd=home, timeout=_SMOKE_TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ClientRefused(f"{product} {version}: does not run here: no answer within {_SMOKE_TIMEOUT} s.") from None
    except OSError as exc:
        raise ClientRefused(f"{product} {version}: does not run here: {exc.strerror}.") from None
    text = answer.stdout.decode("utf-8", "replace")
    if answer.returncode != 0:
        last = " ".join(text.split())[-300:]
        raise ClientRefused(f"{product} {version}: does not run here: exit code {answer.returncode}: {last}")
    found: Optional[re.Match[str]] = _BUILD_TAG.search(text)
    if found is None or found.group(1) != version:
        said = found.group(1) if found else repr(text[:100])
        raise ClientRefused(f"{product} {version}: the program in the archive says that it is {said}.")
