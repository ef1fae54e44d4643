# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
notes:
  - Takes the connections and the apps from the inventory's variables C(crdb_connections) and C(crdb_apps), or from the
    shorthand C(crdb_connection_*), C(crdb_app_*) and C(crdb_frameworks); see the role
    P(crdb.onboard.crdb_connection#role).
  - When no connection is given, C(COCKROACH_URL) or C(DATABASE_URL) of the controller's environment is taken;
    C(PGPASSWORD) gives a password that the connection lacks.
  - A password belongs in a lookup, in a vault or behind C(!unsafe); C({{) in a plain value is evaluated by Ansible.
"""
