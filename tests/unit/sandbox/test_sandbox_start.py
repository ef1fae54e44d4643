# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m sandbox` without a command, without its packages, and from a wrong place: a sentence each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-m", "sandbox"], "name a command: up starts it"),
        # Without site-packages, as another interpreter of the machine.
        (["-I", "-S", "-c", "import sys, runpy; sys.path.insert(0, '.'); runpy.run_module('sandbox', "
          "run_name='__main__')"], "does not have the package"),
        (["sandbox", "up"], "run it from the checkout"),
    ],
    ids=["no command", "no packages", "wrong place"],
)  # fmt: skip
def test_a_sentence_and_no_traceback(words, sentence):
    done = subprocess.run([sys.executable, *words], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("sandbox: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
