# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program runs on while its token ends and is renewed: each new connection of the real driver takes a new token."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import choose, frameworks, project
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import templates

from sandbox import tokens
from tests.clients import matrix

CLUSTER = "lone-badger"
ANSWERS = ("roach", "refused")
# Each opens a connection for every line that it reads, and writes the user or "refused".
LOOP = """
import sys
{imports}
for _line in sys.stdin:
    try:
        {connect}
    except Exception as exc:
        print("refused", type(exc).__name__, flush=True)
    else:
        print(user, flush=True)
"""
PYTHON = {
    "psycopg2": (
        "from crdb_database import connect",
        "c = connect(); cursor = c.cursor(); cursor.execute('SELECT current_user');"
        " (user,) = cursor.fetchone(); c.close()",
    ),
    "psycopg": (
        "from crdb_pool import pool\npool.timeout = 3\npool.reconnect_timeout = 3\npool.open()",
        "c = pool.getconn(); (user,) = c.execute('SELECT current_user').fetchone(); c.close(); pool.putconn(c)",
    ),
    "sqlalchemy": (
        "from crdb_engine import engine\nfrom sqlalchemy import text",
        "c = engine.connect(); user = c.execute(text('SELECT current_user')).scalar(); c.close(); engine.dispose()",
    ),
}
NODE = """
const { Client } = require('pg');
const config = require('./crdb_database.cjs');
(async () => {
  for await (const _line of require('node:readline').createInterface({ input: process.stdin })) {
    const client = new Client(config);
    try {
      await client.connect();
      console.log((await client.query('SELECT current_user')).rows[0].current_user);
    } catch (error) {
      console.log('refused', error.message);
    }
    await client.end().catch(() => {});
  }
})();
"""
JAVA = """
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Scanner;

public final class Renewed {
    public static void main(String[] words) {
        Scanner lines = new Scanner(System.in);
        try (HikariDataSource pool = CrdbDataSource.create()) {
            while (lines.hasNextLine()) {
                lines.nextLine();
                try (Connection connection = pool.getConnection()) {
                    try (ResultSet row = connection.createStatement().executeQuery("SELECT current_user")) {
                        row.next();
                        System.out.println(row.getString(1));
                    }
                    pool.evictConnection(connection);
                } catch (SQLException e) {
                    System.out.println("refused " + e.getMessage());
                }
            }
        }
    }
}
"""


@pytest.fixture
def token(sandbox, tmp_path):
    """Write a token that is valid, or one that the cluster refuses, to the file that the program reads."""
    key = (sandbox.state / "issuer.key").read_bytes()
    path = tmp_path / "token"

    def write(**claims):
        path.write_text(tokens.mint(key, {**tokens.claims_for(sandbox.clusters[CLUSTER].user, CLUSTER), **claims}))
        return path

    write()
    return write


def written(sandbox, path, folder, entry, facts=None):
    """Write a framework's files below a folder; the folder in which install-clients put its packages."""
    catalogue = frameworks.load()
    name = entry["name"]
    language = catalogue[name].language
    projects = {language: project.read(language, {"facts": facts})} if facts else {}
    framework = choose.find(entry, catalogue, "inline", projects)
    own = {key: value for key, value in sandbox.connections["lone_badger"].items() if key != "password"}
    source = connections.source("shop", {**own, "jwt_file": str(path)})
    app = App("shop", source, str(folder), "", "", (framework,), ".env", pool_size=1, connect_timeout=5)
    values = templates.framework_values(app, replace(framework, place="inline"), own["ca_file"], "")
    for file in framework.files:
        (folder / Path(file.destination).name).write_bytes(templates.render(framework, file, values))


def packages(name):
    """The folder of the packages of a framework's newest choice."""
    newest = frameworks.load()[name].choices[0]
    found = matrix.installed([matrix.Cell(newest, "dedicated")])[name, newest.versions, newest.variant]
    if found["error"] or found["missing"]:
        pytest.skip(f"{found['error'] or found['missing']} (make system-deps installs the toolchains)")
    return Path(found["folder"])


def told(command, folder, token, refused=1, **environment):
    """What the program says with a valid token, with one that has ended, and with a new one."""
    process = subprocess.Popen(
        [str(word) for word in command], cwd=folder, env={**os.environ, **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    answers = []

    def ask():
        process.stdin.write("\n")
        process.stdin.flush()
        # HikariCP's log comes the same way.
        answers.append(next(word for line in process.stdout if (word := line.split(" ")[0].strip()) in ANSWERS))

    try:
        ask()
        token(exp=int(time.time()) - 1)
        # A pool may have opened the next connection already.
        for _number in range(3):
            ask()
            if answers[-1] == "refused":
                break
        token()
        for _number in range(3):
            ask()
            if answers[-1] != "refused":
                break
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
    return [answer for number, answer in enumerate(answers) if not number or answer != answers[number - 1]]


@pytest.mark.parametrize("name", sorted(PYTHON))
def test_python(sandbox, token, tmp_path, name):
    folder = packages(name)
    written(sandbox, token(), tmp_path, {"name": name})
    imports, connect = PYTHON[name]
    (tmp_path / "loop.py").write_text(LOOP.format(imports=imports, connect=connect))
    assert told([folder / "venv" / "bin" / "python", "loop.py"], tmp_path, token) == ["roach", "refused", "roach"]


def test_node_postgres(sandbox, token, tmp_path):
    folder = packages("node-postgres")
    written(sandbox, token(), tmp_path, {"name": "node-postgres"})
    (tmp_path / "loop.cjs").write_text(NODE)
    found = told(["node", "loop.cjs"], tmp_path, token, NODE_PATH=str(folder / "node_modules"))
    assert found == ["roach", "refused", "roach"]


def test_jdbc_in_a_pool_of_hikaricp(sandbox, token, tmp_path):
    """Spring Boot's packages have HikariCP and the driver."""
    if not shutil.which("javac"):
        pytest.skip("there is no javac: make system-deps installs it")
    jars = os.pathsep.join(map(str, packages("spring-boot").glob("jars/*.jar")))
    written(sandbox, token(), tmp_path, {"name": "jdbc", "variant": "datasource"}, {"hikari": "true"})
    (tmp_path / "Renewed.java").write_text(JAVA)
    sources = [path.name for path in tmp_path.glob("*.java")]
    subprocess.run(["javac", "-cp", jars, *sources], cwd=tmp_path, check=True)
    found = told(["java", "-cp", f".{os.pathsep}{jars}", "Renewed"], tmp_path, token)
    assert found == ["roach", "refused", "roach"]
