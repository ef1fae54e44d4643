# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox's self-hosted cluster as its administrator sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.conftest import Sandbox

NAME = "lone-badger"
HARD = "odd \"table' name"
ROLES = ["ann", "bob", "half", "reader", "chief", "shop_a", "shop_b", "solo", "shop_owner"]


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
        session.execute("CREATE SCHEMA shop")
        session.execute("CREATE TABLE shop.orders (id serial PRIMARY KEY, what text)")
        session.execute("CREATE TABLE shop.secrets (what text)")
        session.execute(f"CREATE TABLE shop.{quoted(HARD)} (what text)")
        try:
            yield session
        finally:
            session.execute("DROP SCHEMA shop CASCADE")
            existing = session.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (ROLES,)).fetchall()
            for (name,) in existing:
                session.execute(f"DROP OWNED BY {quoted(name)}")
            for (name,) in existing:
                session.execute(f"DROP ROLE {quoted(name)}")


def quoted(name: str) -> Any:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'
