# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a task as other hosts of the fleet would give them.

Some verbs act once for a whole fleet, whatever `serial` or `--limit` do: they need what every host asks for. A task's
own expressions are evaluated again with the variables of another host, so no plugin knows a variable by its name.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.parsing.mod_args import ModuleArgsParser
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema, shorthand


def hosts_of_play(task_vars: Mapping[str, Any]) -> list[str]:
    """All hosts of the play, whatever `serial` makes of them."""
    return [str(host) for host in task_vars.get("ansible_play_hosts_all") or [task_vars["inventory_hostname"]]]


def hosts_of_fleet(task_vars: Mapping[str, Any]) -> list[str]:
    """The hosts whose variables an action of the Cloud API reads: those of the play.

    For a play of localhost that the inventory does not list, these are all hosts of the inventory too: it has no
    variables of its own, but those of the group `all`.
    """
    hosts = hosts_of_play(task_vars)
    listed = [str(host) for host in (task_vars.get("groups") or {}).get("all") or ()]
    return hosts if set(hosts) & set(listed) else [*hosts, *listed]


def goes_host_by_host(task: Any) -> bool:
    """Whether each host goes through the play at its own pace: then `run_once` is ignored."""
    return str(task.get_play().strategy).rpartition(".")[2] in ("free", "host_pinned")


class FleetOptions:
    """The options of one task by host.

    Args:
        task: the task, whose source is still known.
        templar: the templar of the task's own host.
        arguments: the validated options of the task's own host.
        task_vars: the variables of that host.
        documented: the documented options, by name.
    """

    def __init__(
        self,
        task: Any,
        templar: Any,
        arguments: Mapping[str, Any],
        task_vars: Mapping[str, Any],
        documented: Mapping[str, Any],
    ) -> None:
        self._documented = documented
        self._templar = templar
        self._arguments = arguments
        self._here = str(task_vars["inventory_hostname"])
        self._hostvars = task_vars["hostvars"]
        self._task = task
        _action, expressions, _delegate = ModuleArgsParser(task.get_ds(), collection_list=task.collections).parse()
        self._expressions: dict[str, Any] = {**self._defaults(), **expressions}

    def _defaults(self) -> dict[str, Any]:
        """The `module_defaults` of the task, as expressions."""
        action = self._task.resolved_action or self._task.action
        defaults: dict[str, Any] = {}
        for entry in self._task.module_defaults or ():
            defaults.update(entry)
        expressions: dict[str, Any] = {}
        for group in self._task.get_play()._action_groups.get(action, ()):
            expressions.update(defaults.get(f"group/{group}") or {})
        return {**expressions, **(defaults.get(action) or {})}

    def of(self, host: str, names: Iterable[str]) -> dict[str, Any]:
        """These options of a host; one that its task leaves out has the value of the task's own host.

        Raises AnsibleError when an expression cannot be evaluated there, OnboardingError when a variable is refused.
        """
        if host == self._here:
            return {name: self._arguments[name] for name in names}
        variables = self._hostvars._variable_manager.get_vars(
            play=self._task.get_play(), host=self._hostvars._inventory.get_host(host), task=self._task
        )
        templar = self._templar.copy_with_new_env(available_variables=variables)
        inputs = templar.template(self._expressions["inputs"]) if "inputs" in self._expressions else {}
        if shorthand.REFUSED in inputs:
            raise OnboardingError(f"{host}: {inputs[shorthand.REFUSED]}")
        values = {
            name: templar.template(self._expressions[name])
            if name in self._expressions
            else inputs.get(name, self._arguments[name])
            for name in names
        }
        return schema.with_lists(self._documented, values)
