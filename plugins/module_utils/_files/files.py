# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on a host: decide first, for all of them, then write all of them or none.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._files import pem as _pem
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import (
    FORMATS,
    HEADER,
    MASK,
    WHOLE,
    FormatError,
    Segment,
    find,
    join,
    line_end,
    mask_urls,
    normal,
    put,
    split_pgpass,
    take,
)

TEMPORARY = ".crdb-onboard."
LOCK_SECONDS = 60

_ASSIGNED_SECRET = re.compile(r"(?im)^(\s*(?:export\s+)?\w*(?:PASS|SECRET|TOKEN|KEY)\w*\s*=\s*).+$")
_LINUX_GETFLAGS = 0x80086601
_LINUX_IMMUTABLE_OR_APPEND = 0x10 | 0x20


class FileRefused(Exception):  # noqa: N818 - a verdict about one file
    """A file cannot be written; the message says why and how to go on."""


@dataclass(frozen=True)
class Wanted:
    """A file as it shall be: absolute path, our content in a format of `_formats`, permission bits.

    `secret` masks passwords in a diff and keeps others out; `requires` are files that the content names, `trusts` CA
    files among them. `gid` of -1 is the group that the file gets by itself. `apps` are those it is written for, and
    `owners` those of a key where they are fewer. An `exclusive` file holds our keys only; `keep_previous` leaves the
    keys that we wrote before beside today's.
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
    owners: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def apps_of(self, key: str) -> tuple[str, ...]:
        """The apps that a key is written for."""
        return self.owners.get(key, self.apps)


@dataclass(frozen=True)
class Found:
    """A file as it is: None for `content` when there is none; `target` is where a link leads."""

    target: str
    content: Optional[bytes]
    mode: int
    uid: int = -1
    gid: int = -1


@dataclass
class Decision:
    """What becomes of one file.

    `action` is ``created``, ``changed``, ``mode``, ``ok`` or ``drifted`` for a file that is wanted, and ``removed``,
    ``restored``, ``kept`` or ``ok`` for one that is taken away. `after` is None for a file that goes.
    """

    path: str
    found: Found
    action: str
    after: Optional[bytes]
    mode: int
    secret: bool = False
    gid: int = -1
    ideal: Optional[bytes] = None
    copy: bool = False
    entry: dict[str, Any] = field(default_factory=dict)
    apps: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything will be written."""
        return self.action in ("created", "changed", "mode", "removed", "restored")


