# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for HashiCorp Vault's PKI secrets engine: real HTTPS, real signing, the refusals in Vault's words.

It signs as Vault does: the key of the request, and the names and the lifetime that were asked for.
"""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TOKEN = "hvs.canary-of-the-vault-token"
ROLE = "client"
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode().strip()


class Vault:
    """A running server.

    Args:
        ca: the CA that signs: its certificate and key.
        tls: files of the server's certificate and key; None for http.

    What it does can be changed: `allowed` names, the longest lifetime `max_ttl` in seconds, `sealed`, an `answer`
    (status and body) in place of its own, the `namespace` that it needs, and whether an `intermediate` signs.
    """

    def __init__(self, ca: tuple[x509.Certificate, Any], tls: tuple[Path, Path] | None = None) -> None:
        self.root, self.root_key = ca
        self.allowed = ["roach", "shop", "petra"]
        self.max_ttl = 90 * 86400
        self.sealed = False
        self.namespace = ""
        self.answer: tuple[int, bytes, dict[str, str]] | None = None
        self.intermediate: tuple[x509.Certificate, Any] | None = None
        self.requests: list[tuple[str, Mapping[str, str], dict[str, Any]]] = []
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                vault.requests.append((self.path, dict(self.headers), body))
                status, content, headers = vault.answer or vault.respond(self.path, self.headers, body)
                self.send_response(status)
                for key, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_words: object) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()

    def use_intermediate(self) -> None:
        """Let an intermediate CA sign, which the root signed."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateBuilder(
            self.root.subject,
            _name("Vault intermediate"),
            key.public_key(),
            9,
            NOW,
            NOW + datetime.timedelta(days=99),
            [],
        ).add_extension(x509.BasicConstraints(True, 0), True)
        self.intermediate = builder.sign(self.root_key, hashes.SHA256()), key

    def respond(self, path: str, headers: Any, body: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        """The status, the body and the headers of an answer."""

        def refused(status: int, *errors: str) -> tuple[int, bytes, dict[str, str]]:
            return status, json.dumps({"errors": errors}).encode(), {}

        if self.sealed:
            return refused(503, "Vault is sealed")
        if headers.get("X-Vault-Token") != TOKEN or headers.get("X-Vault-Namespace", "") != self.namespace:
            return refused(403, "1 error occurred:\n\t* permission denied\n\n")
        if not path.startswith("/v1/pki/sign/"):
            return refused(404, f'no handler for route "{path[4:]}". route entry not found.')
        if path != f"/v1/pki/sign/{ROLE}":
            return refused(400, f"unknown role: {path.rpartition('/')[2]}")
        for name in [body["common_name"], *filter(None, body["alt_names"].split(","))]:
            if name not in self.allowed:
                return refused(400, f"common name {name} not allowed by this role")
        return 200, json.dumps({"data": self._sign(body), "warnings": None}).encode(), {}

    def _sign(self, body: dict[str, Any]) -> dict[str, Any]:
        request = x509.load_pem_x509_csr(body["csr"].encode())
        ca, key = self.intermediate or (self.root, self.root_key)
        seconds = min(int(body["ttl"].removesuffix("h")) * 3600, self.max_ttl)
        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        builder = x509.CertificateBuilder(
            ca.subject, _name(body["common_name"]), request.public_key(), x509.random_serial_number(),
            NOW - datetime.timedelta(seconds=30), ends, [],
        )  # fmt: skip
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        names = [x509.DNSName(name) for name in filter(None, body["alt_names"].split(","))]
        if not body["exclude_cn_from_sans"]:
            names.insert(0, x509.DNSName(body["common_name"]))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        chain = [_pem(ca)] + ([_pem(self.root)] if self.intermediate else [])
        certificate = _pem(builder.sign(key, hashes.SHA256()))
        return {"certificate": certificate, "issuing_ca": chain[0], "ca_chain": chain, "serial_number": "7a:00"}
