# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Grants as they are written, names as they are quoted, default privileges as both servers print them."""

from __future__ import annotations

import re

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import defaults as _defaults
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import grants as _grants
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import session as _sql
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.defaults import Default
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.grants import Grant
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.roles import Roles, borrowed, to_borrow
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.removal import removal

ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
WRITTEN = [
    ({"privileges": "connect"}, Grant("database", "shop", ("CONNECT",))),
    ({"database": "bank", "privileges": ["CREATE", "CONNECT"]}, Grant("database", "bank", ("CONNECT", "CREATE"))),
    ({"schema": "s", "privileges": "USAGE"}, Grant("schema", "shop", ("USAGE",), "s")),
    ({"tables": "all", "privileges": "SELECT, INSERT"}, Grant("tables", "shop", ("SELECT", "INSERT"), "public")),
    ({"tables": ["b", "a", "b"], "privileges": [*ALL]}, Grant("tables", "shop", ALL, "public", ("b", "a"))),
    ({"tables": "a, b", "privileges": "SELECT"}, Grant("tables", "shop", ("SELECT",), "public", ("a", "b"))),
    (
        {"sequences": "all", "privileges": "USAGE", "future": True, "creator": "ann"},
        Grant("sequences", "shop", ("USAGE",), "public", None, True, "ann"),
    ),
]


@pytest.mark.parametrize(("entry", "expected"), WRITTEN, ids=str)
def test_a_grant_is_read(entry, expected):
    assert _grants.parse([entry], "shop") == ((expected,), ())


def test_memberships_are_apart():
    assert _grants.parse([{"role": "a"}, {"role": "b"}, {"role": "a"}], "shop") == ((), ("a", "b"))


WRONG = [
    ("text", "must be a list"),
    (["text"], "entry 1: must be a dictionary with some of database"),
    ([{"privileges": "CONNECT"}, {"schema": "s"}], "entry 2: privileges: must be names"),
    ([{"schema": "s", "privileges": [1]}], "privileges: must be names"),
    ([{"tables": [], "privileges": "SELECT"}], "tables: must be names"),
    ([{"tables": "all", "privileges": "SELECT", "future": "yes"}], "future must be true or false"),
    ([{"role": "a", "privileges": "CONNECT"}], "has role and other keys"),
    ([{"role": "ADMIN"}], "the role admin may do everything"),
    ([{"tables": ["x" * 64], "privileges": "SELECT"}], "is not a valid SQL name: it must have 1 to 63 bytes"),
    ([{"schema": "\u00e4" * 32, "privileges": "USAGE"}], "is not a valid SQL name"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[message for _given, message in WRONG])
def test_a_wrong_grant_is_told_of(given, message):
    with pytest.raises(OnboardingError, match=r"^grants[:,]|not a valid SQL name") as caught:
        _grants.parse(given, "shop")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a", '"a"'), ('a"b', '"a""b"'), ("a'; DROP ROLE b; --", '"a\'; DROP ROLE b; --"'), ("A b", '"A b"')],
)
def test_names_are_quoted(name, quoted):
    assert _sql.identifier(name) == quoted


def test_texts_are_quoted():
    assert _sql.literal("a'b\\") == "'a''b\\'"
    for wrong in ("", "a\0b"):
        with pytest.raises(OnboardingError):
            _sql.identifier(wrong)


ACLS = [
    # PostgreSQL, then CockroachDB; names with a dot are in quotes in one, and not in the other.
    ("boss=arwdDxt/boss\nann=ar/boss", "ann", {"SELECT", "INSERT"}),
    ('boss=arwdDxt/boss\n"ann.b"=r*w/boss', "ann.b", {"SELECT", "UPDATE"}),
    ("ann.b=r/root", "ann.b", {"SELECT"}),
    ('"ann""b"=d/boss', 'ann"b', {"DELETE"}),
    ("joann=r/boss\n=r/boss\nboss=a/ann", "ann", None),
    (None, "ann", None),
]


NAMES = {"1": "boss", "2": "ann", "3": "ann.b", "4": 'ann"b'}
EVERYBODY = Roles(NAMES, frozenset({"boss"}))


class Catalogue:
    """A server with one row in pg_default_acl; `shown` are the answers of SHOW, None where it does not know it.

    `statements` records what was asked.
    """

    def __init__(self, acl, *, creator="1", schema="0", shown=None):
        self.rows = [(creator, schema, "r", acl), ("1", "7", "f", "ann=X/")]
        self.shown = shown
        self.statements = []

    def query(self, sql, database=""):
        self.statements.append(sql)
        if "pg_namespace" in sql:
            return [("7", "s")]
        if "defaclnamespace <> 0" in sql:
            return [] if self.shown else [("1",)]
        if "SHOW" in sql:
            return self.shown.get(sql, [])
        return self.rows[:1]

    def query_if_known(self, statement, sql, database=""):
        self.statements.append(sql)
        return self.shown.get(sql) if self.shown else None


