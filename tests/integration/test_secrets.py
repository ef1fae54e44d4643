# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A canary password onboards every framework, and is found nowhere but in the files that are to hold it.

Run from the installed artifact, with pipelining off in the user's own configuration.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue

from sandbox import tokens
from tests.integration.conftest import BIN, CHECKOUT, Controller
from tests.integration.test_onboarding import FRAMEWORKS, url_of

CANARY = "-Canary7/ @:%?#&+='\"\\${}<>|;~*{{ {% {# \u00e9"


def encodings(secret):
    """Every form in which the password could be met: as it is, percent-encoded, escaped, in base64."""
    forms = {secret, quote(secret, safe=""), quote(secret, safe="").lower(), quote_plus(secret), quote(secret)}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    forms |= {secret.replace("'", "''"), secret.replace('"', '\\"'), secret.replace("\\", "\\\\")}
    escaped = secret.encode("unicode_escape").decode()
    forms |= {escaped, escaped.replace('"', '\\"'), escaped.replace("'", "\\'")}
    # Java's properties.
    forms.add(re.sub(r"([\\:=#! ])", r"\\\1", secret).replace("\u00e9", "\\u00e9"))
    # Ansible's wrapper holds a module's arguments as JSON within a Python literal.
    forms.add(repr(json.dumps(secret))[2:-2])
    raw = secret.encode()
    # In base64 a text has three forms, by where it begins; the first and the last characters depend on the neighbours.
    forms |= {base64.b64encode(b"x" * shift + raw)[4:-4].decode() for shift in range(3)}
    return {form.encode() for form in forms}


NEEDLES = encodings(CANARY)


def leaks(data):
    """The encodings of the canary found in some bytes."""
    return [needle for needle in NEEDLES if needle in data]


def leaking_files(folder, *, readable_by_others=False):
    """Files below a folder that hold the canary."""
    found = []
    for path in folder.rglob("*"):
        try:
            if not path.is_file() or path.is_symlink():
                continue
            if readable_by_others and not path.stat().st_mode & 0o077:
                continue
            if leaks(path.read_bytes()):
                found.append(path)
        except OSError:
            continue
    return found


class ProcessSampler:
    """Reads the command lines and the environments of all processes again and again, while something runs."""

    def __init__(self):
        self.samples = 0
        self.found = []
        self._stop = threading.Event()
        self._own = os.getpid()

    def __enter__(self):
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                if int(folder.name) == self._own:
                    continue
                try:
                    line = (folder / "cmdline").read_bytes()
                except OSError:
                    continue
                self.samples += 1
                if leaks(line.replace(b"\0", b" ")) or leaks(line):
                    self.found.append(line)


@pytest.fixture(scope="module")
def canary_user(sandbox):
    """A SQL user of one cluster whose password is the canary."""
    cluster = sandbox.clusters["funky-skunk"]
    with psycopg.connect(**cluster.conninfo(), autocommit=True) as connection:
        verifier = connection.pgconn.encrypt_password(CANARY.encode(), b"maxroach", b"scram-sha-256").decode()
        restore = connection.pgconn.encrypt_password(cluster.password.encode(), b"maxroach", b"scram-sha-256").decode()
        connection.execute(f"ALTER ROLE maxroach PASSWORD '{verifier}'".encode())
        yield {**sandbox.connections["funky_skunk"], "password": CANARY}
        connection.execute(f"ALTER ROLE maxroach PASSWORD '{restore}'".encode())


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The collection, built and installed elsewhere."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", folder], cwd=CHECKOUT, check=True,
        capture_output=True,
    )  # fmt: skip
    artifact = next(folder.glob("*.tar.gz"))
    environment = {**os.environ, "HOME": str(folder)}
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "install", "--offline", "-p", folder / "collections", artifact],
        cwd=folder, check=True, capture_output=True, env=environment,
    )  # fmt: skip
    return folder / "collections"


