#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ca
short_description: Place the CA of every app's connection, verified
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Reads each CA (a file on the controller, an https URL or inline text), and verifies on the controller that it holds
    authorities in their dates and nothing else.
  - Places it at C(certs/ca.crt) in the folder of the app, or at C(~/.postgresql/root.crt) of the app's user, as
    C(ca_destination) of the connection says.
  - For an app with C(trust_store), writes a PKCS12 trust store for Java, C(certs/truststore.p12), and the arguments
    that make a JVM use it, C(certs/truststore.args). A store that holds the same certificates already stays as it is.
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
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) writes the files.
      - V(absent) takes away what was written for the host's apps, and gives back what was there before.
    type: str
    choices: [present, absent]
    default: present
  keep_previous:
    description: Leave the CA that was placed before beside the new one, while a cluster changes from one to the other.
    type: bool
    default: false
  prove:
    description:
      - Once the files are staged and before any is in its place, verify the server's certificate with the CA of every
        app whose files change, as the app's user; put none in place when one does not pass. Nobody logs in.
      - Set it to V(false) for hosts that cannot reach the cluster yet. The task then warns about what is not proved.
    type: bool
    default: true
  timeout:
    description: Seconds for that check of one connection.
    type: float
    default: 15.0
  force:
    description: Replace what is not ours or was changed since, as M(crdb.onboard.files) does.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Place the CA of every app
  crdb.onboard.ca:
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, as lines of text such as C(created /srv/shop/.env).
  returned: success
  type: list
  elements: str
proofs:
  description: The reports of the check before the files were put in place, as M(crdb.onboard.check) returns them.
  returned: when the files are not refused; on failure only if the causes were not displayed
  type: list
  elements: dict
files:
  description: What became of each file, as M(crdb.onboard.files) returns it.
  returned: success
  type: list
  elements: dict
authorities:
  description: The authorities placed, with C(path), C(subject), C(fingerprint) (SHA-256) and C(not_after).
  returned: success
  type: list
  elements: dict
notes:
  description: What a new file means for other programs of the user.
  returned: success
  type: list
  elements: str
"""