@pytest.mark.parametrize(("acl", "grantee", "expected"), ACLS)
def test_default_privileges_are_read(acl, grantee, expected):
    found = _defaults.read(Catalogue(acl), "shop", EVERYBODY, grantee, ["s"])
    mine = [default for default in found if default.grantee == grantee]
    assert mine == ([] if expected is None else [Default("boss", "", "TABLES", grantee, frozenset(expected))])


def test_default_privileges_for_all_roles_and_of_a_role_are_read():
    (for_all,) = _defaults.read(Catalogue("ann=r/", creator="0"), "shop", EVERYBODY, "ann", [])
    assert (for_all.creator, for_all.schema) == (_defaults.ALL_ROLES, "")
    (given,) = _defaults.read(Catalogue("ann=r/", schema="7"), "shop", EVERYBODY, "boss", ["s"])
    assert given == Default("boss", "s", "TABLES", "ann", frozenset({"SELECT"}))


def test_the_type_of_v26_2_is_read_as_text():
    catalogue = Catalogue("ann=r/")
    _defaults.read(catalogue, "shop", EVERYBODY, "ann", [])
    assert any("defaclacl::text[]" in statement for statement in catalogue.statements)


SHOW = "SHOW DEFAULT PRIVILEGES FOR"
IN_S = ' IN SCHEMA "s"'
OWN = ("ann", "f", "tables", "ann", "ALL", "t")
FROM_BOSS = ("boss", "f", "tables", "ann", "SELECT", "f")
FOR_ALL = (None, "t", "routines", "ann", "EXECUTE", "f")
FROM_SHOW = [
    Default("", "s", "FUNCTIONS", "ann", frozenset({"EXECUTE"})),
    Default("boss", "s", "TABLES", "ann", frozenset({"SELECT"})),
]
NEW = {
    f'{SHOW} ROLE "ann"': [OWN, ("ann", "f", "types", "public", "USAGE", "f")],
    f'{SHOW} ROLE "ann"{IN_S}': [],
    f'{SHOW} GRANTEE "ann"': [OWN],
    f'{SHOW} GRANTEE "ann"{IN_S}': [FROM_BOSS, FOR_ALL],
}
# FOR GRANTEE came with v23.1.11; the columns are fewer there.
OLD = {
    f'{SHOW} ROLE "ann"': [OWN[:5]],
    f'{SHOW} ROLE "ann"{IN_S}': [],
    f'{SHOW} ROLE "ann", "ann""b", "ann.b", "boss"{IN_S}': [FROM_BOSS[:5]],
    f"{SHOW} ALL ROLES{IN_S}": [FOR_ALL[:5]],
}


@pytest.mark.parametrize("shown", [NEW, OLD], ids=["for grantee", "before v23.1.11"])
def test_what_the_catalogue_does_not_show_is_asked_for(shown):
    catalogue = Catalogue(None, shown=shown)
    assert list(_defaults.read(catalogue, "shop", EVERYBODY, "ann", ["s"])) == FROM_SHOW


def test_a_catalogue_that_shows_defaults_of_schemas_is_not_asked_twice():
    catalogue = Catalogue("ann=r/", schema="7")
    _defaults.read(catalogue, "shop", EVERYBODY, "ann", ["s"])
    assert not any("SHOW" in statement for statement in catalogue.statements)


def test_all_stands_for_every_privilege():
    every = Default("boss", "", "TABLES", "ann", frozenset({"ALL"}))
    assert all(every.includes(privilege) for privilege in ALL)


MEMBERS = Roles(
    {str(number): name for number, name in enumerate(["boss", "chief", "admin", "ann", "reader"])},
    frozenset({"boss", "chief", "admin"}),
    frozenset({("boss", "admin"), ("chief", "boss"), ("boss", "reader")}),
    frozenset({("boss", "admin")}),
)


def test_memberships_through_others():
    assert MEMBERS.includes("reader", "chief")
    assert not MEMBERS.includes("ann", "chief")
    assert MEMBERS.may_grant("chief", "admin")
    assert not MEMBERS.may_grant("ann", "admin")
    assert to_borrow(MEMBERS, "chief", ["ann", "reader", "chief", _defaults.ALL_ROLES, "ann"]) == ("ann",)
    assert MEMBERS.id_of("nobody") == "0"


class Lending:
    """Sessions that note the statements; `refused` raises its error."""

    database = "shop"
    user = "boss"

    def __init__(self, **refused):
        self.refused = refused
        self.sent = []

    def run(self, statements, done, *, cleanup=False):
        for statement in statements:
            self.sent.append(statement.shown)
            word = statement.shown.split()[0]
            if word in self.refused:
                raise self.refused[word]
            done.append(statement.shown)


LENT = ['GRANT "ann" TO "boss"', 'REVOKE "ann" FROM "boss"']


def test_a_membership_is_taken_back_also_when_a_statement_fails():
    sessions, done = Lending(), []
    with borrowed(sessions, ["ann"], done):
        pass
    assert sessions.sent == done == LENT
    sessions = Lending()
    with pytest.raises(ZeroDivisionError), borrowed(sessions, ["ann"], []):
        raise ZeroDivisionError
    assert sessions.sent == LENT
    # Nobody knows whether a statement without an answer took effect.
    sessions = Lending(GRANT=_sql.SqlError("no answer", uncertain=True))
    with pytest.raises(_sql.SqlError, match="no answer"), borrowed(sessions, ["ann"], []):
        pass
    assert sessions.sent == LENT


