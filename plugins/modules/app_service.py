#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_service
short_description: Reload the apps whose configuration changed, and roll back when one does not work with it
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Reloads the apps whose change M(crdb.onboard.app_config) left unconfirmed, in this run or in one that was killed,
    one after the other. It then runs each app's health command. When that succeeds, the change is confirmed.
  - When the reload fails, or the health command does not succeed after its retries, the old files are restored, the
    app is reloaded with them and its health is asked again. The task fails. The apps after it, which were not reloaded
    yet, get their old files back too. Those before it stay updated.
  - All of it is one call, which continues when the controller is gone. While it runs, no other run writes files of
    these apps' users.
  - An app whose files another run changed meanwhile is left to that run, and the task fails.
  - When nothing has to be confirmed, the host is not called. C(systemctl daemon-reload) runs before a reload when the
    drop-in of the app's unit has changed.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.connections
  - crdb.onboard.apps
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
    details:
      - No command runs in check mode.
  diff_mode:
    support: none
    details:
      - M(crdb.onboard.app_config) shows the files.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) reloads what is not confirmed yet.
      - V(absent) tells systemd about drop-ins that were removed. The services keep running as they are.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Write the configuration of every app, proved, with its CA
  crdb.onboard.app_config:
    ca: true
    prove: true
    confirm: true

- name: Reload the apps whose configuration changed, or take it back
  crdb.onboard.app_service:
"""

RETURN = r"""
apps:
  description: What became of each app that waited, by its name.
  returned: when the commands were run
  type: dict
  sample:
    shop:
      outcome: rolled_back
      detail: "its health command ended with 1: connection refused. It works again with its old configuration."
      kept: []
report:
  description: The same as lines of text.
  returned: when the commands were run
  type: list
  elements: str
"""
