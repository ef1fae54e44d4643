# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for the vendor's download server: archives of the real layout.

The program inside answers `version`.
The real archives cannot be had where the tests run. `python -m tests.vendor FOLDER VERSION...` writes some.
"""

from __future__ import annotations

import contextlib
import datetime
import gzip
import hashlib
import http.server
import io
import ipaddress
import ssl
import sys
import tarfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from ansible_collections.crdb.onboard.plugins.module_utils._client.builds import BUILDS, PRODUCTS, archive_name
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROGRAM = """#!/bin/sh
# A stand-in for {product} {version}.
case "$1" in
version | --version) printf 'Build Tag:        {version}\\nBuild Type:       release\\n' ;;
gen) echo "# completion of {product} {version} for $3" ;;
*) env ;;
esac
"""


def program(product: str, version: str) -> bytes:
    """The stand-in's text."""
    return PROGRAM.format(product=product, version=version).encode("ascii")


Member = tuple[tarfile.TarInfo, Optional[bytes]]


def member(
    name: str, content: bytes | None = b"", *, mode: int = 0o644, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> Member:
    """An entry for `pack`."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = len(content or b""), mode, kind, link
    return info, content


def layout(product: str, version: str, build: str, *, text: bytes | None = None) -> list[Member]:
    """What the vendor's archive of a product holds."""
    top = archive_name(product, version, build)[: -len(".tgz")]
    entries = [member(f"{top}/{product}", text if text is not None else program(product, version), mode=0o755)]
    if product == "cockroach":
        suffix = "dylib" if build.startswith("darwin") else "so"
        entries += [
            member(f"{top}/lib/{name}.{suffix}", b"\x7fELF " + name.encode()) for name in ("libgeos", "libgeos_c")
        ]
    return [
        *entries,
        member(f"{top}/LICENSE.txt", b"a licence\n"),
        member(f"{top}/THIRD-PARTY-NOTICES.txt", b"notices\n"),
    ]


def pack(entries: Iterable[Member]) -> bytes:
    """A .tgz of these entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content) if content is not None else None)
    return out.getvalue()


def zeros(top: str, size: int) -> bytes:
    """A small archive whose one file has `size` zeros, by its header and by its first gigabytes."""
    info = tarfile.TarInfo(f"{top}/cockroach")
    info.size, info.mode = size, 0o755
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024 * 1024))


def put(folder: Path, name: str, content: bytes, *, checksum: str | None = None) -> None:
    """Write an archive and its checksum's file; `checksum` is another text for that."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    (folder / f"{name}.sha256sum").write_text(
        checksum if checksum is not None else f"{hashlib.sha256(content).hexdigest()}  {name}\n"
    )


def publish(folder: Path, *versions: str) -> None:
    """All archives of some versions."""
    for version in versions:
        for product in PRODUCTS:
            for build in BUILDS:
                put(folder, archive_name(product, version, build), pack(layout(product, version, build)))


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, directory=str(arguments[2].folder), **more)  # type: ignore[attr-defined,arg-type]

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.end_headers()
        elif self.path.endswith(self.server.stalled) and self.server.stalled:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not self.server.closing.wait(self.server.drip):
                    self.wfile.write(b"x")
                    self.wfile.flush()
        else:
            super().do_GET()

    def log_message(self, *arguments: object) -> None:
        """Nothing: the tests read `requests`."""


class Server(http.server.ThreadingHTTPServer):
    """An https server of a folder, with a CA of its own in `ca_file`; `stalled` ends a path that never comes whole."""

    daemon_threads = True

    def __init__(self, folder: Path, state: Path, address: str = "127.0.0.1") -> None:
        self.folder, self.ca_file = folder, state / "vendor-ca.crt"
        self.requests: list[str] = []
        self.redirects: dict[str, str] = {}
        self.stalled, self.drip = "", 60.0
        self.closing = threading.Event()
        super().__init__((address, 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(self.ca_file, address))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://{address}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that goes away is what some tests are about."""

    def close(self) -> None:
        """End it."""
        self.closing.set()
        self.shutdown()
        self.server_close()


def _certificate(path: Path, address: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in for the vendor's download server")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(pem)
    both = path.with_suffix(".pem")
    both.touch(mode=0o600)
    both.write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return both


if __name__ == "__main__":
    publish(Path(sys.argv[1]), *sys.argv[2:])
