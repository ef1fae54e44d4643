# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A child process that gets the signals of this one, so that this one can clean up after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType


class Child:
    """From now on this process survives the signals that end a command, and passes them on."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._received = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup ignores SIGHUP.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def run(self, command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> int:
        """Run a command to its end; its exit status, or 128 and the number of the signal that ended it."""
        if not self._received:
            self._process = subprocess.Popen(command, env=dict(environment), cwd=folder)  # noqa: S603 - our own words
            if self._received:
                self._process.send_signal(self._received)
            status = self._process.wait()
            return status if status >= 0 else 128 - status
        return 128 + self._received

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # A terminal sends Ctrl-C to the child as well, and a second one would end its own cleaning up.
        if self._process and not (number == signal.SIGINT and _in_foreground()):
            self._process.send_signal(number)
        self._received = number


def _in_foreground() -> bool:
    """Whether this process group is the one that the terminal sends its signals to."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno() if sys.__stdin__ else 0) == os.getpgrp()
    except OSError:
        return False
