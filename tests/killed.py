# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that are killed in the middle of changing files."""

from __future__ import annotations

import subprocess
import sys
import textwrap

_PROGRAM = """
    import os, signal, sys
    sys.path[:0] = {path!r}
    import {module} as it
    calls = 0
    def counted(real):
        def call(*args, **kwargs):
            global calls
            # A descriptor that is opened to look changes nothing.
            calls += real.__name__ != "open" or bool(args[1] & os.O_CREAT)
            if calls == {point}:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        return call
    for name in ("replace", "fsync", "mkdir", "chmod", "fchmod", "unlink", "rmdir", "symlink", "open"):
        setattr(os, name, counted(getattr(os, name)))
    it.{statement}
"""


def ends_before(point: int, module: str, statement: str) -> bool:
    """Whether a statement on a module ends before its call number `point` that changes files, where it is killed."""
    path = [place for place in sys.path if place]
    program = textwrap.dedent(_PROGRAM).format(path=path, module=module, point=point, statement=statement)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == 0
