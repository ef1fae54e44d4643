# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command line that the pages print, run as the text it is, with the sandbox as the reader's clusters.

A command is either run, or a row of NOT_RUN says why it is not and how far it is still checked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Sandbox, new_state, run_sandbox
from tests.integration.conftest import BIN, CHECKOUT

PAGES = [
    CHECKOUT / "README.md",
    *sorted((CHECKOUT / "docs").glob("*.md")),
    CHECKOUT / "inventories" / "example" / "README.md",
    *sorted((CHECKOUT / "roles").glob("*/README.md")),
]
LINKED = (
    *("Makefile", "ansible.cfg", "collections", "docs", "galaxy.yml", "meta", "playbooks", "plugins", "requirements"),
    *("roles", "sandbox", "scripts", "templates"),
)
# What a reader types in the place of a word in capitals.
PLACEHOLDERS = {
    "FOLDER": "installed",
    "GROUP": "shops",
    "HOST": "shop1",
    "ID": "00000000-0000-0000-0000-000000000000",
    "KEY": "a-key",
    "NAME": "elephant",
    "URL": "postgresql://reports@reports.example.com:26257/reports",
}
# Files outside of the checkout, and options that a connection with `cluster` needs besides.
REPLACED = {
    "/etc/ca.crt": "$PWD/ca.crt",
    '"apps": "{{ crdb_apps }}"}': '"apps": "{{ crdb_apps }}", "password_store": "{{ crdb_sql_user_password_store }}", '
    '"cloud": {"url": "{{ crdb_cloud_url }}", "ca_file": "{{ crdb_cloud_ca_file }}"}}',
}
CAPITALS = re.compile(r"(?<![\w$./{-])[A-Z]{2,}(?![\w(}=])")
# Words in capitals that are typed as they are.
NO_PLACEHOLDERS = {"COUNT", "FROM", "SELECT"}

# Of an option in a table, the playbook that the page means.
PLAYBOOK_OF_PAGE = {
    "README.md": "dev_machine",
    "app-servers.md": "app_servers",
    "check.md": "check",
    "client.md": "dev_machine",
    "network.md": "sql_user",
    "addresses.md": "authorize_network",
    "glossary.md": "check",
    "pipeline.md": "check",
    "secrets.md": "dev_machine",
    "troubleshooting.md": "dev_machine",
    "upgrading.md": "app_servers",
    "variables.md": "dev_machine",
}
ENVIRONMENT = ".venv/bin/"
WITH_INVENTORY = {"app_servers", "authorize_network", "check", "sql_user"}


@dataclass(frozen=True)
class NotRun:
    """Commands that are checked without being run.

    Args:
        pattern: a regular expression, searched in the command.
        reason: why it is not run.
        check: `make` (the target exists), `playbook` (`--syntax-check`), or `shell` (the shell can read it).
    """

    pattern: str
    reason: str
    check: str


NOT_RUN = (
    NotRun(r"templates/python/NAME|test_matrix", "adds a framework; tests/clients/test_adding.py does it", "shell"),
    NotRun(r"^make ", "targets build, install or test for minutes; CI runs them", "make"),
    NotRun(r"ansible-galaxy collection install", "needs the archive of `make build`; test_onboarding does it", "shell"),
    NotRun(r"ansible-pull", "needs a git server", "shell"),
    NotRun(r"^git (clone|pull)", "needs a git server", "shell"),
    NotRun(r"^(pipx|uvx|crdb-onboard) ", "is the package; test_package installs and runs it", "shell"),
    NotRun(r"^podman build", "builds an image for minutes; test_execution_environment does it", "shell"),
    NotRun(r"^xcode-select|^brew ", "is for macOS", "shell"),
    NotRun(r"\bcockroach sql\b|\bcrdb-sql\b", "needs the client, a download; test_sql_shell runs it", "shell"),
    NotRun(r"^psql ", "needs the service file of an app; test_psql runs it", "shell"),
    NotRun(r"^java ", "needs a compiled sample; tests/clients runs it", "shell"),
    NotRun(r"^jq ", "needs a report with a failure; test_check_reports reads it", "shell"),
    NotRun(r"^\$EDITOR ", "is an editor", "shell"),
    NotRun(r"ansible-vault encrypt", "asks for a password; test_example_inventory does it", "shell"),
    NotRun(r"^read -rs", "asks at a terminal", "shell"),
    NotRun(r"^set -a; \. \./\.env", "needs the .env of an app; test_sql_shell runs it", "shell"),
    NotRun(r"^python -m sandbox ", "starts and stops this machine's sandbox; tests/unit/sandbox does it", "shell"),
    NotRun(r"-m crdb\.onboard\.egress", "asks echo services of the internet; test_network has some", "shell"),
    NotRun(r"^ansible -a$", "is a warning and no command", "shell"),
    NotRun(r"password=\.\.\.", "is a warning and no command", "playbook"),
    NotRun(r"-e '?\{?\"?crdb_client_\w+", "downloads the client; test_client_role does it", "playbook"),
    NotRun(r"crdb_connection_ca_cluster_id=", "downloads from the Cloud; test_coming_in has an id", "playbook"),
    NotRun(r"--ask-vault-pass", "asks for a password; test_example_inventory runs it with a file", "playbook"),
    NotRun(r"crdb_connection_host=db\.example\.com", "is a host that nobody has", "playbook"),
)


