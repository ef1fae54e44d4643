# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove the connection of crdb_settings.py: run with the app's interpreter in the folder of the app."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

import django
from crdb_settings import DATABASES
from django.conf import settings
from django.db import Error, connection

# django-cockroachdb would record the use of its features on the cluster: not the business of a probe.
settings.configure(DATABASES=DATABASES, DISABLE_COCKROACHDB_TELEMETRY=True)
django.setup()

try:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_database(), %s::INT + 1", [41])
        user, database, answer = cursor.fetchone()
    driver = connection.connection
    parameters = driver.info.dsn_parameters
    result = {
        "framework": "django",
        "version": django.get_version(),
        "user": user,
        "database": database,
        "answer": answer,
        "tls": driver.info.ssl_attribute("protocol") or "",
        "sslmode": parameters.get("sslmode", ""),
        "options": parameters.get("options", ""),
        "dbname": parameters.get("dbname", ""),
    }
    connection.close()
except Error as exc:
    sys.exit(f"django: {str(exc).strip()}")
print(json.dumps(result))
