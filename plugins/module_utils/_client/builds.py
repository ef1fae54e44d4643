# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vendor's builds of the client: which one a machine needs, and the names and URLs of its archives.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import subprocess

from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError

VENDOR_URL = "https://binaries.cockroachdb.com"
PRODUCTS = ("cockroach", "cockroach-sql")
BUILDS = {
    "linux-amd64": "linux-amd64",
    "linux-arm64": "linux-arm64",
    "darwin-amd64": "darwin-10.9-amd64",
    "darwin-arm64": "darwin-11.0-arm64",
}
"""A build (system and architecture) -> its spelling in an archive's name, which includes the oldest macOS."""

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_SYSCTL = ("/usr/sbin/sysctl", "/sbin/sysctl")


def build_for(system: str, machine: str, *, glibc: bool = True, arm64_mac: bool = False) -> str:
    """Return the build for a machine, such as ``linux-amd64``. `system` and `machine` are spelled as by `uname`.

    `arm64_mac` is the value of ``sysctl hw.optional.arm64``: a translated Python reports an Apple silicon Mac as
    x86_64. Raises ClientError when the vendor has no build for the machine.
    """
    if system == "Darwin":
        return "darwin-arm64" if arm64_mac or machine == "arm64" else "darwin-amd64"
    if system != "Linux":
        raise ClientError(f"There is no client for {system}: the vendor builds it for Linux and macOS.")
    if not glibc:
        raise ClientError(
            "This Linux uses musl (as Alpine does), and the vendor's client needs glibc. Use a host with glibc, or the"
            " driver of your language."
        )
    if machine not in _MACHINES:
        raise ClientError(f"There is no client for the architecture {machine}: the vendor builds amd64 and arm64.")
    return f"linux-{_MACHINES[machine]}"


def _sysctl(name: str) -> str:
    for program in _SYSCTL:
        try:
            process = subprocess.run(  # noqa: S603 - a program of the system, with fixed arguments
                [program, "-n", name], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except OSError:
            continue
        return process.stdout.decode("ascii", "replace").strip() if process.returncode == 0 else ""
    return ""


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False


def this_build() -> str:
    """Return the build for the machine that runs this code. Raises ClientError when there is none."""
    system = os.uname()
    if system.sysname == "Darwin":
        return build_for(system.sysname, system.machine, arm64_mac=_sysctl("hw.optional.arm64") == "1")
    return build_for(system.sysname, system.machine, glibc=_has_glibc())


def archive_name(product: str, version: str, build: str) -> str:
    """Return the name of an archive, such as ``cockroach-v25.4.11.linux-amd64.tgz``."""
    return f"{product}-{version}.{BUILDS[build]}.tgz"


def archive_url(base_url: str, name: str) -> str:
    """Return the URL of an archive."""
    return f"{base_url.rstrip('/')}/{name}"


def checksum_url(base_url: str, name: str) -> str:
    """Return the URL of an archive's SHA-256."""
    return f"{archive_url(base_url, name)}.sha256sum"
