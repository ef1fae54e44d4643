#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation
short_description: Change the credentials that programs connect with, without locking them out
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - With O(state=begun), gives the idle one of a connection's two C(users) a new password, makes it when it is
    missing, and lets every configuration that is written from then on name it. The one in use can log in all the
    while.
  - With O(state=finished), once the configurations were rolled out, notes which hosts have them. When all hosts of
    the inventory whose apps use the connection do, nobody can log in as the old user any more, which stays as the
    idle one for the next time.
  - Where it stands is kept in O(password_store), so that a run that ended early is gone on with by the next.
  - The playbook C(rotate_credentials) does all of it.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.cloud
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
    description: Whether the change shall have begun, or be finished.
    type: str
    choices: [begun, finished]
    required: true
  connections:
    description:
      - Names in C(crdb_connections); those with C(users) when empty. Only those that the host's apps use count.
    type: list
    elements: str
    default: []
  single:
    description:
      - Also change the password of the only C(user) of a connection that O(connections) names. From then until a
        host has the new one, its programs cannot log in anew.
    type: bool
    default: false
  grace:
    description:
      - Seconds between the last host and the end of the old user, for programs that read their configuration by
        and by.
    type: float
    default: 0.0
  password_store:
    description: The file on the controller that keeps the passwords; also taken from C(crdb_sql_user_password_store).
    type: str
    default: ""
  password_length:
    description: Characters of the new password.
    type: int
    default: 32
  admin:
    description:
      - The connection of an administrator, by which the users are changed by SQL; the Cloud API does it when
        empty.
    type: str
    default: ""
  grants:
    description: What the users may do, see M(crdb.onboard.sql_user).
    type: list
    elements: dict
    default: []
  revoke:
    description: Take what O(grants) does not list.
    type: bool
    default: false
  role:
    description:
      - The role that gets O(grants), and that owns what either user makes; needed with O(admin) for two users.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Let the idle user be the one that configurations name
  crdb.onboard.rotation:
    state: begun
    admin: shop_admin
    role: shop_owner

- name: Let nobody log in as the old one, once all hosts have the new one
  crdb.onboard.rotation:
    state: finished
    admin: shop_admin
    role: shop_owner
"""

RETURN = r"""
finished:
  description: Whether nothing is under way any more.
  returned: success
  type: bool
report:
  description: What was done, as lines of text; no password.
  returned: success
  type: list
  elements: str
"""
