# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: as_list
short_description: Read a list that may be one name or a text with commas
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - A value from C(-e NAME=VALUE) is text. This filter makes a list of it, as all modules of this collection do with
    their options that are lists.
options:
  _input:
    description: A list, or a text with names separated by commas.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show the two names
  ansible.builtin.debug:
    msg: "{{ 'shop, reports' | crdb.onboard.as_list }}"
"""

RETURN = r"""
_value:
  description: The list. An empty text is an empty list.
  type: list
  elements: raw
"""

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.schema import as_list


class FilterModule:
    """The filter, by its name."""

    def filters(self) -> dict[str, Any]:
        """See Ansible."""
        return {"as_list": as_list}
