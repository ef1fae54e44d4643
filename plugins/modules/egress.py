#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: egress
short_description: Find the public IPv4 address of a host
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Asks echo services over IPv4, directly and not through an HTTP proxy. Never guesses from an interface.
  - Fails if the services report different addresses, as they do behind a pool of addresses.
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
    description: URLs that answer with the address of the client, as text or as JSON with C(ip).
    type: list
    elements: str
    default:
      - https://checkip.amazonaws.com
      - https://api.ipify.org
  ca_file:
    description: A file on the host with the CA of the echo services, if it is not a public one.
    type: path
  timeout:
    description: Seconds to wait for each service.
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
  description: The public IPv4 address.
  returned: success
  type: str
  sample: 198.41.0.4
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._egress import DEFAULT_SERVICES, EgressError, public_address


def main():
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "default": list(DEFAULT_SERVICES)},
            "ca_file": {"type": "path"},
            "timeout": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    try:
        address = public_address(module.params["services"], module.params["timeout"], module.params["ca_file"])
    except EgressError as exc:
        module.fail_json(msg=f"The public address of this host is not known: {exc}.")
    module.exit_json(changed=False, address=address)


if __name__ == "__main__":
    main()
