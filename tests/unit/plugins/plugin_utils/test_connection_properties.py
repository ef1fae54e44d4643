# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""parse(format(c)) == c in every form, and other people's parsers read the same out of each form."""

from __future__ import annotations

import base64
import json
import random
import re
import shlex
import shutil
import string
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._model import connection
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection, InvalidConnectionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

psycopg_conninfo = pytest.importorskip("psycopg.conninfo", reason="pip install psycopg[binary]")

PARSERS = Path(__file__).parent / "parsers"
COMMON = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])

HARD = list(" @:/?#[]%&=+!$'\"()*,;<>\\^`{|}~.-_\t\néß漢😀\u00a0")
PASSWORDS = [
    "p", " ", "  two ", "a b", "a+b", "a%20b", "%", "%%41", "p%zz", "a&b=c", "a#b?c/d", "user:pass@host", "'", "''",
    "\\", "\\'", '"', "$HOME", "$(id)", "`id`", "${x-y}", "!", "a\nb", "\t",
    "\u00a0", "~", "**", "&amp;", "--cluster=x", "a;b", "[x]", "<k9>", "{z9}", "a,b", "x" * 500, "\x01\x7f", "\u2028",
    "0", "null", "p=", "".join(chr(code) for code in range(32, 127)),
    "é", "e\u0301", "漢字", "😀",
]  # fmt: skip

