# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes what acceptance runs made, by the prefix of their names, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from tests.acceptance.api import Answer, segment
from tests.acceptance.names import belongs
from tests.acceptance.run import CheckError
from tests.acceptance.target import Target

_GONE = (200, 404)


def leftovers(target: Target, run: str = "") -> list[str]:
    """What acceptance runs made and is still there, each with its kind, in the order in which it can be removed.

    Args:
        run: of this run only, if its id is given.

    Raises ValueError or psycopg.Error where that cannot be read.
    """
    if target.api is None:
        return [f"{kind} {name}" for kind, name in _by_sql(target, run)]
    databases = [f"database {name}" for name in target.databases() if belongs(name, run)]
    users = target.api.items(target.path("sql-users"), "users")
    entries = target.api.items(target.path("networking/allowlist"), "allowlist")
    return [
        *databases,
        *(f"user {user['name']}" for user in users if belongs(str(user["name"]), run)),
        *(f"entry {e['cidr_ip']}/{e['cidr_mask']}" for e in entries if belongs(str(e.get("name") or ""), run)),
    ]


Session = psycopg.Connection[tuple[Any, ...]]


def sweep(
    target: Target,
    run: str = "",
    say: Callable[[str], None] = lambda line: None,
    administrator: Callable[[], Session] | None = None,
) -> list[str]:
    """Remove what acceptance runs made. What could not be removed, each with the reason.

    Args:
        run: of this run only, if its id is given.
        say: is told of each thing that is removed.
        administrator: opens a session of the run's administrator; for a cluster of the Cloud, whose API may not list
            users that were made by SQL.
    """
    failed = []
    for item in leftovers(target, run):
        if administrator is not None and item.startswith("user "):
            _drop_roles(administrator, run)
            administrator = None
        try:
            reason = _remove(target, item)
        except psycopg.Error as error:
            reason = str(error).strip()
        if reason:
            failed.append(f"{item}: {reason}")
        else:
            say(f"removed {item}")
    return failed


def _drop_roles(administrator: Callable[[], Session], run: str) -> None:
    """Drop the roles that the run made by SQL. What stays is still among what the API lists, or was never there."""
    # Its password is not known when the run ended before it was made.
    with contextlib.suppress(psycopg.Error, CheckError, OSError), administrator() as session:
        rows = session.execute("SELECT rolname FROM pg_roles WHERE rolname <> current_user").fetchall()
        for name in (str(row[0]) for row in rows):
            if belongs(name, run):
                with contextlib.suppress(psycopg.Error):
                    session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def _remove(target: Target, item: str) -> str:
    """Remove one thing; why it could not be removed, or nothing."""
    kind, _space, name = item.partition(" ")
    if target.api is None:
        _remove_by_sql(target, kind, name)
        return ""
    paths = {
        "database": f"databases/{segment(name)}",
        "user": f"sql-users/{segment(name)}",
        "entry": f"networking/allowlist/{name}",
    }
    answer: Answer = target.api.ask("DELETE", target.path(paths[kind]))
    return "" if answer.status in _GONE else str(answer)


def _by_sql(target: Target, run: str) -> list[tuple[str, str]]:
    with target.connect() as session:
        databases = [str(row[0]) for row in session.execute("SELECT datname FROM pg_database")]
        roles = [str(row[0]) for row in session.execute("SELECT rolname FROM pg_roles")]
    found = [("database", name) for name in databases if belongs(name, run)]
    return [*found, *(("role", name) for name in sorted(roles) if belongs(name, run))]


def _remove_by_sql(target: Target, kind: str, name: str) -> None:
    named = sql.Identifier(name)
    with target.connect(database="defaultdb") as session:
        drop = sql.SQL("DROP ROLE {}").format(named)
        if kind == "role":
            try:
                session.execute(drop)
            except psycopg.errors.DependentObjectsStillExist:
                # It was given something in this database, which nobody else owns.
                session.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(named))
                session.execute(sql.SQL("DROP OWNED BY {}").format(named))
                session.execute(drop)
            return
        try:
            session.execute(sql.SQL("DROP DATABASE {} CASCADE").format(named))
        except psycopg.errors.SyntaxError:
            # The sandbox's PostgreSQL.
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(named))
