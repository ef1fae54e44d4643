# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rendering: strict, literal, and read back by the languages themselves."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as _catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App, app_entries, apps
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import parse_url
from ansible_collections.crdb.onboard.plugins.plugin_utils._render import files, literals, templates
from hypothesis import given
from hypothesis import strategies as st

CATALOGUE = _catalogue.load()
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
CONNECTION = parse_url("postgresql://max:p%40ss@db.example.com:26257/bank?sslmode=verify-full&sslrootcert=%2Fca.crt")


@given(TEXT)
def test_python_literals_read_back(text):
    literal = literals.python_literal(text)
    assert literal.isascii()
    assert ast.literal_eval(literal) == text.encode("utf-16", "surrogatepass").decode("utf-16")


@given(st.lists(TEXT, min_size=50, max_size=50))
def test_comments_stay_on_their_line(texts):
    for text in texts:
        comment = literals.comment_text(text)
        assert comment.isascii()
        assert comment.isprintable()
        assert "*/" not in comment


def test_names_for_kubernetes_never_meet():
    assert literals.dns_label("shop-api") == "shop-api"
    names = ["a-b", "a.b", "a_b", "A-b", "a--b", "-a-b", "é", "ü", "app", ""]
    labels = [literals.dns_label(name) for name in names]
    assert len(set(labels)) == len(names)
    assert all(re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", label) for label in labels)


def test_javascript_literals_read_back():
    samples: list[str] = []

    @given(TEXT)
    def collect(text):
        samples.append(text)

    collect()
    program = f"console.log(JSON.stringify([{','.join(literals.javascript_literal(s) for s in samples)}]))"
    done = subprocess.run(["node", "-"], input=program, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == samples


@pytest.mark.parametrize("value", ["a b", "a'b", 'a"b', "a\\b", "a\nb", "a\x7fb", "\u00e9"])
def test_an_environment_file_takes_no_value_that_loaders_read_differently(value):
    with pytest.raises(OnboardingError):
        literals.dotenv_value(value)


def test_the_environment_file_means_the_same_to_a_shell(tmp_path):
    path = tmp_path / ".env"
    path.write_bytes(files.environment_file({"DATABASE_URL": CONNECTION.url()}, title="x\ny"))
    done = subprocess.run(
        ["sh", "-c", '. "$1"; printf %s "$DATABASE_URL"', "sh", path], capture_output=True, text=True, check=True
    )
    assert done.stdout == CONNECTION.url()


@pytest.mark.parametrize("framework", CATALOGUE.values(), ids=lambda framework: framework.name)
def test_a_template_and_its_values_must_fit(framework):
    # A file with a fixed text fits anything.
    varying = [file for file in framework.files if "{" in (framework.folder / file.template).read_text()]
    with pytest.raises(OnboardingError, match=r"UndefinedError: '\w+' is undefined"):
        templates.render(framework, varying[0], {})


@pytest.mark.parametrize(
    ("name", "variant", "place", "expected"),
    [
        ("flyway", "conf", "env", ".env"),
        ("flyway", "conf", "inline", ""),
        ("flyway", "java", "env", ""),
        # It reads where its CA is from there, wherever the password is.
        ("typeorm", "xml", "inline", ".env"),
    ],
)
def test_a_probe_gets_the_environment_file_where_its_process_needs_it(name, variant, place, expected):
    choice = next(c for c in CATALOGUE[name].choices if c.variant == variant)
    framework = dataclasses.replace(choice, place=place)
    facts = {"host": "h", "user": "u", "password": "p", "database": "d", "ca_text": "x", "deployment": "self_hosted"}
    app = App("shop", connections.source("db", facts), "/srv", "", "", (framework,), ".env")
    assert templates.probe(app, framework)["environment_file"] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"routings": ["auto"]}, "routings"),
        ({"ca": "nowhere"}, "ca 'nowhere'"),
        ({"environment": {"X": "dsn"}}, "environment X"),
        ({"colour": "red"}, "unknown keys: colour"),
        ({"versions": "1.2"}, "versions must be bounds such as .* not .1.2."),
        ({"places": ["argv"]}, "places"),
        ({"client_certificate": "jks"}, "client_certificate"),
        ({"loader": "hope"}, "loader"),
        ({"probe": {"program": "gone.py", "interpreter": "python"}}, "file gone.py is missing"),
        ({"probe": {"program": "probe.py"}}, "probe: missing keys: interpreter"),
        ({"packages": [{"name": "x", "tested": "1", "versoin": "2"}]}, "packages: unknown keys: versoin"),
        ({"files": [{"template": "probe.py", "destination": "a", "moed": "0600"}]}, "files: unknown keys: moed"),
        ({"samples": ["probe.py"]}, "samples: 'probe.py' must be a mapping"),
    ],
)
def test_an_incomplete_folder_of_the_catalogue_is_named(tmp_path, change, message):
    import yaml

    data = {
        "title": "X", "versions": ">=1", "documentation": "https://example.com/", "packages": [], "files": [],
        "environment": {},
        "routings": ["options"], "ca": "url", "probe": {"program": "probe.py", "interpreter": "python"}, **change,
    }  # fmt: skip
    folder = tmp_path / "python" / "x"
    folder.mkdir(parents=True)
    (folder / "probe.py").write_text("")
    (folder / "framework.yml").write_text(yaml.safe_dump(data))
    with pytest.raises(OnboardingError, match=message):
        _catalogue.load(tmp_path)


def test_the_same_name_twice_is_refused(tmp_path):
    for language in ("python", "ruby"):
        target = tmp_path / language / "ruby-pg"
        target.parent.mkdir()
        target.symlink_to(Path(CATALOGUE["ruby-pg"].folder))
    with pytest.raises(OnboardingError, match="two folders"):
        _catalogue.load(tmp_path)


@pytest.mark.parametrize(("routing", "database"), [("auto", "{id}.defaultdb"), ("options", "defaultdb")])
def test_clusters_behind_one_host_have_lines_of_their_own_in_pgpass(routing, database):
    url = "postgresql://demo:{password}@proxy.example.com/defaultdb?options=--cluster%3D{id}"
    lines = []
    for name, password in (("funky-skunk-123", "one"), ("brave-otter-456", "two")):
        facts = {"url": url.format(password=password, id=name), "routing": routing, "ca_file": "/ca.crt"}
        source = connections.source("db", facts)
        (app,) = apps(app_entries([{"psql_service": "s"}]), {"db": source}, CATALOGUE)
        service, passfile = files.render_psql(app, "/home/max", "/ca.crt")
        assert f"dbname={database.format(id=name)}\n".encode() in service.content
        assert (b"options=" in service.content) is (routing == "options")
        assert passfile.content == f"proxy.example.com:26257:{database.format(id=name)}:demo:{password}\n".encode()
        lines.append(passfile.content)
    assert lines[0] != lines[1]
