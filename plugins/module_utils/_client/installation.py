# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folders of the client below a prefix: versions side by side, one link a program, and a record.

    PREFIX/bin/cockroach                -> ../lib/crdb-onboard/cockroach/v25.4.11/cockroach
    PREFIX/lib/cockroach                -> crdb-onboard/cockroach/v25.4.11/lib   (spatial libraries)
    PREFIX/lib/crdb-onboard/client.json    the record of everything else that was made, for the removal

A killed run leaves at most folders named ``.stage-*`` and temporary links, which the next run removes.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import HOME_STATE
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import TEMPORARY, write
from ansible_collections.crdb.onboard.plugins.module_utils._files.state import RECORD, load

LINK_MARK = ".crdb-onboard-link."
STAGE_MARK = ".crdb-onboard-client."

_VERSION = re.compile(r"v\d+\.\d+\.\d+")


def resolve_prefix(prefix: str) -> str:
    """Return the absolute prefix. An empty one means /usr/local for root, else ~/.local. Raises ClientError."""
    if not prefix:
        return "/usr/local" if os.geteuid() == 0 else os.path.join(os.path.expanduser("~"), ".local")
    path = os.path.expanduser(prefix)
    if not os.path.isabs(path):
        raise ClientError(f"prefix must be an absolute path, or begin with ~/, not {prefix!r}.")
    return path


def _is_own(path: str) -> bool:
    return os.lstat(path).st_uid == os.geteuid()


def relink(path: str, target: str) -> bool:
    """Make a link lead to `target`, atomically. Return whether it was changed. Raises OSError."""
    target = os.path.relpath(target, os.path.dirname(path))
    if os.path.islink(path) and os.readlink(path) == target:
        return False
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f"{LINK_MARK}{name}.{os.getpid()}")
    os.symlink(target, temporary)
    os.replace(temporary, path)
    return True


def _made_for_files() -> list[str]:
    """The folders that were made for the record of files. Those that a client shares are removed with the last of both.

    The record lies in the user's home, so it may be anything.
    """
    path = os.path.join(os.path.expanduser("~"), HOME_STATE, "files.json")
    try:
        return [str(folder) for folder in load(path, RECORD)["folders"]]
    except (OSError, ValueError):
        return []


