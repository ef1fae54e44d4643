# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins by token at the sandbox: accepted, refused in CockroachDB's words, renewed, by playbooks and by crdb-sql."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._client.builds import archive_name, this_build

from sandbox import tokens
from tests import vendor
from tests.conftest import run_sandbox
from tests.faults.table import JWT
from tests.integration.conftest import environment_values
from tests.integration.test_sql_shell import CLIENT, VERSION

BADGER = "lone-badger"


def minted(sandbox, cluster, **claims):
    """A token of the sandbox's issuer for the cluster's own user."""
    own = tokens.claims_for(sandbox.clusters[cluster].user, cluster)
    return tokens.mint((sandbox.state / "issuer.key").read_bytes(), {**own, **claims})


def endpoint(sandbox, cluster, **facts):
    known = sandbox.connections[cluster.replace("-", "_")]
    options = f"--cluster={known['routing_id']} {JWT}" if "routing_id" in known else JWT
    return {**known, "name": cluster, "password": None, "options": options, **facts}


def check(sandbox, cluster, **facts):
    return check_endpoint(Endpoint.from_dict(endpoint(sandbox, cluster, **facts))).as_dict()


@pytest.fixture
def settings(sandbox):
    """Change the settings of logins by token for one test."""
    path = sandbox.state / "tokens.json"

    def change(**values):
        path.write_text(json.dumps({BADGER: values}))

    yield change
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("cluster", ["funky-skunk", "brave-otter", "steady-heron", BADGER])
def test_every_deployment_accepts_a_token(sandbox, cluster):
    report = check(sandbox, cluster, jwt=minted(sandbox, cluster))
    assert report["code"] == "ok", report
    assert report["server"]["user"] == sandbox.clusters[cluster].user
    assert report["server"]["auth_method"] == "cleartext password"


def test_the_command_line_prints_one_that_is_accepted(sandbox):
    token = run_sandbox("token", BADGER, "--state", str(sandbox.state)).strip()
    assert check(sandbox, BADGER, jwt=token)["code"] == "ok"
    ended = run_sandbox("token", BADGER, "--state", str(sandbox.state), "--lifetime", "-1").strip()
    assert check(sandbox, BADGER, jwt=ended)["code"] == "jwt_expired"


@pytest.mark.parametrize(
    ("values", "claims", "code", "words"),
    [
        ({"enabled": False}, {}, "jwt_disabled", "JWT authentication: not enabled"),
        ({"issuers": ["https://other.test"]}, {}, "jwt_wrong_issuer", f"token issued by {tokens.ISSUER}"),
        ({"audience": ["other"]}, {}, "jwt_wrong_audience", "token issued with an audience of [lone-badger]"),
        ({"jwks": {"keys": []}}, {}, "jwt_wrong_key", "failed to find key with key ID"),
        ({"jwks": tokens.key_set(tokens.new_key())}, {}, "jwt_wrong_key", "could not verify message"),
        ({}, {"sub": "petra"}, "jwt_wrong_user", "token issued for [petra] and login was for roach"),
        ({"claim": "email"}, {}, "jwt_wrong_user", "token does not contain a claim for email"),
        ({}, {"iat": 4102444800}, "jwt_not_yet_valid", '"iat" not satisfied'),
    ],
)
def test_what_the_cluster_refuses_is_named_in_its_words(sandbox, settings, values, claims, code, words):
    settings(**values)
    report = check(sandbox, BADGER, jwt=minted(sandbox, BADGER, **claims))
    assert (report["code"], report["evidence"]["sqlstate"]) == (code, "28000")
    assert words in report["cause"]
    assert report["password_sent"]
    settings()
    assert check(sandbox, BADGER, jwt=minted(sandbox, BADGER))["code"] == "ok"


def test_the_identity_map_is_followed(sandbox, settings):
    settings(claim="email", identity_map=[rf"{tokens.ISSUER} /^(.*)@shop\.test$ \1"])
    assert check(sandbox, BADGER, jwt=minted(sandbox, BADGER, email="roach@shop.test"))["code"] == "ok"
    assert check(sandbox, BADGER, jwt=minted(sandbox, BADGER, email="roach@else.test"))["code"] == "jwt_wrong_user"


