# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where CockroachDB's SQL differs from PostgreSQL's, on the sandbox as each release that it can be.

The tests are in the order of what they hold: future grants, databases that do not exist, what keeps a role from being
dropped, who may do what, time, and what is the same on both.
"""

# ruff: noqa: S608 - the names in the statements are the tests' own

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

import psycopg
import pytest
import requests
from ansible_collections.crdb.onboard.plugins.module_utils._check.endpoint import Endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._check.run import check_endpoint
from ansible_collections.crdb.onboard.plugins.module_utils._wire.deadline import Deadline
from ansible_collections.crdb.onboard.plugins.module_utils._wire.session import Wire
from ansible_collections.crdb.onboard.plugins.module_utils._wire.tls import tls_context
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import session as _sql
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import removal as _removal
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.by_sql import retirement

from sandbox.shims import RELEASES
from tests.conftest import Sandbox, new_state, run_sandbox
from tests.sql import HARD, Direct, administrator, allowed, quoted

THROTTLE = 60
GRANTS = [
    {"database": "defaultdb", "privileges": ["CONNECT"]},
    {"schema": "shop", "privileges": "USAGE"},
    {"schema": "shop", "tables": ["orders"], "privileges": ["SELECT", "INSERT"]},
]
FUTURE = [
    *GRANTS[:2],
    {"schema": "shop", "tables": "all", "privileges": ["SELECT"], "future": True},
    {"schema": "shop", "tables": "all", "privileges": ["SELECT"], "future": True, "creator": "Reader"},
    {"schema": "shop", "sequences": "all", "privileges": ["USAGE", "SELECT"], "future": True},
]
NO_MEMBERSHIP = ("23.1", "24.1")
"""The releases on which an administrator needs the membership too."""


@pytest.fixture(scope="module")
def folder():
    state = new_state()
    yield state
    shutil.rmtree(state)


@pytest.fixture(scope="module", params=RELEASES)
def cockroach(request, folder):
    """The sandbox as one release; all of them use the same data, one after the other."""
    words = ("--state", str(folder))
    more = ("--port", "0", "--lifetime", "3600", "--throttle", str(THROTTLE), "--cockroach", request.param)
    try:
        run_sandbox("up", *words, *more)
        yield Sandbox.read(folder)
    finally:
        run_sandbox("down", *words)


@pytest.fixture
def release(request):
    return request.node.callspec.params["cockroach"]


@pytest.fixture
def boss(cockroach):
    with administrator(cockroach) as session:
        yield session


@pytest.fixture
def direct(cockroach, boss, tmp_path):
    return Direct(cockroach, tmp_path)


@pytest.fixture
def reader(boss):
    """A role that creates tables, and whose default privileges others change."""
    boss.execute("CREATE ROLE reader LOGIN")
    boss.execute("GRANT CREATE, USAGE ON SCHEMA shop TO reader")


def another_session(boss, **more):
    """A session of the administrator beside the first."""
    return psycopg.connect(**{**boss.info.get_parameters(), **more})


def memberships(boss):
    """Who is a member of what, but for the members of admin."""
    return boss.execute(
        "SELECT m.member::regrole::text, m.roleid::regrole::text FROM pg_catalog.pg_auth_members m"
        " WHERE m.roleid <> 'admin'::regrole ORDER BY 1, 2"
    ).fetchall()


def everything(boss, name):
    """What a role owns and is granted, as the server lists it."""
    asked = [
        f"SHOW GRANTS FOR {name}",
        f"SHOW SYSTEM GRANTS FOR {name}",
        *(
            f"SHOW DEFAULT PRIVILEGES FOR {what} {name}{where}"
            for what in ("ROLE", "GRANTEE")
            for where in ("", " IN SCHEMA shop")
        ),
        f"SELECT typname FROM pg_type WHERE typowner = '{name}'::regrole ORDER BY 1",
        f"SELECT proname FROM pg_proc WHERE proowner = '{name}'::regrole ORDER BY 1",
        f"SELECT relname FROM pg_class WHERE relowner = '{name}'::regrole ORDER BY 1",
    ]
    return [boss.execute(statement).fetchall() for statement in asked]


# 1. Future grants


def test_future_grants_are_given_read_back_and_revoked(direct, boss, reader):
    given = direct.applied(FUTURE)
    assert 'ALTER DEFAULT PRIVILEGES IN SCHEMA "shop" GRANT SELECT ON TABLES TO "ann"' in given
    assert 'ALTER DEFAULT PRIVILEGES FOR ROLE "reader" IN SCHEMA "shop" GRANT SELECT ON TABLES TO "ann"' in given
    boss.execute("CREATE TABLE shop.later (id serial)")
    with direct.login() as ann:
        assert allowed(ann, "TABLE shop.later")
        assert allowed(ann, "SELECT nextval('shop.later_id_seq')")
    boss.execute("REVOKE ALL ON shop.later, shop.later_id_seq FROM ann")
    taken = direct.applied(GRANTS, revoke=True)
    assert 'ALTER DEFAULT PRIVILEGES FOR ROLE "reader" IN SCHEMA "shop" REVOKE SELECT ON TABLES FROM "ann"' in taken
    assert 'ALTER DEFAULT PRIVILEGES IN SCHEMA "shop" REVOKE USAGE, SELECT ON SEQUENCES FROM "ann"' in taken


def test_defaults_for_all_roles_count_and_are_revoked(direct, boss):
    direct.applied(GRANTS)
    boss.execute("ALTER DEFAULT PRIVILEGES FOR ALL ROLES IN SCHEMA shop GRANT SELECT ON TABLES TO ann")
    listed = [*GRANTS[:2], {"schema": "shop", "tables": "all", "privileges": ["SELECT"], "future": True}]
    assert not any("DEFAULT" in statement for statement in direct.applied(listed))
    taken = direct.applied(GRANTS, revoke=True)
    assert 'ALTER DEFAULT PRIVILEGES FOR ALL ROLES IN SCHEMA "shop" REVOKE SELECT ON TABLES FROM "ann"' in taken


def test_the_catalogue_shows_defaults_as_the_release_does(boss, release):
    boss.execute("CREATE ROLE ann")
    boss.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO ann")
    shown = boss.execute("SELECT defaclacl FROM pg_catalog.pg_default_acl").fetchall()
    assert shown == ([] if release in ("23.1", "24.1") else [(["ann=r/"],)])
    (row,) = boss.execute("SHOW DEFAULT PRIVILEGES FOR GRANTEE ann IN SCHEMA shop").fetchall()
    assert row == ("root", False, "tables", "ann", "SELECT", False)
    boss.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT ON TABLES TO ann")
    assert (["ann=ar/"],) in boss.execute("SELECT defaclacl FROM pg_default_acl").fetchall()
    boss.execute("ALTER DEFAULT PRIVILEGES FOR ALL ROLES GRANT USAGE ON SEQUENCES TO ann")
    for_all = boss.execute("SELECT defaclrole, defaclacl FROM pg_default_acl WHERE defaclobjtype = 'S'").fetchall()
    assert for_all == [(0, ["ann=U/"])]


# 2. A database that does not exist


def test_a_session_on_a_missing_database_starts_and_its_first_catalogue_statement_fails(cockroach):
    for cluster in cockroach.clusters.values():
        plain = cluster.conninfo(dbname="nothere")
        with psycopg.connect(**plain, autocommit=True) as session:
            assert session.execute("SELECT 1, current_database()").fetchone() == (1, "nothere")
            with pytest.raises(psycopg.errors.InvalidCatalogName, match='database "nothere" does not exist'):
                session.execute("SELECT datname FROM pg_catalog.pg_database")
            with pytest.raises(psycopg.errors.UndefinedTable, match='relation "pg_database" does not exist'):
                session.execute("SELECT datname FROM pg_database")


def test_an_empty_database_is_defaultdb_and_the_system_databases_are_listed(cockroach):
    cluster = cockroach.clusters["steady-heron"]
    for more in ({}, {"database": ""}):
        # libpq would send the name of the user.
        with socket.create_connection((cluster.host, cluster.ports["inside"])) as plain:
            wire = Wire(plain, Deadline(20))
            wire.request_tls()
            wire.start_tls(tls_context(str(cluster.ca_file), None, None, None), cluster.host)
            wire.login(wire.startup({"user": cluster.user, **more}), cluster.password)
            wire.ready()
            assert wire.query("SELECT current_database()") == [("defaultdb",)]
            assert wire.query("SELECT datname FROM pg_catalog.pg_database ORDER BY 1") == [
                ("defaultdb",), ("postgres",), ("system",),
            ]  # fmt: skip
            wire.close()


def test_the_check_says_that_the_database_is_missing_and_no_login_counts_as_failed(cockroach):
    cluster = cockroach.clusters["brave-otter"]
    endpoint = {
        "host": cluster.host, "port": cluster.ports["inside"], "user": cluster.user, "password": cluster.password,
        "database": "nothere", "ca_file": str(cluster.ca_file), "routing_id": cluster.routing_id,
        "options": f"--cluster={cluster.routing_id}", "deployment": "serverless",
    }  # fmt: skip
    for _time in range(3):
        assert check_endpoint(Endpoint.from_dict(endpoint)).diagnosis.code == "database_missing"
    with psycopg.connect(**cluster.conninfo()) as session:
        assert session.execute("SELECT current_database()").fetchone() == ("defaultdb",)
    # A wrong password does count: the address has to wait, whatever comes next.
    for message in ("password authentication failed", "too many failed authentication attempts"):
        with pytest.raises(psycopg.OperationalError, match=message):
            psycopg.connect(**cluster.conninfo(password="wrong"))


# 3. What keeps a role from being dropped


@pytest.fixture
def laden(direct, boss, reader):
    """A user who owns an enum and a function in two databases, and was granted everything that CockroachDB knows."""
    direct.applied([*GRANTS, {"schema": "shop", "privileges": ["USAGE", "CREATE"]}])
    with direct.login() as ann:
        ann.execute("CREATE TYPE shop.mood AS ENUM ('ok')")
        ann.execute("CREATE FUNCTION shop.one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        ann.execute("CREATE TABLE shop.hers (id serial, feels shop.mood)")
    with direct.login(dbname="postgres") as ann:
        ann.execute("CREATE TYPE public.far AS ENUM ('ok')")
    for statement in (
        "CREATE TYPE shop.size AS ENUM ('s')",
        "GRANT USAGE ON TYPE shop.size TO ann",
        "CREATE FUNCTION shop.two() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "GRANT EXECUTE ON FUNCTION shop.two() TO ann",
        "CREATE PROCEDURE shop.act() LANGUAGE sql AS 'SELECT 3'",
        "GRANT EXECUTE ON PROCEDURE shop.act() TO ann",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA shop TO ann",
        "GRANT SYSTEM VIEWACTIVITY, MODIFYCLUSTERSETTING TO ann",
        'GRANT USAGE ON EXTERNAL CONNECTION "Back up" TO ann',
        "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO ann",
        "ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO ann",
        "GRANT reader, ann TO root",
        "ALTER DEFAULT PRIVILEGES FOR ROLE reader IN SCHEMA shop GRANT EXECUTE ON FUNCTIONS TO ann",
        "ALTER DEFAULT PRIVILEGES FOR ROLE ann IN SCHEMA shop GRANT SELECT ON TABLES TO reader",
        "ALTER DEFAULT PRIVILEGES FOR ROLE ann GRANT SELECT ON TABLES TO PUBLIC",
        "REVOKE reader, ann FROM root",
        "ALTER DEFAULT PRIVILEGES FOR ALL ROLES IN SCHEMA shop GRANT SELECT ON TABLES TO ann",
        "ALTER DEFAULT PRIVILEGES FOR ALL ROLES GRANT USAGE ON SEQUENCES TO ann",
        "CREATE ROLE heir",
    ):
        boss.execute(statement)
    yield
    with another_session(boss, dbname="postgres", autocommit=True) as far:
        far.execute("DROP TYPE IF EXISTS public.far")
        if far.execute("SELECT 1 FROM pg_roles WHERE rolname = 'ann'").fetchone():
            far.execute("DROP OWNED BY ann")


def test_a_user_who_owns_and_holds_everything_is_removed_again_and_again(direct, boss, laden):
    """Twice, with the same statements; each is told beforehand, and the second removal has nothing to do."""
    before = everything(boss, "ann")
    planned = direct.remove(check=True, reassign_to="heir").statements
    assert everything(boss, "ann") == before
    assert direct.remove(reassign_to="heir").statements == planned
    gone = direct.remove(reassign_to="heir")
    assert (gone.did, gone.statements, gone.changed) == ("gone", [], False)
    assert boss.execute("SELECT 1 FROM pg_roles WHERE rolname = 'ann'").fetchone() is None
    owners = boss.execute("SELECT typname FROM pg_type WHERE typowner = 'heir'::regrole AND typtype = 'e'").fetchall()
    assert owners == [("mood",)]
    for statement in (
        'REASSIGN OWNED BY "ann" TO "heir"',
        'REVOKE ALL ON TYPE "shop"."mood", "shop"."size" FROM "ann"',
        'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "shop" FROM "ann"',
        'REVOKE ALL ON ALL PROCEDURES IN SCHEMA "shop" FROM "ann"',
        'REVOKE SYSTEM ALL FROM "ann"',
        'REVOKE ALL ON EXTERNAL CONNECTION "Back up" FROM "ann"',
        'ALTER DEFAULT PRIVILEGES FOR ALL ROLES IN SCHEMA "shop" REVOKE ALL ON TABLES FROM "ann"',
        'ALTER DEFAULT PRIVILEGES FOR ALL ROLES REVOKE ALL ON SEQUENCES FROM "ann"',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "reader" IN SCHEMA "shop" REVOKE ALL ON FUNCTIONS FROM "ann"',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "ann" IN SCHEMA "shop" REVOKE ALL ON TABLES FROM "reader"',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "ann" REVOKE ALL ON TABLES FROM PUBLIC',
    ):
        assert statement in planned
    # In every database, also where nothing is owned.
    assert planned.count('REASSIGN OWNED BY "ann" TO "heir"') == 2
    assert memberships(boss) == []


def test_a_removal_that_cannot_be_finished_strips_nothing(direct, boss, laden):
    before = everything(boss, "ann")
    with pytest.raises(OnboardingError) as caught:
        direct.remove()
    assert (
        "The SQL user ann owns function shop.one, shop.hers, shop.hers_id_seq, type shop.mood in defaultdb; type"
        " public.far in postgres. Set reassign_to (crdb_sql_user_reassign_to) to the new owner. Nothing was changed."
    ) in str(caught.value)
    for heir, message in (("nobody_here", "There is no role nobody_here"), ("ann", "ann cannot own what it owns")):
        with pytest.raises(OnboardingError, match=message):
            direct.remove(reassign_to=heir)
    assert everything(boss, "ann") == before
    direct.remove(reassign_to="heir")


def test_a_refusal_is_shown_with_all_of_the_servers_words(direct, boss, laden, monkeypatch):
    """As if somebody granted it between the look and the removal; the next run finishes it."""
    monkeypatch.setattr(_removal, "_revoke_global", lambda sessions, user: iter(()))
    with pytest.raises(OnboardingError) as caught:
        direct.remove(reassign_to="heir")
    assert "cannot drop role/user ann: grants still exist on Back up, system (SQLSTATE 2BP01)" in str(caught.value)
    assert 'Not done: DROP ROLE "ann"' in str(caught.value)
    boss.execute("REVOKE SYSTEM ALL FROM ann")
    boss.execute('REVOKE ALL ON EXTERNAL CONNECTION "Back up" FROM ann')
    monkeypatch.setattr(_removal._defaults, "read", lambda *arguments: ())
    boss.execute("ALTER DEFAULT PRIVILEGES FOR ALL ROLES IN SCHEMA shop GRANT SELECT ON TABLES TO ann")
    with pytest.raises(OnboardingError) as caught:
        direct.remove(reassign_to="heir")
    assert "role ann cannot be dropped because some objects depend on it privileges for default" in str(caught.value)
    hint = "HINT: USE defaultdb; ALTER DEFAULT PRIVILEGES FOR ALL ROLES IN SCHEMA SHOP REVOKE ALL ON TABLES FROM ann"
    assert hint in str(caught.value)
    monkeypatch.undo()
    assert direct.remove(reassign_to="heir").did == "remove"


def test_an_owner_of_a_schedule_is_told_of_it_and_keeps_everything(direct, boss):
    direct.applied(GRANTS)
    with direct.login(autocommit=True) as ann:
        ann.execute("CREATE SCHEDULE 'nightly' FOR BACKUP INTO 'external://back' RECURRING '@daily'")
    before = everything(boss, "ann")
    with pytest.raises(OnboardingError, match="ann owns 1 schedules, which cannot get another owner"):
        direct.remove(reassign_to="root")
    assert everything(boss, "ann") == before
    boss.execute("DROP OWNED BY ann")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist, match="it owns 1 scheduled jobs"):
        boss.execute("DROP ROLE ann")


def test_a_user_of_a_policy_is_told_of_it_and_keeps_everything(direct, boss):
    direct.applied(GRANTS)
    boss.execute("CREATE POLICY own_rows ON shop.orders TO ann USING (true)")
    before = everything(boss, "ann")
    with pytest.raises(OnboardingError, match=r"policies own_rows on shop\.orders"):
        direct.remove(reassign_to="root")
    assert everything(boss, "ann") == before
    boss.execute("DROP POLICY own_rows ON shop.orders")
    assert 'DROP ROLE "ann"' in direct.remove(reassign_to="root").statements


def test_the_schema_public_of_a_leaver_is_reassigned_on_every_release(direct, boss):
    direct.applied(GRANTS)
    boss.execute("ALTER SCHEMA public OWNER TO ann")
    boss.execute("CREATE ROLE heir")
    try:
        assert 'ALTER SCHEMA "public" OWNER TO "heir"' in direct.remove(reassign_to="heir").statements
        owner = boss.execute("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'").fetchone()
        assert owner == ("heir",)
    finally:
        boss.execute("ALTER SCHEMA public OWNER TO admin")


# 4. Who may do what


def test_a_membership_is_taken_for_the_defaults_of_others_and_given_back(direct, boss, reader, release, monkeypatch):
    alter = "ALTER DEFAULT PRIVILEGES FOR ROLE reader IN SCHEMA shop GRANT INSERT ON TABLES TO root"
    if release in NO_MEMBERSHIP:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be a member of reader"):
            boss.execute(alter)
    else:
        boss.execute(alter)
        boss.execute(alter.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
    run = _sql.Session.run
    failing = 'FOR ROLE "reader"'

    def broken(self, statement):
        if failing in statement.shown:
            self.close()
            raise _sql.SqlError("the connection is lost.")
        run(self, statement)

    monkeypatch.setattr(_sql.Session, "run", broken)
    with pytest.raises(OnboardingError, match="the connection is lost") as caught:
        direct.ensure(FUTURE)
    assert 'GRANT "reader" TO "root"' in str(caught.value)
    assert 'REVOKE "reader" FROM "root"' in str(caught.value)
    assert memberships(boss) == []
    monkeypatch.undo()
    statements = direct.applied(FUTURE)
    assert statements[0] == 'GRANT "reader" TO "root"'
    assert statements[-1] == 'REVOKE "reader" FROM "root"'
    assert memberships(boss) == []
    # Who is a member anyway stays one.
    boss.execute("GRANT reader TO root")
    assert not any("reader" in line for line in direct.applied(FUTURE[:3], revoke=True) if "GRANT" in line)
    assert memberships(boss) == [("root", "reader")]


def test_only_who_has_the_admin_option_revokes_admin(direct, boss, cockroach):
    direct.ensure(GRANTS, "chief")
    direct.ensure(GRANTS)
    for name in ("chief", "ann"):
        boss.execute(f"GRANT admin TO {name}")
    assert boss.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = 'ann'").fetchone() == (True,)
    with direct.login("chief", autocommit=True) as chief, pytest.raises(psycopg.errors.InsufficientPrivilege):
        chief.execute("REVOKE admin FROM ann")
    root = direct.facts
    plain = {key: value for key, value in root.items() if key not in ("sslcert", "sslkey")}
    direct.facts = {**plain, "user": "Chief", "password": direct.password("chief")}
    with pytest.raises(OnboardingError, match="chief cannot revoke the role admin from ann: it was not granted admin"):
        direct.ensure(GRANTS, revoke=True)
    direct.facts = root
    assert direct.applied(GRANTS, revoke=True)[-1] == 'REVOKE "admin" FROM "ann"'
    assert boss.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = 'ann'").fetchone() == (False,)


def test_an_administrator_is_no_superuser_of_postgresql(boss):
    for statement in (
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "CREATE ROLE eve SUPERUSER",
        "ALTER ROLE root SUPERUSER",
        "SET session_authorization = 'roach'",
        "CREATE EXTENSION file_fdw",
    ):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.SyntaxError)):
            boss.execute(statement)
    kept = boss.execute("SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = 'roach'").fetchone()
    assert kept == ("********",)


def test_a_revoked_connect_does_not_stop_a_login(direct, boss):
    """It only hides the database's metadata; in the sandbox that holds for as long as PUBLIC keeps it."""
    direct.applied(GRANTS)
    boss.execute("REVOKE CONNECT ON DATABASE defaultdb FROM ann")
    with direct.login() as ann:
        assert ann.execute("SELECT current_user").fetchone() == ("ann",)


