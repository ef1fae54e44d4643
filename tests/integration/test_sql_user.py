# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users made by SQL, on the sandbox's real SQL through its fronts: what they can do then, and what they cannot."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import psycopg
import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._wire.errors import ClosedError, ServerError
from ansible_collections.crdb.onboard.plugins.module_utils._wire.session import Wire
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import session as _sql

from tests.sql import HARD, NAME, Direct, admin_facts, administrator, allowed, kept_verifier

GRANTS = [
    {"database": "defaultdb", "privileges": ["CONNECT"]},
    {"schema": "shop", "privileges": "USAGE"},
    {"schema": "shop", "tables": ["orders"], "privileges": ["SELECT", "INSERT"]},
]


@pytest.fixture
def boss(sandbox):
    with administrator(sandbox) as session:
        yield session


@pytest.fixture
def direct(sandbox, tmp_path, boss):
    return Direct(sandbox, tmp_path)


CREATE = "CREATE ROLE \"ann\" WITH LOGIN PASSWORD '********'"


def test_a_user_can_do_what_was_listed_and_nothing_else(direct, boss):
    assert direct.settled(GRANTS).statements == [
        CREATE,
        'GRANT CONNECT ON DATABASE "defaultdb" TO "ann"',
        'GRANT USAGE ON SCHEMA "shop" TO "ann"',
        'GRANT SELECT, INSERT ON TABLE "shop"."orders" TO "ann"',
    ]
    with direct.login() as ann:
        assert allowed(ann, "INSERT INTO shop.orders VALUES (1, 'x')")
        assert allowed(ann, "SELECT * FROM shop.orders")
        assert not allowed(ann, "DELETE FROM shop.orders")
        assert not allowed(ann, "SELECT * FROM shop.secrets")
        assert not allowed(ann, "CREATE TABLE shop.more (id int)")
        assert not allowed(ann, "CREATE ROLE eve")


def test_check_mode_changes_nothing(direct, boss):
    assert direct.ensure(GRANTS, check=True).did == "create"
    assert boss.execute("SELECT 1 FROM pg_roles WHERE rolname = 'ann'").fetchone() is None
    assert direct.password() is None
    direct.ensure(GRANTS)
    assert direct.remove(check=True).did == "remove"
    with direct.login():
        pass


def test_names_are_quoted_whatever_is_in_them(direct):
    done = direct.settled([{"schema": "shop", "tables": [HARD], "privileges": "SELECT"}])
    assert done.statements == [CREATE, 'GRANT SELECT ON TABLE "shop"."odd ""table\' name" TO "ann"']
    (note,) = done.notes
    assert note.startswith("ann cannot use what it was granted in defaultdb.shop without USAGE on the schema shop")


def test_what_is_there_and_what_will_be_made(direct, boss):
    boss.execute("CREATE ROLE reader LOGIN")
    boss.execute("GRANT CREATE, USAGE ON SCHEMA shop TO reader")
    grants = [
        *GRANTS[:2],
        {"schema": "shop", "tables": "all", "privileges": ["SELECT"], "future": True},
        {"schema": "shop", "tables": "all", "privileges": ["SELECT"], "future": True, "creator": "reader"},
        {"schema": "shop", "sequences": "all", "privileges": ["USAGE", "SELECT"], "future": True},
    ]
    done = direct.settled(grants)
    assert (
        'ALTER DEFAULT PRIVILEGES FOR ROLE "reader" IN SCHEMA "shop" GRANT SELECT ON TABLES TO "ann"' in done.statements
    )
    boss.execute("CREATE TABLE shop.later (id serial)")
    # The administrator was a member while the defaults were changed, and is none any more.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        boss.execute("SET ROLE reader")
    boss.execute("GRANT reader TO root")
    boss.execute("SET ROLE reader")
    boss.execute("CREATE TABLE shop.by_reader (id int)")
    boss.execute("RESET ROLE")
    with direct.login() as ann:
        for table in ("orders", "secrets", "later", "by_reader"):
            assert allowed(ann, f"TABLE shop.{table}")
        assert allowed(ann, "SELECT nextval('shop.later_id_seq')")
        assert not allowed(ann, "INSERT INTO shop.later VALUES (1)")
    # One that was made without the default, as by a restore.
    boss.execute("CREATE TABLE shop.restored (id int)")
    boss.execute("REVOKE ALL ON shop.restored FROM ann")
    assert direct.settled(grants).statements == ['GRANT SELECT ON TABLE "shop"."restored" TO "ann"']


