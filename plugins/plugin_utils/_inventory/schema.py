# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema of connections, apps and the Cloud API's options: read from the documentation fragments of those names.

An option is declared in the documentation and nowhere else. Argument specs, tables and role variables follow from it.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

_PLUGINS = Path(__file__).parents[2]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SPEC_KEYS = ("type", "elements", "choices", "default", "required")
_SECRET = frozenset({"api_key", "client_cert_vault_token", "jwt", "password", "proxy", "url"})
"""Options whose value is, or may hold, a secret. Documentation has no mark for them."""
_NO_SECRET = frozenset({"password_length", "password_place", "password_store", "show_password", "update_password"})
"""Options that Ansible would take for secrets because of their names."""


def documentation(plugin: Path) -> dict[str, Any]:
    """The parsed DOCUMENTATION of a plugin's source, which is not run. Raises ValueError where there is none."""
    for node in ast.walk(ast.parse(plugin.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["DOCUMENTATION"]:
            document: dict[str, Any] = yaml.load(ast.literal_eval(node.value), _LOADER)  # noqa: S506 - both are safe
            return document
    raise ValueError(f"{plugin.name} has no DOCUMENTATION")


@cache
def fragment(name: str) -> Mapping[str, Any]:
    """The options of a documentation fragment as they are documented, by name."""
    return documentation(_PLUGINS / "doc_fragments" / f"{name}.py").get("options") or {}


def keys(name: str) -> Mapping[str, Any]:
    """The documented keys of one entry of `connections` or `apps`, or of `cloud`."""
    suboptions: Mapping[str, Any] = fragment(name)[name]["suboptions"]
    return suboptions


def argument_spec(options: Mapping[str, Any]) -> dict[str, Any]:
    """Documented options as an argument spec of Ansible's; suboptions of a list are a spec of their own."""
    spec: dict[str, Any] = {}
    for name, facts in options.items():
        spec[name] = {key: facts[key] for key in _SPEC_KEYS if key in facts}
        if name in _SECRET:
            spec[name]["no_log"] = True
        elif name in _NO_SECRET:
            spec[name]["no_log"] = False
        if facts["type"] == "list" and facts.get("suboptions"):
            spec[name]["options"] = argument_spec(facts["suboptions"])
    return spec


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one; empty when none is."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), "")


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise OnboardingError for a key that nobody declares, with the nearest one and all that are known."""
    known = sorted(known)
    unknown = sorted(str(name) for name in names if name not in known)
    if unknown:
        meant = nearest(unknown[0], known)
        hint = f" Did you mean {meant}?" if meant else ""
        raise OnboardingError(f"{where}: unknown key: {', '.join(unknown)}.{hint} The keys are {', '.join(known)}.")


def as_list(value: Any) -> Any:
    """A list that was given as text, such as ``shop, reports``; any other value as it is.

    `-e NAME=VALUE` gives text, so every list may be one name or names with commas.
    """
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def with_lists(options: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of documented options, in which those that are lists may be text. Lists of dictionaries never are."""
    names = {name for name, facts in options.items() if facts["type"] == "list" and facts.get("elements") != "dict"}
    return {name: as_list(value) if name in names else value for name, value in values.items()}


@cache
def validator(name: str) -> ArgumentSpecValidator:
    """The validator of one entry of `connections` or `apps`, or of `cloud`."""
    return ArgumentSpecValidator(argument_spec(keys(name)))


def plain(value: Any) -> Any:
    """A value without Ansible's tags, which make texts instances of a subclass."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, str) else value


def validated(name: str, entry: Any, where: str) -> dict[str, Any]:
    """An entry of `connections`, `apps` or `cloud` with its types and defaults; keys that are not set are left out.

    An empty text counts as not set. Raises OnboardingError that begins with `where`.
    """
    if not isinstance(entry, Mapping):
        raise OnboardingError(f"{where}: must be a dictionary with the keys {', '.join(sorted(keys(name)))}.")
    entry = plain(entry)
    refuse_unknown(entry, keys(name), where)
    entry = with_lists(keys(name), entry)
    result = validator(name).validate({key: value for key, value in entry.items() if value not in (None, "")})
    if result.error_messages:
        raise OnboardingError(f"{where}: {result.error_messages[0]}.")
    return {key: value for key, value in result.validated_parameters.items() if value is not None}
