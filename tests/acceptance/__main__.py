# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the acceptance checks, or sweeps: `python -m tests.acceptance --help`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import psycopg
from ansible_collections.crdb.onboard.plugins.module_utils._http.errors import HttpError
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

from tests.acceptance import checks, report
from tests.acceptance.checks.claims import admin_session
from tests.acceptance.names import Names, new_run
from tests.acceptance.run import BIN, CHECKOUT, CHECKS, FAILED, Run
from tests.acceptance.sweep import leftovers, sweep
from tests.acceptance.target import URL_VARIABLE, RefusedError, Target, from_environment, of_sandbox

SANDBOX_CLUSTER = "brave-otter"
NEW = "new"
_ERRORS = (RefusedError, OnboardingError, HttpError, ValueError, psycopg.Error, OSError)
_WATCHED_LIMIT = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit status: 0 when all checks passed, 1 when one failed or something was left, 2 if refused."""
    parsed = _parser().parse_args(arguments)
    if parsed.list:
        for item in CHECKS.values():
            print(f"{item.name}: {item.title}")
        return 0
    try:
        if parsed.command == "watch":
            return _watch(parsed)
        with _target(parsed) as (target, words):
            if parsed.command == "sweep":
                return _sweep(target, parsed)
            return _run(target, parsed, words)
    except KeyboardInterrupt:
        print("acceptance: interrupted", file=sys.stderr)
        return 130
    except _ERRORS as error:
        print(f"acceptance: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance",
        description="Check what the project claims and assumes against a cluster. Without --cluster and without"
        f" {URL_VARIABLE} in the environment, the cluster is one of a sandbox that is started for it.",
    )
    parser.add_argument("command", nargs="?", choices=("run", "sweep", "watch"), default="run")
    parser.add_argument("--cluster", default="", help="a cluster of the Cloud API (COCKROACH_API_KEY), by name or id")
    parser.add_argument(
        "--sandbox",
        default="",
        metavar="STATE",
        help=f"a cluster of the sandbox with this folder; {NEW} starts one (default without a real cluster)",
    )
    parser.add_argument("--list", action="store_true", help="list the checks, and make none")
    parser.add_argument("--yes", action="store_true", help="also if the cluster is not a new one")
    parser.add_argument("--only", default="", help="names of checks, with commas; what they need is made too")
    parser.add_argument(
        "--throttle", action="store_true", help="also provoke the throttle, which locks this machine out"
    )
    parser.add_argument("--rate", action="store_true", help="also provoke the limit of the request rate")
    parser.add_argument("--client", action="store_true", help="also download and install the CockroachDB client")
    parser.add_argument("--show-names", action="store_true", help="show names and hosts of the cluster in the report")
    parser.add_argument("--report", type=Path, default=CHECKOUT / "build" / "acceptance", help="folder of the report")
    parser.add_argument("--drivers", type=Path, default=CHECKOUT / "build" / "drivers", help="folder of the drivers")
    parser.add_argument("--run", default="", help="sweep only what the run with this id made")
    return parser


@contextlib.contextmanager
def _target(parsed: argparse.Namespace) -> Iterator[tuple[Target, list[str]]]:
    """The cluster, and the arguments that name it for another process."""
    if not parsed.sandbox and (parsed.cluster or os.environ.get(URL_VARIABLE)):
        yield from_environment(parsed.cluster), ["--cluster", parsed.cluster]
        return
    name = parsed.cluster or SANDBOX_CLUSTER
    with contextlib.ExitStack() as stack:
        is_new = parsed.sandbox in ("", NEW)
        state = stack.enter_context(_own_sandbox(throttle=parsed.throttle)) if is_new else Path(parsed.sandbox)
        yield of_sandbox(state, name), ["--sandbox", str(state), "--cluster", name]


@contextlib.contextmanager
def _own_sandbox(*, throttle: bool) -> Iterator[Path]:
    """A sandbox of this run, which stops by itself if the run is killed."""
    state = Path(tempfile.mkdtemp(prefix="crdb-", dir="/var/tmp"))
    words = ["--state", str(state), "--port", "0", "--lifetime", "3600", "--throttle", "1" if throttle else "0"]
    try:
        subprocess.run([sys.executable, "-m", "sandbox", "up", *words], cwd=CHECKOUT, check=True, capture_output=True)
        yield state
    finally:
        _stop_sandbox(state)


def _stop_sandbox(state: Path) -> None:
    words = [sys.executable, "-m", "sandbox", "down", "--state", str(state)]
    subprocess.run(words, cwd=CHECKOUT, check=False, capture_output=True)
    shutil.rmtree(state, ignore_errors=True)


def _run(target: Target, parsed: argparse.Namespace, words: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    # The folder of the sandbox's account rules does not matter here: only this user reads it.
    folder = Path(tempfile.mkdtemp(prefix="crdb-acceptance-"))
    names = Names(new_run())
    begin = time.monotonic()
    try:
        target.close_up(folder)
        if not parsed.yes:
            _refuse_production(target)
        _tell_of_leftovers(target)
        own_sandbox = Path(words[1]) if target.is_sandbox and parsed.sandbox in ("", NEW) else None
        with _watcher(words, names, folder, parsed.report, own_sandbox) as pipe:
            asked = frozenset(name for name in ("throttle", "rate", "client") if getattr(parsed, name))
            run = Run(target, names, folder, _drivers(parsed.drivers), asked, _telling(pipe))
            print(f"acceptance: run {names.run}; everything it makes is named crdb_acc_{names.run}...", flush=True)
            left = _make_and_sweep(run, parsed, pipe)
        found = report.value(run, time.monotonic() - begin, left, show_names=parsed.show_names)
        _write(found, run, parsed)
        return 1 if left or found["outcomes"][FAILED] else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_and_sweep(run: Run, parsed: argparse.Namespace, pipe: IO[str]) -> list[str]:
    """Make the checks; what is left over afterwards, although it was swept."""
    try:
        for item in checks.chosen(parsed.only, run.target.kind):
            print(f"...   {item.name}", flush=True)
            print(report.line(run.make(item), run, show_names=parsed.show_names), flush=True)
    finally:
        # Whatever ended the checks. A second signal does not end the sweep.
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        administrator = (lambda: admin_session(run, "defaultdb")) if run.target.kind == "cloud" else None
        left = sweep(run.target, run.names.run, administrator=administrator) or leftovers(run.target, run.names.run)
        if not left:
            _tell(pipe, "done")
    return left


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _refuse_production(target: Target) -> None:
    try:
        target.refuse_production()
    except psycopg.Error as error:
        raise RefusedError(f"The cluster cannot be looked at: {error}") from None


def _tell_of_leftovers(target: Target) -> None:
    found = leftovers(target)
    if found:
        print(
            f"acceptance: {len(found)} things of earlier runs are left: `make acceptance-sweep` removes them",
            flush=True,
        )


def _drivers(folder: Path) -> Path | None:
    """The folder of the drivers, installed if they are missing; None when those of Python cannot be installed."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {}
    for language in ("python", "javascript"):
        done = subprocess.run(
            [CHECKOUT / "scripts" / "install-drivers", language, folder], capture_output=True, text=True, check=False,
            env={**os.environ, "CRDB_PYTHON": str(BIN / "python")},
        )  # fmt: skip
        said[language] = done.stdout.strip()
        if said[language] not in ("installed", "present"):
            print(f"acceptance: {said[language]}", flush=True)
    return folder if said["python"] in ("installed", "present") else None


