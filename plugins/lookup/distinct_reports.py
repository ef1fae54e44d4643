# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: distinct_reports
short_description: Show the same report of several hosts once
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Returns what the last task of a module reported for the hosts of this batch. Each text appears once, under the names
    of its hosts. Use it in a task with C(run_once) instead of showing the same text on every host.
  - It reads what the tasks of this run noted. It does not read C(hostvars), which take memory for every host.
options:
  _terms:
    description: The module whose reports to show.
    type: list
    elements: str
    choices: [app_config, ca, connection]
    required: true
"""

EXAMPLES = r"""
- name: Show the connections of all hosts
  ansible.builtin.debug:
    msg: "{{ lookup('crdb.onboard.distinct_reports', 'connection') }}"
  run_once: true
"""

RETURN = r"""
_raw:
  description: One text for each term; without host names when the batch has one host, empty without a report.
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import reports


class LookupModule(LookupBase):
    """The lookup, by its name."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """See Ansible."""
        self.set_options(var_options=variables, direct=kwargs)
        hosts = [str(host) for host in (variables or {}).get("ansible_play_batch", ())]
        return ["\n".join(reports.distinct(str(term), hosts)) for term in terms]
