#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_config
short_description: Write the configuration of every framework of every app
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Renders the files of each framework from the catalogue on the controller, and the environment file of each app.
  - The password is in the environment file only, percent-encoded within C(DATABASE_URL), mode 0600; or, for a framework
    with C(password_place=inline), in the framework's own file, mode 0600.
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
    details:
      - Passwords are masked.
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
  ca:
    description: Place the CA of every app's connection in the same step, as M(crdb.onboard.ca) does it alone.
    type: bool
    default: false
  client_certs:
    description:
      - Issue the client certificates of the apps' connections in the same step, as M(crdb.onboard.client_cert) does it
        alone.
    type: bool
    default: false
  renew:
    description: With O(client_certs), issue new certificates in any case. Each run with it issues new ones.
    type: bool
    default: false
  keep_previous:
    description: With O(ca), leave the CA that was written before beside today's, while a cluster changes its own.
    type: bool
    default: false
  prove:
    description:
      - Check the connection of every app whose files change, as the app's user, once they are staged and before any is
        in its place; put none in place when one does not pass.
      - One host of the run tries each login first. A password that was refused is not sent again.
      - Set it to V(false) for hosts that cannot reach the cluster yet. The task then warns about what is not proved.
    type: bool
    default: true
  timeout:
    description: Seconds for that check of one connection.
    type: float
    default: 15.0
  confirm:
    description:
      - Keep what was there before, for the apps with C(service), C(reload) or C(health), until
        M(crdb.onboard.app_service) has confirmed the change or taken it back.
    type: bool
    default: false
  force:
    description: Replace what is not ours or was changed since, as M(crdb.onboard.files) does.
    type: bool
    default: false
  complete:
    description:
      - Whether O(apps) are all apps that the host has. Files that were written for other apps are then no longer
        managed, as those of frameworks are that an app no longer has. They are named in RV(unmanaged) and RV(report).
    type: bool
    default: false
  prune:
    description: Remove the files that are no longer managed, and give back what was there before, as V(absent) does.
    type: bool
    default: false
  ca_force:
    description: With O(ca), replace what is not ours or was changed since among the CA files.
    type: bool
    default: false
  samples:
    description:
      - Write a small program beside each configuration that uses it. Applies to apps that do not set O(apps[].samples).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Write the configuration of every app
  crdb.onboard.app_config:

- name: Write it with the CA, once the connections are proved with both
  crdb.onboard.app_config:
    ca: true

- name: Write it on hosts that cannot reach the cluster yet
  crdb.onboard.app_config:
    ca: true
    prove: false
"""

RETURN = r"""
certificates:
  description: With O(client_certs), what M(crdb.onboard.client_cert) returns by this name.
  returned: with O(state=present)
  type: list
  elements: dict
changes:
  description: What was changed, or in check mode would be, as lines of text such as C(created /srv/shop/.env).
  returned: success
  type: list
  elements: str
files:
  description: What became of each file, as M(crdb.onboard.files) returns it.
  returned: success
  type: list
  elements: dict
apps:
  description: The apps whose files were, or would be, changed.
  returned: success
  type: list
  elements: str
unconfirmed:
  description: Those of them that M(crdb.onboard.app_service) has to confirm, from this run or from one that was killed.
  returned: success
  type: list
  elements: str
proofs:
  description: The reports of the check before the files were put in place, as M(crdb.onboard.check) returns them.
  returned: when the files are not refused; on failure only if the causes were not displayed
  type: list
  elements: dict
notes:
  description: What the CAs change for other programs, and which end within 30 days.
  returned: success
  type: list
  elements: str
unmanaged:
  description:
    - The files that are no longer managed and were not removed, with C(path) and C(apps).
    - With O(state=absent), the files that were written for other apps, and stay.
  returned: success
  type: list
  elements: dict
usage:
  description: The line of code that uses each framework's file, with C(app), C(framework), C(file) and C(use).
  returned: success
  type: list
  elements: dict
samples:
  description: The sample programs that were asked for, with C(app), C(framework), C(folder), C(file) and C(use).
  returned: success
  type: list
  elements: dict
environment_files:
  description: The apps' environment files, which C(crdb-sql -f) opens a SQL shell with.
  returned: success
  type: list
  elements: str
trust:
  description: The CA that each framework of each app trusts, with C(app), C(framework), C(ca) and C(authorities).
  returned: success
  type: list
  elements: dict
report:
  description: The lines that the role shows, which say the same as RV(usage) and RV(trust), and what the CAs change.
  returned: success
  type: list
  elements: str
"""