def _write(found: dict[str, object], run: Run, parsed: argparse.Namespace) -> None:
    parsed.report.mkdir(parents=True, exist_ok=True)
    text = report.summary(found)
    lines = [report.line(result, run, show_names=parsed.show_names) for result in run.results]
    (parsed.report / "acceptance.txt").write_text("\n".join([*lines, "", text, ""]))
    (parsed.report / "acceptance.json").write_text(report.as_json(found))
    print(f"\n{text}\n\nreport: {parsed.report}/acceptance.txt and .json; attach either to an issue", flush=True)


def _sweep(target: Target, parsed: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        target.close_up(Path(folder))
        failed = sweep(target, parsed.run, lambda line: print(f"acceptance: {line}", flush=True))
        left = failed or leftovers(target, parsed.run)
    for item in left:
        print(f"acceptance: left over: {item}", flush=True)
    if not left:
        print("acceptance: nothing is left over", flush=True)
    return 1 if left else 0


@contextlib.contextmanager
def _watcher(
    words: list[str], names: Names, folder: Path, log_folder: Path, own_sandbox: Path | None
) -> Iterator[IO[str]]:
    """A process that sweeps when this one is killed. It learns of that from the end of the pipe to it."""
    log_folder.mkdir(parents=True, exist_ok=True)
    with (log_folder / f"sweep-{names.run}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance", "watch", *words, "--run", names.run],
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
    assert process.stdin is not None
    print(f"acceptance: process {process.pid} sweeps if this one is killed, and writes {log.name}", flush=True)
    _tell(process.stdin, f"folder {folder}")
    if own_sandbox is not None:
        _tell(process.stdin, f"sandbox {own_sandbox}")
    try:
        yield process.stdin
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()
        Path(log.name).unlink(missing_ok=True)


def _tell(pipe: IO[str], line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=pipe, flush=True)


def _telling(pipe: IO[str]) -> Callable[[int], None]:
    # Nothing is told of a program that has ended: its id may get another use.
    return lambda pid: _tell(pipe, f"pid {pid or ''}")


def _watch(parsed: argparse.Namespace) -> int:
    """Wait for the end of the run. Unless it was done, end its last program, sweep, and remove its folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    known = dict.fromkeys(("pid", "folder", "sandbox"), "")
    for line in sys.stdin:
        word, _space, rest = line.strip().partition(" ")
        if word == "done":
            return 0
        known[word] = rest
    if known["pid"]:
        _end_group(int(known["pid"]))
    try:
        with _target(parsed) as (target, _words):
            return _sweep(target, parsed)
    finally:
        if known["folder"]:
            shutil.rmtree(known["folder"], ignore_errors=True)
        if known["sandbox"]:
            _stop_sandbox(Path(known["sandbox"]))


def _end_group(leader: int) -> None:
    """End a program of the killed run and what it started. Its id is in no other use: nobody has waited for it."""
    end = time.monotonic() + _WATCHED_LIMIT
    while time.monotonic() < end:
        try:
            os.killpg(leader, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
