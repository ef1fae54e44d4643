# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command line that the pages print, typed as the text it is and in the page's order, one scratch project a page.

The sandbox stands for the reader's clusters. A command is either typed, or a row of NOT_RUN says why it is not and how
far it is still checked.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Sandbox, new_state, run_sandbox
from tests.integration.conftest import BIN, CHECKOUT

EXAMPLE = CHECKOUT / "inventories" / "example"
PAGES = [
    CHECKOUT / "README.md",
    *sorted((CHECKOUT / "docs").glob("*.md")),
    EXAMPLE / "README.md",
    *sorted((CHECKOUT / "roles").glob("*/README.md")),
]
LINKED = (
    *("Makefile", "ansible.cfg", "collections", "docs", "galaxy.yml", "meta", "playbooks", "plugins", "requirements"),
    *("roles", "sandbox", "scripts", "templates"),
)
# What a reader types in the place of a word in capitals; KEY and URL are the sandbox's.
PLACEHOLDERS = {
    "FOLDER": "installed",
    "GROUP": "shops",
    "HOST": "shop1",
    "ID": "00000000-0000-0000-0000-000000000000",
    "NAME": "elephant",
    "NAMES": "localhost",
}
OF_THE_SANDBOX = {"KEY", "URL"}
# Files outside of the checkout, a user of the sandbox, and options that a connection with `cluster` needs besides.
REPLACED = {
    "certs/client.shop.": "certs/client.petra.",
    "/etc/ca.crt": "$PWD/ca.crt",
    '"apps": "{{ crdb_apps }}"}': '"apps": "{{ crdb_apps }}", "password_store": "{{ crdb_sql_user_password_store }}", '
    '"cloud": {"url": "{{ crdb_cloud_url }}", "ca_file": "{{ crdb_cloud_ca_file }}"}}',
}
CAPITALS = re.compile(r"(?<![\w$./{-])[A-Z]{2,}(?![\w(}=])")
# Words in capitals that are typed as they are.
NO_PLACEHOLDERS = {"COUNT", "FROM", "SELECT"}

# The command that an option in a page's sentences belongs to, where it is not the last one that the page printed.
COMMAND_OF_OPTION = {
    ("addresses.md", "crdb_network_current"): "playbooks/authorize_network.yml -e crdb_network_clusters=funky-skunk",
    ("client.md", "crdb_app_psql_service"): "playbooks/dev_machine.yml",
    ("glossary.md", "crdb_check_drivers"): "-i inventories/mine/staging playbooks/check.yml",
    ("index.md", "crdb_hosts"): "playbooks/offboard.yml",
    ("pipeline.md", "crdb_check_fail"): "-i inventories/mine/staging playbooks/check.yml",
    ("troubleshooting.md", "crdb_app_config_force"): "-i inventories/mine/staging playbooks/app_servers.yml",
    ("upgrading.md", "crdb_hosts"): "playbooks/offboard.yml",
}
PLAYBOOK = ".venv/bin/ansible-playbook"
CLIENT_CA = {"ca": "our-client-ca.crt", "ca_key": "our-client-ca.key"}
# What a person types when a command asks.
TYPED = {
    "ansible-vault encrypt": "a vault's password\na vault's password\n",
    "--ask-vault-pass": "a vault's password\n",
    "read -rs": "correct-horse-battery-staple-2\n",
    "openssl pkcs12": "a store's password\na store's password\n",
}
# Their readers begin without a fleet whose files are written; those of BEFORE_ACCESS without users and networks too.
BEFORE_ROLLOUT = {"README.md", "app-servers.md"}
BEFORE_ACCESS = {"network.md", "inventories/example/README.md"}
# Their readers' app, in the folder where they type, logs in to an Advanced cluster by a client certificate.
BY_CERTIFICATE = {"login.md"}


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
    NotRun(r"^set -a; \. \./\.env", "needs the .env of an app; test_sql_shell runs it", "shell"),
    NotRun(r"^python -m sandbox ", "starts and stops this machine's sandbox; tests/unit/sandbox does it", "shell"),
    NotRun(r"-m crdb\.onboard\.egress", "asks echo services of the internet; test_network has some", "shell"),
    NotRun(r"^ansible -a$", "is a warning and no command", "shell"),
    NotRun(r"password=\.\.\.", "is a warning and no command", "playbook"),
    NotRun(r"-e '?\{?\"?crdb_client_\w+", "downloads the client; test_client_role does it", "playbook"),
    NotRun(r"crdb_connection_ca_cluster_id=", "downloads from the Cloud; test_coming_in has an id", "playbook"),
    NotRun(r"crdb_connection_host=db\.example\.com", "is a host that nobody has", "playbook"),
)


