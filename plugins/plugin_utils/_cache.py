# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder on the controller for what each run would work out again from the collection's own files.

It holds nothing of an inventory, a host or a cluster: compiled templates, and which files a module needs.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path

from ansible import constants

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@cache
def folder() -> Path | None:
    """The folder `crdb_onboard` in Ansible's own (`ANSIBLE_HOME`, by default `~/.ansible`), made when it is missing.

    None where somebody else could write to it, because its content runs as code, and where it cannot be made.
    """
    home = Path(str(constants.config.get_config_value("ANSIBLE_HOME"))).expanduser()
    path = home / "crdb_onboard"
    try:
        home.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        safe = _is_own(home) and _is_own(path)
    except OSError:
        return None
    return path if safe and os.access(path, os.W_OK) else None


def _is_own(path: Path) -> bool:
    """Whether a path is a folder, not a link, of this account that nobody else can write to. Raises OSError."""
    status = path.lstat()
    own = status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE
    return stat.S_ISDIR(status.st_mode) and own
