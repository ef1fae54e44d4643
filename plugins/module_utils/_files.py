# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on a host: decide first, for all of them, then write each at once or not at all.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

# Where the record of what was written lies: in a user's home, or for a user without one, by name.
HOME_STATE = ".local/state/crdb-onboard"
SYSTEM_STATE = "/var/lib/crdb-onboard"
MASK = "********"

# The password part of a URL, whatever its value: what stood in a file before is not among the secrets that we know.
_URL_PASSWORD = re.compile(r"(://[^:/@\s'\"]*:)[^@\s'\"]+(?=@)|([?&;]password=)[^&\s'\"]+")


class FileRefused(Exception):  # noqa: N818 - a verdict about one file
    """A file cannot be written; the message says why and how to go on."""


@dataclass(frozen=True)
class Wanted:
    """A file as it shall be: absolute path, bytes, permission bits.

    `secret` masks its passwords in a diff; `requires` are files that its content names and that must be there; `gid` of
    -1 is the group that the file gets by itself.
    """

    path: str
    content: bytes
    mode: int
    secret: bool = False
    requires: tuple[str, ...] = ()
    gid: int = -1


@dataclass(frozen=True)
class Found:
    """A file as it is: None for `content` when there is none; `target` is where a link leads."""

    target: str
    content: Optional[bytes]
    mode: int


@dataclass(frozen=True)
class Decision:
    """What becomes of one file: ``absent`` -> ``created``, or ``changed``, ``mode``, ``ok``."""

    wanted: Wanted
    found: Found
    action: str

    @property
    def changed(self) -> bool:
        """Whether anything will be written."""
        return self.action != "ok"


def digest(content: bytes) -> str:
    """The SHA-256 of a content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def decide(wanted: Wanted, found: Found, recorded: frozenset[str], force: bool) -> Decision:
    """What becomes of a file, from what is wanted, what is there and the digests that we wrote.

    Raises FileRefused when a file is there that we did not write, or that somebody changed since, unless `force`.
    """
    if found.content is None:
        return Decision(wanted, found, "created")
    if found.content == wanted.content:
        return Decision(wanted, found, "ok" if found.mode == wanted.mode else "mode")
    if not force:
        if not recorded:
            raise FileRefused(
                f"{wanted.path}: is there already and was not written by crdb.onboard. Move it away, choose another"
                " folder, or set force: the file is then replaced and a copy of it kept beside it."
            )
        if digest(found.content) not in recorded:
            raise FileRefused(
                f"{wanted.path}: was written by crdb.onboard and has been changed since. Move the change elsewhere, or"
                " set force: the file is then replaced and a copy of it kept beside it."
            )
    return Decision(wanted, found, "changed")


def masked(content: bytes, secrets: Sequence[str]) -> str:
    """A file's text for a diff: without the secrets, and without any password in a URL."""
    text = content.decode("utf-8", "replace")
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _URL_PASSWORD.sub(lambda m: (m.group(1) or m.group(2)) + MASK, text)


def diff(decision: Decision, secrets: Sequence[str]) -> dict[str, str]:
    """The difference as Ansible shows it, passwords masked in secret files."""
    wanted, found = decision.wanted, decision.found
    before = "" if found.content is None else masked(found.content, secrets)
    after = masked(wanted.content, secrets)
    if decision.action == "changed" and before == after:
        after += "(a masked value differs)\n"
    if decision.action == "mode":
        before, after = f"mode: {found.mode:04o}\n", f"mode: {wanted.mode:04o}\n"
    return {
        "before": before,
        "after": after,
        "before_header": wanted.path if found.content is not None else f"{wanted.path} (absent)",
        "after_header": wanted.path,
    }


