#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_user
short_description: Create, change or remove SQL users of CockroachDB Cloud clusters
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Creates the user through the Cloud API, which makes every user an administrator of the cluster, and says so.
  - With O(admin), creates it by SQL through that connection instead, with the rights that O(grants) lists and no
    others. This needs no Cloud API, and works for self-hosted clusters too.
  - Without O(password) one is generated, and kept in O(password_store) before the service gets it, since the API
    never gives a password back. Later runs, and connections with C(cluster), take it from there.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.connections
  - crdb.onboard.cloud
  - crdb.onboard.sql_users
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Passwords, and the verifiers that stand for them in SQL, are not shown.
  idempotent:
    support: partial
    details: O(update_password=always) and O(update_password=new) set the password each time.
options:
  clusters:
    description: Names or ids of the clusters. The default is the clusters of O(connections).
    type: list
    elements: str
    default: []
  name:
    description: The SQL user. The default is the users of O(connections).
    type: str
    default: ""
  state:
    description:
      - V(present) creates the user.
      - V(absent) removes the user and the stored password. With O(admin), everything that the user owns or was granted
        is looked up first, and nothing is changed if the user could not be removed in the end.
    type: str
    choices: [present, absent]
    default: present
  password:
    description:
      - The password of a new user. The default is C(CRDB_SQL_USER_PASSWORD) of the controller's environment, else one
        is generated and kept in O(password_store).
    type: str
    default: ""
  update_password:
    description:
      - V(on_create) keeps the password of a user that exists.
      - V(always) sets O(password), else the stored password, else a generated one.
      - V(new) sets O(password), else a generated one that differs from the stored one.
    type: str
    choices: [on_create, always, new]
    default: on_create
  reassign_to:
    description:
      - Who owns what a removed user owned, in every database. The default is O(role). Without either, a user that owns
        anything is not removed.
      - Default privileges do not move to the new owner. Those that the user gave or got are revoked.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Ensure a user exists, with a generated password
  crdb.onboard.sql_user:
    clusters: [funky-skunk]
    name: maxroach
    password_store: ~/.config/crdb-onboard/passwords.json

- name: Ensure a user exists that may read and write the tables of an app, and nothing else
  crdb.onboard.sql_user:
    admin: shop_admin
    name: shop
    password_store: ~/.config/crdb-onboard/passwords.json
    grants:
      - {database: shop, privileges: [CONNECT]}
      - {database: shop, schema: public, privileges: [USAGE]}
      - {database: shop, tables: all, privileges: [SELECT, INSERT, UPDATE, DELETE], future: true}
      - {database: shop, sequences: all, privileges: [USAGE, SELECT], future: true}
    revoke: true
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
