# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that connects with libpq at a steady rate, by the app's environment file; it ends with its input.

Its arguments are the environment file, and the seconds from one connection to the next. Each connection is a line of
its output: `ok`, the user and how long it took, or `FAILED` and why. This runs on a host, so it needs Python's standard
library and libpq only; a process of `psql` for each connection would cost more than the connection.
"""

import ctypes
import re
import select
import sys
import time

OK = 0
libpq = ctypes.CDLL("libpq.so.5")
libpq.PQconnectdb.restype = libpq.PQexec.restype = ctypes.c_void_p
libpq.PQerrorMessage.restype = libpq.PQgetvalue.restype = ctypes.c_char_p
for name in ("PQstatus", "PQerrorMessage", "PQfinish", "PQclear"):
    getattr(libpq, name).argtypes = [ctypes.c_void_p]
libpq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
libpq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
with open(sys.argv[1]) as file:  # noqa: PTH123 - as short as it can be
    url = re.search(r'DATABASE_URL="([^"]*)"', file.read())[1]
every = float(sys.argv[2])


def connect():
    """Connect once: libpq reads the certificate, and then the key, for every connection."""
    began = time.monotonic()
    connection = libpq.PQconnectdb(f"{url}&connect_timeout=30".encode())
    try:
        if libpq.PQstatus(connection) != OK:
            return f"FAILED {libpq.PQerrorMessage(connection).decode(errors='replace')}"
        result = libpq.PQexec(connection, b"SELECT current_user")
        user = (libpq.PQgetvalue(result, 0, 0) or libpq.PQerrorMessage(connection)).decode(errors="replace")
        libpq.PQclear(result)
        return f"ok {user} {time.monotonic() - began:.3f}"
    finally:
        libpq.PQfinish(connection)


turn = time.monotonic()
while not select.select([sys.stdin], [], [], max(0.0, turn - time.monotonic()))[0]:
    print(f"{time.time():.3f}", " ".join(connect().split()), flush=True)
    turn += every
