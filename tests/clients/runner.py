# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run probes: `python -m tests.clients.runner < jobs > results`; a process of its own, which may see other hosts."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.crdb.onboard.plugins.modules import driver_probe


def main() -> None:
    """Run what stands in the JSON of standard input, and print the reports in the same order."""
    jobs = json.load(sys.stdin)
    with ThreadPoolExecutor(4) as pool:
        json.dump(list(pool.map(lambda job: driver_probe._run(job["probe"], job["params"]), jobs)), sys.stdout)


main()
