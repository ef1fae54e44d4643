# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service for the tests: it says which connection its environment gave it, and does not bear every SQL user."""

import os
import signal
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

action, name = sys.argv[1:]
serving = Path("/srv", name, "serving")
if action == "serve":
    url = urlsplit(os.environ["DATABASE_URL"])
    serving.write_text(f"{url.username} {parse_qs(url.query)['sslrootcert'][0]} {os.getpid()}\n")
    signal.pause()
user = serving.read_text().split()[0]
allergy = Path("/etc/demo-app-allergy")
if allergy.exists() and allergy.read_text().strip() == user:
    sys.exit(f"502: {name} does not bear {user}")
