# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: validate_networks
short_description: Validate the entries of an IP allowlist
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Says of every entry whether it may go into the IP allowlist of a CockroachDB Cloud cluster, what is wrong with it,
    and what was probably meant. Needs no key and no network.
options:
  _input:
    description:
      - The entries, each a network (C(198.41.0.0/24), C(198.41.0.4)) or a dictionary of C(cidr), C(name), C(sql), C(ui)
        and C(expires).
    type: list
    elements: raw
    required: true
  allow_any:
    description: Accept C(0.0.0.0/0), with a warning.
    type: bool
    default: false
  allow_private:
    description: Accept addresses that never reach a public endpoint.
    type: bool
    default: false
  prefix:
    description: What the names of the entries begin with.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ ['10.0.0.0/8', '198.41.0.5/24'] | crdb.onboard.validate_networks }}"
"""

RETURN = r"""
_value:
  description: One verdict an entry, with C(given), C(valid), C(cidr), C(error) and C(warnings).
  type: list
  elements: dict
"""

from collections.abc import Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.schema import as_list
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.networks import validate


def validate_networks(
    entries: Sequence[Any], allow_any: bool = False, allow_private: bool = False, prefix: str = ""
) -> list[dict[str, Any]]:
    """The verdicts as dictionaries."""
    return [
        {
            "given": verdict.text,
            "valid": verdict.valid,
            "cidr": verdict.entry.cidr if verdict.entry else "",
            "error": verdict.error,
            "warnings": list(verdict.warnings),
        }
        for verdict in validate(as_list(entries), allow_any=allow_any, allow_private=allow_private, prefix=prefix)
    ]


class FilterModule:
    """The filter, by its name."""

    def filters(self) -> dict[str, Any]:
        """See Ansible."""
        return {"validate_networks": validate_networks}
