#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_config
short_description: Write the configuration of every framework of every app
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Renders the files of each framework from the catalogue on the controller, and the environment file of each app.
  - The password is in the environment file only, percent-encoded within C(DATABASE_URL), mode 0600; or, for a framework
    with C(password_place=inline), in the framework's own file, mode 0600.
  - All of a host's files are written by one call of M(crdb.onboard.files), with its rules.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.inventory
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
  force:
    description: Replace what is not ours or was changed since, as M(crdb.onboard.files) does.
    type: bool
    default: false
  samples:
    description:
      - Write each framework's sample, a program that uses its configuration, for apps that do not say it (C(samples),
        or C(crdb_app_samples) for all of them).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Write the configuration of every app
  crdb.onboard.app_config:
"""

RETURN = r"""
files:
  description: What became of each file, as M(crdb.onboard.files) returns it.
  returned: success
  type: list
  elements: dict
usage:
  description: The line of code that uses each framework's file, with C(app), C(framework), C(file) and C(use).
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