def digest(content: bytes) -> str:
    """The SHA-256 of a content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _known(entry: dict[str, Any], key: str) -> set[str]:
    noted = entry.get("keys", {}).get(key, {})
    return {noted[name] for name in ("sha256", "next") if noted.get(name)}


def _ours(format_: str, raw: bytes) -> str:
    return digest(raw if format_ == "whole" else normal(raw))


def _refuse_foreign(path: str, key: str, drifted: bool) -> FileRefused:
    what = f"has {key} already, which" if key else "is there already and"
    if drifted:
        what = f"has {key}, which was written by crdb.onboard and" if key else "was written by crdb.onboard and"
        return FileRefused(
            f"{path}: {what} has been changed since. Move the change elsewhere, or set force: it is then replaced and a"
            " copy of the file kept beside it."
        )
    return FileRefused(
        f"{path}: {what} was not written by crdb.onboard. Move it away, choose another folder, or set force: it is then"
        " replaced, and given back when crdb.onboard is taken away."
    )


def _mode(wanted: Wanted, found: Found, entry: dict[str, Any]) -> int:
    """Permission bits: a file that others made keeps its own, but that nobody else may read a password."""
    theirs = found.content is not None and entry.get("existed", True) and wanted.format != "whole"
    if not theirs:
        return wanted.mode
    return found.mode & ~0o077 if wanted.secret else found.mode


def _stale(wanted: Wanted, entry: dict[str, Any], ours: Sequence[Segment]) -> list[str]:
    if wanted.keep_previous:
        return []
    mine = {segment.key for segment in ours}
    noted = entry.get("keys", {})
    return [key for key in noted if key not in mine and set(noted[key].get("apps", ())) <= set(wanted.apps)]


def merge(files: Sequence[Wanted]) -> list[Wanted]:
    """The files with each path once: a shared file is given once an app, each time with that app's keys.

    Raises FileRefused when two apps want different content under one key.
    """
    merged: dict[str, Wanted] = {}
    for wanted in files:
        first = merged.get(wanted.path)
        if first is None:
            merged[wanted.path] = wanted
            continue
        names = ("mode", "format", "secret", "gid", "purpose", "exclusive", "keep_previous")
        differ = [name for name in names if getattr(first, name) != getattr(wanted, name)]
        if differ:
            raise FileRefused(f"{wanted.path}: is given twice, with another {differ[0]}.")
        split = FORMATS[wanted.format]
        segments = {segment.key: segment for segment in split(first.content)}
        owners = {key: first.apps_of(key) for key in segments if key is not None}
        for segment in split(wanted.content):
            if segments.setdefault(segment.key, segment).raw != segment.raw and segment.key not in (None, HEADER):
                both = " and ".join(dict.fromkeys((*first.apps, *wanted.apps)))
                raise FileRefused(
                    f"{wanted.path}: {both} want two different entries {segment.key}: give them one connection."
                )
            if segment.key is not None:
                owners[segment.key] = tuple(dict.fromkeys((*owners.get(segment.key, ()), *wanted.apps)))
        merged[wanted.path] = replace(
            first,
            content=join(list(segments.values())),
            requires=tuple(dict.fromkeys((*first.requires, *wanted.requires))),
            trusts=tuple(dict.fromkeys((*first.trusts, *wanted.trusts))),
            apps=tuple(dict.fromkeys((*first.apps, *wanted.apps))),
            owners=owners,
        )
    return list(merged.values())


def decide(wanted: Wanted, found: Found, entry: dict[str, Any], force: bool) -> Decision:
    """What becomes of a file that is wanted, from what is there and what the record says of it.

    A key that somebody changed after us is left alone as long as ours stays the same (``drifted``), and replaced, a
    copy kept, when ours moved on: the rule of dpkg for configuration files. A key that is not ours is refused. `force`
    replaces both. Raises FileRefused.
    """
    split = FORMATS[wanted.format]
    entry = json.loads(json.dumps(entry)) or {"format": wanted.format, "keys": {}, "folders": []}
    try:
        segments = split(found.content) if found.content is not None else []
        ours = [segment for segment in split(wanted.content) if segment.key is not None and segment.key != HEADER]
        there = {segment.key: find(segments, segment.key or WHOLE) for segment in ours}
    except FormatError as exc:
        raise FileRefused(f"{wanted.path}: cannot be told apart into keys: {exc}.") from None
    if wanted.exclusive:
        foreign = {
            s.key for s in segments if s.raw.strip() and s.key not in there and not _known(entry, s.key or WHOLE)
        }
        if foreign and not force:
            raise _refuse_foreign(wanted.path, "", False)
        segments = [segment for segment in segments if segment.key not in foreign]
    entry.setdefault("existed", found.content is not None)
    entry.setdefault("mode", f"{found.mode:04o}" if found.content is not None else None)
    entry["purpose"] = wanted.purpose
    end = line_end(found.content or b"")
    after, ideal, drifted, copy = list(segments), list(segments), False, False
    for segment in ours:
        key = segment.key or WHOLE
        current, known = there[key], _known(entry, key)
        new = _ours(wanted.format, segment.raw)
        old = None if current is None else _ours(wanted.format, current.raw)
        noted = entry["keys"].setdefault(key, {"before": None, "apps": []})
        others = set(noted.get("apps", ())) - set(wanted.apps)
        noted["apps"] = sorted(others | set(wanted.apps_of(key)))
        noted.pop("gone", None)
        if old == new:
            if not known:
                noted["before"] = _before(wanted, current)
            noted["sha256"] = new
            noted.pop("next", None)
            continue
        if current is not None and not known and not force:
            raise _refuse_foreign(wanted.path, key, False)
        hand_edited = old is not None and bool(known) and old not in known
        ideal, unended = _set(wanted, ideal, segment, end)
        if hand_edited and new == noted.get("sha256") and not force:
            drifted = True
            noted.pop("next", None)
            continue
        copy = copy or hand_edited
        if current is not None and not known:
            noted["before"] = _before(wanted, current)
            copy = copy or wanted.format == "whole"
        after, unended = _set(wanted, after, segment, end)
        noted.update(next=new, **({"unended": True} if unended else {}))
    for key in _stale(wanted, entry, ours):
        segment_there = find(segments, key)
        if segment_there is None or _ours(wanted.format, segment_there.raw) in _known(entry, key):
            after, ideal = (_take(wanted.format, side, key, entry) for side in (after, ideal))
            # Known until the file is in its place: a run that is killed before leaves it there.
            entry["keys"][key]["gone"] = True
    if found.content is None:
        content = ideal_content = wanted.content
    else:
        content, ideal_content = join(after), join(ideal)
    mode = _mode(wanted, found, entry)
    if found.content is None:
        action = "created"
    elif content != found.content:
        action = "changed"
    elif mode != found.mode:
        action = "mode"
    else:
        action = "drifted" if drifted else "ok"
    return Decision(
        wanted.path, found, action, content, mode, wanted.secret, wanted.gid, ideal_content,
        copy and action == "changed", entry, wanted.apps,
    )  # fmt: skip


def _before(wanted: Wanted, current: Optional[Segment]) -> Optional[str]:
    """What is given back later; a whole file is kept as a copy beside it instead, when it is replaced."""
    if current is None or (wanted.format == "whole" and current.raw != wanted.content):
        return None
    return base64.b64encode(current.raw).decode("ascii")


def _set(wanted: Wanted, segments: list[Segment], ours: Segment, end: bytes) -> tuple[list[Segment], bool]:
    if wanted.format == "whole":
        return [ours], False
    return put(segments, ours, end, first=wanted.format == "pgpass")


def _take(format_: str, segments: list[Segment], key: str, entry: dict[str, Any]) -> list[Segment]:
    noted = entry["keys"][key]
    before = noted.get("before")
    if noted.get("unended") and before is None:
        # What stands behind ours now stands behind the line that we had to end.
        follows = [after.key for segment, after in zip(segments, segments[1:]) if segment.key == key]
        if follows and follows[0] in entry["keys"]:
            entry["keys"][follows[0]]["unended"] = True
    return take(segments, key, base64.b64decode(before) if before else None, bool(noted.get("unended")))


def undo(path: str, found: Found, entry: dict[str, Any], apps: Optional[Sequence[str]], force: bool) -> Decision:
    """What becomes of a file when what we wrote for `apps` (None: for all) is taken away.

    What somebody changed after us is not what we wrote: it stays (``kept``), unless `force`. Raises FileRefused.
    """
    entry = json.loads(json.dumps(entry))
    keys = entry["keys"]
    gone = []
    for key, noted in list(keys.items()):
        left = [] if apps is None else sorted(set(noted["apps"]) - set(apps))
        if noted["apps"] and left == noted["apps"]:
            continue
        noted["apps"] = left
        if not left:
            gone.append(key)
    nothing = Decision(path, found, "ok", found.content, found.mode, entry=entry)
    if found.content is None:
        for key in gone:
            del keys[key]
        return nothing
    try:
        segments = FORMATS[entry["format"]](found.content)
        kept = False
        places = {segment.key or WHOLE: number for number, segment in enumerate(segments) if segment.key is not None}
        # The last one first: only behind it can be the end of the file.
        for key in sorted(gone, key=lambda name: places.get(name, -1), reverse=True):
            current = find(segments, key)
            drifted = current is not None and _ours(entry["format"], current.raw) not in _known(entry, key)
            kept = kept or (drifted and not force)
            if not drifted or force:
                segments = _take(entry["format"], segments, key, entry)
            del keys[key]
    except FormatError as exc:
        raise FileRefused(f"{path}: cannot be told apart into keys: {exc}.") from None
    if not keys and not entry["existed"]:
        segments = [segment for segment in segments if segment.key != HEADER]
    content: Optional[bytes] = join(segments)
    mode = found.mode
    copy = entry.get("copy")
    if not keys and not kept:
        if copy and os.path.exists(copy):
            with open(copy, "rb") as stream:
                content = stream.read()
        elif not entry["existed"] and not (content or b"").strip():
            content = None
        mode = int(entry["mode"], 8) if entry.get("mode") else mode
    if content is None:
        action = "removed"
    elif content != found.content or mode != found.mode:
        action = "restored"
    else:
        action = "kept" if kept else "ok"
    return Decision(path, found, action, content, mode, entry=entry)


def masked(content: bytes, secrets: Sequence[str], format_: str = "whole") -> str:
    """A file's text for a diff: without the secrets, without passwords in URLs and what is assigned to secret names.

    Of a ``.pgpass`` no password is shown, whoever wrote it.
    """
    if format_ == "pgpass":
        segments = split_pgpass(content)
        content = b"".join(s.raw if s.key is None else f"{s.key}:{MASK}\n".encode("utf-8", "replace") for s in segments)
    if b"\0" in content:
        return f"(not text: SHA-256 {digest(content)})\n"
    text = content.decode("utf-8", "replace")
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _ASSIGNED_SECRET.sub(lambda m: m.group(1) + MASK, mask_urls(text))


def diff(decision: Decision, secrets: Sequence[str]) -> dict[str, str]:
    """The difference as Ansible shows it, passwords masked; for a drifted file, what force would do."""
    found = decision.found
    target = decision.ideal if decision.action == "drifted" else decision.after
    format_ = decision.entry.get("format", "whole")
    before = "" if found.content is None else masked(found.content, secrets, format_)
    after = "" if target is None else masked(target, secrets, format_)
    if before == after and found.content != target:
        after += "(a masked value differs)\n"
    if found.content is not None and target is not None and found.mode != decision.mode:
        before, after = f"mode: {found.mode:04o}\n{before}", f"mode: {decision.mode:04o}\n{after}"
    return {
        "before": before,
        "after": after,
        "before_header": f"{decision.path} (absent)" if found.content is None else decision.path,
        "after_header": f"{decision.path} (absent)" if target is None else decision.path,
    }


def look(path: str) -> Found:
    """What is at a path now. Raises FileRefused for what is no readable regular file."""
    target = os.path.realpath(path)
    try:
        status = os.stat(target)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        while not os.path.exists(parent):
            if os.path.islink(parent):
                raise FileRefused(f"{path}: {parent} is a link that leads nowhere.") from None
            parent = os.path.dirname(parent)
        return Found(target, None, 0)
    except NotADirectoryError:
        raise FileRefused(f"{path}: one of its parents is no folder.") from None
    except OSError as exc:
        raise FileRefused(f"{path}: cannot be looked at: {exc.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise FileRefused(f"{path}: is there and is no regular file.")
    try:
        with open(target, "rb") as stream:
            content = stream.read()
    except OSError as exc:
        raise FileRefused(f"{path}: cannot be read: {exc.strerror}.") from None
    return Found(target, content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def _immutable(path: str) -> bool:
    if hasattr(os.stat_result, "st_flags"):
        return bool(getattr(os.stat(path), "st_flags", 0) & (stat.UF_IMMUTABLE | stat.SF_IMMUTABLE))
    if not sys.platform.startswith("linux"):
        return False
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        answer = fcntl.ioctl(handle, _LINUX_GETFLAGS, struct.pack("l", 0))
        return bool(struct.unpack("l", answer)[0] & _LINUX_IMMUTABLE_OR_APPEND)
    except OSError:
        return False
    finally:
        os.close(handle)


def writable(found: Found) -> None:
    """Raise FileRefused when a file could not be put in its place: its nearest existing parent must take one."""
    path, there = found.target, found.content is not None
    if there and os.geteuid() not in (0, found.uid):
        raise FileRefused(f"{path}: belongs to another user (id {found.uid}).")
    if there and os.geteuid() != 0 and found.gid not in (os.getegid(), *os.getgroups()):
        raise FileRefused(f"{path}: has a group (id {found.gid}) that this user is not in, and would lose it.")
    parent = os.path.dirname(path)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        raise FileRefused(f"{path}: {parent} is no folder.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise FileRefused(f"{path}: {parent} is not writable for this user.")
    for name in (parent, path) if there else (parent,):
        if _immutable(name):
            raise FileRefused(f"{path}: {name} is marked immutable or append-only (chattr, chflags).")


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


def missing_folders(path: str) -> list[str]:
    """The folders that would have to be made for a path, outermost first."""
    return [] if os.path.isdir(path) else [*missing_folders(os.path.dirname(path)), path]


def make_folder(path: str, mode: int = 0o755) -> list[str]:
    """Make a folder and its missing parents, whatever the umask; the folders that were made, outermost first."""
    if os.path.isdir(path):
        return []
    made = make_folder(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, mode)
        made.append(path)
    return made


def _temporary() -> str:
    """How this user's unfinished files begin: a record is a user's, and its lock keeps out that user's runs only."""
    return f"{TEMPORARY}{os.geteuid()}."