def test_names_of_users_and_roles_are_folded_everywhere(direct, boss, cockroach, reader):
    for name in ("funky-skunk", "steady-heron", "lone-badger"):
        cluster = cockroach.clusters[name]
        with psycopg.connect(**cluster.conninfo(user=cluster.user.title())) as session:
            assert session.execute("SELECT current_user").fetchone() == (cluster.user,)
    boss.execute('CREATE ROLE "Bob" LOGIN')
    boss.execute('GRANT "READER" TO "BOB"')
    assert memberships(boss) == [("bob", "reader")]
    assert 'GRANT "reader" TO "ann"' in direct.applied([*GRANTS, {"role": "READER"}])
    with direct.login() as ann:
        ann.execute("CREATE TABLE public.hers (id int)")
    try:
        assert 'REASSIGN OWNED BY "ann" TO "bob"' in direct.remove(reassign_to="bob").statements
    finally:
        boss.execute("DROP TABLE public.hers")


# 5. Time


def test_a_statement_without_an_answer_may_have_taken_effect(direct, boss, cockroach):
    """Another session holds what the statement has to wait for; later the same run is finished."""
    direct.applied(GRANTS)
    more = [*GRANTS, {"schema": "shop", "tables": ["orders"], "privileges": ["UPDATE"]}]
    with another_session(boss) as other:
        other.execute("GRANT DELETE ON shop.orders TO ann")
        with pytest.raises(OnboardingError) as caught:
            direct.ensure(more, timeout=1)
        assert 'GRANT UPDATE ON TABLE "shop"."orders" TO "ann": the server did not answer within 1 s.' in str(
            caught.value
        )
        assert "The statement may have taken effect nevertheless. Run it again" in str(caught.value)
        assert "raise statement_timeout (crdb_sql_user_statement_timeout)" in str(caught.value)
        other.rollback()
    direct.applied(more)


