# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report says about the run that it was made by: inventory, command and versions.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import __version__ as ansible_version
from ansible import context

_ROOT = Path(__file__).parents[3]
# The options that a report shows with their values: none of them holds a secret.
_SHOWN = (("subset", "-l"), ("tags", "--tags"), ("skip_tags", "--skip-tags"), ("start_at_task", "--start-at-task"))


def origin(inventory: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Names and values. `inventory`: its sources."""
    return (
        ("Inventory", ", ".join(inventory) or "none"),
        ("Command", command(context.CLIARGS)),
        ("Version", f"crdb.onboard {collection_version()}, ansible-core {ansible_version}"),
    )


def collection_version(root: Path = _ROOT) -> str:
    """The version of this collection, as it is installed or as a checkout declares it."""
    try:
        if (root / "MANIFEST.json").exists():
            return str(json.loads((root / "MANIFEST.json").read_text(encoding="utf-8"))["collection_info"]["version"])
        return str(yaml.safe_load((root / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return "of an unknown version"


def command(arguments: Mapping[str, Any]) -> str:
    """The command of the run, without the values of variables, which may be secret."""
    playbooks = [str(path) for path in arguments.get("args") or () if isinstance(arguments.get("args"), (list, tuple))]
    words = ["ansible-playbook", *playbooks] if playbooks else ["ansible", str(arguments.get("args") or "")]
    for source in arguments.get("inventory") or ():
        words += ["-i", str(source)]
    for key, option in _SHOWN:
        value = arguments.get(key)
        values = value if isinstance(value, (list, tuple)) else [value] if value else []
        words += [word for item in values if item != "all" for word in (option, str(item))]
    for variables in arguments.get("extra_vars") or ():
        words += ["-e", _names(str(variables))]
    words += ["--check"] if arguments.get("check") else []
    return shlex.join(word for word in words if word)


def _names(variables: str) -> str:
    """What was given to `-e`: a file, or the names of variables."""
    if variables.startswith("@"):
        return variables
    if variables.lstrip().startswith(("{", "[")):
        return "{...}"
    try:
        names = [word.partition("=")[0] for word in shlex.split(variables) if "=" in word]
    except ValueError:
        return "..."
    return " ".join(f"{name}=..." for name in names) or "..."