characters = st.one_of(st.sampled_from(HARD), st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
text = st.text(characters, min_size=1)


def _allowed_password(value: str) -> bool:
    stripped = value.strip("\r\n") == value and not (set(value) <= {"*"} or set(value) <= {"•"})
    return stripped and "{{" not in value and value[0] not in "<{$"


users = st.builds(
    str.__add__,
    st.sampled_from(string.ascii_letters + string.digits + "_é"),
    st.text(st.sampled_from(string.ascii_letters + string.digits + "_-.éß"), max_size=30),
).filter(lambda name: name.lower() != "none" and not name.lower().startswith(("pg_", "crdb_internal")))
passwords = st.one_of(st.none(), st.sampled_from(PASSWORDS), text.filter(_allowed_password))
databases = st.one_of(st.just("defaultdb"), text).filter(
    lambda name: len(name.encode()) <= 63 and name[0] not in "<{$" and "{{" not in name and name not in (".", "..")
)
paths = st.one_of(st.none(), text.filter(lambda path: path != "system"))
ports = st.integers(1, 65535)
routing_ids = st.builds(
    lambda name, tenant: f"{name}-{tenant}",
    st.from_regex(r"[a-z0-9][a-z0-9-]{4,40}[a-z0-9]", fullmatch=True),
    st.integers(1, 2**64 - 1),
)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
hosts = st.one_of(
    st.builds(lambda one, two: f"{one}.{two}.test", labels, labels),
    st.sampled_from(["localhost", "127.0.0.1", "db_1.internal", "blue-dog-5bct.gcp-us-east4.cockroachlabs.cloud"]),
)
options = st.one_of(
    st.none(),
    st.sampled_from(["-c search_path=a", "-csearch_path=a\\ b  -c x=y", "--foo=test", "-c x='1'", "-c"]),
    st.text(min_size=1, alphabet=st.sampled_from("abc -=\\'\"%+&é")).map(str.strip),
).map(lambda value: value or None)
parameters = st.tuples(
    st.dictionaries(st.sampled_from(["application_name", "client_encoding", "target_session_attrs"]), text, max_size=3),
    st.dictionaries(st.just("connect_timeout"), st.integers(0, 3600).map(str), max_size=1),
).map(lambda both: (*both[0].items(), *both[1].items()))


@st.composite
def connections(draw: st.DrawFn) -> Connection:
    deployment = draw(st.sampled_from(["serverless", "dedicated", "self_hosted"]))
    facts: dict[str, Any] = {"deployment": deployment, "host": draw(hosts), "port": draw(ports), "user": draw(users)}
    facts.update(password=draw(passwords), sslrootcert=draw(paths), options=draw(options), parameters=draw(parameters))
    database = draw(databases)
    if deployment == "serverless":
        database = database.replace(".", "_")
        facts["routing_id"] = draw(routing_ids)
        facts["routing"] = draw(st.sampled_from(["auto", "options", "database", "sni"]))
        if facts["routing"] == "sni":
            facts["host"] = f"{facts['routing_id']}.6wr.example.test"
            if len(facts["routing_id"]) > 63:
                facts["routing"] = "options"
    else:
        if deployment == "self_hosted":
            facts["host"] = draw(st.sampled_from([facts["host"], "::1", "2001:db8::7"]))
        if draw(st.booleans()):
            facts.update(sslcert=draw(text), sslkey=draw(text))
    return Connection(database=database, **facts)


@COMMON
@given(connections())
def test_every_form_reads_back(value: Connection) -> None:
    known: dict[str, Any] = {"deployment": value.deployment}
    assert connection.parse_url(value.url(), **known) == value
    assert connection.parse_url(value.url("postgres"), **known) == value
    assert connection.parse_url(value.url("cockroachdb+psycopg2"), **known) == value
    assert connection.parse_url(value.jdbc_url(), **known) == value
    assert connection.parse_dsn(value.dsn(), **known) == value
    assert connection.parse_parameters(value.parameters_form(), **known) == value
    assert connection.resolve({"url": value.url(), **known}) == value
    assert connection.parse_environment(value.environment(), **known) == value
    assert connection.parse_environment(value.libpq_environment(), **known) == value
    assert connection.parse_environment({**value.environment(), **value.libpq_environment()}, **known) == value
    assert value.replace() == value
    assert connection.parse_url(shlex.split(value.client_command())[-1], **known) == value.replace(password=None)


@COMMON
@given(connections())
def test_the_files_of_psql_read_back_or_are_refused(value: Connection) -> None:
    try:
        section, line = value.service("shop"), value.passfile_line()
    except InvalidConnectionError:
        return
    text = f"# mine\n[other]\nhost=elsewhere\n\n{section}[third]\nport=1\n"
    passfile = f"elsewhere:*:*:*:wrong\n{line or ''}*:*:*:*:wrong too\n"
    found = connection.parse_service(text, "shop", passfile=passfile, deployment=value.deployment)
    assert found.replace(password=None) == value.replace(password=None)
    assert found.password == ("wrong too" if line is None else value.password)
    assert not re.search("(?m)^password=", section)


@pytest.mark.parametrize(
    ("part", "facts"),
    [
        ("sslrootcert", {"sslrootcert": "/ca.crt "}),
        ("sslrootcert", {"sslrootcert": "/" + "x" * 250}),
        ("database", {"database": "a\nb"}),
        ("parameters", {"parameters": (("application_name", " x"),)}),
    ],
)
def test_what_a_service_file_has_no_form_for_is_refused(part: str, facts: dict[str, Any]) -> None:
    value = Connection(deployment="self_hosted", host="localhost", user="max", **facts)
    with pytest.raises(InvalidConnectionError, match=r"cannot stand in pg_service\.conf") as refused:
        value.service("shop")
    assert refused.value.part == part


def test_what_a_passfile_has_no_form_for_is_refused() -> None:
    value = Connection(deployment="self_hosted", host="localhost", user="max", password="a\nb")
    with pytest.raises(InvalidConnectionError, match=r"cannot stand in \.pgpass"):
        value.passfile_line()


def test_a_service_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidConnectionError, match=r"no section \[shop\]"):
        connection.parse_service("[shop2]\nhost=x\n", "shop")


@COMMON
@given(connections())
def test_masked_forms_show_no_password_and_are_refused(value: Connection) -> None:
    marked = value.replace(password="hunter2 tiger!")
    forms = [marked.url(password="masked"), marked.jdbc_url("masked"), marked.dsn("masked")]
    for form in [*forms, repr(marked), str(marked), marked.client_command()]:
        assert not any(secret in form for secret in marked.secrets())
    for form in forms:
        reader = connection.parse_url if "://" in form.split("=")[0] else connection.parse_dsn
        with pytest.raises(InvalidConnectionError, match="masked") as caught:
            reader(form, deployment=value.deployment)
        assert caught.value.part == "password"


