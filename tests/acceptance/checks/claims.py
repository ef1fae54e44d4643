# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What README claims, by the project's own playbooks and modules, as a person runs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import psycopg
from psycopg import sql

from tests.acceptance.api import segment
from tests.acceptance.run import CheckError, Run, SkippedError, check, expect
from tests.acceptance.target import release

BOSS, APP, SAMPLE = "boss", "app", "sample"
"""The words of the administrator, of the app's user, and of the database that both use."""
SCHEMA = "shop"
"""In the run's own database. In the schema public everybody may create tables, as CockroachDB is set by default."""

GRANTS = [
    {"privileges": ["CONNECT"]},
    {"schema": SCHEMA, "privileges": ["USAGE"]},
    {"schema": SCHEMA, "tables": "all", "privileges": ["SELECT", "INSERT"], "future": True},
]


def _said(text: str, output: str) -> str:
    return f"the run did not say {text!r}, but: {output[-300:]}"


def connections(run: Run) -> dict[str, Any]:
    """The value of `crdb_connections`: the administrator's connection and the app's."""
    if run.target.kind == "cloud":
        place: dict[str, Any] = {"cluster": run.target.name}
        admin = {**place, "user": run.names(BOSS)}
    else:
        conninfo = run.target.conninfo
        place = {
            "deployment": "self_hosted", "host": conninfo["host"], "port": int(conninfo["port"]),
            "ca_file": conninfo["sslrootcert"],
        }  # fmt: skip
        admin = {**place, "user": conninfo["user"]}
        admin.update({key: conninfo[key] for key in ("password", "sslcert", "sslkey") if conninfo.get(key)})
    return {"boss": admin, "db": {**place, "user": run.names(APP), "database": run.names(SAMPLE)}}


def by_sql(run: Run) -> dict[str, Any]:
    """The variables that make the app's user by SQL."""
    return {
        "crdb_connections": connections(run),
        "crdb_sql_user_admin": "boss",
        "crdb_sql_user_grants": GRANTS,
        "crdb_apps": [app(run)],
    }


def frameworks(run: Run) -> list[str]:
    """Those whose drivers are installed."""
    has_node = run.drivers is not None and (run.drivers / "javascript" / "node_modules" / "pg").exists()
    return ["psycopg2", "django", *(["node-postgres"] if has_node else [])]


def app(run: Run) -> dict[str, Any]:
    """The app that the run configures."""
    return {
        "name": "sample", "connection": "db", "folder": "~/sample", "frameworks": frameworks(run),
        "psql_service": "sample",
    }  # fmt: skip


def admin_session(run: Run, database: str = "") -> psycopg.Connection[tuple[Any, ...]]:
    """A session of the administrator, in the run's own database."""
    name = database or run.names(SAMPLE)
    if run.target.kind == "self_hosted":
        return run.target.connect(database=name)
    return run.target.connect(run.names(BOSS), run.password(run.names(BOSS)), name)


def app_session(run: Run, **more: Any) -> psycopg.Connection[tuple[Any, ...]]:
    """A session of the app's user."""
    return run.target.connect(run.names(APP), run.password(run.names(APP)), run.names(SAMPLE), **more)


@check("api-user-and-network", "one run creates a SQL user and lets this machine in, by the cluster's name", "claim",
       kinds=("cloud",))  # fmt: skip
def api_user_and_network(run: Run) -> str | None:
    variables = {
        "crdb_sql_user_clusters": [run.target.name],
        "crdb_sql_user_name": run.names(BOSS),
        "crdb_network_clusters": [run.target.name],
        "crdb_network_current": "controller",
    }
    done = run.playbook("sql_user", "authorize_network", **variables)
    expect("is an administrator of the cluster" in done.text, _said("is an administrator of the cluster", done.text))
    users = [user["name"] for user in run.api.items(run.target.path("sql-users"), "users")]
    expect(run.names(BOSS) in users, "The run created a SQL user, but the API does not list it.")
    entries = list(run.api.items(run.target.path("networking/allowlist"), "allowlist"))
    own = [entry for entry in entries if str(entry.get("name") or "").startswith(run.names.entry_prefix)]
    expect(len(own) == 1, f"The run must have added one allowlist entry, but the API lists {len(own)} of it.")
    run.facts["entry"] = own[0]
    run.facts["others"] = [entry for entry in entries if entry not in own]
    run.target.private[own[0]["cidr_ip"]] = "ADDRESS"
    again = run.playbook("sql_user", "authorize_network", **variables)
    expect(again.changed == 0, f"The second run changed {again.changed} things, expected none.")
    return None


@check("release", "the administrator logs in, and the server says its release", "question",
       after=("api-user-and-network",))  # fmt: skip
def server_release(run: Run) -> str | None:
    with admin_session(run, "defaultdb") as session:
        row = session.execute("SELECT version()").fetchone()
    run.facts["release"] = release(str(row[0]) if row else "")
    return f"{run.facts['release']}, {run.target.plan}"


