# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the catalogue's languages declare: how texts are written, packages installed and projects found."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._project.declared import look
from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages, project
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.frameworks import load
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import (
    framework_values,
    install_line,
    render,
)

LOCK = (
    '[[package]]\nname = "sqlx"\nversion = "0.9.0"\nsource = "x"\n\n[[package]]\nname = "tokio"\nversion = "1.40.0"\n'
)


def found(tmp_path, files, packages, folder="."):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return look(Folder(str(tmp_path / folder)), packages, languages.of("rust").project)


def test_a_text_in_source_code():
    literal = languages.of("rust").literal
    assert literal is not None
    assert literal('a"\\\n\u00e9$') == '"a\\"\\\\\\u{a}\\u{e9}$"'


def test_the_line_that_installs():
    assert install_line(load()["sqlx-rust"]).startswith(
        "cargo add sqlx@0.9.0 --features runtime-tokio,tls-rustls-ring-native-roots,postgres && cargo add tokio@"
    )
    assert install_line(load()["psycopg2"]).startswith("pip install 'psycopg2==")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ('sqlx = "0.8"', "0.8"),
        ('sqlx = "^0.8.2"', "0.8.2"),
        ('sqlx = { version = "=0.8.6", features = ["postgres"] }', "0.8.6"),
        ('sqlx = { features = ["postgres"], version = "0.8" }', "0.8"),
        ("sqlx = { workspace = true }", None),
        ('sqlx = { path = "../sqlx" }', None),
    ],
)
def test_a_manifest(tmp_path, line, version):
    answer = found(tmp_path, {"Cargo.toml": f"[dependencies]\n{line}\n"}, ["sqlx"])
    assert answer.versions.get("sqlx") == version
    assert answer.facts == {}


def test_a_lock_of_a_workspace_counts_before_the_manifest(tmp_path):
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["shop"]\n',
        "Cargo.lock": LOCK,
        "shop/Cargo.toml": '[package]\nname = "shop"\n[dependencies]\nsqlx = "0.8"\n',
        "shop/src/lib.rs": "",
    }
    answer = found(tmp_path, files, ["sqlx", "diesel"], "shop")
    assert answer.versions == {"sqlx": "0.9.0"}
    assert answer.sources == {"sqlx": "Cargo.lock"}
    assert answer.facts == {"library": "true"}
    assert project.read("rust", answer._asdict()).facts == {"library": "true"}


def test_a_folder_without_a_manifest_is_no_project(tmp_path):
    assert found(tmp_path, {"main.rs": ""}, ["sqlx"]) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("titel: Frog", "unknown key: titel. The keys are"),
        ("probe: {step: []}", "unknown key: step. The keys are"),
        ("probe: []", "probe must be a mapping"),
        ("project: {versions: [{file: x}]}", "each entry needs a file and a pattern"),
        ("project: {versions: [{file: x, pattern: '('}]}", "each entry needs a file and a pattern"),
        ("literal: {quote: '\"'}", "literal needs quote and other"),
    ],
)
def test_a_language_that_is_wrong(tmp_path, text, error):
    (tmp_path / "frog").mkdir()
    (tmp_path / "frog" / "language.yml").write_text(text)
    with pytest.raises(OnboardingError, match=error):
        languages.load(tmp_path)


@pytest.mark.parametrize(
    ("facts", "name"),
    [({"database": "a;b"}, "database"), ({"sslrootcert": "/srv/a;b/ca.crt"}, "sslrootcert")],
)
def test_what_pdo_takes_apart_is_refused_before_anything_is_written(facts, name):
    framework = load()["pdo"]
    described = {"host": "h", "user": "u", "password": "p;q", "database": "d", "sslrootcert": "/ca.crt", **facts}
    source = connections.source("shop", described)
    app = App("shop", source, "/srv", "", "", (framework,), ".env")
    values = framework_values(app, framework, described["sslrootcert"], "")
    with pytest.raises(OnboardingError, match=f"{name}: .* must not contain ';': PDO"):
        render(framework, framework.files[0], values)


def test_a_project_of_composer(tmp_path):
    text = '{"require": {"vlucas/phpdotenv": "^5.6"}, "autoload": {"psr-4": {"Example\\\\Shop\\\\": "src/"}}}'
    (tmp_path / "composer.json").write_text(text)
    answer = look(Folder(str(tmp_path)), ["vlucas/phpdotenv"], languages.of("php").project)
    assert answer is not None
    facts = {"namespace": "Example\\\\Shop", "source": "src"}
    assert (answer.versions, answer.facts) == ({"vlucas/phpdotenv": "5.6"}, facts)
    assert project.read("php", answer._asdict()).facts == facts
