# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of the command, and the variables of the collection that they set."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "crdb-onboard"

_DESCRIPTION = """\
Connect a machine to CockroachDB, and prove that the connection works.

Each command runs one playbook of the Ansible collection crdb.onboard. An argument sets the variable that its help
names, and -e sets any other one. `crdb-onboard COMMAND --help` lists the arguments of a command.
"""
_EPILOG = """\
examples:
  crdb-onboard dev --frameworks psycopg2,django --folder ~/src/shop
  crdb-onboard dev --ca-file ca.crt --check --diff      show what would be written, and write nothing
  crdb-onboard check --folder ~/src/shop                six stages, with the cause and the cure of a failure
  crdb-onboard check -i inventory -l shops              check app servers
  crdb-onboard connection                               the connection string in its forms, without the password
  crdb-onboard offboard --folder ~/src/shop             remove what dev wrote
  crdb-onboard check -i inventory -- --forks 20         what follows -- goes to ansible-playbook as it is

passwords:
  A password is never an argument. The run asks for the connection string and for a missing password. It takes them
  from the environment if they are there:
  COCKROACH_URL, DATABASE_URL   the connection string
  PGPASSWORD                    the password, if the connection string has none
  COCKROACH_API_KEY             the key of the Cloud API

other variables of the environment:
  ANSIBLE_CONFIG, ANSIBLE_INVENTORY   your own settings and inventory. Without them no file of yours is read, and the
                                      commands run on this machine only

exit status:
  0   the playbook succeeded
  1   the command could not run it
  2   a task failed, such as a refused connection; or an argument was not accepted
  4   a host could not be reached
  Any other status is also the one of ansible-playbook; after a signal it is 128 and the signal's number.
"""

REFUSAL = (
    "an argument contains a password or a key, so nothing was run. Every user of this machine can read arguments in the"
    " list of processes, and the shell's history keeps them. Leave it out and the run asks for it, or set in the"
    " environment: COCKROACH_URL or DATABASE_URL to the connection string, PGPASSWORD to the password,"
    " COCKROACH_API_KEY to the key. If you typed a real one, change it."
)

