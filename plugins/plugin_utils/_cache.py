# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder on the controller for what each run would work out again from the collection's own files.

It holds nothing of an inventory, a host or a cluster: compiled templates, and the modules as they are sent to hosts.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Callable
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


def kept(name: str, state: str, work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What `work` returned in an earlier run with the same `state`; otherwise it is called, and its result is kept.

    There is one file for each `name`. It is not believed when it is damaged.
    """
    if not (place := folder()):
        return work()
    path, key = place / f"{name}.json", hashlib.sha256(state.encode("utf-8")).hexdigest()
    with contextlib.suppress(OSError, ValueError):
        seal, text = path.read_text(encoding="utf-8").split("\n", 1)
        if seal == _seal(key, text):
            known: dict[str, str] = json.loads(text)
            return known
    result = work()
    text = json.dumps(result)
    # Another run reads all of it or none.
    part = path.with_suffix(f".{os.getpid()}")
    try:
        part.write_text(f"{_seal(key, text)}\n{text}", encoding="utf-8")
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
    return result


def _seal(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\n{text}".encode()).hexdigest()
