# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of a package's versions counts as its newest release, and what is printed about it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "outdated"


@pytest.fixture(scope="module")
def outdated():
    """The script, as a module."""
    loader = importlib.machinery.SourceFileLoader("outdated", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("outdated", loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        (["1.9", "1.10", "1.2"], "1.10"),
        (["v4.2.0", "v4.10.1", "v5.0.0-beta.1"], "4.10.1"),
        (["6.6.18.Final", "7.0.0.CR1", "7.4.15.Final"], "7.4.15.Final"),
        (["4.0.0", "4.2.0-M1", "4.1.0-RC2", "4.1.0-SNAPSHOT"], "4.0.0"),
        (["42.7.7", "42.7.7.jre7"], "42.7.7.jre7"),
    ],
)
def test_the_newest_is_the_highest_that_is_no_preview(outdated, versions, newest):
    assert outdated.newest(versions) == newest


def test_of_previews_alone_none_is_the_newest(outdated):
    with pytest.raises(RuntimeError, match="no release"):
        outdated.newest(["1.0rc1", "later"])


@pytest.mark.parametrize(
    ("release", "text", "status"),
    [
        ("1.3", "newer python: toad 1.2 -> 1.3", 1),
        ("1.2", "      python: toad 1.2", 0),
        # What this Python cannot run is not listed, so the newest listed can be older.
        ("1.1", "      python: toad 1.2", 0),
    ],
)
def test_a_line_says_what_is_newer(outdated, monkeypatch, release, text, status):
    monkeypatch.setitem(outdated.REGISTRIES, "python", lambda _name, _tested: release)
    assert outdated.line((("python", "toad"), "1.2")) == (text, status)


def test_a_registry_that_does_not_answer_is_said(outdated, monkeypatch):
    def silent(_name, _tested):
        raise RuntimeError("no route to it")

    monkeypatch.setitem(outdated.REGISTRIES, "go", silent)
    assert outdated.line((("go", "x/y"), "1")) == ("?     go: x/y 1: no route to it", 2)
    assert outdated.line((("ruby", "pg"), "1.4.5")) == ("      ruby: pg 1.4.5 is Debian's version", 0)


def test_every_package_of_the_catalogue_is_asked_for_at_its_newest_tested_version(outdated):
    found = outdated.packages([])
    assert found["python", "Django"] == "6.1.3"
    assert {language for language, _name in found} >= {"go", "java", "javascript", "python", "ruby", "rust", "php"}
    assert set(outdated.packages(["go"])) == {key for key in found if key[0] == "go"}
