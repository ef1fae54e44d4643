# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the catalogue chooses for a project: era, form, packages; and what a host's answer may say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks, parameters, project
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue.choose import find
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import install_line

ENTRY = {
    "title": "Toad",
    "documentation": "https://toad.example",
    "environment": {"DATABASE_URL": "url"},
    "routings": ["options"],
    "ca": "url",
    "probe": {"program": "probe.cjs", "interpreter": "node"},
    "files": [{"template": "a.j2", "destination": "crdb_toad.cjs", "use": "require"}],
    "refused": [{"versions": "==2.5.*", "reason": "it cannot do TLS"}],
    "eras": [
        {
            "versions": ">=2,<3",
            "packages": [
                {"name": "toad", "tested": "2.4.1", "alternatives": ["toad-native"]},
                {"name": "toad-plugin", "tested": "2.4.9", "follows": "minor"},
            ],
            "projects": [
                {
                    "when": {"typescript": "true"},
                    "files": [
                        {
                            "template": "a.j2",
                            "destination": "{{ source }}crdb_toad.ts",
                            "use": "import",
                            "where": "at the top of {{ source or 'your' }} files",
                        }
                    ],
                },
                {"when": {"modules": "esm"}, "files": [{"template": "a.j2", "destination": "crdb_toad.mjs"}]},
                {"when": {"modules": "*"}, "samples": [{"template": "a.j2", "destination": "samples/toad.cjs"}]},
            ],
        },
        {"versions": ">=1,<2", "packages": [{"name": "old-toad", "tested": "1.9.0"}]},
    ],
}


@pytest.fixture
def catalogue(tmp_path: Path):
    folder = tmp_path / "javascript" / "toad"
    folder.mkdir(parents=True)
    for name in ("a.j2", "probe.cjs"):
        (folder / name).write_text("")
    (folder / "framework.yml").write_text(yaml.safe_dump(ENTRY))
    return frameworks.load(tmp_path)


def projects(versions=None, **facts):
    answer = {"facts": facts, "versions": versions or {}, "sources": dict.fromkeys(versions or {}, "package-lock.json")}
    return project.read_all({"javascript": answer})


def destinations(framework):
    return [file.destination for file in (*framework.files, *framework.samples)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (None, ["crdb_toad.cjs"]),
        ({"modules": "commonjs"}, ["crdb_toad.cjs", "samples/toad.cjs"]),
        ({"modules": "esm"}, ["crdb_toad.mjs"]),
        ({"modules": "esm", "typescript": "true", "source": "src/"}, ["src/crdb_toad.ts"]),
        ({"modules": "esm", "typescript": "true", "source": ""}, ["crdb_toad.ts"]),
    ],
)
def test_the_first_form_that_fits_the_project(catalogue, facts, expected):
    found = find("toad", catalogue, None, None if facts is None else projects(**facts))
    assert destinations(found) == expected


def test_the_line_and_its_place_name_the_projects_own_files(catalogue):
    found = find("toad", catalogue, None, projects(modules="esm", typescript="true", source="src/"))
    assert (found.files[0].use, found.files[0].where) == ("import", "at the top of src/ files")


@pytest.mark.parametrize(
    ("entry", "versions", "version", "install"),
    [
        ("toad", {}, "", "npm install toad@2.4.1 toad-plugin@2.4.9"),
        ("toad", {"toad": "2.1.0"}, "2.1.0", "npm install toad@2.1.0 toad-plugin@2.1.*"),
        ("toad", {"toad": "2.4.3", "toad-plugin": "2.4.2"}, "2.4.3", "npm install toad@2.4.3 toad-plugin@2.4.2"),
        ("toad", {"toad-native": "2.2.0"}, "2.2.0", "npm install toad-native@2.2.0 toad-plugin@2.2.*"),
        ("toad", {"old-toad": "1.3.0"}, "1.3.0", "npm install old-toad@1.3.0"),
        ({"name": "toad", "version": "2.0.5"}, {"toad": "2.1.0"}, "2.0.5", "npm install toad@2.0.5 toad-plugin@2.0.*"),
    ],
)
def test_the_version_of_the_project_unless_one_is_declared(catalogue, entry, versions, version, install):
    found = find(entry, catalogue, None, projects(versions, modules="commonjs"))
    assert found.version == version
    assert install_line(found) == install
    assert found.notes == ()


