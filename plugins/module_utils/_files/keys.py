# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private keys that were made on this host, and wait for their certificates.

They lie beside the record of their user, mode 0600, each under a random name, so that a certificate never meets another
key than the one it was signed for. This module util is PRIVATE to the collection. It can have breaking changes at any
time.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Sequence

from ansible_collections.crdb.onboard.plugins.module_utils._files import tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError, PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import remove as remove_file
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import remove_folders

FOLDER = "keys"
ENDS = ("", ".pk8")
"""What the names of a key end in: PEM, and PKCS#8 in DER for Java."""
_NAME = re.compile(r"[0-9a-f]{32}(?:\.pk8)?")
_FORGOTTEN_SECONDS = 3600.0


def folder_of(state: str) -> str:
    """The folder of the waiting keys; `state` is the folder of the record."""
    return os.path.join(state, FOLDER)


def with_content(file: PlannedFile, state: str) -> PlannedFile:
    """A planned file with the bytes of the key that it names. Raises FileRefusedError when the key is not there."""
    if not file.pending:
        return file
    path = os.path.join(folder_of(state), file.pending)
    try:
        if not _NAME.fullmatch(file.pending):
            raise FileNotFoundError
        found = tree.read_file(path)
        if found.status.st_uid != os.geteuid() or found.status.st_mode & 0o077:
            raise FileNotFoundError
    except OSError:
        raise FileRefusedError(
            f"{file.path}: the key that was made for it on this host is gone. Run the playbook again: it makes another."
        ) from None
    return file._replace(content=found.content)


def remove(state: str, names: Sequence[str]) -> None:
    """Remove keys that are in their places now, and the folder with the last one."""
    if not names:
        return
    for name in names:
        with contextlib.suppress(OSError):
            remove_file(os.path.join(folder_of(state), name))
    remove_folders([folder_of(state)])


def clear(state: str) -> None:
    """Remove all keys that wait."""
    with contextlib.suppress(OSError):
        remove(state, os.listdir(folder_of(state)))


def forget(state: str) -> None:
    """Remove keys that have waited for an hour: the run that made them is over."""
    folder = folder_of(state)
    with contextlib.suppress(OSError):
        old = [
            name
            for name in os.listdir(folder)
            if time.time() - os.stat(os.path.join(folder, name), follow_symlinks=False).st_mtime > _FORGOTTEN_SECONDS
        ]
        remove(state, old)
