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
  - With O(admin), creates it by SQL through that connection instead, with the rights that O(grants) lists and no
    others. This needs no Cloud API, and works for self-hosted clusters too.
  - Without O(password) one is generated, and kept in O(password_store) before the service gets it, since the API
    never gives a password back. Later runs, and connections with C(cluster), take it from there.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.cloud
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
    description: The password; when empty C(CRDB_SQL_USER_PASSWORD) of the controller's environment, else generated.
    type: str
    default: ""
  password_store:
    description:
      - The file on the controller that keeps the passwords, made with mode 0600, and encrypted when the run has a
        vault secret. Also taken from C(crdb_sql_user_password_store).
    type: str
    default: ""
  password_length:
    description: Characters of a generated password.
    type: int
    default: 32
  update_password:
    description:
      - V(on_create) leaves the password of a user that is there; V(always) sets the one that was given, else the
        stored one, else a generated one; V(new) sets the one that was given, else generates another than the stored
        one.
    type: str
    choices: [on_create, always, new]
    default: on_create
  admin:
    description:
      - The name in C(crdb_connections) of an administrator's connection, by which users are made by SQL. It is made
        from the controller, where its CA and its client certificate have to be.
      - The users are then O(name), or those of the other connections to the same cluster.
      - The SQL that is run, and the catalogue that is read, is what CockroachDB and PostgreSQL both document. A
        password is sent as a SCRAM verifier only, and proved by a login.
    type: str
    default: ""
  grants:
    description:
      - What the user may do, by O(admin). Each is a dictionary of C(privileges) with C(database) (C(CONNECT),
        C(CREATE)); with C(schema) (C(USAGE), C(CREATE)); with C(tables) (C(SELECT), C(INSERT), C(UPDATE),
        C(DELETE)) or with C(sequences) (C(USAGE), C(SELECT), C(UPDATE)), which are V(all) or a list of names. Or it
        is a dictionary of C(role), of which the user becomes a member.
      - C(database) is that of the user's connection, and C(schema) is C(public), when left out.
      - C(future=true) with V(all) gives the same on what will be made by C(creator), or by the administrator.
    type: list
    elements: dict
    default: []
  revoke:
    description:
      - Take what O(grants) does not list, after what it lists was given - in the databases of the user's
        connections and of O(grants), in their schema C(public) and those of O(grants), and memberships, the role
        C(admin) too.
      - What everybody may do, or a role of the user gives, is left.
    type: bool
    default: false
  role:
    description:
      - A role without login that gets O(grants) in place of the user, who becomes a member. It is made when it is
        missing.
      - What the user makes from then on is open to the role, and the role owns it when the user is removed or
        retired.
    type: str
    default: ""
  reassign_to:
    description:
      - Who owns from then on what a user owns that is removed; O(role) when empty. Without either, a user who owns
        anything is not removed.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Have a user whose password nobody has to think of
  crdb.onboard.sql_user:
    clusters: [funky-skunk]
    name: maxroach
    password_store: ~/.config/crdb-onboard/passwords.json

- name: Have a user for an app that may read and write its tables, and nothing else
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
