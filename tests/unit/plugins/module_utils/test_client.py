# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client below a prefix, from an https server with archives of the real layout and a stand-in program inside."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._client import archive as _client_archive
from ansible_collections.crdb.onboard.plugins.module_utils._client import install as _client
from ansible_collections.crdb.onboard.plugins.module_utils._client.archive import ClientRefused
from ansible_collections.crdb.onboard.plugins.module_utils._client.install import Client, Wanted

from tests import vendor

TOP = Path(__file__).resolve().parents[4]
OLD, NEW = "v25.4.9", "v25.4.11"
BUILD = _client_archive.this_build()
ARCHIVE = _client_archive.archive_name("cockroach", NEW, BUILD)
FOLDER = ARCHIVE[: -len(".tgz")]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A scratch home."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def server(tmp_path):
    """The stand-in for the vendor's server, with two versions."""
    vendor.publish(tmp_path / "archives", OLD, NEW)
    running = vendor.Server(tmp_path / "archives", tmp_path)
    yield running
    running.close()


@pytest.fixture
def wanted(home, server):
    """The newer version in the home."""
    return Wanted(
        prefix=str(home / ".local"), version=NEW, base_url=server.url, ca_file=str(server.ca_file), timeout=1.0
    )


def present(wanted, check_mode=False):
    """Install; the report."""
    return Client(wanted).present(check_mode)


def said(link):
    """What the program at a link says that it is."""
    return subprocess.run([link, "version"], capture_output=True, text=True, check=True).stdout.split()[2]


