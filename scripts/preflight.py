# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say what this machine lacks before anything is installed, with the command that gives it."""

import importlib.util
import platform
import sys


def main():
    """Exit with one sentence when this Python cannot make a virtual environment for the controller."""
    here = f"{sys.executable} is Python {platform.python_version()}"
    if sys.version_info < (3, 11):
        sys.exit(here + "; the controller needs 3.11 or newer: make PYTHON=python3.11 demo")
    if not importlib.util.find_spec("ensurepip") or not importlib.util.find_spec("venv"):
        sys.exit(here + " and cannot make a virtual environment. Debian, Ubuntu: apt-get install python3-venv")


if __name__ == "__main__":
    main()
