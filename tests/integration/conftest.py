# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks run as a person runs them: the command, a scratch home, nothing of this process's settings."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport.call import TRANSPORT

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Run:
    """What a command printed, and how it ended."""

    status: int
    output: str

    def recap(self, host: str = "localhost") -> dict[str, int]:
        """The counters of a host in the play recap."""
        line = next(line for line in self.output.splitlines() if line.startswith(f"{host} ") and "changed=" in line)
        return {name: int(count) for name, count in (pair.split("=") for pair in line.split(":")[1].split())}


@dataclass
class Controller:
    """Ansible's commands with a home folder of their own, from the checkout or an installed collection."""

    home: Path
    bin: Path = BIN
    cwd: Path = CHECKOUT
    config: Path = CHECKOUT / "ansible.cfg"
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *words: Any, **extra: str) -> Run:
        """Run one of Ansible's commands; `extra` are environment variables."""
        done = subprocess.run(
            [self.bin / words[0], *map(str, words[1:])],
            cwd=self.cwd, env=self._environment(extra), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        return Run(done.returncode, done.stdout)

    def playbook(self, name: str, variables: dict[str, Any] | None = None, *words: Any, **extra: str) -> Run:
        """Run a playbook of the checkout, or one by its full name; the variables go through a file."""
        playbook = f"playbooks/{name}.yml" if "." not in name else name
        path = self.home / "variables.json"
        path.write_text(json.dumps(variables or {}))
        path.chmod(0o600)
        try:
            return self.run("ansible-playbook", playbook, "-e", f"@{path}", *words, **extra)
        finally:
            path.unlink()

    def terminal(self, words: Sequence[Any]) -> Terminal:
        """Start one of Ansible's commands at a pseudo-terminal."""
        return Terminal([self.bin / words[0], *words[1:]], self.cwd, self._environment({}))

    def _environment(self, extra: dict[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "ANSIBLE_CONFIG": str(self.config),
            # `CRDB_ONBOARD_TRANSPORT=ansible pytest tests/integration` runs all tests with Ansible's own call.
            **{name: os.environ[name] for name in (TRANSPORT,) if name in os.environ},
            **self.environment,
            **extra,
        }


class Terminal:
    """A command at a pseudo-terminal, as a person sits before it."""

    def __init__(self, words: Sequence[Any], cwd: Path, environment: dict[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execve(words[0], [str(word) for word in words], environment)  # noqa: S606 - as a person types it
        self.screen = ""

    def until(self, text: str, seconds: float = 120) -> None:
        """Read until the text is on the screen."""
        end = time.monotonic() + seconds
        while text not in self.screen:
            ready = select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]
            try:
                data = os.read(self.fd, 65536) if ready else b""
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"{text!r} did not come: {self.screen}")
            self.screen += data.decode(errors="replace")

    def type(self, line: str) -> None:
        """Type a line, as late as a person does: what comes before the echo is off is thrown away."""
        time.sleep(0.5)
        os.write(self.fd, line.encode() + b"\r")

    def end(self) -> int:
        """Wait for the end, and return the exit status."""
        try:
            while data := os.read(self.fd, 65536):
                self.screen += data.decode(errors="replace")
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def environment_values(text: str) -> dict[str, str]:
    """The variables of an environment file as it is written: one in double quotes on each line."""
    pairs = (line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value.removeprefix('"').removesuffix('"') for name, value in pairs}


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but Ansible's own, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".ansible" not in path.relative_to(folder).parts
    }


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    """Ansible with an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    return Controller(home)


@pytest.fixture(scope="session")
def drivers() -> dict[str, Any]:
    """The variables that let the probes run, once the drivers are installed (kept in build/drivers)."""
    folder = CHECKOUT / "build" / "drivers"
    folder.mkdir(parents=True, exist_ok=True)
    for language in ("python", "javascript"):
        done = subprocess.run(
            [CHECKOUT / "scripts" / "install-drivers", language, folder], capture_output=True, text=True, check=True
        )
        found = done.stdout.strip()
        assert found in ("installed", "present"), f"{found}: make system-deps installs it"
    return {
        "crdb_check_drivers": True,
        "crdb_check_interpreters": {"python": str(folder / "python" / "bin" / "python"), "node": "node"},
        "crdb_check_environment": {"NODE_PATH": str(folder / "javascript" / "node_modules")},
    }
