# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check's verdict on a certificate is libpq's under verify-full, on every Python; and who would be stricter.

Each row is one listener, to which the check, psycopg's libpq and psql's libpq connect. Where libpq lets in, the real
Go, Node.js and Python 3.13 connect too: those that do not are the ones that the note names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from tests.faults import table
from tests.faults.broken import BrokenServer, Peer
from tests.faults.certificates import CA_USAGE, DAY, NOW, Authority, self_signed
from tests.faults.table import DATABASE, PASSWORD, USER
from tests.faults.test_faults import ROOT, interpreter

HOST = "db.shop.test"
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")

# Reads [[endpoint, ...]] and writes the reports; every name leads to loopback.
CHECK = """
import json, socket, sys
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, port, *a, **k: real("127.0.0.1", port, *a, **k)
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoints
print(json.dumps([r.as_dict() for r in check_endpoints([Endpoint.from_dict(e) for e in json.load(sys.stdin)])]))
"""

# Reads [[port, host, ca file]] and writes whether the client's own TLS lets each server in.
PYTHON_CLIENT = """
import json, socket, ssl, struct, sys
found = []
for port, host, ca in json.load(sys.stdin):
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(struct.pack("!II", 8, 80877103))
    sock.recv(1)
    try:
        ssl.create_default_context(cafile=ca).wrap_socket(sock, server_hostname=host).close()
        found.append(True)
    except (ssl.SSLError, ValueError):
        found.append(False)
print(json.dumps(found))
"""

NODE_CLIENT = """
const fs = require("fs"), net = require("net"), tls = require("tls");
const rows = JSON.parse(fs.readFileSync(0));
const one = ([port, host, ca]) => new Promise((resolve) => {
  const plain = net.connect(port, "127.0.0.1");
  plain.on("error", () => resolve(false));
  plain.on("connect", () => plain.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])));
  plain.once("data", () => {
    // As pg does: no SNI for an address, and the name is checked.
    const secure = tls.connect({ socket: plain, ca: fs.readFileSync(ca), host,
      servername: net.isIP(host) ? "" : host });
    secure.on("error", () => resolve(false));
    secure.on("secureConnect", () => { resolve(true); secure.destroy(); });
  });
});
(async () => {
  const found = [];
  for (const row of rows) found.push(await one(row));
  console.log(JSON.stringify(found));
  process.exit(0);
})();
"""

GO_CLIENT = """
package main

import (
    "crypto/tls"
    "crypto/x509"
    "encoding/json"
    "fmt"
    "net"
    "os"
)

func one(port int, host string, file string) bool {
    text, _ := os.ReadFile(file)
    roots := x509.NewCertPool()
    roots.AppendCertsFromPEM(text)
    plain, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
    if err != nil {
        return false
    }
    defer plain.Close()
    plain.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47})
    plain.Read(make([]byte, 1))
    return tls.Client(plain, &tls.Config{RootCAs: roots, ServerName: host}).Handshake() == nil
}

func main() {
    var rows [][3]any
    json.NewDecoder(os.Stdin).Decode(&rows)
    found := []bool{}
    for _, row := range rows {
        found = append(found, one(int(row[0].(float64)), row[1].(string), row[2].(string)))
    }
    json.NewEncoder(os.Stdout).Encode(found)
}
"""


@dataclass
class Row:
    """A certificate, the host and the CA that it is verified by, and whether libpq lets it in."""

    name: str
    accepted: bool
    pem: Path
    ca: str
    host: str = HOST
    weak: bool = False
    # The code of the verdict when it is refused.
    code: str = "tls_wrong_host"
    servers: list[BrokenServer] = field(default_factory=list)


class _Rows:
    """The rows, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: list[Row] = []
        self.ca = Authority(folder, "Table CA")
        self.root = Authority(folder, "Root", organization="Table")
        self.middle = Authority(folder, "Middle", parent=self.root, organization="Table")
        self.names()
        self.addresses()
        self.dates()
        self.chains()
        self.usages()

    def add(self, name: str, accepted: bool, host: str = HOST, *, by: Authority | None = None, **facts: Any) -> None:
        row = {key: facts.pop(key) for key in ("ca", "code") if key in facts}
        weak = bool(facts.get("weak"))
        issuer = by or self.ca
        facts.setdefault("names", (HOST,))
        facts.setdefault("addresses", ())
        pem = issuer.issue(f"row{len(self.found)}", common=facts.pop("common", "someone"), **facts)
        row.setdefault("ca", str(issuer.path))
        self.found.append(Row(name, accepted, pem, host=host, weak=weak, **row))

    def names(self) -> None:
        self.add("the name", True)
        self.add("another name", False, names=("db.other.test",))
        self.add("one of several", True, names=("a.test", HOST, "b.test"))
        self.add("a wildcard", True, names=("*.shop.test",))
        self.add("a wildcard, one label too few", False, "shop.test", names=("*.shop.test",))
        self.add("a wildcard, one label too many", False, "a.db.shop.test", names=("*.shop.test",))
        self.add("a wildcard for two labels", True, "shop.test", names=("*.test",))
        self.add("a wildcard alone", False, "localhost", names=("*",))
        self.add("a wildcard in a label", False, names=("d*.shop.test",))
        self.add("a wildcard not in front", False, names=("db.*.test",))
        self.add("two wildcards", False, names=("*.*.test",))
        self.add("a name in upper case", True, names=("DB.Shop.TEST",))
        self.add("a host in upper case", True, "DB.SHOP.TEST")
        self.add("a host with a dot at its end", False, "db.shop.test.")
        self.add("a name with a dot at its end", False, names=("db.shop.test.",))
        self.add("punycode", True, "xn--bcher-kva.shop.test", names=("xn--bcher-kva.shop.test",))
        self.add("a NUL in a name", False, names=("db.shop.test\0.evil.test",))
        self.add("a NUL in the name before the right one", False, names=("a\0b", HOST))
        self.add("an underscore", True, "my_db.shop.test", names=("my_db.shop.test",))
        self.add("a common name alone", True, sans=False, common=HOST)
        self.add("a common name that is a wildcard", True, sans=False, common="*.shop.test")
        self.add("a common name in letters of its own", False, sans=False, common="bücher.shop.test")
        self.add("a common name beside another name", False, names=("db.other.test",), common=HOST)
        self.add("a common name beside an address", True, names=(), addresses=("192.0.2.1",), common=HOST)
        mail = (x509.RFC822Name("root@shop.test"),)
        self.add("a common name beside a mail address", True, names=(), others=mail, common=HOST)
        self.add("no subject", True, common="")
        self.add("no name at all", False, sans=False, common="")

    def addresses(self) -> None:
        own = "127.0.0.1"
        self.add("an address", True, own, addresses=(own,))
        self.add("another address", False, own, addresses=("192.0.2.1",))
        self.add("an address written short", True, "127.1", addresses=(own,))
        self.add("an address as a name", True, own, names=(own,))
        self.add("an address under a wildcard", True, own, names=("*.0.0.1",))
        self.add("an address as the common name alone", True, own, sans=False, common=own)
        self.add("an address as the common name beside a name", True, own, common=own)
        self.add("an address as the common name beside an address", False, own, addresses=("192.0.2.1",), common=own)
        self.add("an IPv6 address", True, "::1", addresses=("::1",))
        self.add("an IPv6 address written long", True, "0:0:0:0:0:0:0:1", addresses=("::1",))
        self.add("an IPv4 address for a name", False, addresses=(own,), names=())

    def dates(self) -> None:
        self.add("expired", False, begins=NOW - 5 * DAY, days=2, code="tls_expired")
        self.add("not yet valid", False, begins=NOW + 2 * DAY, code="tls_not_yet_valid")
        old = Authority(self.folder, "Old", begins=NOW - 60 * DAY, days=30)
        self.add("an expired CA", False, by=old, code="ca_expired")

    def chains(self) -> None:
        stranger = Authority(self.folder, "Stranger")
        own = {"by": self.middle, "ca": str(self.root.path)}
        self.add("an unknown CA", False, by=stranger, ca=str(self.ca.path), code="tls_unknown_ca")
        self.add("an intermediate, sent", True, chain=(self.middle,), **own)
        self.add("an intermediate, sent with the root", True, chain=(self.middle, self.root), **own)
        self.add("an intermediate, not sent", False, code="tls_missing_intermediate", issuer_link=True, **own)
        partial = str(self.middle.path)
        self.add("an intermediate as the CA", False, by=self.middle, ca=partial, code="ca_incomplete")
        both = self.folder / "both.crt"
        both.write_text(self.middle.path.read_text() + self.root.path.read_text())
        self.add("an intermediate that the CA file holds", True, by=self.middle, ca=str(both))
        false = Authority(self.folder, "False", parent=self.root, is_ca=False, usage=None)
        refused = {"ca": str(self.root.path), "code": "tls_certificate_refused"}
        self.add("an intermediate that is no CA", False, by=false, chain=(false,), **refused)
        short = Authority(self.folder, "Short", path_length=0)
        deep = Authority(self.folder, "Deep", parent=short)
        deeper = {"ca": str(short.path), "code": "tls_certificate_refused"}
        self.add("a chain longer than its CA allows", False, by=deep, chain=(deep,), **deeper)
        narrow = Authority(self.folder, "Narrow", permitted=("shop.test",))
        self.add("a name that the CA may sign for", True, by=narrow)
        outside = {"by": narrow, "code": "tls_certificate_refused"}
        self.add("a name that the CA may not sign for", False, "db.other.test", names=("db.other.test",), **outside)
        self.add("a common name that the CA may not sign for", False, "db.other.test",
                 sans=False, common="db.other.test", **outside)  # fmt: skip
        namesake = Authority(self.folder, "Table CA", label="namesake")
        self.add("a CA of the same name", False, by=namesake, ca=str(self.ca.path), code="ca_other_cluster")
        for label, is_ca in (("plain", None), ("no-ca", False), ("ca", True)):
            pem = self_signed(self.folder, f"self-{label}", is_ca=is_ca)
            self.found.append(Row(f"itself as the CA, {label}", True, pem, str(pem), host="localhost"))
            code = "tls_self_signed"
            self.found.append(Row(f"signed by itself, {label}", False, pem, str(self.ca.path), "localhost", code=code))

    def usages(self) -> None:
        refused = {"code": "tls_certificate_refused"}
        self.add("for clients only", False, usage=ExtendedKeyUsageOID.CLIENT_AUTH, **refused)
        self.add("for anything", False, usage=ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, **refused)
        self.add("without extended usage", True, usage=None)
        self.add("with the usage of a CA", False, extensions=[(CA_USAGE, True)], **refused)
        signing = x509.KeyUsage(True, *[False] * 8)
        self.add("for signatures", True, extensions=[(signing, True)])
        agreeing = x509.KeyUsage(*[False] * 4, True, *[False] * 4)
        self.add("for key agreement only", True, extensions=[(agreeing, True)])
        unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
        self.add("an unknown critical extension", False, extensions=[(unknown, True)], **refused)
        self.add("an unknown extension", True, extensions=[(unknown, False)])
        self.add("a CA without key usage", True, by=Authority(self.folder, "No Usage", usage=None))
        not_signing = Authority(self.folder, "Not Signing", usage=signing)
        self.add("a CA that may not sign", False, by=not_signing, **refused)
        self.add("a CA whose constraints are not critical", True, by=Authority(self.folder, "Loose", critical=False))
        self.add("a CA without key identifiers", True, by=Authority(self.folder, "No Ids", key_identifiers=False))
        self.add("no authority key identifier", True, key_identifiers=False)
        self.add("a key of 1024 bits", False, weak=1024, code="tls_weak_certificate")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Row]]:
    folder = tmp_path_factory.mktemp("verify-full")
    found = _Rows(folder).found
    for row in found:
        row.servers.append(BrokenServer(_shows(row)))
    yield found
    for row in found:
        row.servers[0].close()


def _shows(row: Row) -> table.Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(row.pem, weak=row.weak)
        peer.startup()
        peer.scram(PASSWORD)
        table.finish(peer)

    return behaviour


def _port(row: Row) -> int:
    return row.servers[0].port


def _conninfo(row: Row) -> dict[str, str]:
    facts = {"host": row.host, "hostaddr": "127.0.0.1", "port": str(_port(row)), "user": USER, "dbname": DATABASE}
    more = {"gssencmode": "disable", "channel_binding": "disable", "connect_timeout": "10"}
    return {**facts, **more, "sslmode": "verify-full", "sslrootcert": row.ca}


def _psycopg(row: Row) -> bool:
    try:
        psycopg.connect(**_conninfo(row), password=PASSWORD).close()
    except psycopg.OperationalError as exc:
        return _says_certificate(str(exc))
    return True


def _says_certificate(text: str) -> bool:
    """False, for a client that was not let in; fails when that was for another reason than the certificate."""
    assert "certificate" in text
    return False


def _psql(row: Row) -> bool:
    words = " ".join(f"{key}='{value}'" for key, value in _conninfo(row).items())
    done = subprocess.run(
        ["psql", "-X", "-w", "-Atc", "select 1", words],
        env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "HOME": str(row.pem.parent)},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    return done.returncode == 0 or _says_certificate(done.stderr)


@pytest.mark.parametrize("libpq", [_psycopg, _psql], ids=["psycopg", "psql"])
def test_the_table_says_what_libpq_does(libpq: Any, rows: list[Row]) -> None:
    if libpq is _psql and not shutil.which("psql"):
        pytest.skip("no psql: make system-deps installs it")
    assert [row.name for row in rows if libpq(row) != row.accepted] == []


def _reports(python: str, rows: list[Row]) -> list[dict[str, Any]]:
    endpoints = [
        {"name": row.name, "host": row.host, "port": _port(row), "user": USER, "database": DATABASE,
         "password": PASSWORD, "ca_file": row.ca}
        for row in rows
    ]  # fmt: skip
    done = subprocess.run(
        [python, "-c", CHECK], input=json.dumps(endpoints), capture_output=True, text=True, timeout=120, check=False,
        cwd="/", env={"PYTHONPATH": str(ROOT / "collections"), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.stderr == ""
    reports: list[dict[str, Any]] = json.loads(done.stdout)
    return reports


@pytest.mark.parametrize("version", VERSIONS)
def test_the_check_says_the_same_on_every_python(version: str, rows: list[Row]) -> None:
    python = interpreter(f"python{version}")
    if python is None:
        pytest.skip(f"no Python {version} on this machine: pyenv install {version} gives one")
    reports = _reports(python, rows)
    wanted = {row.name: "ok" if row.accepted else row.code for row in rows}
    assert {report["name"]: report["code"] for report in reports} == wanted
    for report in reports:
        if not report["ok"]:
            assert not report["password_sent"]
            assert report["evidence"]["certificate"]["sha256"]


def _lets_in(words: list[str], program: str | None, rows: list[Row]) -> list[bool]:
    work = [[_port(row), row.host, row.ca] for row in rows]
    done = subprocess.run(
        [*words, *([program] if program else [])], input=json.dumps(work), capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    found: list[bool] = json.loads(done.stdout)
    return found


def test_the_notes_name_the_clients_that_are_stricter(rows: list[Row], tmp_path: Path) -> None:
    newest = interpreter("python3.13")
    if not (newest and shutil.which("node") and shutil.which("go")):
        pytest.skip("needs Python 3.13, node and go on this machine")
    accepted = [row for row in rows if row.accepted]
    (tmp_path / "main.go").write_text(GO_CLIENT)
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    subprocess.run(["go", "build", "-o", "client", "main.go"], cwd=tmp_path, env=environment, check=True)
    seen = {
        "Python": _lets_in([newest, "-c"], PYTHON_CLIENT, accepted),
        "Node.js": _lets_in(["node", "-e"], NODE_CLIENT, accepted),
        "Go": _lets_in([str(tmp_path / "client")], None, accepted),
    }
    reports = _reports(newest, accepted)
    told = {}
    for report in reports:
        texts = [note["text"] for note in report["notes"] if note["code"] == "stricter_clients"]
        told[report["name"]] = {client for client in seen if any(client in text.split(" would ")[0] for text in texts)}
    refused = {
        row.name: {client for client, answers in seen.items() if not answers[number]}
        for number, row in enumerate(accepted)
    }
    assert told == refused
