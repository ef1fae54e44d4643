# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages of Cargo, alone and in a workspace: built, checked, tested, and run from three folders."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import install_line

from tests.clients.languages import rust
from tests.clients.matrix import Cell, installed
from tests.clients.rendered import rendered
from tests.clients.skeletons.project import Skeleton

POOL = {"pool_size": 3, "pool_lifetime": 100, "connect_timeout": 7, "keepalive": 45}
# What each program prints: the user, and the settings of its pool as far as the pool tells them.
PROGRAMS = {
    "sqlx-rust": (
        "crdb_sqlx",
        """#[tokio::main]
async fn main() -> Result<(), sqlx::Error> {
    let pool = crdb_sqlx::pool().await?;
    let user: String = sqlx::query_scalar("SELECT current_user::TEXT")
        .fetch_one(&pool)
        .await?;
    let set = pool.options();
    println!(
        "{user} {} {} {:?} {:?}",
        set.get_max_connections(),
        set.get_min_connections(),
        set.get_max_lifetime(),
        set.get_acquire_timeout()
    );
    Ok(())
}
""",
        "maxroach 3 3 Some(100s) 7s",
    ),
    "tokio-postgres": (
        "crdb_postgres",
        """type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let pool = crdb_postgres::pool()?;
    let row = pool.get().await?;
    let row = row.query_one("SELECT current_user::TEXT", &[]).await?;
    let user: String = row.get(0);
    let (config, _tls) = crdb_postgres::settings()?;
    println!(
        "{user} {} {:?} {:?} {:?}",
        pool.status().max_size,
        config.get_connect_timeout(),
        config.get_keepalives_idle(),
        config.get_ssl_mode()
    );
    Ok(())
}
""",
        "maxroach 3 Some(7s) 45s Require",
    ),
    "diesel": (
        "crdb_diesel",
        """use diesel::prelude::*;
use diesel::sql_types::Text;

type Failure = Box<dyn std::error::Error>;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
}

fn main() -> Result<(), Failure> {
    let pool = crdb_diesel::pool()?;
    let connection = &mut pool.get()?;
    let query = diesel::sql_query("SELECT current_user::TEXT AS name");
    let row: Row = query.get_result(connection)?;
    println!(
        "{} {} {:?} {:?}",
        row.name,
        pool.max_size(),
        pool.max_lifetime(),
        pool.connection_timeout()
    );
    Ok(())
}
""",
        "maxroach 3 Some(100s) 7s",
    ),
}
TEST = """
#[cfg(test)]
mod tests {
    #[test]
    fn the_connection_string_verifies() {
        let url = super::MODULE::database_url().unwrap();
        assert!(url.contains("sslmode=verify-full"));
    }
}
"""
LIBRARY = """pub mod MODULE;

pub fn verifies() -> bool {
    MODULE::database_url().is_ok_and(|url| url.contains("sslmode=verify-full"))
}
"""


def package(folder: Path, name: str, top: Path) -> None:
    """A package as cargo makes it, with the framework's crates at the versions that the tests compiled already."""
    framework, _texts = rendered(name)
    facts = installed([Cell(framework, "dedicated")])[framework.name, framework.versions, framework.variant]
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine")
    compiled = Path(facts["folder"])
    shutil.copy(compiled / "Cargo.lock", top / "Cargo.lock")
    (top / "Cargo.toml").write_text((top / "Cargo.toml").read_text() + rust.PROFILE.replace("\n[workspace]\n", ""))
    os.environ.update(rust.environment(compiled))


@pytest.fixture
def skeleton(controller, sandbox, tmp_path, monkeypatch):
    """A folder; skipped without cargo."""
    if not shutil.which("cargo"):
        pytest.skip("there is no cargo on this machine (https://rustup.rs installs it)")
    for name in ("CARGO_TARGET_DIR", "CRDB_PROBE_CACHE", *rust.caches()):
        # What a test sets is gone after it.
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)
    folder = tmp_path / "shop"
    folder.mkdir()
    return Skeleton("Rust", "sqlx-rust", folder, controller, sandbox)


