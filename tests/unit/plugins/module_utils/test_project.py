# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a look at a folder finds, language by language, and what it does not believe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._project import go, java, javascript, python, ruby
from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.look import differing, project

LOOK = {"go": go.look, "java": java.look, "javascript": javascript.look, "python": python.look, "ruby": ruby.look}


def write(folder: Path, files: dict[str, str]) -> Folder:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Folder(str(folder))


@pytest.mark.parametrize("language", LOOK)
def test_an_empty_folder_has_no_project(language: str, tmp_path: Path) -> None:
    assert project(language, Folder(str(tmp_path)), ["x"]) is None
    assert project(language, Folder(str(tmp_path / "missing")), ["x"]) is None


LOCK = {"packages": {"node_modules/pg": {"version": "8.11.3"}}}
CARGO = '[[package]]\nname = "sqlalchemy"\nversion = "2.0.41"\n'
POM = """<project><groupId>org.example</groupId><properties><pg.version>42.7.4</pg.version></properties>
<!-- <dependency><groupId>org.postgresql</groupId><artifactId>postgresql</artifactId>
<version>1</version></dependency> -->
<dependencies><dependency><groupId>org.postgresql</groupId><artifactId>postgresql</artifactId>
<version>${pg.version}</version></dependency></dependencies></project>"""
DRIVER = "org.postgresql:postgresql"
PNPM = "packages:\n  pg@8.12.0:\n"
YARN = '"pg@^8.0.0":\n  version "8.7.1"\n'
CATALOG = """[versions]
driver = "42.7.5"

[libraries]  # with the driver in three ways
postgresql-driver = { module = "org.postgresql:postgresql", version.ref = "driver" }
inline = "org.postgresql:postgresql:42.7.6"
parts = { group = "org.postgresql", name = "postgresql", version = '42.7.1' }
hikari = { module = "com.zaxxer:HikariCP", version = "7.0.2" }

[plugins]
boot = { id = "org.springframework.boot", version = "4.0.0" }
"""
GRADLE = "implementation 'org.postgresql:postgresql:42.7.3'\n"
VERSIONS: list[tuple[str, dict[str, str], str, tuple[str, str]]] = [
    ("python", {"requirements.txt": "Django==4.2.16 ; python_version > '3.8'\n"}, "Django",
     ("4.2.16", "requirements.txt")),
    ("python", {"requirements.txt": "", "requirements/base.txt": "psycopg2==2.9.9\n"}, "psycopg2",
     ("2.9.9", "base.txt")),
    ("python", {"pyproject.toml": 'dependencies = [\n  "Django>=5.1,<6",\n]\n'}, "Django", ("", "")),
    ("python", {"pyproject.toml": 'dependencies = [\n  "Django~=5.1",\n]\n'}, "Django", ("5.1", "pyproject.toml")),
    ("python", {"pyproject.toml": "", "uv.lock": CARGO}, "SQLAlchemy", ("2.0.41", "uv.lock")),
    ("python", {"setup.py": "", ".venv/lib/python3.11/site-packages/Django-5.2.3.dist-info/METADATA": ""}, "Django",
     ("5.2.3", ".venv")),
    ("javascript", {"package.json": "{}", "package-lock.json": json.dumps(LOCK)}, "pg",
     ("8.11.3", "package-lock.json")),
    ("javascript", {"package.json": '{"dependencies": {"sequelize": "^6.9.0"}}'}, "sequelize",
     ("6.9.0", "package.json")),
    ("javascript", {"package.json": "{}", "yarn.lock": YARN}, "pg", ("8.7.1", "yarn.lock")),
    ("javascript", {"package.json": "{}", "pnpm-lock.yaml": PNPM}, "pg", ("8.12.0", "pnpm-lock.yaml")),
    ("javascript", {"package.json": "{}", "node_modules/pg/package.json": '{"version": "8.16.0"}'}, "pg",
     ("8.16.0", "node_modules")),
    ("go", {"go.mod": "module example.com/shop\n\ngo 1.22\n\nrequire (\n\tgithub.com/lib/pq v1.10.9 // indirect\n)\n"},
     "github.com/lib/pq", ("1.10.9", "go.mod")),
    ("java", {"pom.xml": POM}, DRIVER, ("42.7.4", "pom.xml")),
    ("java", {"build.gradle": GRADLE}, DRIVER, ("42.7.3", "build.gradle")),
    ("java", {"build.gradle": "implementation group: 'org.postgresql', name: 'postgresql', version: '42.7.2'"},
     DRIVER, ("42.7.2", "build.gradle")),
    ("java", {"build.gradle.kts": "implementation(libs.postgresql.driver)", "gradle/libs.versions.toml": CATALOG},
     DRIVER, ("42.7.5", "gradle/libs.versions.toml")),
    ("java", {"build.gradle": "implementation libs.inline", "gradle/libs.versions.toml": CATALOG},
     DRIVER, ("42.7.6", "gradle/libs.versions.toml")),
    ("java", {"build.gradle": "implementation libs.hikari", "gradle/libs.versions.toml": CATALOG}, DRIVER, ("", "")),
    ("java", {"build.gradle": "implementation libs.parts", "gradle/libs.versions.toml": CATALOG},
     DRIVER, ("42.7.1", "gradle/libs.versions.toml")),
    ("java", {"build.gradle": "implementation libs.parts"}, DRIVER, ("", "")),
    ("ruby", {"Gemfile.lock": "GEM\n  specs:\n    pg (1.5.4)\n", "Gemfile": ""}, "pg", ("1.5.4", "Gemfile.lock")),
    ("ruby", {"Gemfile": 'gem "activerecord", "~> 7.1"\n'}, "activerecord", ("7.1", "Gemfile")),
]  # fmt: skip