@pytest.fixture
def person(tmp_path, installed):
    """Somebody with the installed collection, pipelining off, a fact cache, a log, and temp folders to search."""
    home = tmp_path / "home"
    for name in ("home", "remote_tmp", "local_tmp", "cache"):
        (tmp_path / name).mkdir()
    config = tmp_path / "ansible.cfg"
    config.write_text(
        "[defaults]\n"
        f"remote_tmp = {tmp_path}/remote_tmp\nlocal_tmp = {tmp_path}/local_tmp\n"
        f"fact_caching = jsonfile\nfact_caching_connection = {tmp_path}/cache\n"
        "callback_result_format = yaml\n[connection]\npipelining = false\n[ssh_connection]\npipelining = false\n"
    )
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_LOG_PATH": str(tmp_path / "ansible.log")}
    return Controller(home, cwd=tmp_path, config=config, environment=environment)


def assert_nothing_leaked(person, sandbox, *outputs, holders=()):
    """The canary is in none of the places where it must not be."""
    for output in outputs:
        assert leaks(output.encode(errors="surrogateescape")) == []
    top = person.home.parent
    assert (top / "ansible.log").stat().st_size > 0
    assert leaking_files(top, readable_by_others=True) == []
    assert sorted(str(path.relative_to(person.home)) for path in leaking_files(top)) == sorted(holders)
    assert leaking_files(sandbox.state) == []


@pytest.fixture
def by_token(sandbox, tmp_path_factory):
    """Two connections of a user with a token: from a file, and from a lookup. Its signature counts as a canary."""
    cluster = "lone-badger"
    claims = tokens.claims_for(sandbox.clusters[cluster].user, cluster)
    token = tokens.mint((sandbox.state / "issuer.key").read_bytes(), claims)
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(token)
    own = {key: value for key, value in sandbox.connections["lone_badger"].items() if key != "password"}
    needles = encodings(token) | encodings(token.rpartition(".")[2])
    NEEDLES.update(needles)
    yield {"sso": {**own, "jwt_file": str(path)}, "desk": own}, token
    NEEDLES.difference_update(needles)


def inventory(person, facts, how, apps=None, others=None):
    """An inventory folder whose secrets come by a lookup of the environment, or are marked !unsafe."""
    apps = apps or [{"name": "shop", "connection": "shop", "folder": "~/shop", "frameworks": FRAMEWORKS}]
    folder = person.home.parent / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts.yml").write_text(
        "all:\n  hosts:\n    localhost:\n      ansible_connection: local\n"
        "      ansible_python_interpreter: '{{ ansible_playbook_python }}'\n"
    )
    lines = []
    for key, value in facts.items():
        secret = key in ("password", "url")
        if secret and how == "lookup":
            text = f"\"{{{{ lookup('ansible.builtin.env', 'SHOP_{key.upper()}') }}}}\""
        else:
            text = f"!unsafe {json.dumps(value)}" if secret else json.dumps(value)
        lines.append(f"    {key}: {text}\n")
    variables = folder / "group_vars" / "all.yml"
    lines += [f"  {name}: {json.dumps(own)}\n" for name, own in (others or {}).items()]
    text = f"crdb_connections:\n  shop:\n{''.join(lines)}crdb_apps: {json.dumps(apps)}\n"
    variables.write_text(text.replace('"lookup of SHOP_JWT"', "\"{{ lookup('ansible.builtin.env', 'SHOP_JWT') }}\""))
    variables.chmod(0o600)
    return folder


