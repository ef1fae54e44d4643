# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a connection came from, and what people call its parts: by what they typed or set.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema

DEFAULT_NAME = "default"
"""The name of the connection that variables, the environment or a person at the terminal supplies."""
ENVIRONMENT = ("COCKROACH_URL", "DATABASE_URL")
"""The variables of the environment that supply it, the first one before the others."""
TYPED = "the connection string"
VARIABLE = "crdb_connection_"
"""What the names of the variables of that connection begin with."""


def environment_variable() -> str:
    """The variable of the environment that supplies the connection string; empty for none."""
    return next((name for name in ENVIRONMENT if os.environ.get(name)), "")


def place(name: str, facts: Any, url: str = "") -> str:
    """Where a connection came from, for people; `url` is what they call a string that no variable holds."""
    if url:
        return "the prompt" if url == TYPED else f"{url} in the environment"
    if name != DEFAULT_NAME:
        return f"crdb_connections.{name}"
    keys = [key for key in ("url", "cluster", "host") if isinstance(facts, Mapping) and facts.get(key)]
    return f"{VARIABLE}{keys[0]}" if keys else "the variables"


def setting(name: str, key: str) -> str:
    """What people set for a key of a connection: a variable, or the key of the entry that an error names first."""
    return f"{VARIABLE}{key}" if name == DEFAULT_NAME else key


def label(name: str, facts: Any, part: str = "", url: str = "") -> str:
    """What an error begins with: the entry of `connections`, or what a person on a machine of their own has typed.

    Args:
        name: of the connection.
        facts: as they were set.
        part: the key at fault, where it is known.
        url: what people call the connection string, where no variable holds it.
    """
    if name != DEFAULT_NAME:
        return f"connections.{name}"
    facts = facts if isinstance(facts, Mapping) else {}
    if part and part != "url" and (facts.get(part) not in (None, "") or not facts.get("url")):
        return f"{VARIABLE}{part}" if part in schema.keys("connections") else "the connection"
    return url or (f"{VARIABLE}url" if facts.get("url") else "the connection")