@pytest.mark.parametrize(("language", "files", "package", "expected"), VERSIONS)
def test_versions(
    language: str, files: dict[str, str], package: str, expected: tuple[str, str], tmp_path: Path
) -> None:
    found = LOOK[language](write(tmp_path, files), [package, "another"])
    assert found is not None
    assert found.versions.get(package, "") == expected[0]
    assert found.sources.get(package, "").endswith(expected[1])
    assert "another" not in found.versions


def test_what_is_installed_counts_before_a_lock_and_a_lock_before_the_manifest(tmp_path: Path) -> None:
    files = {"package.json": '{"dependencies": {"pg": "^8.0.0"}}', "package-lock.json": json.dumps(LOCK)}
    folder = write(tmp_path, files)
    assert javascript.look(folder, ["pg"]).versions == {"pg": "8.11.3"}
    write(tmp_path, {"node_modules/pg/package.json": '{"version": "8.16.0"}'})
    assert javascript.look(folder, ["pg"]).versions == {"pg": "8.16.0"}


FACTS: list[tuple[str, dict[str, str], dict[str, str | None]]] = [
    ("javascript", {"package.json": "{}"}, {"modules": "commonjs"}),
    ("javascript", {"package.json": '{"type": "module"}'}, {"modules": "esm"}),
    ("javascript", {"package.json": "{}", "tsconfig.json": '{// c\n"compilerOptions": {"rootDir": "./src",},}'},
     {"modules": "commonjs", "typescript": "true", "source": "src/"}),
    ("go", {"go.mod": "module example.com/shop // the shop\n"}, {"module": "example.com/shop"}),
    ("java", {"pom.xml": POM, "src/main/java/com/shop/App.java": "package com.shop;\n"},
     {"build": "maven", "package": "com.shop", "source": "src/main/java/com/shop"}),
    ("java", {"pom.xml": POM}, {"build": "maven", "package": "org.example", "source": "src/main/java/org/example"}),
    ("java", {"build.gradle": "implementation libs.hikari", "gradle/libs.versions.toml": CATALOG},
     {"build": "gradle", "hikari": "true"}),
    ("java", {"build.gradle": "testImplementation libs.hikari", "gradle/libs.versions.toml": CATALOG},
     {"build": "gradle", "hikari": None}),
    ("java", {"build.gradle": "implementation group: 'com.zaxxer', name: 'HikariCP', version: '7.0.2'"},
     {"hikari": "true"}),
    ("python", {"manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")\n'},
     {"settings": "mysite.settings", "settings_file": "mysite/settings.py"}),
    ("python", {"pyproject.toml": "", "src/shop/__init__.py": ""}, {"package": "shop", "source": "src/shop"}),
    ("ruby", {"config/application.rb": ""}, {"rails": "true"}),
    ("ruby", {"Gemfile": ""}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("language", "files", "expected"), FACTS)
def test_facts(language: str, files: dict[str, str], expected: dict[str, str | None], tmp_path: Path) -> None:
    found = LOOK[language](write(tmp_path, files), [])
    assert found is not None
    assert {name: found.facts.get(name) for name in expected} == expected


def test_a_package_of_a_workspace_has_the_locks_at_its_top(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"package.json": "{}", "package-lock.json": json.dumps(LOCK), ".git/HEAD": "", "apps/web/package.json": "{}"},
    )
    assert javascript.look(Folder(str(tmp_path / "apps" / "web")), ["pg"]).versions == {"pg": "8.11.3"}