def stage(path: str, content: bytes, mode: int, gid: int = -1, uid: int = -1) -> str:
    """Write bytes to a new file beside a path, synced, with mode and ids; its name. Raises OSError."""
    handle, temporary = tempfile.mkstemp(prefix=_temporary(), dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            if gid != -1 or uid != -1:
                os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
    except OSError as exc:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise OSError(exc.errno, exc.strerror, path) from None
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return temporary


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: str, content: bytes, mode: int, gid: int = -1) -> None:
    """Put bytes at a path at once: a synced temporary file in the same folder, renamed. Raises OSError."""
    os.replace(stage(path, content, mode, gid), path)
    _sync(os.path.dirname(path))


def backup(path: str, content: bytes, mode: int) -> str:
    """Keep a copy of a file beside it, never over another copy; its path is returned. Raises OSError."""
    for number in range(1, 1000):
        copy = f"{path}.crdb-onboard-{number}.bak"
        if not os.path.lexists(copy):
            write(copy, content, stat.S_IMODE(mode))
            return copy
    raise OSError(errno.EEXIST, "a thousand copies are kept already", path)


def sweep(folder: str, keep: Collection[str] = ()) -> None:
    """Take away what a run of this user that was killed left in a folder: the record's lock says that none goes on."""
    for path in glob.glob(os.path.join(glob.escape(folder), _temporary() + "*")):
        if path not in keep and os.path.isfile(path) and not os.path.islink(path):
            with contextlib.suppress(OSError):
                os.unlink(path)