def _page_name(page: Path) -> str:
    return page.name if page.parent.name == "docs" else str(page.relative_to(CHECKOUT))


def _joined(body: str) -> list[str]:
    """The lines of a block, those that continue made one, without comments and empty lines."""
    lines = re.sub(r"\\\n\s*", " ", body).splitlines()
    return [
        re.sub(r"\s+# .*", "", line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")
    ]


def _with_option(page: Path, option: str, printed: list[str]) -> str:
    """The command that an option of a sentence is typed with."""
    name = option.removeprefix("-e ").partition("=")[0]
    base = COMMAND_OF_OPTION.get((page.name, name))
    if base:
        return f"{PLAYBOOK} {base} {option}"
    last = next((command for command in reversed(printed) if "ansible-playbook" in command), "")
    assert last, f"{page.name}: add the command of {option} to COMMAND_OF_OPTION"
    return f"{last.partition(' -e ')[0]} {option}"


def _printed(page: Path) -> list[str]:
    """The commands of a page in its order: the lines of `sh` blocks, commands in sentences, and options as commands."""
    found: list[str] = []
    for match in re.finditer(r"^ *```(\w*)\n(.*?)^ *```|`([^`\n]+)`", page.read_text(), re.MULTILINE | re.DOTALL):
        language, body, span = match.groups()
        if span is None:
            found += _joined(body) if language == "sh" else []
            continue
        text = span.replace("\\|", "|")
        if re.match(r"(\S*/)?(ansible|ansible-[a-z]+|make) \S", text):
            found.append(text)
        elif text.startswith("-e "):
            found.append(_with_option(page, text, found))
    # With an activated `.venv` it is the same command.
    return [re.sub(r"^ansible-playbook ", f"{PLAYBOOK} ", command) for command in found]


COMMANDS = {page: commands for page, commands in {page: _printed(page) for page in PAGES}.items() if commands}
ALL = [command for commands in COMMANDS.values() for command in commands]


def _not_run(command: str) -> NotRun | None:
    return next((row for row in NOT_RUN if re.search(row.pattern, command)), None)


TYPED_PAGES = [page for page, commands in COMMANDS.items() if any(_not_run(command) is None for command in commands)]


@dataclass(frozen=True)
class Reader:
    """A reader's checkout, with inventories of this machine, and their environment."""

    folder: Path
    environment: dict[str, str]
    words: dict[str, str]
    """What they type in the place of a word in capitals."""

    def type(self, commands: list[str]) -> list[tuple[str, int | None, str]]:
        """Type commands into one shell: each one with its exit status (None where the shell had ended) and output."""
        lines = []
        for number, command in enumerate(commands):
            answers = next((text for part, text in TYPED.items() if part in command), "")
            lines += [
                "{",
                self.typed(command),
                f"}} <<'ANSWERS' 2>&1\n{answers}ANSWERS",
                f"printf '\\n@@%s:%s\\n' {number} $?",
            ]
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1500,
            # Without a terminal of its own, what asks for a password reads what was typed.
            start_new_session=True,
        )  # fmt: skip
        parts = re.split(r"^@@(\d+):(\d+)\n", done.stdout, flags=re.MULTILINE)
        ended = {int(number): (int(status), text) for text, number, status in zip(parts[::3], parts[1::3], parts[2::3])}
        return [
            (command, *ended.get(number, (None, parts[-1] if number == len(ended) else "")))
            for number, command in enumerate(commands)
        ]

    def typed(self, command: str) -> str:
        """The command with the reader's own words in the place of placeholders."""
        text = CAPITALS.sub(lambda match: self.words.get(match[0], match[0]), command)
        for printed, own in REPLACED.items():
            text = text.replace(printed, own)
        return text


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _url(facts: dict[str, str], **query: str) -> str:
    named = {"sslmode": "verify-full", "sslrootcert": facts["ca_file"], **query}
    return (
        f"postgresql://{facts['user']}:{facts['password']}@{facts['host']}:{facts['port']}/{facts['database']}"
        f"?{'&'.join(f'{name}={value}' for name, value in named.items())}"
    )


def _everywhere(sandbox: Sandbox, folder: Path, drivers: dict[str, object]) -> dict[str, object]:
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


