# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Python projects: Django's startproject, a package below src, and a monorepo with two apps."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.clients.matrix import _installed
from tests.clients.skeletons.project import Skeleton
from tests.conftest import Sandbox
from tests.integration.conftest import BIN, Controller

LINES = '\nfrom crdb_settings import DATABASE\nDATABASES["default"] = DATABASE\n'
BOTH = 'from crdb_settings import DATABASE DATABASES["default"] = DATABASE'


def site_packages(folder: Path) -> Path:
    """Where a virtual environment has its packages."""
    return next((folder / "lib").glob("python*")) / "site-packages"


def virtual_environment(project: Path, framework: str, variant: str = "") -> dict[str, str]:
    """Give a project a .venv with a framework's packages, and the tools of this checkout; what PATH has to be then."""
    sets = {**_installed(framework), **_installed("tools")}
    folders = [
        facts["folder"]
        for (name, _v, kind), facts in sets.items()
        if kind in (("python",) if name == "tools" else ("", variant))
    ]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    paths = [str(site_packages(Path(folder) / "venv")) for folder in folders]
    if framework != "django":
        # It has pytest, and psycopg 3 too, which Django would prefer.
        paths.append(sysconfig.get_paths()["purelib"])
    (site_packages(project / ".venv") / "clients.pth").write_text("".join(f"{path}\n" for path in paths))
    return {
        "PATH": f"{project}/.venv/bin:{BIN}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "DATABASE_URL": "",
    }  # fmt: skip


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write a project's files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@dataclass
class Project(Skeleton):
    """A Python project, whose drivers are asked with the interpreter of its own .venv."""

    def variables(self, **app: Any) -> dict[str, Any]:
        """The inventory, with the project's interpreter."""
        asked = {"crdb_check_drivers": True, "crdb_check_interpreters": {"python": ".venv/bin/python"}}
        return {**super().variables(**app), **asked}

    def everywhere(self, title: str, argv: list[str], status: int = 0) -> list[str]:
        """Run a command from the project's folder, one below it, and one that has nothing to do with it."""
        done = [self.command(title, argv, cwd, status) for cwd in (".", self.below, "/")]
        return [run.stdout for run in done]

    @property
    def mypy(self) -> list[str]:
        """The type check, with the packages of the project."""
        return ["mypy", "--python-executable", f"{self.folder}/.venv/bin/python", "--cache-dir", "/dev/null"]

    @property
    def below(self) -> str:
        """A folder of the project with sources."""
        return str(next(p for p in sorted(self.folder.rglob("*.py")) if ".venv" not in p.parts).parent)


# --- Django