@pytest.mark.parametrize("how", ["lookup", pytest.param("unsafe", marks=pytest.mark.thorough)])
def test_from_the_inventory(person, sandbox, drivers, canary_user, by_token, how):
    others, token = by_token
    others["desk"] = {**others["desk"], "jwt": "lookup of SHOP_JWT"}
    apps = [
        {"name": "shop", "connection": "shop", "folder": "~/shop", "frameworks": FRAMEWORKS},
        {"name": "sso", "connection": "sso", "folder": "~/sso", "frameworks": ["psycopg2"]},
        {"name": "desk", "connection": "desk", "folder": "~/desk"},
    ]
    folder = inventory(person, canary_user, how, apps, others)
    outputs = []
    with ProcessSampler() as sampler:
        for words in (["--check", "--diff"], ["--diff"], ["--diff"]):
            run = person.playbook(
                "crdb.onboard.dev_machine", {**drivers, "crdb_hosts": "localhost"}, "-i", folder, "-vvvv", *words,
                SHOP_PASSWORD=CANARY, SHOP_JWT=token,
            )  # fmt: skip
            outputs.append(run.output)
            assert run.status == 0, run.output[-3000:]
    assert outputs[1].count(": connected as maxroach") >= len(FRAMEWORKS)
    assert ": connected as roach" in outputs[1]
    assert sampler.samples > 100
    assert sampler.found == []
    (folder / "group_vars" / "all.yml").unlink()
    assert_nothing_leaked(person, sandbox, *outputs, holders=["shop/.env"])


CALLBACK = """
DOCUMENTATION = "name: recorder"
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "recorder"
    def v2_runner_on_ok(self, result):
        with open("{path}", "a") as stream:
            print(result._task_fields, result._result, file=stream)
    v2_runner_on_failed = v2_runner_on_ok
"""


def test_a_callback_is_not_given_the_password(person, canary_user):
    """Ansible hands the options of each task to all callbacks, of which some write them to a log or a database."""
    folder = inventory(person, canary_user, "lookup")
    recorded = person.home.parent / "recorded"
    plugins = person.home.parent / "plugins"
    plugins.mkdir()
    (plugins / "recorder.py").write_text(CALLBACK.format(path=recorded))
    person.environment["ANSIBLE_CALLBACK_PLUGINS"] = str(plugins)
    person.environment["ANSIBLE_CALLBACKS_ENABLED"] = "recorder"
    run = person.playbook("crdb.onboard.dev_machine", {"crdb_hosts": "localhost"}, "-i", folder, SHOP_PASSWORD=CANARY)
    assert run.status == 0, run.output
    text = recorded.read_bytes()
    assert b"Write the configuration" in text
    assert leaks(text) == []


THEIRS = "0thers-canary"


def test_a_difference_shows_no_secret_whoever_keeps_it(person, canary_user):
    """Others' files are replaced, the password changes, everything is taken away: `--diff` shows names and lines."""
    frameworks = [
        {"name": "django", "password_place": "inline"},
        {"name": "typeorm", "version": "0.2.45", "variant": "json", "password_place": "inline"},
        "psycopg2",
    ]
    app = {"name": "shop", "connection": "shop", "folder": "~/shop", "frameworks": frameworks, "psql_service": "shop"}
    folder = inventory(person, canary_user, "lookup", [app])
    theirs = {
        "shop/.env": f"export API_AUTH={THEIRS}\nSENTRY_DSN=https://{THEIRS}@sentry.example/1\nDATABASE_URL='{THEIRS}'\n",
        "shop/crdb_settings.py": f'API = {{"auth": "{THEIRS}"}}\n{THEIRS!r}\n',
        "shop/ormconfig.json": json.dumps({"password": THEIRS, "extra": [THEIRS]}),
        ".pgpass": f"*:*:*:me:{THEIRS}\n",
        ".pg_service.conf": f"[mine]\npassword={THEIRS}\n",
    }
    for name, text in theirs.items():
        path = person.home / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        path.chmod(0o600)
    outputs = []

    def run(playbook, password, *words):
        done = person.playbook(
            f"crdb.onboard.{playbook}", {"crdb_hosts": "localhost", "crdb_app_config_force": True}, "-i", folder,
            "--diff", *words, SHOP_PASSWORD=password,
        )  # fmt: skip
        outputs.append(done.output)
        return done

    assert run("dev_machine", CANARY, "--check").status == 0, outputs[-1]
    assert run("dev_machine", CANARY).status == 0, outputs[-1]
    for name in ("shop/.env", "shop/crdb_settings.py", "shop/ormconfig.json"):
        assert leaks((person.home / name).read_bytes()), name
    # The second password is refused by the server; what is written and shown before that counts here.
    run("dev_machine", f"another-{CANARY}", "-vvvv")
    run("dev_machine", f"another-{CANARY}", "-vvvv", "-e", "crdb_app_config_prove=false")
    (person.home / "shop" / "crdb_settings.py").write_text(f"PASSWORD = '{THEIRS}'\n")
    run("dev_machine", CANARY, "--check")
    assert run("offboard", CANARY, "-vvvv").status == 0, outputs[-1]
    for output in outputs:
        assert leaks(output.encode(errors="surrogateescape")) == []
        assert THEIRS not in output
    assert "API_AUTH" not in outputs[1]
    assert "DATABASE_URL=********" in outputs[1]


