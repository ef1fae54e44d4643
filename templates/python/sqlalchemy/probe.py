# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove the connection of crdb_engine.py: run with the app's interpreter in the folder of the app."""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

import sqlalchemy
from crdb_engine import engine
from sqlalchemy import text

QUERY = text("SELECT current_user, current_database(), CAST(:n AS INT) + 1")


def synchronous():
    """The row and the TLS version, by psycopg2 or psycopg."""
    with engine.connect() as connection:
        row = connection.execute(QUERY, {"n": 41}).one()
        driver = connection.connection.driver_connection
        if hasattr(driver, "pgconn"):
            tls = "TLS" if driver.pgconn.ssl_in_use else ""
        else:
            tls = driver.info.ssl_attribute("protocol") or ""
    engine.dispose()
    return row, tls


async def asynchronous():
    """The row and the TLS version, by asyncpg."""
    async with engine.connect() as connection:
        row = (await connection.execute(QUERY, {"n": 41})).one()
        raw = await connection.get_raw_connection()
        tls = raw.driver_connection._transport.get_extra_info("ssl_object")
    await engine.dispose()
    return row, tls.version() if tls else ""


try:
    found, protocol = asyncio.run(asynchronous()) if hasattr(engine, "sync_engine") else synchronous()
except (sqlalchemy.exc.SQLAlchemyError, OSError) as exc:
    sys.exit(f"sqlalchemy: {str(getattr(exc, 'orig', None) or exc).strip()}")
print(
    json.dumps(
        {
            "version": sqlalchemy.__version__,
            "user": found[0],
            "database": found[1],
            "answer": found[2],
            "tls": protocol,
        }
    )
)