class Record:
    """What we wrote for one user: by path, which keys, their digests, and what was there before. Mode 0600.

    It is saved before the first write and after the last: what a run that was killed had begun is known as ours. The
    lock of its folder is held from the decision to the last write; without `write` nothing is made, and a missing
    record is an empty one.
    """

    def __init__(self, folder: str, write: bool = True) -> None:
        """Raises FileRefused when the record cannot be read, or another run holds its lock for a minute."""
        self.folder = folder
        self.path = os.path.join(folder, "files.json")
        self._lock = -1
        made: list[str] = []
        try:
            if write:
                made = make_folder(folder, 0o700)
                self._take_lock()
                sweep(folder)
            with open(self.path, encoding="utf-8") as stream:
                data = json.load(stream)
            self.files: dict[str, dict[str, Any]] = data["files"]
            self.folders: list[str] = data["folders"]
        except FileNotFoundError:
            self.files, self.folders = {}, made or [folder]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is no record"
            raise FileRefused(f"{self.path}: the record of what was written cannot be used: {reason}.") from None
        self.generation = Generation(folder)

    def _take_lock(self) -> None:
        end = time.monotonic() + LOCK_SECONDS
        while True:
            make_folder(self.folder, 0o700)
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The last run may have taken the folder away, and made it anew: then this lock holds nothing.
                if os.stat(self.folder).st_ino == os.fstat(handle).st_ino:
                    self._lock = handle
                    return
            except FileNotFoundError:
                pass
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(handle)
                    raise FileRefused(f"{self.folder}: another run has been writing for {LOCK_SECONDS} s.") from None
                time.sleep(0.05)
            os.close(handle)

    def text(self) -> bytes:
        """The record as it is saved."""
        return (json.dumps({"files": self.files, "folders": self.folders}, indent=1, sort_keys=True) + "\n").encode()

    def save(self) -> None:
        """Write the record. Raises OSError."""
        write(self.path, self.text(), 0o600)

    def close(self) -> None:
        """Let the lock go; a record of nothing takes its folder away with it."""
        if self._lock == -1:
            return
        if not self.files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            remove_folders(self.folders)
        os.close(self._lock)
        self._lock = -1


