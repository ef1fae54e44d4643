# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the vendor's archives, and for which machine each is."""

from __future__ import annotations

import os

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._client import archive, builds, download
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.plugin_utils._releases import releases

from tests import vendor

# What the vendor's list of releases says there is: the SQL shell alone came with v22.1, arm64 with v22.2.
AMD64, ALL = ("linux-amd64", "darwin-amd64"), ("linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64")
ONE, BOTH = ("cockroach",), ("cockroach", "cockroach-sql")
FACTS = {
    "v21.1.0": (AMD64, ONE),
    "v21.2.17": (AMD64, ONE),
    "v22.1.0": (AMD64, BOTH),
    "v22.1.22": (AMD64, BOTH),
    **dict.fromkeys(
        (
            "v22.2.0", "v22.2.19", "v23.1.30", "v23.2.30", "v24.1.29", "v24.3.33", "v25.1.10", "v25.2.19", "v25.4.9",
            "v25.4.11", "v26.1.5", "v26.2.1",
        ),
        (ALL, BOTH),
    ),
}  # fmt: skip
# As the vendor's pages print them, below https://binaries.cockroachdb.com/.
NAMES = {
    "linux-amd64": "{p}-{v}.linux-amd64",
    "linux-arm64": "{p}-{v}.linux-arm64",
    "darwin-amd64": "{p}-{v}.darwin-10.9-amd64",
    "darwin-arm64": "{p}-{v}.darwin-11.0-arm64",
}
LIBRARIES = {
    "linux": ["lib/libgeos.so", "lib/libgeos_c.so"],
    "darwin": ["lib/libgeos.dylib", "lib/libgeos_c.dylib"],
}
LICENCES = ["LICENSE.txt", "THIRD-PARTY-NOTICES.txt"]


@pytest.mark.parametrize("version", FACTS)
@pytest.mark.parametrize("build", NAMES)
@pytest.mark.parametrize("product", BOTH)
def test_where_an_archive_is_and_what_it_holds(product, build, version, tmp_path):
    known_builds, products = FACTS[version]
    release = releases.resolve(version, vendor=False)
    assert (set(release.builds), release.products) == (set(known_builds), products)
    if build not in known_builds or product not in products:
        return
    top = NAMES[build].format(p=product, v=version)
    name = builds.archive_name(product, version, build)
    url = f"https://binaries.cockroachdb.com/{top}.tgz"
    assert builds.archive_url(builds.VENDOR_URL, name) == url
    assert builds.checksum_url(builds.VENDOR_URL, name) == f"{url}.sha256sum"
    assert builds.checksum_url("https://mirror.example.com/crdb/", name).startswith("https://mirror.example.com/crdb/c")
    libraries = LIBRARIES[build.partition("-")[0]] if product == "cockroach" else []
    path = tmp_path / name
    path.write_bytes(vendor.pack([vendor.member(f"{top}/{place}") for place in [product, *libraries, *LICENCES]]))
    folder = tmp_path / "unpacked"
    archive.extract(str(path), name, product, str(folder))
    found = sorted(str(place.relative_to(folder)) for place in folder.rglob("*") if place.is_file())
    assert found == sorted([product, *libraries, *LICENCES])
    assert (folder / product).stat().st_mode & 0o777 == 0o755


def test_the_stand_in_archives_have_the_layout_of_the_vendors():
    for build, form in NAMES.items():
        for product in BOTH:
            top = form.format(p=product, v="v25.4.11")
            libraries = LIBRARIES[build.partition("-")[0]] if product == "cockroach" else []
            names = [info.name for info, _content in vendor.layout(product, "v25.4.11", build)]
            assert sorted(names) == sorted(f"{top}/{place}" for place in [product, *libraries, *LICENCES])


# `uname -m`, and what `sysctl -n hw.optional.arm64` prints and returns: docs/macos.md names where that is from.
MACS = {
    "apple_silicon": ("arm64", "echo 1", "darwin-arm64"),
    "apple_silicon_translated": ("x86_64", "echo 1", "darwin-arm64"),
    "intel": ("x86_64", "echo \"sysctl: unknown oid 'hw.optional.arm64'\" >&2; exit 1", "darwin-amd64"),
    "intel_that_knows_the_name": ("x86_64", "echo 0", "darwin-amd64"),
}


@pytest.mark.parametrize("mac", MACS)
def test_the_build_for_a_mac(mac, tmp_path, monkeypatch):
    machine, answer, build = MACS[mac]
    program = tmp_path / "sysctl"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-n hw.optional.arm64" ] || exit 2\n{answer}\n')
    program.chmod(0o755)
    monkeypatch.setattr(builds, "_SYSCTL", ("/nowhere/sysctl", str(program)))
    monkeypatch.setattr(
        builds.os, "uname", lambda: os.uname_result(("Darwin", "mac.local", "24.6.0", "Darwin Kernel", machine))
    )
    assert builds.this_build() == build


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
    assert builds.build_for(system, machine, **more) == build


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
    with pytest.raises(ClientError, match=message):
        builds.build_for(system, machine, **more)


NAME = "cockroach-v25.4.11.linux-amd64.tgz"
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text", [f"{DIGEST}  {NAME}\n", f"{DIGEST} *{NAME}", DIGEST.upper(), f"{'f' * 64}  other.tgz\n{DIGEST}  ./{NAME}\n"]
)
def test_the_forms_of_a_checksum(text):
    assert download.parse_checksum(text.encode(), NAME) == DIGEST


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
    with pytest.raises(ClientError, match=r"sha256sum has (no|more than one) SHA-256"):
        download.parse_checksum(text.encode("latin-1"), NAME)