class Installation:
    """The folders, links and record below a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = os.path.normpath(prefix)
        self.base = os.path.join(self.prefix, "lib", "crdb-onboard")
        self.record_path = os.path.join(self.base, "client.json")
        self.libraries_link = os.path.join(self.prefix, "lib", "cockroach")

    def link(self, program: str) -> str:
        """Return the path of a program's link."""
        return os.path.join(self.prefix, "bin", program)

    def folder(self, product: str, version: str) -> str:
        """Return the folder of a version."""
        return os.path.join(self.base, product, version)

    def owns_link(self, link: str) -> bool:
        """Return whether a path is a link into the base folder."""
        return os.path.islink(link) and self._target(link).startswith(self.base + os.sep)

    @staticmethod
    def _target(link: str) -> str:
        return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))

    def current(self, product: str) -> str:
        """Return the version that the product's link leads to; empty when the link is missing or not ours."""
        link = self.link(product)
        if not os.path.islink(link):
            return ""
        target = self._target(link)
        version = os.path.basename(os.path.dirname(target))
        ours = target == os.path.join(self.folder(product, version), product) and _VERSION.fullmatch(version)
        return version if ours else ""

    def is_complete(self, product: str, version: str) -> bool:
        """Return whether a version's folder exists, with the program as it was installed."""
        folder = self.folder(product, version)
        try:
            with open(os.path.join(folder, "installed.json"), encoding="utf-8") as stream:
                size = json.load(stream)["size"]
            status = os.stat(os.path.join(folder, product))
        except (OSError, ValueError, KeyError):
            return False
        return bool(status.st_size == size and status.st_mode & 0o100)

    def versions(self, product: str) -> list[str]:
        """Return the installed versions, the most recently used first."""
        folder = os.path.join(self.base, product)
        try:
            names = [name for name in os.listdir(folder) if _VERSION.fullmatch(name)]
        except FileNotFoundError:
            return []
        return sorted(names, key=lambda name: os.stat(os.path.join(folder, name)).st_mtime_ns, reverse=True)

    def record(self) -> dict[str, Any]:
        """Return the record: `made` folders, `profile` line, `completions` and `backups`. Raises ClientError."""
        empty: dict[str, Any] = {"made": [], "profile": {}, "completions": {}, "backups": {}}
        try:
            with open(self.record_path, encoding="utf-8") as stream:
                return {**empty, **json.load(stream)}
        except FileNotFoundError:
            return empty
        except (OSError, ValueError):
            raise ClientError(
                f"{self.record_path}: the record of the client cannot be read. Move the file away and run again."
            ) from None

    def save(self, record: dict[str, Any]) -> None:
        """Write the record. Raises OSError."""
        write(self.record_path, self._text(record), 0o644)

    @staticmethod
    def _text(record: dict[str, Any]) -> bytes:
        return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode("utf-8")

    @property
    def stage_mark(self) -> str:
        """The prefix of stage folder names. It differs by base: a run for another base beside it may be at work."""
        return f"{STAGE_MARK}{hashlib.sha256(os.fsencode(self.base)).hexdigest()[:12]}."

    def create_base(self, record: dict[str, Any]) -> bool:
        """Create the base with its record, and missing folders above it, atomically. Return whether this run did it.

        Raises OSError.
        """
        missing, parent = [], self.base
        while not os.path.isdir(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        if not missing:
            return False
        stage = tempfile.mkdtemp(prefix=self.stage_mark, dir=parent)
        try:
            staged_base = os.path.join(stage, os.path.relpath(self.base, parent))
            self.make_folder(staged_base)
            record["made"] = missing + [folder for folder in _made_for_files() if self.base.startswith(folder + os.sep)]
            write(os.path.join(staged_base, "client.json"), self._text(record), 0o644)
            os.rename(os.path.join(stage, os.path.basename(missing[-1])), missing[-1])
        except OSError:
            # Another run may have been first.
            if not os.path.isdir(self.base):
                raise
            return False
        else:
            return True
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def make_folder(self, folder: str, record: Optional[dict[str, Any]] = None) -> None:
        """Create a folder and its parents, and record which of them were missing. Raises OSError."""
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        if not missing:
            return
        if record is not None:
            record["made"] += [path for path in missing if path not in record["made"]]
            self.save(record)
        for path in reversed(missing):
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)  # noqa: S103 - programs and folders are for everybody

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the base against other runs, and remove leftovers. Raises ClientError when it is taken."""
        with open(os.path.join(self.base, "lock"), "w", encoding="ascii") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ClientError(
                    f"{self.base}: another run installs a client there. Wait for it, then try again."
                ) from None
            self.sweep()
            yield

    def leftovers(self) -> list[str]:
        """Return the paths that killed runs left behind."""
        marks = {
            self.base: (".stage-", TEMPORARY),
            os.path.join(self.prefix, "bin"): (LINK_MARK,),
            os.path.join(self.prefix, "lib"): (LINK_MARK,),
        }
        above = os.path.dirname(self.base)
        while above != os.path.dirname(above):
            marks[above] = (*marks.get(above, ()), self.stage_mark)
            above = os.path.dirname(above)
        paths = []
        for folder, starts in marks.items():
            with contextlib.suppress(OSError):
                candidates = [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(starts)]
                paths += [path for path in candidates if _is_own(path)]
        return paths

    def sweep(self) -> None:
        """Remove the leftovers. Raises OSError."""
        for path in self.leftovers():
            try:
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)
            except OSError as exc:
                # Another run that started at the same time may be filling or removing its own stage.
                if exc.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise
