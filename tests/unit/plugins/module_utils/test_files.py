# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writer: everything or nothing, only what is ours, and all of it taken back."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files.diff import diff, masked
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.plan import plan, plan_undo
from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import stage, sweep, write
from ansible_collections.crdb.onboard.plugins.module_utils._files.transaction import Transaction

from tests.faults.certificates import Authority
from tests.killed import ends_before


def env(path, value, **options):
    """An environment file of ours."""
    content = f"# Written by crdb.onboard for the test\nDATABASE_URL='{value}'\n".encode()
    return PlannedFile(str(path), content, 0o600, "dotenv", secret=True, apps=("app",), purpose="config", **options)


def whole(path, text, **options):
    """A file of ours as a whole."""
    return PlannedFile(str(path), text.encode(), 0o644, apps=("app",), purpose="config", **options)


def run(home, files, *, force=False):
    """One run of the writer, as the module does it: actions by path, or the refusals."""
    record = Record(f"{home}/state")
    try:
        decisions, refusals = plan(files, record, force)
        if refusals:
            return refusals
        return _finish(decisions, record)
    finally:
        record.close()


def _finish(decisions, record):
    transaction = Transaction(decisions, record)
    try:
        transaction.stage()
        transaction.commit()
    except OSError:
        transaction.rollback()
        raise
    transaction.finish()
    return {Path(decision.path).name: decision.action for decision in decisions}


def remove(home, *, apps=None, force=False):
    """One run that takes everything away."""
    record = Record(f"{home}/state")
    try:
        decisions, refusals = plan_undo(record, "config", apps, force)
        assert refusals == []
        return _finish(decisions, record)
    finally:
        record.close()


