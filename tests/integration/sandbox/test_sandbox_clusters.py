# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The running sandbox as a real client sees it: libpq through psycopg, verified TLS, four clusters."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.conftest import Sandbox
from tests.integration.sandbox.wire import PATIENCE, RawClient, startup

SERVERLESS = ["funky-skunk", "brave-otter"]
EVERY = [*SERVERLESS, "steady-heron", "lone-badger"]
DJANGO_VERSION = re.compile(r"v\d+\.\d+\.\d+")
REFUSED = "codeProxyRefusedConnection: connection refused"


def value(connection: psycopg.Connection[Any], statement: str) -> Any:
    """The single value that a statement returns."""
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("name", EVERY)
def test_login_with_a_password_over_verified_tls(sandbox: Sandbox, name: str) -> None:
    cluster = sandbox.clusters[name]
    with psycopg.connect(**cluster.conninfo()) as connection:
        assert value(connection, "SELECT current_user || '@' || current_database()") == f"{cluster.user}@defaultdb"
        assert value(connection, "SHOW transaction_isolation") == "serializable"
        assert connection.pgconn.used_password


@pytest.mark.parametrize("name", SERVERLESS)
@pytest.mark.parametrize("form", ["database", "sni"])
def test_every_routing_form_leads_to_the_cluster(sandbox: Sandbox, name: str, form: str) -> None:
    cluster = sandbox.clusters[name]
    if form == "database":
        changes: dict[str, Any] = {"options": None, "dbname": f"{cluster.routing_id}.defaultdb"}
    else:
        changes = {"options": None, "host": cluster.sni_host, "hostaddr": "127.0.0.1"}
    with psycopg.connect(**cluster.conninfo(**changes)) as connection:
        assert value(connection, "SELECT current_user") == cluster.user


def test_a_second_database_belongs_to_one_cluster(sandbox: Sandbox) -> None:
    assert sandbox.clusters["funky-skunk"].databases == ("defaultdb", "bank")
    with psycopg.connect(**sandbox.clusters["funky-skunk"].conninfo(dbname="bank")) as connection:
        connection.execute("CREATE SCHEMA accounts")
        connection.rollback()
    with (
        psycopg.connect(**sandbox.clusters["brave-otter"].conninfo(dbname="bank")) as connection,
        pytest.raises(psycopg.errors.InvalidCatalogName, match='database "bank" does not exist'),
    ):
        connection.execute("CREATE SCHEMA accounts")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_is_refused_by_the_cluster_itself(sandbox: Sandbox, name: str, password: str) -> None:
    cluster = sandbox.clusters[name]
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect(**cluster.conninfo(password=password, passfile="/dev/null"))
    expected = f'password authentication failed for user "{cluster.user}"' if password else "no password supplied"
    assert expected in str(raised.value)


@pytest.mark.parametrize("admin", ["sandbox", "postgres", "root"])
def test_no_account_is_open_without_its_password(sandbox: Sandbox, admin: str) -> None:
    cluster = sandbox.clusters["funky-skunk"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**cluster.conninfo(user=admin))


@pytest.mark.parametrize("name", EVERY)
def test_a_user_of_one_cluster_does_not_exist_in_another(sandbox: Sandbox, name: str) -> None:
    cluster = sandbox.clusters[name]
    for other in sandbox.clusters.values():
        if other.name != name:
            with pytest.raises(psycopg.OperationalError, match=f'failed for user "{other.user}"'):
                psycopg.connect(**cluster.conninfo(user=other.user, password=other.password))


@pytest.mark.parametrize("name", EVERY)
def test_a_strangers_ca_is_not_trusted(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(**sandbox.clusters[name].conninfo(sslrootcert=str(sandbox.stranger_ca_file)))


def test_the_cas_of_two_fronts_are_not_interchangeable(sandbox: Sandbox) -> None:
    skunk, heron = sandbox.clusters["funky-skunk"], sandbox.clusters["steady-heron"]
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(**skunk.conninfo(sslrootcert=str(heron.ca_file)))


@pytest.mark.parametrize("name", EVERY)
def test_an_impostor_has_a_trusted_certificate_of_another_host(sandbox: Sandbox, name: str) -> None:
    cluster = sandbox.clusters[name]
    with pytest.raises(psycopg.OperationalError, match=r'"impostor\.example\.test".*does not match host name'):
        psycopg.connect(**cluster.conninfo("impostor"))
    with psycopg.connect(**cluster.conninfo("impostor", sslmode="verify-ca")) as connection:
        assert value(connection, "SELECT 1") == 1


@pytest.mark.parametrize("name", SERVERLESS)
@pytest.mark.parametrize("password", [None, "wrong"])
def test_outside_its_allowlist_a_serverless_cluster_answers_with_an_error(
    sandbox: Sandbox, name: str, password: str | None
) -> None:
    cluster = sandbox.clusters[name]
    with pytest.raises(psycopg.OperationalError, match=REFUSED):
        psycopg.connect(**cluster.conninfo("outside", password=password or cluster.password))
    with RawClient(cluster.ports["outside"]) as client:
        client.encrypt(None, cluster.ca_file)
        client.send(startup({"user": cluster.user, "database": f"{cluster.routing_id}.defaultdb"}))
        assert client.refusal() == {"S": "FATAL", "C": "08C00", "M": REFUSED}


def test_outside_its_allowlist_a_dedicated_cluster_does_not_answer(sandbox: Sandbox) -> None:
    with pytest.raises(errors.ConnectionTimeout):
        psycopg.connect(**sandbox.clusters["steady-heron"].conninfo("outside", connect_timeout=2))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("listener", ["inside", "impostor"])
def test_the_certificate_chain_satisfies_the_strictest_verifier(sandbox: Sandbox, name: str, listener: str) -> None:
    cluster = sandbox.clusters[name]
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    host = "impostor.example.test" if listener == "impostor" else cluster.sni_host
    with socket.create_connection(("127.0.0.1", cluster.ports[listener]), PATIENCE) as plain:
        plain.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, server_hostname=host) as encrypted:
            assert encrypted.version() == "TLSv1.3"


