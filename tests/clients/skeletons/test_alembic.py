# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alembic in a project as `alembic init` makes it, with the printed lines in its env.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from tests.clients.skeletons.test_python import Project, virtual_environment
from tests.conftest import Sandbox
from tests.integration.conftest import Controller

FIRST = "from crdb_alembic import sqlalchemy_url"
SECOND = 'config.set_main_option("sqlalchemy.url", sqlalchemy_url())'
AFTER = "config = context.config\n"
UP = """    op.create_table(
        "crdb_skeleton_alembic",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
    )
"""
DOWN = '    op.drop_table("crdb_skeleton_alembic")\n'


@pytest.mark.parametrize("variant", ["psycopg2", "psycopg"])
def test_alembic(sandbox: Sandbox, controller: Controller, tmp_path: Path, variant: str) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    environment = virtual_environment(folder, "alembic", variant)
    (folder / "requirements.txt").write_text("alembic==1.20.1\n")
    entry = {"name": "alembic", "variant": variant}
    project = Project(f"Alembic, {variant}", entry, folder, controller, sandbox, environment)
    alembic = ["python", "-m", "alembic"]
    project.command("alembic init", [*alembic, "init", "migrations"])
    ini, env = folder / "alembic.ini", folder / "migrations" / "env.py"
    own = {path: path.read_bytes() for path in (ini, env)}
    run = project.onboard()
    assert f"in env.py of your migrations, after `config = context.config`: {FIRST} {SECOND}" in project.usage(run)
    assert "Proved by their own drivers: shop (alembic)" in project.usage(run)
    assert {path: path.read_bytes() for path in own} == own

    # As Alembic made it, its URL is no database's.
    project.command("alembic upgrade head without the lines", [*alembic, "upgrade", "head"], status=1)
    text = env.read_text()
    assert text.count(AFTER) == 1
    env.write_text(text.replace(AFTER, f"{AFTER}{FIRST}\n{SECOND}\n"))
    ini.write_text(ini.read_text().replace("prepend_sys_path = .", "prepend_sys_path = %(here)s"))
    alembic += ["-c", str(ini)]
    cluster = sandbox.clusters["funky-skunk"]
    try:
        project.command("alembic revision", [*alembic, "revision", "-m", "items"])
        (migration,) = (folder / "migrations" / "versions").glob("*_items.py")
        up, down, nothing = migration.read_text().split("    pass\n")
        migration.write_text(f"{up}{UP}{down}{DOWN}{nothing}")
        project.command("alembic upgrade head", [*alembic, "upgrade", "head"])
        for printed in project.everywhere("alembic current", [*alembic, "current"]):
            assert "(head)" in printed
        with psycopg.connect(**cluster.conninfo()) as connection:
            assert connection.execute("SELECT count(*) FROM crdb_skeleton_alembic").fetchone() == (0,)
        sql = project.command("alembic upgrade head --sql", [*alembic, "upgrade", "head", "--sql"]).stdout
        assert "CREATE TABLE crdb_skeleton_alembic" in sql
        project.command("alembic downgrade base", [*alembic, "downgrade", "base"])
        with psycopg.connect(**cluster.conninfo()) as connection:
            assert connection.execute("SELECT to_regclass('crdb_skeleton_alembic')").fetchone() == (None,)
    finally:
        with psycopg.connect(**cluster.conninfo(), autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS alembic_version, crdb_skeleton_alembic")
    project.command("ruff check", ["ruff", "check", "--isolated", "--no-cache", "crdb_alembic.py"])
    project.command("ruff format", ["ruff", "format", "--check", "--isolated", "--no-cache", "crdb_alembic.py"])
    project.command("mypy --strict", [*project.mypy, "--strict", "crdb_alembic.py"])

    kept = (folder / ".env").read_bytes()
    (folder / ".env").write_bytes(b'DATABASE_URL=""\n')
    done = project.command("alembic current without DATABASE_URL fails", [*alembic, "current"], status=1)
    assert "DATABASE_URL is neither set nor in" in done.stdout
    (folder / ".env").write_bytes(kept)
    for path in (folder / "migrations" / "versions").glob("*.py"):
        path.unlink()
    for path, content in own.items():
        path.write_bytes(content)
    shutil.rmtree(folder / "migrations" / "__pycache__", ignore_errors=True)
    project.offboard()
