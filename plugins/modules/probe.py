#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: Prove the connections with the frameworks' own drivers
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Runs the probe of each framework in the folder of the app, with the app's interpreter and drivers.
  - A probe connects using only the files that M(crdb.onboard.app_config) wrote. C(DATABASE_URL) and the C(PG*)
    variables are removed from its environment.
  - A Go or Java probe is compiled in a folder of its own. Go's needs the C(go.mod) of the app, Java's the C(CLASSPATH).
  - A framework whose interpreter or driver is not on the host is reported as C(not_proved), with the reason.
  - All probes of a host run in one call.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.connections
  - crdb.onboard.apps
  - crdb.onboard.cloud
attributes:
  check_mode:
    support: full
    details:
      - The probes only read. They also run in check mode.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  interpreters:
    description:
      - The program that runs each kind of probe, a path or a name in C(PATH).
      - A path that is not absolute, such as C(env/bin/python), begins in the folder of the app.
      - In place of a name for C(python), the C(.venv) or C(venv) in the folder of the app is used, if there is one.
    type: dict
    default: {}
  environment:
    description:
      - Environment variables for the probes, such as C(NODE_PATH), or C(PGCONNECT_TIMEOUT) (seconds, 15 by default).
    type: dict
    default: {}
  timeout:
    description: Seconds for one probe.
    type: float
    default: 60.0
  withheld:
    description:
      - Apps that are not tried, each with the code of the reason, as M(crdb.onboard.check) returns them.
      - A driver would send a password again that was rejected.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Prove every app's connection with its own drivers
  crdb.onboard.probe:
    interpreters:
      python: /srv/shop/venv/bin/python
      node: node
"""

RETURN = r"""
ok:
  description: Whether no driver that was asked failed.
  returned: success
  type: bool
probes:
  description: One entry a framework and app.
  returned: success
  type: list
  elements: dict
  sample:
    - app: shop
      framework: psycopg2
      verdict: proved
      message: ""
      facts:
        version: 2.9.13
        user: maxroach
        database: defaultdb
        tls: TLSv1.3
report:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""
