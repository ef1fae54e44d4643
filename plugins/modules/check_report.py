#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: check_report
short_description: Report on what the checks of all hosts found, by cause, and write it as HTML, JSON or JUnit XML
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Gathers the results of M(crdb.onboard.check) on all hosts of the run, whatever C(serial) and C(--limit) are, and
    groups the failures by cause.
  - With C(serial) the files are written again after each batch, with all batches so far. Plays of one run that name the
    same files add to one report.
  - Hosts that could not be reached are in the report when the task that checks has C(ignore_unreachable). Hosts that
    dropped out of the play earlier are in it as C(failed_before).
  - Use it with C(run_once). It runs on the controller and contacts no host.
  - The reports contain host names, addresses, user names and what servers answered. They contain no password.
extends_documentation_fragment:
  - crdb.onboard.attributes
attributes:
  check_mode:
    support: full
    details:
      - The lines are returned; no file is written.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A report is the record of a run and no state of a system, so writing one is no change.
options:
  check:
    description:
      - The registered result of M(crdb.onboard.check). The expression is evaluated for every host of the play.
    type: dict
    default: {}
  folder:
    description:
      - Folder on the controller for the files, made when it is not there. Empty for no files.
      - A file there that is no report of this collection is not overwritten.
    type: str
    default: ""
  name:
    description: Name of the files, without the ending.
    type: str
    default: crdb-check
  formats:
    description: Which files to write - C(.html), C(.json), C(.xml) for V(junit), C(.txt) for V(text).
    type: list
    elements: str
    choices: [html, json, junit, text]
    default: [html, json, junit]
seealso:
  - module: crdb.onboard.check
  - module: crdb.onboard.probe
"""

EXAMPLES = r"""
- name: Check the connections from every host
  crdb.onboard.check:
    fail: false
  register: connectivity
  ignore_unreachable: true

- name: Write one report on all of them
  crdb.onboard.check_report:
    check: "{{ connectivity | default({}) }}"
    folder: build/reports
  run_once: true
"""

RETURN = r"""
report:
  description:
    - The lines for a terminal. A table of the endpoints where there are few, else of the stage times; then the causes.
  returned: success
  type: list
  elements: str
ok:
  description: Whether every connection of every host is proved.
  returned: success
  type: bool
hosts_by_status:
  description: How many hosts are C(proved), C(failed), C(unreachable), C(failed_before) and C(not_checked).
  returned: success
  type: dict
  sample:
    proved: 960
    failed: 37
    unreachable: 3
    failed_before: 0
    not_checked: 0
files:
  description: The files that were written, or would be.
  returned: success
  type: list
  elements: str
  sample:
    - /home/ann/reports/crdb-check.html
"""