def _joined(body: str) -> list[str]:
    """The lines of a block, those that continue made one, without comments and empty lines."""
    lines = re.sub(r"\\\n\s*", " ", body).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _printed(page: Path) -> list[str]:
    """The commands of a page's `sh` blocks, and its options `-e` in tables and sentences as commands."""
    text = page.read_text(encoding="utf-8")
    commands = [
        line for body in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL) for line in _joined(body)
    ]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
    commands += [
        span.replace("\\|", "|") for span in spans if re.match(r"(\S*/)?(ansible|ansible-[a-z]+|make) \S", span)
    ]
    for option in (span for span in spans if span.startswith("-e ")):
        playbook = PLAYBOOK_OF_PAGE[page.name]
        inventory = "-i inventories/mine/staging " if playbook in WITH_INVENTORY else ""
        commands.append(f".venv/bin/ansible-playbook {inventory}playbooks/{playbook}.yml {option}")
    return commands


def _pages_by_command() -> dict[str, list[str]]:
    pages: dict[str, list[str]] = {}
    for page in PAGES:
        for command in _printed(page):
            text = re.sub(r"\s+# .*", "", command)
            # With an activated `.venv` it is the same command, and is not run again.
            activated = text.removeprefix(ENVIRONMENT)
            first = next((known for known in pages if known.removeprefix(ENVIRONMENT) == activated), text)
            pages.setdefault(first, []).append(str(page.relative_to(CHECKOUT)))
    return pages


COMMANDS = _pages_by_command()


def _not_run(command: str) -> NotRun | None:
    return next((row for row in NOT_RUN if re.search(row.pattern, command)), None)


# What changes passwords, or removes access or files, comes last.
LAST = ("update_password", "rotate_credentials", "offboard", "leaver")
RUN = sorted(
    (command for command in COMMANDS if _not_run(command) is None),
    key=lambda command: next((number for number, name in enumerate(LAST, 1) if name in command), 0),
)


@dataclass(frozen=True)
class Reader:
    """A reader's checkout, with inventories of this machine, and their environment."""

    folder: Path
    environment: dict[str, str]

    def type(self, command: str, shell: str = "sh") -> subprocess.CompletedProcess[str]:
        """Run a command as it was typed."""
        return subprocess.run(
            [shell, "-c", command], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip


def _variables(sandbox: Sandbox, folder: Path, drivers: dict[str, object]) -> dict[str, object]:
    """What a reader's group_vars hold for all hosts: the sandbox's Cloud API, and how drivers are called."""
    url = sandbox.cloud["crdb_cloud_url"]
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "crdb_cloud_url": url,
        "crdb_cloud_ca_file": sandbox.cloud["crdb_cloud_ca_file"],
        "crdb_network_allow_private": True,
        "crdb_network_echo": [f"{url}/echo/plain", f"{url}/echo/json"],
        "crdb_network_echo_ca_file": sandbox.cloud["crdb_cloud_ca_file"],
        "crdb_sql_user_password_store": str(folder / "passwords.json"),
        **{name: value for name, value in drivers.items() if name != "crdb_check_drivers"},
    }