def in_cargo(skeleton: Skeleton, name: str, top: Path) -> None:
    """Make the package in the skeleton's folder, and add the framework's crates by the line that the run prints."""
    home = rust.caches()
    subprocess.run(
        ["cargo", "init", "--quiet", "--vcs", "none"], cwd=skeleton.folder, check=True, env={**os.environ, **home}
    )
    package(skeleton.folder, name, top)
    skeleton.controller.environment.update(rust.environment(Path(os.environ["CRDB_PROBE_CACHE"]).parent))
    skeleton.environment.update(rust.environment(Path(os.environ["CRDB_PROBE_CACHE"]).parent))
    framework, _texts = rendered(name)
    for line in install_line(framework).split(" && "):
        skeleton.command("cargo add", [*line.split(), "--quiet"])


def checked(skeleton: Skeleton, *words: str) -> None:
    """The project's own commands; the printed line is in place."""
    for title in ("cargo fmt --check", "cargo clippy --all-targets -- -D warnings", "cargo test", "cargo build"):
        argv = title.split()
        if argv[1] != "fmt":
            argv[2:2] = ["--quiet", *words]
        skeleton.command(title, argv)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_package(skeleton, name):
    module, program, expected = PROGRAMS[name]
    skeleton.name, skeleton.framework = f"Rust package with {name}", name
    in_cargo(skeleton, name, skeleton.folder)
    run = skeleton.onboard(samples=True, **POOL)
    assert f"mod {module};" in skeleton.usage(run)
    assert f"{name} " in skeleton.usage(run)
    text = f"mod {module};\n\n{program}{TEST.replace('MODULE', module)}"
    (skeleton.folder / "src" / "main.rs").write_text(text)
    checked(skeleton)
    for title, cwd in (("app's folder", "."), ("sub-folder", "src")):
        done = skeleton.command(f"cargo run, from {title}", ["cargo", "run", "--quiet"], cwd=cwd)
        assert done.stdout.split() == expected.split()
    binary = Path(skeleton.environment["CARGO_TARGET_DIR"]) / "debug" / "shop"
    done = skeleton.command("the built program, from /", [str(binary)], cwd="/")
    assert done.stdout.split() == expected.split()
    sample = ["cargo", "run", "--quiet", "--example", f"{module}_accounts"]
    for _time in range(2):
        assert "account 1: " in skeleton.command("the sample", sample).stdout
    assert skeleton.command("the sample -- --remove", [*sample, "--", "--remove"]).stdout == ""
    # An empty variable counts as none, and no error has the password.
    (skeleton.folder / ".env").rename(skeleton.folder / "kept")
    done = skeleton.command("no environment", [str(binary)], status=1, DATABASE_URL="")
    assert "DATABASE_URL is neither in the environment nor in .env" in done.stdout
    broken = "postgresql://u:hunter2@h:port\r/d"
    done = skeleton.command("a broken URL", [str(binary)], status=1, DATABASE_URL=broken)
    assert "DATABASE_URL cannot be used" in done.stdout
    assert "hunter2" not in done.stdout
    (skeleton.folder / "kept").rename(skeleton.folder / ".env")
    (skeleton.folder / ".env").write_text('DATABASE_URL="postgresql://u:hunter2@h/d\n')
    done = skeleton.command("a broken environment file", [str(binary)], status=1)
    assert ".env cannot be read as an environment file" in done.stdout
    assert "hunter2" not in done.stdout


def test_a_library_in_a_workspace(skeleton):
    top = skeleton.folder
    skeleton.name, skeleton.folder = "Rust workspace, a library with sqlx-rust", top / "crates" / "shop"
    skeleton.folder.mkdir(parents=True)
    (top / "Cargo.toml").write_text('[workspace]\nmembers = ["crates/*"]\nresolver = "2"\n')
    in_cargo(skeleton, "sqlx-rust", top)
    (skeleton.folder / "src" / "lib.rs").write_text("")
    (skeleton.folder / "src" / "main.rs").write_text('fn main() {\n    println!("{}", shop::verifies());\n}\n')
    run = skeleton.onboard(**POOL)
    assert "pub mod crdb_sqlx;" in skeleton.usage(run)
    (skeleton.folder / "src" / "lib.rs").write_text(LIBRARY.replace("MODULE", "crdb_sqlx"))
    checked(skeleton, "-p", "shop")
    for title, cwd in (("the workspace's top", "../.."), ("the package", "."), ("its sources", "src")):
        done = skeleton.command(f"cargo run -p shop, from {title}", ["cargo", "run", "-q", "-p", "shop"], cwd=cwd)
        assert done.stdout == "true\n"
    (skeleton.folder / "src" / "lib.rs").write_text("")
    (skeleton.folder / "src" / "main.rs").write_text('fn main() {\n    println!("{}", shop::verifies());\n}\n')
    skeleton.offboard()