@check("database", "the module creates a database, and a second time changes nothing", "claim", after=("release",))
def database(run: Run) -> str | None:
    if run.target.kind == "self_hosted":
        with run.target.connect() as session:
            session.execute(f'CREATE DATABASE "{run.names(SAMPLE)}"'.encode())
        return None
    arguments = {"cluster": run.target.name, "name": run.names(SAMPLE), "cloud": _cloud(run)}
    first = run.module("database", arguments)
    expect("CHANGED" in first.output, f"The module did not create the database: {first.text[-200:]}")
    expect(run.names(SAMPLE) in run.target.databases(), "The database was created, but the API does not list it.")
    again = run.module("database", arguments)
    expect("SUCCESS" in again.output, f"The module created the database a second time: {again.text[-200:]}")
    return None


def _cloud(run: Run) -> dict[str, Any]:
    return {name.removeprefix("crdb_cloud_"): value for name, value in run.target.cloud_variables.items()}


@check("least-rights", "a user made by SQL can do what was granted, also on later tables, and nothing else", "claim",
       after=("database",))  # fmt: skip
def least_rights(run: Run) -> str | None:
    with admin_session(run) as session:
        session.execute(f"CREATE SCHEMA {SCHEMA}".encode())
        session.execute(f"CREATE TABLE {SCHEMA}.early (id INT PRIMARY KEY)".encode())
    run.playbook("sql_user", **by_sql(run))
    with admin_session(run) as session:
        session.execute(f"CREATE TABLE {SCHEMA}.late (id INT PRIMARY KEY)".encode())
    other_role = f"CREATE ROLE {run.names('never')}"
    with app_session(run) as session:
        for table in ("early", "late"):
            session.execute(sql.SQL("INSERT INTO {} VALUES (1)").format(sql.Identifier(SCHEMA, table)))
            session.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(SCHEMA, table)))
        for statement in (f"DELETE FROM {SCHEMA}.early", f"CREATE TABLE {SCHEMA}.more (id INT)", other_role):
            try:
                session.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                continue
            raise CheckError(f"The user may do {statement!r}, which was not granted.")
    again = run.playbook("sql_user", **by_sql(run))
    expect(again.changed == 0, f"The second run changed {again.changed} things, expected none.")
    return None


@check("proved", "from the inventory to connections that the frameworks' own drivers proved", "claim",
       after=("least-rights",))  # fmt: skip
def proved(run: Run) -> str | None:
    variables: dict[str, Any] = {**by_sql(run), "crdb_check_report_folder": str(run.folder / "check")}
    if run.drivers is None:
        raise SkippedError("The drivers cannot be installed on this machine.")
    variables["crdb_check_drivers"] = True
    variables["crdb_check_interpreters"] = {"python": str(run.drivers / "python" / "bin" / "python"), "node": "node"}
    variables["crdb_check_environment"] = {"NODE_PATH": str(run.drivers / "javascript" / "node_modules")}
    done = run.playbook("dev_machine", **variables)
    for name in ("crdb-check.html", "crdb-check.json", "crdb-check.xml"):
        expect((run.folder / "check" / name).exists(), f"The run wrote no report {name}.")
    found = json.loads((run.folder / "check" / "crdb-check.json").read_text())
    statuses = re.findall(r'"status": "(\w+)"', json.dumps(found))
    expect("proved" in statuses, f"The report has no host that is proved, but: {sorted(set(statuses))}.")
    drivers = sorted(set(re.findall(r"(\S+ [0-9][0-9.]*): connected as", done.text)))
    missing = [name for name in frameworks(run) if not any(driver.startswith(name) for driver in drivers)]
    expect(not missing, f"The drivers of {', '.join(missing)} did not connect; those that did: {drivers}.")
    expect(run.password(run.names(APP)) not in done.output, "The run printed the password.")
    again = run.playbook("dev_machine", **variables)
    expect(again.changed == 0, f"The second run changed {again.changed} things, expected none.")
    return f"{', '.join(drivers)}; {'TLSv1.3' if 'TLSv1.3' in done.text else 'no TLSv1.3'}"


@check("connection-forms", "connection.yml shows the connection in the Console's three forms, without the password",
       "claim", after=("least-rights",))  # fmt: skip
def connection_forms(run: Run) -> str | None:
    done = run.playbook("connection", crdb_connections={"db": connections(run)["db"]})
    for text in (str(run.target.conninfo["host"]), run.names(APP), run.names(SAMPLE)):
        expect(text in done.output, _said(text, done.text))
    expect(run.password(run.names(APP)) not in done.output, "The run printed the password.")
    return None


@check("one-string", "one module checks one connection string from its CA on", "claim", after=("least-rights",))
def one_string(run: Run) -> str | None:
    url = url_of(run, run.names(SAMPLE))
    done = run.module("check", {"url": url, "ca_file": run.target.conninfo["sslrootcert"]}, status=None)
    expect(done.status == 0, f"The check of the API's own connection string failed: {done.text[:600]}")
    expect("reached" in done.text, _said("reached", done.text))
    return None