def test_no_query_joins_or_looks_inside_another(direct, boss, laden, monkeypatch):
    sent = []
    query = _sql.Session.query

    def recorded(self, sql):
        sent.append(sql)
        return query(self, sql)

    monkeypatch.setattr(_sql.Session, "query", recorded)
    direct.ensure(FUTURE, revoke=True)
    direct.remove(reassign_to="heir")
    assert len(sent) > 40
    for sql in sent:
        assert not re.search(r"\b(JOIN|EXISTS|UNION)\b|\(SELECT", sql), sql
        assert sql.count("FROM") <= 1, sql


# 6. The same on both


def test_a_verifier_is_a_password_and_a_retired_user_cannot_log_in(direct, boss):
    boss.execute("CREATE ROLE reader")
    direct.applied([*GRANTS, {"role": "reader"}])
    with direct.login() as ann:
        assert allowed(ann, "INSERT INTO shop.orders VALUES (1, 'x')")
    with _sql.Sessions(connections.source("boss", direct.facts)) as sessions:
        sessions.run([retirement(sessions.database, "ann")], [])
    with pytest.raises(psycopg.OperationalError):
        direct.login()
    # The next run that sets a password lets the user in again.
    direct.ensure(GRANTS, update="new")
    with direct.login() as ann:
        assert allowed(ann, "TABLE shop.orders")


