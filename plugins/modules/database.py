#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database
short_description: Create or remove a database of a CockroachDB Cloud cluster
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Creates an empty database, or removes one. One that has tables is removed with O(force) only.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  cluster:
    description: The name or the id of the cluster.
    type: str
    required: true
  name:
    description: The database.
    type: str
    required: true
  state:
    description: Whether it is to be there.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Remove it with the tables that it has.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Have a database for the shop
  crdb.onboard.database:
    cluster: funky-skunk
    name: shop
"""

RETURN = r"""
cluster:
  description: The name of the cluster.
  returned: success
  type: str
  sample: funky-skunk
name:
  description: The database.
  returned: success
  type: str
  sample: shop
"""
