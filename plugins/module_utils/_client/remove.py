# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remove what was installed below a prefix, and nothing else.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from ansible_collections.crdb.onboard.plugins.module_utils._client import completion, profile
from ansible_collections.crdb.onboard.plugins.module_utils._client.builds import PRODUCTS
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._client.installation import Installation
from ansible_collections.crdb.onboard.plugins.module_utils._client.options import ClientOptions, ClientResult
from ansible_collections.crdb.onboard.plugins.module_utils._client.program import running_nodes
from ansible_collections.crdb.onboard.plugins.module_utils._client.sql_shell import SCRIPT


def remove(options: ClientOptions, check_mode: bool) -> ClientResult:
    """Remove the client; in check mode only report it. Raises ClientError."""
    installation, result = Installation(options.prefix), ClientResult()
    for product in PRODUCTS:
        link, before = installation.link(product), installation.current(product)
        if before and not options.force and running_nodes(link, installation.base):
            raise ClientError(f"{link} runs as a node. Stop the node first, or set `force: true` (crdb_client_force).")
        action = "removed" if before or installation.versions(product) else "ok"
        result.products.append({"name": product, "action": action, "before": before, "version": "", "path": link})
    installed = os.path.isdir(installation.base)
    result.other_paths += [installation.base] if installed else installation.leftovers()
    if check_mode:
        return result
    try:
        if installed:
            with installation.locked():
                remove_installed(installation, result)
        else:
            installation.sweep()
    except OSError as exc:
        raise ClientError(
            f"{exc.filename or installation.prefix} cannot be removed: {exc.strerror or exc}. Fix this, then run again."
        ) from None
    return result


def remove_installed(installation: Installation, result: ClientResult) -> None:
    """Remove everything below the base and everything in the record, under the lock. Raises ClientError, OSError."""
    record = installation.record()
    if record["profile"]:
        profile.remove_line(record["profile"])
    completion.remove(record, result)
    for product in PRODUCTS:
        link = installation.link(product)
        if installation.current(product):
            backup = record["backups"].get(link)
            if backup and os.path.lexists(backup):
                os.replace(backup, link)
            else:
                os.unlink(link)
    for link in (installation.libraries_link, installation.link(SCRIPT)):
        if installation.owns_link(link):
            os.unlink(link)
    for product in PRODUCTS:
        shutil.rmtree(os.path.join(installation.base, product), ignore_errors=True)
    # The record goes last, so that a run after a killed one still knows what to remove.
    made = sorted(record["made"], key=len, reverse=True)
    shutil.rmtree(installation.base)
    for folder in made:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
