# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: ``up``, ``status``, ``down`` and ``token``. The output never contains a password."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from sandbox import daemon, engine, shims, tokens
from sandbox.clusters import CLUSTERS, DEFAULT_PORT
from sandbox.errors import AlreadyRunningError, SandboxError
from sandbox.state import CHECKOUT, LINK, State, default_folder

NOT_RUNNING = 3
"""Exit status of ``status`` if the sandbox does not run, as for service scripts."""

_START_LIMIT = 60.0
_STOP_LIMIT = 40.0
_KILL_LIMIT = 10.0
_POLL = 0.02
_READY = "ready"
_BUSY = "busy"
_FAILED = "failed "
_MAX_BASE_PORT = 65526


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command.

    Args:
        arguments: default: those of the process.

    Returns:
        The exit status: 0 for success, 1 after an error message, 3 if ``status`` finds that the sandbox does not run.
    """
    parsed = _parser().parse_args(arguments)
    try:
        state = State(parsed.state or default_folder())
        if parsed.command == "up":
            return _up(state, parsed)
        if parsed.command == "status":
            return _status(state, as_json=parsed.json)
        if parsed.command == "down":
            return _down(state, remove=parsed.remove)
        if parsed.command == "token":
            return _token(state, parsed)
        return _serve(state, parsed)
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Local stand-in for CockroachDB Cloud.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|status|down|token")
    up = commands.add_parser("up", help="start the sandbox; does nothing if it is running")
    status = commands.add_parser("status", help="show whether the sandbox is running, and where")
    down = commands.add_parser("down", help="stop the sandbox; data, passwords and ports are kept for the next start")
    down.add_argument("--remove", action="store_true", help="also remove the folder with its data, passwords and ports")
    token = commands.add_parser("token", help="print a JSON Web Token, to log in to a cluster without a password")
    token.add_argument("cluster", choices=[cluster.name for cluster in CLUSTERS])
    token.add_argument("--user", help="the SQL user (default: the cluster's own)")
    token.add_argument("--audience", help="(default: the name of the cluster, which it accepts)")
    token.add_argument(
        "--lifetime",
        type=int,
        default=tokens.LIFETIME,
        metavar="SECONDS",
        help="end after this time; a negative one has ended already (default: 1 hour)",
    )
    serve = commands.add_parser("serve")
    for command in (up, status, down, token, serve):
        command.add_argument(
            "--state", type=Path, metavar="DIR", help=f"folder of all its files (default: {default_folder()})"
        )
    for command in (up, serve):
        command.add_argument(
            "--port",
            type=_base_port,
            metavar="BASE",
            help="first of thirteen ports; 0 for free ones (default: the ports of the previous run, or"
            f" {DEFAULT_PORT} and following if they are free)",
        )
        command.add_argument(
            "--engine",
            choices=("auto", "system", "embedded"),
            default="auto",
            help="which PostgreSQL to run: the system's or the Python package's (default: the system's if installed)",
        )
        command.add_argument(
            "--lifetime",
            type=float,
            default=daemon.LIFETIME,
            metavar="SECONDS",
            help="stop automatically after this time (default: 8 hours)",
        )
        command.add_argument(
            "--throttle",
            type=float,
            default=daemon.THROTTLE,
            metavar="SECONDS",
            help="refuse an address this long after a wrong password, doubling each time; 0 for never (default: 1)",
        )
        command.add_argument(
            "--cockroach",
            choices=tuple(shims.RELEASES),
            default=shims.NEWEST,
            help=f"the release of CockroachDB whose answers the clusters give (default: {shims.NEWEST})",
        )
    status.add_argument("--json", action="store_true", help="print JSON")
    serve.add_argument("--progress-fd", type=int, required=True)
    return parser


def _base_port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _MAX_BASE_PORT:
        raise argparse.ArgumentTypeError(f"{port} is not between 0 and {_MAX_BASE_PORT}")
    return port


def _up(state: State, parsed: argparse.Namespace) -> int:
    state.prepare()
    if state.holder() is not None:
        print("sandbox: already running; options take effect only at the start")
        description = _wait_until_ready(state)
    else:
        description = _start(state, parsed)
    if parsed.state is None:
        _link(state)
    _print_summary(description, default_state=parsed.state is None)
    return 0


def _start(state: State, parsed: argparse.Namespace) -> dict[str, Any]:
    reading, writing = os.pipe()
    words = [sys.executable, "-m", "sandbox", "serve", "--state", str(state.folder), "--progress-fd", str(writing)]
    words += ["--engine", parsed.engine, "--lifetime", str(parsed.lifetime), "--throttle", str(parsed.throttle)]
    words += ["--cockroach", parsed.cockroach]
    if parsed.port is not None:
        words += ["--port", str(parsed.port)]
    with state.log.open("ab") as log:
        state.log.chmod(0o600)
        process = subprocess.Popen(  # noqa: S603 - this program
            words,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    with os.fdopen(reading) as progress:
        for line in progress:
            text = line.rstrip("\n")
            if text in (_READY, _BUSY):
                return _wait_until_ready(state)
            if text.startswith(_FAILED):
                process.wait()
                raise SandboxError(json.loads(text[len(_FAILED) :]))
            print(f"sandbox: {text}", flush=True)
    raise SandboxError(f"the sandbox ended before it was ready; see {state.log}")


def _serve(state: State, parsed: argparse.Namespace) -> int:
    with os.fdopen(parsed.progress_fd, "w") as progress:

        def report(line: str) -> None:
            # The parent process may have ended.
            with contextlib.suppress(BrokenPipeError, ValueError):
                print(line, file=progress, flush=True)

        def ready() -> None:
            report(_READY)
            progress.close()

        try:
            options = daemon.Options(
                state, parsed.port, parsed.engine, parsed.lifetime, parsed.throttle, parsed.cockroach
            )
            daemon.serve(options, report, ready)
        except AlreadyRunningError:
            report(_BUSY)
            return 1
        except SandboxError as error:
            report(_FAILED + json.dumps(str(error)))
            raise
    return 0


def _wait_until_ready(state: State) -> dict[str, Any]:
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline:
        description = state.running()
        if description is not None:
            return description
        if state.holder() is None:
            raise SandboxError(f"the sandbox ended before it was ready; see {state.log}")
        time.sleep(_POLL)
    raise SandboxError(f"the sandbox is not ready after {_START_LIMIT:.0f} s; see {state.log}")


def _token(state: State, parsed: argparse.Namespace) -> int:
    if not state.folder.exists():
        raise SandboxError("there is no sandbox yet: run python -m sandbox up")
    state.verify()
    cluster = next(cluster for cluster in CLUSTERS if cluster.name == parsed.cluster)
    claims = tokens.claims_for(parsed.user or cluster.user, parsed.audience or cluster.name, parsed.lifetime)
    print(tokens.mint(state.issuer_key(), claims))
    return 0


def _status(state: State, *, as_json: bool) -> int:
    description = state.running() if state.folder.exists() else None
    if as_json:
        print(json.dumps({"running": description is not None, "state": str(state.folder), **(description or {})}))
    elif description is None:
        print(f"sandbox: not running ({state.folder})")
    else:
        _print_summary(description, default_state=state.folder == default_folder())
    return 0 if description is not None else NOT_RUNNING


def _down(state: State, *, remove: bool) -> int:
    if not state.folder.exists():
        print("sandbox: not running")
        return 0
    state.verify()
    was_running = state.holder() is not None
    if was_running:
        _stop_daemon(state)
    with state.locked():
        orphans = engine.stop_orphans(state)
        state.description.unlink(missing_ok=True)
    print("sandbox: stopped" if was_running or orphans else "sandbox: not running")
    if remove:
        state.remove()
        print(f"sandbox: removed {state.folder}")
    return 0


def _stop_daemon(state: State) -> None:
    for number, limit in ((signal.SIGTERM, _STOP_LIMIT), (signal.SIGKILL, _KILL_LIMIT)):
        signalled = 0
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            holder = state.holder()
            if holder is None:
                return
            # The process that holds the lock wrote this process id, so the id cannot belong to another program.
            if holder and holder != signalled:
                signalled = holder
                try:
                    os.kill(holder, number)
                except ProcessLookupError:
                    continue
            time.sleep(_POLL)
    raise SandboxError(
        f"process {state.holder()} did not end after SIGKILL: wait until it has ended, then run the command again"
    )


def _link(state: State) -> None:
    """Link ``.sandbox`` in the checkout to the state folder."""
    if LINK.exists() and not LINK.is_symlink():
        print(f"sandbox: {LINK} is not a link, so it is kept and not linked to {state.folder}")
        return
    if LINK.is_symlink() and LINK.readlink() == state.folder:
        return
    temporary = LINK.with_name(f"{LINK.name}.{os.getpid()}")
    try:
        temporary.symlink_to(state.folder)
        temporary.replace(LINK)
    except OSError as error:
        print(f"sandbox: cannot create the link {LINK}: {error.strerror}")


def _print_summary(description: dict[str, Any], *, default_state: bool) -> None:
    source = description["engine"]
    server = f"CockroachDB {source['cockroach']} on PostgreSQL {source['version']} ({source['source']})"
    print(f"sandbox: running, process {description['pid']}, {server}")
    rows: list[tuple[str, ...]] = [
        ("cluster", "deployment", "routing id", "user", "database", "inside", "outside", "impostor")
    ]
    for name, cluster in description["clusters"].items():
        ports = [str(cluster["listeners"][listener]["port"]) for listener in ("inside", "outside", "impostor")]
        cells = [name, cluster["deployment"], cluster["routing_id"] or "-", cluster["user"], cluster["database"]]
        rows.append((*cells, *ports))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    print(f"  Cloud API: {description['cloud']['url']}, API key file: {description['cloud']['api_key_file']}")
    print(f"  connections and passwords: {description['connections_file']}")
    option = "" if default_state else f" --state {description['state']}"
    print(f"  to stop: python -m sandbox down{option}")
