# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client's programs at work: run an unpacked one for its version, and find nodes that run.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError

NODE_COMMANDS = ("start", "start-single-node", "demo")

_PROC = "/proc"
_VERSION_TIMEOUT = 60
_BUILD_TAG = re.compile(r"^\s*Build Tag:\s*(\S+)", re.MULTILINE)


def verify_version(program: str, product: str, version: str, home: str) -> None:
    """Run a program from where it was unpacked. Raises ClientError unless it reports `version`."""
    # cockroach-sql has no subcommand for its version.
    command = [program, "version" if product == "cockroach" else "--version"]
    environment = {"PATH": os.defpath, "HOME": home, "LANG": "C", "LC_ALL": "C"}
    failure = f"{product} {version} does not run on this machine"
    try:
        process = subprocess.run(  # noqa: S603 - the client that was just verified and installed
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, cwd=home, timeout=_VERSION_TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ClientError(f"{failure}: it did not answer within {_VERSION_TIMEOUT} s.") from None
    except OSError as exc:
        raise ClientError(f"{failure}: {exc.strerror}.") from None
    output = process.stdout.decode("utf-8", "replace")
    if process.returncode != 0:
        raise ClientError(f"{failure}: exit code {process.returncode}: {' '.join(output.split())[-300:]}")
    match = _BUILD_TAG.search(output)
    if match is None or match.group(1) != version:
        reported = match.group(1) if match else repr(output[:100])
        raise ClientError(f"{product}: expected the archive's program to report {version}, but it reports {reported}.")


def _processes() -> Iterator[tuple[str, list[str], str]]:
    """Yield this machine's processes: number, words of the command line, executable (empty where it is unknown)."""
    if os.path.isdir(_PROC):
        for pid in filter(str.isdigit, os.listdir(_PROC)):
            executable = ""
            try:
                with open(os.path.join(_PROC, pid, "cmdline"), "rb") as stream:
                    words = [os.fsdecode(word) for word in stream.read().split(b"\0")[:-1]]
                executable = os.readlink(os.path.join(_PROC, pid, "exe")).replace(" (deleted)", "")
            except FileNotFoundError:
                continue
            except OSError:
                pass
            yield pid, words, executable
        return
    # One option a column: macOS's ps takes everything after the first equals sign as a column's title.
    command = ["ps", "-axww", "-o", "pid=", "-o", "command="]
    try:
        process = subprocess.run(  # noqa: S603 - a list of arguments that is written here
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:
        return
    for line in process.stdout.decode("utf-8", "replace").splitlines():
        pid, _space, text = line.strip().partition(" ")
        yield pid, text.split(), ""


def running_nodes(link: str, base: str = "") -> list[str]:
    """Return the process numbers of nodes (or demos) that run the program at `link`, or any version below `base`."""
    pids = []
    for pid, words, executable in _processes():
        # Flags may come before the command, and any of them may take the next word as its value.
        heads = words[1:] if len(words) > 1 and words[1].startswith("-") else words[1:2]
        if not words or os.path.basename(words[0]) != os.path.basename(link) or not set(heads) & set(NODE_COMMANDS):
            continue
        # A process with a bare name and an unreadable executable may be this program.
        real = os.path.realpath(executable or (words[0] if os.path.isabs(words[0]) else link))
        if real == os.path.realpath(link) or (base and real.startswith(os.path.realpath(base) + os.sep)):
            pids.append(pid)
    return pids
