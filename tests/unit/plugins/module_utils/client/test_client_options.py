# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the module `client` agree wherever they are declared, and a proxy's password stays out of files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible_collections.crdb.onboard.plugins.action import client as action
from ansible_collections.crdb.onboard.plugins.modules import client as module
from ansible_collections.crdb.onboard.plugins.plugin_utils._action import options
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory import schema

ROLE = Path(__file__).resolve().parents[5] / "roles" / "crdb_client"


def test_the_spec_of_the_module_is_that_of_its_documentation():
    documented = dict(options.arguments("client"))
    suboptions = schema.argument_spec(options.documented("client")["internal"]["suboptions"])
    assert {**documented, "internal": {**documented["internal"], "options": suboptions}} == module.ARGUMENT_SPEC


def test_the_role_passes_every_option_with_the_modules_default():
    public = {name: spec["default"] for name, spec in module.ARGUMENT_SPEC.items() if name != "internal"}
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    # What the role crdb_preview sets is about how the task counts, and no option.
    assert defaults.pop("crdb_client_preview") is False
    assert defaults == {f"crdb_client_{name}": default for name, default in public.items()}
    task = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text())[0]
    assert set(task["crdb.onboard.client"]) == set(public)


class Connection:
    """A connection with pipelining off; `become` as su does not allow it."""

    def __init__(self, become=""):
        self._options = {"pipelining": False}
        self._become = become

    def set_option(self, name, value):
        """Set an option."""
        self._options[name] = value

    def is_pipelining_enabled(self):
        """Whether a module would be piped to the host's Python."""
        return self._options["pipelining"] and self._become != "su"


def run(connection, async_val=0, **changes):
    """Run the action; return the calls of the module: its arguments, and whether pipelining was on."""
    task = SimpleNamespace(async_val=async_val, check_mode=False)
    plugin = action.ActionModule(task, connection, None, None, None, None)
    calls = []

    def execute(module_name, module_args, task_vars):
        calls.append((module_args, connection.is_pipelining_enabled()))
        return {}

    plugin._execute_module = execute
    defaults = {name: spec["default"] for name, spec in options.arguments("client").items()}
    plugin.work({**defaults, "version": "v25.4.11", **changes}, {})
    return calls


PROXY = "http://user:s3cr3t@proxy.example.com:3128"


@pytest.mark.parametrize("proxy", [PROXY, "http://token@proxy.example.com:3128", "user:s3cr3t@proxy.example.com"])
def test_a_proxy_with_a_password_travels_with_pipelining_only(proxy):
    ((arguments, pipelining),) = run(Connection(), proxy=proxy)
    assert (arguments["proxy"], pipelining) == (proxy, True)
    with pytest.raises(OnboardingError, match=r"proxy holds a password\. .* needs pipelining"):
        run(Connection(become="su"), proxy=proxy)
    with pytest.raises(OnboardingError, match="Remove async"):
        run(Connection(), async_val=60, proxy=proxy)


@pytest.mark.parametrize(
    ("proxy", "changes"),
    [
        ("", {}),
        ("http://proxy.example.com:3128", {}),
        (PROXY, {"source": "controller"}),
        (PROXY, {"archive_folder": "/srv/archives"}),
        (PROXY, {"state": "absent"}),
    ],
)
def test_a_call_without_a_password_needs_no_pipelining(proxy, changes):
    ((arguments, pipelining),) = run(Connection(become="su"), proxy=proxy, **changes)
    assert not pipelining
    assert "s3cr3t" not in arguments["proxy"]
