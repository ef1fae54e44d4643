# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  password_length:
    description: Number of characters of a generated password.
    type: int
    default: 32
  admin:
    description:
      - Name in O(connections) of an administrator's connection. Users are then created and changed by SQL, else by the
        Cloud API.
      - With M(crdb.onboard.sql_user), an administrator whose connection has C(cluster) and whose password nothing gives
        is created through the Cloud API first, with a generated password that is kept in the password store.
      - The controller makes this connection, so its CA and its client certificate must be on the controller.
      - A password is sent as a SCRAM verifier only, and proved by a login.
      - To change the default privileges of another creator, it becomes a member of that role for the moment, and
        stops being one afterwards, also when a statement fails.
    type: str
    default: ""
  grants:
    description:
      - What the user may do. Needs O(admin). Each is a dictionary of C(privileges) with C(database) (C(CONNECT),
        C(CREATE)); with C(schema) (C(USAGE), C(CREATE)); with C(tables) (C(SELECT), C(INSERT), C(UPDATE), C(DELETE))
        or with C(sequences) (C(USAGE), C(SELECT), C(UPDATE)), which are V(all) or a list of names. Or it is a
        dictionary of C(role), which the user becomes a member of.
      - The default of C(database) is that of the user's connection, the default of C(schema) is C(public).
      - C(future=true) with V(all) grants the same on objects that C(creator), or the administrator, creates later.
      - Names of users and roles are taken in lower case, as CockroachDB stores them.
    type: list
    elements: dict
    default: []
  revoke:
    description:
      - Revoke what O(grants) does not list, after granting what it lists. This covers the databases of the user's
        connections and of O(grants), their schema C(public) and the schemas of O(grants), and memberships, the role
        C(admin) too.
      - Rights from PUBLIC or from a role are not revoked.
    type: bool
    default: false
  statement_timeout:
    description:
      - Seconds that the administrator waits for each SQL statement. CockroachDB's changes of roles and privileges wait
        for leases and long transactions, which can take minutes.
      - A statement that is not answered in time may have taken effect. The next run looks, and does not repeat it.
    type: int
    default: 600
  role:
    description:
      - A role without login that gets O(grants) instead of the user, who becomes a member. It is created when it is
        missing.
      - The role can use what the user creates from then on, and owns it when the user is removed or retired.
    type: str
    default: ""
"""
