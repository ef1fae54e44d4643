# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is decided about a SQL user and its password, and that both ways to create it lose no password."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.user import UserAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import (
    CloudError,
    ExistsError,
    NotFoundError,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.session import HIDDEN, Statement
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_api as _by_api
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.by_sql import (
    Outcome,
    SqlAccounts,
    UserPlan,
    password_statement,
    retirement,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.decision import (
    ALWAYS,
    CREATE,
    NEW,
    NOTHING,
    ON_CREATE,
    SET,
    Passwords,
    Target,
    decide,
    name_notes,
    user_name,
)

TARGET = Target("id", "shop", "ann")
NEITHER = Passwords()
GIVEN = Passwords("given")
EMPTY_STORE = Passwords(has_store=True)
STORED = Passwords(None, "stored", has_store=True)
PENDING = Passwords(None, "stored", pending=True, has_store=True)
BOTH = Passwords("given", "stored", has_store=True)


@pytest.mark.parametrize(
    ("exists", "passwords", "update", "expected"),
    [
        (False, GIVEN, ON_CREATE, CREATE),
        (False, EMPTY_STORE, ON_CREATE, CREATE),
        (False, STORED, NEW, CREATE),
        (True, NEITHER, ON_CREATE, NOTHING),
        (True, GIVEN, ON_CREATE, NOTHING),
        (True, STORED, ON_CREATE, NOTHING),
        (True, BOTH, ON_CREATE, NOTHING),
        (True, PENDING, ON_CREATE, SET),
        (True, STORED, ALWAYS, SET),
        (True, GIVEN, NEW, SET),
        (True, EMPTY_STORE, NEW, SET),
    ],
)
def test_decide(exists, passwords, update, expected):
    assert decide(exists, passwords, TARGET, update) == expected


@pytest.mark.parametrize(
    ("exists", "passwords", "update", "message"),
    [
        (
            False,
            NEITHER,
            ON_CREATE,
            "ann of shop needs a password. Set password (crdb_sql_user_password), or set password_store",
        ),
        (
            True,
            NEITHER,
            ALWAYS,
            "There is no new password for the SQL user ann. Set password (crdb_sql_user_password) or",
        ),
        (True, EMPTY_STORE, ON_CREATE, "exists, but its password is not in the store and cannot be read back."),
    ],
)
def test_a_password_that_nobody_would_know(exists, passwords, update, message):
    with pytest.raises(OnboardingError) as caught:
        decide(exists, passwords, TARGET, update)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("passwords", "update", "expected"),
    [
        (BOTH, ALWAYS, "given"),
        (STORED, ALWAYS, "stored"),
        (PENDING, NEW, "stored"),
        (STORED, NEW, None),
        (EMPTY_STORE, ON_CREATE, None),
    ],
)
def test_the_password_to_set(passwords, update, expected):
    password = passwords.to_set(update, 24)
    if expected is None:
        assert len(password) == 24
        assert password != "stored"
    else:
        assert password == expected


def test_a_given_password_that_is_not_the_stored_one():
    assert BOTH.differs(ON_CREATE)
    assert not BOTH.differs(ALWAYS)
    assert not Passwords("same", "same", has_store=True).differs(ON_CREATE)
    assert not GIVEN.differs(ON_CREATE)
    assert not STORED.differs(ON_CREATE)


def test_no_password_is_in_a_representation():
    assert "given" not in repr(BOTH).replace("given=", "")
    assert "'stored'" not in repr(BOTH)


def test_names():
    assert user_name("MaxRoach_1.x-y") == "maxroach_1.x-y"
    for wrong in ("", "-a", "a b", "a" * 64, "\u00e4"):
        with pytest.raises(OnboardingError, match="must have 1 to 63 letters"):
            user_name(wrong)
    for reserved in ("root", "Admin", "pg_x", "crdb_internal_x"):
        with pytest.raises(OnboardingError, match="is reserved by CockroachDB"):
            user_name(reserved)


@pytest.mark.parametrize("name", ["shop-app", "1st", ".x"])
def test_a_name_that_the_documentation_does_not_list_is_noted(name):
    (note,) = name_notes(name)
    assert f"{name} works, but must be in double quotes" in note
    assert name_notes("shop_app.1") == []


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_timeout_of_no_time_is_refused(seconds):
    with pytest.raises(OnboardingError, match=r"crdb_sql_user_statement_timeout\): must be at least 1 second, not"):
        UserAction.statement_timeout({"statement_timeout": seconds})
    assert UserAction.statement_timeout({"statement_timeout": 30}) == 30


class MemoryStore:
    """A password store in memory, which logs what is put into it."""

    def __init__(self, password=None, *, pending=False):
        self.entry = (password, pending)
        self.log = []

    def get(self, cluster, user):
        return self.entry

    def put(self, cluster, name, user, password, *, pending):
        self.entry = (password, pending)
        self.log.append(("store", pending))

    def remove(self, cluster, user):
        self.entry = (None, False)
        self.log.append(("store", "removed"))


class MemoryAccounts:
    """The users of a cluster in memory; `errors` are raised in turn by the changes."""

    def __init__(self, log, *users, errors=()):
        self.names = list(users)
        self.log = log
        self.errors = list(errors)
        self.password = None

    def _change(self, verb):
        self.log.append(verb)
        if self.errors:
            raise self.errors.pop(0)

    def users(self, cluster):
        return self.names

    def create_user(self, cluster, name, password):
        self._change("create")
        self.password = password

    def set_password(self, cluster, name, password):
        self._change("set")
        self.password = password

    def remove_user(self, cluster, name):
        self._change("remove")