def test_each_kind_of_grant_is_given_and_revoked(direct, boss):
    base = [GRANTS[0], {"schema": "shop", "tables": ["orders"], "privileges": ["SELECT"]}]
    direct.applied(base)
    entries = [
        {"privileges": ["CREATE"]},
        {"schema": "shop", "privileges": ["USAGE", "CREATE"]},
        {"schema": "shop", "tables": "all", "privileges": ["UPDATE", "DELETE"]},
        {"schema": "shop", "sequences": "all", "privileges": ["USAGE", "SELECT", "UPDATE"]},
    ]
    taken = [
        'REVOKE CREATE ON DATABASE "defaultdb" FROM "ann"',
        'REVOKE USAGE, CREATE ON SCHEMA "shop" FROM "ann"',
        f'REVOKE UPDATE, DELETE ON TABLE "shop".{quoted(HARD)}, "shop"."orders", "shop"."secrets" FROM "ann"',
        'REVOKE USAGE, SELECT, UPDATE ON SEQUENCE "shop"."orders_id_seq" FROM "ann"',
    ]
    # The tables that are listed come first when they are granted, and in the order of the alphabet when revoked.
    hard, orders = f'"shop".{quoted(HARD)}', '"shop"."orders"'
    given = [
        line.replace("REVOKE", "GRANT").replace(" FROM ", " TO ").replace(f"{hard}, {orders}", f"{orders}, {hard}")
        for line in taken
    ]
    assert sorted(direct.ensure([*base, *entries]).statements) == sorted(given)
    assert direct.applied(base, revoke=True) == taken


