# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that connects ten times a second, by the module that was rendered for it, with what it loaded last.

Its argument is the app's folder, where `program.pid` has its process id and `connections.log` gets a line a connection.
SIGHUP makes it load its configuration again, SIGTERM ends it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))

import crdb_database  # noqa: E402 - rendered there

EVERY = 0.1


def connect(log):
    """Connect, and note as whom."""
    try:
        connection = crdb_database.connect(connect_timeout=30)
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO shop.ticks VALUES (current_user) RETURNING who")
            (who,) = cursor.fetchone()
        connection.close()
        log.write(f"{time.time():.3f} ok {who}\n")
    except Exception as exc:
        log.write(f"{time.time():.3f} FAILED {' '.join(str(exc).split())}\n")


def load():
    """Take what the files say now."""
    os.environ.pop("DATABASE_URL", None)
    os.environ["DATABASE_URL"] = crdb_database.database_url()


ended, changed = [], []
signal.signal(signal.SIGTERM, lambda _number, _frame: ended.append(True))
signal.signal(signal.SIGHUP, lambda _number, _frame: changed.append(True))
load()
(folder / "program.pid").write_text(f"{os.getpid()}\n")
turn = time.monotonic()
with (folder / "connections.log").open("a", buffering=1) as log, ThreadPoolExecutor(8) as pool:
    while not ended:
        if changed:
            changed.clear()
            load()
        # Ten a second, however long each takes.
        pool.submit(connect, log)
        turn += EVERY
        time.sleep(max(0.0, turn - time.monotonic()))
    # Those that this machine was too slow to begin.
    pool.shutdown(cancel_futures=True)
