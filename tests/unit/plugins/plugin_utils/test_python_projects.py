# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Python projects as they lie in a folder: which form, install line and words they get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._project import python
from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.choose import find
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import Framework, load
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.project import read_all
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import (
    framework_values,
    install_line,
    render,
)

FACTS = {"deployment": "dedicated", "host": "h", "user": "u", "password": "p", "database": "d", "ca_text": "x"}


def framework_in(folder: Path, entry: Any) -> Framework:
    """The framework as it is written for the project in a folder."""
    name = entry if isinstance(entry, str) else entry["name"]
    packages = [p for choice in load()[name].choices for p in choice.packages]
    names = sorted({name for p in packages for name in (p.name, *p.alternatives)})
    found = python.look(Folder(str(folder)), names)
    return find(entry, load(), projects=read_all({"python": found._asdict()} if found else {}))


def written(framework: Framework, **settings: Any) -> str:
    """The text of its first file."""
    app = App("shop", connections.source("db", FACTS), "/srv", "", "", (framework,), ".env", **settings)
    return render(framework, framework.files[0], framework_values(app, framework, "/srv/ca.crt", "")).decode()


def installed(folder: Path, **versions: str) -> None:
    """Packages in the virtual environment of a folder."""
    for name, version in versions.items():
        (folder / f".venv/lib/python3.12/site-packages/{name}-{version}.dist-info").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'shop'\n")


def test_an_older_version_has_its_own_install_line(tmp_path: Path) -> None:
    installed(tmp_path, Django="4.2.16", django_cockroachdb="4.2.1", psycopg2_binary="2.9.10")
    framework = framework_in(tmp_path, "django")
    assert framework.notes == ()
    line = "pip install 'Django==4.2.16' 'django-cockroachdb==4.2.1' 'psycopg2-binary==2.9.10' 'python-dotenv==1.2.4'"
    assert install_line(framework) == line


def test_the_adapter_follows_django(tmp_path: Path) -> None:
    line = install_line(framework_in(tmp_path, {"name": "django", "version": "6.0.4"}))
    assert line.startswith("pip install 'Django==6.0.4' 'django-cockroachdb==6.0.1' 'psycopg2==")
    # One that was not run with it: what is known is the series.
    line = install_line(framework_in(tmp_path, {"name": "django", "version": "5.1.3"}))
    assert line.startswith("pip install 'Django==5.1.3' 'django-cockroachdb==5.1.*' ")
    # Also where the project has the adapter of another one.
    installed(tmp_path, Django="5.2.19", django_cockroachdb="5.2.2")
    line = install_line(framework_in(tmp_path, {"name": "django", "version": "6.0.4"}))
    assert line.startswith("pip install 'Django==6.0.4' 'django-cockroachdb==6.0.*' ")


@pytest.mark.parametrize(("version", "adapter", "notes"), [("6.1.2", "6.1.1", 0), ("6.2", "6.2.*", 1)])
def test_a_newer_django(tmp_path: Path, version: str, adapter: str, notes: int) -> None:
    installed(tmp_path, django=version)
    framework = framework_in(tmp_path, "django")
    assert len(framework.notes) == notes
    assert f"'Django=={version}' 'django-cockroachdb=={adapter}'" in install_line(framework)
    if notes:
        assert framework.notes[0] == ("Django 6.2 of .venv: not tested with this version. The newest tested is 6.1.3.")


def test_without_a_version_django_is_the_release_with_long_term_support(tmp_path: Path) -> None:
    framework = framework_in(tmp_path, "django")
    assert (framework.versions, framework.notes) == (">=5,<6", ())
    assert install_line(framework).startswith("pip install 'Django==5.2.19' 'django-cockroachdb==5.2.2' ")


@pytest.mark.parametrize(
    ("version", "needs"), [("6.1.3", "Python >=3.12"), ("3.2.25", "Python <3.11"), ("4.2.30", ""), ("5.2.1", "")]
)
def test_a_declared_version_tells_which_python_it_needs(tmp_path: Path, version: str, needs: str) -> None:
    notes = framework_in(tmp_path, {"name": "django", "version": version}).notes
    assert notes == ((f"Django {version} needs {needs}.",) if needs else ())


def test_sqlalchemy_2_1_is_refused_with_the_reason(tmp_path: Path) -> None:
    installed(tmp_path, sqlalchemy="2.1.0")
    with pytest.raises(
        OnboardingError, match=r"2\.1\.0 of \.venv does not work: sqlalchemy-cockroachdb 2\.0\.x requires"
    ):
        framework_in(tmp_path, "sqlalchemy")


def test_psycopg2_is_recommended_and_the_binary_package_recognized(tmp_path: Path) -> None:
    assert install_line(framework_in(tmp_path, "psycopg2")).startswith("pip install 'psycopg2==2.9.13'")
    installed(tmp_path, psycopg2_binary="2.9.1")
    assert install_line(framework_in(tmp_path, "psycopg2")).startswith("pip install 'psycopg2-binary==2.9.1'")


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")', "shop/settings.py", "shop/settings.py"),
        ("os.environ['DJANGO_SETTINGS_MODULE'] = 'config.base'", "config/base.py", "config/base.py"),
        (
            'setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")',
            "shop/settings/__init__.py",
            "shop/settings/__init__.py",
        ),
    ],
)
def test_the_line_of_django_belongs_to_the_end_of_its_settings(
    tmp_path: Path, text: str, path: str, expected: str
) -> None:
    (tmp_path / "manage.py").write_text(text)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("DATABASES = {}\n")
    file = framework_in(tmp_path, "django").files[0]
    assert (file.destination, file.where) == ("crdb_settings.py", f"at the end of {expected}")
    assert file.use == 'from crdb_settings import DATABASE\nDATABASES["default"] = DATABASE'


def test_a_package_below_src_gets_the_file(tmp_path: Path) -> None:
    (tmp_path / "src/shop").mkdir(parents=True)
    (tmp_path / "src/shop/__init__.py").touch()
    (tmp_path / "pyproject.toml").touch()
    file = framework_in(tmp_path, "psycopg2").files[0]
    assert (file.destination, file.use) == ("src/shop/crdb_database.py", "from shop.crdb_database import connect")
    # Two packages: there is no telling which.
    (tmp_path / "src/bank").mkdir()
    (tmp_path / "src/bank/__init__.py").touch()
    assert framework_in(tmp_path, "psycopg2").files[0].destination == "crdb_database.py"


@pytest.mark.parametrize("name", ["psycopg2", "sqlalchemy", "django"])
def test_zero_means_never_and_off(tmp_path: Path, name: str) -> None:
    text = written(framework_in(tmp_path, name), pool_lifetime=0, keepalive=0, connect_timeout=7)
    assert '"keepalives": 0' in text
    assert "keepalives_idle" not in text
    assert '"connect_timeout": 7' in text
    assert "pool_recycle" not in text
    assert ('"CONN_MAX_AGE": None' in text) == (name == "django")


@pytest.mark.parametrize("place", ["env", "inline"])
def test_djangos_tests_have_a_database_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@h:26257/d")
    names: dict[str, Any] = {"__file__": str(tmp_path / "crdb_settings.py")}
    text = written(framework_in(tmp_path, {"name": "django", "password_place": place}))
    exec(text, names)  # noqa: S102 - our own text
    assert names["DATABASE"]["NAME"] == "d"
    assert names["DATABASE"]["TEST"] == {"NAME": "test_d"}
    assert names["DATABASES"] == {"default": names["DATABASE"]}