def test_a_token_without_the_option_is_a_wrong_password(sandbox):
    report = check(sandbox, BADGER, jwt=minted(sandbox, BADGER), options=None)
    assert report["code"] == "password_rejected"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "jwt_file_missing"),
        ("a folder", "jwt_file_unreadable"),
        ("", "jwt_empty"),
        ("Bearer TOKEN", "jwt_malformed"),
        ('{"access_token": "TOKEN"}', "jwt_malformed"),
        ("ENDED", "jwt_expired"),
    ],
)
def test_the_cure_of_each_unusable_file_leads_to_a_login(sandbox, tmp_path, content, code):
    path = tmp_path / "token"
    token = minted(sandbox, BADGER)
    if content == "a folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content.replace("TOKEN", token).replace("ENDED", minted(sandbox, BADGER, exp=1)))
    report = check(sandbox, BADGER, jwt_file=str(path))
    assert report["code"] == code
    assert str(path) in report["cause"] + report["cure"]
    if path.is_dir():
        path.rmdir()
    path.write_text(token)
    assert check(sandbox, BADGER, jwt_file=str(path))["code"] == "ok"


def test_a_machine_logs_in_by_a_file_that_is_renewed(controller, sandbox, tmp_path, drivers):
    """Written, proved by the driver, opened by crdb-sql, expired, renewed: the token is in its own file alone."""
    for product in ("cockroach",):
        build = this_build()
        entries = vendor.layout(product, VERSION, build, text=CLIENT.encode())
        vendor.put(tmp_path / "archives", archive_name(product, VERSION, build), vendor.pack(entries))
    place = tmp_path / "secrets"
    place.mkdir()
    path = place / "token"
    program = place / "get-token"
    program.write_text(f'#!/bin/sh\n[ "$1" = "of max" ] && cat {path}\n')
    program.chmod(0o755)
    token = minted(sandbox, BADGER)
    path.write_text(f"{token}\n")
    own = {key: value for key, value in sandbox.connections["lone_badger"].items() if key != "password"}
    variables = {
        **drivers,
        "crdb_hosts": "localhost",
        "crdb_client_install": True,
        "crdb_client_version": VERSION,
        "crdb_client_archive_folder": str(tmp_path / "archives"),
        "crdb_client_prefix": "~/.local",
        "crdb_connections": {
            "by_file": {**own, "jwt_file": str(path)},
            "by_command": {**own, "jwt_command": f"{program} 'of max'"},
        },
        "crdb_apps": [
            {"name": "one", "connection": "by_file", "folder": "~/one", "frameworks": ["psycopg2"]},
            {"name": "two", "connection": "by_command", "folder": "~/two", "frameworks": ["psycopg2"]},
        ],
    }
    run = controller.playbook("dev_machine", variables, "--diff", "-vvvv")
    assert run.status == 0, run.output[-3000:]
    assert len(re.findall(r"psycopg2 [0-9.]+: connected as roach", run.output)) >= 2, run.output[-3000:]
    values = environment_values((controller.home / "one" / ".env").read_text())
    assert values["CRDB_JWT_FILE"] == str(path)
    assert values["DATABASE_URL"].startswith("postgresql://roach@localhost:")
    shell = {"PATH": os.environ["PATH"], "HOME": str(controller.home)}
    words = [controller.home / ".local/bin/crdb-sql", "--execute", "SELECT current_user"]
    for name in ("one", "two"):
        done = subprocess.run(words, cwd=controller.home / name, env=shell, capture_output=True, text=True, check=False)
        assert done.stdout == "roach True\n", done.stderr
    # Ended: seen before anything is sent, by the check and by crdb-sql's server.
    path.write_text(minted(sandbox, BADGER, exp=1))
    ended = controller.playbook("check", variables, "-vvvv")
    assert ended.status != 0
    assert "jwt_expired" in ended.output
    assert "not tried, because the check reports jwt_expired" in ended.output
    path.unlink()
    missing = controller.playbook("check", variables)
    assert "jwt_file_missing" in missing.output
    assert "jwt_command_failed" in missing.output
    path.write_text(minted(sandbox, BADGER))
    assert controller.playbook("check", variables).status == 0
    # On the machine itself, what was written is read back: the two connections need no variables.
    again = controller.playbook("check", {**drivers, "crdb_hosts": "localhost"})
    assert again.status == 0, again.output
    assert "has no password" not in again.output
    # Back to a password: what said where the token is goes.
    password = {
        "crdb_connections": {"by_file": sandbox.connections["lone_badger"]},
        "crdb_apps": variables["crdb_apps"][:1],
    }
    back = controller.playbook("dev_machine", {"crdb_hosts": "localhost", **password})
    assert back.status == 0, back.output
    assert "CRDB_JWT_FILE" not in (controller.home / "one" / ".env").read_text()
    assert "token()" not in (controller.home / "one" / "crdb_database.py").read_text()
    canary = token.rpartition(".")[2]
    for output in (run.output, ended.output, missing.output):
        assert canary not in output
    found = [file for file in controller.home.rglob("*") if file.is_file() and canary.encode() in file.read_bytes()]
    assert found == []
    assert canary.encode() not in (sandbox.state / "sandbox.log").read_bytes()


