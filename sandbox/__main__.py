# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m sandbox``."""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
_OWN = "sandbox"


def _cannot_start(missing: str) -> str:
    """Why this interpreter cannot run the sandbox, and the command that does."""
    if missing.partition(".")[0] == _OWN:
        return f"sandbox: run it from the checkout: cd {CHECKOUT} && .venv/bin/python -m sandbox up"
    command = f"{CHECKOUT / '.venv' / 'bin' / 'python'} -m sandbox up"
    installed = (CHECKOUT / ".venv" / "bin" / "python").exists()
    first = "" if installed else f"make -C {CHECKOUT} install && "
    return (
        f"sandbox: {sys.executable} does not have the package {missing}. Run it so: {first}cd {CHECKOUT} && {command}"
    )


def _start() -> int:
    try:
        from sandbox.cli import main
    except ModuleNotFoundError as error:
        print(_cannot_start(error.name or str(error)), file=sys.stderr)
        return 1
    except SyntaxError:
        print(f"sandbox: Python 3.9 or newer is needed, not {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    if len(sys.argv) < 2:
        print("sandbox: name a command: up starts it, status shows it, down stops it (--help: all).", file=sys.stderr)
        return 2
    return main()


if __name__ == "__main__":
    sys.exit(_start())
