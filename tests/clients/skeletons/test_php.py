# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PHP projects: a plain folder, and one of Composer with PSR-4, by PHP's and Composer's own commands."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.clients.skeletons.project import Skeleton

POOL = {"connect_timeout": 7, "keepalive": 45}
PROGRAM = """<?php

declare(strict_types=1);

REQUIRE

$pdo = CLASS::connect();
echo $pdo->query('SELECT current_user')->fetchColumn(), ' ', $pdo->getAttribute(PDO::ATTR_ERRMODE), "\\n";
"""


@pytest.fixture
def skeleton(controller, sandbox, tmp_path):
    """A project's folder; skipped without PHP."""
    if not shutil.which("php"):
        pytest.skip("there is no php on this machine (make system-deps installs it)")
    folder = tmp_path / "shop"
    (folder / "public").mkdir(parents=True)
    return Skeleton("PHP", "pdo", folder, controller, sandbox)


def used(skeleton: Skeleton, program: str) -> None:
    """The program runs from three folders, finds no environment without its file, and shows no password."""
    for title, cwd in (("app's folder", "."), ("sub-folder", "public"), ("/", "/")):
        done = skeleton.command(f"php, from {title}", ["php", str(skeleton.folder / program)], cwd=cwd)
        assert done.stdout.split() == ["maxroach", "2"]
    sample = ["php", "samples/pdo_accounts.php"]
    for _time in range(2):
        assert "account 1: " in skeleton.command("the sample", sample).stdout
    assert skeleton.command("the sample --remove", [*sample, "--remove"]).stdout == ""
    words = ["php", program]
    (skeleton.folder / ".env").rename(skeleton.folder / "kept")
    done = skeleton.command("no environment", words, status=255, DATABASE_URL="")
    assert "DATABASE_URL is neither in the environment nor in .env" in done.stdout
    broken = "postgresql://u:hunter2@h:port\r/d"
    done = skeleton.command("a broken URL", words, status=255, DATABASE_URL=broken)
    assert "DATABASE_URL cannot be used" in done.stdout
    assert "hunter2" not in done.stdout
    apart = "postgresql://u:hunter2@localhost/a%3Bb?sslmode=verify-full"
    done = skeleton.command("a database with a semicolon", words, status=255, DATABASE_URL=apart)
    assert "dbname has a form that PDO cannot take" in done.stdout
    assert "hunter2" not in done.stdout
    (skeleton.folder / ".env").write_text('DATABASE URL="postgresql://u:hunter2@h/d"\n')
    done = skeleton.command("a broken environment file", words, status=255)
    assert ".env cannot be read as an environment file" in done.stdout
    assert "hunter2" not in done.stdout
    (skeleton.folder / "kept").rename(skeleton.folder / ".env")


def test_a_plain_folder(skeleton):
    skeleton.name = "PHP, a plain folder"
    run = skeleton.onboard(samples=True, **POOL)
    line = "require_once __DIR__ . '/CrdbDatabase.php'; $pdo = CrdbDatabase::connect();"
    assert line in skeleton.usage(run)
    program = PROGRAM.replace("REQUIRE", "require_once __DIR__ . '/../CrdbDatabase.php';")
    (skeleton.folder / "public" / "index.php").write_text(program.replace("CLASS", "CrdbDatabase"))
    skeleton.command("php -l", ["php", "-l", "CrdbDatabase.php"])
    used(skeleton, "public/index.php")
    (skeleton.folder / "public" / "index.php").unlink()
    skeleton.offboard()


def test_a_project_of_composer(skeleton):
    if not shutil.which("composer"):
        pytest.skip("there is no composer on this machine (apt-get install composer)")
    skeleton.name = "PHP, Composer with PSR-4"
    described = {"name": "example/shop", "description": "A shop", "license": "proprietary", "type": "project"}
    described |= {"require": {"php": ">=8.1", "ext-pdo_pgsql": "*"}}
    described["autoload"] = {"psr-4": {"Example\\Shop\\": "src/"}}
    (skeleton.folder / "composer.json").write_text(json.dumps(described, indent=4) + "\n")
    (skeleton.folder / "src").mkdir()
    run = skeleton.onboard(samples=True, **POOL)
    assert "$pdo = \\Example\\Shop\\CrdbDatabase::connect();" in skeleton.usage(run)
    composer = {"COMPOSER_ALLOW_SUPERUSER": "1", "COMPOSER_DISABLE_NETWORK": "1"}
    skeleton.command("composer validate --strict", ["composer", "validate", "--strict", "--no-check-lock"], **composer)
    skeleton.command("composer dump-autoload", ["composer", "dump-autoload", "--quiet"], **composer)
    program = PROGRAM.replace("REQUIRE", "require_once __DIR__ . '/../vendor/autoload.php';")
    program = program.replace("CLASS", "\\Example\\Shop\\CrdbDatabase")
    (skeleton.folder / "public" / "index.php").write_text(program)
    skeleton.command("php -l", ["php", "-l", "src/CrdbDatabase.php"])
    used(skeleton, "public/index.php")
    (skeleton.folder / "public" / "index.php").unlink()
    shutil.rmtree(skeleton.folder / "vendor")
    skeleton.offboard()