def _expected(value: Connection) -> dict[str, str]:
    """What a client should see, from the documented rules rather than from the formatter."""
    flag = f"--cluster={value.routing_id}" if value.effective_routing == "options" else ""
    seen = {
        "sslmode": "verify-full",
        "sslrootcert": value.sslrootcert,
        "sslcert": value.sslcert,
        "sslkey": value.sslkey,
        "options": " ".join(filter(None, [flag, value.options])),
        **dict(value.parameters),
    }
    return {name: content for name, content in seen.items() if content}


def _database(value: Connection) -> str:
    return f"{value.routing_id}.{value.database}" if value.routing == "database" else value.database


@COMMON
@given(connections())
def test_libpq_reads_the_same(value: Connection) -> None:
    expected = {**_expected(value), "user": value.user, "host": value.host, "port": str(value.port)}
    expected["dbname"] = _database(value)
    if value.password:
        expected["password"] = value.password
    for form in (value.url(), value.dsn()):
        assert psycopg_conninfo.conninfo_to_dict(form) == expected


@COMMON
@given(connections())
def test_urllib_reads_the_same(value: Connection) -> None:
    parsed = urlsplit(value.url())
    assert unquote(parsed.username or "") == value.user
    assert unquote(parsed.password or "") == (value.password or "")
    assert (parsed.hostname, parsed.port) == (value.host, value.port)
    assert unquote(parsed.path[1:]) == _database(value)
    assert dict(parse_qsl(parsed.query, strict_parsing=True)) == _expected(value)
    assert dict(piece.split("=") for piece in parsed.query.split("&")).keys() == _expected(value).keys()


def _jdbc_expected(value: Connection) -> dict[str, str]:
    names = {"application_name": "ApplicationName", "connect_timeout": "connectTimeout"}
    seen = {names.get(name, name): content for name, content in _expected(value).items()}
    return {"user": value.user, **({"password": value.password} if value.password else {}), **seen}


@COMMON
@given(connections())
def test_a_form_decoder_reads_the_same_jdbc_url(value: Connection) -> None:
    address, _mark, query = value.jdbc_url().partition("?")
    # URLDecoder: a plus is a space, then percent-decoding as UTF-8.
    seen = {name: unquote_plus(content) for name, _eq, content in (piece.partition("=") for piece in query.split("&"))}
    assert seen == _jdbc_expected(value)
    host = f"[{value.host}]" if ":" in value.host else value.host
    assert unquote(address) == f"jdbc:postgresql://{host}:{value.port}/{_database(value)}"


@COMMON
@given(connections())
def test_secrets_hold_the_password_as_each_form_writes_it(value: Connection) -> None:
    secrets = value.secrets()
    if value.password is None:
        assert secrets == ()
        return
    assert urlsplit(value.url()).password in secrets
    assert value.password in secrets
    for written in (json.dumps(value.password)[1:-1], base64.b64encode(value.password.encode()).decode()):
        assert written in secrets
    for form in (value.url(), value.jdbc_url(), value.dsn(), value.url().lower().replace("%2b", "%2B")):
        assert any(secret.lower() in form.lower() for secret in secrets)
    assert "" not in secrets
    assert sorted(secrets, key=len, reverse=True) == sorted(secrets, key=lambda one: -len(one))


def _sample() -> list[Connection]:
    """Some hundred connections for parsers that cost a process: the hard passwords, and the same draw every time."""
    made = []
    choose = random.Random(26257)  # noqa: S311
    for place, password in enumerate(PASSWORDS):
        way = ("auto", "database")[place % 2]
        database = "".join(choose.sample([char for char in HARD if char not in ".<{$"], 12))
        made.append(
            Connection(
                deployment="serverless", host="localhost", user=f"Max-{place}", password=password, routing=way,
                routing_id="funky-skunk-123", database=database, sslrootcert=f"/home/{password[:9]}/ca.crt",
                options="-c search_path=a\\ b" if place % 3 else None, parameters=(("application_name", password),),
            )
        )  # fmt: skip
        made.append(
            Connection(deployment="self_hosted", host="2001:db8::7", user="max", password=password[::-1].strip())
        )
    return made


def _run(command: list[str], stdin: str) -> str:
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_node_reads_the_same() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: apt-get install nodejs")
    sample = _sample()
    seen = json.loads(_run([node, str(PARSERS / "url.mjs")], json.dumps([value.url() for value in sample])))
    assert len(seen) == len(sample)
    for value, found in zip(sample, seen):
        assert found == {
            "scheme": "postgresql",
            "user": value.user,
            "password": value.password or "",
            "host": value.host,
            "port": str(value.port),
            "database": _database(value),
            "query": _expected(value),
        }


