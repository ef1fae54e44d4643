#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: client_cert
short_description: Issue the client certificate of every app, and renew it before it ends
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - For each app whose connection has C(client_ca_file), C(client_cert_file) or C(client_cert_command), puts a client
    certificate and its key at C(certs/client.USER.crt) and C(certs/client.USER.key) in the app's folder, and for Java
    C(certs/client.USER.key.pk8).
  - A certificate is replaced when a third of its lifetime is left, at most 30 days. It is also replaced when it has
    another name or CA, when its key does not belong to it, and when other users could read the key.
  - On hosts with C(openssl), the key is made there and never leaves the host. The controller gets a signing request.
  - A certificate and its key lie in a folder of their own, and the paths above are links. A renewal replaces one link,
    so programs meet the old pair or the new one, whenever a run is killed. Old and new are both valid meanwhile.
  - All of a host's files are written by one call of M(crdb.onboard.files), with its rules.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.connections
  - crdb.onboard.apps
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details:
      - A certificate that would be issued is named, and has no difference.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) issues what is missing or due.
      - V(absent) takes away what was written for the host's apps.
      - V(read) only reads which certificates are there, and needs no CA.
    type: str
    choices: [present, absent, read]
    default: present
  renew:
    description: Issue new certificates in any case. Each run with it issues new ones.
    type: bool
    default: false
  prove:
    description:
      - Once the files are staged and before any is in its place, log in with the new certificate as the app's user.
        When one login fails, every file stays as it was.
      - Set it to V(false) for hosts that cannot reach the cluster yet. The task then warns about what is not proved.
    type: bool
    default: true
  timeout:
    description: Seconds for that check of one connection.
    type: float
    default: 15.0
"""

EXAMPLES = r"""
- name: Issue the client certificate of every app
  crdb.onboard.client_cert:
"""

RETURN = r"""
certificates:
  description:
    - Of each app with a client certificate, its C(path), the C(sql_user), when it ends (C(not_after)), and why it was
      replaced (C(reason)), which is empty for one that stayed.
    - With O(state=read), its C(path), the C(sql_user), when it ends, and the certificate itself (C(certificate), PEM).
  returned: success
  type: list
  elements: dict
changes:
  description: What was changed, or in check mode would be, as lines of text.
  returned: success
  type: list
  elements: str
files:
  description: What became of each file, as M(crdb.onboard.files) returns it.
  returned: success
  type: list
  elements: dict
notes:
  description: What the operator should know, such as a CA that ends before the certificate would.
  returned: success
  type: list
  elements: str
proofs:
  description: The reports of the check before the files were put in place, as M(crdb.onboard.check) returns them.
  returned: when something was written; on failure only if the causes were not displayed
  type: list
  elements: dict
"""