def test_what_is_no_longer_listed_is_taken_when_asked_after_what_is_new_was_given(direct, boss):
    boss.execute("CREATE ROLE reader")
    more = [
        *GRANTS,
        {"privileges": ["CREATE"]},
        {"schema": "shop", "privileges": ["CREATE"]},
        {"schema": "shop", "tables": "all", "privileges": ["DELETE"], "future": True},
        {"role": "reader"},
    ]
    direct.settled(more)
    fewer = [*GRANTS[:2], {"schema": "shop", "tables": "orders", "privileges": "UPDATE"}]
    assert direct.ensure(fewer, check=True).statements == ['GRANT UPDATE ON TABLE "shop"."orders" TO "ann"']
    taken = direct.settled(fewer, revoke=True)
    assert taken.statements[0] == 'GRANT UPDATE ON TABLE "shop"."orders" TO "ann"'
    assert sorted(taken.statements[1:]) == sorted(
        [
            'REVOKE CREATE ON DATABASE "defaultdb" FROM "ann"',
            'REVOKE CREATE ON SCHEMA "shop" FROM "ann"',
            'REVOKE SELECT, INSERT, DELETE ON TABLE "shop"."orders" FROM "ann"',
            'REVOKE DELETE ON TABLE "shop"."odd ""table\' name", "shop"."secrets" FROM "ann"',
            'ALTER DEFAULT PRIVILEGES IN SCHEMA "shop" REVOKE DELETE ON TABLES FROM "ann"',
            'REVOKE "reader" FROM "ann"',
        ]
    )
    # Everybody may CREATE in the sandbox's schema public, as in CockroachDB: a warning, and no change.
    assert any("ann can also CREATE in the schema public" in note for note in taken.notes)
    with direct.login() as ann:
        assert allowed(ann, "UPDATE shop.orders SET what = ''")
        assert not allowed(ann, "SELECT * FROM shop.orders")


def test_a_role_owns_what_its_two_users_make_and_each_can_use_what_the_other_made(direct, boss):
    grants = [*GRANTS, {"schema": "shop", "privileges": ["USAGE", "CREATE"]}]
    both = ("ann", "bob")
    for user in both:
        direct.settled(grants, user, role="shop_owner")
    for user, other in (both, both[::-1]):
        with direct.login(user) as session:
            session.execute(f"CREATE TABLE shop.of_{user} (id serial)")
            session.execute(f"INSERT INTO shop.of_{user} DEFAULT VALUES")
            session.commit()
        with direct.login(other) as session:
            assert allowed(session, f"TABLE shop.of_{user}")
            assert allowed(session, f"INSERT INTO shop.of_{user} DEFAULT VALUES")
    for user in both:
        assert not direct.ensure(grants, user, role="shop_owner", revoke=True).changed
    # One goes: what it made is the role's, nothing is lost, and the other still has it.
    gone = direct.remove(role="shop_owner")
    assert 'REASSIGN OWNED BY "ann" TO "shop_owner"' in gone.statements
    assert gone.statements[-1] == 'DROP ROLE "ann"'
    assert direct.password() is None
    assert not direct.remove(role="shop_owner").changed
    owners = dict(boss.execute("SELECT tablename, tableowner FROM pg_tables WHERE tablename LIKE 'of_%'").fetchall())
    assert owners == {"of_ann": "shop_owner", "of_bob": "bob"}
    with direct.login("bob") as bob:
        assert bob.execute("SELECT count(*) FROM shop.of_ann").fetchone() == (1,)
        assert allowed(bob, "DROP TABLE shop.of_ann")


def test_a_user_who_owns_something_is_not_removed_without_an_heir(direct, boss):
    direct.settled([*GRANTS, {"schema": "shop", "privileges": "CREATE"}])
    with direct.login() as ann:
        ann.execute("CREATE TABLE shop.hers (id int)")
    with pytest.raises(
        OnboardingError,
        match=r"ann owns shop\.hers in defaultdb\. Set reassign_to \(crdb_sql_user_reassign_to\) to the",
    ):
        direct.remove()
    with direct.login():
        pass
    direct.remove(reassign_to="root")
    assert boss.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'hers'").fetchone() == ("root",)