THE_DEVELOPERS = {"demo", "sandbox"}
STORY = (
    "client_ca",
    "cluster_client_ca",
    "frameworks",
    "sql_user",
    "authorize_network",
    "connection",
    "dev_machine",
    "check",
    "rotate_credentials",
    "app_servers",
    "offboard",
    "leaver",
)


def test_no_playbook_shows_a_secret_in_a_difference(person, sandbox):
    """Every playbook with `--diff`, over another's files, with the key of the API and each password that there was."""
    assert set(STORY) | THE_DEVELOPERS == {path.stem for path in (CHECKOUT / "playbooks").glob("*.yml")}
    url, ca_file = sandbox.cloud["crdb_cloud_url"], sandbox.cloud["crdb_cloud_ca_file"]
    store = person.home.parent / "passwords.json"
    inline = {"name": "django", "password_place": "inline"}
    variables = {
        **sandbox.cloud,
        "crdb_hosts": "localhost",
        "crdb_network_allow_private": True,
        "crdb_network_current": "controller",
        "crdb_network_name": "gina",
        "crdb_network_allow_lockout": True,
        "crdb_network_echo": [f"{url}/echo/plain", f"{url}/echo/json"],
        "crdb_network_echo_ca_file": ca_file,
        "crdb_sql_user_password_store": str(store),
        "crdb_connections": {"shop": {"cluster": "funky-skunk", "users": ["gina_a", "gina_b"]}},
        "crdb_apps": [{"name": "shop", "connection": "shop", "folder": "~/shop", "frameworks": ["psycopg2", inline]}],
        "crdb_app_config_force": True,
    }
    (person.home / "shop").mkdir()
    for name in (".env", "crdb_settings.py"):
        (person.home / "shop" / name).write_text(f"TOKEN='{THEIRS}'\n")
        (person.home / "shop" / name).chmod(0o600)
    facts = sandbox.connections["funky_skunk"]
    own = {"frameworks": {"crdb_connections": {"shop": facts}}, "leaver": {"crdb_sql_user_name": "gina_a"}}
    key = person.home.parent / "client-ca.key"
    own["client_ca"] = {
        "crdb_client_cert_ca_file": str(key.with_suffix(".crt")), "crdb_client_cert_ca_key_file": str(key),
    }  # fmt: skip
    advanced = {"cluster": "steady-heron", "user": "gina", "client_ca_file": str(key.with_suffix(".crt"))}
    own["cluster_client_ca"] = {
        "crdb_connections": {"shop": {**advanced, "client_ca_key_file": str(key)}},
        "crdb_client_cert_cluster_allow_used": True,
    }  # fmt: skip
    secrets = {(sandbox.state / "api-key").read_text().strip(), THEIRS, facts["password"]}
    outputs = {}
    for name in STORY:
        # Before there is a user, a preview of what comes after it cannot log in.
        for words in (["--check"], []) if store.exists() or name in ("frameworks", "sql_user") else ([],):
            done = person.playbook(
                f"crdb.onboard.{name}", {**variables, **own.get(name, {})}, "-vvvv", "--diff", *words
            )
            assert done.status == 0, f"{name} {words}\n{done.output[-4000:]}"
            outputs[(name, *words)] = done.output
            if store.exists():
                (cluster,) = json.loads(store.read_text())["clusters"].values()
                secrets |= {user["password"] for user in cluster["users"].values()}
    person.playbook("crdb.onboard.leaver", {**variables, "crdb_sql_user_name": "gina_b"})
    taken_away = {**variables, **own["cluster_client_ca"], "crdb_client_cert_cluster_state": "absent"}
    assert person.playbook("crdb.onboard.cluster_client_ca", taken_away).recap()["changed"] == 1
    assert len(secrets) >= 5, "the password was not changed"
    lines = [line for line in key.read_text().splitlines() if len(line) > 40]
    assert lines != []
    secrets |= set(lines)
    shown = [(name, secret) for name, output in outputs.items() for secret in secrets if secret in output]
    assert shown == []
    assert "DATABASE_URL=********" in outputs[("dev_machine",)]


