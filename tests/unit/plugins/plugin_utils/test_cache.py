# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept for the next run: only where nobody else can write, and never in place of what has changed."""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible import constants
from ansible_collections.crdb.onboard.plugins.module_utils._program.start import BASIC
from ansible_collections.crdb.onboard.plugins.plugin_utils import _cache
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import CATALOGUE
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import templates
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import imports
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import program as _program


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Ansible's own folder, not made yet."""
    home = tmp_path / "home" / "ansible"
    monkeypatch.setattr(constants.config, "get_config_value", lambda _name: str(home))
    _forget()
    yield home
    _forget()


def _forget() -> None:
    """As a new process begins."""
    functions = (_cache.folder, _program.prepared, imports._collection, imports.state, templates._environment)
    for function in functions:
        function.cache_clear()


def test_the_folder_is_made_and_is_the_users_alone(home: Path) -> None:
    assert _cache.folder() == home / "crdb_onboard"
    assert (home / "crdb_onboard").stat().st_mode & 0o777 == 0o700


def _group_may_write(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "crdb_onboard").mkdir()
    (home / "crdb_onboard").chmod(0o770)


def _everybody_may_write_above(home: Path) -> None:
    home.mkdir(parents=True)
    home.chmod(0o777)


def _a_link(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "elsewhere").mkdir(mode=0o700)
    (home / "crdb_onboard").symlink_to(home / "elsewhere")


def _a_file(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "crdb_onboard").write_text("")


@pytest.mark.parametrize("arrange", [_group_may_write, _everybody_may_write_above, _a_link, _a_file])
def test_what_somebody_else_could_write_is_not_used(arrange, home: Path) -> None:
    arrange(home)
    assert _cache.folder() is None
    assert _program.prepared("files")["sources"]
    templates._environment(CATALOGUE).get_template("python/psycopg2/crdb_database.py.j2")
    assert not any(path.is_file() and path.stat().st_size for path in home.rglob("*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests as root to give a folder to another user")
def test_another_users_folder_is_not_used(home: Path) -> None:
    (home / "crdb_onboard").mkdir(parents=True, mode=0o700)
    shutil.chown(home / "crdb_onboard", "nobody")
    assert _cache.folder() is None


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A collection with a module that needs one file."""
    files = {
        "modules/greet.py": f"from {imports.COLLECTION}.module_utils._words import WORD\n",
        "module_utils/_words.py": "WORD = 'hello'\n",
    }
    for name, text in files.items():
        path = tmp_path / "plugins" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path / "plugins"


def sent(plugins: Path) -> dict[str, str]:
    """The last part of each name that a program of `greet` holds, and its source."""
    packed = _program.prepared("greet", plugins)["sources"]
    sources = json.loads(zlib.decompress(base64.b64decode(packed)))
    return {name.rpartition(".")[2]: text for name, text in sources.items() if name != BASIC}


def test_a_program_is_prepared_once(home: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _program.prepared("greet", plugins)
    assert list(sent(plugins)) == ["greet", "_words"]
    _forget()
    with monkeypatch.context() as patch:
        patch.setattr(imports, "sources", lambda *_given: pytest.fail("the imports were read again"))
        assert _program.prepared("greet", plugins) == first
    kept = [path.name for path in (home / "crdb_onboard").iterdir()]
    assert kept == [f"program-greet-{sys.implementation.cache_tag}.json"]


def test_a_file_that_changes_is_read_again(home: Path, plugins: Path) -> None:
    sent(plugins)
    (plugins / "module_utils" / "_more.py").write_text("MORE = 1\n")
    (plugins / "module_utils" / "_words.py").write_text(
        f"from {imports.COLLECTION}.module_utils._more import MORE\nWORD = 'hello'\n"
    )
    _forget()
    assert list(sent(plugins)) == ["greet", "_words", "_more"]
    assert len(list((home / "crdb_onboard").iterdir())) == 1


def test_a_change_that_keeps_size_and_time_is_read_again(home: Path, plugins: Path) -> None:
    """Where files have one time, as in what Nix builds, only the content says that there is another release."""
    words = plugins / "module_utils" / "_words.py"
    sent(plugins)
    status = words.stat()
    words.write_text("WORD = 'hallo'\n")
    os.utime(words, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert words.stat().st_size == status.st_size
    _forget()
    assert sent(plugins)["_words"] == "WORD = 'hallo'\n"


def test_another_python_does_not_get_the_code_of_this_one(
    home: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program.prepared("greet", plugins)
    _forget()
    monkeypatch.setattr(_program, "bytecode_format", lambda: "another Python")
    assert _program.prepared("greet", plugins)["codes_format"] == "another Python"


def damaged(content: str) -> list[str]:
    """The content of a file of the cache, cut off, changed, and in place of something else."""
    seal, text = content.split("\n", 1)
    other = text.replace("greet", "great")
    return ["", "{", "[1]", "null", text, content[:-9], f"{seal}\n{other}", f"{seal}\n", "\x00", seal]


@pytest.mark.parametrize("number", range(10))
def test_a_damaged_file_is_not_believed(number: int, home: Path, plugins: Path) -> None:
    first = _program.prepared("greet", plugins)
    (kept,) = (home / "crdb_onboard").iterdir()
    whole = kept.read_text()
    kept.write_text(damaged(whole)[number])
    _forget()
    assert _program.prepared("greet", plugins) == first
    assert kept.read_text() == whole


def test_what_cannot_be_kept_is_prepared_by_each_run(home: Path, plugins: Path) -> None:
    in_the_way = home / "crdb_onboard" / f"program-greet-{sys.implementation.cache_tag}.json"
    in_the_way.mkdir(parents=True)
    in_the_way.parent.chmod(0o700)
    assert list(sent(plugins)) == ["greet", "_words"]
    assert list(in_the_way.parent.iterdir()) == [in_the_way], "what could not be kept is still there in part"


def test_a_compiled_template_is_kept_until_its_source_changes(home: Path, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue"
    (catalogue / "python" / "made_up").mkdir(parents=True)
    source = catalogue / "python" / "made_up" / "file.j2"
    source.write_text("one {{ word }}")
    templates._environment(catalogue).get_template("python/made_up/file.j2")
    (kept,) = (home / "crdb_onboard").iterdir()
    written = kept.read_bytes()
    for text in ("one", "another"):
        source.write_text(f"{text} {{{{ word }}}}")
        _forget()
        template = templates._environment(catalogue).get_template("python/made_up/file.j2")
        assert template.render(word="text") == f"{text} text"
    assert kept.read_bytes() != written
    kept.write_bytes(b"damaged")
    _forget()
    template = templates._environment(catalogue).get_template("python/made_up/file.j2")
    assert template.render(word="text") == "another text"


def test_a_template_that_cannot_be_kept_is_rendered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    assert templates._environment(CATALOGUE).get_template("python/psycopg2/crdb_database.py.j2")
    assert not list((home / "crdb_onboard").iterdir())
