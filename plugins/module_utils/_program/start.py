# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The start of a program that plugin_utils/_transport sends to a host: it imports modules from memory.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import importlib
import json
import sys
import zlib
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Optional

BASIC = "ansible.module_utils.basic"


class Importer:
    """Imports modules from `sources`: their text by full name."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._packages = {name[:end] for name in sources for end in range(len(name)) if name[end] == "."}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """See importlib.abc.MetaPathFinder."""
        if name not in self._sources and name not in self._packages:
            return None
        package = name in self._packages
        return ModuleSpec(name, self, origin=f"<{name}>", is_package=package)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """See importlib.abc.Loader."""

    def exec_module(self, module: ModuleType) -> None:
        """See importlib.abc.Loader."""
        code = compile(self.get_source(module.__name__), f"<{module.__name__}>", "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - what an import is

    def get_source(self, name: str) -> str:
        """The source of a module, for tracebacks; empty for a package without a file."""
        return self._sources.get(name, "")


def unpacked(packed: str) -> Any:
    """What JSON holds that was compressed by zlib, then written as base64."""
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def start(sources: str, module: str, request: str) -> None:
    """Run `main` of a module. Both packed: the modules' sources by full name, `AnsibleModule.request` of `frame`."""
    sys.meta_path.insert(0, Importer(unpacked(sources)))
    frame = importlib.import_module(BASIC)
    frame.AnsibleModule.request = unpacked(request)
    frame.run(importlib.import_module(module).main)
