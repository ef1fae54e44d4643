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
import marshal
import sys
import zlib
from collections.abc import Mapping
from functools import cached_property
from importlib.machinery import ModuleSpec
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType
from typing import Any, Optional

BASIC = "ansible.module_utils.basic"


def bytecode_format() -> str:
    """What Pythons that can run each other's compiled code have in common."""
    return f"{sys.implementation.cache_tag} {MAGIC_NUMBER.hex()}"


def compiled(name: str, source: str) -> CodeType:
    """The code of a module, as every host would compile it."""
    return compile(source, f"<{name}>", "exec", dont_inherit=True, optimize=0)


def decompressed(packed: str) -> bytes:
    """What was compressed by zlib, then written as base64."""
    return zlib.decompress(base64.b64decode(packed))


class Importer:
    """Imports modules from `sources`: their text by full name, as JSON, compressed.

    `codes`: the same modules compiled, by full name, as `marshal` writes them; or empty. The sources are then only read
    for a traceback.
    """

    def __init__(self, sources: str, codes: Mapping[str, bytes]) -> None:
        self._packed, self._codes = sources, codes
        self._names = set(codes or self._sources)
        self._packages = {name[:end] for name in self._names for end in range(len(name)) if name[end] == "."}

    @cached_property
    def _sources(self) -> Mapping[str, str]:
        sources: Mapping[str, str] = json.loads(decompressed(self._packed))
        return sources

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """See importlib.abc.MetaPathFinder."""
        if name not in self._names and name not in self._packages:
            return None
        package = name in self._packages
        return ModuleSpec(name, self, origin=f"<{name}>", is_package=package)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """See importlib.abc.Loader."""

    def exec_module(self, module: ModuleType) -> None:
        """See importlib.abc.Loader."""
        name = module.__name__
        if name not in self._names:
            return  # a package without a file
        code = marshal.loads(self._codes[name]) if self._codes else compiled(name, self.get_source(name))  # noqa: S302
        exec(code, module.__dict__)  # noqa: S102 - what an import is

    def get_source(self, name: str) -> str:
        """The source of a module, for tracebacks; empty for a package without a file."""
        return self._sources.get(name, "")


def start(sources: str, codes: str, codes_format: str, module: str, request: str) -> None:
    """Run `main` of a module.

    `sources` and `codes` are those of Importer, and `request` is that of `frame` as JSON, compressed.
    `codes` is written by `marshal` and compressed, for a Python whose `bytecode_format` is `codes_format`. It is from
    the controller, as this file is.
    """
    known = marshal.loads(decompressed(codes)) if codes_format == bytecode_format() else {}  # noqa: S302 - see above
    sys.meta_path.insert(0, Importer(sources, known))
    frame = importlib.import_module(BASIC)
    frame.AnsibleModule.request = json.loads(decompressed(request))
    frame.run(importlib.import_module(module).main)