def error(kind=CloudError, **more):
    return kind("POST", "/sql-users", "it failed", **more)


def ensure(accounts, store, given=None, update=ON_CREATE, *, check=False):
    return _by_api.ensure(accounts, TARGET, given, store, update, 32, check=check)


def test_a_password_is_stored_before_the_service_has_it():
    store = MemoryStore()
    accounts = MemoryAccounts(store.log)
    assert ensure(accounts, store, check=True) == CREATE
    assert store.log == []
    assert ensure(accounts, store) == CREATE
    assert store.log == [("store", True), "create", ("store", False)]
    assert store.entry == (accounts.password, False)


@pytest.mark.parametrize(
    ("users", "stored_meanwhile", "lost"), [((), "", False), (("ann",), "", True), (("ann",), "one", False)]
)
def test_a_password_is_lost_only_when_no_other_host_just_stored_it(users, stored_meanwhile, lost):
    store = MemoryStore()
    accounts = MemoryAccounts([], *users)
    listed = accounts.users

    def users_of(cluster):
        if stored_meanwhile:
            store.put(TARGET.cluster, "", TARGET.user, stored_meanwhile, pending=True)
        return listed(cluster)

    accounts.users = users_of
    assert _by_api.is_lost(accounts, TARGET, store) is lost


def test_a_run_that_ended_in_between_is_repaired_by_the_next():
    store = MemoryStore()
    with pytest.raises(CloudError):
        ensure(MemoryAccounts(store.log, errors=[error()]), store)
    password, pending = store.entry
    assert pending
    accounts = MemoryAccounts(store.log, "ANN")
    assert ensure(accounts, store, update=NEW) == SET
    assert (accounts.password, store.entry) == (password, (password, False))


@pytest.mark.parametrize(
    ("errors", "log"),
    [
        ([error(uncertain=True)], ["create", "create"]),
        ([error(uncertain=True), error(ExistsError)], ["create", "create", "set"]),
        ([error(ExistsError)], ["create", "set"]),
    ],
    ids=["lost", "lost but made", "taken"],
)
def test_a_user_whose_response_is_lost_still_gets_its_password(errors, log):
    accounts = MemoryAccounts([], errors=errors)
    assert ensure(accounts, None, "given") == CREATE
    assert accounts.log == log
    assert accounts.password == "given"


@pytest.mark.parametrize(
    ("users", "stored", "errors", "changed", "log"),
    [
        (["ann"], "x", [], True, ["remove", ("store", "removed")]),
        (["ann"], "x", [error(NotFoundError)], True, ["remove", ("store", "removed")]),
        (["ann"], None, [error(uncertain=True)], True, ["remove", "remove"]),
        ([], "x", [], True, [("store", "removed")]),
        ([], None, [], False, []),
    ],
)
def test_removal(users, stored, errors, changed, log):
    store = MemoryStore(stored)
    accounts = MemoryAccounts(store.log, *users, errors=errors)
    assert _by_api.remove(accounts, TARGET, store, check=True) is changed
    assert store.log == []
    assert _by_api.remove(accounts, TARGET, store, check=False) is changed
    assert store.log == log


class ScriptedSessions:
    """The sessions of an administrator; `existing` are the roles that there are."""

    database = "shop"
    user = "boss"

    def __init__(self, *existing):
        self.existing = existing
        self.statements = []

    def query(self, sql, database=""):
        return [(name, name, "f") for name in self.existing] if "rolsuper" in sql else []

    def run(self, statements, done):
        for statement in statements:
            self.statements.append(statement)
            done.append(statement.shown)


def test_by_sql_the_same_decisions_become_statements():
    for existing, update, verb in ((), ON_CREATE, "CREATE"), (("ann",), ALWAYS, "ALTER"):
        sessions = ScriptedSessions(*existing)
        store = MemoryStore("stored")
        assert ensure(SqlAccounts(sessions, "ann"), store, update=update) in (CREATE, SET)
        (statement,) = sessions.statements
        assert statement.shown == f'{verb} ROLE "ann" WITH LOGIN PASSWORD {HIDDEN}'
        assert "stored" not in repr(statement)
        assert store.log == [("store", True), ("store", False)]


def test_statements():
    assert password_statement("shop", 'a"b', "secret", create=False).shown.startswith('ALTER ROLE "a""b" WITH LOGIN')
    assert "SCRAM-SHA-256" in password_statement("shop", "ann", "secret", create=True).sql
    assert retirement("shop", "ann").sql == 'ALTER ROLE "ann" WITH NOLOGIN PASSWORD NULL'
    one, two, three, four = (Statement("shop", text) for text in ("1", "2", "3", "4"))
    assert UserPlan("boss", "shop", [one], [two], [three], [four]).statements == [one, two, three, four]
    lent = UserPlan("boss", "shop", [one], [two], [three], [four], {"b", "a"})
    assert [statement.shown for statement in lent.statements] == [
        "1", 'GRANT "a" TO "boss"', 'GRANT "b" TO "boss"', "2", "3", "4", 'REVOKE "b" FROM "boss"',
        'REVOKE "a" FROM "boss"',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("did", "statements", "changed"),
    [("", [], False), ("gone", [], False), ("create", [], True), ("remove", [], True), ("", ["GRANT"], True)],
)
def test_an_outcome_that_changed_something(did, statements, changed):
    assert Outcome(did, statements, []).changed is changed
