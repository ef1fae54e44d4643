#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Say which hosts of the play were updated, and which were not
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Tells the outcome of every host of the play, from what M(crdb.onboard.app_config), M(crdb.onboard.app_service) and
    M(crdb.onboard.check) noted in this run. Hosts that the play did not reach yet are told too.
  - Run it with C(run_once) after each batch of C(serial), and in C(rescue) before the play stops early. Not in
    C(always), after which a failed host does not count for C(max_fail_percentage).
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - There is nothing to differ.
  idempotent:
    support: full
extends_documentation_fragment:
  - crdb.onboard.attributes
options: {}
"""

EXAMPLES = r"""
- name: Roll a change out, and say what became of each host
  hosts: app_servers
  gather_facts: false
  serial: [1, "25%"]
  max_fail_percentage: 0
  tasks:
    - name: Roll out
      block:
        - name: Write the configuration
          ansible.builtin.import_role:
            name: crdb.onboard.crdb_app_config

        - name: Reload what changed
          ansible.builtin.import_role:
            name: crdb.onboard.crdb_app_service
      rescue:
        - name: Say how far it has come
          crdb.onboard.rollout:
          run_once: true
          register: rollout

        - name: Show it
          crdb.onboard.show:
            lines: "{{ rollout.report }}"
          run_once: true

        - name: Stop
          ansible.builtin.fail:
            msg: The rollout stops here.
"""

RETURN = r"""
hosts:
  description:
    - The outcome of every host, and a sentence where one is needed. V(updated), V(unchanged), V(rolled_back) (an app
      did not work with the change, which was taken back), V(refused) (nothing was written), V(failed), V(lost) (no
      answer came) or V(untouched).
  returned: success
  type: dict
  sample:
    app1.example.com:
      outcome: updated
      detail: shop, reports
report:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""
