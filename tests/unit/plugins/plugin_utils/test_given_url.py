# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection string that is checked as it was given, compared with the libpq of psycopg and of psql."""

from __future__ import annotations

import shutil
import subprocess

import psycopg
import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import stops_libpq
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.connections import endpoint_facts
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.given_url import read
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.errors import InvalidConnectionError, sentences_of
from psycopg.conninfo import conninfo_to_dict

PSQL = shutil.which("psql")
# Port 1 of this machine: nobody listens.
HERE = "postgresql://max:c4n4ry@127.0.0.1:1/shop?sslmode=verify-full"
SERVERLESS = "options=--cluster%3Dfunky-skunk-123"

# Whether libpq takes them, and what our notes say.
STRINGS = [
    (HERE, True, []),
    (HERE.replace("postgresql:", "postgres:"), True, []),
    (f"{HERE}&{SERVERLESS}", True, []),
    (f"{HERE}&options=--cluster=funky-skunk-123", False, ["the value of options has a bare '=': write %3D"]),
    (f"{HERE}&application_name=a=b", False, ["the value of application_name"]),
    (f"{HERE}&pgbouncer=true", False, ["the parameter pgbouncer"]),
    (f"{HERE}&schema=public&connection_limit=5", False, ["the parameter schema", "the parameter connection_limit"]),
    (f"{HERE}&uselibpqcompat=true", False, ["uselibpqcompat"]),
    (f"{HERE}&statement_timeout=5", False, ["statement_timeout"]),
    (f"{HERE}&keepalives=1&keepalives_idle=30&tcp_user_timeout=5", True, []),
    (f"{HERE}&target_session_attrs=any&gssencmode=disable", True, []),
    (f"{HERE}&connect_timeout=10", True, []),
    (f"{HERE}&", True, []),
    ("postgresql://max:c4n4ry@127.0.0.1:1/shop?ssl=true", True, []),
    ("postgresql://max:c4n4ry@127.0.0.1:1/shop?ssl=1", False, ["the parameter ssl"]),
    ("postgresql://max:c4n4ry@127.0.0.1/shop?port=1&sslmode=verify-full", True, []),
    ("host=127.0.0.1 port=1 user=max password='c4n4ry' dbname=shop sslmode=verify-full", True, []),
    (
        "host=127.0.0.1 port=1 user=max password='c4n4ry' dbname=shop sslmode=verify-full pgbouncer=true",
        False,
        ["the parameter pgbouncer"],
    ),
    (
        "host=127.0.0.1 port=1 user=max dbname=shop sslmode=verify-full keepalives=1 application_name='a = b'",
        True,
        [],
    ),
]
IDS = [text.partition("?")[2] or text.rpartition("verify-full ")[2] for text, *_rest in STRINGS]


@pytest.mark.parametrize(("text", "taken", "says"), STRINGS, ids=IDS)
def test_libpq_refuses_what_a_note_says_that_it_refuses(text: str, taken: bool, says: list[str]) -> None:
    connection, notes = read(text)
    assert connection.port == 1
    stopping = [note["text"] for note in notes if stops_libpq(note["code"])]
    assert len(stopping) == len(says)
    for sentence, words in zip(stopping, says, strict=True):
        assert words in sentence
    assert "c4n4ry" not in str(notes)
    try:
        conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        assert not taken
    else:
        assert taken