def test_a_grant_that_the_server_takes_without_effect_is_no_success(direct, boss):
    # PostgreSQL only warns: this one may make users, and owns none of the tables.
    direct.ensure([], "half")
    boss.execute("ALTER ROLE half CREATEROLE")
    boss.execute("GRANT USAGE ON SCHEMA shop TO half")
    boss.execute("GRANT SELECT ON shop.orders TO half")
    admin, half = direct.facts, {**direct.facts, "user": "half", "password": direct.password("half")}
    direct.facts = {key: value for key, value in half.items() if key not in ("sslcert", "sslkey")}
    grants = [{"schema": "shop", "tables": "orders", "privileges": "SELECT"}]
    with pytest.raises(OnboardingError) as caught:
        direct.ensure(grants)
    assert "The server accepted GRANT SELECT ON TABLE" in str(caught.value)
    assert "without any effect: half lacks the right" in str(caught.value)
    assert "Done: CREATE ROLE" in str(caught.value)
    direct.facts = admin
    direct.settled(grants)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_run_that_breaks_off_at_any_statement_says_how_far_it_came_and_is_finished_by_the_next(
    direct, boss, monkeypatch, number
):
    """The connection is lost, before the statement and behind it."""
    run = _sql.Session.run
    grants = [*GRANTS, {"schema": "shop", "privileges": "CREATE"}]
    for behind in (False, True):
        numbers = itertools.count(1)

        def broken(self, statement, behind=behind, numbers=numbers):
            if next(numbers) < number:
                run(self, statement)
                return
            if behind:
                run(self, statement)
            raise _sql.SqlError("the connection is lost.")

        monkeypatch.setattr(_sql.Session, "run", broken)
        with pytest.raises(_sql.SqlError if number == 1 else OnboardingError, match="the connection is lost"):
            direct.ensure(grants, role="shop_owner", revoke=True)
        monkeypatch.setattr(_sql.Session, "run", run)
        direct.ensure(grants, role="shop_owner", revoke=True)
        assert not direct.ensure(grants, role="shop_owner", revoke=True).changed
        with direct.login() as ann:
            assert allowed(ann, "SELECT * FROM shop.orders")
        direct.remove(role="shop_owner")
        boss.execute("DROP OWNED BY shop_owner")
        boss.execute("DROP ROLE shop_owner")


def test_a_server_that_takes_the_verifier_for_the_password_is_found_out(direct, monkeypatch):
    """As CockroachDB does where server.user_login.store_client_pre_hashed_passwords.enabled is off."""
    monkeypatch.setattr(_sql, "scram_verifier", lambda password: "SCRAM-SHA-256-but-taken-for-a-password")
    with pytest.raises(OnboardingError) as caught:
        direct.ensure(GRANTS)
    assert "cannot log in with the password that was just set" in str(caught.value)
    assert "store_client_pre_hashed_passwords.enabled is off" in str(caught.value)
    assert "but-taken-for" not in str(caught.value)
    monkeypatch.undo()
    assert direct.ensure(GRANTS, update="new").did == "set"


def test_an_error_of_the_server_never_shows_the_verifier(direct, monkeypatch):
    statement = _sql.with_password("defaultdb", "CREATE ROLE ann WITH LOGIN", "a-password")
    assert "SCRAM" not in repr(statement)
    source = connections.source("boss", direct.facts)
    with _sql.Sessions(source) as sessions:
        sessions.on("defaultdb")

        def refuse(wire, sql):
            raise ServerError({"C": "42601", "M": f"syntax error in {sql}"})

        monkeypatch.setattr(Wire, "query", refuse)
        with pytest.raises(_sql.SqlError) as caught:
            sessions.run([statement], [])
    assert "syntax error in CREATE ROLE ann WITH LOGIN PASSWORD '********'" in str(caught.value)
    assert "SCRAM-SHA-256" not in str(caught.value)
    assert caught.value.sqlstate == "42601"


