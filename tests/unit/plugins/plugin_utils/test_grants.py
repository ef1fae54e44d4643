# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Grants as they are written, names as they are quoted, default privileges as both servers print them."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import grants as _grants
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import session as _sql
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql.grants import Future, Grant

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


@pytest.mark.parametrize(("acl", "grantee", "expected"), ACLS)
def test_default_privileges_are_read(acl, grantee, expected):
    class Sessions:
        def query(self, sql, database):
            return [("boss", None, "r", acl), ("boss", "s", "f", "ann=X/boss")]

    found = _grants.futures(Sessions(), "shop", grantee)
    assert found == (() if expected is None else (Future("boss", "", "tables", frozenset(expected)),))
