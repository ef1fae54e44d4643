# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check accepts the CA files that libpq accepts, names the others for what they are, and its cures work.

Each row is one CA file, which the check and psql get for the same server.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs7, pkcs12

from tests.faults import table
from tests.faults.broken import Behaviour, BrokenServer, Peer
from tests.faults.certificates import DAY, NOW, Authority, name_of, pem_of, pem_of_key, self_signed
from tests.faults.table import DATABASE, PASSWORD, USER

pytestmark = pytest.mark.skipif(not shutil.which("psql"), reason="no psql: make system-deps installs it")


@dataclass
class Row:
    """A CA file: its content, the verdict on it, and the server that it is for."""

    name: str
    content: bytes
    code: str = "ok"
    server: str = "good"
    # What cause and cure have to say.
    says: tuple[str, ...] = field(default_factory=tuple)


def revocations(authority: Authority, *certificates: x509.Certificate, until: int = 5) -> bytes:
    """A list of an authority that revokes these certificates and is valid for `until` days from now."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.name)
    builder = builder.last_update(NOW - 9 * DAY).next_update(NOW + until * DAY)
    for certificate in certificates:
        revoked = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
        builder = builder.add_revoked_certificate(revoked.revocation_date(NOW - DAY).build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _shows(path: Path) -> Behaviour:
    def behaviour(peer: Peer) -> None:
        peer.tls(path)
        peer.startup()
        peer.scram(PASSWORD)
        table.finish(peer)

    return behaviour


def certificate_in(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


class World:
    """The authorities, the servers by name, and the rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder, "Files CA")
        self.stranger = Authority(folder, "Files Stranger")
        self.middle = Authority(folder, "Files Middle", parent=self.authority)
        self.good = self.authority.issue("good")
        self.other_leaf = self.authority.issue("other")
        self.by_middle = self.middle.issue("by-middle", chain=(self.middle,))
        self.self_signed = self_signed(folder, "self")
        self.servers = {
            name: BrokenServer(_shows(path))
            for name, path in (("good", self.good), ("by_middle", self.by_middle), ("self_signed", self.self_signed))
        }

    def endpoint(self, server: str, ca_file: str, **more: Any) -> Endpoint:
        facts = {"name": "shop", "host": "localhost", "port": self.servers[server].port, "user": USER}
        more.setdefault("deployment", "self_hosted")
        return Endpoint.from_dict(
            {
                **facts,
                "database": DATABASE,
                "password": PASSWORD,
                "deployment": "self_hosted",
                "ca_file": ca_file,
                **more,
            }
        )

    def psql(self, server: str, ca_file: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
        words = (
            f"host=localhost hostaddr=127.0.0.1 port={self.servers[server].port} user={USER} dbname={DATABASE} "
            "gssencmode=disable channel_binding=disable connect_timeout=10 sslmode=verify-full "
            f"sslrootcert='{ca_file}' " + " ".join(f"{key}='{value}'" for key, value in more.items() if key.islower())
        )
        environment = {key: value for key, value in more.items() if key.isupper()}
        return subprocess.run(
            ["psql", "-X", "-w", "-Atc", "select 1", words],
            env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "HOME": str(home), **environment},
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("ca files"))
    yield made
    for server in made.servers.values():
        server.close()


