# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQL shell crdb-sql: where its connection comes from, and how it reaches the client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests import vendor
from tests.unit.plugins.module_utils.client.conftest import CRDB_SQL, NEW, present

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
def shell(request, home, options):
    """The SQL shell crdb-sql of either program, which prints its arguments and its environment."""
    present(replace(options, products=(request.param,)))
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


TOKEN = "eyJh.eyJz.c2ln"
BARE = URL.replace(URL.partition("://")[2].partition("@")[0], "max")


@pytest.mark.parametrize("key", ["CRDB_JWT_FILE", "CRDB_JWT_COMMAND"])
def test_a_token_is_taken_anew_each_time(key, home, shell, tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    token = tmp_path / "token"
    program = tmp_path / "get"
    program.write_text(f'#!/bin/sh\n[ "$1" = "a b" ] && [ "$2" = "it\'s" ] && cat {token}\n')
    program.chmod(0o755)
    value = token if key == "CRDB_JWT_FILE" else f"{program},a%040b,it%047s"
    (folder / ".env").write_text(f'DATABASE_URL="{BARE}"\n{key}="{value}"\n')
    record = home / ".local/state/crdb-onboard/files.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"files": {str(folder / ".env"): {}}}))

    def run(interpreter):
        return subprocess.run(
            [*interpreter, shell], cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    for interpreter in SHELLS:
        for text in (TOKEN, TOKEN.replace("c2ln", "bmV3")):
            token.write_text(f"{text}\n")
            done = run(interpreter)
            assert f"COCKROACH_URL={BARE.replace('max@', f'max:{text}@')}" in done.stdout.splitlines(), done.stderr
        for text in ("", "no token", "a.b", "Bearer a.b.c"):
            token.write_text(text)
            done = run(interpreter)
            assert (done.returncode, done.stdout) == (2, "")
            assert "does not give a JSON Web Token" in done.stderr
        token.unlink()
        assert "there is no token" in run(interpreter).stderr
    record.unlink()
    token.write_text(TOKEN)
    assert "crdb.onboard did not write it" in run(SHELLS[0]).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests as root to give files to another user")
@pytest.mark.parametrize("given", ["environment", "record"])
def test_root_runs_no_program_that_a_file_of_another_account_names(home, shell, tmp_path, given):
    """Root, with another account's HOME, or with a file that root wrote and an account could replace."""
    ran = tmp_path / "ran"
    program = tmp_path / "get"
    program.write_text(f"#!/bin/sh\ntouch {ran}\necho a.b.c\n")
    program.chmod(0o755)
    environment = tmp_path / ".env"
    environment.write_text(f'DATABASE_URL="{BARE}"\nCRDB_JWT_COMMAND="{program}"\n')
    record = home / ".local/state/crdb-onboard/files.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"files": {str(environment): {}}}))
    os.chown({"environment": environment, "record": record}[given], 65534, 65534)
    for interpreter in SHELLS:
        done = subprocess.run(
            [*interpreter, shell, "-f", environment], env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "crdb.onboard did not write it" in done.stderr
        assert not ran.exists()


def test_an_older_cockroach_sql_reads_no_environment_and_gets_no_shell(home, server, options):
    vendor.publish(server.folder, "v24.2.10", "v24.3.33")
    only = replace(options, products=("cockroach-sql",))
    result = present(replace(only, version="v24.2.10"))
    assert [note for note in result.notes if note.startswith("crdb-sql was not installed")]
    assert not (home / ".local/bin/crdb-sql").exists()
    assert not present(replace(only, version="v24.2.10")).changed
    assert not [note for note in present(replace(only, version="v24.3.33")).notes if "crdb-sql" in note]
    assert "bin/cockroach-sql sql" in (home / ".local/bin/crdb-sql").read_text()


def test_the_shell_script_is_posix_in_the_collection_and_installed(home, shell):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed: run `make system-deps`")
    for script in (CRDB_SQL, shell.resolve()):
        done = subprocess.run(["shellcheck", "-s", "sh", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")


def test_the_shell_script_takes_paths_with_special_characters(home, options):
    prefix = home / "a 'b' $(c) @PROGRAM@"
    present(replace(options, prefix=str(prefix)))
    (prefix / f"lib/crdb-onboard/cockroach/{NEW}/cockroach").write_text('#!/bin/sh\necho "$0" "$COCKROACH_CERTS_DIR"\n')
    done = subprocess.run(
        [prefix / "bin/crdb-sql"], env={"PATH": "/usr/bin:/bin", "DATABASE_URL": URL}, cwd=home,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{prefix}/bin/cockroach {prefix}/lib/crdb-onboard/no-certs\n"


def test_without_the_scripts_text_no_shell_is_installed(home, options):
    present(replace(options, crdb_sql=""))
    assert not (home / ".local/bin/crdb-sql").exists()


def test_the_sql_shell_names_what_is_missing(home, options):
    present(options)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    (home / "script.sql").write_text("SELECT 1;\n")
    for words, message in (
        (["-f", "/nowhere/.env"], "cannot be read"),
        (["-f"], "the path of an environment file is missing after -f"),
        (["-f", "script.sql"], "To run a file of SQL, use --file"),
        ([], "DATABASE_URL with a postgresql:// URL is missing in .env"),
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
