# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lean_workers
type: aggregate
short_description: Keep Ansible's workers from copying the controller's memory
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Ansible forks a worker process for every host and task. When Python's garbage collector runs in a worker, the worker
    copies everything that the controller keeps about the fleet. With this callback the workers share that memory.
  - It prints nothing, changes no result, and works for the tasks of every collection.
  - docs/performance.md of the project shows how much memory it saves with 1,000 hosts.
requirements:
  - "Enable it in C(ansible.cfg): C([defaults]) C(callbacks_enabled = crdb.onboard.lean_workers)."
"""

import gc
import os

from ansible.plugins.callback import CallbackBase

# The collector writes to each object that it visits, which copies the object's page. It does not visit frozen objects
# (https://docs.python.org/3/library/gc.html#gc.freeze); what a worker creates itself is collected as usual.
os.register_at_fork(after_in_child=gc.freeze)


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Ansible loads its callbacks before the first fork; loading this one is all that is needed."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "crdb.onboard.lean_workers"
    CALLBACK_NEEDS_ENABLED = True