@pytest.mark.parametrize(
    ("error", "message", "uncertain"),
    [
        (ServerError({"C": "40003", "M": "result is ambiguous"}), "result is ambiguous (SQLSTATE 40003)", True),
        (ClosedError("the server closed the connection"), "the server closed the connection", True),
        (ServerError({"C": "42501", "M": "no", "D": "the detail.", "H": "a\x1b hint"}),
         "the server refused it: no (SQLSTATE 42501). DETAIL: the detail. HINT: a hint.", False),
    ],
    ids=["unknown end", "lost", "refused"],
)  # fmt: skip
def test_an_error_says_whether_the_statement_may_have_taken_effect(direct, monkeypatch, error, message, uncertain):
    with _sql.Sessions(connections.source("boss", direct.facts)) as sessions:
        sessions.on("defaultdb")

        def fail(wire, sql):
            raise error

        monkeypatch.setattr(Wire, "query", fail)
        with pytest.raises(_sql.SqlError) as caught:
            sessions.run([_sql.Statement("defaultdb", "GRANT a TO b")], [])
        monkeypatch.undo()
        assert message in str(caught.value)
        assert ("The statement may have taken effect nevertheless." in str(caught.value)) is uncertain
        # The session has ended, and the next statement gets a new one.
        assert sessions.query("SELECT 1") == [("1",)]


REFUSED = [
    ([{"privileges": "ALL"}], "entry 1: ALL cannot be granted on database. Use CONNECT, CREATE"),
    ([{"tables": "all", "privileges": "TRUNCATE"}], "TRUNCATE cannot be granted on tables"),
    ([{"tables": "all", "sequences": "all", "privileges": "SELECT"}], "has tables and sequences"),
    ([{"tables": ["orders"], "privileges": "SELECT", "future": True}], "future must be used with tables: all"),
    ([{"tables": "all", "privileges": "SELECT", "creator": "x"}], "creator must be used with future"),
    ([{"table": "x", "privileges": "SELECT"}], "unknown key: table. The keys are database, schema"),
    ([{"role": "admin"}], "the role admin may do everything"),
    ([{"role": "nobody_here"}], "There is no role nobody_here"),
    (
        [{"schema": "shop", "tables": ["orders", "nothing"], "privileges": "SELECT"}],
        "has no tables nothing; it has: odd",
    ),
    ([{"schema": "nowhere", "tables": "all", "privileges": "SELECT"}], "There is no schema nowhere in defaultdb"),
    ([{"database": "nowhere", "privileges": "CONNECT"}], "nowhere"),
]


@pytest.mark.parametrize(("grants", "message"), REFUSED, ids=[message for _grants, message in REFUSED])
def test_a_wrong_grant_is_refused_before_anything_changes(direct, boss, grants, message):
    with pytest.raises(OnboardingError) as caught:
        direct.ensure(grants)
    assert message in str(caught.value)
    assert boss.execute("SELECT 1 FROM pg_roles WHERE rolname = 'ann'").fetchone() is None
    assert direct.password() is None


def run(controller, variables, *words, status=0, **extra):
    """The playbook, which has to end with this status."""
    done = controller.playbook("sql_user", variables, "--diff", "-vvvv", *words, **extra)
    assert done.status == status, done.output
    return done


def said(done):
    return " ".join(done.output.split())


def stored(variables, user="ann"):
    """The password that the store has for a user, or None."""
    content = json.loads(Path(variables["crdb_sql_user_password_store"]).read_text())["clusters"]
    (cluster,) = content.values() or [{"users": {}}]
    return cluster["users"].get(user, {}).get("password")


