# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module of the collection as one program, which Python on the host reads from its standard input.

Ansible wraps a module in code of its own, which takes longer to start than our modules take to work. A program holds
the module, its module_utils, and `module_utils/_program/frame.py` in place of `ansible.module_utils.basic`.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import json
import marshal
import shlex
import sys
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._program.frame import ANSWER
from ansible_collections.crdb.onboard.plugins.module_utils._program.start import BASIC, bytecode_format, compiled
from ansible_collections.crdb.onboard.plugins.plugin_utils import _cache
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import imports

_SHOWN_CHARACTERS = 2000
# Python reads a program from its standard input byte by byte, one system call each. That takes 0.1 s for one of ours.
_READ = shlex.quote("import sys; exec(sys.stdin.buffer.read())")

# Any Python 3 can read it, so one that is too old can say so. Nothing is imported from the current folder.
# A traceback of the program's text does not show what is in base64.
_PROGRAM = """\
import sys
if sys.version_info < (3, 9):
    sys.exit("crdb.onboard needs Python 3.9 or newer on this host, %%s is %%d.%%d: set ansible_python_interpreter"
             %% (sys.executable, sys.version_info[0], sys.version_info[1]))
sys.path[:] = [path for path in sys.path if path]
import base64, zlib
begin = {"__name__": "crdb_onboard"}
exec(zlib.decompress(base64.b64decode("%(start)s")).decode(), begin)
begin["start"]("%(sources)s", "%(codes)s", "%(codes_format)s", "%(module)s", "%(request)s")
"""


def _packed(data: bytes) -> str:
    # All in one piece, because modules, and the files of a host's apps, are much alike.
    return base64.b64encode(zlib.compress(data)).decode("ascii")


def _text(name: str) -> str:
    return (imports.PLUGINS / "module_utils" / "_program" / f"{name}.py").read_text(encoding="utf-8")


@cache
def prepared(module: str, plugins: Path = imports.PLUGINS) -> Mapping[str, str]:
    """The parts of a program that are the same in every call of a module.

    A host compiles the sources, unless its Python has the controller's bytecode format: then it runs the codes. They
    make a program three times as long, and save up to 0.1 s of the host's processor time in each call.
    Finding, compiling and packing the files takes 0.3 s, so the parts are kept for the next run, until a file changes.
    Raises UnresolvedImportError.
    """
    state = f"{imports.state(plugins)} {bytecode_format()}"
    return _cache.kept(f"program-{module}-{sys.implementation.cache_tag}", state, lambda: _parts(module, plugins))


def _parts(module: str, plugins: Path) -> dict[str, str]:
    sources = {**imports.sources(module, plugins), BASIC: _text("frame")}
    # Each by itself: a host reads only those that it imports.
    codes = {name: marshal.dumps(compiled(name, source)) for name, source in sources.items()}
    return {
        "module": f"{imports.COLLECTION}.modules.{module}",
        "start": _packed(_text("start").encode("utf-8")),
        "sources": _packed(json.dumps(sources).encode("utf-8")),
        "codes": _packed(marshal.dumps(codes)),
        "codes_format": bytecode_format(),
    }


def program(module: str, arguments: Mapping[str, Any], *, check_mode: bool, diff: bool, log: str) -> bytes:
    """The program that calls a module with valid arguments. `log` is a facility of syslog, or empty.

    It holds the arguments, also secrets. Pass it to a standard input, never to a file or a command line.
    """
    options = {"check_mode": check_mode, "diff": diff, "log": log}
    request = {"module": f"crdb.onboard.{module}", "arguments": arguments, **options}
    return (_PROGRAM % {**prepared(module), "request": _packed(json.dumps(request).encode("utf-8"))}).encode("ascii")


def command(interpreters: list[str], environment: str) -> str:
    """The shell command that runs a program with the first of these interpreters that works on the host.

    `environment` holds assignments as the shell writes them, or is empty. A single interpreter is used as it is
    written, with its options. Of several, those that do not run (as a shim of pyenv) or are too old are skipped.
    """
    prefix = f"exec env {environment} " if environment else "exec "
    if len(interpreters) == 1:
        return f"{prefix}{interpreters[0]} -c {_READ}"
    runs = f'"$p" -c {shlex.quote("import sys; sys.exit(sys.version_info < (3, 9))")} 2>/dev/null'
    names = " ".join(map(shlex.quote, interpreters))
    error = "There is no Python 3.9 or newer on this host: install one, or set ansible_python_interpreter."
    return (
        f'for p in {names}; do if {runs}; then {prefix}"$p" -c {_READ}; fi; done;'
        f" echo {shlex.quote(error)} >&2; exit 127"
    )


def result(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result from the command's `rc`, `stdout` and `stderr`. A module that did not answer has failed."""
    lines = str(answer.get("stdout", "")).splitlines()
    for line in lines:
        if line.startswith(ANSWER):
            module_result: dict[str, Any] = json.loads(line[len(ANSWER) :])
            return module_result
    output = str(answer.get("stderr", "")).strip() or "\n".join(lines) or f"it ended with {answer.get('rc')}"
    return {"failed": True, "msg": f"The module did not answer: {output[-_SHOWN_CHARACTERS:]}", "rc": answer.get("rc")}
