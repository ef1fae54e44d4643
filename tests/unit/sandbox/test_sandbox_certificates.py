# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which certificates are kept, and which are replaced."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path
from typing import Callable

import pytest
from cryptography import x509
from cryptography.x509 import verification

from sandbox.certificates import LIFETIME, CertificateStore, FrontCertificates
from sandbox.clusters import FRONTS

NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
SPEC = FRONTS[0]


def store(folder: Path, now: datetime.datetime = NOW) -> CertificateStore:
    return CertificateStore(folder, now)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificates_are_kept_until_a_week_before_they_expire(tmp_path: Path) -> None:
    store(tmp_path).front(SPEC)
    store(tmp_path).stranger()
    first = contents(tmp_path)
    later = store(tmp_path, NOW + LIFETIME - 8 * DAY)
    later.front(SPEC)
    later.stranger()
    assert contents(tmp_path) == first
    last = store(tmp_path, NOW + LIFETIME - 6 * DAY)
    last.front(SPEC)
    last.stranger()
    assert all(content != first[name] for name, content in contents(tmp_path).items())


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda files: files.server.key.unlink(), "serverless-ca.crt"),
        (lambda files: files.server.certificate.write_text("no certificate"), "serverless-ca.crt"),
        (lambda files: files.server.key.write_bytes(files.impostor.key.read_bytes()), "serverless-ca.crt"),
        (lambda files: (files.ca.parent / "serverless-ca.key").unlink(), None),
        (lambda files: files.ca.write_bytes(files.server.certificate.read_bytes()), None),
    ],
    ids=["no key", "no certificate", "another's key", "no CA key", "a CA file with a server certificate"],
)
def test_damaged_certificates_are_replaced(
    tmp_path: Path, damage: Callable[[FrontCertificates], object], kept: str | None
) -> None:
    files = store(tmp_path).front(SPEC)
    before = contents(tmp_path)
    damage(files)
    again = store(tmp_path).front(SPEC)
    if kept:
        assert (tmp_path / kept).read_bytes() == before[kept]
    load(again.server.certificate).verify_directly_issued_by(load(again.ca))
    load(again.impostor.certificate).verify_directly_issued_by(load(again.ca))


def test_others_can_read_only_the_certificates(tmp_path: Path) -> None:
    store(tmp_path).front(SPEC)
    store(tmp_path).stranger()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert {name: 0o600 if name.endswith(".key") else 0o644 for name in modes} == modes
    assert "stranger-ca.key" not in modes


def test_a_web_verifier_accepts_only_the_server_certificate(tmp_path: Path) -> None:
    files = store(tmp_path).front(SPEC)
    trusting = verification.PolicyBuilder().store(verification.Store([load(files.ca)])).time(NOW)

    def verify(host: str, certificate: Path) -> None:
        trusting.build_server_verifier(x509.DNSName(host)).verify(load(certificate), [])

    verify("localhost", files.server.certificate)
    verify("funky-skunk-123.sandbox.test", files.server.certificate)
    with pytest.raises(verification.VerificationError):
        verify("localhost", files.impostor.certificate)
    stranger = verification.PolicyBuilder().store(verification.Store([load(store(tmp_path).stranger())])).time(NOW)
    with pytest.raises(verification.VerificationError):
        stranger.build_server_verifier(x509.DNSName("localhost")).verify(load(files.server.certificate), [])
