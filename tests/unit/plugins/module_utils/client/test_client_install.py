# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client below a prefix, from an https server with archives of the real layout and a stand-in program inside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from dataclasses import replace

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._client import builds, installation, program
from ansible_collections.crdb.onboard.plugins.module_utils._client.download import digest_of
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._client.remove import remove

from tests import vendor
from tests.unit.plugins.module_utils.client.conftest import (
    ARCHIVE,
    BUILD,
    NEW,
    OLD,
    in_a_process,
    present,
    tree,
    version_of,
)


def test_it_is_installed_once_with_its_libraries(home, server, options):
    assert present(options, check_mode=True).changed
    assert tree(home) == {}
    assert server.requests == []
    result = present(options)
    assert [(p["action"], p["before"], p["version"]) for p in result.products] == [("installed", "", NEW)]
    assert version_of(home / ".local/bin/cockroach") == NEW
    assert sorted(p.name for p in (home / ".local/lib/cockroach").iterdir()) == ["libgeos.so", "libgeos_c.so"]
    assert result.path_line == 'export PATH="$HOME/.local/bin:$PATH"'
    asked = len(server.requests)
    before = tree(home)
    assert not present(options).changed
    assert not present(options, check_mode=True).changed
    assert len(server.requests) == asked == 2
    assert tree(home) == before


def test_both_programs_are_installed_side_by_side(home, options):
    result = present(replace(options, products=("cockroach", "cockroach-sql")))
    assert [p["action"] for p in result.products] == ["installed", "installed"]
    assert version_of(home / ".local/bin/cockroach") == version_of(home / ".local/bin/cockroach-sql") == NEW


def test_an_archive_of_the_sql_shell_may_call_it_cockroach(home, server, options):
    name = builds.archive_name("cockroach-sql", NEW, BUILD)
    entry = vendor.member(f"{name[:-4]}/cockroach", vendor.program("cockroach-sql", NEW), mode=0o755)
    vendor.put(server.folder, name, vendor.pack([entry]))
    present(replace(options, products=("cockroach-sql",)))
    assert version_of(home / ".local/bin/cockroach-sql") == NEW


def test_versions_are_kept_by_count_and_going_back_needs_no_download(home, server, options):
    vendor.publish(server.folder, "v25.3.7")
    for version in ("v25.3.7", OLD, NEW):
        present(replace(options, version=version))
    folder = home / ".local/lib/crdb-onboard/cockroach"
    assert sorted(p.name for p in folder.iterdir()) == [NEW, OLD]
    asked = len(server.requests)
    result = present(replace(options, version=OLD))
    assert [(p["action"], p["before"]) for p in result.products] == [("switched", NEW)]
    assert len(server.requests) == asked
    assert version_of(home / ".local/bin/cockroach") == OLD
    present(replace(options, keep=0))
    assert sorted(p.name for p in folder.iterdir()) == [NEW]


def test_a_program_that_was_damaged_is_installed_anew(home, options):
    present(options)
    program = home / f".local/lib/crdb-onboard/cockroach/{NEW}/cockroach"
    program.write_bytes(b"")
    assert [p["action"] for p in present(options).products] == ["installed"]
    assert version_of(home / ".local/bin/cockroach") == NEW


def test_the_operators_own_digest_wins(home, server, options):
    digest = digest_of(str(server.folder / ARCHIVE))
    (server.folder / f"{ARCHIVE}.sha256sum").write_text(f"{'0' * 64}  {ARCHIVE}\n")
    present(replace(options, sha256={ARCHIVE: digest.upper()}))
    assert version_of(home / ".local/bin/cockroach") == NEW


def test_the_checksum_may_come_from_elsewhere(home, server, options, tmp_path):
    (server.folder / "sums").mkdir()
    (server.folder / f"{ARCHIVE}.sha256sum").rename(server.folder / "sums" / f"{ARCHIVE}.sha256sum")
    present(replace(options, checksum_url=f"{server.url}/sums/"))
    assert version_of(home / ".local/bin/cockroach") == NEW


def test_a_file_of_the_machine_needs_no_server(home, server, options, tmp_path):
    local = tmp_path / "brought.tgz"
    shutil.copyfile(server.folder / ARCHIVE, local)
    digest = digest_of(str(local))
    present(replace(options, archives={ARCHIVE: str(local)}, sha256={ARCHIVE: digest}, download=False))
    assert server.requests == []
    assert version_of(home / ".local/bin/cockroach") == NEW
    assert local.exists()


def test_without_a_download_what_is_missing_is_named(home, options):
    result = present(replace(options, download=False))
    assert result.missing_archives == [ARCHIVE]
    assert tree(home) == {}


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_foreign_program_is_not_replaced_unasked_and_comes_back(kind, home, options, tmp_path):
    link = home / ".local/bin/cockroach"
    link.parent.mkdir(parents=True)
    if kind == "file":
        link.write_text("#!/bin/sh\necho theirs\n")
        link.chmod(0o755)
    else:
        link.symlink_to("../Cellar/cockroach/25.4.9/bin/cockroach")
    before = tree(home)
    with pytest.raises(ClientError, match=r"was not installed by crdb\.onboard"):
        present(options)
    assert tree(home) == before
    present(replace(options, force=True))
    assert version_of(link) == NEW
    remove(options, False)
    assert tree(home) == before


