#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_user
short_description: Create, change or remove SQL users of CockroachDB Cloud clusters
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Creates the user through the Cloud API, which makes every user an administrator of the cluster, and says so.
  - Without O(password) one is generated, and kept in O(password_store) before the service gets it, since the API never
    gives a password back. Later runs, and connections with C(cluster), take it from there.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Passwords are not shown.
  idempotent:
    support: partial
    details: O(update_password=always) sets the password each time.
options:
  clusters:
    description: Names or ids of the clusters; those of the host's connections when empty.
    type: list
    elements: str
    default: []
  name:
    description: The user; the users of the host's connections when empty.
    type: str
    default: ""
  state:
    description: V(absent) removes the user and its stored password.
    type: str
    choices: [present, absent]
    default: present
  password:
    description: The password; generated when empty.
    type: str
    default: ""
  password_store:
    description:
      - The file on the controller that keeps the passwords, made with mode 0600, and encrypted when the run has a vault
        secret. Also taken from C(crdb_sql_user_password_store).
    type: str
    default: ""
  password_length:
    description: Characters of a generated password.
    type: int
    default: 32
  update_password:
    description: Set the password of a user that is there already, or only of one that is created.
    type: str
    choices: [on_create, always]
    default: on_create
"""

EXAMPLES = r"""
- name: Have a user whose password nobody has to think of
  crdb.onboard.sql_user:
    clusters: [funky-skunk]
    name: maxroach
    password_store: ~/.config/crdb-onboard/passwords.json
"""

RETURN = r"""
users:
  description: What became of each user, with C(cluster), C(user) and C(changed); no password.
  returned: success
  type: list
  elements: dict
report:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""
