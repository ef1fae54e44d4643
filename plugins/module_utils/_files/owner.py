# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work with a user's own ids, so that root never follows a path that the user controls.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import json
import os
import pwd
import select
import signal
import stat
import sys
import time
from typing import Any, Callable, ClassVar, NoReturn

# The folder of the record: in the user's home, or by the user's name when the user has no home of its own.
HOME_STATE = ".local/state/crdb-onboard"
SYSTEM_STATE = "/var/lib/crdb-onboard"
# Seconds that one step of another user's process may take: longer than the wait for the lock of a record.
STEP_SECONDS = 120.0
_MAX_ANSWER = 256 * 1024 * 1024

# Modules that Python imports on first use: imported early, since the user may not be able to read this interpreter.
_LOADED_LATE = ("_strptime", "encodings.ascii", "encodings.idna", "encodings.utf_8_sig", "ssl")


class UnknownOwnerError(Exception):
    """The user does not exist, or this process may not take its ids; the message says what to do."""


class Owner:
    """A user of this host, by name; an empty name is the user that this process runs as. Raises UnknownOwnerError."""

    def __init__(self, user: str) -> None:
        try:
            entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
        except KeyError:
            raise UnknownOwnerError(f"There is no user {user or os.geteuid()!r} on this host.") from None
        self.user, self.uid, self.gid, self.home = entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir
        if self.foreign and os.geteuid() != 0:
            raise UnknownOwnerError(f"The files of {user} need that user's rights: run as root (become) or as {user}.")
        if not self.foreign:
            self.home = os.environ.get("HOME") or self.home

    @property
    def has_home(self) -> bool:
        """Whether the home exists and is the user's own: www-data's is often root's /var/www, daemon's /usr/sbin."""
        try:
            status = os.stat(self.home)
        except OSError:
            return False
        own = status.st_uid == self.uid or (not self.foreign and os.access(self.home, os.W_OK))
        return stat.S_ISDIR(status.st_mode) and own

    @property
    def state(self) -> str:
        """The folder of the record."""
        if self.has_home:
            return os.path.join(self.home, HOME_STATE)
        return os.path.join(SYSTEM_STATE, self.user)

    def prepare(self) -> None:
        """Create the folder of the record, as root, for a user without a home of its own. Raises OSError."""
        if self.foreign and not self.has_home:
            from ansible_collections.crdb.onboard.plugins.module_utils._files import replace, tree

            replace.make_folder(SYSTEM_STATE)
            replace.make_folder(self.state, 0o700)
            with tree.opened(SYSTEM_STATE) as folder:
                os.chown(self.user, self.uid, self.gid, dir_fd=folder, follow_symlinks=False)

    def tidy(self) -> None:
        """Remove the folder that `prepare` created, if it is empty."""
        if self.foreign and not self.has_home:
            with contextlib.suppress(OSError):
                os.rmdir(self.state)
                os.rmdir(SYSTEM_STATE)

    @property
    def foreign(self) -> bool:
        """Whether the user is not the one that this process runs as."""
        return self.uid != os.geteuid()

    def become(self) -> None:
        """Take the ids of the user permanently: call it only in a child process."""
        os.umask(0o077)
        os.initgroups(self.user, self.gid)
        os.setgid(self.gid)
        os.setuid(self.uid)
        os.environ["HOME"] = self.home

    def does(self, worker: Any, seconds: float = STEP_SECONDS) -> Any:
        """The worker with its methods run with this user's ids; arguments and results are JSON, `close` ends it.

        A method that takes longer than so many seconds raises OSError, and its process is killed.
        """
        return Child(self, worker, seconds) if self.foreign else worker


class Child:
    """A worker in a child process with a user's ids. Each call is one line of JSON, answered within a deadline.

    A child ends when this process does, so that its locks do not outlive the run.
    """

    # This process's ends of the pipes of all its children: a later child closes its copies, or an earlier one would
    # never see the end of its pipe.
    _ends: ClassVar[set[int]] = set()

    def __init__(self, owner: Owner, worker: Any, seconds: float) -> None:
        self._owner, self._worker, self._seconds = owner, worker, seconds
        for name in _LOADED_LATE:
            importlib.import_module(name)
        to_child, self._out = os.pipe()
        self._in, to_parent = os.pipe()
        self._ends.update((self._out, self._in))
        self._pid = os.fork()
        if self._pid == 0:
            for end in self._ends:
                os.close(end)
            self._serve(to_child, to_parent)
        os.close(to_child)
        os.close(to_parent)
        os.set_blocking(self._out, False)
        self._received = b""

    def _serve(self, requests: int, answers: int) -> NoReturn:
        code = 1
        try:
            self._owner.become()
            with os.fdopen(requests, encoding="utf-8") as lines, os.fdopen(answers, "w", encoding="utf-8") as out:
                for line in lines:
                    step, arguments = json.loads(line)
                    try:
                        answer = {"result": getattr(self._worker, step)(*arguments)}
                    except OSError as exc:
                        answer = {"error": [exc.errno, exc.strerror, exc.filename]}
                    out.write(json.dumps(answer) + "\n")
                    out.flush()
                    if step == "close":
                        break
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)

    def _ask(self, step: str, *arguments: Any) -> Any:
        if self._pid == -1:
            raise self._ended()
        end = time.monotonic() + self._seconds
        data = (json.dumps([step, arguments]) + "\n").encode("utf-8")
        try:
            while data:
                self._wait([], [self._out], end)
                data = data[os.write(self._out, data) :]
            line = self._line(end)
            answer = json.loads(line)
        except (BrokenPipeError, ValueError):
            self._kill()
            raise self._ended() from None
        if "error" in answer:
            raise OSError(*answer["error"])
        return answer["result"]

    def _line(self, end: float) -> bytes:
        while b"\n" not in self._received:
            self._wait([self._in], [], end)
            block = os.read(self._in, 1 << 16)
            if not block or len(self._received) > _MAX_ANSWER:
                raise BrokenPipeError
            self._received += block
        line, _end, self._received = self._received.partition(b"\n")
        return line

    def _wait(self, readable: list[int], writable: list[int], end: float) -> None:
        if not any(select.select(readable, writable, [], max(0.0, end - time.monotonic()))):
            self._kill()
            text = f"the process with the rights of {self._owner.user} did not answer within {self._seconds:g} s"
            raise OSError(errno.ETIMEDOUT, text, "")

    def _ended(self) -> OSError:
        return OSError(0, f"the process with the rights of {self._owner.user} ended early", "")

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._forget()

    def _forget(self) -> None:
        for handle in (self._out, self._in):
            os.close(handle)
            self._ends.discard(handle)
        # A process that waits for a dead file server cannot even be killed: it is not waited for.
        end = time.monotonic() + 1.0
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0 and time.monotonic() < end:
            time.sleep(0.01)
        self._pid = -1

    def __getattr__(self, step: str) -> Callable[..., Any]:
        return functools.partial(self._ask, step)

    def close(self) -> None:
        """Close the worker, and end the child."""
        with contextlib.suppress(OSError):
            self._ask("close")
        if self._pid != -1:
            self._forget()