class Generation:
    """What changes replaced that are not confirmed yet: kept beside the record, mode 0600, until they are.

    A change is confirmed once its app works with it. Until then `files` has what each file of the app was before the
    first unconfirmed change, so that it can be given back, by this run or by the next one when a controller was killed.
    `apps` names the run whose change it is: only that run confirms it or takes it back.
    """

    def __init__(self, folder: str) -> None:
        """Raises FileRefused when what is kept cannot be read."""
        self.path = os.path.join(folder, "unconfirmed.json")
        self.apps: dict[str, str] = {}
        self.files: dict[str, dict[str, Any]] = {}
        try:
            with open(self.path, encoding="utf-8") as stream:
                data = json.load(stream)
            self.apps, self.files = dict(data["apps"]), dict(data["files"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is none"
            raise FileRefused(f"{self.path}: what was replaced and not confirmed cannot be read: {reason}.") from None

    def state(self) -> dict[str, Any]:
        """What is kept, as a copy."""
        copy: dict[str, Any] = json.loads(json.dumps({"apps": self.apps, "files": self.files}))
        return copy

    def set(self, state: dict[str, Any]) -> None:
        """Keep this and nothing else. Raises OSError."""
        before = self.state()
        self.apps, self.files = state["apps"], state["files"]
        if not self.apps:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        elif state != before:
            write(self.path, (json.dumps(state, indent=1) + "\n").encode(), 0o600)

    def forget(self, apps: Optional[Collection[str]]) -> None:
        """Let go what is kept for these apps (None: for all), since it is confirmed or was taken away."""
        state = self.state()
        state["apps"] = {} if apps is None else {app: run for app, run in self.apps.items() if app not in apps}
        state["files"] = {path: kept for path, kept in self.files.items() if set(kept["apps"]) & set(state["apps"])}
        for path, kept in self.files.items():
            if path not in state["files"]:
                sweep(os.path.dirname(kept["target"]))
        self.set(state)

    def restore(self, apps: Collection[str], record: Record) -> list[dict[str, str]]:
        """Give back what was there before the unconfirmed changes of these apps; what became of each file.

        A file that another app needs as it is now stays, and so does one that somebody changed since (``kept``).
        Raises OSError; what was given back till then is known to the record.
        """
        mine = {path: kept for path, kept in self.files.items() if set(kept["apps"]) <= set(apps)}
        for path, kept in mine.items():
            record.files[path] = _either(record.files.get(path), kept["entry"])
        if mine:
            record.save()
        results = []
        # The configs before the CA that they name.
        for path, kept in reversed(list(mine.items())):
            action = _give_back(path, kept)
            if action != "kept" and kept["entry"] is None:
                gone = record.files.pop(path)
                remove_folders(gone.get("folders", []))
            elif action != "kept":
                record.files[path] = kept["entry"]
            results.append({"path": path, "action": action})
        if mine:
            record.save()
        self.forget(apps)
        return results


def _either(now: Optional[dict[str, Any]], before: Optional[dict[str, Any]]) -> dict[str, Any]:
    """The entry of a file that is on its way back: both contents are known to be ours, wherever it is interrupted."""
    entry: dict[str, Any] = json.loads(json.dumps(now or before or {}))
    for key, noted in (before or {}).get("keys", {}).items():
        there = entry["keys"].setdefault(key, json.loads(json.dumps(noted)))
        if there.get("sha256") != noted.get("sha256"):
            there["next"] = noted.get("sha256")
    return entry


def _give_back(path: str, kept: dict[str, Any]) -> str:
    before = None if kept["before"] is None else base64.b64decode(kept["before"])
    try:
        found = look(path)
    except FileRefused:
        return "kept"
    now = None if found.content is None else digest(found.content)
    if found.target != kept["target"] or now not in (kept["after"], None if before is None else digest(before)):
        return "kept"
    if before is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(found.target)
        action = "removed"
    else:
        mode = int(kept["mode"], 8)
        os.replace(stage(found.target, before, mode, kept["gid"], kept["uid"]), found.target)
        action = "restored"
    _sync(os.path.dirname(found.target))
    if kept["copy"]:
        with contextlib.suppress(OSError):
            os.unlink(kept["copy"])
    return action


def remove_folders(folders: Sequence[str]) -> None:
    """Remove folders that are empty, innermost first."""
    for folder in sorted(set(folders), key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def plan(files: Sequence[Wanted], record: Record, force: bool) -> tuple[list[Decision], list[str]]:
    """Decide about all wanted files of one user: the decisions, and every refusal there is."""
    decisions: list[Decision] = []
    refusals: list[str] = []
    try:
        files = merge(files)
    except FileRefused as exc:
        return [], [str(exc)]
    for wanted in files:
        try:
            for path in wanted.requires:
                if not os.path.isfile(path):
                    raise FileRefused(f"{wanted.path}: names {path}, which is not there.")
            for path in wanted.trusts:
                if not os.path.isfile(path):
                    raise FileRefused(f"{wanted.path}: names the CA {path}, which is not there.")
                problem = _pem.authorities(path)
                if isinstance(problem, str):
                    raise FileRefused(f"{wanted.path}: names the CA {path}, which {problem}.")
            found = look(wanted.path)
            decision = decide(wanted, found, record.files.get(wanted.path, {}), force)
            if decision.changed:
                writable(found)
                if wanted.secret:
                    ignored_by_git(found.target)
            decisions.append(decision)
        except FileRefused as exc:
            refusals.append(str(exc))
    return decisions, refusals


def plan_undo(
    record: Record, purpose: str, apps: Optional[Sequence[str]], force: bool
) -> tuple[list[Decision], list[str]]:
    """Decide about all files that the record names for a purpose: the decisions, and every refusal there is."""
    decisions: list[Decision] = []
    refusals: list[str] = []
    for path, entry in sorted(record.files.items()):
        if entry.get("purpose") != purpose:
            continue
        try:
            found = look(path)
            decision = undo(path, found, entry, apps, force)
            if decision.changed:
                writable(found)
            decisions.append(decision)
        except FileRefused as exc:
            refusals.append(str(exc))
    return decisions, refusals


class Transaction:
    """All decisions of one user as one step: staged beside their places, then put there, or nothing of it.

    With a `run`, what is replaced is kept for the apps named in `unconfirmed` until their change is confirmed.
    """

    def __init__(
        self, decisions: Sequence[Decision], record: Record, run: str = "", unconfirmed: Collection[str] = ()
    ) -> None:
        self.decisions, self.record = decisions, record
        self.run, self.unconfirmed = run, unconfirmed
        self._kept = record.generation.state()
        self.copies: dict[str, str] = {}
        self._saved = json.loads(json.dumps(record.files))
        self._staged: dict[str, str] = {}
        self._made: list[str] = []
        self._done: list[Decision] = []

    def stage(self) -> None:
        """Note in the record what is about to happen, then write everything beside its place. Raises OSError."""
        changing = [decision for decision in self.decisions if decision.changed]
        for decision in changing:
            if decision.after is not None:
                missing = missing_folders(os.path.dirname(decision.found.target))
                decision.entry["folders"] = sorted({*decision.entry.get("folders", []), *missing})
        self._note(done=False)
        for decision in changing:
            found = decision.found
            if decision.copy and found.content is not None:
                self.copies[decision.path] = copy = backup(found.target, found.content, found.mode)
                if decision.path not in self._saved:
                    decision.entry["copy"] = copy
            if decision.action == "mode" or decision.after is None:
                continue
            folder = os.path.dirname(found.target)
            self._made += make_folder(folder)
            sweep(folder, keep=set(self._staged.values()))
            uid = found.uid if found.uid != os.geteuid() else -1
            gid = decision.gid if decision.gid != -1 else found.gid if found.gid != os.getegid() else -1
            self._staged[decision.path] = stage(found.target, decision.after, decision.mode, gid, uid)
        if self.copies:
            self._note(done=False)
        self._keep(changing)

    def _keep(self, changing: Sequence[Decision]) -> None:
        """Keep what is about to be replaced, for the apps whose change waits to be confirmed."""
        state = self.record.generation.state()
        for decision in changing:
            found, after = decision.found, decision.after
            if decision.path not in state["files"] and not set(decision.apps) & set(self.unconfirmed):
                continue
            kept = state["files"].setdefault(
                decision.path,
                {
                    "before": None if found.content is None else base64.b64encode(found.content).decode("ascii"),
                    "target": found.target,
                    "mode": f"{found.mode:04o}",
                    "uid": found.uid if found.uid != os.geteuid() else -1,
                    "gid": found.gid,
                    "entry": self._saved.get(decision.path),
                    "copy": self.copies.get(decision.path),
                    "apps": [],
                },
            )
            kept["apps"] = sorted({*kept["apps"], *decision.apps})
            kept["after"] = None if after is None else digest(after)
            state["apps"].update({app: self.run for app in decision.apps if app in self.unconfirmed})
        # What a run that was killed left unconfirmed is this run's now.
        if self.run:
            state["apps"] = {app: self.run if app in self.unconfirmed else run for app, run in state["apps"].items()}
        self.record.generation.set(state)

    def _note(self, done: bool) -> None:
        before = self.record.text() if self.record.files else b""
        for decision in self.decisions:
            entry = json.loads(json.dumps(decision.entry))
            taken = decision.action in ("removed", "restored", "kept") or (
                decision.action == "ok" and not entry["keys"]
            )
            if taken and not done:
                continue
            if not entry["keys"]:
                self.record.files.pop(decision.path, None)
                continue
            if done:
                entry["keys"] = {key: noted for key, noted in entry["keys"].items() if not noted.pop("gone", False)}
                for noted in entry["keys"].values():
                    noted["sha256"] = noted.pop("next", noted.get("sha256"))
            self.record.files[decision.path] = entry
        if self.record.files and self.record.text() != before:
            self.record.save()

    def commit(self) -> None:
        """Put everything in its place, and note it. Raises OSError; `rollback` then gives back what was there."""
        folders = set()
        for decision in self.decisions:
            if not decision.changed:
                continue
            target = decision.found.target
            self._done.append(decision)
            try:
                if decision.path in self._staged:
                    os.replace(self._staged[decision.path], target)
                    del self._staged[decision.path]
                elif decision.after is None:
                    os.unlink(target)
                else:
                    os.chmod(target, decision.mode)
            except OSError as exc:
                self._done.pop()
                raise OSError(exc.errno, exc.strerror, decision.path) from None
            folders.add(os.path.dirname(target))
        for folder in folders:
            _sync(folder)

    def finish(self) -> None:
        """Note that everything is in its place, and take away what is no longer needed. Raises OSError."""
        gone = [decision for decision in self.decisions if not decision.entry["keys"]]
        for decision in gone:
            copy = decision.entry.get("copy")
            if copy and decision.action == "restored":
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(copy)
        self._note(done=True)
        remove_folders([folder for decision in gone for folder in decision.entry.get("folders", [])])

    def rollback(self) -> None:
        """Give back what was there; what cannot be is left and named by the error that caused this."""
        for temporary in self._staged.values():
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        for decision in reversed(self._done):
            found = decision.found
            with contextlib.suppress(OSError):
                if found.content is None:
                    os.unlink(found.target)
                else:
                    write(found.target, found.content, found.mode, found.gid)
        for copy in self.copies.values():
            with contextlib.suppress(OSError):
                os.unlink(copy)
        with contextlib.suppress(OSError):
            self.record.generation.set(self._kept)
        self.record.files = self._saved
        if self.record.files:
            with contextlib.suppress(OSError):
                self.record.save()
        remove_folders(self._made)
