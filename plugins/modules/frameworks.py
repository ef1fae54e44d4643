#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: frameworks
short_description: List the catalogue, and show what a framework would get
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Lists every framework of the catalogue with its ranges of versions, its variants and its files.
  - Shows the files that the inventory's apps would get, their passwords masked.
  - Runs on the controller only, does not speak to the host, and changes nothing.
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
  preview:
    description:
      - Show the files of the inventory's apps too. A home folder is shown as C(~).
      - Without a connection, and for a cluster of the Cloud API, the files show example values.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: List the catalogue
  crdb.onboard.frameworks:

- name: Show what the apps would get
  crdb.onboard.frameworks:
    preview: true
"""

RETURN = r"""
catalogue:
  description: The frameworks, each with its choices of versions and variants, the newest first.
  returned: success
  type: list
  elements: dict
files:
  description: The files that the apps would get, with O(preview=true).
  returned: success
  type: list
  elements: dict
  sample:
    - app: shop
      path: ~/crdb-app/.env
      mode: "0600"
      content: "DATABASE_URL='postgresql://max:********@localhost:26257/bank?sslmode=verify-full'"
report:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""