def test_java_reads_the_same() -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is not installed: apt-get install default-jdk-headless")
    sample = _sample()
    lines = _run(
        [java, str(PARSERS / "JdbcUrl.java")], "".join(f"{value.jdbc_url()}\n" for value in sample)
    ).splitlines()
    assert len(lines) == len(sample)
    for value, line in zip(sample, lines):
        pairs = [base64.b64decode(pair).decode().partition("=") for pair in line.split(" ")]
        found = {name: content for name, _equals, content in pairs}
        assert found.pop("") == _database(value)
        assert found == _jdbc_expected(value)


def test_sh_reads_the_same_from_single_quotes(tmp_path: Path) -> None:
    sample = _sample()
    script = []
    for place, value in enumerate(sample):
        block = tmp_path / f"{place}.env"
        written = value.environment(jdbc=True)
        # No escape is needed: that is what the form promises.
        block.write_text("".join(f"{name}='{content}'\n" for name, content in written.items()), encoding="utf-8")
        script.append(f"(set -a; . '{block}'; printenv DATABASE_URL; printenv JDBC_DATABASE_URL)\n")
    lines = _run(["/bin/sh"], "".join(script)).splitlines()
    for value, url, jdbc in zip(sample, lines[::2], lines[1::2]):
        environment = {"DATABASE_URL": url}
        assert connection.parse_environment(environment, deployment=value.deployment) == value
        assert connection.parse_environment({"JDBC_DATABASE_URL": jdbc}, deployment=value.deployment) == value
    assert len(lines) == 2 * len(sample)


def test_sh_splits_the_client_command_into_its_words() -> None:
    value = _sample()[0]
    out = _run(["/bin/sh"], f"printf '%s\\n' {value.client_command('/opt/my tools/cockroach')}\n").splitlines()
    assert out[:3] == ["/opt/my tools/cockroach", "sql", "--url"]
    assert connection.parse_url(out[3], deployment="serverless") == value.replace(password=None)


def _refusal(url: str) -> InvalidConnectionError | None:
    try:
        connection.parse_url(url)
    except InvalidConnectionError as error:
        return error
    return None


@settings(deadline=None, max_examples=1500)
@given(st.data())
def test_any_text_is_read_or_refused_with_a_part(data: st.DataObject) -> None:
    """Damaged URLs never escape as another exception, and a refusal never shows the password."""
    word = "walrus"
    pieces = [
        "postgresql://",
        "jdbc:postgresql://",
        "max",
        ":",
        f"{word}",
        "@",
        "db.example.com",
        "/",
        "?",
        "&",
        "=",
        "#",
    ]
    pieces += [
        "sslmode=verify-full",
        "options=--cluster%3D",
        "%",
        "[",
        "]",
        "<password>",
        "{{",
        "}}",
        "\0",
        "\ud800",
        " ",
        ",",
    ]
    damaged = "".join(data.draw(st.lists(st.one_of(st.sampled_from(pieces), st.text(max_size=3)), max_size=14)))
    refusal = _refusal(damaged)
    if refusal is not None:
        assert refusal.part in {*Connection.__slots__, "scheme", "url"}
        assert refusal.__context__ is None
        # As a host name or as a database it may be shown, as a password it may not.
        if f":{word}@" in damaged and damaged.count(word) == 1:
            assert word not in str(refusal)


@settings(deadline=None, max_examples=1500)
@given(st.text(st.sampled_from(list("@:/?#%&=+[]<>{}|'\" $\\^`7aé")), max_size=8))
def test_a_raw_password_is_read_exactly_or_refused_without_showing_it(middle: str) -> None:
    """A person pastes the password as it is: it may not be read as something else, nor show up in the refusal."""
    password = f"walrus{middle}hunter"
    url = f"postgresql://max:{password}@db.example.com:26257/defaultdb?sslmode=verify-full"
    refusal = _refusal(url)
    if refusal is None:
        value = connection.parse_url(url)
        assert value.password == unquote(password)
        assert value.host == "db.example.com"
    else:
        assert "walrus" not in repr(refusal)
        assert "hunter" not in repr(refusal)
