# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The written files of a connection with a token, in every form: each language's own tool finds nothing wrong.

That they log in is proved by the cells `token` of the matrix.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import choose, frameworks, project
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import templates

OWN = {"host": "db.example.com", "port": 26257, "user": "ann", "database": "shop", "sslrootcert": "/srv/ca.crt"}
KINDS = {"jwt_file": "/run/token", "jwt_command": "/usr/bin/get-token 'a b' --audience shop"}
PROJECTS = {
    "python": [{}, {"package": "shop", "source": "src/shop"}],
    "javascript": [
        {},
        {"modules": "commonjs"},
        {"modules": "esm"},
        {"typescript": "true", "output": "esm", "source": "src/"},
        {"typescript": "true", "output": "commonjs", "source": "src/"},
    ],
    "go": [{"module": "example.com/shop"}],
}
CASES = [
    (choice, facts, place, kind)
    for framework in frameworks.load().values()
    for choice in framework.choices
    if choice.takes_tokens
    for facts in PROJECTS.get(choice.language, [])
    for place in choice.places
    for kind in KINDS
]


def files(choice, facts, place, kind, folder):
    """Write the files of a framework below a folder; their paths."""
    catalogue = frameworks.load()
    language = choice.language
    projects = {language: project.read(language, {"facts": facts})} if facts else {}
    entry = {"name": choice.name, "variant": choice.variant}
    framework = choose.find({key: value for key, value in entry.items() if value}, catalogue, place, projects)
    source = connections.source("shop", {**OWN, kind: KINDS[kind]})
    app = App("shop", source, "/srv", "", "", (framework,), ".env")
    values = templates.framework_values(app, framework, "/srv/ca.crt", "")
    paths = []
    for file in framework.files:
        text = templates.render(framework, file, values)
        paths.append(folder / file.destination)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_bytes(text)
    return paths


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("choice", "facts", "place", "kind"), CASES, ids=lambda value: getattr(value, "label", None))
def test_each_form_is_in_order(tmp_path, choice, facts, place, kind):
    for path in files(choice, facts, place, kind, tmp_path):
        if path.suffix == ".py":
            run(
                Path(sys.executable).with_name("ruff"),
                "check",
                "--isolated",
                "--quiet",
                "--line-length",
                "120",
                "--select",
                "E,F,I,W",
                path,
            )
        elif path.suffix in (".cjs", ".js"):
            if path.suffix == ".js":
                (path.parent / "package.json").write_text('{"type": "module"}')
            if not shutil.which("node"):
                pytest.skip("there is no node: make system-deps installs it")
            run("node", "--check", path)
        elif path.suffix == ".go":
            if not shutil.which("gofmt"):
                pytest.skip("there is no gofmt: make system-deps installs it")
            assert run("gofmt", "-l", path) == ""


def written(tmp_path, framework, ending, command):
    """The text of the file of a framework whose token comes from a program."""
    name, _colon, variant = framework.partition(":")
    choice = next(each for each in frameworks.load()[name].choices if each.variant == variant)
    facts = PROJECTS.get(choice.language, [{}])[0]
    paths = files(choice, facts, choice.places[0], "jwt_command", tmp_path)
    (text,) = [path.read_text() for path in paths if path.suffix == ending and "/get-token" in path.read_text()]
    return text.replace("/usr/bin/get-token", command)


def test_the_error_of_a_program_does_not_hold_the_token(tmp_path):
    """Node.js shows all that an error holds, and so the output of a program that failed after it wrote the token."""
    if not shutil.which("node"):
        pytest.skip("there is no node: make system-deps installs it")
    program = tmp_path / "get"
    text = written(tmp_path, "node-postgres", ".cjs", str(program))
    script = f"{text}\nmodule.exports.password().then(console.log, console.error)\n"
    for rest, said in (("exit 1", f"there is no token: {program} failed"), ("cat", "eyJ.c4n4ry")):
        program.write_text(f"#!/bin/sh\necho eyJ.c4n4ry; echo eyJ.c4n4ry >&2; {rest}\n")
        program.chmod(0o755)
        (tmp_path / "run.cjs").write_text(script)
        (tmp_path / ".env").write_text(
            "DATABASE_URL=postgresql://ann@db.example.com:26257/shop?sslmode=verify-full&sslrootcert=/dev/null\n"
        )
        done = subprocess.run(
            ["node", tmp_path / "run.cjs"], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60
        )
        assert said in done.stdout + done.stderr
        assert ("c4n4ry" in done.stdout + done.stderr) == (rest == "cat")


def test_a_program_holds_no_connection_and_no_event_loop(tmp_path):
    log_in = written(tmp_path, "pgx", ".go", "/bin/get").split("func logIn(")[1]
    assert "ctx, cancel := context.WithTimeout(ctx, " in log_in.split("exec.CommandContext(ctx, ")[0]
    engine = written(tmp_path, "sqlalchemy:asyncpg", ".py", "/bin/get")
    assert 'parameters["password"] = lambda: asyncio.to_thread(token)' in engine
