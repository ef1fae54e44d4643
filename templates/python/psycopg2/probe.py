# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove the connection that crdb_database.py makes: run with the app's interpreter in the folder of the app."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

import psycopg2
from crdb_database import connect

try:
    connection = connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_database(), %s::INT + 1", (41,))
        user, database, answer = cursor.fetchone()
    parameters = connection.info.dsn_parameters
    result = {
        "framework": "psycopg2",
        "version": psycopg2.__version__.split()[0],
        "user": user,
        "database": database,
        "answer": answer,
        "tls": connection.info.ssl_attribute("protocol") or "",
        "sslmode": parameters.get("sslmode", ""),
        "options": parameters.get("options", ""),
        "dbname": parameters.get("dbname", ""),
    }
    connection.close()
except psycopg2.Error as exc:
    sys.exit(f"psycopg2: {str(exc).strip()}")
print(json.dumps(result))
