# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lean workers: the processes that Ansible forks share the memory of the main one.

A worker shares the memory of the main process until it writes to it, and Python's collector writes to every object
that it looks at. So each worker that collects gets a copy of all that the main one keeps of the fleet. Frozen objects
are not looked at (https://docs.python.org/3/library/gc.html#gc.freeze); what a worker makes itself is, as before.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import functools
import gc
import os


@functools.cache
def keep_lean() -> None:
    """Make every process that is forked from now on leave what it is forked with alone; once."""
    os.register_at_fork(after_in_child=gc.freeze)