def test_crdb_sql_believes_only_what_was_written_for_its_user(controller, sandbox, tmp_path):
    """An environment file that came with a project could name any program to run, or a secret to send."""
    entries = vendor.layout("cockroach", VERSION, this_build(), text=CLIENT.encode())
    vendor.put(tmp_path / "archives", archive_name("cockroach", VERSION, this_build()), vendor.pack(entries))
    variables = {
        "crdb_hosts": "localhost",
        "crdb_client_install": True,
        "crdb_client_version": VERSION,
        "crdb_client_archive_folder": str(tmp_path / "archives"),
        "crdb_client_prefix": "~/.local",
        "crdb_connections": {"own": sandbox.connections["lone_badger"]},
        "crdb_apps": [{"name": "own", "connection": "own", "folder": "~/own"}],
    }
    run = controller.playbook("dev_machine", variables)
    assert run.status == 0, run.output[-3000:]
    project = controller.home / "cloned"
    project.mkdir()
    ran = tmp_path / "ran"
    url = environment_values((controller.home / "own" / ".env").read_text())["DATABASE_URL"]
    (project / ".env").write_text(f'DATABASE_URL="{url}"\nCRDB_JWT_COMMAND="/bin/touch,{ran}"\n')
    shell = {"PATH": os.environ["PATH"], "HOME": str(controller.home)}
    words = [controller.home / ".local/bin/crdb-sql", "--execute", "SELECT current_user"]
    done = subprocess.run(words, cwd=project, env=shell, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "crdb.onboard did not write it" in done.stderr
    assert not ran.exists()


@pytest.mark.parametrize("facts", [{"jwt_file": "/run/token", "password": "s3cret"}, {"jwt_file": "/run/token"}])
def test_what_cannot_work_is_refused_before_anything_is_written(controller, sandbox, facts):
    own = {key: value for key, value in sandbox.connections["lone_badger"].items() if key != "password"}
    run = controller.playbook(
        "dev_machine",
        {
            "crdb_hosts": "localhost",
            "crdb_connections": {"shop": {**own, **facts}},
            "crdb_apps": [
                {"name": "shop", "connection": "shop", "folder": "~/shop", "frameworks": ["psycopg2", "prisma"]}
            ],
        },
    )
    assert run.status != 0
    words = "a password. A token is sent in place" if "password" in facts else "Prisma cannot log in with a token"
    assert words.lower() in " ".join(run.output.split()).lower(), run.output[-2000:]
    assert not (controller.home / "shop").exists()


@pytest.mark.parametrize(("claims", "code"), [({}, "ok"), ({"exp": 1}, "jwt_expired")])
def test_a_connection_string_of_the_db_console_is_checked(controller, sandbox, claims, code):
    """It has the token where the password stands: nothing is sent once the token has ended."""
    known = sandbox.connections["lone_badger"]
    token = minted(sandbox, BADGER, **claims)
    query = f"sslmode=verify-full&options={JWT.replace('=', '%3D')}"
    url = f"postgresql://roach:{token}@localhost:{known['port']}/defaultdb?{query}"
    words = "url=\"{{ lookup('env', 'DATABASE_URL') }}\" ca_file=" + known["ca_file"]
    run = controller.run("ansible", "localhost", "-m", "crdb.onboard.check", "-a", words, "-vvvv", DATABASE_URL=url)
    assert f"code: {code}\n" in run.output, run.output[-2000:]
    assert token.rpartition(".")[2] not in run.output


def test_a_token_in_another_encoding_is_not_shown_either(sandbox):
    token = minted(sandbox, BADGER, sub="petra")
    text = json.dumps(check(sandbox, BADGER, jwt=token))
    assert token not in text
    assert base64.b64encode(token.encode()).decode() not in text
