# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: distinct_reports
short_description: Show once what several hosts report alike
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Gathers the lines that a task registered on many hosts, and gives each text once, under the names of its hosts. For
    a task with C(run_once), in place of one that every host runs to show the same.
options:
  _input:
    description: The hosts, such as C(ansible_play_batch). One without such lines has nothing to show.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable of this name.
    type: dict
    required: true
  variable:
    description: The name that the task registered its result by.
    type: str
    required: true
  key:
    description: The key of the result that holds the lines.
    type: str
    default: report
positional: hostvars, variable, key
"""

EXAMPLES = r"""
- name: Show the connections of all hosts
  ansible.builtin.debug:
    msg: "{{ ansible_play_batch | crdb.onboard.distinct_reports(hostvars, 'crdb_connection_result') | join('\n') }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The lines; those of all hosts alike without a name, when it is one host.
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES_SHOWN = 5


def _title(hosts: Sequence[str]) -> str:
    rest = len(hosts) - _NAMES_SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return f"{', '.join(hosts[:_NAMES_SHOWN])}{more}:"


def distinct_reports(
    hosts: Sequence[str], hostvars: Mapping[str, Any], variable: str, key: str = "report"
) -> list[str]:
    """The lines of the hosts' results, those of hosts that report alike once."""
    by_lines: dict[tuple[str, ...], list[str]] = {}
    for host in hosts:
        result = hostvars[host].get(variable) or {}
        lines = tuple(map(str, result.get(key) or ()))
        if lines:
            by_lines.setdefault(lines, []).append(str(host))
    if len(hosts) == 1:
        return [line for lines in by_lines for line in lines]
    return [
        text
        for lines, names in by_lines.items()
        for text in (_title(names), *(f"  {line}" if line else "" for line in lines))
    ]


class FilterModule:
    """The filter, by its name."""

    def filters(self) -> dict[str, Any]:
        """See Ansible."""
        return {"distinct_reports": distinct_reports}
