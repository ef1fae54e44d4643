# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One acceptance run: its checks, its folder, the playbooks that it runs, and what is known so far."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._text import clean

from tests.acceptance.api import Api
from tests.acceptance.names import Names
from tests.acceptance.target import Target

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
_CALLBACKS = Path(__file__).with_name("callbacks")
_LONGEST_PLAYBOOK = 1800.0
_SHOWN = 900
PASSED, FAILED, ANSWERED, SKIPPED = OUTCOMES = ("passed", "failed", "answered", "skipped")


class CheckError(Exception):
    """What was claimed or assumed does not hold. The message is a sentence that says what, and what came instead."""


class SkippedError(Exception):
    """The check cannot be made here. The message says why."""


@dataclass(frozen=True)
class Check:
    """A check.

    Args:
        name: short and unique; docs/support-matrix.md refers to it.
        title: what is claimed or asked.
        group: `claim` of the README, `service` behaviour that the sandbox copies, or open `question`.
        work: makes the check; returns an answer to print, or None. Raises CheckError or SkippedError.
        kinds: of clusters that it is for.
        after: the checks whose results it needs, where they are for this kind of cluster.
        asked: the option that asks for it, where it is not always made.
    """

    name: str
    title: str
    group: str
    work: Callable[[Run], str | None]
    kinds: tuple[str, ...] = ("cloud", "self_hosted")
    after: tuple[str, ...] = ()
    asked: str = ""


CHECKS: dict[str, Check] = {}


def check(
    name: str, title: str, group: str, **more: Any
) -> Callable[[Callable[[Run], str | None]], Callable[[Run], str | None]]:
    """Register a check; they are made in the order in which they are registered."""

    def register(work: Callable[[Run], str | None]) -> Callable[[Run], str | None]:
        CHECKS[name] = Check(name, title, group, work, **more)
        return work

    return register


@dataclass(frozen=True)
class Result:
    """How a check ended; `text` is the answer, the reason, or the sentence about what is wrong."""

    check: Check
    outcome: str
    text: str
    seconds: float


@dataclass(frozen=True)
class Playbooks:
    """What a run of playbooks printed, and how it ended; `text` is the output on one line, without secrets."""

    status: int
    output: str
    text: str

    @property
    def changed(self) -> int:
        """How many tasks changed something, on all hosts."""
        return sum(int(number) for number in re.findall(r"^\S+ +: .*?changed=([0-9]+)", self.output, re.MULTILINE))


