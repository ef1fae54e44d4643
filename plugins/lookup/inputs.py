# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: inputs
short_description: Read connections, apps or Cloud options from variables that have a prefix
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Roles take the same inputs as the modules of this collection, from variables. This lookup turns variables such as
    C(PREFIXdatabase) into the options O(_terms) of the modules.
  - A variable that has the prefix and that nobody declares is refused, with the nearest declared one, because it is
    most likely mistyped.
options:
  _terms:
    description:
      - The options to read, such as V(connections).
      - V(clusters) is V(connections) with only those keys of its entries that name a cluster of the Cloud API and its
        user. No other key is evaluated.
      - V(all) is one dictionary of all of them and of O(values), as the option C(inputs) of the modules takes it. If a
        variable is refused, it has the reason in its key C(refused) only, and the module fails with it.
      - V(removal) is the same with V(apps) only, which is all that a removal needs. No other option is evaluated.
      - V(api) is the same with V(clusters), as V(connections), and V(cloud) only; V(sql) has all of V(connections).
      - In V(all) and V(removal), C(complete) says whether the variable in O(wholes) that holds V(apps) is set, so that
        they are all apps of the host.
    type: list
    elements: str
    choices: [connections, clusters, apps, cloud, all, removal, api, sql]
    required: true
  prefixes:
    description: What the names of the variables begin with, by option.
    type: dict
    required: true
  wholes:
    description:
      - Names of the variables that hold a whole option. Combined with variables of O(prefixes), they are refused.
    type: dict
    default: {}
  also:
    description: Variables of other names that set a key of V(apps), by the key.
    type: dict
    default: {}
  every:
    description: Keys of V(apps) that apply to every entry of the whole option which does not set them.
    type: list
    elements: str
    default: []
  values:
    description: Variables that hold one more option of V(all) each, by option.
    type: dict
    default: {}
  declared:
    description:
      - Names of declared variables, among them those with O(prefixes) that mean something else.
      - Separated by commas in one text, which takes Ansible a tenth of the time of a list.
    type: str
    default: ""
  reserved:
    description: Prefixes whose variables must all be declared, separated by commas.
    type: str
    default: ""
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
            entries_of=lambda name, keys: self._entries(known[name], keys),
            declared=self._names("declared"),
            reserved=self._names("reserved"),
            **{name: self.get_option(name) for name in ("prefixes", "wholes", "also", "every", "values")},
        )
        try:
            return [
                self._combined(inputs, term) if term in shorthand.COMBINED else inputs.read(str(term)) for term in terms
            ]
        except OnboardingError as exc:
            raise AnsibleError(str(exc)) from None

    def _entries(self, whole: Any, keys: Sequence[str]) -> Any:
        """The entries of a dictionary with these keys; one that a template makes is evaluated whole."""
        if not isinstance(whole, Mapping):
            whole = self._templar.template(whole)
        if not isinstance(whole, Mapping):
            return whole
        entries = {}
        for name, entry in whole.items():
            facts = entry if isinstance(entry, Mapping) else self._templar.template(entry)
            if isinstance(facts, Mapping):
                facts = {key: self._templar.template(facts[key]) for key in keys if key in facts}
            entries[name] = facts
        return entries

    @staticmethod
    def _combined(inputs: shorthand.Inputs, term: str) -> dict[str, Any]:
        """The options; what was refused goes to the module, whose error Ansible prints once."""
        try:
            return inputs.combined(term)
        except OnboardingError as exc:
            return {shorthand.REFUSED: str(exc)}

    def _names(self, option: str) -> list[str]:
        return str(self.get_option(option)).replace(",", " ").split()
