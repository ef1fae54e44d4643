# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each cure of the check, followed as it is written on a machine that has the fault, leads to a connection that works.

A case makes a fault, reads the cure, does what it says, and checks again. Commands are taken from the cure's text.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint

from tests.faults import poolers, table
from tests.faults.broken import Behaviour, BrokenServer, Peer
from tests.faults.certificates import Authority
from tests.faults.table import FAULTS, PASSWORD, USER, Files, shows
from tests.faults.test_ca_files import certificate_in, revocations
from tests.faults.test_faults import endpoint, target
from tests.ports import held_port

pytestmark = [
    pytest.mark.skipif(
        not shutil.which("pgbouncer"), reason="pgbouncer is not installed: run `make system-deps` as root"
    ),
    pytest.mark.usefixtures("bare_user"),
]

SECRET = "c4n4ry &/%: pw"
ROLES = {
    "maxroach": "LOGIN",
    "full": "LOGIN CONNECTION LIMIT 0",
    "nologin": "NOLOGIN",
    "forgot": "LOGIN",
    "outside": "LOGIN",
    "by_certificate": "LOGIN",
    "other_certificate": "LOGIN",
}
RULES = """\
hostssl all outside 127.0.0.1/32 reject
hostssl all by_certificate 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all other_certificate 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 md5
"""

Report = dict[str, Any]


class World:
    """The certificates, and a PostgreSQL whose administrator follows the cures."""

    def __init__(self, files: Files, folder: Path, node: poolers.Server) -> None:
        self.files = files
        self.folder = folder
        self.node = node

    def check(self, port: int | None = None, seconds: float = 20.0, **facts: Any) -> Report:
        """The report of one check; the facts are those of a connection that works, unless given."""
        given = {
            "name": "shop",
            "host": "localhost",
            "port": port or self.node.port,
            "user": "maxroach",
            "database": "shop",
            "password": SECRET,
            "deployment": "self_hosted",
            "ca_file": self.files.ca,
        }
        return check_endpoint(Endpoint.from_dict({**given, **facts}), seconds).as_dict()

    def sql(self, *statements: str) -> None:
        """Run statements as the administrator."""
        with self.login(poolers.ADMIN, "postgres") as connection:
            for statement in statements:
                connection.execute(statement)

    def login(self, user: str, database: str = "shop") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="localhost", port=self.node.port, user=user, dbname=database, password=SECRET, sslmode="verify-full",
            sslrootcert=self.files.ca, autocommit=True,
        )  # fmt: skip

    def pooler(self, **settings: Any) -> contextlib.AbstractContextManager[poolers.Server]:
        """PgBouncer before the PostgreSQL. `databases` and `users` replace the right ones."""
        databases = settings.pop("databases", {"shop": self.backend()})
        users = settings.pop("users", {"maxroach": SECRET})
        folder = Path(tempfile.mkdtemp(dir=self.folder)) / "pooler"
        folder.parent.chmod(0o755)
        return poolers.pgbouncer(folder, self.files.good, databases, users, **settings)

    def backend(self, **more: str) -> str:
        facts = {"host": "127.0.0.1", "port": str(self.node.port), "dbname": "shop", **more}
        return " ".join(f"{key}={value}" for key, value in facts.items())


@pytest.fixture(scope="module")
def world(files: Files) -> Iterator[World]:
    statements = [
        f"ALTER ROLE {poolers.ADMIN} PASSWORD '{SECRET}'",
        *(f"CREATE ROLE {name} {rights} PASSWORD '{SECRET}'" for name, rights in ROLES.items()),
        "CREATE ROLE encoded LOGIN PASSWORD 'p@ss'",
        "SET password_encryption = 'md5'",
        f"CREATE ROLE old_hash LOGIN PASSWORD '{SECRET}'",
        "CREATE DATABASE shop",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    ]
    # Not pytest's own folder, which the servers' account cannot reach.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        authority = shutil.copy(files.ca, folder / "clients.crt")
        with poolers.postgres(folder / "node", files.good, statements, rules=RULES, ssl_ca_file=str(authority)) as node:
            yield World(files, folder, node)


