# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lint finds what has to be read twice, names the line, and leaves good English alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))

import plain_english  # noqa: E402

BAD = [
    "crdb_apps: wants a list, one entry an app.",
    "endpoint: 'x' is none of public, private.",
    "version '6.x' is none, write it as 6.10.0.",
    "an entry does not know {unknown}; it knows name, cidr.",
    "The entry lacks nothing.",
    "asyncpg has no form for that.",
    "user 'a b' is no name of a system's user.",
    "app2 has not the new credentials yet.",
    "They meet no failed connection.",
    "git checkout collections mends it.",
    "For programs that read their files by and by.",
    "Then the roll stops.",
    "The roll-out takes a minute.",
    "It is repeated when the way there failed.",
    "A proxy opens TLS.",
    "Something on the way answers in its place.",
    "Faster than an empty module.",
    "A password in -a is warned of.",
    "A different password is said to be left.",
    "It is well again with its old files.",
    "Its administrator likewise.",
    "Nothing is replaced unasked.",
    "It waits for ever.",
    "Compile them anew.",
    "What shall be.",
    "The tables, and the rows thereof.",
]
GOOD = """
There is no user 'ann' on this host. If there is none, the run creates it. She rolls the change out, and rolls it back.
They roll out the change, and the rollout stops. The VPN's DNS does not know the name. For every host it has not
finished. Nobody said that it is easy. The template opens the file. No name is missing, and no number either. This is
what the reader wants to do.
"""


def lines(path, text):
    return [(finding.line, finding.phrase) for finding in plain_english.findings(path, text)]


@pytest.mark.parametrize("sentence", BAD)
def test_a_bad_sentence_is_found(sentence):
    assert lines("docs/page.md", sentence)


def test_every_phrase_has_a_sentence_here():
    found = {finding.advice for sentence in BAD for finding in plain_english.findings("docs/page.md", sentence)}
    assert set(plain_english.PHRASES.values()) == found


def test_good_english_is_left_alone():
    assert lines("docs/page.md", GOOD) == []


@pytest.mark.parametrize("title", ["Have the SQL users", "Say how far it has come", "Let the fleet in"])
def test_a_title_is_an_instruction(title):
    assert len(lines("playbooks/x.yml", f"- name: {title}\n")) == 1
    assert lines("playbooks/x.yml", f"- hosts: {title}\n") == []
    assert lines("docs/page.md", title) == []


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("docs/page.md", "# Title\n\nOne line, and then it\nwants more.\n", 4),
        ("docs/page.md", "| key | meaning |\n| --- | --- |\n| `a` | wants a list |\n", 3),
        ("docs/page.md", "It is\nnone of these.\n", 1),
        ("x.py", '"""One.\n\nIt wants more.\n"""\n', 3),
        ("x.py", "value = 1\n# It wants more.\n", 2),
        ("x.py", 'raise Error(\n    "version 1 is"\n    " none of these"\n)\n', 2),
        ("x.py", 'raise Error(f"{what}: wants a list")\n', 1),
        ("x.yml", "options:\n  a:\n    description:\n      - First.\n      - It wants more.\n", 5),
        ("x.yml", "- fail_msg: >-\n    One line,\n    it wants more.\n", 3),
        ("x.yml", "a: 1  # it wants more\n", 1),
        ("Makefile", "all:\n\nlint: ## it wants more\n", 3),
        ("scripts/tool", "#!/bin/sh\n# It wants more.\n", 2),
    ],
)
def test_the_line_is_named(path, text, line):
    assert [number for number, _phrase in lines(path, text)] == [line]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("docs/page.md", "```sh\nit wants a list\n```\n"),
        ("docs/page.md", "The error is `wants a list`.\n"),
        ("docs/page.md", "See [the page](wants.md).\n"),
        ("x.py", "wants = 1\n"),
        ("x.py", "if value is None: pass\n"),
        ("x.yml", "- when: value is none\n"),
        ("x.yml", "- msg: '{{ value is none }}'\n"),
        ("x.yml", "- user: shall\n"),
    ],
)
def test_code_is_left_alone(path, text):
    assert lines(path, text) == []


def test_a_long_sentence_is_found_in_pages_only():
    text = f"# Title\n\nShort.\n{'word ' * 41}end.\n"
    assert [number for number, _phrase in lines("docs/page.md", text)] == [4]
    assert lines("docs/page.md", f"{'word ' * 39}end.\n") == []
    assert lines("docs/page.md", f"- {'word ' * 25}end\n- {'word ' * 25}end\n") == []
    assert lines("roles/crdb_ca/README.md", text) == []


def test_the_command_names_the_file_and_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plain_english, "TOP", tmp_path)
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("It wants more.\n")
    assert plain_english.main([str(page)]) == 1
    assert capsys.readouterr().out == "docs/page.md:1: 'wants': write 'must be', 'expects' or 'needs'\n"
    page.write_text("It needs more.\n")
    assert plain_english.main([str(page)]) == 0
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    page.write_text("It wants more.\n")
    assert plain_english.main([]) == 1
