# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The self-hosted cluster: it requires a client certificate or a password of the same user."""

from __future__ import annotations

import datetime
import stat
import time
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import Sandbox

NAME = "lone-badger"


def whom(**conninfo: object) -> str:
    """The SQL user of a connection."""
    with psycopg.connect(**conninfo) as connection:  # type: ignore[arg-type]
        row = connection.execute(b"SELECT current_user::text").fetchone()
        assert row is not None
        return str(row[0])


def certificate(folder: Path, common_name: str, signed_by: tuple[Path, Path] | None = None) -> dict[str, str]:
    """A client certificate, signed by a CA or self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issuer, signer = name, key
    if signed_by is not None:
        issuer = x509.load_pem_x509_certificate(signed_by[0].read_bytes()).subject
        loaded = serialization.load_pem_private_key(signed_by[1].read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )
    files = {"sslcert": str(folder / "client.crt"), "sslkey": str(folder / "client.key")}
    Path(files["sslcert"]).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    Path(files["sslkey"]).write_bytes(key.private_bytes(*pem))
    Path(files["sslkey"]).chmod(0o600)
    return files


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_client_certificate_replaces_the_password(sandbox: Sandbox, version: str) -> None:
    cluster = sandbox.clusters[NAME]
    facts = cluster.conninfo(
        password=None, passfile="/dev/null", ssl_max_protocol_version=version, **cluster.client_certificate or {}
    )
    assert whom(**facts) == "roach"


def test_certificates_are_laid_out_as_cockroach_cert_does(sandbox: Sandbox) -> None:
    folder = sandbox.clusters[NAME].ca_file.parent / "lone-badger-client"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {
        "ca.crt": 0o644, "client.roach.crt": 0o644, "client.roach.key": 0o600, "client.roach.key.pk8": 0o600,
        "client.root.crt": 0o644, "client.root.key": 0o600, "client.root.key.pk8": 0o600,
    }  # fmt: skip
    assert (folder / "ca.crt").read_bytes() == sandbox.clusters[NAME].ca_file.read_bytes()
    pem = serialization.load_pem_private_key((folder / "client.roach.key").read_bytes(), None)
    der = serialization.load_der_private_key((folder / "client.roach.key.pk8").read_bytes(), None)
    assert pem.public_key() == der.public_key()


def test_without_a_certificate_the_password_counts(sandbox: Sandbox) -> None:
    cluster = sandbox.clusters[NAME]
    assert whom(**cluster.conninfo()) == "roach"
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "roach"'):
        whom(**cluster.conninfo(password="wrong"))
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        whom(**cluster.conninfo(password=None, passfile="/dev/null"))


def test_a_certificate_of_another_user_is_refused_whatever_the_password(sandbox: Sandbox, tmp_path: Path) -> None:
    cluster = sandbox.clusters[NAME]
    key = cluster.ca_file.with_suffix(".key")
    other = certificate(tmp_path, "petra", (cluster.ca_file, key))
    for user in ("roach", "petra", "sandbox"):
        with pytest.raises(psycopg.OperationalError, match=f'certificate authentication failed for user "{user}"'):
            whom(**cluster.conninfo(user=user, **other))


def test_a_certificate_of_another_ca_is_refused_in_the_handshake(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"unknown ca|closed the connection|unexpected eof"):
        whom(**sandbox.clusters[NAME].conninfo(**certificate(tmp_path, "roach")))
    told = "lone-badger/inside 203.0.113.10 - 'TLS failed: CERTIFICATE_VERIFY_FAILED'"
    log = sandbox.state / "sandbox.log"
    # The client may see the failure before the sandbox has logged it.
    deadline = time.monotonic() + 20
    while told not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told in log.read_text()


def test_the_other_fronts_do_not_ask(sandbox: Sandbox, tmp_path: Path) -> None:
    assert whom(**sandbox.clusters["steady-heron"].conninfo(**certificate(tmp_path, "roach"))) == "petra"