@pytest.fixture
def creating(sandbox: Sandbox) -> Iterator[str]:
    """A cluster whose user may create databases, as Django's tests do."""
    cluster = sandbox.clusters["lone-badger"]
    certificates = Path(str(cluster.client_certificate["sslcert"])).parent if cluster.client_certificate else Path()
    admin = cluster.conninfo(
        user="root", password=None, sslcert=str(certificates / "client.root.crt"),
        sslkey=str(certificates / "client.root.key"),
    )  # fmt: skip
    databases = ("postgres", "defaultdb")
    for database in databases:
        with psycopg.connect(**{**admin, "dbname": database}, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE {cluster.user} CREATEDB".encode())
    yield "lone_badger"
    for database in databases:
        with psycopg.connect(**{**admin, "dbname": database}, autocommit=True) as connection:
            connection.execute(b"DROP TABLE IF EXISTS catalogue_item, django_migrations")
            connection.execute(f"ALTER ROLE {cluster.user} NOCREATEDB".encode())


MODEL = """from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=40)
"""
DJANGO_TEST = """from django.db import connection
from django.test import TestCase

from catalogue.models import Item


class ItemTest(TestCase):
    def test_items_are_kept_in_a_database_of_the_tests(self) -> None:
        Item.objects.create(name="pen")
        assert Item.objects.count() == 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_database()")
            assert cursor.fetchone() == ("test_defaultdb",)
        settings = connection.settings_dict
        assert (settings["CONN_MAX_AGE"], settings["CONN_HEALTH_CHECKS"]) == (900, True)
        used = connection.connection.info.dsn_parameters
        assert (used["connect_timeout"], used["keepalives_idle"], used["sslmode"]) == ("15", "60", "verify-full")
"""


@pytest.fixture
def django(sandbox: Sandbox, controller: Controller, tmp_path: Path, creating: str) -> Project:
    """What `django-admin startproject` and `startapp` make, with a model and a test."""
    folder = tmp_path / "project"
    folder.mkdir()
    environment = virtual_environment(folder, "django")
    project = Project("Django, startproject", "django", folder, controller, sandbox, environment, cluster=creating)
    project.command("django-admin startproject", ["python", "-m", "django", "startproject", "shop", "."])
    project.command("manage.py startapp", ["python", "manage.py", "startapp", "catalogue"])
    settings = (folder / "shop/settings.py").read_text()
    # The model's table is the only one that the tests leave in the sandbox.
    apps = settings[settings.index("INSTALLED_APPS") : settings.index("ROOT_URLCONF")]
    write(folder, {
        "shop/settings.py": settings.replace(apps, 'INSTALLED_APPS = ["catalogue"]\nMIDDLEWARE: list[str] = []\n\n'),
        "shop/urls.py": "urlpatterns: list[object] = []\n",
        "catalogue/models.py": MODEL,
        "catalogue/admin.py": "",
        "catalogue/tests.py": DJANGO_TEST,
        "requirements.txt": "Django==5.2.19\ndjango-cockroachdb==5.2.2\npsycopg2-binary==2.9.13\n",
    })  # fmt: skip
    return project


def test_django(django: Project) -> None:
    settings = django.folder / "shop/settings.py"
    original = settings.read_text()
    run = django.onboard()
    assert f"at the end of shop/settings.py: {BOTH}" in django.usage(run)
    # The settings still use SQLite: whatever the file of ours does, the project does not connect.
    assert "shop/settings.py does not use crdb_settings.py" in django.usage(run)
    assert "Proved by their own drivers" not in django.usage(run)

    # Where other imports are, the line is an error, and no run takes it for a proof.
    settings.write_text(LINES + original)
    done = django.command("the printed lines at the top", ["python", "manage.py", "check"], status=1)
    assert "NameError" in done.stdout
    run = django.onboard()
    assert "shop/settings.py cannot be loaded: NameError" in django.usage(run)
    assert "Proved by their own drivers" not in django.usage(run)

    settings.write_text(original + LINES)
    run = django.onboard()
    assert "Proved by their own drivers: shop (django)" in django.usage(run)
    manage = ["python", str(django.folder / "manage.py")]
    django.everywhere("manage.py check", [*manage, "check"])
    django.everywhere("manage.py makemigrations", [*manage, "makemigrations"])
    django.everywhere("manage.py migrate", [*manage, "migrate"])
    add = "from catalogue.models import Item; Item.objects.create(name='kept')"
    django.command("manage.py shell", [*manage, "shell", "-c", add])
    for output in django.everywhere("manage.py test", [*manage, "test", "catalogue", "--noinput"]):
        assert "Ran 0 tests" not in output
    # The tests created and dropped a database of their own.
    count = "from catalogue.models import Item; print('kept', Item.objects.filter(name='kept').count())"
    assert "kept 1" in django.command("manage.py shell", [*manage, "shell", "-c", count]).stdout
    served = "from shop.wsgi import application; print(type(application).__name__)"
    django.command("wsgi", ["python", "-c", served])
    quality(django, ["crdb_settings.py"], ["samples/django_accounts.py"])
    sample(django, "samples/django_accounts.py")

    settings.write_text(original)
    for path in (django.folder / "catalogue/migrations").glob("0*.py"):
        path.unlink()
    django.offboard()


# --- a package below src

PYPROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "shop"
version = "1"
dependencies = []

[tool.mypy]
strict = true
files = ["src", "tests", "samples"]
mypy_path = "src"

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
"""
BY_CONNECTION = """from shop.crdb_database import connect


def name() -> str:
    connection = connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        row = cursor.fetchone()
    used = connection.info.dsn_parameters
    assert used["connect_timeout"] == "15", used
    assert (used["keepalives"], used["keepalives_idle"]) == ("1", "60"), used
    connection.close()
    return str(row[0]) if row else ""
"""
BY_ENGINE = """from typing import Any

from shop.crdb_engine import engine
from sqlalchemy import text


def name() -> str:
    pool: Any = engine.pool
    assert (pool.size(), pool._max_overflow, pool._recycle, pool._pre_ping) == (10, 0, 900, True)
    assert pool._pool.use_lifo
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        used = driver.info.get_parameters() if hasattr(driver, "pgconn") else driver.info.dsn_parameters
        assert (used["connect_timeout"], used["keepalives_idle"]) == ("15", "60"), used
        return str(connection.execute(text("SELECT current_database()")).scalar_one())
"""
BY_ASYNC_ENGINE = """import asyncio
from typing import Any

from shop.crdb_engine import engine
from sqlalchemy import text


async def ask() -> str:
    pool: Any = engine.pool
    assert (pool.size(), pool._max_overflow, pool._recycle, pool._pre_ping) == (10, 0, 900, True)
    async with engine.connect() as connection:
        answer = (await connection.execute(text("SELECT current_database()"))).scalar_one()
    await engine.dispose()
    return str(answer)


def name() -> str:
    return asyncio.run(ask())
"""
BY_POOL = """from typing import LiteralString

from shop.crdb_pool import pool

QUERY: LiteralString = "SELECT current_database()"


def name() -> str:
    assert (pool.min_size, pool.max_size, pool.max_lifetime) == (10, 10, 900)
    with pool, pool.connection() as connection:
        used = connection.info.get_parameters()
        assert (used["connect_timeout"], used["keepalives_idle"], used["sslmode"]) == ("15", "60", "verify-full")
        row = connection.execute(QUERY).fetchone()
    return str(row[0]) if row else ""
"""
BY_ASYNC_POOL = """import asyncio

from shop.crdb_pool import pool


async def ask() -> str:
    assert (pool.min_size, pool.max_size, pool.max_lifetime) == (10, 10, 900)
    async with pool, pool.connection() as connection:
        used = connection.info.get_parameters()
        assert (used["connect_timeout"], used["keepalives_idle"], used["sslmode"]) == ("15", "60", "verify-full")
        row = await (await connection.execute("SELECT current_database()")).fetchone()
    return str(row[0]) if row else ""


def name() -> str:
    return asyncio.run(ask())
"""
BY_ASYNCPG = """import asyncio

from shop.crdb_asyncpg import create_pool


async def ask() -> str:
    async with create_pool() as pool:
        assert (pool.get_min_size(), pool.get_max_size(), pool.get_size()) == (10, 10, 10)
        return str(await pool.fetchval("SELECT current_database()"))


def name() -> str:
    return asyncio.run(ask())
"""
BY_PEEWEE = """from shop.crdb_peewee import database


def name() -> str:
    assert (database._max_connections, database._stale_timeout) == (10, 900)
    with database.connection_context():
        used = database.connection().info.dsn_parameters
        assert (used["connect_timeout"], used["keepalives_idle"], used["sslmode"]) == ("15", "60", "verify-full")
        (answer,) = database.execute_sql("SELECT current_database()").fetchone()
    database.close_all()
    return str(answer)
"""
SOURCES = {
    ("psycopg2", ""): BY_CONNECTION,
    ("psycopg", "sync"): BY_POOL,
    ("psycopg", "async"): BY_ASYNC_POOL,
    ("asyncpg", ""): BY_ASYNCPG,
    ("peewee", ""): BY_PEEWEE,
    ("sqlalchemy", "psycopg2"): BY_ENGINE,
    ("sqlalchemy", "psycopg"): BY_ENGINE,
    ("sqlalchemy", "asyncpg"): BY_ASYNC_ENGINE,
}

IMPORTED = {
    "psycopg2": ("crdb_database", "connect"),
    "psycopg": ("crdb_pool", "pool"),
    "asyncpg": ("crdb_asyncpg", "create_pool"),
    "peewee": ("crdb_peewee", "database"),
    "sqlalchemy": ("crdb_engine", "engine"),
}
"""The module that is written, and what the printed line imports from it."""


def quality(project: Project, files: list[str], samples: list[str]) -> None:
    """Ruff's own defaults, and mypy's strict mode."""
    project.command("ruff check", ["ruff", "check", "--isolated", "--no-cache", *files, *samples])
    project.command("ruff format", ["ruff", "format", "--check", "--isolated", "--no-cache", *files])
    checked = [*files, *samples] if project.framework != "django" else files
    project.command("mypy --strict", [*project.mypy, "--strict", *checked])


def sample(project: Project, path: str) -> None:
    """It runs from anywhere and any number of times, and takes its table away."""
    program = ["python", str(project.folder / path)]
    for number in range(12):
        printed = project.command("sample", program, (".", "samples", "/")[number % 3]).stdout
        amounts = [int(line.split(": ")[1]) for line in printed.splitlines() if line.startswith("account ")]
        assert sum(amounts) == 1250, printed
    project.command("sample --remove", [*program, "--remove"])
    cluster = project.sandbox.clusters[project.cluster.replace("_", "-")]
    with psycopg.connect(**cluster.conninfo()) as connection:
        assert connection.execute("SELECT to_regclass('crdb_sample_accounts')").fetchone() == (None,)


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: "-".join(filter(None, kind)))
def test_src_layout(sandbox: Sandbox, controller: Controller, tmp_path: Path, kind: tuple[str, str]) -> None:
    framework, variant = kind
    folder = tmp_path / "project"
    module, imported = IMPORTED[framework]
    write(folder, {
        "pyproject.toml": PYPROJECT,
        "src/shop/__init__.py": "",
        "src/shop/place.py": "def name() -> str:\n    return ''\n",
        "src/shop/__main__.py": "from shop.place import name\n\nprint(name())\n",
        "tests/test_place.py": (
            "from shop.place import name\n\n\ndef test_name() -> None:\n    assert name() == 'defaultdb'\n"
        ),
    })  # fmt: skip
    environment = {**virtual_environment(folder, framework, variant), "PYTHONPATH": str(folder / "src")}
    entry: dict[str, str] = {"name": framework, **({"variant": variant} if variant else {})}
    title = f"{framework} {variant}, a package below src".replace(" ,", ",")
    project = Project(title, entry, folder, controller, sandbox, environment)
    run = project.onboard()
    line = f"from shop.{module} import {imported}"
    assert re.search(rf"in any module of src/shop[^:]*: {re.escape(line)}", project.usage(run))
    assert f"Proved by their own drivers: shop ({framework})" in project.usage(run)
    assert (folder / "src/shop" / f"{module}.py").exists()
    place = folder / "src/shop/place.py"
    own = place.read_text()

    # As it would be without a package, the line does not pass the type check, nor run.
    place.write_text(SOURCES[kind].replace(f"from shop.{module}", f"from {module}"))
    project.command("the line without the package", project.mypy, status=1)
    project.command("the line without the package", ["python", "-m", "shop"], status=1)

    place.write_text(SOURCES[kind])
    project.command("mypy --strict", project.mypy)
    quality(project, [f"src/shop/{module}.py"], [f"samples/{framework}_accounts.py"])
    assert [text.strip() for text in project.everywhere("start", ["python", "-m", "shop"])] == ["defaultdb"] * 3
    project.everywhere("pytest", ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests")])
    sample(project, f"samples/{framework}_accounts.py")
    place.write_text(own)
    project.offboard()


# --- two apps in one repository


@dataclass
class Monorepo(Project):
    """Two apps, each with a folder, an environment file and a connection of its own."""

    def variables(self, **app: Any) -> dict[str, Any]:
        """The inventory of both."""
        facts = self.sandbox.connections[self.cluster]
        names = {"shop": "defaultdb", "bank": "bank"}
        return {
            "crdb_connections": {name: {**facts, "database": database} for name, database in names.items()},
            "crdb_apps": [
                {"name": name, "connection": name, "folder": f"{self.folder}/apps/{name}", "frameworks": ["psycopg2"]}
                for name in names
            ],
            "crdb_check_drivers": True,
            "crdb_check_interpreters": {"python": "../../.venv/bin/python"},
        }


MAIN = """from crdb_database import connect

with connect() as connection, connection.cursor() as cursor:
    cursor.execute("SELECT current_database()")
    print(cursor.fetchone()[0])
"""


def test_monorepo(sandbox: Sandbox, controller: Controller, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    write(folder, {f"apps/{name}/main.py": MAIN for name in ("shop", "bank")})
    # A file at the top is of nobody: each app takes the nearest one.
    write(folder, {".env": 'DATABASE_URL="postgresql://nobody@localhost:1/nothing"\n'})
    environment = virtual_environment(folder, "psycopg2")
    project = Monorepo("psycopg2, two apps in one repository", "psycopg2", folder, controller, sandbox, environment)
    run = project.onboard()
    assert "Proved by their own drivers: shop (psycopg2), bank (psycopg2)" in project.usage(run)
    for name, database in (("shop", "defaultdb"), ("bank", "bank")):
        printed = project.everywhere(f"start {name}", ["python", str(folder / "apps" / name / "main.py")])
        assert [text.strip() for text in printed] == [database] * 3
    project.offboard()
