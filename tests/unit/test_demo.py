# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's drivers: one that cannot be installed ends nothing, and no cache goes into the person's home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.modules import driver_probe

TOP = Path(__file__).resolve().parents[2]
NPM = """#!/bin/sh
echo "$npm_config_cache" >{folder}/cache.seen
mkdir -p "${{npm_config_cache:-$HOME/.npm}}"
{ending}
"""


@pytest.fixture
def install(tmp_path):
    """Runs install-drivers with a home of its own, and an npm that says where its cache is."""
    programs, home = tmp_path / "bin", tmp_path / "home"
    programs.mkdir()
    home.mkdir()

    def run(language="javascript", ending="exit 0", npm=True, **environment):
        if npm:
            (programs / "npm").write_text(NPM.format(folder=tmp_path, ending=ending))
            (programs / "npm").chmod(0o755)
        for name in ("cat", "cmp", "cp", "dirname", "grep", "mkdir", "rm", "sh", "tail"):
            if not (programs / name).exists():
                (programs / name).symlink_to(
                    next(p for p in (Path("/bin"), Path("/usr/bin")) if (p / name).exists()) / name
                )
        return subprocess.run(
            [TOP / "scripts" / "install-drivers", language, tmp_path / "drivers"],
            env={"PATH": str(programs), "HOME": str(home), **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_an_installed_driver_is_present_the_next_time(install):
    assert install().stdout == "installed\n"
    assert install().stdout == "present\n"


def test_two_installations_at_once_take_turns(install, tmp_path):
    """The second one once removed what the first had written, and both called it installed."""
    together = tmp_path / "together"
    ending = f"mkdir {together} || exit 1; sleep 1; rmdir {together}; echo >>{tmp_path}/installations"
    for name in ("sleep", "rmdir"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    assert install(npm=False).stdout == "npm is missing\n"
    (tmp_path / "bin" / "npm").write_text(NPM.format(folder=tmp_path, ending=ending))
    (tmp_path / "bin" / "npm").chmod(0o755)
    with ThreadPoolExecutor(2) as pool:
        said = [done.stdout for done in pool.map(lambda _: install(npm=False), range(2))]
    assert sorted(said) == ["installed\n", "present\n"]
    assert (tmp_path / "installations").read_text() == "\n"


def test_a_program_that_is_missing_is_named(install):
    done = install(npm=False)
    assert (done.returncode, done.stdout) == (0, "npm is missing\n")


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        ("echo 'npm error code E' >&2; echo 'request to https://r failed, reason: x' >&2; echo more >&2; exit 1",
         "request to https://r failed, reason: x"),
        ("echo first >&2; echo last >&2; exit 1", "last"),
    ],
)  # fmt: skip
def test_an_installation_that_fails_is_one_line_and_no_error(install, ending, cause, tmp_path):
    done = install(ending=ending)
    assert (done.returncode, done.stdout) == (0, f"The javascript drivers cannot be installed: {cause}\n")
    assert not (tmp_path / "drivers" / "javascript" / "installed.lock").exists()
    assert install().stdout == "installed\n"


def test_python_without_an_index_is_no_error_either(install, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -m ] || exec {sys.executable} "$@"\necho no index >&2\nexit 1\n')
    python.chmod(0o755)
    done = install("python", CRDB_PYTHON=str(python))
    assert (done.returncode, done.stdout) == (0, "The python drivers cannot be installed: no index\n")


def test_the_cache_is_beside_the_drivers(install, tmp_path):
    install()
    assert (tmp_path / "cache.seen").read_text().strip() == str(tmp_path / "drivers" / "cache" / "npm")
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("variable", ["npm_config_cache", "NPM_CONFIG_CACHE"])
def test_the_person_may_name_another_cache(install, tmp_path, variable):
    install(**{variable: str(tmp_path / "mine")})
    assert (tmp_path / "cache.seen").read_text().strip() == str(tmp_path / "mine")


def test_the_cache_of_the_persons_settings_stays(install, tmp_path):
    (tmp_path / "home" / ".npmrc").write_text("cache=/elsewhere\n")
    install()
    assert (tmp_path / "cache.seen").read_text().strip() == ""


@pytest.mark.parametrize("target", ["clean", "demo-down"])
def test_what_the_clusters_keep_is_removed(target):
    """With the folder of the passwords, which is not in the checkout."""
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/controller.installed", target], cwd=TOP, env=os.environ, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "-m sandbox down --remove" in done.stdout
    assert f"rm -rf {TOP}/.demo" in done.stdout or "/.demo " in done.stdout


def test_pip_of_make_keeps_its_cache_in_the_demos_folder(tmp_path):
    def pip(**environment):
        return subprocess.run(
            ["make", "-n", "-B", "-o", ".venv/bin/python", ".venv/controller.installed"], cwd=TOP, check=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment}, capture_output=True, text=True,
        ).stdout  # fmt: skip

    assert f"--cache-dir {TOP}/.demo/cache/pip" in pip()
    assert "--cache-dir" not in pip(PIP_CACHE_DIR="/elsewhere")
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text("[global]\ncache-dir = /elsewhere\n")
    assert "--cache-dir" not in pip()


NO_MODULE = "there is no go.mod in the app's folder or above it: `go mod init NAME` makes one"
NODE_ERROR = """node:internal/modules/cjs/loader:1210
  throw err;
  ^

Error: Cannot find module 'pg'
Require stack:
- /home/ann/app/probe.cjs
{
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/home/ann/app/probe.cjs' ]
}

Node.js v20.20.2
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (NODE_ERROR, "Error: Cannot find module 'pg'"),
        ("Traceback\nModuleNotFoundError: No module named 'django'\n", "ModuleNotFoundError: No module named 'django'"),
        ("connection refused\n", ""),
        ("go: go.mod file not found in current directory or any parent directory; see 'go help modules'\n", NO_MODULE),
        ("go: cannot find main module, but found .git/config in /srv/shop\n", NO_MODULE),
    ],
)
def test_a_driver_that_is_not_installed_is_named(error, line):
    assert driver_probe._missing_driver(error) == line
