# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the vendor's archives, and for which machine each is."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils import _client_archive as archives

VERSIONS = (
    "v21.1.0", "v21.2.17", "v22.1.0", "v22.2.19", "v23.1.30", "v23.2.30", "v24.1.29", "v24.3.33", "v25.1.10",
    "v25.2.19", "v25.4.9", "v25.4.11", "v26.1.5", "v26.2.1",
)  # fmt: skip
# As the vendor's pages print them.
NAMES = {
    "linux-amd64": "cockroach-{v}.linux-amd64.tgz",
    "linux-arm64": "cockroach-{v}.linux-arm64.tgz",
    "darwin-amd64": "cockroach-{v}.darwin-10.9-amd64.tgz",
    "darwin-arm64": "cockroach-{v}.darwin-11.0-arm64.tgz",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("build", NAMES)
def test_the_names_are_the_vendors(build, version):
    name = NAMES[build].format(v=version)
    assert archives.archive_name("cockroach", version, build) == name
    assert archives.archive_name("cockroach-sql", version, build) == name.replace("cockroach-", "cockroach-sql-")


# What uname, the C library and `sysctl hw.optional.arm64` say; those of a Mac are recorded from its documentation.
@pytest.mark.parametrize(
    ("system", "machine", "more", "build"),
    [
        ("Linux", "x86_64", {}, "linux-amd64"),
        ("Linux", "amd64", {}, "linux-amd64"),
        ("Linux", "aarch64", {}, "linux-arm64"),
        ("Linux", "arm64", {}, "linux-arm64"),
        ("Darwin", "x86_64", {}, "darwin-amd64"),
        ("Darwin", "arm64", {"arm64_mac": True}, "darwin-arm64"),
        ("Darwin", "x86_64", {"arm64_mac": True}, "darwin-arm64"),
    ],
)
def test_the_build_for_a_machine(system, machine, more, build):
    assert archives.build(system, machine, **more) == build


@pytest.mark.parametrize(
    ("system", "machine", "more", "message"),
    [
        ("Linux", "x86_64", {"glibc": False}, "musl"),
        ("Linux", "armv7l", {}, "architecture armv7l"),
        ("Linux", "riscv64", {}, "architecture riscv64"),
        ("Linux", "s390x", {}, "architecture s390x"),
        ("FreeBSD", "amd64", {}, "no client for FreeBSD"),
    ],
)
def test_a_machine_without_a_build_is_refused(system, machine, more, message):
    with pytest.raises(archives.ClientRefused, match=message):
        archives.build(system, machine, **more)


NAME = "cockroach-v25.4.11.linux-amd64.tgz"
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text", [f"{DIGEST}  {NAME}\n", f"{DIGEST} *{NAME}", DIGEST.upper(), f"{'f' * 64}  other.tgz\n{DIGEST}  ./{NAME}\n"]
)
def test_the_forms_of_a_checksum(text):
    assert archives.parse_checksum(text.encode(), NAME) == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>not here</html>",
        DIGEST[:-1],
        f"{DIGEST}  other.tgz",
        f"{DIGEST}  {NAME}\n{'f' * 64}  {NAME}",
        "\xff\0",
    ],
)
def test_what_is_no_checksum_of_the_archive(text):
    with pytest.raises(archives.ClientRefused, match=r"sha256sum: has (no|more than one) SHA-256"):
        archives.parse_checksum(text.encode("latin-1"), NAME)