Case = Callable[[World, Path], Iterator[Report]]
CASES: list[tuple[str, Case]] = []


def case(code: str) -> Callable[[Case], Case]:
    """A case of the code: it gives the report of the fault, follows the cure, and gives the report after it."""

    def add(function: Case) -> Case:
        CASES.append((code, function))
        return function

    return add


def commands(report: Report) -> list[str]:
    """What stands between backticks in the cure."""
    return re.findall("`([^`]+)`", report["cure"])


# What a user or an administrator of the cluster does


@case("login_denied")
def _login_denied(world: World, _folder: Path) -> Iterator[Report]:
    report = world.check(user="nologin")
    yield report
    world.sql(*commands(report))
    yield world.check(user="nologin")


@case("password_rejected")
def _password_rejected(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(user="forgot", password="the one from before")
    world.sql("ALTER ROLE forgot PASSWORD 'a new one'")
    yield world.check(user="forgot", password="a new one")


@case("password_rejected")
def _password_rejected_of_a_user_that_is_missing(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(user="newcomer")
    world.sql(f"CREATE ROLE newcomer LOGIN PASSWORD '{SECRET}'")
    yield world.check(user="newcomer")


@case("password_encoded_twice")
def _password_encoded_twice(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(user="encoded", password="p%40ss")
    yield world.check(user="encoded", password="p@ss")


@case("password_missing")
def _password_missing(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(password=None)
    yield world.check(password=SECRET)


@case("auth_method_unsupported")
def _auth_method_unsupported(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(user="old_hash")
    world.sql("SET password_encryption = 'scram-sha-256'", f"ALTER ROLE old_hash PASSWORD '{SECRET}'")
    yield world.check(user="old_hash")


@case("database_missing")
def _database_missing(world: World, _folder: Path) -> Iterator[Report]:
    report = world.check(database="orders")
    yield report
    world.sql(*(f"{command} orders" for command in commands(report)))
    yield world.check(database="orders")


@case("connect_denied")
def _connect_denied(world: World, _folder: Path) -> Iterator[Report]:
    report = world.check(database="closed")
    yield report
    world.sql(*commands(report))
    yield world.check(database="closed")


@case("role_at_limit")
def _role_at_limit(world: World, _folder: Path) -> Iterator[Report]:
    report = world.check(user="full")
    yield report
    world.sql(f"{commands(report)[0]} 2")
    yield world.check(user="full")


@case("too_many_connections")
def _too_many_connections(world: World, _folder: Path) -> Iterator[Report]:
    with contextlib.ExitStack() as pool:
        with contextlib.suppress(psycopg.OperationalError):
            for _number in range(50):
                pool.enter_context(world.login("maxroach"))
        yield world.check()
    yield _soon(world.check)


@case("hba_refused")
def _hba_refused(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(user="outside")
    rules = world.node.folder / "data" / "pg_hba.conf"
    rules.write_text("hostssl all outside 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    world.sql("SELECT pg_reload_conf()")
    yield _soon(lambda: world.check(user="outside"))


@case("startup_cluster_refused")
def _startup_cluster_refused(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(options="--cluster=funky-skunk-123 -c statement_timeout=60000")
    yield world.check(options="-c statement_timeout=60000")


@case("startup_option_refused")
def _startup_option_refused(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(options="-c statement_timout=60000")
    yield world.check(options="-c statement_timeout=60000")


@case("server_stopping")
def _server_stopping(world: World, folder: Path) -> Iterator[Report]:
    site = Path(tempfile.mkdtemp(dir=world.folder))
    site.chmod(0o755)
    statements = [f"CREATE ROLE maxroach LOGIN PASSWORD '{SECRET}'", "CREATE DATABASE shop"]
    with poolers.postgres(site / "other", world.files.good, statements) as other:
        session = psycopg.connect(
            host="localhost", port=other.port, user="maxroach", dbname="shop", password=SECRET,
            sslmode="verify-full", sslrootcert=world.files.ca,
        )  # fmt: skip
        # PostgreSQL waits for the session, and takes no other.
        other.process.terminate()
        yield _soon(lambda: world.check(other.port), wanted="server_stopping")
        session.close()
    yield world.check(world.node.port)


@case("tcp_refused")
def _tcp_refused(world: World, _folder: Path) -> Iterator[Report]:
    with held_port() as port:
        yield world.check(port)
    yield world.check(world.node.port)


def _soon(check: Callable[[], Report], wanted: str = "ok") -> Report:
    """The report once the server has taken the change in."""
    deadline = time.monotonic() + 30
    report = check()
    while report["code"] != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
        report = check()
    return report


# What the owner of a pooler does


def _by_pooler(before: dict[str, Any], after: dict[str, Any], **facts: Any) -> Case:
    """The cure is followed in the pooler's settings."""

    def follow(world: World, _folder: Path) -> Iterator[Report]:
        filled = {key: _filled(world, value) for key, value in before.items()}
        with world.pooler(**filled) as server:
            yield world.check(server.port, **facts)
        with world.pooler(**after) as server:
            yield world.check(server.port, **facts)

    return follow


def _filled(world: World, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: text.replace("BACKEND", world.backend()) for name, text in value.items()}


CASES += [
    ("pooler_password_rejected", _by_pooler({"users": {"somebody": SECRET}}, {})),
    ("pooler_login_refused", _by_pooler({"databases": {"shop": "BACKEND user=maxroach password=bad"}}, {})),
    ("pooler_database_unknown", _by_pooler({"databases": {"another": "BACKEND"}}, {})),
    (
        "pooler_server_down",
        _by_pooler({"databases": {"shop": "host=127.0.0.1 port=1 dbname=shop"}, "query_wait_timeout": "2"}, {}),
    ),
    (
        "pooler_option_refused",
        _by_pooler({}, {"ignore_startup_parameters": "options"}, options="-c statement_timeout=60000"),
    ),
    ("pooler_full", _by_pooler({"max_client_conn": "0"}, {"max_client_conn": "10"})),
    ("tls_not_offered", _by_pooler({"client_tls_sslmode": "disable"}, {"client_tls_sslmode": "require"})),
    (
        "hba_refused",
        _by_pooler({"auth_type": "hba", "auth_hba_file": "/dev/null"}, {"auth_type": "scram-sha-256"}),
    ),
]


@case("pooler_option_refused")
def _pooler_option_refused(world: World, _folder: Path) -> Iterator[Report]:
    with world.pooler() as server:
        yield world.check(server.port, options="-c statement_timeout=60000")
        yield world.check(server.port)


@case("pooler_console")
def _pooler_console(world: World, _folder: Path) -> Iterator[Report]:
    with world.pooler() as server:
        yield world.check(server.port, database="pgbouncer")
        yield world.check(server.port, database="shop")


# Files of this machine


def _ca_file(code: str, content: Callable[[Files], bytes] | None) -> tuple[str, Case]:
    """The right CA certificate is put in place of a file."""

    def follow(world: World, folder: Path) -> Iterator[Report]:
        path = folder / "ca.crt"
        if content is not None:
            path.write_bytes(content(world.files))
        report = world.check(ca_file=str(path))
        assert str(path) in report["cure"]
        yield report
        path.write_bytes(Path(world.files.ca).read_bytes())
        yield world.check(ca_file=str(path))

    return code, follow


def _of(name: str) -> Callable[[Files], bytes]:
    return lambda files: (files.folder / f"ca-{name}.crt").read_bytes()


CASES += [
    _ca_file("ca_missing", None),
    _ca_file("ca_empty", lambda _files: b"\n"),
    _ca_file("ca_web_page", lambda files: Path(files.web_page).read_bytes()),
    _ca_file("ca_damaged", lambda files: Path(files.broken_pem).read_bytes()),
    _ca_file("ca_not_pem", lambda _files: b"hello\n"),
    _ca_file("tls_unknown_ca", lambda files: files.stranger.path.read_bytes()),
    _ca_file("ca_other_cluster", lambda files: files.namesake.path.read_bytes()),
    *(
        _ca_file(f"ca_{name}", _of(name))
        for name in ("too_large", "private_key", "public_key", "request", "cut_off", "leaf")
    ),
]


@case("ca_unreadable")
def _ca_unreadable(world: World, folder: Path) -> Iterator[Report]:
    path = folder / "ca.crt"
    path.mkdir()
    yield world.check(ca_file=str(path))
    path.rmdir()
    path.write_bytes(Path(world.files.ca).read_bytes())
    yield world.check(ca_file=str(path))


@case("tls_not_public")
def _tls_not_public(world: World, _folder: Path) -> Iterator[Report]:
    yield world.check(ca_file="public")
    yield world.check(ca_file=world.files.ca)


@case("public_roots_missing")
def _public_roots_missing(world: World, _folder: Path) -> Iterator[Report]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", "/nonexistent")
        yield world.check(ca_file="public")
        # What installing ca-certificates does, for a server whose CA is among them.
        environment.setenv("SSL_CERT_FILE", world.files.ca)
        yield world.check(ca_file="public")


@case("ca_incomplete")
def _ca_incomplete(world: World, folder: Path) -> Iterator[Report]:
    path = folder / "ca.crt"
    path.write_bytes(world.files.middle.path.read_bytes())
    with BrokenServer(shows("by_middle")) as server:
        yield _at(world, server, ca_file=str(path))
        path.write_bytes(path.read_bytes() + world.files.root.path.read_bytes())
        yield _at(world, server, ca_file=str(path))


@case("tls_missing_intermediate")
def _tls_missing_intermediate(world: World, folder: Path) -> Iterator[Report]:
    path = folder / "ca.crt"
    path.write_bytes(world.files.root.path.read_bytes())
    with BrokenServer(shows("by_middle_alone")) as server:
        yield _at(world, server, ca_file=str(path))
        path.write_bytes(path.read_bytes() + world.files.middle.path.read_bytes())
        yield _at(world, server, ca_file=str(path))


@case("tls_missing_intermediate")
def _tls_missing_intermediate_on_the_server(world: World, _folder: Path) -> Iterator[Report]:
    ca_file = str(world.files.root.path)
    with BrokenServer(shows("by_middle_alone")) as server:
        yield _at(world, server, ca_file=ca_file)
    with BrokenServer(shows("by_middle")) as server:
        yield _at(world, server, ca_file=ca_file)


def _at(world: World, server: BrokenServer, **facts: Any) -> Report:
    """The report on a server that knows the table's user and database."""
    given = endpoint(world.files, server.port, **{"deployment": "self_hosted", **facts})
    return check_endpoint(Endpoint.from_dict(given), 20.0).as_dict()


def _revoked(content: Callable[[World, Authority], bytes], cured: Callable[[Authority], bytes] | None) -> Case:
    def follow(world: World, folder: Path) -> Iterator[Report]:
        lists = folder / ".postgresql" / "root.crl"
        lists.parent.mkdir()
        lists.write_bytes(content(world, world.files.authority))
        report = world.check()
        assert str(lists) in report["cure"]
        yield report
        if cured is None:
            lists.rename(folder / "root.crl.old")
        else:
            lists.write_bytes(cured(world.files.authority))
        yield world.check()

    return follow


CASES += [
    (
        "tls_revoked",
        _revoked(lambda world, authority: revocations(authority, certificate_in(world.files.good)), revocations),
    ),
    ("revocations_unusable", _revoked(lambda _world, authority: revocations(authority, until=-1), revocations)),
    ("revocations_unusable", _revoked(lambda _world, authority: revocations(authority, until=-1), None)),
]


# The client certificate


def _by_certificate(code: str, user: str, spoil: Callable[[World, Path, dict[str, str]], None], mend: Any) -> None:
    """A login by certificate and key in two files of the user, which `spoil` spoils and `mend` repairs by the cure."""

    def follow(world: World, folder: Path) -> Iterator[Report]:
        facts = {"sslcert": str(folder / "client.crt"), "sslkey": str(folder / "client.key")}
        _write_pair(world, folder)
        spoil(world, folder, facts)
        report = world.check(user=user, **facts)
        yield report
        mend(world, folder, facts, report)
        yield world.check(user=user, **facts)

    CASES.append((code, follow))


def _write_pair(world: World, folder: Path, owner: str = USER) -> None:
    """What `cockroach cert create-client` writes: the certificate and its key."""
    issued = world.files.authority.issue(f"client-of-{owner}-{folder.name}", (), (), common=owner, usage=None)
    text = issued.read_bytes()
    begins = text.index(b"-----BEGIN PRIVATE KEY-----")
    for name, content in (("client.crt", text[:begins]), ("client.key", text[begins:])):
        path = folder / name
        if path.is_dir():
            path.rmdir()
        path.touch(0o600)
        path.chmod(0o600)
        path.write_bytes(content)


def _again(world: World, folder: Path, _facts: dict[str, str], _report: Report) -> None:
    _write_pair(world, folder)


def _without(*names: str) -> Callable[[World, Path, dict[str, str]], None]:
    def spoil(_world: World, _folder: Path, facts: dict[str, str]) -> None:
        for name in names:
            del facts[name]

    return spoil


def _named_by(file: str) -> Callable[[World, Path, dict[str, str]], None]:
    def spoil(world: World, _folder: Path, facts: dict[str, str]) -> None:
        path = str(getattr(world.files, file))
        facts.update(sslcert=path, sslkey=path)

    return spoil


def _as_folder(name: str) -> Callable[[World, Path, dict[str, str]], None]:
    def spoil(_world: World, folder: Path, _facts: dict[str, str]) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


def _restore_facts(_world: World, folder: Path, facts: dict[str, str], _report: Report) -> None:
    facts.update(sslcert=str(folder / "client.crt"), sslkey=str(folder / "client.key"))


def _run_commands(_world: World, _folder: Path, _facts: dict[str, str], report: Report) -> None:
    for command in commands(report):
        subprocess.run(["sh", "-c", command], check=True, capture_output=True)


def _copied(name: str, content: Callable[[Files], bytes]) -> Callable[[World, Path, dict[str, str]], None]:
    return lambda world, folder, _facts: (folder / name).write_bytes(content(world.files)) and None


_by_certificate("client_cert_required", "by_certificate", _without("sslkey", "sslcert"), _restore_facts)
for _code, _file in (
    ("client_cert_refused", "good"),
    ("client_cert_other_ca", "client_of_stranger"),
    ("client_cert_expired", "client_of_past"),
    ("client_cert_not_yet_valid", "client_of_future"),
):
    _by_certificate(_code, "by_certificate", _named_by(_file), _restore_facts)
_by_certificate(
    "client_cert_missing", "by_certificate", lambda _w, folder, _f: (folder / "client.crt").unlink(), _again
)
_by_certificate("client_key_missing", "by_certificate", lambda _w, folder, _f: (folder / "client.key").unlink(), _again)
_by_certificate("client_cert_unreadable", "by_certificate", _as_folder("client.crt"), _again)
_by_certificate("client_key_unreadable", "by_certificate", _as_folder("client.key"), _again)
_by_certificate(
    "client_key_too_open", "by_certificate", lambda _w, folder, _f: (folder / "client.key").chmod(0o644), _run_commands
)
_by_certificate(
    "client_cert_unusable", "by_certificate", _copied("client.crt", lambda f: Path(f.web_page).read_bytes()), _again
)
_by_certificate(
    "client_key_encrypted", "by_certificate", _copied("client.key", lambda f: Path(f.locked_key).read_bytes()), _again
)
_by_certificate(
    "client_key_mismatch", "by_certificate", _copied("client.key", lambda f: f.client_of_stranger.read_bytes()), _again
)
_by_certificate(
    "client_cert_of_another",
    "other_certificate",
    lambda _w, _folder, _f: None,
    lambda world, folder, _facts, _report: _write_pair(world, folder, "other_certificate"),
)


# Certificates of the server, renewed by its owner

BY_NAME = {fault.name: fault for fault in FAULTS}
RENEWED = {
    "self-signed certificate": "tls_self_signed",
    "another host's certificate": "tls_wrong_host",
    "expired": "tls_expired",
    "not yet valid": "tls_not_yet_valid",
    "weak key": "tls_weak_certificate",
    "certificate for clients": "tls_certificate_refused",
    "TLS 1.1": "tls_too_old",
}


def _with_fault(world: World, name: str) -> Report:
    fault = BY_NAME[name]
    with target(fault) as (_port, server):
        assert server is not None
        return _at(world, server, **fault.endpoint)


def _renewed(name: str, good: str = "good") -> Case:
    def follow(world: World, _folder: Path) -> Iterator[Report]:
        yield _with_fault(world, name)
        with BrokenServer(shows(good)) as server:
            yield _at(world, server, **BY_NAME[name].endpoint)

    return follow


CASES += [(code, _renewed(name)) for name, code in RENEWED.items() if name in BY_NAME]
CASES += [
    ("tls_chain_expired", _renewed("intermediate expired", "by_middle")),
    ("tls_chain_not_yet_valid", _renewed("intermediate not yet valid", "by_middle")),
]


def _current_ca(code: str, name: str) -> tuple[str, Case]:
    def follow(world: World, folder: Path) -> Iterator[Report]:
        yield _with_fault(world, name)
        with BrokenServer(shows("good")) as server:
            yield _at(world, server, ca_file=world.files.ca)

    return code, follow


CASES += [_current_ca("ca_expired", "CA expired"), _current_ca("ca_not_yet_valid", "CA not yet valid")]


@case("tls_wrong_host")
def _tls_wrong_host(world: World, _folder: Path) -> Iterator[Report]:
    certificate = world.files.authority.issue("by-name-only", addresses=())

    def behaviour(peer: Peer) -> None:
        peer.tls(certificate)
        peer.startup()
        peer.scram(PASSWORD)
        table.finish(peer)

    with BrokenServer(behaviour) as server:
        report = _at(world, server, host="127.0.0.1")
        assert "for localhost, not for 127.0.0.1" in report["cause"]
        yield report
        yield _at(world, server, host="localhost")


# Facts of the connection


def _corrected(code: str, behaviour: Behaviour, right: dict[str, Any], **wrong: Any) -> None:
    def follow(world: World, _folder: Path) -> Iterator[Report]:
        with BrokenServer(behaviour) as server:
            yield _at(world, server, **wrong)
        with BrokenServer(shows("good")) as server:
            yield _at(world, server, **right)

    CASES.append((code, follow))


_corrected("host_invalid", shows("good"), {"host": "localhost"}, host="db..test")
_corrected("not_postgresql", table.greets(b"SSH-2.0-OpenSSH_9.2\r\n"), {})
_corrected("tls_from_the_start", table.speaks_tls_at_once("http/1.1"), {})
_corrected("closed_without_a_word", table.closes_at_once, {})
_corrected("server_hang_sslrequest", table.silent, {})


@case("server_hang_startup")
def _server_hang_startup(world: World, _folder: Path) -> Iterator[Report]:
    def wakes_up(peer: Peer) -> None:
        peer.tls(world.files.good)
        peer.startup()
        time.sleep(3)
        peer.scram(PASSWORD)
        table.finish(peer)

    with BrokenServer(wakes_up) as server:
        facts = Endpoint.from_dict(endpoint(world.files, server.port))
        yield check_endpoint(facts, 1.5).as_dict()
        yield check_endpoint(facts, 60.0).as_dict()


@case("reply_too_long")
def _reply_too_long(world: World, _folder: Path) -> Iterator[Report]:
    """psql, which the cure names, shows the same message: the server is what has to change."""
    with BrokenServer(table.sends_in_query(b"S\0\1\0\1")) as server:
        yield _at(world, server)
    with BrokenServer(shows("good")) as server:
        yield _at(world, server)


def _ids(cases: Sequence[tuple[str, Case]]) -> list[str]:
    seen: dict[str, int] = {}
    names = []
    for code, _follow in cases:
        seen[code] = seen.get(code, 0) + 1
        names.append(code if seen[code] == 1 else f"{code} {seen[code]}")
    return names


@pytest.mark.parametrize(("code", "follow"), CASES, ids=_ids(CASES))
def test_a_cure_that_is_followed_leads_to_a_connection(
    code: str, follow: Case, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    before, after = follow(world, tmp_path)
    assert (before["code"], after["code"]) == (code, "ok"), (before["cause"], before["cure"], after["cause"])
    assert not any(secret in str((before, after)) for secret in (SECRET, PASSWORD))
