# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The codes of the check about the app's own files, and the check itself.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.crdb.onboard.plugins.module_utils._check.catalogue.entry import Entry

ENTRIES: Mapping[str, Entry] = {
    "app_file_missing": Entry(
        "The file {path}, by which {name} connects to {host}, does not exist.",
        "Write the configs of {name} for {host} again (playbooks/app_servers.yml, or dev_machine.yml).",
        files_differ=True,
    ),
    "app_file_unreadable": Entry(
        "The file {path}, by which {name} connects to {host}, cannot be read by {app_user}: {reason}.",
        "Give {path} to {app_user}, or write the configs for {host} again (playbooks/app_servers.yml).",
    ),
    "app_file_malformed": Entry(
        "The file {path}, by which {name} connects to {host}, cannot be read as an environment file: {reason}.",
        "Mend {path} as the cause says, so that every program reads the same in it, then check {host} again.",
    ),
    "app_config_differs": Entry(
        "The file {path}, which holds the connection of {name} to {host}, differs from the inventory.",
        "Look at `ansible-playbook playbooks/app_servers.yml --check --diff` for {host}, then write the configs "
        "again with `force: true` (crdb_app_config_force), or update the inventory.",
        withholds_drivers=True,
        files_differ=True,
    ),
    "env_value_missing": Entry(
        "The file {path} does not set {variable}, by which {name} connects to {host}.",
        "Write the configs of {name} for {host} again (playbooks/app_servers.yml).",
        files_differ=True,
    ),
    "env_value_differs": Entry(
        "The value of {variable} in the file {path} of {name} differs from the inventory's for {host}: {difference}.",
        "Write the configs for {host} again with `force: true` (crdb_app_config_force), or put the value of "
        "{path} into the inventory.",
        withholds_drivers=True,
        files_differ=True,
    ),
    "env_value_twice": Entry(
        "The file {path} sets {variable} more than once, and loaders differ in which of the values {name} gets "
        "for {host}.",
        "Leave one line for {variable} in {path}, the one for {host}.",
        withholds_drivers=True,
    ),
    "app_ca_unreadable": Entry(
        "The CA file {path} for {host} cannot be read by {app_user}, as whom {name} runs: {reason}.",
        "Let {app_user} read {path} (mode 0644, and the folders above it passable), so that {host} can be verified.",
    ),
    "app_key_unreadable": Entry(
        "The client certificate or key {path} for {host} cannot be read by {app_user}, as whom {name} runs: {reason}.",
        "Give {path} to {app_user} (mode 0600), so that {name} can log in at {host}.",
    ),
    # The sentences of these two come from the input's error, and from the note that becomes a verdict.
    "input_refused": Entry(
        "{reason}.",
        "{remedy}.",
    ),
    "libpq_would_fail": Entry(
        "{reason}.",
        "Mend that for {clients}, or connect to {host} with other clients only.",
    ),
    "canary_refused": Entry(
        "The server at {host} refused the login of {user} from {other}, the first host to try it, so this host "
        "sent no password.",
        "Follow the cure in the report of {other}, and check {host} again.",
        withholds_drivers=True,
    ),
    "canary_failed": Entry(
        "The login of {user} at {host} failed for {other} with {verdict}, so this host sent no password.",
        "Follow the cure in the report of {other}, and check {host} again.",
        withholds_drivers=True,
    ),
    "not_tried": Entry(
        "The server at {host} refused the same login for {other} a moment ago, so the password of {user} was not "
        "sent again.",
        "Follow the cure for {other} first, then check {host} again in a new run.",
        withholds_drivers=True,
    ),
    "password_held": Entry(
        "The server at {host} ({address}) asks for the password of {user}, which was not sent because another "
        "host tries it first.",
        "Remove the option hold_password to log in at {host}.",
    ),
    "internal_error": Entry(
        "The check of {host} port {port} itself failed {when}: {error}.",
        "Report this to the authors of crdb.onboard with the evidence, and test {host} with psql meanwhile.",
    ),
}
