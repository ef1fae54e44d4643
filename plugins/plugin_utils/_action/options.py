# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the modules, read from their documentation.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema, shorthand

_MODULES = Path(__file__).parents[2] / "modules"
_COLLECTION = "crdb.onboard."
_INPUTS = ("connections", "apps", "cloud", "password_store", "complete", "echo", "echo_ca_file")
_BY_ENTRY = ("apps",)
"""Lists whose entries `schema.validated` checks one by one, so that an error names the entry."""


@cache
def prepare() -> None:
    """Read what every task needs: in the main process, this is done once for all tasks, which are forked from it."""
    for name in ("connections", "apps", "cloud"):
        schema.validator(name)
    lookup_loader.get(f"{_COLLECTION}inputs")


@cache
def documented(module: str) -> Mapping[str, Any]:
    """The documented options of a module by name, those of its documentation fragments among them."""
    document = schema.documentation(_MODULES / f"{module}.py")
    options: dict[str, Any] = {}
    for name in document.get("extends_documentation_fragment") or ():
        options.update(schema.fragment(name.removeprefix(_COLLECTION)))
    return {**options, **(document.get("options") or {})}


def with_inputs(module: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task, with those that its option `inputs` holds and that are not given by themselves.

    A list that was given as text is a list then.

    Raises OnboardingError for an unknown key of `inputs`.
    """
    inputs = given.get("inputs") or {}
    if not isinstance(inputs, Mapping):
        raise OnboardingError("inputs: must be a dictionary.")
    if shorthand.REFUSED in inputs:
        raise OnboardingError(str(inputs[shorthand.REFUSED]))
    schema.refuse_unknown(inputs, _INPUTS, "inputs")
    own = {name: value for name, value in given.items() if name != "inputs"}
    known = documented(module)
    return schema.with_lists(known, schema.plain({**{n: v for n, v in inputs.items() if n in known}, **own}))


@cache
def arguments(module: str) -> Mapping[str, Any]:
    """The argument spec of a module, for Ansible's validator."""
    spec = schema.argument_spec(documented(module))
    for name in _BY_ENTRY:
        spec.get(name, {}).pop("options", None)
    return spec
