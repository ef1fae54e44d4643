# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writer among users, rights and full disks: what root is asked to write for a user never leads elsewhere."""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import new_state
from tests.unit.plugins.module_utils.test_files import tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: these are another user's files and mounts")
USER = "nobody"
# Its home is there, and is root's: /usr/sbin.
HOME_OF_ROOTS = "daemon"


@pytest.fixture
def place():
    """A folder that every account can get to, with one that belongs to the user in it."""
    folder = new_state()
    folder.chmod(0o755)
    (folder / "own").mkdir()
    shutil.chown(folder / "own", USER)
    (folder / "root").mkdir()
    (folder / "root" / "precious").write_text("precious\n")
    yield folder
    subprocess.run(["umount", "-q", folder / "own"], check=False)
    subprocess.run(["chattr", "-R", "-i", folder], check=False, capture_output=True)
    shutil.rmtree(folder)
    for user in (USER, HOME_OF_ROOTS):
        shutil.rmtree(f"/var/lib/crdb-onboard/{user}", ignore_errors=True)


def write(controller, *files, **options):
    """Run the module as root; the user's files are those without another `user`."""
    entries = [{"user": USER, **file, "content": base64.b64encode(file["content"].encode()).decode()} for file in files]
    arguments = controller.home / "arguments.json"
    arguments.write_text(json.dumps({"module": {"files": entries, **options}}))
    return controller.run(
        "ansible", "localhost", "-m", "crdb.onboard.files", "-a", "files={{ module.files }}", "-e", f"@{arguments}"
    )


def flat(run):
    """The output without the line breaks of the display."""
    return " ".join(run.output.split())


def test_a_folder_of_the_user(controller, place):
    run = write(controller, {"path": str(place / "own" / "sub" / ".env"), "content": "A=1\n", "format": "dotenv"})
    assert run.status == 0, run.output
    assert {path.owner() for path in (place / "own" / "sub").rglob("*")} == {USER}
    assert (place / "own" / "sub").owner() == USER


@pytest.mark.parametrize(
    ("arrange", "path", "message"),
    [
        (lambda place: None, "root/x", "is not writable for this user"),
        (lambda place: None, "root/sub/x", "is not writable for this user"),
        (lambda place: (place / "own" / "x").symlink_to(place / "root" / "precious"), "own/x", "precious: belongs to"),
        (lambda place: (place / "own" / "x").symlink_to(place / "root" / "new"), "own/x", "is not writable"),
        (lambda place: (place / "own" / "sub").symlink_to(place / "root"), "own/sub/precious", "precious: belongs to"),
        (lambda place: (place / "own" / "sub").symlink_to(place / "root"), "own/sub/new", "is not writable"),
        (lambda place: (place / "own").chmod(0o555), "own/x", "is not writable for this user"),
        (lambda place: (place / "root").chmod(0o700), "root/precious", "cannot be read: Permission denied"),
    ],
)
def test_refused_and_nothing_written_elsewhere(controller, place, arrange, path, message):
    arrange(place)
    before = tree(place)
    run = write(
        controller,
        {"path": str(place / "own" / "first"), "content": "1"},
        {"path": str(place / path), "content": "A=1\n", "format": "dotenv"},
    )
    assert run.status == 2, run.output
    assert f"{place}/" in flat(run)
    assert message in flat(run) or "is not writable" in flat(run)
    assert tree(place) == before


@pytest.mark.parametrize("flag", ["+i", "+a"])
def test_an_immutable_file_is_named(controller, place, flag):
    path = place / "own" / ".env"
    path.write_text("B=2\n")
    shutil.chown(path, USER, pwd.getpwnam(USER).pw_gid)
    if subprocess.run(["chattr", flag, path], capture_output=True, check=False).returncode != 0:
        pytest.skip("this file system has no chattr flags: run the tests on ext4 or xfs")
    try:
        run = write(controller, {"path": str(path), "content": "A=1\n", "format": "dotenv"})
    finally:
        subprocess.run(["chattr", flag.replace("+", "-"), path], check=True)
    assert run.status == 2
    assert f"{path}: {path} is marked immutable or append-only" in flat(run)
    assert path.read_text() == "B=2\n"


def test_a_full_disk_leaves_everything_as_it_was(controller, place):
    own = place / "own"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755,uid=65534", "tmpfs", own], check=True)
    (own / "there").write_text("A=1\n")
    shutil.chown(own / "there", USER, pwd.getpwnam(USER).pw_gid)
    before = tree(own)
    files = [{"path": str(own / f"{number}"), "content": "x" * 9000} for number in range(12)]
    run = write(controller, {"path": str(own / "there"), "content": "B=2\n", "format": "dotenv"}, *files)
    assert run.status == 2
    assert "cannot be written: No space left on device" in flat(run)
    assert tree(own) == before


def test_files_of_two_users_are_one_step(controller, place):
    """The second user's refusal leaves the first user's files alone."""
    run = write(
        controller,
        {"path": str(place / "mine"), "content": "1", "user": "root"},
        {"path": str(place / "root" / "x"), "content": "1"},
    )
    assert run.status == 2
    assert not (place / "mine").exists()


def test_two_users_may_share_a_folder(controller, place):
    shutil.chown(place / "own", "root")
    (place / "own").chmod(0o1777)
    users = (USER, HOME_OF_ROOTS, "root")
    run = write(controller, *[{"user": u, "path": str(place / "own" / u), "content": u} for u in users])
    assert run.status == 0, run.output
    found = {path.name: (path.read_text(), path.owner()) for path in (place / "own").iterdir()}
    assert found == {user: (user, user) for user in users}


def test_files_of_several_other_users_are_written_and_the_run_ends(controller, place):
    """A process a user: none may keep another one's pipe open."""
    homeless = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid and not Path(entry.pw_dir).exists()]
    others = [USER, *[name for name in homeless if name != USER][:2]]
    assert len(others) > 2
    try:
        for name in others[1:]:
            (place / name).mkdir()
            shutil.chown(place / name, name)
        files = [{"path": str(place / ("own" if n == USER else n) / "x"), "content": n, "user": n} for n in others]
        run = write(controller, *files)
        assert run.status == 0, run.output
        assert [Path(file["path"]).owner() for file in files] == others
        again = write(controller, *files)
        assert "SUCCESS" in again.output, again.output
    finally:
        for name in others[1:]:
            shutil.rmtree(f"/var/lib/crdb-onboard/{name}", ignore_errors=True)


def test_an_unknown_user_is_named(controller, place):
    run = write(controller, {"path": str(place / "x"), "content": "1", "user": "nosuchuser"})
    assert run.status == 2
    assert "There is no user 'nosuchuser' on this host" in flat(run)


def test_a_home_with_spaces_and_letters(controller, place, sandbox):
    home = Path(f"{place}/h\u00f6me of max")
    home.mkdir()
    controller.home = home
    facts = sandbox.connections["funky_skunk"]
    run = controller.playbook(
        "dev_machine",
        {"crdb_connections": {"shop": facts}, "crdb_app_folder": "~/my app", "crdb_frameworks": ["psycopg2"]},
    )
    assert run.status == 0, run.output
    assert (home / "my app" / "crdb_database.py").exists()
    assert "sslrootcert=%2F" in (home / "my app" / ".env").read_text()