def url_of(run: Run, name: str) -> str:
    """The connection string of the app's user as the service prints it, with the password."""
    user, word = run.names(APP), run.password(run.names(APP))
    if run.target.kind == "cloud":
        answer = run.api.ask("GET", run.target.path("connection-string"), os="LINUX", database=name, sql_user=user)
        url = str(answer.value["connection_string"])
        url = re.sub(r"&?sslrootcert=[^&]*", "", url)
        return url.replace(f"{segment(user)}@", f"{segment(user)}:{segment(word)}@", 1)
    conninfo = run.target.conninfo
    return f"postgresql://{user}:{segment(word)}@{conninfo['host']}:{conninfo['port']}/{name}?sslmode=verify-full"


@check("missing-database-named", "the check names a database that does not exist", "claim", after=("one-string",))
def missing_database_named(run: Run) -> str | None:
    url = url_of(run, run.names("nowhere"))
    done = run.module("check", {"url": url, "ca_file": run.target.conninfo["sslrootcert"]}, status=None)
    expect(done.status != 0, "The check passed on a database that does not exist.")
    expect("database_missing" in done.text, f"The check did not say database_missing: {done.text[:600]}")
    return None


@check("psql-service", "psql service=NAME connects with the files that were written", "claim", after=("proved",))
def psql_service(run: Run) -> str | None:
    psql = shutil.which("psql")
    if psql is None:
        raise SkippedError("psql is not installed.")
    done = subprocess.run(
        [psql, "service=sample", "-XAtc", "SELECT current_database()"], cwd=run.home, capture_output=True, text=True,
        check=False, timeout=120, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "HOME": str(run.home)},
    )  # fmt: skip
    expect(done.returncode == 0, f"psql failed: {done.stderr.strip()}")
    expect(done.stdout.strip() == run.names(SAMPLE), f"psql is connected to {done.stdout.strip()!r}.")
    return None


@check("rotation", "a rotation moves to a new password, and the old user can no longer log in", "claim",
       after=("least-rights",))  # fmt: skip
def rotation(run: Run) -> str | None:
    first, second = run.names("rot_a"), run.names("rot_b")
    both = connections(run)
    both["db"] = {**both["db"], "users": [first, second]}
    del both["db"]["user"]
    folder = {**app(run), "folder": "~/rotated", "frameworks": ["psycopg2"], "psql_service": None}
    variables: dict[str, Any] = {"crdb_connections": both, "crdb_apps": [folder]}
    if run.target.kind == "self_hosted":
        owner = {"crdb_sql_user_role": run.names("owner"), "crdb_sql_user_grants": GRANTS}
        variables.update(crdb_sql_user_admin="boss", **owner)
    else:
        # Only the rotated connection: through the API its users are administrators.
        del both["boss"]
    run.playbook("sql_user", "app_servers", **variables)
    before = run.password(first)
    done = run.playbook("rotate_credentials", **variables)
    expect("can no longer log in" in done.text, _said("can no longer log in", done.text))
    run.target.connect(second, run.password(second), run.names(SAMPLE)).close()
    # One attempt: the service locks an address out that tries a wrong password again and again.
    try:
        run.target.connect(first, before, run.names(SAMPLE)).close()
    except psycopg.OperationalError as error:
        return f"the old user is refused: {' '.join(str(error).split())[-160:]}"
    raise CheckError("The old user can still log in with its old password.")


@check("client", "the client is downloaded, verified and installed, and opens a SQL shell", "claim",
       after=("least-rights",), asked="client")  # fmt: skip
def client(run: Run) -> str | None:
    variables = {**by_sql(run), "crdb_client_products": ["cockroach-sql"]}
    run.playbook("dev_machine", crdb_client_install=True, **variables)
    shell = run.folder / "client" / "bin" / "crdb-sql"
    expect(shell.exists(), "The run installed no crdb-sql.")
    done = subprocess.run(
        [shell, "-f", run.home / "sample" / ".env", "--format=csv", "-e", "SELECT current_database()"], cwd=run.home,
        capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "HOME": str(run.home)},
    )  # fmt: skip
    expect(done.returncode == 0, f"crdb-sql failed: {done.stderr.strip()[-400:]}")
    expect(run.names(SAMPLE) in done.stdout, f"crdb-sql is connected to {done.stdout.strip()!r}.")
    return None


@check("sql-user-listed", "does the Cloud API list users that were made by SQL?", "question", kinds=("cloud",),
       after=("least-rights",))  # fmt: skip
def sql_user_listed(run: Run) -> str | None:
    users = [str(user["name"]) for user in run.api.items(run.target.path("sql-users"), "users")]
    return "yes" if run.names(APP) in users else "no"
