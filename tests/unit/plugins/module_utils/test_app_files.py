# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an app's files say, against what they should: each drift with its own code, and no secret in any text."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.app_files import (
    Finding,
    digest,
    inspect,
    url_parts,
)
from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.notes import NOTES
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import CATALOGUE
from ansible_collections.crdb.onboard.plugins.module_utils._check.diagnosis import Diagnosis
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.report import Report, with_findings
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS, dotenv_text, normal
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner, UnknownOwnerError
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.expected import variable
from cryptography.hazmat.primitives import hashes

from tests.faults.certificates import Authority

SALT = "00ff"
PASSWORD = "c4n4ry%2Fpw"
URL = f"postgresql://maxroach:{PASSWORD}@db.test:26257/shop?sslmode=verify-full&sslrootcert=%2Fsrv%2Fca.crt"
ENV = f"# Written by crdb.onboard\nDATABASE_CA='/srv/ca.crt'\nDATABASE_URL='{URL}'\n"


@pytest.fixture
def app(tmp_path: Path) -> dict[str, Any]:
    """An app whose files are as they should be."""
    (tmp_path / ".env").write_text(ENV)
    (tmp_path / ".env").chmod(0o600)
    (tmp_path / "config.py").write_text("config\n")
    (tmp_path / "inline.py").write_text("with a password\n")
    (tmp_path / "inline.py").chmod(0o600)
    authority = Authority(tmp_path, "App CA")
    variables = [variable("DATABASE_URL", URL, SALT), variable("DATABASE_CA", "/srv/ca.crt", SALT)]
    return {
        "endpoint": "shop",
        "salt": SALT,
        "files": [
            _file(tmp_path / ".env", format="dotenv", secret=True, variables=variables),
            _file(tmp_path / "config.py", digest=digest(SALT, b"config\n")),
            _file(
                tmp_path / "inline.py",
                secret=True,
                digest=digest(SALT, b"with a password\n"),
                variables=[{"name": "the password", "digest": digest(SALT, b"with a password")}],
            ),
        ],
        "ca_file": str(authority.path),
        "ca_fingerprints": [authority.certificate.fingerprint(hashes.SHA256()).hex()],
        "sslcert": None,
        "sslkey": None,
    }


def _file(path: Path, **facts: Any) -> dict[str, Any]:
    return {"path": str(path), "format": "whole", "secret": False, "digest": "", "variables": [], **facts}


def found(app: dict[str, Any]) -> list[str]:
    """The codes, once it is known that their words hold no secret."""
    findings = inspect(app)
    assert "c4n4ry" not in str(findings)
    return [finding.code for finding in findings]


def test_what_is_as_it_should_be(app: dict[str, Any]) -> None:
    assert found(app) == []


Change = Callable[[Path], None]


def env(old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / ".env").read_text()
        assert old in text
        (folder / ".env").write_text(text.replace(old, new))

    return change


def other_ca(folder: Path) -> None:
    Authority(folder, "Stranger", label="App CA")


def more_cas(folder: Path) -> None:
    before = (folder / "App-CA.crt").read_text()
    other_ca(folder)
    (folder / "App-CA.crt").write_text((folder / "App-CA.crt").read_text() + before)


def folder_instead(folder: Path) -> None:
    (folder / ".env").unlink()
    (folder / ".env").mkdir()


