#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: summary
short_description: Sum up an onboarding - what was written, who is proved, what to do next
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Makes a short report of the results that other tasks registered. It fits on a screen with the report of the check.
  - The files are counted by folder. With C(-v), every file is listed.
  - It runs on the controller and contacts no host.
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
  written:
    description: The registered results of M(crdb.onboard.ca) and M(crdb.onboard.app_config).
    type: list
    elements: dict
    default: []
  check:
    description: The registered result of M(crdb.onboard.check).
    type: dict
    default: {}
  sql_shell:
    description: Whether C(crdb-sql) is installed, so that its command is shown.
    type: bool
    default: false
  playbooks:
    description: Whether to show the commands that check again and that remove what was written.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Write the configuration
  crdb.onboard.app_config:
    connections: "{{ connections }}"
    apps: "{{ apps }}"
  register: config

- name: Sum up
  crdb.onboard.summary:
    written:
      - "{{ config }}"
  register: summary

- name: Show what was done
  crdb.onboard.show:
    lines: "{{ summary.report }}"
"""

RETURN = r"""
report:
  description: The lines.
  returned: success
  type: list
  elements: str
"""