def test_every_framework_from_the_environment(person, sandbox, canary_user):
    """All frameworks there are, the password in the environment file, and inline where the framework can."""
    facts = {**canary_user, "password": quote(CANARY, safe="")}
    catalogue = _catalogue.load()
    inline = [name for name, framework in catalogue.items() if "inline" in framework.places]
    assert len(catalogue) > 10
    assert inline != []
    apps = [{"name": f"env-{name}", "folder": f"~/env/{name}", "frameworks": [name]} for name in catalogue]
    apps += [
        {"name": f"in-{name}", "folder": f"~/in/{name}", "frameworks": [name], "password_place": "inline"}
        for name in inline
    ]
    run = person.playbook(
        "crdb.onboard.dev_machine", {"crdb_connection_ca_file": facts["ca_file"], "crdb_apps": apps},
        "-vvvv", "--diff", DATABASE_URL=url_of(facts),
    )  # fmt: skip
    assert run.status == 0, run.output[-3000:]
    holders = sorted(str(path.relative_to(person.home)) for path in leaking_files(person.home))
    reading = [name for name, framework in sorted(catalogue.items()) if framework.environment or framework.files == ()]
    from_environment = [name for name in holders if name.startswith("env/") and name.endswith("/.env")]
    assert from_environment == [f"env/{name}/.env" for name in reading]
    assert {name.split("/")[1] for name in holders if name.startswith("in/")} == set(inline)
    assert_nothing_leaked(person, sandbox, run.output, holders=holders)


def test_from_a_prompt(person, sandbox, canary_user):
    words = [
        "ansible-playbook",
        "crdb.onboard.dev_machine",
        "-vvvv",
        "-e",
        f"crdb_connection_ca_file={canary_user['ca_file']}",
    ]
    with ProcessSampler() as sampler:
        terminal = person.terminal([*words, "-e", "crdb_frameworks=psycopg2"])
        terminal.until("Connection string of the cluster")
        terminal.type(url_of(canary_user, password=False))
        terminal.until("Password of the SQL user maxroach")
        terminal.type(CANARY)
        assert terminal.end() == 0, terminal.screen[-3000:]
    assert sampler.found == []
    assert_nothing_leaked(person, sandbox, terminal.screen, holders=["crdb-app/.env"])


