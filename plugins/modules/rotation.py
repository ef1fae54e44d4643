#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation
short_description: Change the credentials that programs connect with, without locking them out
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - With O(state=begun), gives the idle one of a connection's two C(users) a new password, and creates that user when it
    is missing. Configurations that are written from then on name it. The user in use can still log in.
  - With O(state=finished), after the configurations were rolled out, notes which hosts have them. Once every host of
    the inventory whose apps use the connection has them, the old user's login is disabled. It stays as the idle user
    for the next rotation.
  - The state of a rotation is kept in O(password_store), so the next run continues one that was interrupted.
  - The playbook C(rotate_credentials) does all of it.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.connections
  - crdb.onboard.apps
  - crdb.onboard.cloud
  - crdb.onboard.sql_users
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: Each finished change can be followed by another.
options:
  state:
    description: Whether the rotation begins, or is finished.
    type: str
    choices: [begun, finished]
    required: true
  names:
    description:
      - Names in O(connections) to rotate. The default is those with C(users). Only connections that the host's apps use
        are rotated.
    type: list
    elements: str
    default: []
  single:
    description:
      - Also change the password of a connection in O(names) that has only one C(user). Until a host has the new
        password, its programs cannot log in.
    type: bool
    default: false
  grace:
    description:
      - Seconds to wait between the last host and disabling the old user's login, for programs that re-read their files
        on their own schedule.
    type: float
    default: 0.0
"""

EXAMPLES = r"""
- name: Give the idle user a new password
  crdb.onboard.rotation:
    state: begun
    admin: shop_admin
    role: shop_owner

- name: Disable the old user's login, once all hosts have the new credentials
  crdb.onboard.rotation:
    state: finished
    admin: shop_admin
    role: shop_owner
"""

RETURN = r"""
finished:
  description: Whether no rotation is in progress.
  returned: success
  type: bool
report:
  description: What was done, as lines of text; no password.
  returned: success
  type: list
  elements: str
"""
