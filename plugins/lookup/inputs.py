# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: inputs
short_description: Read connections, apps or Cloud options from variables that have a prefix
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Roles take the same inputs as the modules of this collection, from variables. This lookup turns variables such as
    C(PREFIXdatabase) into the options O(_terms) of the modules.
  - A variable that has the prefix and that nobody declares is refused, with the nearest declared one, because it is
    most likely mistyped.
options:
  _terms:
    description: The option to read, one of V(connections), V(apps) and V(cloud).
    type: list
    elements: str
    choices: [connections, apps, cloud]
    required: true
  prefix:
    description: What the names of the variables begin with.
    type: str
    required: true
  whole:
    description: Name of the variable that holds the whole option. Combined with variables of O(prefix), it is refused.
    type: str
    default: ""
  also:
    description: Variables of other names, by the key that they set.
    type: dict
    default: {}
  every:
    description: Keys that apply to every entry of O(whole) which does not set them.
    type: list
    elements: str
    default: []
  declared:
    description: Names of declared variables, among them those with O(prefix) that mean something else.
    type: list
    elements: str
    default: []
  reserved:
    description: Prefixes whose variables must all be declared.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show the connections that variables such as my_db_host and my_db_user make
  ansible.builtin.debug:
    msg: "{{ lookup('crdb.onboard.inputs', 'connections', prefix='my_db_').keys() }}"
"""

RETURN = r"""
_raw:
  description: The option, as the modules take it. Empty when no variable sets it.
  type: list
  elements: raw
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import shorthand


class LookupModule(LookupBase):
    """The lookup, by its name."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """See Ansible."""
        self.set_options(var_options=variables, direct=kwargs)
        known = variables or {}
        inputs = shorthand.Inputs(
            names=list(known),
            value_of=lambda name: self._templar.template(known[name]),
            **{name: self.get_option(name) for name in ("prefix", "whole", "also", "every", "declared", "reserved")},
        )
        try:
            return [inputs.read(str(term)) for term in terms]
        except OnboardingError as exc:
            raise AnsibleError(str(exc)) from None