def test_a_membership_that_is_not_taken_back_is_told_with_the_statement_to_run():
    sessions = Lending(REVOKE=_sql.SqlError("the connection is lost"))
    with pytest.raises(OnboardingError) as caught, borrowed(sessions, ["ann"], []):
        raise OnboardingError("The first failure.")
    assert str(caught.value).startswith("The first failure. boss may still be a member of ann. Run REVOKE")
    assert 'Run REVOKE "ann" FROM "boss" by hand: the connection is lost' in str(caught.value)


def test_every_membership_is_taken_back_whatever_becomes_of_the_others():
    sessions = Lending(REVOKE=_sql.SqlError("the connection is lost"))
    with pytest.raises(OnboardingError) as caught, borrowed(sessions, ["ann", "bob"], []):
        pass
    assert sessions.sent[2:] == ['REVOKE "bob" FROM "boss"', 'REVOKE "ann" FROM "boss"']
    for statement in sessions.sent[2:]:
        assert f"Run {statement} by hand: the connection is lost" in str(caught.value)


def test_a_membership_that_was_refused_is_not_taken_back():
    class Refusing(Lending):
        def run(self, statements, done, *, cleanup=False):
            super().run(statements, done, cleanup=cleanup)
            if 'GRANT "bob"' in self.sent[-1] or 'REVOKE "bob"' in self.sent[-1]:
                raise _sql.SqlError("boss lacks the ADMIN OPTION", "42501")

    sessions = Refusing()
    with pytest.raises(_sql.SqlError) as caught, borrowed(sessions, ["ann", "bob"], []):
        pass
    assert sessions.sent == [LENT[0], 'GRANT "bob" TO "boss"', LENT[1]]
    assert str(caught.value) == "boss lacks the ADMIN OPTION"


def test_names_of_roles_are_folded_and_those_of_objects_are_not():
    entries = [{"role": " Reader"}, {"tables": "all", "privileges": "SELECT", "future": True, "creator": "Ann"}]
    ((grant,), names) = _grants.parse(entries, "Shop")
    assert (grant.creator, grant.database, names) == ("ann", "Shop", ("reader",))
    assert _sql.folded("Cafe\u0301") == "caf\u00e9"


class Tables:
    """A server with the table orders, of which ann may read and write, and everybody may read.

    `shown` is its answer to SHOW GRANTS FOR public, None where it has no such statement.
    """

    def __init__(self, shown):
        self.shown = shown

    def query_if_known(self, statement, sql, database=""):
        assert sql == "SHOW GRANTS FOR public"
        return self.shown

    def query(self, sql, database=""):
        if "FROM pg_catalog.pg_namespace" in sql:
            return [("7",)]
        allowed = {"ann": ("SELECT", "UPDATE"), "public": ("SELECT",)}
        asked = re.findall(r"has_table_privilege\('(\w+)', oid, '(\w+)'\)", sql)
        return [("orders", "1", *("t" if privilege in allowed[role] else "f" for role, privilege in asked))]


PUBLIC_MAY_READ = [
    ("shop", None, None, "database", "public", "CONNECT", "f"),
    ("shop", "s", None, "schema", "public", "ALL", "f"),
    ("shop", "s", "orders", "table", "public", "SELECT", "f"),
    ("shop", "s", "orders", "table", "reader", "UPDATE", "f"),
    ("shop", "other", "orders", "table", "public", "UPDATE", "f"),
]


@pytest.mark.parametrize("shown", [None, PUBLIC_MAY_READ], ids=["PostgreSQL", "CockroachDB"])
def test_what_public_has_is_not_a_users_own_also_where_there_is_no_other_user(shown):
    found = _grants.look(Tables(shown), "shop", "s", "tables", _grants.Grantee("ann"), EVERYBODY)
    assert found == {"orders": _grants.Held(frozenset({"SELECT", "UPDATE"}), frozenset({"UPDATE"}))}


def test_nothing_is_taken_from_who_owns_it():
    found = _grants.look(Tables(None), "shop", "s", "tables", _grants.Grantee("ann", members=("boss",)), EVERYBODY)
    assert found["orders"].own == frozenset()


class NoSchema:
    """A server of PostgreSQL with the role ann and one database, whose schema public was dropped."""

    database = "shop"
    user = "boss"

    def query(self, sql, database=""):
        rows = {
            "pg_roles": [("1", "boss", "t"), ("2", "ann", "f")],
            "SELECT datname": [("shop",)],
            "pg_namespace": [("11", "pg_catalog", "1")],
            "SELECT datdba": [("1",)],
        }
        return next((found for word, found in rows.items() if word in sql), [])

    def query_if_known(self, statement, sql, database=""):
        return None


def test_a_user_is_removed_where_a_database_has_no_schema_for_users():
    plan = removal(NoSchema(), "ann", "")
    assert [statement.shown for statement in plan.statements] == [
        'REVOKE ALL ON DATABASE "shop" FROM "ann"',
        'DROP ROLE "ann"',
    ]
