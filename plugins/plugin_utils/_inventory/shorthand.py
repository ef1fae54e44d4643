# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables with a prefix as the options `connections`, `apps` and `cloud`.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.origin import DEFAULT_NAME
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.certificate import CERTIFICATE_SOURCE_KEYS
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.token import TOKEN_KEYS

REFUSED = "refused"
"""The key of all options that holds why there are none."""
_OPTIONS = ("connections", "apps", "cloud")
_TYPES: dict[str, tuple[type, str]] = {
    "connections": (dict, "a dictionary of connections by name"),
    "apps": (list, "a list of apps"),
}
_KINDS = ((str, "text"), (dict, "a dictionary"), (list, "a list"), (bool, "true or false"))
CLUSTERS = "clusters"
"""Of `connections`, what the Cloud API needs."""
_AS = {CLUSTERS: "connections"}
COMBINED: dict[str, tuple[str, ...]] = {
    "all": _OPTIONS,
    "removal": ("apps",),
    "api": (CLUSTERS, "cloud"),
    "sql": ("connections", "cloud"),
}
"""What the lookup `inputs` reads as one dictionary, by the term."""
_OF_CLUSTERS = ("cluster", "endpoint", "user", "users", "sslcert", *CERTIFICATE_SOURCE_KEYS, *TOKEN_KEYS)


@dataclass(frozen=True)
class Inputs:
    """The variables of a host.

    Args:
        names: of all variables.
        value_of: a variable's value by its name, evaluated.
        entries_of: the entries of a dictionary by the variable's name, with these of their keys evaluated, others not.
        prefixes, wholes, also, every, values, declared, reserved: see the lookup `inputs`.
    """

    names: Sequence[str]
    value_of: Callable[[str], Any]
    prefixes: Mapping[str, str]
    wholes: Mapping[str, str]
    also: Mapping[str, str]
    every: Sequence[str]
    values: Mapping[str, str]
    declared: Sequence[str]
    reserved: Sequence[str]
    entries_of: Callable[[str, Sequence[str]], Any]

    def combined(self, term: str) -> dict[str, Any]:
        """The options of a term of COMBINED. Raises OnboardingError for a variable that nobody declares."""
        options = COMBINED[term]
        self._refuse_undeclared(*options)
        result = {_AS.get(option, option): self._read(option) for option in options}
        if "apps" in options:
            # Short forms name one app of a machine; the whole list is what the host has.
            result["complete"] = self.wholes.get("apps") in self.names
        if term == "all":
            result.update((option, self.value_of(name)) for option, name in self.values.items() if name in self.names)
        return result

    def read(self, option: str) -> Any:
        """One option. Raises OnboardingError for a variable that nobody declares."""
        if option not in (*_OPTIONS, CLUSTERS):
            terms = (*_OPTIONS, CLUSTERS, *COMBINED)
            raise OnboardingError(f"There is no option {option!r} to read: it must be one of {', '.join(terms)}.")
        self._refuse_undeclared(option)
        return self._read(option)

    def _read(self, option: str) -> Any:
        if option == CLUSTERS:
            return self._clusters()
        keys = self._keys(option)
        whole_name = self.wholes.get(option, "")
        whole = self._whole(option, whole_name) if whole_name in self.names else None
        if option == "cloud":
            return keys
        if option == "apps":
            return self._apps(whole, keys)
        documented = schema.keys(option)
        # A role may set a default for documentation.
        set_keys = [key for key, value in keys.items() if value != documented[key].get("default")]
        if whole and set_keys:
            raise OnboardingError(
                f"{whole_name} and {self.prefixes[option]}{set_keys[0]} are both set. Move the value into the entry of"
                f" {whole_name} that it belongs to ({', '.join(map(str, whole))})."
            )
        return whole or ({DEFAULT_NAME: keys} if keys else {})

    def _whole(self, option: str, name: str) -> Any:
        """The value of a variable that holds a whole option. Raises OnboardingError for another type."""
        value = self.value_of(name)
        wanted, words = _TYPES[option]
        if value is not None and not isinstance(value, wanted):
            found = next((word for kind, word in _KINDS if isinstance(value, kind)), "a number")
            raise OnboardingError(
                f"{name} must be {words}, but it is {found}. On the command line, pass it as JSON:"
                f" -e '{{\"{name}\": ...}}'."
            )
        return value

    def _clusters(self) -> Any:
        """The connections with their keys of the Cloud API only: what it does not need may be unknown where it runs."""
        whole = self.wholes.get("connections", "")
        entries = self.entries_of(whole, _OF_CLUSTERS) if whole in self.names else None
        keys = self._keys("connections", _OF_CLUSTERS)
        return entries or ({DEFAULT_NAME: keys} if keys else {})

    def _refuse_undeclared(self, *options: str) -> None:
        prefixes = {name: self.prefixes[name] for name in (_AS.get(option, option) for option in options)}
        suspects = [name for name in self.names if name.startswith((*prefixes.values(), *self.reserved))]
        declared = {f"{prefix}{key}" for option, prefix in prefixes.items() for key in schema.keys(option)}
        declared.update(self.declared)
        for name in suspects:
            if name not in declared:
                nearest = schema.nearest(name, declared)
                raise OnboardingError(
                    f"There is no variable {name}."
                    + (f" Did you mean {nearest}?" if nearest else "")
                    + " Names with this prefix belong to crdb.onboard: rename a variable of your own."
                )

    def _keys(self, option: str, only: Sequence[str] = ()) -> dict[str, Any]:
        """The keys that variables set, all or `only` these; an empty value sets nothing."""
        variables = {key: f"{self.prefixes[option]}{key}" for key in only or schema.keys(option)}
        if option == "apps":
            variables.update(self.also)
        names = set(self.names)
        values = {key: self.value_of(name) for key, name in variables.items() if name in names}
        return {key: value for key, value in values.items() if value is not None and value != ""}

    def _apps(self, whole: Any, keys: Mapping[str, Any]) -> Any:
        if whole is None:
            return [dict(keys)] if keys else None
        shared = {key: keys[key] for key in self.every if key in keys}
        return [{**shared, **entry} if isinstance(entry, Mapping) else entry for entry in whole]
