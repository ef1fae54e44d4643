# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts for tests: each an sshd of its own with a root file system, users and processes of its own; as root on Linux.

A host is this machine's file system with a layer above it that is gone with the host, in namespaces of its own, and in
this machine's network. It costs 0.1 s and no image, and is reached by real ssh.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import new_state
from tests.ports import held_port

# The mounts are private: nothing of a host is seen outside, and its end takes everything with it.
START = """
set -e
folder=$1 port=$2 key=$3
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount --rbind /dev dev
for place in root home srv run tmp; do mount -t tmpfs -o mode=755 tmpfs $place; done
chmod 1777 tmp
mkdir -p run/sshd etc/systemd/system
rm -rf var/lib/crdb-onboard
mkdir -m 700 root/.ssh
printf '%s\\n' "$key" >root/.ssh/authorized_keys
for app in shop:/home/shop reports:/nonexistent; do
    name=${app%%:*} home=${app#*:}
    id=$((4200 + ${#name}))
    echo "$name:x:$id:$id::$home:/usr/sbin/nologin" >>etc/passwd
    echo "$name:x:$id:" >>etc/group
    mkdir -p srv/$name
    chown $id:$id srv/$name
done
mkdir home/shop
chown 4204:4204 home/shop
exec chroot . /usr/sbin/sshd -D -e -p "$port" -o ListenAddress=127.0.0.1 -o UsePAM=no -o MaxStartups=100 \\
    -o PidFile=none -o PermitRootLogin=yes -o StrictModes=no -o AuthorizedKeysFile=.ssh/authorized_keys
"""
WAIT_SECONDS = 30


@dataclass
class Host:
    """A running host; `process` is what started it, outside of its namespaces."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def root(self) -> Path:
        """Its root folder, as seen from outside."""
        pid = self.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return Path(f"/proc/{child}/root")

    def path(self, name: str) -> Path:
        """A file of the host, by its absolute path there."""
        return self.root / name.lstrip("/")


class Fleet:
    """Hosts app1, app2 and so on, and what a controller needs to reach them as root."""

    def __init__(self, number: int) -> None:
        self.folder = new_state()
        self.hosts: dict[str, Host] = {}
        self._ports = contextlib.ExitStack()
        self.key = self.folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        try:
            for count in range(1, number + 1):
                self._start(f"app{count}")
            for host in self.hosts.values():
                self._wait(host)
        except BaseException:
            self.stop()
            raise

    def _start(self, name: str) -> None:
        (self.folder / name).mkdir()
        port = self._ports.enter_context(held_port())
        # It ends with what started it, however that ends.
        words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        words += ["--propagation", "private", "sh", "-c", START]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*words, "sh", self.folder / name, str(port), self.key.with_suffix(".pub").read_text().strip()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.hosts[name] = Host(name, port, process)

    def _wait(self, host: Host) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while host.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", host.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{host.name}: {(self.folder / f'{host.name}.log').read_text()}")

    def inventory(self, **variables: Any) -> Path:
        """An inventory of all hosts, as a file; `variables` hold for all of them."""
        arguments = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        common = {
            "ansible_host": "127.0.0.1",
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": arguments,
            "ansible_python_interpreter": "/usr/bin/python3",
            **variables,
        }
        hosts = {name: {"ansible_port": host.port} for name, host in self.hosts.items()}
        path = self.folder / "inventory.yml"
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
        path.chmod(0o600)
        return path

    @property
    def environment(self) -> dict[str, str]:
        """What Ansible's environment needs: sockets in a short path."""
        return {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp")}

    def stop(self) -> None:
        """End all hosts, and the connections to them."""
        for host in self.hosts.values():
            host.process.send_signal(signal.SIGKILL)
        for host in self.hosts.values():
            host.process.wait()
        self._ports.close()
        shutil.rmtree(self.folder)


def possible() -> bool:
    """Whether this machine can make hosts."""
    return os.geteuid() == 0 and shutil.which("unshare") is not None and Path("/usr/sbin/sshd").exists()