def _inventory_of_shops(folder: Path, everywhere: dict[str, object], *, by_certificate: bool = False) -> None:
    """`inventories/mine`, filled in with one host and one app."""
    connection = {"cluster": "funky-skunk", "user": "shop"}
    if by_certificate:
        # The sandbox takes a certificate of the users that it starts with.
        connection = {"cluster": "steady-heron", "user": "petra"}
        connection |= {f"client_{kind}_file": str(folder / name) for kind, name in CLIENT_CA.items()}
    shop = {
        "crdb_connections": {"shop_db": connection},
        "crdb_apps": [
            {
                "name": "shop",
                "connection": "shop_db",
                "folder": str(folder if by_certificate else folder / "shop"),
                "frameworks": ["psycopg2", "django"],
            }
        ],
        "crdb_network_clusters": [connection["cluster"]],
        "crdb_network_entries": [{"cidr": "198.41.0.0/24", "name": "office"}],
    }
    inventory = {"all": {"children": {"shops": {"hosts": {"shop1": {}}}}, "vars": {**everywhere, **shop}}}
    for environment in ("staging", "production"):
        _write_json(folder / "inventories" / "mine" / environment / "hosts.yml", inventory)


def _editor(folder: Path, sandbox: Sandbox, everywhere: dict[str, object]) -> Path:
    """An editor that fills in the copied example as its README says: hosts of this machine, clusters of the sandbox."""
    filled = folder / "filled"
    skunk, heron = sandbox.connections["funky_skunk"], sandbox.connections["steady_heron"]
    here = {"ansible_become": False}
    apps = {
        group: [
            {"name": name, "connection": f"{name}_db", "folder": str(folder / name), "frameworks": frameworks}
            for name, frameworks in names.items()
        ]
        for group, names in (
            ("shops", {"shop": ["django"], "ledger": ["node-postgres"]}),
            ("reports", {"reports": ["sqlalchemy"]}),
        )
    }
    groups = {group: {"hosts": {f"{group}1.example.com": {**here, "crdb_apps": apps[group]}}} for group in apps}
    _write_json(filled / "hosts.yml", {"all": {"children": groups, "vars": everywhere}})
    text = (EXAMPLE / "staging" / "group_vars" / "all" / "connections.yml").read_text()
    for printed, own in (
        ("shop-staging-4711.abc.aws-eu-central-1.cockroachlabs.cloud", f"{skunk['host']}\n    port: {skunk['port']}"),
        ("shop-staging-4711", skunk["routing_id"]),
        ("user: shop", f"user: {skunk['user']}\n    ca_file: {skunk['ca_file']}"),
        ("ledger-staging-xyz.gcp-europe-west3.cockroachlabs.cloud", f"{heron['host']}\n    port: {heron['port']}"),
        ("user: ledger", f"user: {heron['user']}"),
        ("database: shop", f"database: {skunk['database']}"),
        ("database: ledger", f"database: {heron['database']}"),
    ):
        assert printed in text, printed
        text = text.replace(printed, str(own))
    (filled / "connections.yml").write_text(text)
    network = (EXAMPLE / "staging" / "group_vars" / "all" / "network.yml").read_text()
    network = network.replace("shop-staging", "funky-skunk").replace("ledger-staging", "steady-heron")
    (filled / "network.yml").write_text(network)
    vault = (EXAMPLE / "vault.yml.example").read_text()
    for facts in (skunk, heron):
        vault = vault.replace('"..."', json.dumps(facts["password"]), 1)
    (filled / "vault.yml").write_text(vault)
    editor = folder / "editor"
    editor.write_text(
        f'#!/bin/sh\nfor file; do cp {shlex.quote(str(filled))}/"${{file##*/}}" "$file" || exit 1; done\n'
    )
    editor.chmod(0o755)
    return editor


@pytest.fixture
def own_sandbox():
    """A sandbox of one page: the commands change users and allowlists."""
    state = new_state()
    try:
        run_sandbox("up", "--state", str(state), "--port", "0", "--lifetime", "1800", "--throttle", "0")
        yield Sandbox.read(state)
    finally:
        run_sandbox("down", "--state", str(state))
        shutil.rmtree(state)


def _checkout(folder: Path) -> Path:
    """A clone of the project, and the home folder of the account."""
    home = folder / "home"
    home.mkdir()
    for name in LINKED:
        (folder / name).symlink_to(CHECKOUT / name)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(BIN)
    shutil.copytree(CHECKOUT / "inventories", folder / "inventories", ignore=shutil.ignore_patterns("mine"))
    return home


