# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection to no host at all: it takes as long as a real one was measured to, and gives a recorded answer."""

from __future__ import annotations

DOCUMENTATION = """
name: simulated
short_description: Take as long as a measured host, and give a recorded answer
description:
  - Every command takes the processor time and the waiting time that the file says, the first one of a host those of a
    new connection too. Commands that get a program on their standard input are answered with the file's C(answer).
author: crdb.onboard authors
options:
  file:
    description:
      - A JSON file with C(connect) and C(call), each of C(cpu) and C(wait) in seconds, and C(answer), a module's
        result.
    env:
      - name: CRDB_BENCH_SIMULATED
    required: true
  seen:
    description: A folder in which a host that was connected to leaves a file.
    env:
      - name: CRDB_BENCH_SEEN
    required: true
extends_documentation_fragment:
  - connection_pipelining
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase
from ansible_collections.crdb.onboard.plugins.module_utils._program.frame import ANSWER


def spend(cost: dict[str, float]) -> None:
    """Use the processor for `cpu` seconds of this process's time, then wait."""
    end = time.process_time() + cost["cpu"]
    while time.process_time() < end:
        pass
    time.sleep(cost["wait"])


class Connection(ConnectionBase):  # type: ignore[misc]
    """See DOCUMENTATION."""

    transport = "simulated"
    has_pipelining = True

    def _connect(self) -> Connection:
        if not self._connected:
            self._told: dict[str, Any] = json.loads(Path(self.get_option("file")).read_text(encoding="utf-8"))
            self._connected = True
            try:
                Path(self.get_option("seen"), self._play_context.remote_addr).touch(exist_ok=False)
            except FileExistsError:
                return self
            spend(self._told["connect"])
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """The exit status, standard output and standard error of a command that nobody ran."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        spend(self._told["call"])
        answer = f"{ANSWER}{json.dumps(self._told['answer'])}" if in_data else "/root"
        return 0, answer.encode("utf-8") + b"\n", b""

    def put_file(self, in_path: str, out_path: str) -> None:
        """Refuse: what is measured here sends no files."""
        raise AnsibleError(f"a simulated host takes no file: {in_path}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Refuse: what is measured here fetches no files."""
        raise AnsibleError(f"a simulated host has no file: {in_path}")

    def close(self) -> None:
        """Forget the connection."""
        self._connected = False
