#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Tell what the Cloud API knows of a cluster
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Finds a cluster by its name or its id, and refuses a name that is missing or that several have.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description: The name or the id of the cluster.
    type: str
    required: true
  user:
    description: The SQL user of the connection.
    type: str
    default: ""
  database:
    description: The database of the connection.
    type: str
    default: defaultdb
  region:
    description: The region whose host the connection uses; the cluster's own host when empty.
    type: str
    default: ""
  endpoint:
    description: Which end point the connection uses.
    type: str
    choices: [public, private]
    default: public
"""

EXAMPLES = r"""
- name: Look a cluster up
  crdb.onboard.cluster_info:
    name: funky-skunk
    user: maxroach
  register: cluster
"""

RETURN = r"""
id:
  description: The id, a UUID; not the routing id.
  returned: success
  type: str
  sample: 35c4abb2-bb66-46d7-afed-25ebef5ed2aa
name:
  description: The name.
  returned: success
  type: str
  sample: funky-skunk
plan:
  description: C(BASIC), C(STANDARD) or C(ADVANCED).
  returned: success
  type: str
  sample: BASIC
deployment:
  description: C(serverless) or C(dedicated).
  returned: success
  type: str
  sample: serverless
state:
  description: C(CREATED) when it can be used.
  returned: success
  type: str
  sample: CREATED
version:
  description: Of CockroachDB.
  returned: success
  type: str
  sample: v25.4.10
routing_id:
  description: Of a Serverless cluster.
  returned: success
  type: str
  sample: funky-skunk-123
regions:
  description: The regions with their hosts.
  returned: success
  type: list
  elements: dict
entry_limit:
  description: How many entries the allowlist may have.
  returned: success
  type: int
  sample: 50
ca_url:
  description: Where the CA is.
  returned: success
  type: str
  sample: https://cockroachlabs.cloud/clusters/35c4abb2-bb66-46d7-afed-25ebef5ed2aa/cert
connection:
  description: The facts of the connection, without a password.
  returned: success
  type: dict
connection_string:
  description: The connection string, without a password.
  returned: when O(user) is given
  type: str
"""