def tree(folder):
    """Everything below a folder: kind, mode, content."""
    return {
        str(path.relative_to(folder)): (
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
            path.lstat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
    }


def test_it_is_installed_once_with_its_libraries(home, server, wanted):
    assert present(wanted, check_mode=True).changed
    assert tree(home) == {}
    assert server.requests == []
    report = present(wanted)
    assert [(p["action"], p["before"], p["version"]) for p in report.products] == [("installed", "", NEW)]
    assert said(home / ".local/bin/cockroach") == NEW
    assert sorted(p.name for p in (home / ".local/lib/cockroach").iterdir()) == ["libgeos.so", "libgeos_c.so"]
    assert report.path_line == 'export PATH="$HOME/.local/bin:$PATH"'
    asked = len(server.requests)
    before = tree(home)
    assert not present(wanted).changed
    assert not present(wanted, check_mode=True).changed
    assert len(server.requests) == asked == 2
    assert tree(home) == before


def test_both_programs_are_installed_side_by_side(home, wanted):
    report = present(replace(wanted, products=("cockroach", "cockroach-sql")))
    assert [p["action"] for p in report.products] == ["installed", "installed"]
    assert said(home / ".local/bin/cockroach") == said(home / ".local/bin/cockroach-sql") == NEW


def test_an_archive_of_the_sql_shell_may_call_it_cockroach(home, server, wanted):
    name = _client_archive.archive_name("cockroach-sql", NEW, BUILD)
    entry = vendor.member(f"{name[:-4]}/cockroach", vendor.program("cockroach-sql", NEW), mode=0o755)
    vendor.put(server.folder, name, vendor.pack([entry]))
    present(replace(wanted, products=("cockroach-sql",)))
    assert said(home / ".local/bin/cockroach-sql") == NEW


def test_versions_are_kept_by_count_and_going_back_needs_no_download(home, server, wanted):
    vendor.publish(server.folder, "v25.3.7")
    for version in ("v25.3.7", OLD, NEW):
        present(replace(wanted, version=version))
    folder = home / ".local/lib/crdb-onboard/cockroach"
    assert sorted(p.name for p in folder.iterdir()) == [NEW, OLD]
    asked = len(server.requests)
    report = present(replace(wanted, version=OLD))
    assert [(p["action"], p["before"]) for p in report.products] == [("switched", NEW)]
    assert len(server.requests) == asked
    assert said(home / ".local/bin/cockroach") == OLD
    present(replace(wanted, keep=0))
    assert sorted(p.name for p in folder.iterdir()) == [NEW]


def test_a_program_that_was_damaged_is_installed_anew(home, wanted):
    present(wanted)
    program = home / f".local/lib/crdb-onboard/cockroach/{NEW}/cockroach"
    program.write_bytes(b"")
    assert [p["action"] for p in present(wanted).products] == ["installed"]
    assert said(home / ".local/bin/cockroach") == NEW


def test_the_operators_own_digest_wins(home, server, wanted):
    digest = _client_archive.digest_of(str(server.folder / ARCHIVE))
    (server.folder / f"{ARCHIVE}.sha256sum").write_text(f"{'0' * 64}  {ARCHIVE}\n")
    present(replace(wanted, sha256={ARCHIVE: digest.upper()}))
    assert said(home / ".local/bin/cockroach") == NEW


def test_the_checksum_may_come_from_elsewhere(home, server, wanted, tmp_path):
    (server.folder / "sums").mkdir()
    (server.folder / f"{ARCHIVE}.sha256sum").rename(server.folder / "sums" / f"{ARCHIVE}.sha256sum")
    present(replace(wanted, checksum_url=f"{server.url}/sums/"))
    assert said(home / ".local/bin/cockroach") == NEW


def test_a_file_of_the_machine_needs_no_server(home, server, wanted, tmp_path):
    local = tmp_path / "brought.tgz"
    shutil.copyfile(server.folder / ARCHIVE, local)
    digest = _client_archive.digest_of(str(local))
    present(replace(wanted, archives={ARCHIVE: str(local)}, sha256={ARCHIVE: digest}, fetch=False))
    assert server.requests == []
    assert said(home / ".local/bin/cockroach") == NEW
    assert local.exists()


def test_without_a_download_what_is_missing_is_named(home, wanted):
    report = present(replace(wanted, fetch=False))
    assert report.needs == [ARCHIVE]
    assert tree(home) == {}


def good():
    """The entries of a right archive."""
    return vendor.layout("cockroach", NEW, BUILD)


def with_text(text):
    """A right archive around another program."""
    return vendor.pack(vendor.layout("cockroach", NEW, BUILD, text=text))


LINK = {"content": None, "kind": tarfile.SYMTYPE}
# What the server has -> what is said.
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
    "truncated": (lambda: vendor.pack(good())[:-200], "is truncated or no archive"),
    "no_archive": (lambda: b"<html>blocked by the proxy</html>", "is truncated or no archive"),
    "no_program": (lambda: vendor.pack(good()[1:]), "holds no program"),
    "other_version": (lambda: with_text(vendor.program("cockroach", OLD)), f"says that it is {OLD}"),
    "says_nothing": (lambda: with_text(b"#!/bin/sh\necho hello\n"), "says that it is 'hello"),
    "fails": (lambda: with_text(b"#!/bin/sh\necho no GLIBC_2.99 >&2\nexit 1\n"), "does not run here: .*GLIBC_2.99"),
    "no_format": (lambda: with_text(b"\x7fELF\x02 of another machine"), "does not run here"),
    "twice": (lambda: vendor.pack([*good(), good()[0]]), "twice"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
@pytest.mark.parametrize("installed", [False, True], ids=["first", "upgrade"])
def test_a_bad_archive_is_refused_and_nothing_changes(case, installed, home, server, wanted):
    if installed:
        present(replace(wanted, version=OLD))
    before = tree(home)
    make, message = BAD_ARCHIVES[case]
    vendor.put(server.folder, ARCHIVE, make())
    with pytest.raises(ClientRefused, match=message):
        present(wanted)
    assert tree(home) == before
    if installed:
        assert said(home / ".local/bin/cockroach") == OLD


def checksum(text):
    """Another text for the checksum."""

    def change(server, wanted):
        (server.folder / f"{ARCHIVE}.sha256sum").write_text(text)
        return wanted

    return change


def stall(drip):
    """A server that stops in the middle, or sends a byte now and then."""

    def change(server, wanted):
        server.stalled, server.drip = ".tgz", drip
        return replace(wanted, timeout=0.4)

    return change


def redirect(url):
    """A server that sends its clients elsewhere."""

    def change(server, wanted):
        server.redirects[f"/{ARCHIVE}"] = url
        return wanted

    return change


def missing(suffix):
    """A file that the server lacks."""

    def change(server, wanted):
        (server.folder / f"{ARCHIVE}{suffix}").unlink()
        return wanted

    return change


def changed(**options):
    """Other options."""
    return lambda server, wanted: replace(wanted, **options)


def cut_in_two(server, wanted):
    """An archive that lost its second half, under the checksum of the whole."""
    whole = (server.folder / ARCHIVE).read_bytes()
    (server.folder / ARCHIVE).write_bytes(whole[: len(whole) // 2])
    return wanted


BAD_SERVERS = {
    "wrong_checksum": (checksum(f"{'0' * 64}  {ARCHIVE}\n"), "wanted is 0000"),
    "malformed_checksum": (checksum("<html>sorry</html>"), "no SHA-256"),
    "missing_checksum": (missing(".sha256sum"), "answered 404"),
    "missing_archive": (missing(""), "answered 404 .* Is it a version that the server has"),
    "truncated": (cut_in_two, "wanted is"),
    "own_digest_malformed": (changed(sha256={ARCHIVE: "abc"}), "is no SHA-256"),
    "own_digest_wrong": (changed(sha256={ARCHIVE: "1" * 64}), "wanted is 1111"),
    "http": (changed(base_url="http://127.0.0.1:1"), "over https only"),
    "http_checksum": (changed(checksum_url="http://127.0.0.1:1"), "over https only"),
    "redirect_to_http": (redirect("http://127.0.0.1:1/x.tgz"), "over https only"),
    "unknown_ca": (changed(ca_file=""), "certificate verify failed"),
    "no_ca_file": (changed(ca_file="/nowhere.pem"), "crdb_client_ca_file /nowhere.pem"),
    "no_proxy": (changed(proxy="http://127.0.0.1:1"), "cannot be downloaded"),
    "silence": (stall(30.0), "stalled for 0.4 s"),
    "drip": (stall(0.05), "stalled for 0.4 s"),
    "no_such_build": (changed(builds=("linux-s390x",)), f"no {NEW} for {BUILD}"),
}


@pytest.mark.parametrize("case", BAD_SERVERS)
def test_a_bad_server_is_refused_and_the_old_version_runs_on(case, home, server, wanted):
    present(replace(wanted, version=OLD))
    before = tree(home)
    change, message = BAD_SERVERS[case]
    with pytest.raises(ClientRefused, match=message):
        present(change(server, wanted))
    assert tree(home) == before
    assert said(home / ".local/bin/cockroach") == OLD


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root: run the tests as root")
def test_no_space_left(home, server, wanted, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a tmpfs: run the tests where CAP_SYS_ADMIN is")
    try:
        wanted = replace(wanted, prefix=str(small))
        present(replace(wanted, version=OLD))
        before = tree(small)
        entries = [*good(), vendor.member(f"{FOLDER}/lib/large", bytes(1024 * 1024))]
        vendor.put(server.folder, ARCHIVE, vendor.pack(entries))
        with pytest.raises(ClientRefused, match="no space left"):
            present(wanted)
        vendor.put(server.folder, ARCHIVE, os.urandom(1024 * 1024))
        with pytest.raises(ClientRefused, match="no space left"):
            present(wanted)
        assert tree(small) == before
        assert said(small / "bin/cockroach") == OLD
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize(
    ("facts", "glibc", "message"),
    [
        (("Linux", "x86_64"), False, "is musl, as Alpine"),
        (("Linux", "riscv64"), True, "no client for the architecture riscv64"),
        (("FreeBSD", "amd64"), True, "no client for FreeBSD"),
    ],
)
def test_a_machine_that_the_client_does_not_run_on_keeps_what_it_has(facts, glibc, message, home, wanted, monkeypatch):
    present(replace(wanted, version=OLD))
    before = tree(home)
    system, machine = facts
    with monkeypatch.context() as patch:
        patch.setattr(os, "uname", lambda: os.uname_result((system, "host", "6.1", "#1", machine)))
        patch.setattr(_client_archive, "_has_glibc", lambda: glibc)
        with pytest.raises(ClientRefused, match=message):
            present(wanted)
    assert tree(home) == before
    assert said(home / ".local/bin/cockroach") == OLD


def test_zeros_behind_the_archives_end_count_too(home, server, wanted, monkeypatch):
    monkeypatch.setattr(_client_archive, "UNPACKED_LIMIT", 1024 * 1024)
    whole = gzip.decompress(vendor.pack(good()))
    vendor.put(server.folder, ARCHIVE, gzip.compress(whole + bytes(2 * 1024 * 1024)))
    with pytest.raises(ClientRefused, match="unpacks to more than"):
        present(wanted)
    assert tree(home) == {}


IN_A_PREFIX = """
import encodings.ascii, encodings.idna, encodings.latin_1, os, sys
from ansible_collections.crdb.onboard.plugins.module_utils._client import install as _client
user = {user}
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
try:
    wanted = _client.Wanted({prefix!r}, {version!r}, base_url={url!r}, ca_file={ca!r}, keep={keep})
    _client.Client(wanted).present(False)
except _client.ClientRefused as exc:
    sys.exit(str(exc))
"""


def in_a_process(wanted, *, user=0, before=""):
    """The same in a process of its own, with the id of another user or some lines before it."""
    program = before + IN_A_PREFIX.format(
        user=user,
        prefix=wanted.prefix,
        version=wanted.version,
        url=wanted.base_url,
        ca=wanted.ca_file,
        keep=wanted.keep,
    )
    environment = {**os.environ, "PYTHONPATH": str(TOP / "collections"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def test_a_folder_that_is_not_writable(home, wanted):
    (home / "file").write_text("")
    with pytest.raises(ClientRefused, match="not a folder that this user may write to"):
        present(replace(wanted, prefix=str(home / "file")))


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root: run the tests as root")
@pytest.mark.parametrize("closed", ["bin", "lib/crdb-onboard"])
def test_a_user_who_may_not_write_keeps_the_version_that_is_there(closed, server, wanted):
    user = 12345
    # Where that user can get to, as pytest's folders are not.
    place = Path(tempfile.mkdtemp(prefix="crdb-client-", dir="/var/tmp"))
    try:
        place.chmod(0o755)
        shutil.copyfile(server.ca_file, place / "ca.crt")
        prefix = place / "prefix"
        prefix.mkdir()
        os.chown(prefix, user, user)
        theirs = replace(wanted, prefix=str(prefix), ca_file=str(place / "ca.crt"))
        assert in_a_process(replace(theirs, version=OLD), user=user).returncode == 0
        os.chown(prefix / closed, 0, 0)
        before = tree(prefix)
        refused = in_a_process(theirs, user=user)
        assert (refused.returncode, "is not a folder that this user may write to" in refused.stderr) == (1, True)
        assert tree(prefix) == before
        assert said(prefix / "bin/cockroach") == OLD
    finally:
        shutil.rmtree(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to another user needs root: run the tests as root")
def test_root_does_not_install_through_a_users_folder(home, wanted):
    os.chown(home, 12345, 12345)
    with pytest.raises(ClientRefused, match="belongs to the user 12345"):
        present(wanted)
    assert tree(home) == {}


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_foreign_program_is_not_replaced_unasked_and_comes_back(kind, home, wanted, tmp_path):
    link = home / ".local/bin/cockroach"
    link.parent.mkdir(parents=True)
    if kind == "file":
        link.write_text("#!/bin/sh\necho theirs\n")
        link.chmod(0o755)
    else:
        link.symlink_to("../Cellar/cockroach/25.4.9/bin/cockroach")
    before = tree(home)
    with pytest.raises(ClientRefused, match=r"was not installed by crdb\.onboard"):
        present(wanted)
    assert tree(home) == before
    present(replace(wanted, force=True))
    assert said(link) == NEW
    Client(wanted).absent(False)
    assert tree(home) == before


@pytest.mark.parametrize("words", [["start", "-F"], ["-F", "start"]], ids=["start", "a_flag_first"])
def test_a_running_node_is_not_replaced_unasked(words, home, wanted):
    present(replace(wanted, version=OLD))
    link = home / ".local/bin/cockroach"
    program = home / f".local/lib/crdb-onboard/cockroach/{OLD}/cockroach"
    # A program that runs until it is ended, and takes `start` as its first word.
    shutil.copyfile(shutil.which("tail"), program)
    node = subprocess.Popen([link, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _client.running_nodes(str(link)):
            assert node.poll() is None
            time.sleep(0.01)
        with pytest.raises(ClientRefused, match=f"runs as a node .process {node.pid}."):
            present(wanted)
        with pytest.raises(ClientRefused, match="runs as a node"):
            Client(wanted).absent(False)
        assert link.resolve() == program
        present(replace(wanted, products=("cockroach-sql",)))
        present(replace(wanted, force=True))
        assert said(link) == NEW
        # The link has moved on, the node has not: its version's folder is not ours to remove now.
        with pytest.raises(ClientRefused, match="runs as a node"):
            present(replace(wanted, version="v25.4.10"))
        assert program.exists()
    finally:
        node.kill()
        node.wait()


@pytest.mark.parametrize("profile", [None, b"", b"umask 027\n", b"# no newline at the end"])
def test_everything_is_taken_away_and_nothing_else(profile, home, wanted):
    foreign = home / ".local/share/bash-completion/completions/other"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("theirs\n")
    for name in (".bash_profile", ".profile"):
        if profile is not None:
            (home / name).write_bytes(profile)
    before = tree(home)
    present(replace(wanted, version=OLD, products=("cockroach", "cockroach-sql"), profile=True))
    present(replace(wanted, products=("cockroach", "cockroach-sql"), profile=True))
    assert not present(replace(wanted, products=("cockroach", "cockroach-sql"), profile=True)).changed
    completion = foreign.parent / "cockroach"
    assert completion.read_text() == f"# completion of cockroach {NEW} for bash\n"
    written = [path for path in home.glob(".*profile") if b"crdb.onboard" in path.read_bytes()]
    assert len(written) == 1
    shell = subprocess.run(
        ["sh", "-c", f". {written[0]}; command -v cockroach"], capture_output=True, text=True, check=True,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert shell.stdout.strip() == str(home / ".local/bin/cockroach")
    assert Client(wanted).absent(True).changed
    Client(wanted).absent(False)
    assert tree(home) == before
    assert not Client(wanted).absent(False).changed


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
def test_killed_at_twenty_points_a_second_run_converges(upgrade, home, server, wanted):
    vendor.publish(server.folder, "v25.3.7")
    wanted = replace(wanted, keep=0)
    link = home / ".local/bin/cockroach"

    def fresh():
        shutil.rmtree(home)
        home.mkdir()
        if upgrade:
            present(replace(wanted, version=OLD))

    fresh()
    whole = in_a_process(wanted, before=KILLER.format(last=-1, prefix=str(home)))
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout)
    goal = tree(home)
    assert steps >= POINTS
    halves = set()
    for number in range(POINTS):
        fresh()
        killed = in_a_process(
            wanted, before=KILLER.format(last=1 + number * (steps - 1) // (POINTS - 1), prefix=str(home))
        )
        assert killed.returncode == -9, (number, killed)
        halves.add(said(link) if os.path.lexists(link) else None)
        second = in_a_process(wanted)
        assert second.returncode == 0, (number, second.stderr)
        assert tree(home) == goal, number
    assert halves == {OLD if upgrade else None, NEW}


def at_the_first_record(monkeypatch, act):
    """Let something happen while a first run's record is written, before its prefix is there."""
    write = _client._files.write

    def once(*arguments):
        monkeypatch.setattr(_client._files, "write", write)
        act()
        return write(*arguments)

    monkeypatch.setattr(_client._files, "write", once)


def test_first_runs_for_prefixes_side_by_side_leave_each_other_alone(home, wanted, monkeypatch):
    other = replace(wanted, prefix=str(home / "other"), version=OLD)
    at_the_first_record(monkeypatch, lambda: present(other))
    assert [p["action"] for p in present(wanted).products] == ["installed"]
    assert (said(home / ".local/bin/cockroach"), said(home / "other/bin/cockroach")) == (NEW, OLD)
    assert sorted(path.name for path in home.iterdir()) == [".local", "other"]


def test_a_first_run_that_another_one_overtook_goes_on_with_what_is_there(home, wanted, monkeypatch):
    at_the_first_record(monkeypatch, lambda: present(replace(wanted, version=OLD)))
    assert [p["action"] for p in present(wanted).products] == ["installed"]
    assert said(home / ".local/bin/cockroach") == NEW
    assert [path.name for path in home.iterdir()] == [".local"]
    Client(wanted).absent(check_mode=False)
    assert tree(home) == {}


def test_a_first_run_that_another_one_locked_out_takes_nothing_of_it_away(home, wanted, monkeypatch):
    with contextlib.ExitStack() as held:

        def overtake():
            present(replace(wanted, version=OLD))
            lock = held.enter_context((home / ".local/lib/crdb-onboard/lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)

        at_the_first_record(monkeypatch, overtake)
        with pytest.raises(ClientRefused, match="another run installs a client there"):
            present(wanted)
    assert said(home / ".local/bin/cockroach") == OLD


# A Mac as docs/macos.md records it: no /proc, BSD's ps, a login shell that is zsh, libraries that end in .dylib.
BSD_PS = """#!{python}
import sys
words, columns, titled = sys.argv[1:], [], False
while words:
    word = words.pop(0)
    if word == "-o":
        name, equals, title = words.pop(0).partition("=")
        columns += name.split(",")
        titled = titled or not equals or bool(title)
row = {{"pid": {pid}, "command": "{command}"}}
if titled:
    print("PID COMMAND")
print("%5s" % row["pid"], row["command"] if "command" in columns else "")
"""


@pytest.fixture
def mac(tmp_path, home, monkeypatch):
    """This machine as a Mac, with an Apple silicon and a translated Python; `mac(command)` runs a process there."""
    tools = tmp_path / "tools"
    tools.mkdir()

    def tool(name, text):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
        return str(tools / name)

    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Darwin", "mac.local", "24.6.0", "Darwin", "x86_64")))
    monkeypatch.setattr(_client_archive, "_SYSCTL", (tool("sysctl", "#!/bin/sh\necho 1\n"),))
    monkeypatch.setattr(_client, "_PROC", "/nowhere")
    account = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_shell="/bin/zsh", pw_name=account.pw_name))
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return lambda command: tool("ps", BSD_PS.format(python=sys.executable, pid=4711, command=command))


def test_a_mac_gets_its_build_and_all_is_taken_away_again(home, server, wanted, mac):
    mac("/sbin/launchd")
    (home / ".zprofile").write_text("# theirs")
    (home / ".local/share/zsh/site-functions").mkdir(parents=True)
    before = tree(home)
    report = present(replace(wanted, products=("cockroach", "cockroach-sql"), profile=True))
    assert [path for path in server.requests if path.endswith(".tgz")] == [
        f"/cockroach-{NEW}.darwin-11.0-arm64.tgz",
        f"/cockroach-sql-{NEW}.darwin-11.0-arm64.tgz",
    ]
    assert sorted(p.name for p in (home / ".local/lib/cockroach").iterdir()) == ["libgeos.dylib", "libgeos_c.dylib"]
    assert (home / ".zprofile").read_text() == f"# theirs\n{report.path_line} # crdb.onboard\n"
    completion = (home / ".local/share/zsh/site-functions/_cockroach").read_text()
    assert completion == f"# completion of cockroach {NEW} for zsh\n"
    assert not present(replace(wanted, products=("cockroach", "cockroach-sql"), profile=True)).changed
    Client(wanted).absent(False)
    assert tree(home) == before


def test_a_node_on_a_mac_is_found_by_its_ps(home, wanted, mac):
    mac("/sbin/launchd")
    present(replace(wanted, version=OLD))
    link = home / ".local/bin/cockroach"
    for command in (f"{link} start --insecure", "cockroach start-single-node", f"{link.resolve()} --log=x demo"):
        mac(command)
        with pytest.raises(ClientRefused, match=r"runs as a node .process 4711."):
            present(wanted)
    mac("/opt/homebrew/opt/cockroach/bin/cockroach start-single-node --insecure")
    present(wanted)
    assert said(link) == NEW


def test_homebrews_program_is_left_alone_and_named(home, wanted, mac, tmp_path, monkeypatch):
    mac("/sbin/launchd")
    brew = tmp_path / "homebrew/bin/cockroach"
    brew.parent.mkdir(parents=True)
    brew.write_text("#!/bin/sh\necho homebrew\n")
    brew.chmod(0o755)
    monkeypatch.setenv("PATH", f"{brew.parent}:{os.environ['PATH']}")
    report = present(wanted)
    assert f"{brew} is another cockroach, and may be found first in the PATH." in report.notes
    assert brew.read_text() == "#!/bin/sh\necho homebrew\n"
    # On an Intel Mac its link is where ours would be.
    Client(wanted).absent(False)
    link = home / ".local/bin/cockroach"
    link.parent.mkdir(parents=True)
    link.symlink_to(brew)
    with pytest.raises(ClientRefused, match=rf"was not installed by crdb\.onboard .a link to {brew}."):
        present(wanted)


URL = "postgresql://maxroach:p%27w%24d@db.example.com:26257/defaultdb?sslmode=verify-full&sslrootcert=%2Fhome%2Fm%2Fca.crt"
OTHER = {"DATABASE_URL": "postgresql://other@other.example.com/x"}
# What the file .env holds, the words before those for cockroach sql, the environment.
SHELL_CASES = {
    "file": (f"# a comment\nOTHER='x'\nDATABASE_URL='{URL}'\n", ["-f", "{file}"], OTHER),
    "here": (f"DATABASE_URL='{URL}'\n", [], {}),
    "here_wins": (f"DATABASE_URL='{URL}'\n", [], OTHER),
    "line_ends_of_windows": (f"A=1\r\nDATABASE_URL='{URL}'\r\n", [], {}),
    "exported": (f"  export  DATABASE_URL={URL}", [], {}),
    "double_quotes": (f'DATABASE_URL="{URL}"\n', [], {}),
    "the_last_one": (f"DATABASE_URL=postgresql://first\nDATABASE_URL='{URL}'\n", [], {}),
    "of_activerecord": (f"DATABASE_URL='{URL.replace('postgresql', 'cockroachdb')}'\n", [], {}),
    "of_sqlalchemy": (f"DATABASE_URL='{URL.replace('postgresql', 'cockroachdb+psycopg2')}'\n", [], {}),
    "environment": (None, [], {"DATABASE_URL": URL}),
    "environment_beside_a_file_without": ("A=1\n", [], {"DATABASE_URL": URL}),
}
SHELLS = [name for name in (["dash"], ["bash", "--posix"], ["busybox", "sh"], ["ksh"]) if shutil.which(name[0])]


@pytest.fixture(params=["cockroach", "cockroach-sql"])
def shell(request, home, wanted):
    """The SQL shell crdb-sql of either program, which prints its arguments and its environment."""
    present(replace(wanted, products=(request.param,)))
    program = home / f".local/lib/crdb-onboard/{request.param}/{NEW}/{request.param}"
    program.write_text('#!/bin/sh\nprintf "<%s>" "$@"\necho\nenv\n')
    return home / ".local/bin/crdb-sql"


@pytest.mark.parametrize("case", SHELL_CASES)
def test_the_sql_shell_gets_the_connection_by_its_environment_only(case, home, shell, tmp_path):
    text, words, environment = SHELL_CASES[case]
    folder = tmp_path / "app"
    folder.mkdir()
    if text is not None:
        (folder / ".env").write_bytes(text.encode())
    (home / ".cockroach-certs").mkdir()
    (home / ".cockroach-certs" / "ca.crt").write_text("a stray CA")
    words = [word.format(file=folder / ".env") for word in words]
    for interpreter in SHELLS:
        done = subprocess.run(
            [*interpreter, shell, *words, "--execute", "SELECT 1; -- it's"],
            cwd=home if words else folder, capture_output=True, text=True, check=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home), "COCKROACH_HOST": "elsewhere", **environment},
        )  # fmt: skip
        arguments, *lines = done.stdout.splitlines()
        assert arguments == "<sql><--execute><SELECT 1; -- it's>"
        assert f"COCKROACH_URL={URL}" in lines
        certs = next(line for line in lines if line.startswith("COCKROACH_CERTS_DIR=")).partition("=")[2]
        assert list(Path(certs).iterdir()) == []
        assert not [line for line in lines if line.startswith("COCKROACH_HOST")]


def test_an_older_cockroach_sql_reads_no_environment_and_gets_no_shell(home, server, wanted):
    vendor.publish(server.folder, "v24.2.10", "v24.3.33")
    only = replace(wanted, products=("cockroach-sql",))
    report = present(replace(only, version="v24.2.10"))
    assert [note for note in report.notes if note.startswith("crdb-sql was not installed")]
    assert not (home / ".local/bin/crdb-sql").exists()
    assert not present(replace(only, version="v24.2.10")).changed
    assert not [note for note in present(replace(only, version="v24.3.33")).notes if "crdb-sql" in note]
    assert "bin/cockroach-sql sql" in (home / ".local/bin/crdb-sql").read_text()


def test_the_shell_programs_text_is_posix(home, shell):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not there: make system-deps installs it")
    done = subprocess.run(["shellcheck", "-s", "sh", shell.resolve()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_sql_shell_says_what_it_lacks(home, wanted):
    present(wanted)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    (home / "script.sql").write_text("SELECT 1;\n")
    for words, message in (
        (["-f", "/nowhere/.env"], "cannot be read"),
        (["-f"], "-f wants the path of an environment file"),
        (["-f", "script.sql"], "a file of SQL is for --file"),
        ([], "no DATABASE_URL with a postgresql:// URL in .env"),
    ):
        done = subprocess.run(
            [home / ".local/bin/crdb-sql", *words],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