FAILING = {
    "apps of a bad type": ({"apps": "nonsense"}, "crdb_apps"),
    "unknown key": ({"extra": {"colour": "red"}}, "colour"),
    "refused database": ({"extra": {"database": "a.b"}}, "database"),
    "weak sslmode": ({"query": "?sslmode=require"}, "sslmode"),
    "url with the raw password": ({"raw": True}, "connections.shop"),
    "no such framework": ({"apps": [{"frameworks": ["nonsense"]}]}, "There is no framework"),
    "nobody listens": ({"extra": {"port": 1}}, "tcp_refused"),
    "wrong CA": ({"stranger": True}, "tls_unknown_ca"),
    "no such cluster": ({"extra": {"routing_id": "happy-koala-7"}}, "unknown_cluster"),
    "rejected": ({"extra": {"user": "carl"}}, "password_rejected"),
    "folder that cannot be made": ({"apps": [{"folder": "/proc/nowhere"}]}, "/proc"),
    "a foreign file": ({"foreign": True}, "the existing file was not written"),
    "unreachable": ({"host": "unreachable"}, "UNREACHABLE"),
}


@pytest.mark.parametrize("name", FAILING)
def test_failing_runs_say_nothing(person, sandbox, canary_user, name):
    change, message = FAILING[name]
    facts = {**canary_user, **change.get("extra", {})}
    if change.get("stranger"):
        facts["ca_file"] = str(sandbox.stranger_ca_file)
    if "query" in change or "raw" in change:
        password = CANARY if "raw" in change else quote(CANARY, safe="")
        url = f"postgresql://maxroach:{password}@localhost:{facts['port']}/defaultdb" + change.get("query", "")
        facts = {"url": url, "ca_file": facts["ca_file"]}
    if change.get("foreign"):
        (person.home / "shop").mkdir()
        (person.home / "shop" / "crdb_database.py").write_text("mine")
    folder = inventory(person, facts, "lookup", change.get("apps"))
    if "host" in change:
        (folder / "hosts.yml").write_text(
            "all:\n  hosts:\n    unreachable:\n      ansible_host: 127.0.0.1\n      ansible_port: 1\n"
        )
    secrets = {f"SHOP_{key.upper()}": facts[key] for key in ("password", "url") if key in facts}
    run = person.playbook("crdb.onboard.app_servers", None, "-i", folder, "-vvvv", "--diff", **secrets)
    assert run.status != 0, run.output[-2000:]
    assert message in run.output, run.output[-3000:]
    holders = [name for name in ("shop/.env", "crdb-app/.env") if (person.home / name).exists()]
    assert_nothing_leaked(person, sandbox, run.output, holders=sorted(holders))


def test_reports_hold_no_password(person, sandbox, canary_user):
    """In every format, of hosts that pass, that fail before and after the login, and that are unreachable."""
    folder = inventory(person, canary_user, "lookup")
    local = "{ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'}"
    (folder / "hosts.yml").write_text(
        "all:\n  hosts:\n    dead: {ansible_host: 127.0.0.1, ansible_port: 1}\n"
        + "".join(f"    {name}: {local}\n" for name in ("good", "refused", "unknown", "broken"))
    )
    (folder / "host_vars").mkdir()
    password = "{{ lookup('ansible.builtin.env', 'SHOP_PASSWORD') }}"
    for name, change in (("refused", {"user": "carl"}), ("unknown", {"routing_id": "happy-koala-7"})):
        facts = {**canary_user, "password": password, **change}
        (folder / "host_vars" / f"{name}.json").write_text(json.dumps({"crdb_connections": {"shop": facts}}))
    (folder / "host_vars" / "broken.json").write_text(json.dumps({"crdb_apps": [{"connection": "nonsense"}]}))
    reports = person.home / "reports"
    formats = ["html", "json", "junit", "text"]
    variables = {"crdb_check_report_folder": str(reports), "crdb_check_report_formats": formats}
    placed = person.playbook("crdb.onboard.app_servers", None, "-i", folder, "-l", "good", SHOP_PASSWORD=CANARY)
    assert placed.status == 0, placed.output[-3000:]
    run = person.playbook("crdb.onboard.check", variables, "-i", folder, "-vvvv", "--diff", SHOP_PASSWORD=CANARY)
    assert run.status == 2, run.output[-3000:]
    assert len(list(reports.iterdir())) == len(formats)
    for code in ("password_rejected", "unknown_cluster", "check_failed", "unreachable"):
        assert code in (reports / "crdb-check.txt").read_text()
    assert_nothing_leaked(person, sandbox, run.output, holders=["shop/.env"])


