# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a user: as they should be, as they are, and the decision about each.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Optional

LINK_MODE = 0o777
"""The permission bits of a symbolic link: nothing reads them."""


class FileRefusedError(Exception):
    """A file cannot be written; the message says why and how to go on."""


class PlannedFile(NamedTuple):
    """A file as it should be: absolute path, our content in a format of `_formats`, permission bits.

    `secret` masks passwords in a diff and keeps others out; `requires` are files that the content names, `trusts` CA
    files among them. `gid` of -1 is the group that the file gets by itself. `apps` are those it is written for, and
    `owners` those of a key where they are fewer. An `exclusive` file holds our keys only; `keep_previous` leaves the
    keys that we wrote before beside today's; `force` replaces what is not ours, in this file alone. The content of the
    format ``link`` is where a symbolic link leads. `pending` names a key that was made on this host, whose bytes are
    the content. A `private` key is nowhere else: the record has its digest only.
    """

    path: str
    content: bytes
    mode: int
    format: str = "whole"
    secret: bool = False
    requires: tuple[str, ...] = ()
    trusts: tuple[str, ...] = ()
    gid: int = -1
    apps: tuple[str, ...] = ()
    purpose: str = ""
    exclusive: bool = False
    keep_previous: bool = False
    force: bool = False
    pending: str = ""
    private: bool = False
    owners: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def apps_of(self, key: str) -> tuple[str, ...]:
        """The apps that a key is written for."""
        return self.owners.get(key, self.apps)


class CurrentFile(NamedTuple):
    """What is at a path: `content` is None where no file is; `target` is where a link leads.

    Where a symbolic link is ours itself, `content` is where it leads, and `target` its own place.

    `names` counts its hard links, `attributes` are its extended attributes.
    """

    target: str
    content: Optional[bytes]
    mode: int
    uid: int = -1
    gid: int = -1
    names: int = 1
    attributes: Mapping[str, bytes] = MappingProxyType({})


class Decision(NamedTuple):
    """What becomes of one file.

    `action` is ``created``, ``changed``, ``mode``, ``ok`` or ``drifted`` for a file that is planned, and ``removed``,
    ``restored``, ``kept`` or ``ok`` for one that is taken away. `after` is None for a file that goes.
    """

    path: str
    current: CurrentFile
    action: str
    after: Optional[bytes]
    mode: int
    entry: dict[str, Any]
    secret: bool = False
    gid: int = -1
    ideal: Optional[bytes] = None
    copy: bool = False
    apps: tuple[str, ...] = ()
    shown: bool = False
    """Whether a difference may show the contents."""
    removes: tuple[str, ...] = ()
    """Keys that we wrote before, and that go because they are no longer planned."""

    @property
    def is_private(self) -> bool:
        """Whether the file is a private key, which no other file may hold."""
        return bool(self.entry.get("private"))

    @property
    def is_link(self) -> bool:
        """Whether `after` is where a symbolic link leads."""
        return bool(self.entry.get("format") == "link")

    @property
    def changed(self) -> bool:
        """Whether anything will be written."""
        return self.action in ("created", "changed", "mode", "removed", "restored")


def digest(content: bytes) -> str:
    """The SHA-256 of a content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