def _write_inventory(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def own_sandbox():
    """A sandbox of this file: the commands change users and allowlists."""
    state = new_state()
    try:
        run_sandbox("up", "--state", str(state), "--port", "0", "--lifetime", "1800", "--throttle", "0")
        yield Sandbox.read(state)
    finally:
        run_sandbox("down", "--state", str(state))
        shutil.rmtree(state)


@pytest.fixture(scope="module")
def reader(own_sandbox, drivers, tmp_path_factory):
    """The checkout of a reader who has filled in inventories/mine, created the SQL users and authorized the network."""
    folder = tmp_path_factory.mktemp("checkout")
    home = folder / "home"
    home.mkdir()
    for name in LINKED:
        (folder / name).symlink_to(CHECKOUT / name)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(BIN)
    shutil.copytree(CHECKOUT / "inventories", folder / "inventories")
    mine = folder / "inventories" / "mine"
    shutil.copytree(CHECKOUT / "inventories" / "example", mine, ignore=shutil.ignore_patterns("*.yml"))
    variables = _variables(own_sandbox, folder, drivers)
    shop = {
        "crdb_connections": {"shop_db": {"cluster": "funky-skunk", "user": "shop"}},
        "crdb_apps": [
            {
                "name": "shop",
                "connection": "shop_db",
                "folder": str(folder / "shop"),
                "frameworks": ["psycopg2", "django"],
            }
        ],
        "crdb_network_clusters": ["funky-skunk"],
        "crdb_network_entries": [{"cidr": "198.41.0.0/24", "name": "office"}],
    }
    hosts = {"shops": {"hosts": {"shop1": {}}}}
    for environment in ("staging", "production"):
        inventory = {"all": {"children": hosts, "vars": {**variables, **shop}}}
        _write_inventory(mine / environment / "hosts.yml", inventory)
    _write_inventory(folder / "own.yml", {"all": {"hosts": {"localhost": variables}}})
    facts = own_sandbox.connections["funky_skunk"]
    shutil.copy(facts["ca_file"], folder / "ca.crt")
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        # The sandbox is not the Cloud: its address is in the inventory of the reader's own machine.
        "ANSIBLE_INVENTORY": str(folder / "own.yml"),
        "COCKROACH_API_KEY": Path(own_sandbox.cloud["crdb_cloud_api_key_file"]).read_text().strip(),
        "DATABASE_URL": f"postgresql://{facts['user']}:{facts['password']}@{facts['host']}:{facts['port']}/{facts['database']}"
        f"?sslmode=verify-full&sslrootcert={facts['ca_file']}&options=--cluster%3D{facts['routing_id']}",
    }
    reader = Reader(folder, environment)
    for playbook in (
        "sql_user.yml",
        "authorize_network.yml -e crdb_network_current=controller -e crdb_network_name=mine",
    ):
        done = reader.type(f".venv/bin/ansible-playbook -i inventories/mine/staging playbooks/{playbook}")
        assert done.returncode == 0, done.stdout
    return reader


def _typed(command: str) -> str:
    """The command with the reader's own words in the place of placeholders."""
    text = CAPITALS.sub(lambda match: PLACEHOLDERS.get(match[0], match[0]), command)
    for printed, own in REPLACED.items():
        text = text.replace(printed, own)
    return text


def test_every_placeholder_has_a_value():
    words = {word for command in COMMANDS for word in CAPITALS.findall(re.sub(r"'SELECT [^']*'", "", command))}
    assert words - set(PLACEHOLDERS) - NO_PLACEHOLDERS == set()


def test_every_row_of_the_commands_that_are_not_run_is_needed():
    unused = [row.pattern for row in NOT_RUN if not any(_not_run(command) is row for command in COMMANDS)]
    assert unused == []


def _checked_as(check: str) -> list[str]:
    return [command for command in COMMANDS if (row := _not_run(command)) is not None and row.check == check]


def _with_all_options(commands: list[str]) -> list[str]:
    """The commands that differ in their options `-e` only, as one command with all of these options."""
    options: dict[str, list[str]] = {}
    for command in commands:
        start, *values = command.split(" -e ")
        options.setdefault(start, []).extend(values)
    return [" -e ".join([start, *values]) for start, values in options.items()]


@pytest.mark.parametrize("command", _checked_as("make"))
def test_a_target_of_make_exists(command):
    targets = set(re.findall(r"^([a-z0-9-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in command.split()[1:] if "=" not in word} <= targets


@pytest.mark.parametrize("command", _checked_as("shell"))
def test_a_shell_can_read_a_command_that_is_not_run(reader, command):
    # Some of them are for bash and zsh only.
    done = reader.type(f"set -n\n{_typed(command)}", "bash")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", _with_all_options(_checked_as("playbook")))
def test_ansible_takes_a_playbook_that_is_not_run(reader, command):
    done = reader.type(f"{_typed(command).replace('--ask-vault-pass', '')} --syntax-check")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", RUN)
def test_a_command_works_as_it_is_printed(reader, command):
    done = reader.type(_typed(command))
    assert done.returncode == 0, f"{command}\nof {', '.join(COMMANDS[command])}\n{done.stdout}"
    assert "DEPRECATION" not in done.stdout