def look(path: str) -> Found:
    """What is at a path now. Raises FileRefused for what is no readable regular file."""
    target = os.path.realpath(path)
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return Found(target, None, 0)
    except OSError as exc:
        raise FileRefused(f"{path}: cannot be looked at: {exc.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise FileRefused(f"{path}: is there and is no regular file.")
    try:
        with open(target, "rb") as stream:
            return Found(target, stream.read(), stat.S_IMODE(status.st_mode))
    except OSError as exc:
        raise FileRefused(f"{path}: cannot be read: {exc.strerror}.") from None


def writable(path: str) -> None:
    """Raise FileRefused when a file could not be made at the path: its nearest existing parent must take one."""
    parent = os.path.dirname(path)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        raise FileRefused(f"{path}: {parent} is no folder.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise FileRefused(f"{path}: {parent} is not writable for this user.")


def ignored_by_git(path: str) -> None:
    """Raise FileRefused when a secret would lie in a git work tree that does not ignore it."""
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    top = folder
    while not os.path.lexists(os.path.join(top, ".git")):
        if top == os.path.dirname(top):
            return
        top = os.path.dirname(top)
    relative = os.path.relpath(path, os.path.realpath(top))
    try:
        answer = subprocess.run(
            ["git", "-C", top, "check-ignore", "-q", "--", path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    except OSError:
        raise FileRefused(
            f"{path}: holds a password and lies in the git work tree {top}, and there is no git here to ask whether it"
            " is ignored. Choose a folder outside the work tree."
        ) from None
    if answer.returncode == 1:
        raise FileRefused(
            f"{path}: holds a password, and git would commit it: add the line /{relative} to {top}/.gitignore first."
        )
    if answer.returncode != 0:
        reason = answer.stderr.decode("utf-8", "replace").strip().splitlines()
        raise FileRefused(
            f"{path}: holds a password and lies in the git work tree {top}; git does not say whether it is ignored:"
            f" {reason[0] if reason else f'exit code {answer.returncode}'}"
        )


def make_folder(path: str, mode: int = 0o755) -> None:
    """Make a folder and its missing parents, whatever the umask."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, mode)


def write(path: str, content: bytes, mode: int, gid: int = -1) -> None:
    """Put bytes at a path at once: a temporary file in the same folder, synced, then renamed. Raises OSError."""
    folder = os.path.dirname(path)
    handle, temporary = tempfile.mkstemp(prefix=".crdb-onboard.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            if gid != -1:
                os.fchown(stream.fileno(), -1, gid)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    folder_handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_handle)
    finally:
        os.close(folder_handle)


def backup(path: str, content: bytes, mode: int) -> str:
    """Keep a copy of a file beside it, never over another copy; its path is returned. Raises OSError."""
    for number in range(1, 1000):
        copy = f"{path}.crdb-onboard-{number}.bak"
        if not os.path.lexists(copy):
            write(copy, content, stat.S_IMODE(mode))
            return copy
    raise OSError(errno.EEXIST, "a thousand copies are kept already", path)


class Record:
    """What we wrote for one user: path -> digests and what was there before. A file of that user, mode 0600.

    It is saved before the first write and after the last: what a run that was killed had begun is known as ours.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "files.json")
        try:
            with open(self.path, encoding="utf-8") as stream:
                self._files: dict[str, dict[str, Any]] = json.load(stream)["files"]
        except FileNotFoundError:
            self._files = {}
        except (OSError, ValueError, KeyError, TypeError):
            raise FileRefused(f"{self.path}: the record of written files cannot be read; move it away.") from None

    def written(self, path: str) -> frozenset[str]:
        """The digests of what we wrote at a path, or were about to write; empty when we never did."""
        entry = self._files.get(path, {})
        return frozenset(entry[key] for key in ("sha256", "next") if key in entry)

    def begin(self, decision: Decision, copy: Optional[str]) -> None:
        """Note a file that will be written."""
        first = {"before": copy, "existed": decision.action != "created"}
        self._files.setdefault(decision.wanted.path, first)["next"] = digest(decision.wanted.content)

    def end(self, decision: Decision) -> bool:
        """Note a file that is as it should be; True when the record changed by it."""
        entry = {**self._files.get(decision.wanted.path, {"before": None, "existed": True})}
        entry.pop("next", None)
        entry["sha256"] = digest(decision.wanted.content)
        changed = self._files.get(decision.wanted.path) != entry
        self._files[decision.wanted.path] = entry
        return changed

    def save(self) -> None:
        """Write the record. Raises OSError."""
        make_folder(os.path.dirname(self.path), 0o700)
        write(self.path, (json.dumps({"files": self._files}, indent=1, sort_keys=True) + "\n").encode("utf-8"), 0o600)


def plan(files: Sequence[Wanted], record: Record, force: bool) -> tuple[list[Decision], list[str]]:
    """Decide about all files of one user: the decisions, and every refusal there is."""
    decisions: list[Decision] = []
    refusals: list[str] = []
    for wanted in files:
        try:
            for path in wanted.requires:
                if not os.path.isfile(path):
                    raise FileRefused(f"{wanted.path}: names the CA {path}, which is not there.")
            found = look(wanted.path)
            decision = decide(wanted, found, record.written(wanted.path), force)
            if decision.changed:
                writable(found.target)
                if wanted.secret:
                    ignored_by_git(found.target)
            decisions.append(decision)
        except FileRefused as exc:
            refusals.append(str(exc))
    return decisions, refusals


def apply(decisions: Sequence[Decision], record: Record) -> list[Optional[str]]:
    """Write what was decided; the path of the copy that was kept of each, if any. Raises OSError."""
    copies: list[Optional[str]] = []
    for decision in decisions:
        found, copy = decision.found, None
        if decision.action == "changed" and digest(found.content or b"") not in record.written(decision.wanted.path):
            copy = backup(found.target, found.content or b"", found.mode)
        if decision.changed:
            record.begin(decision, copy)
        copies.append(copy)
    if any(decision.changed for decision in decisions):
        record.save()
    for decision in decisions:
        wanted, found = decision.wanted, decision.found
        if decision.action in ("created", "changed"):
            make_folder(os.path.dirname(found.target))
            write(found.target, wanted.content, wanted.mode, wanted.gid)
        elif decision.action == "mode":
            os.chmod(found.target, wanted.mode)
    ended = [record.end(decision) for decision in decisions]
    if any(ended):
        record.save()
    return copies