def _accepted(world: World) -> list[Row]:
    pem = pem_of(world.authority.certificate)
    stranger = pem_of(world.stranger.certificate)
    body = b"".join(pem.splitlines()[1:-1])
    return [
        Row("PEM", pem),
        Row("line ends of Windows", pem.replace(b"\n", b"\r\n")),
        Row("a byte order mark", b"\xef\xbb\xbf" + pem),
        Row("comments that are not ASCII", "# Zertifikat für den Laden\n".encode() + pem + b"# \xff\xfe\n"),
        Row("another CA before it", stranger + pem),
        Row("another CA behind it", pem + stranger),
        Row("a label of old", pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE")),
        Row("spaces behind its lines", pem.replace(b"\n", b"  \n")),
        Row("no line end at the end", pem.rstrip()),
        Row("one long line of base64", b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"),
        Row("a private key beside it", pem + pem_of_key(world.authority.key)),
        Row("a list of revoked certificates beside it", pem + revocations(world.authority)),
        Row("a certificate twice", pem + pem),
        Row("a quoted certificate before it", b'"' + stranger.rstrip() + b'"\n' + pem),
        Row("the server's own, self-signed", pem_of(certificate_in(world.self_signed)), server="self_signed"),
    ]


def _converted(world: World) -> list[Row]:
    certificate = world.authority.certificate
    pem, der = pem_of(certificate), certificate.public_bytes(Encoding.DER)
    text = pem.decode("ascii")
    body = b"\n".join(pem.splitlines()[1:-1])
    store = pkcs12.serialize_key_and_certificates(b"ca", None, None, [certificate], BestAvailableEncryption(b"secret"))
    return [
        Row("DER", der, "ca_der", says=("DER form",)),
        Row("PKCS#7 in PEM", pkcs7.serialize_certificates([certificate], Encoding.PEM), "ca_pkcs7"),
        Row("PKCS#7 in DER", pkcs7.serialize_certificates([certificate], Encoding.DER), "ca_pkcs7"),
        Row("PKCS#12", store, "ca_pkcs12"),
        Row("UTF-16 with a mark", text.encode("utf-16"), "ca_utf16"),
        Row("UTF-16 with a mark, big end first", b"\xfe\xff" + text.encode("utf-16-be"), "ca_utf16"),
        Row("UTF-16 without a mark", text.encode("utf-16-le"), "ca_utf16"),
        Row("no header", body, "ca_no_header"),
        Row("no header, line ends of Windows", body.replace(b"\n", b"\r\n"), "ca_no_header"),
        Row("no END line", pem[: pem.index(b"-----END")], "ca_no_header"),
        Row("no BEGIN line", pem.split(b"\n", 1)[1], "ca_no_header"),
        Row("one line", pem.replace(b"\n", b" "), "ca_no_header"),
        Row("line ends of an old Mac", pem.replace(b"\n", b"\r"), "ca_no_header"),
        Row("quoted", b'"' + pem.rstrip() + b'"\n', "ca_quoted"),
        Row("indented", re.sub(rb"(?m)^", b"    ", pem), "ca_quoted"),
        Row("quoted as a mail", re.sub(rb"(?m)^", b"> ", pem), "ca_quoted"),
        Row("escaped", pem.replace(b"\n", b"\\n"), "ca_escaped"),
        Row("escaped and quoted", b'"' + pem.replace(b"\n", b"\\n") + b'"\n', "ca_escaped"),
    ]


def _replaced(world: World) -> list[Row]:
    """What no command converts."""
    pem = pem_of(world.authority.certificate)
    stranger = pem_of(world.stranger.certificate)
    public = world.authority.key.public_key()
    old_key = world.authority.key.private_bytes(
        Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name_of("shop")).sign(
        world.authority.key, hashes.SHA256()
    )  # fmt: skip
    subject = serialization.PublicFormat.SubjectPublicKeyInfo
    leaf = pem_of(certificate_in(world.good))
    return [
        Row("empty", b"\n", "ca_empty"),
        Row("a web page", b"<!DOCTYPE html><title>Sign in</title>", "ca_web_page"),
        Row("a private key", pem_of_key(world.authority.key), "ca_private_key"),
        Row("a private key of old", old_key, "ca_private_key"),
        Row("a public key", public.public_bytes(Encoding.PEM, subject), "ca_public_key"),
        Row("a key of ssh", public.public_bytes(Encoding.OpenSSH, serialization.PublicFormat.OpenSSH), "ca_public_key"),
        Row("a request", request.public_bytes(Encoding.PEM), "ca_request"),
        Row("cut off", pem[: len(pem) // 2], "ca_cut_off"),
        Row("cut off in the second", stranger + pem[: len(pem) // 2], "ca_cut_off"),
        Row("DER, cut off", world.authority.certificate.public_bytes(Encoding.DER)[:-20], "ca_cut_off"),
        Row("damaged", pem[:90] + pem[99:], "ca_damaged"),
        Row("damaged in the second", stranger + pem[:90] + pem[99:], "ca_damaged"),
        Row("a word", b"hello\n", "ca_not_pem"),
        Row("a list of revoked certificates alone", revocations(world.authority), "ca_not_pem"),
        Row("the right one quoted behind another", stranger + b'"' + pem, "tls_unknown_ca"),
        Row("the certificate of the server", leaf, "ca_leaf", says=("CN=Files CA", "holds no CA")),
        Row("the certificate of the server behind a byte order mark", b"\xef\xbb\xbf" + leaf, "ca_leaf"),
        Row("the certificate of another server", pem_of(certificate_in(world.other_leaf)), "ca_leaf"),
        Row("an intermediate alone", pem_of(world.middle.certificate), "ca_incomplete", server="by_middle"),
        Row("not the self-signed one", pem, "tls_self_signed", server="self_signed", says=("self-signed",)),
    ]


GROUPS: tuple[Callable[[World], list[Row]], ...] = (_accepted, _converted, _replaced)


@pytest.mark.parametrize("rows", GROUPS, ids=[group.__name__[1:] for group in GROUPS])
def test_each_ca_file_is_judged_as_libpq_judges_it(
    rows: Callable[[World], list[Row]], world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    seen, wanted = {}, {}
    for number, row in enumerate(rows(world)):
        path = tmp_path / f"its ca {number}.crt"
        path.write_bytes(row.content)
        report = check_endpoint(world.endpoint(row.server, str(path)))
        by_psql = world.psql(row.server, str(path), tmp_path)
        assert by_psql.returncode == 0 or "certificate" in by_psql.stderr, row.name
        seen[row.name] = (report.diagnosis.code, by_psql.returncode == 0)
        wanted[row.name] = (row.code, row.code == "ok")
        for said in row.says:
            assert said in report.diagnosis.cause + report.diagnosis.cure
    assert seen == wanted


def test_the_cure_of_each_file_that_can_be_converted_works_as_it_is_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    codes = {}
    for number, row in enumerate(_converted(world)):
        path = tmp_path / f"its ca {number}.crt"
        path.write_bytes(row.content)
        cure = check_endpoint(world.endpoint(row.server, str(path))).diagnosis.cure
        (command,) = re.findall("`([^`]+)`", cure)
        if row.code == "ca_pkcs12":
            command = command.replace("-nokeys", "-nokeys -passin pass:secret")
        subprocess.run(["sh", "-c", command], check=True, capture_output=True)
        codes[row.name] = check_endpoint(world.endpoint(row.server, str(path))).diagnosis.code
        assert world.psql(row.server, str(path), tmp_path).returncode == 0
    assert set(codes.values()) == {"ok"}, codes


@pytest.mark.parametrize(("mode", "noted"), [(0o644, True), (0o640, True), (0o600, False)])
def test_a_private_key_beside_the_ca_is_noted_where_others_can_read_it(
    mode: int, noted: bool, world: World, tmp_path: Path
) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(pem_of(world.authority.certificate) + pem_of_key(world.authority.key))
    path.chmod(mode)
    report = check_endpoint(world.endpoint("good", str(path)))
    assert report.ok
    assert [note["code"] for note in report.notes] == ["ca_holds_key"] * noted
    assert all(str(path) in note["text"] and f"{mode:04o}" in note["text"] for note in report.notes)


def _lists(world: World) -> list[tuple[str, bytes, str, str]]:
    """Name, content of root.crl, server and code."""
    good, by_middle = certificate_in(world.good), certificate_in(world.by_middle)
    middle = revocations(world.authority, world.middle.certificate)
    own, middles = revocations(world.authority), revocations(world.middle)
    return [
        ("nothing revoked", own, "good", "ok"),
        ("the server", revocations(world.authority, good), "good", "tls_revoked"),
        ("another server", revocations(world.authority, certificate_in(world.other_leaf)), "good", "ok"),
        (
            "an intermediate",
            middle + middles,
            "by_middle",
            "tls_revoked",
        ),
        ("the server below an intermediate", own + revocations(world.middle, by_middle), "by_middle", "tls_revoked"),
        ("no list of the intermediate", own, "by_middle", "revocations_unusable"),
        ("no list of this CA", revocations(world.stranger), "good", "revocations_unusable"),
        ("an expired list", revocations(world.authority, until=-1), "good", "revocations_unusable"),
        ("a certificate in place of a list", pem_of(world.authority.certificate), "good", "revocations_unusable"),
        ("no list at all", b"hello", "good", "ok"),
        ("an empty list", b"", "good", "ok"),
    ]


def test_the_users_list_of_revoked_certificates_counts_as_for_libpq(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".postgresql").mkdir()
    path = tmp_path / ".postgresql" / "root.crl"
    ca = str(world.authority.path)
    for name, content, server, code in _lists(world):
        path.write_bytes(content)
        report = check_endpoint(world.endpoint(server, ca))
        by_text = check_endpoint(world.endpoint(server, ca, ca_text=Path(ca).read_text()))
        by_psql = world.psql(server, ca, tmp_path)
        assert (report.diagnosis.code, by_psql.returncode == 0) == (code, code == "ok"), (name, by_psql.stderr)
        assert by_text.diagnosis.code == code, name
        assert report.ok or str(path) in report.diagnosis.cause
    path.unlink()
    os.mkfifo(path)
    assert check_endpoint(world.endpoint("good", ca)).ok


def test_lists_in_other_places_count_as_for_libpq(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / ".postgresql" / "root.crl"
    own.parent.mkdir()
    revoking, clean = tmp_path / "revoking.crl", tmp_path / "clean.crl"
    revoking.write_bytes(revocations(world.authority, certificate_in(world.good)))
    clean.write_bytes(revocations(world.authority))
    folders = {path: tmp_path / path.stem for path in (revoking, clean)}
    for path, folder in folders.items():
        folder.mkdir()
        shutil.copy(path, folder)
        subprocess.run(["openssl", "rehash", folder], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = str(tmp_path / "nothing")
    rows: list[tuple[Path | None, dict[str, str], str]] = [
        (None, {"sslcrl": str(revoking)}, "tls_revoked"),
        (revoking, {"sslcrl": str(clean)}, "ok"),
        (revoking, {"sslcrl": nothing}, "ok"),
        (None, {"PGSSLCRL": str(revoking)}, "tls_revoked"),
        (None, {"PGSSLCRL": str(revoking), "sslcrl": str(clean)}, "ok"),
        (None, {"sslcrldir": str(folders[revoking])}, "tls_revoked"),
        (None, {"PGSSLCRLDIR": str(folders[revoking])}, "tls_revoked"),
        (revoking, {"sslcrldir": str(folders[clean])}, "ok"),
        (clean, {"sslcrldir": str(empty)}, "revocations_unusable"),
        # OpenSSL takes the list of the file, and does not look into the folder.
        (None, {"sslcrl": str(clean), "sslcrldir": str(folders[revoking])}, "ok"),
        (None, {"sslcrl": nothing, "sslcrldir": str(folders[revoking])}, "ok"),
        (None, {"sslcrldir": nothing}, "revocations_unusable"),
    ]
    seen, wanted = [], []
    for number, (in_home, given, code) in enumerate(rows):
        own.unlink(missing_ok=True)
        if in_home is not None:
            shutil.copy(in_home, own)
        with pytest.MonkeyPatch.context() as environment:
            for name in [name for name in given if name.isupper()]:
                environment.setenv(name, given[name])
            keys = {key: value for key, value in given.items() if key.islower()}
            report = check_endpoint(world.endpoint("good", str(world.authority.path), **keys))
        by_psql = world.psql("good", str(world.authority.path), tmp_path, **given)
        seen.append((number, report.diagnosis.code, by_psql.returncode == 0))
        wanted.append((number, code, code == "ok"))
    assert seen == wanted


def test_the_users_list_does_not_count_for_the_public_roots(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libpq reads it only together with a CA file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(world.authority.path))
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crl").write_bytes(revocations(world.authority, certificate_in(world.good)))
    assert check_endpoint(world.endpoint("good", "")).ok