@pytest.fixture
def reader(own_sandbox, drivers, tmp_path):
    """A reader with a clone and a cluster's string in the environment, and the variables of their hosts."""
    home = _checkout(tmp_path)
    everywhere = _everywhere(own_sandbox, tmp_path, drivers)
    # The sandbox is not the Cloud: its address is in the inventory of the reader's own machine.
    _write_json(tmp_path / "own.yml", {"all": {"hosts": {"localhost": everywhere}}})
    skunk, heron = own_sandbox.connections["funky_skunk"], own_sandbox.connections["steady_heron"]
    key = Path(own_sandbox.cloud["crdb_cloud_api_key_file"]).read_text().strip()
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "ANSIBLE_INVENTORY": str(tmp_path / "own.yml"),
        "COCKROACH_API_KEY": key,
        "DATABASE_URL": _url(skunk, options=f"--cluster%3D{skunk['routing_id']}"),
        "EDITOR": str(_editor(tmp_path, own_sandbox, everywhere)),
    }
    words = {**PLACEHOLDERS, "KEY": key, "URL": shlex.quote(_url(heron))}
    return Reader(tmp_path, environment, words), everywhere, own_sandbox


def _before(page: str) -> list[str]:
    """What the readers of a page have typed before."""
    if page in BEFORE_ACCESS:
        return []
    access = [
        f"{PLAYBOOK} -i inventories/mine/staging playbooks/sql_user.yml",
        f"{PLAYBOOK} -i inventories/mine/staging playbooks/authorize_network.yml -e crdb_network_current=controller"
        " -e crdb_network_name=mine",
    ]
    if page in BY_CERTIFICATE:
        options = [f"-e crdb_client_cert_{kind}_file={name}" for kind, name in CLIENT_CA.items()]
        access.insert(0, " ".join([f"{PLAYBOOK} playbooks/client_ca.yml", *options]))
        access.append(f"{PLAYBOOK} -i inventories/mine/staging playbooks/cluster_client_ca.yml")
    rollout = f"{PLAYBOOK} -i inventories/mine/staging playbooks/app_servers.yml"
    return access if page in BEFORE_ROLLOUT else [*access, rollout]


@pytest.mark.parametrize("page", TYPED_PAGES, ids=_page_name)
def test_the_commands_of_a_page_work_as_they_are_printed(reader, page):
    own, everywhere, sandbox = reader
    name = _page_name(page)
    if page.parent != EXAMPLE:
        _inventory_of_shops(own.folder, everywhere, by_certificate=name in BY_CERTIFICATE)
    cluster = sandbox.clusters["steady-heron" if page.parent == EXAMPLE else "funky-skunk"]
    shutil.copy(cluster.ca_file, own.folder / "ca.crt")
    before = _before(name)
    commands = [command for command in COMMANDS[page] if _not_run(command) is None]
    results = own.type([*before, *commands])
    failed = [f"{command}: {status}\n{output}" for command, status, output in results if status != 0]
    assert failed == [], "\n".join(failed)
    assert not any("DEPRECATION" in output for _command, _status, output in results)


def test_a_command_that_fails_is_noticed(reader):
    own, _everywhere, _sandbox = reader
    typed = own.type(["true", "echo shown; false", "exit 3", "true"])
    assert [(status, output.strip()) for _command, status, output in typed] == [
        (0, ""), (1, "shown"), (None, ""), (None, ""),
    ]  # fmt: skip


def test_every_placeholder_has_a_value():
    words = {word for command in ALL for word in CAPITALS.findall(re.sub(r"'SELECT [^']*'", "", command))}
    assert words - set(PLACEHOLDERS) - OF_THE_SANDBOX - NO_PLACEHOLDERS == set()


def test_every_row_of_the_tables_is_needed():
    assert [row.pattern for row in NOT_RUN if not any(_not_run(command) is row for command in ALL)] == []
    assert [part for part in TYPED if not any(part in command for command in ALL)] == []
    assert {_page_name(page) for page in TYPED_PAGES} >= BEFORE_ROLLOUT | BEFORE_ACCESS | BY_CERTIFICATE


def _checked_as(check: str) -> list[str]:
    found = [command for command in ALL if (row := _not_run(command)) is not None and row.check == check]
    return list(dict.fromkeys(found))


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
def test_a_shell_can_read_a_command_that_is_not_run(command):
    # Some of them are for bash and zsh only.
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", _with_all_options(_checked_as("playbook")))
def test_ansible_takes_a_playbook_that_is_not_run(reader, command):
    own, everywhere, _sandbox = reader
    _inventory_of_shops(own.folder, everywhere)
    ((_command, status, output),) = own.type([f"{command} --syntax-check"])
    assert status == 0, output