# An expression such as {{ lookup(...) }} is not a password, and neither is the Console's placeholder <ENTER-PASSWORD>.
_SECRET = re.compile(
    r"\b[a-z][a-z0-9+.-]*://[^:/@\s{]*:(?!\{\{|<)[^@\s{][^@\s]*@"
    r"|(?:pass|passwd|password|api_?key)[\"']?\s*[=:]\s*[\"']?"
    r"(?!\{\{|<|[\"'\s]|$|(?:true|false|yes|no|always|new|on_create)(?:[\s\"',}&]|$))"
    r"|^-+(?!-|ask-)(?:[a-z-]*-)?(?:pass|passwd|password|api-?key)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Argument:
    """An argument, and the variable that it sets.

    Args:
        flag: such as `--ca-file`.
        variable: its name.
        text: its line of the help.
        metavar: what its value is called; none if the argument has a fixed `value`.
        value: what the variable is set to by an argument that takes no value.
        path: what its value is a path on: this machine (`here`), or the hosts, which are this machine unless an
            inventory names others (`hosts`).
    """

    flag: str
    variable: str
    text: str
    metavar: str = ""
    value: bool | None = None
    path: str = ""


_CONNECTION = (
    Argument("--url", "crdb_connection_url", "connection string, without the password", "URL"),
    Argument("--ca-file", "crdb_connection_ca_file", "PEM file with the cluster's CA", "FILE", path="here"),
    Argument("--ca-url", "crdb_connection_ca_url", "URL of the cluster's CA: Connect > Download CA", "URL"),
    Argument("--ca-public", "crdb_connection_ca_public", "keep the CA in ~/.postgresql/root.crt", value=True),
)
_APP = (
    Argument("--folder", "crdb_app_folder", "folder of your project", "FOLDER", path="hosts"),
    Argument("--name", "crdb_app_name", "name of the app", "NAME"),
    Argument("--frameworks", "crdb_frameworks", "frameworks, separated by commas", "LIST"),
)


@dataclass(frozen=True)
class Command:
    """A command: its playbook, its line of the help, and its arguments."""

    playbook: str
    text: str
    arguments: tuple[Argument, ...] = ()


COMMANDS = {
    "dev": Command(
        "dev_machine",
        "take this machine from nothing to a proved connection",
        (
            *_CONNECTION,
            *_APP,
            Argument("--client", "crdb_client_install", "install the CockroachDB client as well", value=True),
            Argument("--no-samples", "crdb_app_samples", "write no sample programs", value=False),
        ),
    ),
    "check": Command(
        "check",
        "check connections in six stages, and name the cause and the cure of a failure",
        (
            *_CONNECTION,
            *_APP,
            Argument("--drivers", "crdb_check_drivers", "let each framework's own driver connect", value=True),
            Argument("--report-folder", "crdb_check_report_folder", "write a report as files", "FOLDER", path="here"),
        ),
    ),
    "frameworks": Command(
        "frameworks", "list the frameworks; with --frameworks, show the files of an app", (*_CONNECTION, *_APP)
    ),
    "connection": Command("connection", "show the connection in the three forms of the Cloud Console", _CONNECTION),
    "offboard": Command(
        "offboard",
        "remove what was written and installed; give the arguments that you gave to dev",
        (*_CONNECTION, *_APP, Argument("--apps", "crdb_offboard_apps", "only these apps of the inventory", "LIST")),
    ),
}
DEMO = "connect a scratch home to local stand-in clusters, with real drivers"


def has_secret(words: Sequence[str]) -> bool:
    """Whether one of the arguments contains a password or an API key."""
    return any(_SECRET.search(word) for word in words)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; its help is the page of the command."""
    formatter = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(
        prog=PROGRAM, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=formatter, allow_abbrev=False
    )
    result.add_argument("--version", action="version", version=_versions(), help="show the versions and exit")
    commands = result.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.text, description=_sentence(command.text), allow_abbrev=False)
        for argument in command.arguments:
            _add(sub, argument)
        sub.add_argument("-i", "--inventory", action="append", default=[], help="inventory (may be repeated)")
        sub.add_argument("-l", "--limit", metavar="HOSTS", help="only these hosts of the inventory")
        sub.add_argument("--check", action="store_true", help="show what would be changed, and change nothing")
        sub.add_argument("--diff", action="store_true", help="show the changes of files; secrets are left out")
        _add_common(sub)
    demo = commands.add_parser("demo", help=DEMO, description=_sentence(DEMO), allow_abbrev=False)
    demo.add_argument(
        "--down", action="store_true", help="stop the clusters, and remove everything that the demo wrote"
    )
    _add_common(demo)
    return result


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _add(sub: argparse.ArgumentParser, argument: Argument) -> None:
    text = f"{argument.text} ({argument.variable})"
    if argument.value is None:
        sub.add_argument(argument.flag, dest=argument.variable, metavar=argument.metavar, help=text)
    else:
        sub.add_argument(argument.flag, dest=argument.variable, action="store_const", const=argument.value, help=text)


def _add_common(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("-e", "--extra-vars", action="append", default=[], metavar="KEY=VALUE", help="set any variable")
    sub.add_argument("-v", "--verbose", action="count", default=0, help="show more; up to -vvvv")


def parse(typed: Sequence[str]) -> argparse.Namespace:
    """What the words of a command line say; `more` is what follows `--`."""
    own, more = list(typed), []
    if "--" in own:
        split = own.index("--")
        own, more = own[:split], own[split + 1 :]
    parsed = parser().parse_args(own)
    parsed.more = more
    return parsed


def _versions() -> str:
    version = importlib.metadata.version
    return f"{PROGRAM} {version(PROGRAM)} (ansible-core {version('ansible-core')}, Python {platform.python_version()})"


def words(parsed: argparse.Namespace) -> list[str]:
    """What a command passes to ansible-playbook, after the name of the playbook."""
    result: list[str] = []
    for inventory in getattr(parsed, "inventory", ()):
        result += ["-i", inventory]
    if getattr(parsed, "limit", None):
        result += ["-l", parsed.limit]
    result += [f"--{name}" for name in ("check", "diff") if getattr(parsed, name, False)]
    if parsed.verbose:
        result.append("-" + "v" * parsed.verbose)
    if variables := _variables(parsed):
        result += ["-e", json.dumps(variables)]
    # Later values win.
    for variable in parsed.extra_vars:
        result += ["-e", variable]
    return [*result, *parsed.more]


def _names_hosts(parsed: argparse.Namespace) -> bool:
    """Whether the person named hosts or an inventory of their own. Without them a command runs on this machine."""
    settings = any(os.environ.get(name) for name in ("ANSIBLE_CONFIG", "ANSIBLE_INVENTORY"))
    return bool(settings or getattr(parsed, "inventory", None) or getattr(parsed, "limit", None))


def _variables(parsed: argparse.Namespace) -> dict[str, str | bool]:
    arguments = COMMANDS[parsed.command].arguments if parsed.command in COMMANDS else ()
    other_hosts = _names_hosts(parsed)
    variables: dict[str, str | bool] = {}
    if parsed.command in COMMANDS and not other_hosts:
        variables["crdb_hosts"] = "localhost"
    for argument in arguments:
        value = getattr(parsed, argument.variable)
        # "~" is expanded on the host, for the app's user.
        if argument.path == "here" or (argument.path == "hosts" and not other_hosts and value and value[0] != "~"):
            value = value and os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - a link stays a link
        if value is not None:
            variables[argument.variable] = value
    return variables
