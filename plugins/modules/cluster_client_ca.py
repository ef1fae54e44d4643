#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_client_ca
short_description: Set or remove the client CA of an Advanced cluster by the Cloud API
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - An Advanced cluster accepts the client certificates of the CAs that the Cloud API sets. This adds CAs to those that
    it has, or removes some, once a run for each cluster, and waits until the change is in effect.
  - A CA that signed a client certificate of O(certificates) is not removed, unless O(allow_used). The same holds where
    it is not known which certificates a host of the inventory has.
  - To change the CA, add the new one, issue new certificates, then remove the old one.
  - The service interrupts existing connections when its client CA changes.
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
  ca_files:
    description:
      - Paths on the controller of CA certificates (PEM). By default, V(present) takes C(client_ca_file) of the host's
        connections, and V(absent) all that the cluster has.
    type: list
    elements: str
    default: []
  state:
    description: V(present) adds these CAs and keeps all others. V(absent) removes them.
    type: str
    choices: [present, absent]
    default: present
  certificates:
    description:
      - The client certificates that this host uses (PEM), as M(crdb.onboard.client_cert) returns them with
        C(state=read). Not given means that nobody looked.
    type: list
    elements: str
  allow_used:
    description: Remove a CA even when hosts have certificates of it, or when that is not known.
    type: bool
    default: false
  wait:
    description: Seconds to wait until a change is in effect.
    type: float
    default: 900.0
"""

EXAMPLES = r"""
- name: Let an Advanced cluster accept the certificates of our CA
  crdb.onboard.cluster_client_ca:
    clusters: [steady-heron]
    ca_files: [files/client-ca.crt]
"""

RETURN = r"""
clusters:
  description:
    - What became of each cluster's client CA, with C(cluster), C(changed), C(status), C(certificates) and C(done).
  returned: success
  type: list
  elements: dict
report:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""
