#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: connection
short_description: Validate the connections and show them in the forms of the Cloud Console
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Validates every connection and every app that the inventory gives this host, before anything changes.
  - Shows each connection as the general connection string, as parameters and as the command of the C(cockroach) client.
  - Runs on the controller only, and changes nothing.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.connections
  - crdb.onboard.apps
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  ask:
    description:
      - Ask at the terminal for the connection string, for the password or for the CA, when nothing else gives it.
      - An answer that is not valid is asked for again, at most three times in all.
      - What was typed is known to the other modules of this collection for the rest of the run. It is never a fact and
        never on a disk.
      - Without a terminal the task fails at once, and names the variables.
    type: bool
    default: false
  show_password:
    description: Show the password in the general connection string and in the parameters, instead of masking it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Validate what the inventory says
  crdb.onboard.connection:

- name: Ask for the connection string when there is none
  crdb.onboard.connection:
    ask: true
"""

RETURN = r"""
connections:
  description: The connections by name, in the forms of the Console's Connect dialog.
  returned: success
  type: dict
  sample:
    default:
      deployment: serverless
      routing: options
      general_connection_string: >-
        postgresql://maxroach:********@localhost:26357/defaultdb?sslmode=verify-full&options=--cluster%3Dfunky-skunk-123
      parameters:
        Host: localhost
        Port: "26357"
        Database: defaultdb
        Username: maxroach
        Password: "********"
      client: cockroach sql --url '...'
apps:
  description: The apps of the host, as they were understood.
  returned: success
  type: list
  elements: dict
report:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""