@pytest.mark.parametrize("name", ["funky-skunk", "steady-heron"])
@pytest.mark.parametrize(
    "cancel",
    [psycopg.Connection.cancel, psycopg.Connection.cancel_safe],
    ids=["plain cancel request", "encrypted cancel request"],
)
def test_a_running_statement_can_be_cancelled(
    sandbox: Sandbox, name: str, cancel: Callable[[psycopg.Connection[Any]], None]
) -> None:
    arguments = sandbox.clusters[name].conninfo()
    with psycopg.connect(**arguments) as busy, psycopg.connect(**arguments, autocommit=True) as watcher:
        outcome: list[BaseException] = []

        def sleep() -> None:
            try:
                busy.execute("SELECT pg_sleep(30)")
            except psycopg.Error as error:
                outcome.append(error)

        server_process = value(busy, "SELECT pg_backend_pid()")
        running = "SELECT query FROM pg_stat_activity WHERE pid = %s"
        thread = threading.Thread(target=sleep)
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while watcher.execute(running, (server_process,)).fetchone() != ("SELECT pg_sleep(30)",):
            assert time.monotonic() < deadline
        cancel(busy)
        thread.join(PATIENCE)
        assert isinstance(outcome[0], errors.QueryCanceled)
        busy.rollback()
        assert value(busy, "SELECT 1") == 1


@pytest.mark.parametrize("name", EVERY)
def test_statements_that_only_cockroachdb_knows_are_answered(sandbox: Sandbox, name: str) -> None:
    cluster = sandbox.clusters[name]
    for database in cluster.databases:
        with psycopg.connect(**cluster.conninfo(dbname=database)) as connection:
            assert DJANGO_VERSION.search(value(connection, "SELECT version()"))
            assert value(connection, "SELECT crdb_internal.increment_feature_counter('any')") is True
            cursor = connection.execute("SHOW crdb_version")
            assert cursor.description is not None
            assert [column.name for column in cursor.description] == ["crdb_version"]
            assert value(connection, "SHOW crdb_version;") == value(connection, "SELECT version()")
            build = value(connection, "SELECT value FROM crdb_internal.node_build_info WHERE field = 'Version'")
            assert build in value(connection, "SELECT version()").split()
            assert value(connection, "SELECT * FROM [SHOW SESSION_USER]") == cluster.user
            connection.execute("SET search_path = public")
            assert build in value(connection, "SELECT version()").split()
            connection.execute("SET enable_experimental_alter_column_type_general = true")
            with pytest.raises(errors.UndefinedObject):
                connection.execute("SHOW crdb_versions")


def test_session_settings_of_cockroachdb_are_accepted_in_the_options(sandbox: Sandbox) -> None:
    cluster = sandbox.clusters["funky-skunk"]
    options = f"-c default_transaction_quality_of_service=background --cluster={cluster.routing_id} -c geqo=off"
    with psycopg.connect(**cluster.conninfo(options=options)) as connection:
        assert value(connection, "SHOW geqo") == "off"


def test_large_results_and_copy_are_forwarded_unchanged(sandbox: Sandbox) -> None:
    rows = [(number, hashlib.sha256(b"%d" % number).hexdigest() * 20) for number in range(20_000)]
    with psycopg.connect(**sandbox.clusters["funky-skunk"].conninfo()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE large (number int, content text)")
        with cursor.copy("COPY large FROM STDIN") as upload:
            for row in rows:
                upload.write_row(row)
        with cursor.copy("COPY (SELECT * FROM large ORDER BY number) TO STDOUT") as download:
            download.set_types(["int4", "text"])
            assert list(download.rows()) == rows
        cursor.execute("SELECT number, content FROM large ORDER BY number")
        assert cursor.fetchall() == rows
        parameter = "x" * 5_000_000
        assert cursor.execute("SELECT %s::text", (parameter,)).fetchone() == (parameter,)


def test_many_connections_at_once(sandbox: Sandbox) -> None:
    arguments = [sandbox.clusters[name].conninfo() for name in EVERY] * 10
    connections = [psycopg.connect(**each) for each in arguments]
    try:
        assert [value(each, "SELECT 1") for each in connections] == [1] * len(arguments)
    finally:
        for each in connections:
            each.close()
