# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Job templates and surveys, the GitHub Action and the pre-commit hook: by their schemas, and run in a shell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.unit.test_docs import _known_variables

TOP = Path(__file__).resolve().parents[2]
TEMPLATES = yaml.safe_load((TOP / "automation" / "job_templates.yml").read_text())
# The parts of the two formats that are used here.
ACTION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "description", "runs"],
    "properties": {
        "name": {"type": "string"},
        "description": {"type": "string"},
        "inputs": {
            "additionalProperties": {
                "additionalProperties": False,
                "required": ["description"],
                "properties": {
                    "description": {"type": "string"},
                    "required": {"type": "boolean"},
                    "default": {"type": "string"},
                },
            }
        },
        "runs": {
            "additionalProperties": False,
            "required": ["using", "steps"],
            "properties": {
                "using": {"const": "composite"},
                "steps": {
                    "items": {
                        "additionalProperties": False,
                        "required": ["name", "shell", "run"],
                        "properties": {
                            "name": {"type": "string"},
                            "shell": {"type": "string"},
                            "run": {"type": "string"},
                            "env": {"type": "object", "additionalProperties": {"type": "string"}},
                        },
                    }
                },
            },
        },
    },
}
HOOKS = {
    "type": "array",
    "items": {
        "additionalProperties": False,
        "required": ["id", "name", "entry", "language"],
        "properties": {
            "id": {"type": "string", "pattern": "^[a-z-]+$"},
            "name": {"type": "string"},
            "description": {"type": "string"},
            "entry": {"type": "string"},
            "language": {"const": "script"},
            "files": {"type": "string", "format": "regex"},
            "pass_filenames": {"type": "boolean"},
        },
    },
}


def test_the_job_templates_are_what_the_platform_takes():
    schema = json.loads((TOP / "tests" / "unit" / "schemas" / "job_templates.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES["controller_templates"], ids=lambda template: template["name"])
def test_a_template_runs_a_playbook_and_asks_for_variables_that_exist(template):
    assert (TOP / template["playbook"]).is_file()
    questions = template.get("survey_spec", {}).get("spec", [])
    assert {question["variable"] for question in questions} <= _known_variables()
    for question in questions:
        # What somebody types into a text field of a survey is stored and shown: no password goes there.
        assert "password" not in question["variable"]
        assert question["default"] in question.get("choices", [question["default"]])


def test_the_action_and_the_hook_are_what_their_runners_take():
    jsonschema.validate(yaml.safe_load((TOP / "action.yml").read_text()), ACTION)
    hooks = yaml.safe_load((TOP / ".pre-commit-hooks.yaml").read_text())
    jsonschema.validate(hooks, HOOKS)
    for hook in hooks:
        assert os.access(TOP / hook["entry"], os.X_OK)


@pytest.fixture
def project(tmp_path):
    """A project of somebody's own with the example as its inventory, without a vault."""
    shutil.copytree(TOP / "inventories" / "example", tmp_path / "inventories")
    staging = tmp_path / "inventories" / "staging" / "group_vars" / "all"
    facts = {"routing_id": "funky-skunk-123", "host": "x.abc.cockroachlabs.cloud", "user": "max", "password": "secret"}
    connections = dict.fromkeys(("shop_db", "ledger_db", "reports_db"), facts)
    (staging / "connections.yml").write_text(json.dumps({"crdb_connections": connections}))

    def run(text, **environment):
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=tmp_path, env=variables, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    return run, staging


def test_the_action_by_hand(project):
    """Its last step, as the runner starts it; the first one is `make install`."""
    run, _staging = project
    install, step = yaml.safe_load((TOP / "action.yml").read_text())["runs"]["steps"]
    assert install["run"].endswith('" install')
    done = run(
        step["run"], GITHUB_ACTION_PATH=str(TOP), INVENTORIES="inventories/staging", VAULT_PASSWORD_FILE="",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_hook_by_hand(project):
    run, staging = project
    (hook,) = yaml.safe_load((TOP / ".pre-commit-hooks.yaml").read_text())
    network = staging / "network.yml"
    network.write_text(network.read_text().replace("198.41.7.9", "198.41.7.999"))
    wrong = run(f"{TOP / hook['entry']} inventories/staging")
    assert wrong.returncode == 1
    assert "198.41.7.999" in wrong.stdout
    assert run(f"{TOP / hook['entry']}").returncode == 2
    missing = run(f"{TOP / hook['entry']} inventories/nowhere")
    assert missing.returncode == 2
    assert "there is no inventory inventories/nowhere" in missing.stdout
