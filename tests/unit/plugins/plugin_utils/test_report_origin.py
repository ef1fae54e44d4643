# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report says about its own run, without a secret of the command line."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.common.collections import ImmutableDict
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import origin

PLAYBOOK = {"args": ("playbooks/check.yml",), "inventory": ("inventories/shop",)}


def test_the_command_can_be_read():
    arguments = {**PLAYBOOK, "subset": "app*", "tags": ("all",), "skip_tags": ("slow",), "check": True}
    assert origin.command(arguments) == (
        "ansible-playbook playbooks/check.yml -i inventories/shop -l 'app*' --skip-tags slow --check"
    )
    assert origin.command({"args": "all", "inventory": ("hosts",), "subset": None}) == "ansible all -i hosts"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("crdb_url=postgresql://ann:s3cret@db/shop", "crdb_url=..."),
        ("a=1 b='s3cret and more'", "a=... b=..."),
        ('{"crdb_password": "s3cret"}', "{...}"),
        ("[s3cret]", "{...}"),
        ("crdb_password: s3cret", "..."),
        ("a='s3cret", "..."),
        ("@vars.yml", "@vars.yml"),
    ],
)
def test_no_value_of_a_variable_is_shown(given, shown):
    command = origin.command(ImmutableDict({**PLAYBOOK, "extra_vars": (given,), "module_args": "s3cret"}))
    assert "s3cret" not in command
    assert shown in command


def test_the_version_is_that_of_the_checkout_or_of_the_installed_collection(tmp_path):
    assert origin.collection_version(tmp_path) == "of an unknown version"
    (tmp_path / "galaxy.yml").write_text("version: 1.2.3\n")
    assert origin.collection_version(tmp_path) == "1.2.3"
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "1.2.4"}}))
    assert origin.collection_version(tmp_path) == "1.2.4"
    assert origin.collection_version()[0].isdigit()
