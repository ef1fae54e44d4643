# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lean_workers
type: aggregate
short_description: Keep Ansible's workers from copying the controller's memory
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Ansible forks a worker for every host and task. When Python's collector of garbage runs in one, the worker gets a
    copy of all that the controller keeps of the fleet, and ten workers get ten. With this callback they share it.
  - It prints nothing, changes no result, and works for tasks of every collection. The modules of this collection do the
    same for the tasks that follow them; with the callback it begins with the first task.
  - docs/performance.md of the project has what it saves at 1,000 hosts.
requirements:
  - "Enable it in C(ansible.cfg): C([defaults]) C(callbacks_enabled = crdb.onboard.lean_workers)."
"""

from ansible.plugins.callback import CallbackBase
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import workers as _workers

_workers.keep_lean()


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Nothing: what is above is done when Ansible loads its callbacks, before the first fork."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "crdb.onboard.lean_workers"
    CALLBACK_NEEDS_ENABLED = True
