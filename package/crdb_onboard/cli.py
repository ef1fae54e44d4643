# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a playbook of the collection that lies beside this file, and leave nothing of Ansible's behind."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import arguments, demo
from .child import Child

HERE = Path(__file__).resolve().parent
# Bytes: a socket's address has at most 103 of them (macOS), and /crdb-12345678/pymp-12345678/listener-12345678 follows.
_LONGEST_TEMPORARY = 55


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: default: the arguments of the process.

    Returns:
        The exit status of the playbook; 2 for an argument that is not accepted.
    """
    words = sys.argv[1:] if words is None else words
    if arguments.has_secret(words):
        # Before anything is parsed: an error of the parser would print the argument.
        print(f"{arguments.PROGRAM}: {arguments.REFUSAL}", file=sys.stderr)
        return 2
    parsed = arguments.parse(words)
    if parsed.command is None:
        arguments.parser().print_help(sys.stderr)
        return 2
    child = Child()
    if parsed.command == "demo":
        if parsed.down:
            return demo.down(child)
        if problem := demo.problem():
            print(f"{arguments.PROGRAM}: {problem}", file=sys.stderr)
            return 1
    with _temporary_folder() as temporary:
        environment = _environment(Path(temporary))
        if parsed.command == "demo":
            playbook, settings = demo.prepare(HERE)
            environment.update(settings)
        else:
            playbook = ["crdb.onboard." + arguments.COMMANDS[parsed.command].playbook]
        # -P: a file of the current folder is never taken for a module of Ansible's.
        command = [sys.executable, "-P", "-m", "ansible.cli.playbook", *playbook, *arguments.words(parsed)]
        return child.run(command, environment)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A private folder, removed at the end. Ansible makes unix sockets in it, so its path must be short."""
    short = len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_TEMPORARY
    return tempfile.TemporaryDirectory(prefix="crdb-", dir=None if short else "/tmp", ignore_cleanup_errors=True)  # noqa: S108


def _environment(temporary: Path) -> dict[str, str]:
    """The environment of Ansible, whose own files go to the temporary folder."""
    environment = dict(os.environ)
    others = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "~/.ansible/collections:/usr/share/ansible/collections")
    environment["ANSIBLE_COLLECTIONS_PATH"] = f"{HERE}{os.pathsep}{others}"
    environment["ANSIBLE_HOME"] = str(temporary / "ansible")
    environment["TMPDIR"] = str(temporary)
    if not environment.get("ANSIBLE_CONFIG"):
        environment["ANSIBLE_CONFIG"] = str(HERE / "ansible.cfg")
        # /etc/ansible/hosts may list hosts of others.
        environment.setdefault("ANSIBLE_INVENTORY", os.devnull)
    return environment