@pytest.mark.parametrize("declared", [True, False])
def test_a_version_newer_than_tested_is_taken_with_a_note(catalogue, declared):
    entry = {"name": "toad", "version": "3.1.0"} if declared else "toad"
    found = find(entry, catalogue, None, projects({} if declared else {"toad": "3.1.0"}, modules="commonjs"))
    assert (found.version, found.versions) == ("3.1.0", ">=2,<3")
    (note,) = found.notes
    assert "not tested with this version. The newest tested is 2.4.1" in note
    assert ("package-lock.json" in note) is not declared


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2.5.3", "Toad 2.5.3 of package-lock.json does not work: it cannot do TLS."),
        ("0.9", "Toad 0.9 of package-lock.json is outside the supported ranges"),
    ],
)
def test_refused_is_what_is_known_not_to_work_and_what_is_too_old(catalogue, version, message):
    with pytest.raises(OnboardingError, match=message):
        find("toad", catalogue, None, projects({"toad": version}, modules="commonjs"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("projects", [{"files": []}], "each entry needs when"),
        ("projects", [{"when": {"manager": "npm"}}], "there is no fact manager of this language"),
        ("parameters", "odbc", "parameters 'odbc': must be one of"),
        ("refused", [{"versions": "two", "reason": "x"}], "versions must be bounds"),
        ("packages", [{"name": "toad", "tested": "1", "follows": "patch"}], "follows 'patch': must be one of"),
    ],
)
def test_a_framework_yml_that_is_wrong_is_refused(tmp_path, key, value, message):
    folder = tmp_path / "javascript" / "toad"
    folder.mkdir(parents=True)
    for name in ("a.j2", "probe.cjs"):
        (folder / name).write_text("")
    flat = {**{name: part for name, part in ENTRY.items() if name != "eras"}, "versions": ">=1", "packages": []}
    (folder / "framework.yml").write_text(yaml.safe_dump({**flat, key: value}))
    with pytest.raises(OnboardingError, match=message):
        frameworks.load(tmp_path)


@pytest.mark.parametrize(
    ("language", "fact", "value"),
    [
        ("javascript", "source", "../../etc/"),
        ("javascript", "source", "/etc/"),
        ("javascript", "source", "src/{{ 7 * 7 }}/"),
        ("javascript", "modules", "amd"),
        ("java", "source", "src/../../x"),
        ("java", "package", "com.shop; DROP"),
        ("java", "package", "com.shop\n"),
        ("python", "settings_file", "a/\x1b[31m.py"),
        ("python", "package", ["shop"]),
        ("go", "module", 'x"; import "os'),
        ("go", "module", "x" * 300),
        ("ruby", "rails", "yes"),
    ],
)
def test_what_a_host_says_is_not_believed(language, fact, value):
    found = project.read(language, {"facts": {fact: value}, "versions": {"a": "1; rm", "b": 2}, "sources": "x"})
    assert set(found.facts.values()) == {""}
    assert found.versions == {}


@pytest.mark.parametrize("answer", [None, [], "x", {"facts": [], "versions": "1"}, {"cobol": {}}])
def test_a_broken_answer_is_no_project(answer):
    assert set(project.read("python", answer).facts.values()) == {""}
    assert "cobol" not in project.read_all({"cobol": answer})


def test_parameters_that_one_driver_does_not_know_are_told():
    assert parameters.split(["keepalives", "application_name"], ["libpq", "pgx"]) == (
        {"application_name"},
        {"keepalives": ["pgx"]},
    )


def test_every_kind_of_driver_is_used_by_a_framework():
    used = {choice.parameters for framework in frameworks.load().values() for choice in framework.choices}
    assert used <= set(parameters.KNOWN)