@pytest.mark.parametrize("words", [["start", "-F"], ["-F", "start"]], ids=["start", "a_flag_first"])
def test_a_running_node_is_not_replaced_unasked(words, home, options):
    present(replace(options, version=OLD))
    link = home / ".local/bin/cockroach"
    node_file = home / f".local/lib/crdb-onboard/cockroach/{OLD}/cockroach"
    # A program that runs until it is ended, and takes `start` as its first word.
    shutil.copyfile(shutil.which("tail"), node_file)
    node = subprocess.Popen([link, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not program.running_nodes(str(link)):
            assert node.poll() is None
            time.sleep(0.01)
        with pytest.raises(ClientError, match=f"runs as a node .process {node.pid}."):
            present(options)
        with pytest.raises(ClientError, match="runs as a node"):
            remove(options, False)
        assert link.resolve() == node_file
        present(replace(options, products=("cockroach-sql",)))
        present(replace(options, force=True))
        assert version_of(link) == NEW
        # The link has moved on, the node has not: its version's folder is not ours to remove now.
        with pytest.raises(ClientError, match="runs as a node"):
            present(replace(options, version="v25.4.10"))
        assert node_file.exists()
    finally:
        node.kill()
        node.wait()


@pytest.mark.parametrize("profile", [None, b"", b"umask 027\n", b"# no newline at the end"])
def test_everything_is_taken_away_and_nothing_else(profile, home, options):
    foreign = home / ".local/share/bash-completion/completions/other"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("theirs\n")
    for name in (".bash_profile", ".profile"):
        if profile is not None:
            (home / name).write_bytes(profile)
    before = tree(home)
    present(replace(options, version=OLD, products=("cockroach", "cockroach-sql"), profile=True))
    present(replace(options, products=("cockroach", "cockroach-sql"), profile=True))
    assert not present(replace(options, products=("cockroach", "cockroach-sql"), profile=True)).changed
    completion = foreign.parent / "cockroach"
    assert completion.read_text() == f"# completion of cockroach {NEW} for bash\n"
    written = [path for path in home.glob(".*profile") if b"crdb.onboard" in path.read_bytes()]
    assert len(written) == 1
    shell = subprocess.run(
        ["sh", "-c", f". {written[0]}; command -v cockroach"], capture_output=True, text=True, check=True,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert shell.stdout.strip() == str(home / ".local/bin/cockroach")
    assert remove(options, True).changed
    remove(options, False)
    assert tree(home) == before
    assert not remove(options, False).changed


KILLER = """
import os, signal, sys
count, last, watched = 0, {last}, {prefix!r}
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "os.utime",
          "subprocess.Popen", "socket.connect", "shutil.rmtree", "tempfile.mkdtemp")
def hook(event, arguments):
    global count
    if event in EVENTS and ("socket" in event or any(watched in str(a) for a in arguments)):
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
import atexit
atexit.register(lambda: print(count))
"""
POINTS = 20


@pytest.mark.parametrize("upgrade", [True, False], ids=["upgrade", "first"])
def test_killed_at_twenty_points_a_second_run_converges(upgrade, home, server, options):
    vendor.publish(server.folder, "v25.3.7")
    options = replace(options, keep=0)
    link = home / ".local/bin/cockroach"

    def fresh():
        shutil.rmtree(home)
        home.mkdir()
        if upgrade:
            present(replace(options, version=OLD))

    fresh()
    whole = in_a_process(options, before=KILLER.format(last=-1, prefix=str(home)))
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout)
    goal = tree(home)
    assert steps >= POINTS
    halves = set()
    for number in range(POINTS):
        fresh()
        killed = in_a_process(
            options, before=KILLER.format(last=1 + number * (steps - 1) // (POINTS - 1), prefix=str(home))
        )
        assert killed.returncode == -9, (number, killed)
        halves.add(version_of(link) if os.path.lexists(link) else None)
        second = in_a_process(options)
        assert second.returncode == 0, (number, second.stderr)
        assert tree(home) == goal, number
    assert halves == {OLD if upgrade else None, NEW}


def at_the_first_record(monkeypatch, act):
    """Let something happen while a first run's record is written, before its prefix is there."""
    write = installation.write

    def once(*arguments):
        monkeypatch.setattr(installation, "write", write)
        act()
        return write(*arguments)

    monkeypatch.setattr(installation, "write", once)


def test_first_runs_for_prefixes_side_by_side_leave_each_other_alone(home, options, monkeypatch):
    other = replace(options, prefix=str(home / "other"), version=OLD)
    at_the_first_record(monkeypatch, lambda: present(other))
    assert [p["action"] for p in present(options).products] == ["installed"]
    assert (version_of(home / ".local/bin/cockroach"), version_of(home / "other/bin/cockroach")) == (NEW, OLD)
    assert sorted(path.name for path in home.iterdir()) == [".local", "other"]


def test_a_first_run_that_another_one_overtook_goes_on_with_what_is_there(home, options, monkeypatch):
    at_the_first_record(monkeypatch, lambda: present(replace(options, version=OLD)))
    assert [p["action"] for p in present(options).products] == ["installed"]
    assert version_of(home / ".local/bin/cockroach") == NEW
    assert [path.name for path in home.iterdir()] == [".local"]
    remove(options, check_mode=False)
    assert tree(home) == {}


def test_a_first_run_that_another_one_locked_out_takes_nothing_of_it_away(home, options, monkeypatch):
    with contextlib.ExitStack() as held:

        def overtake():
            present(replace(options, version=OLD))
            lock = held.enter_context((home / ".local/lib/crdb-onboard/lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)

        at_the_first_record(monkeypatch, overtake)
        with pytest.raises(ClientError, match="another run installs a client there"):
            present(options)
    assert version_of(home / ".local/bin/cockroach") == OLD
