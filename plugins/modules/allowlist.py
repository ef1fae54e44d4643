#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: allowlist
short_description: Reconcile the IP allowlist of CockroachDB Cloud clusters
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Validates the entries that all hosts of the play want, and reconciles the allowlist of each cluster once a run.
  - Gives access before it takes any, and takes away only entries whose name begins with O(prefix), unless
    O(state=exact). What fails midway leaves more access than before, never less.
  - Before it takes any access, it waits until every change of the allowlist is in effect, also those of other runs
    and of other people.
  - More entries than the cluster's plan allows are refused before the allowlist is read.
  - Refuses to remove what lets in the controller, or a host whose address is known.
  - Entries of ours whose expiry, which their name holds, has passed are removed.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.connections
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  clusters:
    description: Names or ids of the clusters; those of the host's connections when empty.
    type: list
    elements: str
    default: []
  entries:
    description:
      - The networks, each a text (C(198.41.0.0/24), C(198.41.0.4)) or a dictionary of C(cidr), C(name), C(sql), C(ui)
        and C(expires) (a date, C(2026-12-31)).
    type: list
    elements: raw
    default: []
  state:
    description:
      - V(present) adds and updates, V(absent) removes the entries and those named O(name), V(exact) removes all others,
        whoever made them.
    type: str
    choices: [present, absent, exact]
    default: present
  current:
    description: Also authorize the public address of the controller, or of every host (its O(address)).
    type: str
    choices: [none, controller, hosts]
    default: none
  address:
    description:
      - With O(current=hosts), the public address of this host, as M(crdb.onboard.egress) returns it.
    type: str
    default: ""
  name:
    description: Name of the current address's entry. The default is C(user@machine), or the name of the host.
    type: str
    default: ""
  expires:
    description: Date after which the current address's entry may be removed, such as V(2026-12-31).
    type: str
    default: ""
  replace:
    description: Remove older addresses of the same name.
    type: bool
    default: false
  prefix:
    description: What the names of our entries begin with.
    type: str
    default: "crdb.onboard "
  remove_any:
    description: Remove C(0.0.0.0/0) once narrower entries are in effect.
    type: bool
    default: false
  allow_any:
    description: Accept C(0.0.0.0/0) as an entry.
    type: bool
    default: false
  allow_private:
    description: Accept addresses that never reach a public endpoint; true for the sandbox only.
    type: bool
    default: false
  allow_lockout:
    description: Remove entries even when the controller or a managed host is then locked out.
    type: bool
    default: false
  echo:
    description: HTTPS services that tell the controller its public address. All that answer must agree.
    type: list
    elements: str
    default:
      - https://checkip.amazonaws.com
      - https://api.ipify.org
  echo_ca_file:
    description: PEM file on the controller with the CA of these services. The default is the system's roots.
    type: str
    default: ""
  wait:
    description: Seconds to wait until a change is in effect. When it is not by then, no access is taken.
    type: float
    default: 120.0
"""

EXAMPLES = r"""
- name: Authorize the office, and this machine until the end of the year
  crdb.onboard.allowlist:
    clusters: [funky-skunk]
    entries:
      - cidr: 198.41.0.0/24
        name: office
    current: controller
    expires: "2026-12-31"
    replace: true
"""

RETURN = r"""
allowlists:
  description: What became of each cluster's allowlist, with C(cluster), C(changed), C(entries) and C(done).
  returned: success
  type: list
  elements: dict
report:
  description: The same as lines of text, with what is worth knowing.
  returned: success
  type: list
  elements: str
"""
