# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a look at a Node.js and at a Ruby project finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._project import javascript, ruby
from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder


def node(folder: Path, kind: str, **options: Any) -> dict[str, str]:
    (folder / "package.json").write_text(json.dumps({"type": kind}))
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    found = javascript.look(Folder(str(folder)), [])
    assert found is not None
    return found.facts


@pytest.mark.parametrize(
    ("kind", "module", "output"),
    [
        ("module", "NodeNext", "esm"),
        ("commonjs", "node16", "commonjs"),
        ("module", "CommonJS", "commonjs"),
        ("commonjs", "ESNext", "esm"),
        ("commonjs", "preserve", "esm"),
        # Neither __dirname nor import.meta can be used there.
        ("commonjs", "es6", ""),
    ],
)
def test_what_typescript_writes(tmp_path: Path, kind: str, module: str, output: str):
    assert node(tmp_path, kind, module=module)["output"] == output


@pytest.mark.parametrize("base", ["./base.json", "./base", "@tsconfig/node20", "@tsconfig/node20/tsconfig.json"])
def test_options_are_inherited(tmp_path: Path, base: str):
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "tsconfig.json").write_text(json.dumps({"extends": base, "compilerOptions": {"rootDir": "./app"}}))
    package = tmp_path / "node_modules" / "@tsconfig" / "node20"
    package.mkdir(parents=True)
    for path in (tmp_path / "base.json", package / "tsconfig.json"):
        path.write_text('{"compilerOptions": {"module": "esnext", "rootDir": "other"}} // of others')
    found = javascript.look(Folder(str(tmp_path)), [])
    assert found is not None
    assert (found.facts["output"], found.facts["source"]) == ("esm", "app/")


def test_a_configuration_that_extends_itself_ends(tmp_path: Path):
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "tsconfig.json").write_text('{"extends": "./tsconfig.json"}')
    assert javascript.look(Folder(str(tmp_path)), []) is not None


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (None, {"rails": "true"}),
        ("development:\n", {"rails": "true", "database_yml": "theirs"}),
        ("# Written by crdb.onboard for the app x\n", {"rails": "true"}),
    ],
)
def test_a_rails_app_may_have_a_database_yml(tmp_path: Path, text: str | None, facts: dict[str, str]):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "application.rb").touch()
    if text is not None:
        (tmp_path / "config" / "database.yml").write_text(text)
    found = ruby.look(Folder(str(tmp_path)), [])
    assert found is not None
    assert found.facts == facts
