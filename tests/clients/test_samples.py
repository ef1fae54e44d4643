# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The samples: they run twice, and a transfer that really conflicts is retried and applied exactly once."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from tests.clients import languages
from tests.clients.matrix import ALL, Cell, installed, listed, toolchain, write
from tests.integration.conftest import Controller, environment_values

PATIENCE = 60
QUICK = ("pgx", "jdbc", "node-postgres", "psycopg2", "ruby-pg", "pdo", "tokio-postgres")
"""Plain drivers: their samples are built and started in less time than those of an ORM."""


def cells():
    """One cell for each choice with a sample: on the Serverless cluster, the password in the first place it can be."""
    found = {}
    for cell in listed(bool(os.environ.get(ALL))):
        framework = cell.framework
        if framework.samples and cell.deployment == "serverless" and not cell.impossible and cell.trial == "inside":
            found.setdefault((framework.name, framework.versions, framework.variant), cell)
    # CI runs one of each language; the others need the same toolchain and the same connection.
    in_order = sorted(found.values(), key=lambda cell: cell.framework.name in QUICK)
    first = {cell.framework.language: cell for cell in in_order}
    return [
        pytest.param(cell, id=cell.name, marks=[] if cell in first.values() else [pytest.mark.thorough])
        for cell in found.values()
    ]


def command(cell: Cell, folder: Path, app: Path):
    """The command that the sample names in its first lines, and its environment."""
    framework = cell.framework
    params = toolchain(framework, folder)
    environment = {**os.environ, **params["environment"]}
    if framework.loader == "process":
        environment |= environment_values((app / ".env").read_text())
    program = framework.samples[0].destination
    if framework.language == "go":
        for name in ("go.mod", "go.sum"):
            shutil.copy(folder / name, app / name)
        path = app / program
        path.write_text(path.read_text().replace('"MODULE/', '"crdbclients/'))
        binary = app / "sample"
        subprocess.run(["go", "build", "-o", binary, program], cwd=app, env=environment, check=True)
        return [binary], environment
    if languages.find(framework.language):
        languages.call(framework.language, "prepare", folder, app)
        return languages.call(framework.language, "sample", program, app, environment), environment
    if framework.language == "java":
        sources = [file.destination for file in framework.files if file.destination.endswith(".java")]
        subprocess.run(["javac", "-d", "build", *sources, program], cwd=app, env=environment, check=True)
        environment["CLASSPATH"] = f"{app}/build:{environment['CLASSPATH']}"
        return ["java", "CrdbSample"], environment
    if framework.language == "javascript":
        # As if the packages were installed in the app's folder, where TypeORM 0.2 looks for ormconfig.
        environment["APP_ROOT_PATH"] = str(app)
    if framework.name == "activerecord":
        # PostgreSQL's adapter under the name of the one that cannot be installed here.
        environment["RUBYLIB"] = str(Path(__file__).parent / "ruby")
    interpreter = {"javascript": "node", "python": params["interpreters"]["python"]}.get(framework.language, "ruby")
    return [interpreter, program], environment


def balances(text: str) -> list[int]:
    """What the sample printed of the accounts."""
    return [int(line.split(": ")[1]) for line in text.splitlines() if line.startswith("account ")]


@pytest.fixture(scope="module")
def clients(request):
    """What install-clients says of each choice that is selected."""
    return installed([item.callspec.params["cell"] for item in request.session.items if "clients" in item.fixturenames])


@pytest.fixture(scope="module")
def apps(request, sandbox, tmp_path_factory):
    """The folder with an app for every cell that is selected."""
    home = tmp_path_factory.mktemp("samples")
    selected = [item.callspec.params["cell"] for item in request.session.items if "apps" in item.fixturenames]
    write(selected, sandbox, Controller(home), samples=True)
    return home


@pytest.mark.parametrize("cell", cells())
def test_sample(sandbox, clients, apps, cell):
    framework = cell.framework
    facts = clients[framework.name, framework.versions, framework.variant]
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine (make system-deps installs it)")
    app = apps / cell.name
    words, environment = command(cell, Path(facts["folder"]), app)

    def start():
        return subprocess.Popen(
            words, cwd=app, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def run():
        with start() as process:
            printed, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        return printed, said

    conninfo = sandbox.clusters["funky-skunk"].conninfo()

    def run_beside_another_transfer():
        """What a run printed that read account 1 while another transfer of 7 had changed it, and waited to write."""
        with psycopg.connect(**conninfo) as other:
            other.execute(b"UPDATE crdb_sample_accounts SET balance = balance - 7 WHERE id = 1")
            other.execute(b"UPDATE crdb_sample_accounts SET balance = balance + 7 WHERE id = 2")
            with start() as process:
                deadline = time.monotonic() + PATIENCE
                while watcher.execute(b"SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
                    assert process.poll() is None, process.communicate()
                    assert time.monotonic() < deadline, "the sample did not wait for the other transfer"
                    time.sleep(0.05)
                other.commit()
                printed, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        return printed, said

    with psycopg.connect(**conninfo, autocommit=True) as watcher:
        watcher.execute(b"DROP TABLE IF EXISTS crdb_sample_accounts")
        assert balances(run()[0]) == [900, 350]
        assert balances(run()[0]) == [800, 450]
        printed, said = run_beside_another_transfer()
        assert "retrying after attempt 1" in said
        assert balances(printed) == [693, 557]
        watcher.execute(b"ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'read committed'")
        try:
            assert balances(run_beside_another_transfer()[0]) == [586, 664]
        finally:
            watcher.execute(b"ALTER ROLE CURRENT_USER RESET default_transaction_isolation")
        watcher.execute(b"DROP TABLE crdb_sample_accounts")