def test_by_playbook_with_no_password_and_no_verifier_in_any_output(controller, sandbox, boss, tmp_path):
    variables = {
        "crdb_connections": {"boss": admin_facts(sandbox)},
        "crdb_sql_user_admin": "boss",
        "crdb_sql_user_name": "ann",
        "crdb_sql_user_password_store": str(tmp_path / "passwords.json"),
        "crdb_sql_user_grants": GRANTS,
    }
    runs = [run(controller, variables, "--check"), run(controller, variables)]
    for done in runs:
        assert done.recap()["changed"] == 1
        lines = [line[1:] for line in done.output.splitlines() if re.match(r"\+(GRANT|CREATE|ALTER)", line)]
        assert (len(lines), lines[0]) == (4, CREATE)
    first = stored(variables)
    verifier = kept_verifier(sandbox, "ann")
    assert verifier.startswith("SCRAM-SHA-256$10610:")
    # A password that is given, and another than the known one: said, and left, until it is asked for.
    given = {"CRDB_SQL_USER_PASSWORD": "canary-of-a-given-password"}
    runs.append(run(controller, variables, **given))
    assert runs[-1].recap()["changed"] == 0
    assert "keeps the password that is in the store, and was given another" in said(runs[-1])
    assert stored(variables) == first
    runs.append(run(controller, variables, "-e", "crdb_sql_user_update_password=always", **given))
    assert stored(variables) == "canary-of-a-given-password"
    runs.append(run(controller, variables, "-e", "crdb_sql_user_update_password=new"))
    last = stored(variables)
    assert last not in (first, "canary-of-a-given-password")
    # The day after, a connection without a password finds it in the store.
    cluster = sandbox.clusters[NAME]
    plain = {key: value for key, value in admin_facts(sandbox).items() if key not in ("sslcert", "sslkey")}
    connects = {**variables, "crdb_connections": {"shop": {**plain, "user": "ann"}}}
    shown = controller.playbook("connection", connects, "-e", "crdb_connection_show_password=true")
    assert shown.status == 0, shown.output
    assert last in shown.output
    with psycopg.connect(**cluster.conninfo(user="ann", password=last)):
        pass
    leaving = {
        "crdb_sql_user_state": "absent",
        "crdb_sql_user_reassign_to": "Root",
        "crdb_sql_user_statement_timeout": 30,
    }
    runs.append(run(controller, {**variables, **leaving}))
    assert 'ran REASSIGN OWNED BY "ann" TO "root"' in said(runs[-1])
    assert stored(variables) is None
    output = "".join(done.output for done in runs)
    log = (sandbox.state / "sandbox.log").read_text() + (sandbox.state / "postgresql.log").read_text()
    for secret in (first, last, "canary-of-a-given-password", verifier, "SCRAM-SHA-256$"):
        assert secret not in output + log


def test_an_administrator_of_the_api_makes_a_plain_user_and_becomes_one(controller, sandbox, tmp_path):
    inside = sandbox.clusters["brave-otter"]
    cloud = {
        **sandbox.cloud,
        "crdb_sql_user_password_store": str(tmp_path / "passwords.json"),
    }
    made = {**cloud, "crdb_sql_user_clusters": ["brave-otter"], "crdb_sql_user_name": "chief"}
    assert "is an administrator of the cluster" in said(run(controller, made))
    # As the API has it, but for the port: its connection strings lead to where only those go who were let in.
    content = json.loads((tmp_path / "passwords.json").read_text())["clusters"]
    ((identifier, entry),) = content.items()
    boss = {
        "host": inside.host, "port": inside.ports["inside"], "routing_id": inside.routing_id, "user": "chief",
        "password": entry["users"]["chief"]["password"], "ca_file": str(inside.ca_file),
    }  # fmt: skip
    grants = [{"database": "defaultdb", "privileges": "CONNECT"}]
    by_sql = {
        **cloud,
        "crdb_connections": {"boss": boss},
        "crdb_sql_user_admin": "boss",
        "crdb_sql_user_grants": grants,
    }
    try:
        run(controller, {**by_sql, "crdb_sql_user_name": "plain"})
        refused = run(controller, {**by_sql, "crdb_sql_user_name": "chief"}, status=2)
        assert "who may do everything. Set revoke: true (crdb_sql_user_revoke) to revoke the role admin" in said(
            refused
        )
        second = {**made, "crdb_sql_user_name": "second"}
        run(controller, second)
        become = {**by_sql, "crdb_sql_user_name": "second", "crdb_sql_user_revoke": True}
        lost = run(controller, become, status=2)
        assert "its password is not in the store" in said(lost)
        become["crdb_sql_user_password"] = json.loads((tmp_path / "passwords.json").read_text())["clusters"][
            identifier
        ]["users"]["second"]["password"]
        done = run(controller, become)
        assert 'REVOKE "admin" FROM "second"' in done.output
        assert become["crdb_sql_user_password"] not in done.output
        assert run(controller, become).recap()["changed"] == 0
        with psycopg.connect(**inside.conninfo(user="second", password=become["crdb_sql_user_password"])) as session:
            assert not allowed(session, "CREATE ROLE eve")
        run(controller, {**by_sql, "crdb_sql_user_name": "plain", "crdb_sql_user_state": "absent"})
    finally:
        for name in ("second", "chief"):
            controller.playbook("sql_user", {**made, "crdb_sql_user_name": name, "crdb_sql_user_state": "absent"})