DRIFTS: list[tuple[str, Change, str, str]] = [
    ("host", env("@db.test:", "@old.test:"), "env_value_differs", "host is old.test, expected db.test"),
    ("port", env(":26257/", ":5432/"), "env_value_differs", "port is 5432, expected 26257"),
    ("no port", env(":26257/", "/"), "env_value_differs", "port is missing, expected 26257"),
    ("database", env("/shop?", "/bank?"), "env_value_differs", "database is bank, expected shop"),
    ("user", env("//maxroach:", "//root:"), "env_value_differs", "user is root, expected maxroach"),
    ("password", env("%2Fpw", "%2Fold"), "env_value_differs", "the password is different"),
    ("sslmode", env("verify-full", "require"), "env_value_differs", "sslmode is require, expected verify-full"),
    ("CA path", env("%2Fsrv%2Fca.crt", "%2Fold.crt"), "env_value_differs", "sslrootcert is /old.crt, expected /srv"),
    ("a parameter", env("?sslmode", "?options=-c%20a&sslmode"), "env_value_differs", "options is -c a, expected none"),
    ("scheme", env("'postgresql:", "'xpostgresql:"), "env_value_differs", "scheme is different"),
    ("JDBC's scheme", env("'postgresql:", "'jdbc:postgresql:"), "env_value_differs", "scheme is different"),
    ("no URL", env(URL, "hello"), "env_value_differs", "host is missing"),
    ("broken URL", env("@db.test:26257", "@[db.test:26257"), "env_value_differs", "not a valid connection string"),
    ("another variable", env("='/srv/ca.crt'", "=/else.crt"), "env_value_differs", "it is /else.crt"),
    ("a slash in the password", env("c4n4ry%2Fpw@", "12/c4n4ry@"), "env_value_differs", "percent-encode its"),
    ("a question mark in the password", env("c4n4ry%2Fpw@", "12?c4n4ry@"), "env_value_differs", "percent-encode its"),
    ("an unknown parameter", env("?sslmode", "?sslpassword=c4n4ry&sslmode"), "env_value_differs", "sslpassword is"),
    ("a URL for a path", env("='/srv/ca.crt'", "=postgresql://u:c4n4ry@h/d"), "env_value_differs", "is different"),
    ("taken out", env("DATABASE_URL=", "OTHER_URL="), "env_value_missing", "DATABASE_URL"),
    ("commented out", env("DATABASE_URL=", "# DATABASE_URL="), "env_value_missing", "DATABASE_URL"),
    ("twice", env("DATABASE_URL=", "DATABASE_URL=x\nDATABASE_URL="), "env_value_twice", "DATABASE_URL"),
    ("an open quote", env("/shop?sslmode=verify-full&sslrootcert=%2Fsrv%2Fca.crt'", "/shop"), "app_file_malformed",
     "does not end"),
    ("the mode", lambda folder: (folder / ".env").chmod(0o640), "app_file_too_open", "0640"),
    ("no file", lambda folder: (folder / ".env").unlink(), "app_file_missing", ".env"),
    ("a folder", folder_instead, "app_file_unreadable",
     "directory"),
    ("a config", lambda folder: (folder / "config.py").write_text("mine\n") and None, "app_file_changed", "config.py"),
    ("a config with a password", lambda folder: (folder / "inline.py").write_text("mine\n") and None,
     "app_config_differs", "inline.py"),
    ("a note beside a password", lambda folder: (folder / "inline.py").write_text("# x\nwith a password\n") and None,
     "app_file_changed", "inline.py"),
    ("another CA", other_ca, "app_ca_changed", "App-CA.crt"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "says"), [drift[1:] for drift in DRIFTS], ids=[d[0] for d in DRIFTS])
def test_each_drift_has_its_code(app: dict[str, Any], tmp_path: Path, change: Change, code: str, says: str) -> None:
    change(tmp_path)
    assert found(app) == [code]
    assert says in " ".join(inspect(app)[0].words.values())


SAME: list[Change] = [
    env(f"'{URL}'", f'"{URL}"'),
    env(f"'{URL}'", URL),
    env("'postgresql:", "'postgres:"),
    env("DATABASE_URL=", "export DATABASE_URL="),
    env("DATABASE_URL=", "A=1\n\n# mine\nDATABASE_URL="),
    env("\n", "\r\n"),
    more_cas,
    lambda folder: (folder / ".env").chmod(0o400),
]


@pytest.mark.parametrize("change", SAME)
def test_what_means_the_same_is_no_drift(app: dict[str, Any], tmp_path: Path, change: Change) -> None:
    change(tmp_path)
    assert found(app) == []