# The fronts


def test_a_node_refuses_plain_text_in_its_own_words(cockroach):
    startup = b"\0\x03\0\0user\0root\0\0"
    packet = (len(startup) + 4).to_bytes(4, "big") + startup
    words = {
        "steady-heron": b"C08P01\0Mnode is running secure mode, SSL connection required\0",
        "brave-otter": b"C08C00\0Mserver requires encryption\0",
    }
    for name, expected in words.items():
        with socket.create_connection(("localhost", cockroach.clusters[name].ports["inside"])) as client:
            client.sendall(packet)
            assert expected in client.recv(1000)


def test_the_version_is_the_one_of_the_release(cockroach, release):
    with psycopg.connect(**cockroach.clusters["steady-heron"].conninfo()) as session:
        for statement in ("SELECT version()", "SHOW crdb_version"):
            row = session.execute(statement).fetchone()
            assert row is not None
            assert f"CockroachDB CCL v{release}." in row[0]
    cloud = cockroach.cloud
    key = Path(cloud["crdb_cloud_api_key_file"]).read_text().strip()
    answer = requests.get(
        f"{cloud['crdb_cloud_url']}/api/v1/clusters",
        headers={"Authorization": f"Bearer {key}"}, verify=cloud["crdb_cloud_ca_file"], timeout=30,
    )  # fmt: skip
    assert {cluster["cockroach_version"] for cluster in answer.json()["clusters"]} == {RELEASES[release]}
