# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-lint and yamllint on every YAML block that the pages print.

Usage: python scripts/lint_docs.py. Each block becomes a playbook, a list of tasks or a file of variables, in
build/lint-docs. A block whose first line names another program (`# GitLab`) is a file of that program, which only
yamllint reads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/*.md", "inventories/*/README.md", "roles/*/README.md")
OTHERS = re.compile(r"# (GitLab|GitHub|pre-commit)\b")
_BLOCK = re.compile(r"^( *)```ya?ml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
# A page's block has no document start, and aligns its comments.
_YAMLLINT = "{extends: %s, rules: {comments: disable, comments-indentation: disable, document-start: disable}}"


class _Loader(yaml.SafeLoader):
    """Reads a block with Ansible's tags."""


_Loader.add_multi_constructor("!", lambda loader, _suffix, node: str(getattr(node, "value", "")))


def kind(text: str) -> str:
    """The folder that a block belongs to: playbooks, tasks, vars or others."""
    if OTHERS.match(text):
        return "others"
    content: Any = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    if not isinstance(content, list):
        return "vars"
    return "playbooks" if {"hosts", "ansible.builtin.import_playbook"} & set(content[0]) else "tasks"


def blocks(page: Path) -> list[str]:
    """The YAML blocks of a page, without the indentation that they have in it."""
    return [
        re.sub(f"^{found[1]}", "", found[2], flags=re.MULTILINE) for found in _BLOCK.finditer(page.read_text("utf-8"))
    ]


def main() -> int:
    """Write the blocks to files, and lint them."""
    folder = TOP / "build" / "lint-docs"
    shutil.rmtree(folder, ignore_errors=True)
    written = []
    for page in sorted({page for pattern in PAGES for page in TOP.glob(pattern)}):
        name = "-".join(page.relative_to(TOP).with_suffix("").parts).lower().replace("_", "-")
        for number, text in enumerate(blocks(page), 1):
            path = folder / kind(text) / f"{name}-{number}.yml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if path.parent.name == "others" else f"---\n{text}", encoding="utf-8")
            written.append(path)
    if len(written) < 20:
        sys.exit(f"Only {len(written)} YAML blocks were found in the pages: is the pattern right?")
    (folder / ".ansible-lint").write_text("---\nprofile: production\noffline: true\n", encoding="utf-8")
    environment = {**os.environ, "NO_COLOR": "1", "ANSIBLE_COLLECTIONS_PATH": str(TOP / "collections")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    linted = [str(path.relative_to(folder)) for path in written if path.parent.name != "others"]
    commands = (
        ("yamllint", "--strict", "-d", _YAMLLINT % (TOP / ".yamllint"), "."),
        ("ansible-lint", "--offline", "--strict", *linted),
    )
    status = [subprocess.run(command, cwd=folder, env=environment, check=False).returncode for command in commands]  # noqa: S603
    print(f"{len(written)} YAML blocks of {len(list(TOP.glob('docs/*.md')))} pages and the READMEs")
    return max(status)


if __name__ == "__main__":
    sys.exit(main())