@dataclass
class Run:
    """An acceptance run.

    Args:
        target: the cluster.
        names: of everything that it makes.
        folder: for its files, private to this user.
        drivers: the folder of installed drivers; None when none could be installed.
        asked: options that ask for checks which are not always made.
        watch: is told the process id of each program that is started.
    """

    target: Target
    names: Names
    folder: Path
    drivers: Path | None
    asked: frozenset[str] = frozenset()
    watch: Callable[[int], None] = lambda pid: None
    results: list[Result] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.home.mkdir(exist_ok=True)
        self.store = self.folder / "passwords.json"
        self._requests = self.folder / "requests"

    @property
    def api(self) -> Api:
        """The API of the cluster."""
        assert self.target.api is not None
        return self.target.api

    @property
    def requests(self) -> int:
        """How many requests the API got."""
        of_playbooks = len(self._requests.read_text().splitlines()) if self._requests.exists() else 0
        return of_playbooks + (self.target.api.sent if self.target.api else 0)

    def password(self, user: str = "") -> str:
        """A new password, or that of a user in the store."""
        if not user:
            fresh = secrets.token_urlsafe(24)
            self.target.private[fresh] = "********"
            return fresh
        clusters = json.loads(self.store.read_text())["clusters"]
        for cluster in clusters.values():
            if user in cluster["users"]:
                found = str(cluster["users"][user]["password"])
                self.target.private[found] = "********"
                return found
        raise CheckError(f"The password store has no password of {user}.")

    def variables(self, **more: Any) -> dict[str, Any]:
        """The variables that all playbooks of the run get."""
        common = {
            "crdb_hosts": "localhost",
            # For root it would be /usr/local, where offboard.yml could find a client of somebody else.
            "crdb_client_prefix": str(self.folder / "client"),
            "crdb_network_prefix": self.names.entry_prefix,
            "crdb_sql_user_password_store": str(self.store),
        }
        return {**common, **self.target.cloud_variables, **self.target.network_variables, **more}

    def playbook(self, *names: str, status: int | None = 0, words: tuple[str, ...] = (), **variables: Any) -> Playbooks:
        """Run playbooks, one after the other, in one process. Raises CheckError when they end otherwise.

        Args:
            names: of files in `playbooks/`.
            status: the expected exit status; None for any.
            words: more arguments.
            variables: replace those of `variables()`.
        """
        files = [f"playbooks/{name}.yml" for name in names]
        return self._ansible("ansible-playbook", [*files, *words], variables, status)

    def module(self, name: str, arguments: Mapping[str, Any], status: int | None = 0) -> Playbooks:
        """Run one module of the collection on this machine."""
        words = ["localhost", "-m", f"crdb.onboard.{name}", "-a", "@ARGUMENTS@"]
        return self._ansible("ansible", words, dict(arguments), status)

    def _ansible(self, program: str, words: list[str], values: Mapping[str, Any], status: int | None) -> Playbooks:
        path = self.folder / "variables.json"
        is_module = program == "ansible"
        # What may be secret goes through a file: everybody can read the arguments of a process.
        path.write_text(json.dumps({"arguments": dict(values)} if is_module else self.variables(**values)))
        path.chmod(0o600)
        words = [
            json.dumps({key: f"{{{{ arguments.{key} }}}}" for key in values}) if word == "@ARGUMENTS@" else word
            for word in words
        ]
        process = subprocess.Popen(
            [BIN / program, *words, "-e", f"@{path}"],
            cwd=CHECKOUT, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.watch(process.pid)
        try:
            output, _nothing = process.communicate(timeout=_LONGEST_PLAYBOOK)
        except BaseException:
            _end(process)
            raise
        finally:
            self.watch(0)
            path.unlink(missing_ok=True)
        # Parts of it become sentences, and no report could find a part of a secret.
        told = self.redact(output, show_names=True)
        done = Playbooks(process.returncode, output, " ".join(told.split()))
        if status is not None and done.status != status:
            raise CheckError(f"{program} {words[0]} ended with {done.status}, expected {status}: {_cause(told)}")
        return done

    def _environment(self) -> dict[str, str]:
        kept = ("PATH", "LANG", "COCKROACH_API_KEY", "COCKROACH_SERVER", "COCKROACH_VANITY_NAME", "HTTPS_PROXY",
                "NO_PROXY", "https_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")  # fmt: skip
        callbacks = "crdb.onboard.lean_workers,crdb.onboard.report_last,request_count"
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(self.home),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_CALLBACK_PLUGINS": str(_CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": callbacks,
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "CRDB_ACCEPTANCE_REQUESTS": str(self._requests),
        }

    def redact(self, text: str, *, show_names: bool = False) -> str:
        """A text without secrets and, unless they are asked for, without the names and addresses of the cluster."""
        # A playbook may print a password that no check has asked for.
        with contextlib.suppress(OSError, ValueError, KeyError):
            clusters = json.loads(self.store.read_text())["clusters"].values()
            users = [user for cluster in clusters for user in cluster["users"].values()]
            self.target.private.update({str(user["password"]): "********" for user in users if user.get("password")})
        replaced = {real: word for real, word in self.target.private.items() if not show_names or word == "********"}
        for real in sorted(replaced, key=len, reverse=True):
            text = text.replace(real, replaced[real])
        if not show_names:
            text = re.sub(r"\b[\w-]+(\.[\w-]+)*\.(cockroachlabs\.cloud|crdb\.io)\b", "HOST", text)
            text = re.sub(r'server at "[^"]*"( \([^)]*\))?', "server at HOST", text)
            # Those of RFC 5737 are the run's own.
            text = re.sub(r"\b(?!192\.0\.2\.)[0-9]{1,3}(\.[0-9]{1,3}){3}\b", "ADDRESS", text)
        places = {self.folder: "FOLDER", CHECKOUT: "CHECKOUT", Path.home(): "HOME"}
        for place, word in places.items():
            text = text.replace(f"{place}/", f"{word}/")
        return text

    def make(self, item: Check) -> Result:
        """Make a check."""
        begin = time.monotonic()
        outcome, text = self._outcome(item)
        result = Result(item, outcome, text, time.monotonic() - begin)
        self.results.append(result)
        return result

    def _outcome(self, item: Check) -> tuple[str, str]:
        done = {result.check.name for result in self.results if result.outcome in (PASSED, ANSWERED)}
        missing = [name for name in item.after if name not in done and self.target.kind in CHECKS[name].kinds]
        if self.target.kind not in item.kinds:
            return (
                SKIPPED,
                f"It is not for a {'self-hosted' if self.target.kind == 'self_hosted' else 'Cloud'} cluster.",
            )
        if item.asked and item.asked not in self.asked:
            return SKIPPED, f"It is made only with --{item.asked}."
        if missing:
            return SKIPPED, f"It needs {', '.join(missing)}."
        try:
            answer = item.work(self)
        except SkippedError as error:
            return SKIPPED, str(error)
        except CheckError as error:
            return FAILED, str(error)
        except Exception as error:
            return FAILED, f"{type(error).__name__}: {clean(self.redact(str(error), show_names=True), _SHOWN)}"
        return (ANSWERED, answer) if answer else (PASSED, "")


def expect(condition: bool, sentence: str) -> None:
    """Raise CheckError with the sentence unless the condition holds."""
    if not condition:
        raise CheckError(sentence)


def _end(process: subprocess.Popen[str]) -> None:
    """End a program, and wait for it: what it would still make could not be swept."""
    # It leads a group of its own, in which its workers are.
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _cause(output: str) -> str:
    """The part of a playbook's output that says why it failed."""
    start = output.rfind("[ERROR]")
    start = start if start >= 0 else output.rfind("fatal:")
    text = " ".join((output[start:] if start >= 0 else output[-_SHOWN:]).split())
    return clean(text, _SHOWN)
