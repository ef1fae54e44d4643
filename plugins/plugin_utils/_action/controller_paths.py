# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where relative paths of the controller's files are looked up: never by the working directory alone.

An inventory names files that lie beside it, and a playbook files that it comes with, as with Ansible's own modules. The
current folder comes last, for what a person types on the command line.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_OF_CONNECTION = (
    "ca_file",
    "client_ca_file",
    "client_ca_key_file",
    "client_cert_file",
    "client_cert_key_file",
    "client_cert_vault_ca_file",
)
_OF_CLOUD = ("api_key_file", "ca_file")
_OF_TASK = ("password_store",)


@dataclass(frozen=True)
class ControllerPaths:
    """The folders that a relative path may be relative to.

    Args:
        inventory: the folders of the inventory, the host's own first.
        playbook: the folders of the playbook and the roles, of which `files` is looked at too.
        current: the working directory.
    """

    inventory: tuple[Path, ...]
    playbook: tuple[Path, ...]
    current: Path

    @classmethod
    def of_task(cls, task: Any, task_vars: Mapping[str, Any]) -> ControllerPaths:
        """The folders for a task and its host."""
        folders = [task_vars.get("inventory_dir")]
        # An implicit localhost has no folder of its own, but the run has an inventory.
        sources = getattr(getattr(task_vars.get("hostvars"), "_inventory", None), "_sources", None) or ()
        for source in map(str, sources):
            path = Path(source)
            folders += [path if path.is_dir() else path.parent] if "," not in source and path.exists() else []
        inventory = dict.fromkeys(Path(str(folder)).absolute() for folder in folders if folder)
        return cls(tuple(inventory), tuple(map(Path, getattr(task, "get_search_path", list)())), Path.cwd())

    def find(self, value: str) -> str:
        """The absolute path of a file or folder, which need not exist: a new one lies beside the inventory, if any."""
        path = Path(value).expanduser()
        if not value or path.is_absolute():
            return str(path) if value else value
        folders = [*self.inventory, *(place for folder in self.playbook for place in (folder / "files", folder))]
        default = self.inventory[0] if self.inventory else self.current
        found = next((folder for folder in (*folders, self.current) if (folder / path).exists()), default)
        return str(found / path)

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a task with the paths of the controller that they name made absolute."""
        options = dict(given)
        options.update(self._keys(options, _OF_TASK))
        if isinstance(options.get("cloud"), Mapping):
            options["cloud"] = {**options["cloud"], **self._keys(options["cloud"], _OF_CLOUD)}
        if isinstance(options.get("connections"), Mapping):
            options["connections"] = {
                name: {**facts, **self._keys(facts, _OF_CONNECTION)} if isinstance(facts, Mapping) else facts
                for name, facts in options["connections"].items()
            }
        return options

    def _keys(self, facts: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
        return {name: self.find(str(facts[name])) for name in names if facts.get(name)}
