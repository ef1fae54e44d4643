#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: egress
short_description: Find the public IPv4 address that a host goes out by
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Asks echo services over IPv4, directly and not through an HTTP proxy, and fails when they do not agree, as they do
    not behind a pool of addresses. Never guesses from an interface.
extends_documentation_fragment:
  - crdb.onboard.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  services:
    description: URLs that answer with the address of whoever asks, as text or as JSON with C(ip).
    type: list
    elements: str
    default:
      - https://checkip.amazonaws.com
      - https://api.ipify.org
  ca_file:
    description: The CA of the echo services, a file on the host, when it is not a public one.
    type: path
  timeout:
    description: Seconds to wait for each of them.
    type: float
    default: 10.0
"""

EXAMPLES = r"""
- name: Find the host's public address
  crdb.onboard.egress:
  register: egress
"""

RETURN = r"""
address:
  description: The address.
  returned: success
  type: str
  sample: 198.41.0.4
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._egress import SERVICES, EgressError, ask


def main():
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "default": list(SERVICES)},
            "ca_file": {"type": "path"},
            "timeout": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    try:
        address = ask(module.params["services"], module.params["timeout"], module.params["ca_file"])
    except EgressError as exc:
        module.fail_json(msg=f"The public address of this host cannot be told: {exc}")
    module.exit_json(changed=False, address=address)


if __name__ == "__main__":
    main()
