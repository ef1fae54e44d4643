# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused: bad archives, bad servers, machines and folders that do not fit. Nothing changes then."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._client import archive, builds
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError

from tests import vendor
from tests.unit.plugins.module_utils.client.conftest import (
    ARCHIVE,
    BUILD,
    FOLDER,
    NEW,
    OLD,
    in_a_process,
    present,
    tree,
    version_of,
)


def good():
    """The entries of a right archive."""
    return vendor.layout("cockroach", NEW, BUILD)


def with_text(text):
    """A right archive around another program."""
    return vendor.pack(vendor.layout("cockroach", NEW, BUILD, text=text))


LINK = {"content": None, "kind": tarfile.SYMTYPE}
# What the server has -> the error.
BAD_ARCHIVES = {
    "parent": (lambda: vendor.pack([*good(), vendor.member(f"{FOLDER}/../../evil")]), "leads out of the folder"),
    "absolute": (lambda: vendor.pack([*good(), vendor.member("/tmp/evil")]), "leads out of the folder"),  # noqa: S108
    "beside": (lambda: vendor.pack([*good(), vendor.member("elsewhere/evil")]), "is not below"),
    "link_out": (
        lambda: vendor.pack([*good(), vendor.member(f"{FOLDER}/l", link="../../x", **LINK)]),
        "out of the folder",
    ),
    "link_root": (
        lambda: vendor.pack([*good(), vendor.member(f"{FOLDER}/l", link="/etc", **LINK)]),
        "out of the folder",
    ),
    "hard_link": (
        lambda: vendor.pack([*good(), vendor.member(f"{FOLDER}/l", None, kind=tarfile.LNKTYPE, link="/etc/passwd")]),
        "out of the folder",
    ),
    "through_a_link": (
        lambda: vendor.pack(
            [*good(), vendor.member(f"{FOLDER}/l", link="lib", **LINK), vendor.member(f"{FOLDER}/l/evil")]
        ),
        "goes through a link",
    ),
    "device": (
        lambda: vendor.pack([*good(), vendor.member(f"{FOLDER}/d", None, kind=tarfile.CHRTYPE)]),
        "neither a file",
    ),
    "zeros": (lambda: vendor.zeros(FOLDER, 100 * 1024**3), "unpacks to more than"),
    "truncated": (lambda: vendor.pack(good())[:-200], "is truncated or not an archive"),
    "no_archive": (lambda: b"<html>blocked by the proxy</html>", "is truncated or not an archive"),
    "no_program": (lambda: vendor.pack(good()[1:]), "the program .* is missing"),
    "other_version": (lambda: with_text(vendor.program("cockroach", OLD)), f"it reports {OLD}"),
    "says_nothing": (lambda: with_text(b"#!/bin/sh\necho hello\n"), "it reports 'hello"),
    "fails": (
        lambda: with_text(b"#!/bin/sh\necho no GLIBC_2.99 >&2\nexit 1\n"),
        "does not run on this machine: .*GLIBC_2.99",
    ),
    "no_format": (lambda: with_text(b"\x7fELF\x02 of another machine"), "does not run on this machine"),
    "twice": (lambda: vendor.pack([*good(), good()[0]]), "twice"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
@pytest.mark.parametrize("installed", [False, True], ids=["first", "upgrade"])
def test_a_bad_archive_is_refused_and_nothing_changes(case, installed, home, server, options):
    if installed:
        present(replace(options, version=OLD))
    before = tree(home)
    make, message = BAD_ARCHIVES[case]
    vendor.put(server.folder, ARCHIVE, make())
    with pytest.raises(ClientError, match=message):
        present(options)
    assert tree(home) == before
    if installed:
        assert version_of(home / ".local/bin/cockroach") == OLD


def checksum(text):
    """Another text for the checksum."""

    def change(server, options):
        (server.folder / f"{ARCHIVE}.sha256sum").write_text(text)
        return options

    return change


def stall(drip):
    """A server that stops in the middle, or sends a byte now and then."""

    def change(server, options):
        server.stalled, server.drip = ".tgz", drip
        return replace(options, timeout=0.4)

    return change


def redirect(url):
    """A server that sends its clients elsewhere."""

    def change(server, options):
        server.redirects[f"/{ARCHIVE}"] = url
        return options

    return change


def missing(suffix):
    """A file that is missing on the server."""

    def change(server, options):
        (server.folder / f"{ARCHIVE}{suffix}").unlink()
        return options

    return change


def changed(**changes):
    """Other options."""
    return lambda server, options: replace(options, **changes)


def cut_in_two(server, options):
    """An archive that lost its second half, under the checksum of the whole."""
    whole = (server.folder / ARCHIVE).read_bytes()
    (server.folder / ARCHIVE).write_bytes(whole[: len(whole) // 2])
    return options


BAD_SERVERS = {
    "wrong_checksum": (checksum(f"{'0' * 64}  {ARCHIVE}\n"), "expected the SHA-256 0000"),
    "malformed_checksum": (checksum("<html>sorry</html>"), "no SHA-256"),
    "missing_checksum": (missing(".sha256sum"), "answered 404"),
    "missing_archive": (missing(""), "answered 404 .* Check that the server has this version"),
    "truncated": (cut_in_two, "expected the SHA-256"),
    "own_digest_malformed": (changed(sha256={ARCHIVE: "abc"}), "must be a SHA-256"),
    "own_digest_wrong": (changed(sha256={ARCHIVE: "1" * 64}), "expected the SHA-256 1111"),
    "http": (changed(base_url="http://127.0.0.1:1"), "over https only"),
    "http_checksum": (changed(checksum_url="http://127.0.0.1:1"), "over https only"),
    "redirect_to_http": (redirect("http://127.0.0.1:1/x.tgz"), "over https only"),
    "unknown_ca": (changed(ca_file=""), "certificate verify failed"),
    "no_ca_file": (changed(ca_file="/nowhere.pem"), "ca_file /nowhere.pem"),
    "no_proxy": (changed(proxy="http://127.0.0.1:1"), "cannot be downloaded"),
    "silence": (stall(30.0), "stalled for 0.4 s"),
    "drip": (stall(0.05), "stalled for 0.4 s"),
    "no_such_build": (changed(builds=("linux-s390x",)), f"no {NEW} for {BUILD}"),
}


@pytest.mark.parametrize("case", BAD_SERVERS)
def test_a_bad_server_is_refused_and_the_old_version_runs_on(case, home, server, options):
    present(replace(options, version=OLD))
    before = tree(home)
    change, message = BAD_SERVERS[case]
    with pytest.raises(ClientError, match=message):
        present(change(server, options))
    assert tree(home) == before
    assert version_of(home / ".local/bin/cockroach") == OLD


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root: run the tests as root")
def test_no_space_left(home, server, options, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a tmpfs: run the tests where CAP_SYS_ADMIN is")
    try:
        options = replace(options, prefix=str(small))
        present(replace(options, version=OLD))
        before = tree(small)
        entries = [*good(), vendor.member(f"{FOLDER}/lib/large", bytes(1024 * 1024))]
        vendor.put(server.folder, ARCHIVE, vendor.pack(entries))
        with pytest.raises(ClientError, match="no space left"):
            present(options)
        vendor.put(server.folder, ARCHIVE, os.urandom(1024 * 1024))
        with pytest.raises(ClientError, match="no space left"):
            present(options)
        assert tree(small) == before
        assert version_of(small / "bin/cockroach") == OLD
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize(
    ("facts", "glibc", "message"),
    [
        (("Linux", "x86_64"), False, "uses musl .as Alpine"),
        (("Linux", "riscv64"), True, "no client for the architecture riscv64"),
        (("FreeBSD", "amd64"), True, "no client for FreeBSD"),
    ],
)
def test_a_machine_that_the_client_does_not_run_on_keeps_what_it_has(facts, glibc, message, home, options, monkeypatch):
    present(replace(options, version=OLD))
    before = tree(home)
    system, machine = facts
    with monkeypatch.context() as patch:
        patch.setattr(os, "uname", lambda: os.uname_result((system, "host", "6.1", "#1", machine)))
        patch.setattr(builds, "_has_glibc", lambda: glibc)
        with pytest.raises(ClientError, match=message):
            present(options)
    assert tree(home) == before
    assert version_of(home / ".local/bin/cockroach") == OLD


def test_zeros_behind_the_archives_end_count_too(home, server, options, monkeypatch):
    monkeypatch.setattr(archive, "UNPACKED_LIMIT", 1024 * 1024)
    whole = gzip.decompress(vendor.pack(good()))
    vendor.put(server.folder, ARCHIVE, gzip.compress(whole + bytes(2 * 1024 * 1024)))
    with pytest.raises(ClientError, match="unpacks to more than"):
        present(options)
    assert tree(home) == {}


def test_a_folder_that_is_not_writable(home, options):
    (home / "file").write_text("")
    with pytest.raises(ClientError, match="not a folder that this user may write to"):
        present(replace(options, prefix=str(home / "file")))


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root: run the tests as root")
@pytest.mark.parametrize("closed", ["bin", "lib/crdb-onboard"])
def test_a_user_who_may_not_write_keeps_the_version_that_is_there(closed, server, options):
    user = 12345
    # Where that user can get to, as pytest's folders are not.
    place = Path(tempfile.mkdtemp(prefix="crdb-client-", dir="/var/tmp"))
    try:
        place.chmod(0o755)
        shutil.copyfile(server.ca_file, place / "ca.crt")
        prefix = place / "prefix"
        prefix.mkdir()
        os.chown(prefix, user, user)
        theirs = replace(options, prefix=str(prefix), ca_file=str(place / "ca.crt"))
        assert in_a_process(replace(theirs, version=OLD), user=user).returncode == 0
        os.chown(prefix / closed, 0, 0)
        before = tree(prefix)
        refused = in_a_process(theirs, user=user)
        assert (refused.returncode, "is not a folder that this user may write to" in refused.stderr) == (1, True)
        assert tree(prefix) == before
        assert version_of(prefix / "bin/cockroach") == OLD
    finally:
        shutil.rmtree(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to another user needs root: run the tests as root")
def test_root_does_not_install_through_a_users_folder(home, options):
    os.chown(home, 12345, 12345)
    with pytest.raises(ClientError, match="belongs to the user id 12345"):
        present(options)
    assert tree(home) == {}