@pytest.mark.skipif(PSQL is None, reason="psql is not installed: run `make system-deps` as root")
@pytest.mark.parametrize(("text", "taken", "says"), STRINGS, ids=IDS)
def test_psql_agrees(text: str, taken: bool, says: list[str]) -> None:
    """Where psql takes the string, it comes as far as the port, on which nobody listens."""
    assert PSQL is not None
    done = subprocess.run([PSQL, text, "-c", "SELECT 1"], capture_output=True, text=True, timeout=60, check=False)
    assert ("Connection refused" in done.stderr) is taken, done.stderr


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("postgresql://max@db.test/shop?sslmode=verify-full", "5432"),
        ("postgresql://max@[::1]/shop?sslmode=verify-full", "5432"),
        ("postgresql://max@db.test:26257/shop?sslmode=verify-full", ""),
        ("jdbc:postgresql://db.test/shop?user=max&sslmode=verify-full", ""),
        ("host=db.test user=max dbname=shop sslmode=verify-full", "5432"),
        ("host=db.test port=26257 user=max dbname=shop sslmode=verify-full", ""),
    ],
)
def test_the_port_that_libpq_takes(text: str, port: str) -> None:
    """`conninfo_to_dict` has no port then, and libpq's default is 5432."""
    connection, notes = read(text)
    assert connection.port == 26257
    assert [note["code"] for note in notes] == (["libpq_port"] if port else [])
    if port:
        assert "port" not in conninfo_to_dict(text)
        assert port in notes[0]["text"]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("sslmode=disable", "sslmode disable, by which clients connect without TLS"),
        ("sslmode=require", "sslmode require"),
        ("sslmode=prefer&application_name=x", "sslmode prefer"),
        ("application_name=x&sslmode=verify-ca", "sslmode verify-ca"),
        ("application_name=x", "sslmode prefer (libpq's default)"),
        ("ssl=false", "sslmode disable"),
        ("ssl=no-verify", "sslmode require"),
        ("SSLMODE=REQUIRE", None),
    ],
)
def test_a_weaker_sslmode_is_not_followed_and_said(part: str, says: str | None) -> None:
    try:
        connection, notes = read(f"postgresql://max@db.test:26257/shop?{part}")
    except InvalidConnectionError:
        assert says is None
        return
    assert connection.sslmode == "verify-full"
    assert notes[0]["code"] == "url_sslmode"
    assert str(says) in notes[0]["text"]
    assert "write sslmode=verify-full" in notes[0]["text"]


@pytest.mark.parametrize(("part", "says"), [("sslmode='require'", "sslmode require"), ("", "libpq's default")])
def test_a_weaker_sslmode_in_keywords(part: str, says: str) -> None:
    connection, notes = read(f"host=db.test port=26257 user=max dbname=shop {part}")
    assert connection.sslmode == "verify-full"
    assert [note["code"] for note in notes] == ["url_sslmode"]
    assert says in notes[0]["text"]


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://max:c4n4ry@db.test:26257/shop/?sslmode=verify-full",
        "postgresql://max:c4n4ry@db.test:26257/shop?sslmode=verify-full/",
        "postgresql://max:c4n4ry@db.test:26257/shop?sslmode=verify-full?application_name=x",
        "postgresql://max:c4n4ry\u00a0@db.test:26257/shop",
        "postgresql://max:c4n4ry@db.test:26257/shop postgresql://max:c4n4ry@db.test:26257/shop",
        "postgresql://max:c4n4ry@<host>:26257/shop",
    ],
)
def test_what_has_to_be_taken_out_is_not_to_be_encoded(text: str) -> None:
    with pytest.raises(InvalidConnectionError) as caught:
        read(text)
    assert "c4n4ry" not in str(caught.value)
    _cause, cure = sentences_of(str(caught.value))
    assert cure.startswith(("Take ", "Write & in its place", "Give one of them", "Replace them"))


@pytest.mark.parametrize(
    ("text", "cause", "cure"),
    [
        ("the host is missing: give it.", "The host is missing.", "Give it."),
        ("the id 'x' is bad. Expected <name>.", "The id 'x' is bad.", "Expected <name>."),
        ("nothing to say", "Nothing to say.", "Correct the connection as the cause says."),
    ],
)
def test_an_error_in_two_sentences(text: str, cause: str, cure: str) -> None:
    assert sentences_of(text) == (cause, cure)


def test_lists_of_revoked_certificates_go_to_the_check() -> None:
    connection, notes = read(f"{HERE}&sslcrl=%2Fetc%2Flists.crl&sslcrldir=%2Fetc%2Flists")
    facts = endpoint_facts("shop", connection, {"ca_file": "/etc/ca.crt"})
    assert (facts["sslcrl"], facts["sslcrldir"]) == ("/etc/lists.crl", "/etc/lists")
    assert Endpoint.from_dict(facts).sslcrl == "/etc/lists.crl"
    assert notes == []
    assert "sslcrl" not in endpoint_facts("shop", read(HERE)[0], {})
