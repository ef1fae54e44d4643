# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A skeleton: a small real project that the collection's files and the printed line are put into."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import Sandbox
from tests.integration.conftest import CHECKOUT, Controller, Run, files_below

RESULTS = CHECKOUT / "build" / "skeletons.json"
"""What each project's commands did in the last runs, for the table of docs/frameworks.md."""


@dataclass
class Skeleton:
    """A project in a folder.

    Args:
        name: of the layout, such as `Django startproject`; a row of the table in the documentation.
        framework: a name or an entry of `frameworks`, as an inventory has it.
        folder: where the project is.
        controller: runs the playbooks.
        sandbox: has the cluster that the project connects to.
        environment: variables of all commands, such as PATH with a virtual environment.
    """

    name: str
    framework: str | Mapping[str, Any]
    folder: Path
    controller: Controller
    sandbox: Sandbox
    environment: dict[str, str] = field(default_factory=dict)
    cluster: str = "funky_skunk"
    before: dict[str, bytes] = field(default_factory=dict)

    def variables(self, **app: Any) -> dict[str, Any]:
        """The inventory of one connection and one app."""
        entry = {"name": "shop", "folder": str(self.folder), "frameworks": [self.framework], **app}
        return {"crdb_connections": {"shop": self.sandbox.connections[self.cluster]}, "crdb_apps": [entry]}

    def onboard(self, status: int = 0, **app: Any) -> Run:
        """Let the collection write the app's files, which are proved first; what was there before is remembered."""
        if not self.before:
            self.before = files_below(self.folder)
        run = self.controller.playbook("dev_machine", self.variables(**app))
        assert run.status == status, run.output
        return run

    def offboard(self) -> None:
        """Take everything away again: every file is as it was before, byte for byte, and none is left."""
        run = self.controller.playbook("offboard", {**self.variables(), "crdb_hosts": "localhost"})
        assert run.status == 0, run.output
        after = files_below(self.folder)
        changed = {name for name in {*after, *self.before} if after.get(name) != self.before.get(name)}
        assert not changed, f"not as before: {sorted(changed)}"

    def usage(self, run: Run) -> str:
        """The part of a run's output that tells how files are used, without the line breaks of the display."""
        return " ".join(run.output.split())

    def command(
        self, title: str, argv: Sequence[str], cwd: str = ".", status: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the project's own commands, and note how it ended for the documentation."""
        done = subprocess.run(
            list(argv), cwd=self.folder / cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=600,
            env={**os.environ, "HOME": str(self.controller.home), **self.environment, **environment},
        )  # fmt: skip
        note(self.name, title, done.returncode == status)
        assert done.returncode == status, f"{' '.join(argv)}\n{done.stdout}"
        return done


def note(skeleton: str, command: str, passed: bool) -> None:
    """Keep how a command of a skeleton ended. Several test processes do so at the same time."""
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        found = json.loads(stream.read() or "{}")
        found.setdefault(skeleton, {})[command] = passed
        stream.truncate(0)
        stream.write(json.dumps(found, indent=1))