def test_killed_runs_leave_nothing_in_temp_folders(person, sandbox, canary_user):
    folder = inventory(person, canary_user, "lookup")
    for delay in (0.8, 1.2, 1.6, 2.0, 2.4, 2.8):
        process = subprocess.Popen(
            [person.bin / "ansible-playbook", "crdb.onboard.dev_machine", "-i", folder, "-e", "crdb_hosts=localhost"],
            cwd=person.cwd, env=person._environment({"SHOP_PASSWORD": CANARY}), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        top = person.home.parent
        for name in ("remote_tmp", "local_tmp", "cache"):
            assert leaking_files(top / name) == []
        # A config never names a CA that is not there.
        assert not (person.home / "shop" / ".env").exists() or (person.home / "shop" / "certs" / "ca.crt").exists()
        holders = {str(path.relative_to(person.home)) for path in leaking_files(person.home)}
        assert {name for name in holders if not name.startswith("shop/.crdb-onboard.")} <= {"shop/.env"}
    run = person.playbook("crdb.onboard.dev_machine", {"crdb_hosts": "localhost"}, "-i", folder, SHOP_PASSWORD=CANARY)
    assert run.status == 0, run.output[-3000:]
    assert [str(path.relative_to(person.home)) for path in leaking_files(person.home)] == ["shop/.env"]


def test_keep_remote_files_is_refused(person, canary_user):
    folder = inventory(person, canary_user, "lookup")
    run = person.playbook(
        "crdb.onboard.app_servers", None, "-i", folder, ANSIBLE_KEEP_REMOTE_FILES="1", SHOP_PASSWORD=CANARY
    )
    assert run.status != 0
    assert "ANSIBLE_KEEP_REMOTE_FILES" in run.output
    assert leaking_files(person.home.parent) == []


class TestTheSearchesFindWhatIsPlanted:
    """Each search above would have found a leak: one is planted in each place."""

    @pytest.mark.parametrize("needle", sorted(NEEDLES))
    def test_in_an_output(self, needle):
        assert leaks(b"before " + needle + b" after") != []

    @pytest.mark.parametrize("shift", range(3))
    def test_in_base64(self, shift):
        assert leaks(base64.b64encode(b"y" * shift + CANARY.encode() + b"z" * 5)) != []

    def test_in_files(self, tmp_path):
        for name, mode in (("open", 0o644), ("private", 0o600)):
            (tmp_path / name).write_text(f"x{CANARY}x")
            (tmp_path / name).chmod(mode)
        assert [path.name for path in leaking_files(tmp_path, readable_by_others=True)] == ["open"]
        assert {path.name for path in leaking_files(tmp_path)} == {"open", "private"}

    def test_in_a_command_line(self):
        with ProcessSampler() as sampler:
            subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", CANARY], check=True)
        assert sampler.found != []

    def test_in_the_remote_temp_folder(self, person):
        """A module called the usual way, with pipelining off and its files kept, leaves its arguments there."""
        play = person.home.parent / "leak.yml"
        play.write_text(
            "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
            "    - ansible.builtin.debug: {msg: hello}\n"
            "    - ansible.builtin.command: {argv: ['wc', '-c'], stdin: \"{{ lookup('env', 'SHOP_PASSWORD') }}\"}\n"
        )
        run = person.run("ansible-playbook", play, ANSIBLE_KEEP_REMOTE_FILES="1", SHOP_PASSWORD=CANARY)
        assert run.status == 0, run.output
        assert leaking_files(person.home.parent / "remote_tmp") != []
