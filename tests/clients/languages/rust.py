# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rust: crates by cargo, compiled once for each set of packages; rustc reads what hostile values were written as."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAM = "cargo"
LOCKS = ("lock",)


def is_slow(packages: Any) -> bool:
    """A driver with what it needs is compiled for one to two minutes of processor time."""
    return any(packages.options)


# As in templates/rust/_probe.toml.j2, so that the crates are compiled once.
PROFILE = """
[profile.dev]
debug = false
incremental = false

[profile.dev.package.sha2]
opt-level = 3

[workspace]
"""
# How Cargo.lock names the registry, which is left out of the locks here.
SOURCE = re.compile(r'^source = "registry\+[^"\n]*"\n', re.M)


def _dependencies(packages: Any) -> str:
    lines = ""
    for (name, version), options in zip(packages.pins, packages.options or [""] * len(packages.pins), strict=True):
        features = [word for word in options.partition("--features ")[2].split(",") if word]
        defaults = ", default-features = false" if "--no-default-features" in options else ""
        lines += f'{name} = {{ version = "={version}", features = {json.dumps(features)}{defaults} }}\n'
    return lines


def _manifest(name: str, dependencies: str) -> str:
    head = f'[package]\nname = "{name}"\nversion = "0.0.0"\nedition = "2021"\npublish = false\n'
    return f"{head}\n[dependencies]\n{dependencies}{PROFILE}"


def install(packages: Any, folder: Path, lock: bool, run: Callable[..., None]) -> None:
    """A package that uses the crates, so that they are compiled into its target folder."""
    path = packages.lock("lock")
    (folder / "Cargo.toml").write_text(_manifest("clients", _dependencies(packages)))
    (folder / "src").mkdir()
    (folder / "src" / "lib.rs").touch()
    if lock:
        run("cargo", "generate-lockfile", "--quiet", cwd=folder)
        path.write_text(SOURCE.sub("", (folder / "Cargo.lock").read_text()))
        return
    if path.exists():
        # Cargo itself says how it names the registry. Only crates of the registry have a checksum.
        run("cargo", "generate-lockfile", "--quiet", cwd=folder)
        made = SOURCE.search((folder / "Cargo.lock").read_text())
        source = made[0] if made else ""
        (folder / "Cargo.lock").write_text(path.read_text().replace("checksum = ", f"{source}checksum = "))
    locked = ["--locked"] if path.exists() else []
    run("nice", "cargo", "build", "--quiet", *locked, cwd=folder)


def caches() -> dict[str, str]:
    """Where cargo and rustup keep things, which a scratch home must not change."""
    home = Path.home()
    places = {"CARGO_HOME": home / ".cargo", "RUSTUP_HOME": home / ".rustup"}
    return {name: os.environ.get(name, str(path)) for name, path in places.items()}


def environment(folder: Path) -> dict[str, str]:
    """The crates that were compiled for the set: probes find them in `rust` of their cache."""
    compiled = folder / "probes" / "rust"
    if not compiled.exists():
        compiled.parent.mkdir(exist_ok=True)
        compiled.symlink_to(folder / "target")
    return {**caches(), "CRDB_PROBE_CACHE": str(folder / "probes"), "CARGO_TARGET_DIR": str(folder / "target")}


def prepare(folder: Path, app: Path) -> None:
    """The lock, and for the sample a package."""
    shutil.copy(folder / "Cargo.lock", app / "Cargo.lock")
    dependencies = (folder / "Cargo.toml").read_text().partition("[dependencies]\n")[2].partition("\n[")[0]
    (app / "Cargo.toml").write_text(_manifest(_crate(app), dependencies))
    (app / "src" / "lib.rs").touch()


def _crate(app: Path) -> str:
    return "app-" + re.sub(r"[^a-z0-9]+", "-", app.name.lower())


def sample(program: str, app: Path, environment: Mapping[str, str]) -> list[str]:
    """The example, built by cargo."""
    name = Path(program).stem
    words = ["cargo", "build", "--quiet", "--offline", "--example", name]
    subprocess.run(words, cwd=app, env=dict(environment), check=True)
    shutil.copy(Path(environment["CARGO_TARGET_DIR"]) / "debug" / "examples" / name, app / "sample")
    return [str(app / "sample")]


READER = """#![allow(dead_code)]
MODULES
fn main() {
    for url in [CALLS] {
        let line: String = url.unwrap().bytes().map(|byte| format!("{byte:02x}")).collect();
        println!("{line}");
    }
}
"""


def _without_literals(text: str, name: str) -> str:
    """A file without the connection string's line and the app's name."""
    return re.sub(r"^    let url = .*$", "", text, flags=re.M).replace(name, "NAME")


def right(choice: Any, made: Sequence[Any], scratch: Path, ask: Callable[..., str]) -> list[bool]:
    """Compiled by rustc: what database_url() returns. Nothing else may be different from one set to the other."""
    destination = choice.files[0].destination
    texts = [one.texts[destination] for one in made]
    (first, *_others) = shapes = [
        _without_literals(text, ["shop", "x.y-z"][number % 2]) for number, text in enumerate(texts)
    ]
    for number, one in enumerate(made[:2]):
        for name, text in one.texts.items():
            (scratch / f"sample{number}.rs").write_text(text)
            ask(["rustfmt", "--edition", "2021", "--config", "skip_children=true", str(scratch / f"sample{number}.rs")])
            assert name
    if choice.place == "env":
        return [shape == first for shape in shapes]
    urls = []
    for start in range(0, len(texts), 500):
        program = _reader(texts[start : start + 500])
        (scratch / "reader.rs").write_text(program)
        ask(["rustc", "--edition", "2021", "-A", "warnings", "-o", str(scratch / "reader"), str(scratch / "reader.rs")])
        urls += [bytes.fromhex(line).decode() for line in ask([str(scratch / "reader")]).splitlines()]
    return [url == one.connection.url() and shape == first for url, one, shape in zip(urls, made, shapes, strict=True)]


def _reader(texts: Sequence[str]) -> str:
    """A program with a module for each file, from where the drivers are not needed, that prints what is in them."""
    modules = [
        f"mod m{number} {{\n{text[text.index('/// Why the connection string') :]}\n}}"
        for number, text in enumerate(texts)
    ]
    calls = ", ".join(f"m{number}::database_url().map_err(|_| 0)" for number in range(len(texts)))
    return READER.replace("MODULES", "\n".join(modules)).replace("CALLS", calls)


LOADER = """fn main() {
    let path = std::env::args().nth(1).unwrap();
    for entry in dotenvy::from_path_iter(path).unwrap() {
        let (name, value) = entry.unwrap();
        println!("{name}={value}");
    }
}
"""


def loaded(path: Path, folder: Path, ask: Callable[..., str]) -> Mapping[str, str]:
    """By dotenvy."""
    app = path.parent / "loader"
    (app / "src").mkdir(parents=True)
    prepare(folder, app)
    (app / "src" / "main.rs").write_text(LOADER)
    printed = ask(
        ["cargo", "run", "--quiet", "--offline", "--", str(path)], cwd=app, env={**os.environ, **environment(folder)}
    )
    return dict(line.split("=", 1) for line in printed.splitlines())
