# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of the collection that a module needs on a host, found by following Python's imports.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ansible_collections.crdb.onboard.plugins.module_utils._program.start import BASIC
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

COLLECTION = "ansible_collections.crdb.onboard.plugins"
PLUGINS = Path(__file__).parents[2]
_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


class UnresolvedImportError(OnboardingError):
    """A module imports something that it would not find on a host."""


@dataclass(frozen=True)
class _Import:
    """`module` is a full name; `name` is an attribute or a submodule of it, or empty for `import module`."""

    module: str
    name: str
    line: int
    optional: bool


def _type_checking(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING`, which is false on a host."""
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _catches_import_errors(handlers: list[ast.ExceptHandler]) -> bool:
    caught = [handler.type for handler in handlers]
    types = [part for type_ in caught for part in (type_.elts if isinstance(type_, ast.Tuple) else [type_])]
    return any(part is None or (isinstance(part, ast.Name) and part.id in _IMPORT_ERRORS) for part in types)


# The parts of a node that hold statements: an import never stands within an expression.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _statements(node: ast.AST, optional: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The import statements that may run on a host, and whether the code goes on without what they import."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node, optional
        return
    skipped = {"body"} if isinstance(node, ast.If) and _type_checking(node.test) else set()
    attempted = {"body"} if isinstance(node, ast.Try) and _catches_import_errors(node.handlers) else set()
    for block in _BLOCKS:
        if block in skipped:
            continue
        for child in getattr(node, block, ()):
            yield from _statements(child, optional or block in attempted)


def _imports(name: str, source: str, *, package: bool) -> Iterator[_Import]:
    """What a file imports, by full names. `package` says whether the file is the `__init__.py` of `name`."""
    for node, optional in _statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _Import(alias.name, "", node.lineno, optional)
            continue
        module = node.module or ""
        if node.level:
            parts = name.split(".")
            base = parts[: len(parts) - node.level + (1 if package else 0)]
            module = ".".join([*base, module] if module else base)
        for alias in node.names:
            yield _Import(module, "" if alias.name == "*" else alias.name, node.lineno, optional)


class _Collection:
    """The folder `plugins` of the collection, by the full names of its modules."""

    def __init__(self, plugins: Path) -> None:
        self._plugins = plugins
        self._files: dict[str, Path | None] = {}
        self._needs: dict[str, tuple[str, list[tuple[_Import, list[str] | None]]]] = {}

    def needs(self, name: str, path: Path) -> tuple[str, list[tuple[_Import, list[str] | None]]]:
        """The source of a file, and what it imports: the modules that each import loads, as `_resolve` finds them."""
        if name not in self._needs:
            source = path.read_text(encoding="utf-8")
            imports = _imports(name, source, package=path.name == "__init__.py")
            self._needs[name] = source, [(wanted, _resolve(wanted, self)) for wanted in imports]
        return self._needs[name]

    def _path(self, name: str) -> Path | None:
        """The path of a name without its suffix; None when it is not a name of this collection's plugins."""
        if name == COLLECTION:
            return self._plugins
        return self._plugins.joinpath(*name.removeprefix(f"{COLLECTION}.").split(".")) if self.has(name) else None

    @staticmethod
    def has(name: str) -> bool:
        """Whether a name is one of the collection's plugins, existing or not."""
        return f"{name}.".startswith(f"{COLLECTION}.")

    def file(self, name: str) -> Path | None:
        """The file of a module, or the `__init__.py` of a package; None when there is none."""
        if name not in self._files:
            path = self._path(name)
            candidates = () if path is None else (path / "__init__.py", path.with_name(f"{path.name}.py"))
            self._files[name] = next((candidate for candidate in candidates if candidate.is_file()), None)
        return self._files[name]

    def package(self, name: str) -> bool:
        """Whether a name is a package, with or without an `__init__.py`."""
        path = self._path(name)
        return path is not None and path.is_dir()


def _resolve(wanted: _Import, collection: _Collection) -> list[str] | None:
    """The modules of the collection that an import loads; None when it cannot be resolved on a host."""
    if wanted.module == BASIC:
        return []
    if wanted.module.split(".")[0] in ("ansible", "ansible_collections") and not collection.has(wanted.module):
        return None
    if not collection.has(wanted.module):
        # Python's own, or a package of the host.
        return []
    submodule = f"{wanted.module}.{wanted.name}"
    if wanted.name and (collection.file(submodule) or collection.package(submodule)):
        names = [submodule]
    elif collection.file(wanted.module) or (collection.package(wanted.module) and not wanted.name):
        names = [wanted.module]
    else:
        return None
    utils = f"{COLLECTION}.module_utils"
    return names if all(f"{name}.".startswith(f"{utils}.") for name in names) else None


def _with_parents(name: str) -> list[str]:
    """A name and the packages that it is in, up to the collection's plugins: Python imports all of them."""
    parts = name.removeprefix(f"{COLLECTION}.").split(".")
    return [f"{COLLECTION}.{'.'.join(parts[:end])}" for end in range(1, len(parts) + 1)]


@cache
def _collection(plugins: Path) -> _Collection:
    """One collection a folder: its files do not change during a run."""
    return _Collection(plugins)


def sources(module: str, plugins: Path = PLUGINS) -> Mapping[str, str]:
    """The source of a module and of all files of the collection that it needs, by full name.

    Raises UnresolvedImportError when a file imports what a host does not have.
    """
    collection = _collection(plugins)
    result: dict[str, str] = {}
    waiting = _with_parents(f"{COLLECTION}.modules.{module}")
    while waiting:
        name = waiting.pop()
        path = collection.file(name)
        if name in result or path is None:
            continue
        result[name], needs = collection.needs(name, path)
        for wanted, names in needs:
            if names is None and not wanted.optional:
                text = f"{wanted.module}.{wanted.name}" if wanted.name else wanted.module
                raise UnresolvedImportError(
                    f"{path}, line {wanted.line}: {text} cannot be sent to a host. A module may import the standard"
                    f" library, {BASIC} and the collection's module_utils."
                )
            for loaded in names or ():
                waiting += _with_parents(loaded)
    return result


@cache
def state(plugins: Path) -> str:
    """A digest of all that decides what is sent to hosts: another one after any change of a file's content."""
    digest = hashlib.sha256()
    for top in (plugins / "modules", plugins / "module_utils", Path(__file__).parent):
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(name for name in names if name.endswith(".py")):
                path = os.path.join(folder, name)  # noqa: PTH118 - a Path takes longer than all else
                with open(path, "rb") as file:  # noqa: PTH123 - see above
                    content = file.read()
                digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
