# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's self-hosted cluster as its administrator sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import connections
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.passwords import PasswordStore
from ansible_collections.crdb.onboard.plugins.plugin_utils._sql import grants as _grants
from ansible_collections.crdb.onboard.plugins.plugin_utils._users import by_sql as _sql_user
from ansible_collections.crdb.onboard.plugins.plugin_utils._users.decision import Target

from tests.conftest import Sandbox

NAME = "lone-badger"
HARD = "odd \"table' name"
ROLES = ["ann", "bob", "half", "reader", "chief", "shop_a", "shop_b", "solo", "shop_owner", "heir"]


def admin_facts(sandbox: Sandbox) -> dict[str, Any]:
    """The connection of the administrator, who logs in by a certificate."""
    described = json.loads((sandbox.state / "sandbox.json").read_text())["clusters"][NAME]
    cluster = sandbox.clusters[NAME]
    return {
        "deployment": "self_hosted",
        "host": cluster.host,
        "port": cluster.ports["inside"],
        "ca_file": str(cluster.ca_file),
        **described["admin"],
    }


@contextmanager
def administrator(sandbox: Sandbox) -> Iterator[psycopg.Connection[Any]]:
    """An administrator's session and a schema with tables; afterwards it and the roles of the tests are dropped."""
    facts = admin_facts(sandbox)
    certified = {"password": None, "sslcert": facts["sslcert"], "sslkey": facts["sslkey"]}
    with psycopg.connect(
        **sandbox.clusters[NAME].conninfo(user=facts["user"], **certified), autocommit=True
    ) as session:
        _clear(session)
        session.execute("CREATE SCHEMA shop")
        session.execute("CREATE TABLE shop.orders (id serial PRIMARY KEY, what text)")
        session.execute("CREATE TABLE shop.secrets (what text)")
        session.execute(f"CREATE TABLE shop.{quoted(HARD)} (what text)")
        try:
            yield session
        finally:
            session.execute("RESET ROLE")
            _clear(session)


def _clear(session: psycopg.Connection[Any]) -> None:
    session.execute("DROP SCHEMA IF EXISTS shop CASCADE")
    existing = session.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (ROLES,)).fetchall()
    for (name,) in existing:
        session.execute(f"DROP OWNED BY {quoted(name)}")
        # The sandbox keeps CockroachDB's privileges that PostgreSQL does not have in settings of the role.
        session.execute(f"ALTER ROLE {quoted(name)} RESET ALL")
        session.execute(f"ALTER ROLE {quoted(name)} IN DATABASE defaultdb RESET ALL")
    for (name,) in existing:
        session.execute(f"DROP ROLE {quoted(name)}")


def kept_verifier(sandbox: Sandbox, user: str) -> str:
    """What PostgreSQL, behind the sandbox, keeps of a user's password. No administrator of the sandbox can see it."""
    number = list(sandbox.clusters).index(NAME)
    superuser = {"user": "sandbox", "password": json.loads((sandbox.state / "secrets.json").read_text())["sandbox"]}
    engine = {"host": str(sandbox.state / "engine"), "port": 5432 + number, "dbname": "defaultdb"}
    with psycopg.connect(**engine, **superuser) as session:
        row = session.execute("SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = %s", (user,)).fetchone()
    assert row is not None
    return str(row[0])


def quoted(name: str) -> Any:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


class Direct:
    """What the action does for a user, in this process, by the administrator's connection."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.facts = admin_facts(sandbox)
        self.store = PasswordStore(str(folder / "passwords.json"))

    def wanted(self, grants: Any, user: str = "ann", **more: Any) -> Any:
        """The desired user, with grants as an inventory has them."""
        parsed, memberships = _grants.parse(grants, "defaultdb")
        databases = dict.fromkeys(["defaultdb", *(grant.database for grant in parsed)])
        return _sql_user.DesiredUser(user, tuple(databases), parsed, memberships, **more)

    def ensure(
        self, grants: Any, user: str = "ann", *, check: bool = False, password: Any = None, update: str = "on_create",
        timeout: float = 600, **more: Any,
    ) -> Any:  # fmt: skip
        """The outcome; the second time nothing is changed, whatever was asked for."""
        source = connections.source("boss", self.facts)
        secret = _sql_user.Secret(password, self.store, update, 32)
        target = Target("lone", NAME, user)
        return _sql_user.ensure(
            source, target, self.wanted(grants, user, **more), secret, check=check, statement_timeout=timeout
        )

    def settled(self, grants: Any, user: str = "ann", **more: Any) -> Any:
        """The statements, the same in check mode before; afterwards nothing is left to be done."""
        before = self.ensure(grants, user, check=True, **more)
        done = self.ensure(grants, user, **more)
        assert before.statements == done.statements
        for check in (True, False):
            assert not self.ensure(grants, user, check=check, **more).changed
        return done

    def applied(self, grants: Any, user: str = "ann", **more: Any) -> list[str]:
        """The statements; afterwards nothing is left to be done."""
        done = self.ensure(grants, user, **more)
        assert not self.ensure(grants, user, check=True, **more).changed
        return list(done.statements)

    def remove(self, user: str = "ann", *, check: bool = False, **more: Any) -> Any:
        """The outcome of the removal."""
        source = connections.source("boss", self.facts)
        target = Target("lone", NAME, user)
        return _sql_user.remove(source, target, self.wanted([], user, **more), self.store, check=check)

    def password(self, user: str = "ann") -> Any:
        """The stored one."""
        return self.store.get("lone", user)[0]

    def login(self, user: str = "ann", **more: Any) -> psycopg.Connection[Any]:
        """A session of the user."""
        conninfo = self.sandbox.clusters[NAME].conninfo(user=user, password=self.password(user), **more)
        return psycopg.connect(**conninfo)


def allowed(session: psycopg.Connection[Any], statement: Any) -> bool:
    """Whether a statement is allowed; it is rolled back."""
    try:
        session.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    finally:
        session.rollback()
    return True