def tree(folder):
    """Everything below a folder: kind, permission bits, content or link's target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", mode)
        elif path.is_file():
            found[name] = ("file", mode, path.read_bytes())
        else:
            found[name] = ("special", mode)
    return found


@pytest.fixture
def home(tmp_path):
    """A home with the files of others in it."""
    home = tmp_path / "h\u00f6me of max"
    home.mkdir()
    (home / "dotfiles").mkdir()
    (home / "dotfiles" / "env").write_bytes(b"# mine\r\nexport A='1'\r\nB=\"x\r\ny\"\r\nlast=no newline")
    (home / "app").mkdir()
    (home / "app" / ".env").symlink_to("../dotfiles/env")
    (home / "app" / "dangling").symlink_to("nowhere")
    (home / "app2").mkdir(mode=0o750)
    (home / "app2" / ".env").write_bytes(b"SECRET_KEY=x\n")
    (home / "app2" / ".env").chmod(0o644)
    return home


def test_foreign_files_are_as_before_after_everything(home):
    before = tree(home)
    files = [env(home / "app" / ".env", "one"), env(home / "app2" / ".env", "one"), whole(home / "new" / "x.py", "1")]
    assert run(home, files) == {".env": "changed", "x.py": "created"}
    during = tree(home)
    assert during["app/.env"] == before["app/.env"]
    assert during["app2/.env"][1] == 0o600
    assert during["dotfiles/env"][2].endswith(b"last=no newline\r\nDATABASE_URL='one'\r\n")
    assert run(home, files) == {".env": "ok", "x.py": "ok"}
    assert tree(home) == during
    changed = [env(home / "app" / ".env", "two"), env(home / "app2" / ".env", "two"), files[2]]
    assert run(home, changed) == {".env": "changed", "x.py": "ok"}
    assert remove(home) == {".env": "restored", "x.py": "removed"}
    assert tree(home) == before


def test_others_lines_that_came_later_stay(home):
    path = home / "app2" / ".env"
    run(home, [env(path, "one")])
    path.write_bytes(path.read_bytes() + b"LATER=1\n")
    assert run(home, [env(path, "two")]) == {".env": "changed"}
    assert remove(home) == {".env": "restored"}
    assert path.read_bytes() == b"SECRET_KEY=x\nLATER=1\n"


def test_one_of_two_apps_is_taken_away(home):
    ca = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    shared = PlannedFile(str(home / "root.crt"), ca, 0o644, "pem", apps=("one", "two"), purpose="config")
    own = PlannedFile(str(home / "one.py"), b"1", 0o644, apps=("one",), purpose="config")
    run(home, [shared, own])
    assert remove(home, apps=["one"]) == {"one.py": "removed", "root.crt": "ok"}
    assert (home / "root.crt").read_bytes() == ca
    assert remove(home, apps=["two"]) == {"root.crt": "removed"}
    assert not (home / "state").exists()


def test_a_file_that_apps_share_is_given_once_an_app_and_taken_away_by_app(home):
    path = home / ".pgpass"
    path.write_bytes(b"*:*:*:me:theirs")
    before = tree(home)

    def line(app, text):
        return PlannedFile(str(path), text, 0o600, "pgpass", secret=True, apps=(app,), purpose="config")

    files = [line("one", b"h:1:d:u:p\n"), line("two", b"h:1:d:u:p\n"), line("two", b"h:2:d:u:q\n")]
    assert run(home, files) == {".pgpass": "changed"}
    assert path.read_bytes() == b"h:2:d:u:q\nh:1:d:u:p\n*:*:*:me:theirs"
    assert run(home, files) == {".pgpass": "ok"}
    assert "two need different values of h:1:d:u" in run(home, [*files, line("two", b"h:1:d:u:other\n")])[0]
    assert "listed twice, with a different mode" in run(home, [*files, files[0]._replace(mode=0o644)])[0]
    assert remove(home, apps=["two"]) == {".pgpass": "restored"}
    assert path.read_bytes() == b"h:1:d:u:p\n*:*:*:me:theirs"
    assert remove(home, apps=["one"]) == {".pgpass": "restored"}
    assert tree(home) == before


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"], ["b"], ["a"], []])
def test_a_line_that_had_to_be_ended_is_as_it_was_whichever_app_goes_first(home, order):
    path = home / ".pg_service.conf"
    path.write_bytes(b"[theirs]\nport=1")
    before = tree(home)

    def section(app):
        return PlannedFile(str(path), f"[{app}]\nport=2\n".encode(), 0o600, "service", apps=(app,), purpose="config")

    run(home, [section("b"), section("a")])
    for app in order:
        remove(home, apps=[app])
    remove(home)
    assert tree(home) == before


def test_a_difference_shows_no_password_of_a_pgpass_whoever_wrote_it(home):
    path = home / ".pgpass"
    path.write_bytes(b"# a comment\n*:*:*:me:theirs\n")
    wanted = PlannedFile(str(path), b"h:1:d:u:ours\n", 0o600, "pgpass", secret=True, apps=("one",), purpose="config")
    record = Record(f"{home}/state")
    decisions, refusals = plan([wanted], record, False)
    record.close()
    assert refusals == []
    shown = diff(decisions[0], [])
    assert shown["before"] == "mode: 0644\n"
    assert shown["after"] == "mode: 0600\nh:1:d:u:********\n"


class TestDrift:
    """The rule of dpkg: a hand edit stays as long as ours does, and is kept as a copy when ours moves on."""

    @pytest.fixture
    def path(self, home):
        path = home / "x.py"
        run(home, [whole(path, "ours")])
        path.write_text("theirs")
        return path

    def test_it_stays(self, home, path):
        assert run(home, [whole(path, "ours")]) == {"x.py": "drifted"}
        assert path.read_text() == "theirs"

    def test_it_gives_way_when_ours_moved_on(self, home, path):
        assert run(home, [whole(path, "ours 2")]) == {"x.py": "changed"}
        assert path.read_text() == "ours 2"
        assert (home / "x.py.crdb-onboard-1.bak").read_text() == "theirs"

    def test_force_replaces_it(self, home, path):
        assert run(home, [whole(path, "ours")], force=True) == {"x.py": "changed"}
        assert (home / "x.py.crdb-onboard-1.bak").read_text() == "theirs"

    def test_taking_away_leaves_it(self, home, path):
        assert remove(home) == {"x.py": "kept"}
        assert path.read_text() == "theirs"

    def test_a_mode_is_mended(self, home, path):
        path.write_text("ours")
        path.chmod(0o666)
        assert run(home, [whole(path, "ours")]) == {"x.py": "mode"}
        assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def test_a_key_by_hand_stays_and_others_move(self, home):
        path = home / "app2" / ".env"
        run(home, [env(path, "one")])
        path.write_bytes(path.read_bytes().replace(b"'one'", b"'by hand'"))
        assert run(home, [env(path, "one")]) == {".env": "drifted"}
        assert run(home, [env(path, "two")]) == {".env": "changed"}
        assert b"'two'" in path.read_bytes()
        assert b"'by hand'" in (home / "app2" / ".env.crdb-onboard-1.bak").read_bytes()


class TestPem:
    def certificates(self, *bodies):
        return b"".join(b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n" % body for body in bodies)

    def wanted(self, path, *bodies, **options):
        return PlannedFile(
            str(path), self.certificates(*bodies), 0o644, "pem", apps=("a",), purpose="config", **options
        )

    def test_ours_is_added_and_others_stay(self, home):
        path = home / "root.crt"
        path.write_bytes(b"theirs:\n" + self.certificates(b"AAAA", b"BBBB"))
        before = tree(home)
        run(home, [self.wanted(path, b"CCCC", b"BBBB")])
        assert path.read_bytes() == b"theirs:\n" + self.certificates(b"AAAA", b"BBBB", b"CCCC")
        run(home, [self.wanted(path, b"DDDD")])
        assert path.read_bytes() == b"theirs:\n" + self.certificates(b"AAAA", b"BBBB", b"DDDD")
        remove(home)
        assert tree(home) == before

    def test_two_side_by_side_during_a_change(self, home):
        path = home / "ca.crt"
        run(home, [self.wanted(path, b"AAAA", exclusive=True)])
        run(home, [self.wanted(path, b"BBBB", exclusive=True, keep_previous=True)])
        assert path.read_bytes() == self.certificates(b"AAAA", b"BBBB")
        run(home, [self.wanted(path, b"BBBB", exclusive=True)])
        assert path.read_bytes() == self.certificates(b"BBBB")

    def test_an_exclusive_file_with_others_is_refused(self, home):
        path = home / "ca.crt"
        path.write_bytes(self.certificates(b"AAAA"))
        (refusal,) = run(home, [self.wanted(path, b"BBBB", exclusive=True)])
        assert f"{path}: the existing file was not written by crdb.onboard" in refusal


REFUSALS = {
    "foreign file": (lambda home: (home / "x").write_text("theirs"), "the existing file was not written"),
    "foreign key": (
        lambda home: (home / "app" / ".env").write_text("DATABASE_URL=theirs\n"),
        "the existing DATABASE_URL was not written",
    ),
    "key twice": (
        lambda home: (home / "app" / ".env").write_text("DATABASE_URL=1\nDATABASE_URL=2\n"),
        "cannot be split into keys: has DATABASE_URL more than once",
    ),
    "open quote": (lambda home: (home / "app" / ".env").write_text("A='1\n"), "line 1: a quoted value does not end"),
    "a folder": (lambda home: (home / "x").mkdir(), "is not a regular file"),
    "a pipe": (lambda home: os.mkfifo(home / "x"), "is not a regular file"),
    "a parent that is a file": (lambda home: (home / "sub").write_text(""), "one of its parents is not a folder"),
    "a parent that leads nowhere": (
        lambda home: (home / "sub").symlink_to("nowhere"),
        "sub is a link that leads nowhere",
    ),
    "git": (
        lambda home: subprocess.run(["git", "init", "-q", home / "app"], check=True),
        "git would commit it: add the line /.env to {home}/app/.gitignore first",
    ),
    "a file that git tracks, and ignores by its list": (
        lambda home: tracked_by_git(home / "app"),
        "git tracks it. Take it out of git first, which keeps the file: git -C '{home}/app' rm --cached .env. Then add",
    ),
}


def tracked_by_git(folder):
    git = ["git", "-C", folder]
    subprocess.run([*git, "init", "-q"], check=True)
    (folder / ".env").write_text("A=1\n")
    subprocess.run([*git, "add", ".env"], check=True)
    (folder / ".gitignore").write_text("/.env\n")


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_and_nothing_changed(home, name):
    arrange, message = REFUSALS[name]
    (home / "app" / ".env").unlink()
    arrange(home)
    before = tree(home)
    files = [
        whole(home / "first", "1"),
        env(home / "app" / ".env", "v"),
        whole(home / "x", "1"),
        whole(home / "sub/y", "1"),
    ]
    refusals = run(home, files)
    assert isinstance(refusals, list)
    assert len(refusals) == 1
    assert message.replace("{home}", str(home)) in refusals[0]
    assert tree(home) == before


def test_all_refusals_are_named_at_once(home):
    (home / "x").write_text("theirs")
    (home / "y").mkdir()
    refusals = run(home, [whole(home / "x", "1"), whole(home / "y", "1"), whole(home / "z", "1", trusts=("/nowhere",))])
    assert [refusal.partition(":")[0] for refusal in refusals] == [str(home / "x"), str(home / "y"), "/nowhere"]
    assert "/nowhere: the CA does not exist. Set ca_cluster_id (crdb_connection_ca_cluster_id)" in refusals[2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("hello", "the CA does not contain a PEM certificate. Set ca_cluster_id"),
        ("<html>", "the CA is a web page, not a certificate. Set ca_cluster_id"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "the CA is cut off in the middle of a certificate. Set ca_cluster_id"),
        ('"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"\n', "the CA has quotes"),
        ('"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"\n', "from each line: `sed "),
    ],
)
def test_a_ca_that_is_no_use_is_named(home, content, message):
    (home / "ca.crt").write_text(content)
    (refusal,) = run(home, [whole(home / "z", "1", trusts=(str(home / "ca.crt"),))])
    assert message in refusal


def test_a_ca_with_comments_that_are_not_ascii_is_of_use(home):
    authority = Authority(home, "Files CA")
    (home / "ca.crt").write_bytes("# für den Laden\n".encode() + authority.path.read_bytes())
    (home / "ca.crt").chmod(0o644)
    assert run(home, [whole(home / "z", "1", trusts=(str(home / "ca.crt"),))]) == {"z": "created"}


def test_an_error_at_the_last_rename_gives_everything_back(home, monkeypatch):
    before = tree(home)
    real = os.replace

    def failing(source, target, **folders):
        if target.endswith("third"):
            raise OSError(28, "No space left on device")
        real(source, target, **folders)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="third"):
        run(home, [env(home / "app" / ".env", "v"), whole(home / "new" / "second", "1"), whole(home / "third", "1")])
    assert tree(home) == before


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(home, umask):
    previous = os.umask(umask)
    try:
        run(home, [whole(home / "sub" / "x", "1"), env(home / "sub" / ".env", "v")])
    finally:
        os.umask(previous)
    found = tree(home)
    assert (found["sub"][1], found["sub/x"][1], found["sub/.env"][1]) == (0o755, 0o644, 0o600)
    assert found["state/files.json"][1] == 0o600


def thirty(home, value):
    """Thirty files in three folders, the content of each naming its version."""
    files = [whole(f"{home}/a/{n:02}.py", f"{value}\n" * 200) for n in range(20)]
    files += [env(f"{home}/b{n}/.env", value) for n in range(10)]
    return files


@pytest.mark.parametrize("first", [False, True], ids=["empty home", "another version there"])
def test_killed_at_every_point_it_converges(tmp_path, first):
    """SIGKILL at every call that changes the file system (and each tenth): whole files only, then one plain run."""
    home = str(tmp_path)
    point, ended = 1, False
    while not ended:
        if first:
            run(home, thirty(home, "one"), force=True)
        ended = ends_before(
            point, "tests.unit.plugins.module_utils.test_files", f'run({home!r}, it.thirty({home!r}, "two"))'
        )
        for wanted in thirty(home, "x"):
            if Path(wanted.path).exists():
                versions = [w.content for v in ("one", "two") for w in thirty(home, v) if w.path == wanted.path]
                assert Path(wanted.path).read_bytes() in versions
        result = run(home, thirty(home, "two"))
        assert isinstance(result, dict), result
        assert set(run(home, thirty(home, "two")).values()) == {"ok"}
        assert list(tmp_path.rglob(".crdb-onboard.*")) == []
        point += 9
        if not first:
            remove(home)
            assert list(tmp_path.iterdir()) == []
    assert point > 150


def test_two_runs_at_once_end_in_one_of_the_two(tmp_path):
    home = str(tmp_path)
    program = textwrap.dedent(
        """
        import sys
        sys.path[:0] = {path!r}
        from tests.unit.plugins.module_utils import test_files
        for number in range(10):
            result = test_files.run({home!r}, test_files.thirty({home!r}, {value!r}))
            assert isinstance(result, dict), result
        """
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program.format(path=[p for p in sys.path if p], home=home, value=value)],
            stderr=subprocess.PIPE, text=True,
        )
        for value in ("one", "two")
    ]  # fmt: skip
    for process in runs:
        assert process.communicate()[1] == ""
    found = {path.read_bytes() for path in tmp_path.rglob("*.py")} | {
        path.read_bytes() for path in tmp_path.rglob(".env")
    }
    assert found in [{w.content for w in thirty(home, value)} for value in ("one", "two")]


class TestMask:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("DATABASE_URL='postgresql://u:pw@h/d'", "DATABASE_URL='postgresql://u:********@h/d'"),
            (
                "url=jdbc:postgresql://h/d?user=u&password=pw&x=1",
                "url=jdbc:postgresql://h/d?user=u&password=********&x=1",
            ),
            ("DB_PASSWORD=pw\nA=1", "DB_PASSWORD=********\nA=1"),
            ("the s3cret here", "the ******** here"),
            ("SENTRY_DSN=https://key@host/1", "SENTRY_DSN=********"),
            ("at https://key@host/1", "at https://********@host/1"),
            ("export API_AUTH=pw", "export API_AUTH=********"),
            ('{"password": "p\\"w", "port": 1}', '{"password": ********, "port": 1}'),
            ("  dbPassword: pw", "  dbPassword: ********"),
            ("'token' => 'pw', 'a' => 1", "'token' => ********, 'a' => 1"),
        ],
    )
    def test_masked(self, text, shown):
        assert masked(text.encode(), ["s3cret", ""]) == shown


def test_a_write_that_cannot_be_renamed_leaves_no_temporary_file(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write(str(tmp_path / "taken"), b"content", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_sweep_leaves_a_temporary_file_with_a_prefix_of_its_own(tmp_path):
    temporary = stage(str(tmp_path / "store"), b"content", 0o600, prefix=".store.")
    sweep(str(tmp_path))
    assert tmp_path.joinpath(temporary).stat().st_mode & 0o777 == 0o600
