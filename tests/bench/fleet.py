# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts to measure against: each an sshd of this machine with folders and processes of its own.

A host is a mount and a process namespace: it runs this machine's programs (Debian's sshd and Python), but `/root`,
`/srv`, `/tmp` and `/run` are its own. All die with the process that made them, whatever way that ends.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SSHD = "/usr/sbin/sshd"
PYTHON = "/usr/bin/python3"
OWN = ("root", "srv", "tmp", "run")
_TOOLS = (SSHD, PYTHON, "ssh", "ssh-keygen", "unshare", "setpriv", "psql", "xargs", "tar")
_TICKS = os.sysconf("SC_CLK_TCK")
_SSHD_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile .ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
MaxStartups 100
PidFile none
LogLevel VERBOSE
"""
_SSH_CONFIG = """\
Host {name}
  HostName 127.0.0.1
  Port {port}
  HostKeyAlias bench
"""
_SSH_COMMON = """\
Host bench-*
  User root
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
"""
_SETTLE = 60
_SESSION = "Starting session: "


def missing() -> list[str]:
    """What this machine lacks to make hosts, in words."""
    lacks = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return lacks if os.geteuid() == 0 else [*lacks, "root's rights (mount namespaces)"]


def _free_port(start: int) -> int:
    for port in range(start, start + 500):
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {start} on")


class Host:
    """One running host."""

    def __init__(self, name: str, port: int, folder: Path) -> None:
        self.name, self.port, self.folder = name, port, folder
        (folder / "sshd_config").write_text(_SSHD_CONFIG.format(port=port, folder=folder.parent))
        for own in OWN:
            (folder / own).mkdir(mode=0o700 if own == "root" else 0o755)
        (folder / "run" / "sshd").mkdir()
        ssh = folder / "root" / ".ssh"
        ssh.mkdir(mode=0o700)
        shutil.copy(folder.parent / "key.pub", ssh / "authorized_keys")
        binds = "".join(f"mount --bind {folder}/{own} /{own}; " for own in OWN)
        script = f"{binds} exec {SSHD} -D -E {folder}/log -f {folder}/sshd_config"
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child=KILL", "sh", "-ec", script),
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def wait_until_up(self, deadline: float) -> None:
        """Return once sshd listens. Raises TimeoutError."""
        while "Server listening" not in self._log():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError(f"{self.name}: sshd does not listen: {self._log()[-500:]}")
            time.sleep(0.02)

    def _processes(self) -> list[str]:
        """The ids of the host's sshd, and of what runs below it."""
        first = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0]
        return [first, *Path(f"/proc/{first}/task/{first}/children").read_text().split()]

    def is_idle(self) -> bool:
        """Whether nobody is connected."""
        return len(self._processes()) == 1

    def stop(self) -> None:
        """End everything that runs on the host."""
        self._process.kill()
        self._process.wait()

    def _log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def sessions(self) -> int:
        """How many commands came by ssh since the host is up."""
        return self._log().count(_SESSION)

    def cpu_seconds(self) -> float:
        """Processor time of the host's sshd and of all that ended below it: of everything, while it is idle."""
        fields = Path(f"/proc/{self._processes()[0]}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    def empty(self, *folders: str) -> None:
        """Take away what lies in these folders of the host, such as ``srv``."""
        for folder in folders:
            for path in (self.folder / folder).iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def tree(self, folder: str) -> dict[str, str]:
        """The files below a folder of the host, by name: mode and SHA-256."""
        top = self.folder / folder
        files = [path for path in sorted(top.rglob("*")) if path.is_file()]
        return {
            str(path.relative_to(top)): f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in files
        }


class Fleet:
    """All hosts, the ssh configuration that names them, and the folder it lies in."""

    def __init__(self, folder: Path, hosts: list[Host]) -> None:
        self.folder, self.hosts = folder, hosts
        self.ssh_config = folder / "ssh_config"

    def names(self, count: int) -> list[str]:
        """The names of the first `count` hosts."""
        return [host.name for host in self.hosts[:count]]

    def settle(self) -> None:
        """Wait until nobody is connected to any host. Raises TimeoutError."""
        deadline = time.monotonic() + _SETTLE
        while not all(host.is_idle() for host in self.hosts):
            if time.monotonic() > deadline:
                raise TimeoutError(f"somebody is still connected to a host after {_SETTLE} s")
            time.sleep(0.02)

    def cpu_seconds(self, count: int) -> float:
        """Processor time that the first `count` hosts used."""
        return sum(host.cpu_seconds() for host in self.hosts[:count])

    def sessions(self, count: int) -> int:
        """Commands that came to the first `count` hosts by ssh."""
        return sum(host.sessions() for host in self.hosts[:count])

    def key_exchange(self) -> str:
        """The key exchange that ssh and sshd agree on by their defaults."""
        done = subprocess.run(
            ["ssh", "-v", "-F", self.ssh_config, "-o", "LogLevel=DEBUG1", self.hosts[0].name, "true"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return next(line.split()[-1] for line in done.stderr.splitlines() if "kex: algorithm:" in line)


@contextmanager
def fleet(count: int, start_port: int = 22600) -> Iterator[Fleet]:
    """`count` running hosts, gone afterwards. Raises TimeoutError when one does not come up."""
    folder = Path(tempfile.mkdtemp(prefix="crdb-bench-", dir="/var/tmp"))
    hosts: list[Host] = []
    try:
        for name in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "known_hosts").write_text("bench " + (folder / "host_key.pub").read_text())
        config, port = [], start_port
        for number in range(1, count + 1):
            port = _free_port(port)
            name = f"bench-{number:02}"
            place = folder / name
            place.mkdir(mode=0o755)
            hosts.append(Host(name, port, place))
            config.append(_SSH_CONFIG.format(name=name, port=port))
            port += 1
        (folder / "ssh_config").write_text("".join(config) + _SSH_COMMON.format(folder=folder))
        deadline = time.monotonic() + 60
        for host in hosts:
            host.wait_until_up(deadline)
        yield Fleet(folder, hosts)
    finally:
        for host in hosts:
            host.stop()
        shutil.rmtree(folder)
