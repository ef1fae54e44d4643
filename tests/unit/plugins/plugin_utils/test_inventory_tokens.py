# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a connection that say where its token comes from, and who may use it."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import frameworks as catalogue
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections, tokens
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import app_entries, apps
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.token import TokenSource, written_keys
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.app_files import app_files

from tests.faults.table import JWT, TOKEN_CANARY, token

OWN = {"host": "db.example.com", "port": 26257, "user": "max", "database": "bank", "sslrootcert": "/srv/ca.crt"}


def source(**facts):
    return connections.source("db", {**OWN, **facts})


def app(framework, **facts):
    entries = app_entries([{"name": "shop", "connection": "db", "folder": "/srv", "frameworks": framework}])
    (found,) = apps(entries, {"db": source(**facts)}, catalogue.load(), {})
    return found


def contents(found):
    return {file.path: file.content.decode() for file in app_files(found, "/srv", "/home/max", "/srv/ca.crt").files}


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ({"jwt_file": "/run/token"}, {"jwt_file": "/run/token"}),
        ({"jwt_command": "/usr/bin/get 'a b' c"}, {"jwt_command": ["/usr/bin/get", "a b", "c"]}),
        ({"jwt": f" {token()}\n"}, {"jwt": token()}),
    ],
)
def test_it_is_sent_with_the_option_and_without_a_password(facts, kept):
    found = source(**facts)
    assert connections.with_password(found) is found
    assert found.connection.startup_options == JWT
    assert found.connection.password is None
    assert "crdb%3Ajwt_auth_enabled%3Dtrue" in found.connection.url()
    assert TOKEN_CANARY not in repr(found) + found.connection.url()
    endpoint = connections.endpoint_facts("db", found.connection, {}, found.token)
    assert {key: endpoint[key] for key in kept} == kept
    assert endpoint["password"] is None


def test_a_long_address_is_no_token():
    command = "/usr/bin/get --issuer=https://login.identity.example/a-realm-with-a-long-name/protocol/openid-connect"
    assert source(jwt_command=command).token.command == tuple(command.split())


def test_the_cluster_is_named_beside_it():
    facts = {"host": "db.cockroachlabs.cloud", "routing_id": "funky-skunk-123", "sslrootcert": None}
    found = source(**facts, jwt_file="/run/token")
    assert found.connection.startup_options == f"--cluster=funky-skunk-123 {JWT}"
    again = source(**facts, jwt_file="/run/token", options=JWT)
    assert again.connection.startup_options == found.connection.startup_options


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"jwt_file": "/run/token", "password": "s3cret"}, "has jwt_file and a password. A token is sent in place of"),
        (
            {"jwt_file": "/run/token", "url": "postgresql://max:s3cret@db.example.com/bank"},
            "has jwt_file and a password",
        ),
        ({"jwt_file": "/a", "jwt_command": "/b"}, "has jwt_file and jwt_command, but a connection may have only one"),
        (
            {"jwt_file": "/a", "sslcert": "/c", "sslkey": "/k"},
            "has jwt_file and sslcert. A user logs in with a token or",
        ),
        ({"jwt_file": "run/token"}, "jwt_file: 'run/token' must be an absolute path on the host"),
        ({"jwt_file": "/run/my token"}, "without spaces, quotes"),
        ({"jwt_command": "get token"}, "jwt_command: must begin with the absolute path of a program"),
        ({"jwt_command": "/bin/get 'a"}, "has a quote without its other half"),
        ({"jwt_command": "/bin/get \u00e9"}, "printable ASCII"),
        ({"jwt_command": f"/bin/echo {token()}"}, "contains a token, which every user of the host could read"),
        ({"jwt_command": f"/bin/get --token={token()}"}, "contains a token, which every user of the host could read"),
        ({"jwt_file": token()}, "jwt_file: contains a token, where the path of its file must be"),
        ({"jwt_file": f"/run/{token()}"}, "jwt_file: contains a token, where the path of its file must be"),
        ({"jwt": TOKEN_CANARY}, "jwt is not a JSON Web Token (three base64url parts with dots between them)"),
        ({"users": ["a", "b"], "jwt_file": "/a"}, "has users, so jwt_file must be left out"),
    ],
)
def test_refused(facts, message):
    given = {key: value for key, value in {**OWN, **facts}.items() if not (facts.get("users") and key == "user")}
    if "url" in facts:
        given = {key: given[key] for key in ("url", "sslrootcert", *facts)}
    with pytest.raises(OnboardingError) as caught:
        connections.source("db", connections.alternating("db", given)[0])
    assert message in str(caught.value)
    assert TOKEN_CANARY not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_token_where_the_password_stands_is_kept_out_of_files(monkeypatch):
    """As the DB Console's connection string has it, or typed where a password is asked for."""
    url = f"postgresql://max:{token()}@db.example.com:26257/bank?options=--crdb:jwt_auth_enabled%3Dtrue"
    given = connections.source("db", {"url": url, "sslrootcert": "/srv/ca.crt"})
    monkeypatch.setenv("PGPASSWORD", token())
    asked = connections.with_password(source(options=JWT))
    for found in (given, asked):
        assert found.token == TokenSource("jwt", value=token())
        assert found.connection.password is None
        assert TOKEN_CANARY not in found.connection.url()
    monkeypatch.setenv("PGPASSWORD", "a-password")
    assert connections.with_password(source(options=JWT)).connection.password == "a-password"