def keyed(folder: Path, name: str, format: str, text: str) -> dict[str, Any]:
    """A file of independent keys, and what it should hold."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o600)
    variables = [
        {"name": one.key, "digest": digest(SALT, normal(one.raw))} for one in FORMATS[format](text.encode()) if one.key
    ]
    return _file(folder / name, format=format, secret=True, variables=variables)


PSQL = [
    ("pgpass", "db.test:26257:shop:maxroach:c4n4ry\n"),
    ("service", "[shop]\nhost=db.test\nuser=maxroach\n"),
]


@pytest.mark.parametrize(("format", "text"), PSQL)
def test_files_of_independent_keys(app: dict[str, Any], tmp_path: Path, format: str, text: str) -> None:
    app["files"].append(keyed(tmp_path, "psql", format, text))
    assert found(app) == []
    other = {"pgpass": "h:1:d:u:p\n", "service": "[other]\nhost=h\n"}[format]
    (tmp_path / "psql").write_text(other + text + other.replace("1", "2").replace("other", "more"))
    assert found(app) == []
    (tmp_path / "psql").write_text(text.replace("c4n4ry", "old").replace("user=", "user=x"))
    assert found(app) == ["env_value_differs"]
    (tmp_path / "psql").write_text(other)
    assert found(app) == ["env_value_missing"]


def test_a_variable_of_the_session_that_counts_before_the_file(
    app: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert found(app) == []
    monkeypatch.setenv("DATABASE_URL", URL)
    assert found(app) == []
    monkeypatch.setenv("DATABASE_URL", URL.replace("/shop", "/other"))
    assert found(app) == ["env_value_overridden"]
    (finding,) = inspect(app)
    assert finding.words["variable"] == "DATABASE_URL"
    assert "other" not in str(finding.words)


def test_nothing_written_yet_is_one_note(app: dict[str, Any], tmp_path: Path) -> None:
    for name in (".env", "config.py", "inline.py"):
        (tmp_path / name).unlink()
    assert found(app) == ["app_not_configured"]


def test_a_named_pipe_does_not_hang(app: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / ".env").unlink()
    os.mkfifo(tmp_path / ".env")
    assert found(app) == ["app_file_unreadable"]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests as root to see other users")


class Reader:
    """What the check does of it, for a process of another user."""

    def __init__(self, app: dict[str, Any]) -> None:
        self._app = app

    def codes(self) -> list[str]:
        return found(self._app)

    def close(self) -> None:
        pass


@needs_root
def test_files_are_read_with_the_rights_of_the_apps_user(app: dict[str, Any], tmp_path: Path) -> None:
    def codes() -> list[str]:
        reader = Owner("nobody").does(Reader(app))
        try:
            return list(reader.codes())
        finally:
            reader.close()

    # Those that pytest made: all below the system's temporary folder.
    for folder in [tmp_path, *tmp_path.parents][: -len(Path(tempfile.gettempdir()).parts)]:
        folder.chmod(0o755)
    app["sslkey"] = app["files"][2]["path"]
    assert codes() == ["app_file_unreadable", "app_file_unreadable", "app_key_unreadable"]
    Path(app["ca_file"]).chmod(0o600)
    assert "app_ca_unreadable" in codes()
    nobody = pwd.getpwnam("nobody")
    for name in (".env", "config.py", "inline.py", "App-CA.crt"):
        os.chown(tmp_path / name, nobody.pw_uid, nobody.pw_gid)
    assert codes() == []
    assert os.geteuid() == 0


def test_an_unknown_user_is_refused() -> None:
    with pytest.raises(UnknownOwnerError, match="There is no user 'nobody-at-all-here' on this host"):
        Owner("nobody-at-all-here")


def test_another_user_without_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(UnknownOwnerError, match=r"need that user's rights: run as root \(become\)"):
        Owner("daemon")


@pytest.mark.parametrize(
    ("value", "user", "password"),
    [
        ("postgresql://u%40x:p%2Fw@h:1/d", "u@x", "p/w"),
        ("cockroachdb+psycopg2://u:p@h:1/d", "u", "p"),
        ("jdbc:postgresql://h:1/d?user=u&password=p%26w", "u", "p&w"),
        ("postgresql://h:1/d", "", ""),
    ],
)
def test_parts_of_a_url(value: str, user: str, password: str) -> None:
    parts, found_password = url_parts(value)
    assert (parts["host"], parts["port"], parts["database"], parts["user"]) == ("h", "1", "d", user)
    assert found_password == password
    assert "password" not in parts


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A='x y'\n", "x y"),
        (b'A="x"\r\n', "x"),
        (b"A=x # comment\n", "x"),
        (b"A=x#y\n", "x#y"),
        (b"export A = x\n", "x"),
        (b"A='x' # comment\n", "x"),
        (b"A=\n", ""),
        (b"A='x\n", "'x"),
    ],
)
def test_values_of_a_dotenv_file(line: bytes, value: str) -> None:
    assert dotenv_text(line) == value


def report(ok: bool) -> Report:
    verdict = Diagnosis("ok", "", "", {}) if ok else Diagnosis("tcp_refused", "cause.", "cure.", {"step": "connect"})
    return Report("shop", "db.test", 26257, None, verdict, [], {}, False, [])


ENDPOINT = Endpoint.from_dict({"name": "shop", "host": "db.test", "user": "u", "database": "d"})
FAULT = Finding("env_value_missing", {"path": "/srv/.env", "variable": "DATABASE_URL"})
NOTE = Finding("app_file_too_open", {"path": "/srv/.env", "mode": "0644"})


def test_a_fault_of_the_files_is_the_verdict_where_all_else_passed() -> None:
    told = with_findings(report(True), ENDPOINT, [NOTE, FAULT, FAULT], "", only=False).as_dict()
    assert (told["ok"], told["code"]) == (False, "env_value_missing")
    assert "/srv/.env" in told["cause"]
    assert [one["code"] for one in told["notes"]] == ["app_file_too_open", "env_value_missing"]


@pytest.mark.parametrize(("ok", "only"), [(False, False), (True, True)])
def test_it_is_a_note_beside_another_verdict_and_in_check_mode(ok: bool, only: bool) -> None:
    told = with_findings(report(ok), ENDPOINT, [FAULT], "", only=only).as_dict()
    assert told["ok"] is ok
    assert [one["code"] for one in told["notes"]] == ["env_value_missing"]


def test_every_code_is_in_the_catalogue_or_among_the_notes() -> None:
    codes = {drift[2] for drift in DRIFTS} | {"app_ca_unreadable", "app_key_unreadable"}
    assert codes <= set(CATALOGUE) | set(NOTES)
    assert not set(CATALOGUE) & set(NOTES)
