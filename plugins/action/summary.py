# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from ansible import context
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction, display
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import fleet, summary

_PLAYBOOK = "dev_machine"
_STEPS = (
    ("check it again", "check"),
    ("remove what was written", "offboard"),
)


class ActionModule(OnboardingAction):
    """Sum up what an onboarding did to the host. No host is contacted."""

    OPTIONS = "summary"
    _requires_connection = False

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the lines."""
        check = arguments["check"]
        lines = summary.text(
            arguments["written"],
            fleet.read_host(str(task_vars["inventory_hostname"]), check, check.get("drivers")),
            next_steps=[*_shells(arguments), *(_playbooks() if arguments["playbooks"] else ())],
            all_files=display.verbosity > 0,
            check_mode=bool(self._task.check_mode),
        )
        return {"changed": False, "report": lines}


def _shells(arguments: dict[str, Any]) -> list[tuple[str, str]]:
    if not arguments["sql_shell"]:
        return []
    paths = [path for result in arguments["written"] for path in result.get("environment_files") or ()]
    return [("open a SQL shell", f"crdb-sql -f {path}") for path in paths[:3]]


def _playbooks() -> list[tuple[str, str]]:
    """The commands of other playbooks, as the command that started this run was typed."""
    typed = [str(word) for word in context.CLIARGS.get("args") or ()]
    name = next((word for word in typed if Path(word).name in (_PLAYBOOK + ".yml", f"crdb.onboard.{_PLAYBOOK}")), "")
    if not name:
        return []
    program = Path(sys.argv[0])
    if shutil.which(program.name) == str(program):
        program = Path(program.name)
    elif program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    inventories = "".join(f" -i {word}" for word in _words_after("-i"))
    note = "   (with the same -e)" if context.CLIARGS.get("extra_vars") else ""
    return [(title, f"{program}{inventories} {name.replace(_PLAYBOOK, playbook)}{note}") for title, playbook in _STEPS]


def _words_after(option: str) -> list[str]:
    return [word for before, word in zip(sys.argv, sys.argv[1:], strict=False) if before == option]