@pytest.mark.parametrize("framework", ["prisma", "typeorm", "diesel", "gorm", "kubernetes"])
def test_a_framework_without_a_callback_is_refused_with_the_reason(framework):
    with pytest.raises(OnboardingError) as caught:
        contents(app(framework, jwt_file="/run/token"))
    reason = catalogue.load()[framework].token_reason
    assert f"cannot log in with a token, which the connection db has (jwt_file). {reason[0].upper()}" in str(
        caught.value
    )


def test_one_token_is_not_enough_for_a_framework():
    with pytest.raises(OnboardingError, match=r"needs a new token for each connection.*Set jwt_file .* or jwt_command"):
        contents(app("psycopg2", jwt=token()))


def test_every_framework_says_whether_it_can():
    for framework in catalogue.load().values():
        for choice in framework.choices:
            assert (choice.token == "callback") != bool(choice.token_reason), choice.label


def test_the_table_of_the_page_comes_from_each_framework_yml(tmp_path):
    """A framework that learns to take tokens is in the table once its file says so."""
    ways = runpy.run_path(str(Path(__file__).parents[4] / "scripts" / "docs.py"))["ways"]
    folder = tmp_path / "templates"
    shutil.copytree(catalogue.CATALOGUE, folder)
    row = next(line for line in ways(folder).splitlines() if line.startswith("| Django |"))
    assert row == "| Django | yes | yes | no | the settings of Django hold one password for all connections |"
    assert "| JDBC | yes | yes | datasource: yes; properties: no | a file of properties" in ways(folder)
    path = folder / "python" / "django" / "framework.yml"
    text = re.sub("token_reason: .*", "token: callback", path.read_text())
    path.write_text(f"{text}client_certificate: none\n")
    catalogue.load.cache_clear()
    assert "| Django | yes | no | yes |  |" in ways(folder).splitlines()
    catalogue.load.cache_clear()


ABLE = sorted({c.name for f in catalogue.load().values() for c in f.choices if c.token == "callback"})


@pytest.mark.parametrize("framework", ABLE)
def test_the_files_say_where_the_token_is_and_how_to_get_it(framework):
    by_file = contents(app(framework, jwt_file="/run/secrets/token"))
    assert 'CRDB_JWT_FILE="/run/secrets/token"' in by_file["/srv/.env"]
    assert [path for path, text in by_file.items() if path != "/srv/.env" and "/run/secrets/token" in text]
    by_command = contents(app(framework, jwt_command="/usr/bin/get-token --user 'a b'"))
    assert 'CRDB_JWT_COMMAND="/usr/bin/get-token,--user,a%040b"' in by_command["/srv/.env"]
    assert [path for path, text in by_command.items() if path != "/srv/.env" and "get-token" in text]
    without = contents(app(framework, password="s3cret"))
    assert not [path for path, text in without.items() if "oken" in text.replace("tokenize", "")]


@pytest.mark.parametrize("command", [("/bin/get",), ("/bin/get", "a b", "c,d", "100%", "it's", '"x"', "a\\b")])
def test_a_command_is_read_back_from_an_environment_file(command):
    written = TokenSource("jwt_command", command=command).environment()
    assert tokens.source("db", written_keys(written), source().connection) == TokenSource(
        "jwt_command", command=command
    )
    assert written_keys(TokenSource("jwt_file", path="/run/token").environment()) == {"jwt_file": "/run/token"}
    assert written_keys({}) == {}
