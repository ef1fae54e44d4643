# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that connects ten times a second with libpq, by the app's environment file; it ends with its input.

Its argument is the environment file. Each connection is a line of its output: `ok`, the user and the serial number of
the certificate in use, or `FAILED` and why. This runs on a host, so it needs Python's standard library and psql only.
"""

import os
import re
import select
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

EVERY = 0.1
with open(sys.argv[1]) as file:  # noqa: PTH123 - as short as it can be
    url = re.search(r'DATABASE_URL="([^"]*)"', file.read())[1]


def connect():
    """Connect once, as a new process of psql does, which reads the certificate and then the key."""
    done = subprocess.run(
        ["psql", "-XAtq", "-d", url, "-c", "SELECT current_user"], capture_output=True, text=True, timeout=60,
        check=False,
        env={**os.environ, "PGCONNECT_TIMEOUT": "30"},
    )  # fmt: skip
    text = " ".join((done.stdout + done.stderr).split())
    print(f"{time.time():.3f} {'ok' if done.returncode == 0 else 'FAILED'} {text}", flush=True)


turn = time.monotonic()
with ThreadPoolExecutor(8) as pool:
    while not select.select([sys.stdin], [], [], max(0.0, turn - time.monotonic()))[0]:
        pool.submit(connect)
        turn += EVERY
    pool.shutdown(cancel_futures=True)
