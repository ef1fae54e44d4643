# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report_last
type: aggregate
short_description: Show the report on a fleet after the recap
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Ansible ends a run with a line for each host. With this callback, the report of the role C(crdb_check) on several
    hosts comes after these lines, where one sees it. Without it, the report comes before them.
  - It prints what M(crdb.onboard.show) was told to show last, and nothing else.
requirements:
  - "Enable it in C(ansible.cfg): C([defaults]) C(callbacks_enabled = crdb.onboard.report_last)."
"""

from ansible.plugins.callback import CallbackBase
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import screen


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Display the lines that wait for the end of the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = screen.LAST_CALLBACK
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_stats(self, stats: object) -> None:
        """Show the lines; the stdout callback has printed the recap."""
        screen.show_last()
