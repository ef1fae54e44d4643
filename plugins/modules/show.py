#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Show the lines of a report, whatever callback prints the results
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Displays text as lines. The default configuration of Ansible prints results as JSON, where a text of several lines
    is one line with C(\\n) in it.
  - When the run prints for programs (the callbacks C(ansible.posix.json), C(ansible.posix.jsonl) and the like), the
    lines are in the result instead.
  - With several hosts, the lines come under the name of the host, unless the task has C(run_once).
  - Under a strategy such as C(free), which ignores C(run_once), the same lines are shown once.
extends_documentation_fragment:
  - crdb.onboard.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - Nothing is changed.
  idempotent:
    support: full
options:
  lines:
    description: The lines. With none, nothing is shown.
    type: list
    elements: str
    default: []
  subject:
    description:
      - Show what the last task of this module reported for the hosts of this batch. Each text appears once, under the
        names of its hosts.
      - It reads what the tasks of this run noted, and no C(hostvars), which take memory for every host. Use it with
        C(run_once).
    type: str
    choices: ["", app_config, ca, client_cert, connection]
    default: ""
  last:
    description:
      - With several hosts, show the lines after the recap of the run, when the callback
        P(crdb.onboard.report_last#callback) is enabled. Lines of a later task replace them.
    type: bool
    default: false
  fail:
    description:
      - Fail the task with O(lines) as its message. The message is printed once, without the position in the playbook.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the connections
  crdb.onboard.check:
    connections: "{{ connections }}"
    fail: false
  register: check

- name: Show the report
  crdb.onboard.show:
    lines: "{{ check.report }}"

- name: Show the connections of all hosts
  crdb.onboard.show:
    subject: connection
  run_once: true
"""

RETURN = r"""
msg:
  description: The lines, when they are not displayed.
  returned: when the run prints for programs, and when O(fail) is set
  type: raw
"""