def test_what_lies_above_the_repository_is_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, {"package-lock.json": json.dumps(LOCK), "shop/package.json": "{}", "shop/.git/HEAD": ""})
    assert javascript.look(Folder(str(tmp_path / "shop")), ["pg"]).versions == {}


def test_a_package_of_a_go_module_has_the_path_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path, {"go.mod": "module example.com/mono\n", "cmd/shop/main.go": "package main\n"})
    assert go.look(Folder(str(tmp_path / "cmd" / "shop")), []).facts == {
        "module": "example.com/mono/cmd/shop",
        "folder": "cmd/shop",
    }


def test_a_pipe_in_place_of_a_manifest_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "package.json")
    found = javascript.look(Folder(str(tmp_path)), ["pg"])
    assert found is not None
    assert found.versions == {}


@pytest.mark.parametrize("text", ["[", "[" * 100_000, '"text"', '{"type": ["module"]}', '{"dependencies": "none"}'])
def test_a_broken_manifest_says_nothing(text: str, tmp_path: Path) -> None:
    found = javascript.look(write(tmp_path, {"package.json": text, "package-lock.json": text}), ["pg"])
    assert found is not None
    assert (found.facts, found.versions) == ({"modules": "commonjs"}, {})


def option(folder: Path, **assumed: Any) -> list[dict[str, Any]]:
    packages = {"javascript": ["pg"], "python": ["Django"]}
    return [{"app": "shop", "folder": str(folder), "user": "", "packages": packages, "assumed": assumed}]


def test_only_what_is_not_as_assumed_is_said(tmp_path: Path) -> None:
    assert differing([]) == {}
    assert differing(option(tmp_path)) == {}
    write(tmp_path, {"package.json": "{}"})
    found = differing(option(tmp_path))
    assert found == {"shop": {"javascript": {"facts": {"modules": "commonjs"}, "versions": {}, "sources": {}}}}
    assert differing(option(tmp_path, **found["shop"])) == {}
    (tmp_path / "package.json").unlink()
    assert differing(option(tmp_path, **found["shop"])) == {"shop": {}}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests as root to take another user's ids")
def test_a_user_who_cannot_read_this_program_is_looked_at_too(tmp_path: Path) -> None:
    """As where Ansible's own payload lies in a folder of root: nothing is imported with the user's ids."""
    (tmp_path / "ansible_collections").symlink_to(Path(__file__).parents[4] / "collections" / "ansible_collections")
    tmp_path.chmod(0o700)
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file, text in {
            "go.mod": "module example.com/shop\n", "pom.xml": "<project/>", "package.json": "{}",
            "pyproject.toml": "[project]\nname = 'shop'\n", "Gemfile": "gem 'pg'\n",
        }.items():  # fmt: skip
            (folder / file).write_text(text)
        packages: dict[str, list[str]] = {language: [] for language in LOOK}
        request = [{"app": "shop", "folder": name, "user": "nobody", "packages": packages, "assumed": {}}]
        program = (
            f"import json; from {differing.__module__} import differing; print(json.dumps(differing({request!r})))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd="/", env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["shop"]) == list(LOOK)
