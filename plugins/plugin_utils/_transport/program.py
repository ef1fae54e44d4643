# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module of the collection as one program for a host's Python, which reads it from its standard input.

Ansible sends a module with a frame of its own, whose start takes longer than the work of ours. A program has the same
module, its module_utils, and module_utils/_program/frame in place of `ansible.module_utils.basic`.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ast
import base64
import json
import shlex
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._program.frame import ANSWER
from ansible_collections.crdb.onboard.plugins.module_utils._program.start import BASIC

_COLLECTION = "ansible_collections.crdb.onboard.plugins"
_PLUGINS = Path(__file__).parents[2]
_SHOWN = 2000
# Python reads a program from its standard input byte by byte, a system call each: a tenth of a second for one of ours.
_READ = shlex.quote("import sys; exec(sys.stdin.buffer.read())")

# Read by any Python 3, so that one that is too old can say so. The folder that Python is started in is no place to
# import from. What is in base64 is never shown by a traceback of the program's text.
_PROGRAM = """\
import sys
if sys.version_info < (3, 9):
    sys.exit("crdb.onboard needs Python 3.9 or newer on this host, %%s is %%d.%%d: set ansible_python_interpreter"
             %% (sys.executable, sys.version_info[0], sys.version_info[1]))
sys.path[:] = [path for path in sys.path if path]
import base64, zlib
begin = {"__name__": "crdb_onboard"}
exec(zlib.decompress(base64.b64decode("%(start)s")).decode(), begin)
begin["start"](%(sources)s, "%(module)s", "%(request)s")
"""


def _packed(source: str) -> str:
    return base64.b64encode(zlib.compress(source.encode("utf-8"))).decode("ascii")


def _imported(source: str) -> Iterator[str]:
    """The full names that a source imports, and those that may be modules of a package that it imports from."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _needed(source: str, found: dict[str, str]) -> None:
    """Add the module_utils that a source imports, and all that these import, to the sources found by name."""
    prefix = f"{_COLLECTION}.module_utils."
    for name in _imported(source):
        path = _PLUGINS / "module_utils" / f"{name.removeprefix(prefix).replace('.', '/')}.py"
        if name.startswith(prefix) and name not in found and path.is_file():
            found[name] = path.read_text(encoding="utf-8")
            _needed(found[name], found)


@cache
def prepared(module: str) -> Mapping[str, str]:
    """What is the same in every call of a module, read once: by the main process, when that asks before it forks."""
    name = f"{_COLLECTION}.modules.{module}"
    sources = {name: (_PLUGINS / "modules" / f"{module}.py").read_text(encoding="utf-8")}
    _needed(sources[name], sources)
    sources[BASIC] = (_PLUGINS / "module_utils" / "_program" / "frame.py").read_text(encoding="utf-8")
    start = (_PLUGINS / "module_utils" / "_program" / "start.py").read_text(encoding="utf-8")
    packed = {name: _packed(source) for name, source in sources.items()}
    return {"module": name, "start": _packed(start), "sources": json.dumps(packed)}


def program(module: str, arguments: Mapping[str, Any], *, check_mode: bool, diff: bool, log: str) -> bytes:
    """The program that calls a module with arguments that need no validation. `log` is a facility of syslog, or empty.

    It holds the arguments, secrets too: it goes to a standard input, never to a file or a command line.
    """
    how = {"check_mode": check_mode, "diff": diff, "log": log}
    request = {"module": f"crdb.onboard.{module}", "arguments": arguments, **how}
    encoded = base64.b64encode(json.dumps(request).encode("utf-8")).decode("ascii")
    return (_PROGRAM % {**prepared(module), "request": encoded}).encode("ascii")


def command(interpreters: list[str], environment: str) -> str:
    """The shell's command that runs a program by the first of these interpreters that the host has.

    `environment` is how the shell writes assignments, or empty. One interpreter is taken as it is written, words and
    all; of several, those that do not run (pyenv's shims may not) or are too old are passed over.
    """
    prefix = f"exec env {environment} " if environment else "exec "
    if len(interpreters) == 1:
        return f"{prefix}{interpreters[0]} -c {_READ}"
    runs = f'"$p" -c {shlex.quote("import sys; sys.exit(sys.version_info < (3, 9))")} 2>/dev/null'
    names = " ".join(map(shlex.quote, interpreters))
    nothing = "There is no Python 3.9 or newer on this host: install one, or set ansible_python_interpreter."
    return (
        f'for p in {names}; do if {runs}; then {prefix}"$p" -c {_READ}; fi; done;'
        f" echo {shlex.quote(nothing)} >&2; exit 127"
    )


def result(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result from what came back: `rc`, `stdout` and `stderr`. One that did not answer has failed."""
    lines = str(answer.get("stdout", "")).splitlines()
    for line in lines:
        if line.startswith(ANSWER):
            found: dict[str, Any] = json.loads(line[len(ANSWER) :])
            return found
    said = str(answer.get("stderr", "")).strip() or "\n".join(lines) or f"it ended with {answer.get('rc')}"
    return {"failed": True, "msg": f"The module did not answer: {said[-_SHOWN:]}", "rc": answer.get("rc")}
